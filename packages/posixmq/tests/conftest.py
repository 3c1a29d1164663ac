"""Fixtures of the posixmq tests.

Queues are unique and always removed. Waits are observed in /proc, not hoped for: a test goes on
when the kernel says that a task sleeps inside the queue. Shared helpers are fixtures because
test modules imported by importlib cannot import each other.

A busy machine may delay any thread by any time. So no test is red because something came late
once: what must not take long is tried again until it was quick (in_time), and the limits below
end what will never come.
"""

import contextlib
import faulthandler
import gc
import inspect
import itertools
import os
import queue
import resource
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import posixmq

NATIVE = "native(what): holds where a wait sleeps in the kernel's own call, not where it polls"
TEST_LIMIT_S = 300
ENDURANCE_LIMIT_S = 1800
WAIT_LIMIT_S = 60  # for what comes at once unless it never comes
LATE_S = 2  # what a timeout may be late where no other program delays the thread
TRIES = 20


# --- the run -------------------------------------------------------------------------------------


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes several seconds")
    config.addinivalue_line("markers", "endurance: takes minutes")
    config.addinivalue_line("markers", NATIVE)
    config.addinivalue_line("filterwarnings", "error")
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        config.posixmq_stderr = os.dup(2)


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("native")
        if mark is not None and getattr(posixmq._posixmq, "_polls", False):
            item.add_marker(pytest.mark.skip(reason=f"this build polls: {mark.args[0]}"))


def pytest_collection_finish():
    """Spare the collector all that is there before the first test: many tests call it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config):
    gc.unfreeze()
    os.close(config.posixmq_stderr)


def pytest_report_header(config):
    def limit(name):
        with contextlib.suppress(OSError):
            return Path("/proc/sys/fs/mqueue", name).read_text().strip()
        return "?"

    limits = ", ".join(f"{name} {limit(name)}" for name in ("msg_max", "msgsize_max", "queues_max"))
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    spin = os.environ.get("POSIXMQ_SPIN_US", "default")
    return [
        f"posixmq {posixmq.__version__} from {Path(posixmq.__file__).parent}",
        f"kernel limits: {limits}, RLIMIT_MSGQUEUE {resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0]}",
        f"GIL {gil}; spin: POSIXMQ_SPIN_US {spin}, {len(os.sched_getaffinity(0))} CPUs usable",
    ]


def watch(item):
    """A wait that nothing ends must fail the run, not hang it."""
    limit = ENDURANCE_LIMIT_S if item.get_closest_marker("endurance") else TEST_LIMIT_S
    faulthandler.dump_traceback_later(limit, exit=True, file=item.config.posixmq_stderr)


pytest_runtest_setup = watch
pytest_runtest_teardown = watch  # anew, because pytest forgets it after a failure


def pytest_runtest_logfinish():
    faulthandler.cancel_dump_traceback_later()


# --- what scripts share with the tests: each function stands alone, its source is sent along -------


def wait_until(condition, limit=60):
    """Return when condition() is true; fail when that takes longer than limit seconds."""
    import time

    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not reached in {limit} s: {condition}")
        time.sleep(0.001)


def sleeps_in_queue(task):
    """True while the task (a folder of /proc) sleeps inside mq_timedsend or mq_timedreceive."""

    def read(what):
        try:
            with open(f"{task}/{what}") as file:
                return file.read().split() or ["?"]
        except OSError:
            return ["?"]

    if getattr(
        posixmq._posixmq, "_polls", False
    ):  # it naps in pselect6: x86-64, then arm64 and riscv64
        return read("syscall")[0] in {"270", "72"}
    if read("wchan")[0] == "wq_sleep":
        return True
    # x86-64, then arm64 and riscv64
    return read("syscall")[0] in {"242", "243", "182", "183"}


def switches(task):
    """How often the task (a folder of /proc) went to sleep, and how often the CPU was taken from it."""
    with open(f"{task}/status") as status:
        counts = {name: number for name, _, number in (line.partition(":") for line in status)}
    return int(counts["voluntary_ctxt_switches"]), int(counts["nonvoluntary_ctxt_switches"])


def until_spinning(thread):
    """Return when a thread spins, or sleeps inside a queue already.

    A spin uses the CPU, or yields it again and again where other threads want it.
    """
    import time

    task = f"/proc/self/task/{thread.native_id}"
    clock = time.pthread_getcpuclockid(thread.ident)
    used, yielded = time.clock_gettime(clock) + 0.003, switches(task)[1] + 5
    wait_until(
        lambda: (
            time.clock_gettime(clock) > used or switches(task)[1] > yielded or sleeps_in_queue(task)
        )
    )


def drop_capabilities():
    """Go on as an ordinary user would, whoever started the tests; keep the user id."""
    import ctypes

    import_all()
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def import_all():
    """Import what the package would import later: another user may be unable to read the files."""
    import importlib
    import pkgutil
    import traceback  # noqa: F401

    for module in pkgutil.iter_modules(posixmq.__path__):
        importlib.import_module(f"posixmq.{module.name}")
    posixmq.serializers.load_pickle()  # as the first queue does


def become(uid):
    """Go on as another user, wherever the installation lies."""
    import ctypes
    import os

    import_all()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0  # PR_SET_DUMPABLE: to be seen in /proc


def own_descriptors(name=""):
    """The descriptors that this process holds on the named queue, or on anything."""
    import os

    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if not name or target.removesuffix(" (deleted)") == name:
            found.append(int(number))
    return found


def caught_signals():
    """The signals that have a handler now, as the kernel sees it."""
    with open("/proc/self/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return {number + 1 for number in range(64) if mask >> number & 1}


SHARED = (
    wait_until,
    sleeps_in_queue,
    switches,
    until_spinning,
    drop_capabilities,
    import_all,
    become,
    own_descriptors,
    caught_signals,
)
PRELUDE = (
    "import errno, json, os, queue, signal, sys, threading, time\n"
    "import posixmq\n"
    "from posixmq import DecodeError, Queue, QueueError, RawSerializer\n\n"
) + "\n\n".join(inspect.getsource(function) for function in SHARED)


# --- queues --------------------------------------------------------------------------------------


@pytest.fixture
def unique():
    """Call for a name that no other queue has; whatever bears it at the end is removed."""
    stem = f"/posixmq-test-{os.getpid()}-{secrets.token_hex(4)}"
    names = (f"{stem}-{number}" for number in itertools.count())
    given = []

    def name():
        given.append(next(names))
        return given[-1]

    yield name
    for each in given:
        with contextlib.suppress(posixmq.QueueError):
            posixmq.unlink(each)


@pytest.fixture
def name(unique):
    """A name that no other queue has."""
    return unique()


@pytest.fixture
def make(unique):
    """Open a queue as the arguments say, small and under a new name if they say nothing."""
    made = []

    def make(name=None, maxsize=4, maxmsgsize=256, **options):
        made.append(posixmq.Queue(name or unique(), maxsize, maxmsgsize, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def q(make):
    """A queue of its own for the test: 4 messages of 256 bytes, pickled."""
    return make()


@pytest.fixture
def full(make):
    """A full queue of one message."""
    queue = make(maxsize=1)
    queue.put("first")
    return queue


# --- others at work ------------------------------------------------------------------------------


class Call:
    """A call in a thread of its own."""

    def __init__(self, function, *args, **kwargs):
        self._work = function, args, kwargs
        self.value = self.error = self.ended = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.task = f"/proc/self/task/{self.thread.native_id}"

    def _run(self):
        function, args, kwargs = self._work
        try:
            self.value = function(*args, **kwargs)
        except BaseException as error:
            self.error = error
        finally:
            self._work = function = args = kwargs = None
            self.ended = time.monotonic()

    def until_asleep(self):
        """Return when the thread sleeps inside a queue."""
        wait_until(lambda: sleeps_in_queue(self.task) or not self.thread.is_alive())
        assert self.thread.is_alive(), f"did not block: {self.value!r}, {self.error!r}"
        return self

    def _end(self, limit):
        self.thread.join(limit)
        assert not self.thread.is_alive(), f"still blocked after {limit} s"

    def result(self, limit=WAIT_LIMIT_S):
        """What the call returned."""
        self._end(limit)
        if self.error is not None:
            raise self.error
        return self.value

    def failure(self, limit=WAIT_LIMIT_S):
        """What the call raised."""
        self._end(limit)
        assert self.error is not None, f"returned {self.value!r}"
        return self.error


@pytest.fixture
def background():
    """Start a call in a thread of its own."""
    return Call


def end_session(process):
    """Kill a process with all its children, and return what they wrote."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()


@pytest.fixture
def start_script(tmp_path):
    """Start an unrelated Python process on a script; it is killed at the end if it still runs."""
    started = []

    def start(code, *args, env=None):
        script = tmp_path / f"script{len(started)}.py"
        script.write_text(PRELUDE + "\n\n" + textwrap.dedent(code))
        process = subprocess.Popen(
            [sys.executable, "-I", str(script), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        end_session(process)


@pytest.fixture
def finish():
    """Wait for the end of a process and return what it wrote; fail if it failed."""

    def finish(process, limit=2 * WAIT_LIMIT_S):
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            out, err = end_session(process)
        assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}"
        return out

    return finish


@pytest.fixture
def run_script(start_script, finish):
    """Run a script in an unrelated Python process and return what it wrote; fail if it failed."""
    return lambda code, *args, env=None: finish(start_script(code, *args, env=env))


@pytest.fixture
def processes_asleep():
    """Return when the main thread of every process sleeps inside a queue."""

    def wait(*processes):
        for process in processes:
            task = f"/proc/{process.pid}"
            wait_until(lambda task=task: sleeps_in_queue(task))

    return wait


# --- the shared functions, for the tests ---------------------------------------------------------


@pytest.fixture
def until():
    """Wait for a condition."""
    return wait_until


@pytest.fixture
def asleep():
    """Tell whether a task of /proc sleeps inside a queue."""
    return sleeps_in_queue


@pytest.fixture
def switched():
    """Count how often a task of /proc went to sleep, and how often the CPU was taken from it."""
    return switches


@pytest.fixture
def spinning():
    """Return when a thread spins, or sleeps inside a queue already."""
    return until_spinning


@pytest.fixture
def effort(switched):
    """Measure what this thread has cost so far: its seconds of CPU, and a millisecond a switch.

    Where other programs want the CPU, a thread that naps or yields all the time uses little of it,
    but it is switched often.
    """
    task = f"/proc/self/task/{threading.get_native_id()}"
    return lambda: time.thread_time() + sum(switched(task)) / 1000


@pytest.fixture
def in_time():
    """Repeat an attempt, which returns seconds, until these are below a limit.

    A busy machine makes an attempt take longer, never shorter: so one that is below the limit
    proves as much as all would.
    """

    def in_time(attempt, limit):
        taken = []
        while len(taken) < TRIES and sum(taken) < WAIT_LIMIT_S:
            taken.append(attempt())
            if taken[-1] < limit:
                return
        raise AssertionError(f"never below {limit} s: {taken}")

    return in_time


@pytest.fixture
def times_out(in_time):
    """Make a call that must end by its timeout: never early, and late only by scheduling.

    The last exception is returned.
    """

    def times_out(timeout, call):
        caught = None

        def attempt():
            nonlocal caught
            started = time.monotonic()
            with pytest.raises((queue.Empty, queue.Full)) as caught:
                call()
            waited = time.monotonic() - started
            assert waited >= timeout
            return waited

        in_time(attempt, timeout + LATE_S)
        return caught.value

    return times_out


@pytest.fixture
def descriptors():
    """List the descriptors of this process, of one queue or all."""
    return own_descriptors


@pytest.fixture
def growth():
    """Measure what calling a function many times leaves behind: blocks of Python's, bytes of all.

    Caches grow once, leaks every time: so the least growth of four rounds counts.
    """

    def state():
        gc.collect()
        if "libasan" in os.environ.get("LD_PRELOAD", ""):
            return sys.getallocatedblocks(), 0  # it keeps what was freed, to see who uses it
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return sys.getallocatedblocks(), pages * resource.getpagesize()

    def growth(function, times):
        rounds = []
        function(times)
        for _ in range(4):
            before = state()
            function(times)
            rounds.append([after - value for after, value in zip(state(), before, strict=True)])
        return [min(values) for values in zip(*rounds, strict=True)]

    return growth
