"""Fixtures: queues that are always removed, threads and processes seen asleep.

Nothing here sleeps and hopes. A test that needs a caller blocked looks at the
system call the kernel has it in (/proc/PID/task/TID/syscall) and goes on from there.

A busy machine may delay any thread by any time. So no test is red because something came late
once: what must not take long is tried again until it was quick (in_time), and the limits below
end what will never come.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import inspect
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path
from queue import Empty, Full

import pytest

import sysvmq

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_RMID = 0
PATIENCE = 60.0  # seconds after which what comes at once, unless it never comes, is a failure
LATE = 2.0  # seconds that a timeout may be late where no other program delays the thread
TRIES = 20
HANG = 300  # seconds after which a test is interrupted, more for those made longer on demand
HANG += int(os.environ.get("SYSVMQ_TEST_RACES", "0")) // 500
HANG += int(os.environ.get("SYSVMQ_TEST_MESSAGES", "0")) // 500

# msgsnd and msgrcv as /proc shows them; elsewhere any steady sleep counts as blocked
BLOCKING_CALLS = {
    "x86_64": {"69", "70"},
    "aarch64": {"188", "189"},
    "riscv64": {"188", "189"},
    "loongarch64": {"188", "189"},
}.get(platform.machine())
POLLS = getattr(sysvmq._sysvmq, "_polls", False)
if POLLS:  # a build that naps instead, in pselect6
    BLOCKING_CALLS = {"270"} if platform.machine() == "x86_64" else {"72"}

SCRIPT_HEAD = """\
import ctypes, os, queue, signal, sys, threading, time
import sysvmq
from sysvmq import Queue, QueueError, RawSerializer
args = sys.argv[1:]

def import_all():
    "Import what the package would import later: another user may be unable to read the files."
    import importlib, pkgutil, traceback
    for module in pkgutil.iter_modules(sysvmq.__path__):
        importlib.import_module("sysvmq." + module.name)
    sysvmq.serializers.load_pickle()  # as the first queue does

def become(uid=65534, gid=65534, groups=()):
    "Go on as another user, wherever the installation lies."
    import_all()
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)

def report(call):
    try:
        print(call())
    except QueueError as error:
        print(error.errno == QueueError.NO_PERMISSIONS, error.msg)

"""

# An IPC namespace of its own: its limits can be set, and every key in it is free.
ISOLATE = """\
if ctypes.CDLL(None).unshare(0x08000000):
    print("not permitted")
    sys.exit(77)
"""


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "native(what): holds where a wait sleeps in the kernel's own call, not where it polls",
    )


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("native")
        if mark is not None and POLLS:
            item.add_marker(pytest.mark.skip(reason=f"this build polls: {mark.args[0]}"))


def pytest_report_header() -> list[str]:
    limits = ", ".join(f"{name} {kernel_limit(name)}" for name in LIMITS)
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    cpus = len(os.sched_getaffinity(0))
    spin = os.environ.get("SYSVMQ_SPIN_US", "50, the default")
    return [
        f"sysvmq {sysvmq.__version__} from {Path(sysvmq.__file__).parent}",
        f"kernel {platform.release()}: {limits}",
        f"GIL {'on' if gil else 'off'}; {cpus} CPUs; spin {spin} us"
        + ("" if cpus > 1 else " (one CPU: never)"),
    ]


LIMITS = ("msgmax", "msgmnb", "msgmni")


def kernel_limit(name: str) -> int:
    return int(Path("/proc/sys/kernel", name).read_text())


def kernel_row(msqid: int) -> dict[str, str] | None:
    """What /proc/sysvipc/msg says of a queue, None when it has been removed."""
    head, *rows = Path("/proc/sysvipc/msg").read_text().splitlines()
    for row in rows:
        fields = dict(zip(head.split(), row.split(), strict=True))
        if int(fields["msqid"]) == msqid:
            return fields
    return None


def find_id(key: int) -> int:
    """The id of the queue with this key, -1 when there is none."""
    return LIBC.msgget(ctypes.c_int(key & 0xFFFFFFFF), 0)


def remove_id(msqid: int) -> None:
    LIBC.msgctl(msqid, IPC_RMID, None)


# ---------------------------------------------------- what scripts share with the tests


def read(path) -> str:
    """Read a file of /proc."""
    with open(path) as file:
        return file.read()


def wait_until(true, patience: float = PATIENCE, what: str = "") -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"still waiting for {what or true}"
        time.sleep(0.0005)


def switches(tid: int, pid: int | str = "self", kind: str = "voluntary") -> int:
    """How often a thread has gone to sleep; if nonvoluntary, how often it was put aside."""
    for line in read(f"/proc/{pid}/task/{tid}/status").splitlines():
        if line.startswith(f"{kind}_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError(f"no {kind}_ctxt_switches in /proc")


def sleeps(tid: int, pid: int | str = "self") -> bool:
    """Whether a thread sleeps, and does not wait for a page or a disk (state D)."""
    return read(f"/proc/{pid}/task/{tid}/stat").rpartition(")")[2].split()[0] == "S"


def system_call(tid: int, pid: int | str) -> str | None:
    """The number of the system call in which a thread is; None where that is not shown."""
    try:
        return read(f"/proc/{pid}/task/{tid}/syscall").split()[0]
    except PermissionError:
        return None


def is_blocked(tid: int, pid: int | str = "self") -> bool:
    """Whether a thread sleeps inside msgsnd or msgrcv."""
    try:
        if BLOCKING_CALLS and (call := system_call(tid, pid)):
            return call in BLOCKING_CALLS and sleeps(tid, pid)
        before = switches(tid, pid)
        time.sleep(0.05)
        return sleeps(tid, pid) and switches(tid, pid) == before
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False


def wait_blocked(tid: int, pid: int | str = "self", patience: float = PATIENCE) -> None:
    wait_until(lambda: is_blocked(tid, pid), patience, f"thread {tid} to block in the queue")


SHARED = (read, wait_until, switches, sleeps, system_call, is_blocked, wait_blocked)
PRELUDE = "\n\n".join(
    [
        f"BLOCKING_CALLS, PATIENCE = {BLOCKING_CALLS!r}, {PATIENCE!r}",
        *map(inspect.getsource, SHARED),
        SCRIPT_HEAD,
    ]
)

# ----------------------------------------------------------- threads, processes, queues


def cpu_of(thread: threading.Thread) -> float:
    """Seconds of CPU that a thread has used."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def wait_spinning(thread: threading.Thread) -> None:
    """Return when a thread spins, or is blocked in the queue already.

    A spin uses the CPU, or yields it again and again where other threads want it.
    """
    tid, before = thread.native_id, cpu_of(thread)
    aside = switches(tid, kind="nonvoluntary")
    wait_until(
        lambda: (
            cpu_of(thread) > before + 0.003
            or switches(tid, kind="nonvoluntary") > aside + 5
            or is_blocked(tid)
        ),
        what=f"thread {tid} to spin",
    )


class Thread(threading.Thread):
    """A thread that keeps what its function returned or raised, and when it ended."""

    def __init__(self, func, *args, **kwargs):
        super().__init__(daemon=True)
        self.call = lambda: func(*args, **kwargs)
        self.value = self.error = self.ended = self.tid = None
        self.start()
        wait_until(lambda: self.tid is not None, what="a thread to start")

    def run(self):
        self.tid = threading.get_native_id()
        try:
            self.value = self.call()
        except BaseException as error:  # the test looks at it
            self.error = error
        finally:
            self.ended = time.monotonic()

    def wait_blocked(self):
        wait_until(
            lambda: self.ended is not None or is_blocked(self.tid),
            what="a thread to block in the queue",
        )
        assert self.ended is None, f"returned {self.value!r}, raised {self.error!r}"
        return self

    def outcome(self, patience: float = PATIENCE):
        """What was returned or, not raised here, the exception."""
        self.join(patience)
        assert not self.is_alive(), "the thread is still blocked"
        return self.value if self.error is None else self.error

    def result(self, patience: float = PATIENCE):
        outcome = self.outcome(patience)
        if self.error is not None:
            raise self.error
        return outcome


class Child(subprocess.Popen):
    """An unrelated Python process that runs a text with PRELUDE before it."""

    def __init__(self, code: str, *args, **env):
        super().__init__(
            [sys.executable, "-I", "-c", PRELUDE + textwrap.dedent(code)]
            + [str(arg) for arg in args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )

    def wait_blocked(self):
        wait_until(
            lambda: self.poll() is not None or is_blocked(self.pid, self.pid),
            what="a process to block in the queue",
        )
        assert self.returncode is None, f"ended: {self.communicate()[0]}"
        return self

    def line(self) -> str:
        return self.stdout.readline().strip()

    def finish(self, patience: float = PATIENCE) -> str:
        """What it printed; it must end well."""
        out, _ = self.communicate(timeout=patience)
        if self.returncode == 77:
            pytest.skip(f"an IPC namespace with limits of its own: {out}")
        assert self.returncode == 0, f"exit {self.returncode}: {out}"
        return out.strip()


@pytest.fixture(autouse=True)
def watchdog(request):
    """A test that hangs is interrupted, by an ordinary signal with a Python handler."""
    limit = 1800 if request.node.get_closest_marker("endurance") else HANG

    def bark(*_):
        raise TimeoutError(f"the test has hung for {limit} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(limit)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def fresh_key():
    """A function that gives keys nobody uses; their queues are removed in the end."""
    keys = []

    def fresh(low: int = 1, high: int = 2**31) -> int:
        key = low + secrets.randbelow(high - low)
        if find_id(key) != -1:
            return fresh(low, high)
        keys.append(key)
        return key

    yield fresh
    for key in keys:
        while (msqid := find_id(key)) != -1:
            remove_id(msqid)


@pytest.fixture
def key(fresh_key) -> int:
    return fresh_key()


@pytest.fixture
def make(fresh_key):
    """A function that opens a queue, of a fresh key unless one is given."""
    ids, private = [], []

    def make(key=..., *args, cls=sysvmq.Queue, **options):
        options.setdefault("trusted", True)  # who may write is test_trust.py's affair
        queue = cls(fresh_key() if key is ... else key, *args, **options)
        ids.append(queue.id)
        if not queue.key:
            private.append(queue)  # to warn of one that is dropped is the package's own affair
        return queue

    yield make
    for msqid in ids:
        remove_id(msqid)


@pytest.fixture
def q(make):
    """A queue with the default serializer."""
    return make()


@pytest.fixture
def raw(make):
    """A queue of bytes."""
    return make(serializer=sysvmq.RawSerializer)


@pytest.fixture
def full(make):
    """A full queue: 16 bytes, all taken by one message of type 1."""
    queue = make(max_bytes=16, serializer=sysvmq.RawSerializer)
    queue.put(b"f" * 16)
    return queue


@pytest.fixture
def key_id():
    """A function: the id of the queue with this key, -1 when there is none."""
    return find_id


@pytest.fixture
def row():
    """A function: the kernel's view of a queue id."""
    return kernel_row


@pytest.fixture
def remove():
    """A function that removes a queue id as another process would."""
    return remove_id


@pytest.fixture
def limit():
    """A function: the value of a kernel limit."""
    return kernel_limit


@pytest.fixture
def until():
    """A function that waits until its argument returns true."""
    return wait_until


@pytest.fixture
def count_switches():
    """A function: how often a thread, by its native id, has gone to sleep."""
    return switches


@pytest.fixture
def effort():
    """A function: what this thread has cost so far, in seconds of CPU and a millisecond a switch.

    Where other programs want the CPU, a thread that naps or yields all the time uses little of it,
    but it is switched often.
    """

    def effort():
        tid = threading.get_native_id()
        switched = switches(tid) + switches(tid, kind="nonvoluntary")
        return time.thread_time() + switched / 1000

    return effort


@pytest.fixture
def in_time():
    """A function that repeats an attempt, which returns seconds, until these are below a limit.

    A busy machine makes an attempt take longer, never shorter: so one that is below the limit
    proves as much as all would.
    """

    def in_time(attempt, limit):
        taken = []
        while len(taken) < TRIES and sum(taken) < HANG / 2:
            taken.append(attempt())
            if taken[-1] < limit:
                return
        raise AssertionError(f"never below {limit} s: {taken}")

    return in_time


@pytest.fixture
def times_out(in_time):
    """A function that makes a call which must time out: never early, late only by scheduling.

    What was raised at last is returned.
    """

    def times_out(timeout, call, late=LATE):
        caught = None

        def attempt():
            nonlocal caught
            start = time.monotonic_ns()
            with pytest.raises((Empty, Full)) as caught:
                call()
            took = time.monotonic_ns() - start
            assert took >= int(timeout * 1e9)
            return took / 1e9

        in_time(attempt, timeout + late)
        return caught.value

    return times_out


@pytest.fixture
def cpu():
    """A function: the seconds of CPU that a thread has used."""
    return cpu_of


@pytest.fixture
def spinning():
    """A function that waits until a thread spins, or is blocked in a queue already."""
    return wait_spinning


@pytest.fixture
def thread(fresh_key):
    """A function that runs a function in a thread."""
    return Thread


@pytest.fixture
def when_blocked():
    """A function: as soon as the calling thread is blocked in a queue, do this."""
    running, over = [], threading.Event()

    def when_blocked(act):
        tid = threading.get_native_id()

        def watch():
            wait_until(lambda: over.is_set() or is_blocked(tid), what="the test to block")
            return None if over.is_set() else act()

        running.append(Thread(watch))
        return running[-1]

    yield when_blocked
    over.set()
    for watcher in running:
        watcher.result()


@pytest.fixture
def asleep():
    """A function: whether a thread, by its native id, is blocked in a queue."""
    return is_blocked


@pytest.fixture
def blocked():
    """A function that waits until a thread, by its native id, blocks in a queue."""
    return wait_blocked


@pytest.fixture
def spawn():
    """A function that starts an unrelated Python process."""
    children = []

    def spawn(code: str, *args, **env) -> Child:
        children.append(Child(code, *args, **env))
        return children[-1]

    yield spawn
    for child in children:
        child.kill()
        with child:
            pass


@pytest.fixture
def isolated(spawn):
    """Like spawn, in an IPC namespace of its own; the test is skipped without."""
    return lambda code, *args, **env: spawn(ISOLATE + textwrap.dedent(code), *args, **env)


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory):
    """A function: the environment of a process that has this C loaded before everything else."""
    folder = tmp_path_factory.mktemp("preloaded")

    @functools.cache
    def preloaded(name: str, source: str) -> dict[str, str]:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            pytest.skip("needs a C compiler")
        written, library = folder / f"{name}.c", folder / f"{name}.so"
        written.write_text(source)
        command = [compiler, "-shared", "-fPIC", "-o", library, written, "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot compile {name}: {done.stderr}")
        before = os.environ.get("LD_PRELOAD", "")  # a sanitizer, which wants to be the first
        return {"LD_PRELOAD": f"{before} {library}".strip()}

    return preloaded


@pytest.fixture
def fork():
    """A function that runs a function in a forked child and checks that it is well."""

    def fork(func, patience: float = PATIENCE):
        with warnings.catch_warnings():  # forking with threads is the point
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.alarm(int(patience))
                func()
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)
        ended = []

        def reaped():
            got, status = os.waitpid(pid, os.WNOHANG)
            ended.extend([status] * (got == pid))
            return ended

        try:
            wait_until(reaped, patience, "the forked child to end")
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        assert os.waitstatus_to_exitcode(ended[0]) == 0, "the forked child failed"

    return fork


@pytest.fixture
def handler():
    """A function that installs a Python signal handler, put back in the end."""
    before = {}

    def install(signum, func, restart=False):
        old = signal.signal(signum, func)
        before.setdefault(signum, old)
        signal.siginterrupt(signum, not restart)

    yield install
    for signum, old in before.items():
        signal.signal(signum, old)


@pytest.fixture
def growth():
    """A function: how many blocks of Python's memory calling its argument leaves behind.

    Caches grow once, leaks every time: so the least growth of four rounds counts.
    """

    def blocks():
        gc.collect()
        return sys.getallocatedblocks()

    def growth(work):
        rounds = []
        work()
        for _ in range(4):
            before = blocks()
            work()
            rounds.append(blocks() - before)
        return min(rounds)

    return growth
