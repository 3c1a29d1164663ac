"""pytest's hooks and the fixtures of both packages' tests.

Queues have addresses of their own and are always removed.
"""

import asyncio
import contextlib
import faulthandler
import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import pytest

import kind
from harness import faults
from harness.aio import AsyncQueue, Padded
from harness.calls import Call
from harness.children import Child
from harness.tasks import WAIT_LIMIT_S, is_asleep, task_of, until

NATIVE = "native(what): holds where a wait sleeps in the kernel's own call, not where it polls"
TEST_LIMIT_S = 300
ENDURANCE_LIMIT_S = 1800
# Numbers that a user raises make some tests longer.
for number in ("TEST_RACES", "TEST_MESSAGES"):
    TEST_LIMIT_S += int(os.environ.get(f"{kind.PACKAGE.upper()}_{number}", "0")) // 500


# --- the run -------------------------------------------------------------------------------------


def pytest_configure(config):
    config.option.importmode = "importlib"  # an sdist holds no settings of pytest
    config.addinivalue_line("markers", "slow: takes several seconds")
    config.addinivalue_line("markers", "endurance: takes minutes")
    config.addinivalue_line("markers", "semaphores: takes multiprocessing's semaphores")
    config.addinivalue_line("markers", NATIVE)
    config.addinivalue_line("filterwarnings", "error")
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        config.harness_stderr = os.dup(2)


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("native")
        if mark is not None and kind.POLLS:
            item.add_marker(pytest.mark.skip(reason=f"this build polls: {mark.args[0]}"))


def pytest_collection_finish():
    """Spare the collector all that is there before the first test: many tests call it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config):
    gc.unfreeze()
    os.close(config.harness_stderr)


def pytest_report_header():
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    variable = f"{kind.PACKAGE.upper()}_SPIN_US"
    spin = os.environ.get(variable, "default")
    return [
        f"{kind.PACKAGE} {kind.mq.__version__} from {Path(kind.mq.__file__).parent}",
        f"kernel {os.uname().release}; limits: {kind.limits_in_words()}",
        f"GIL {gil}; {variable} {spin}; {len(os.sched_getaffinity(0))} CPUs usable",
    ]


def watch(item):
    """A wait that nothing ends must fail the run, not hang it."""
    limit = ENDURANCE_LIMIT_S if item.get_closest_marker("endurance") else TEST_LIMIT_S
    faulthandler.dump_traceback_later(limit, exit=True, file=item.config.harness_stderr)


pytest_runtest_setup = watch
pytest_runtest_teardown = watch  # anew, because pytest forgets it after a failure


def pytest_runtest_logfinish():
    faulthandler.cancel_dump_traceback_later()


# --- queues --------------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    """Call for an address that no other queue has; the queue there at the end is removed."""
    given = []

    def fresh(*range_):
        given.append(kind.new_address(*range_))
        return given[-1]

    yield fresh
    for each in given:
        kind.remove_address(each)


@pytest.fixture
def address(fresh):
    """An address that no other queue has: a name or a key."""
    return fresh()


@pytest.fixture
def make(fresh):
    """Open a queue as the arguments say; under a new address and small if they say nothing."""
    kept = []

    def make(address=..., *args, cls=kind.Queue, **options):
        options = kind.OPTIONS | dict(zip(kind.OPTIONS, args, strict=False)) | options
        queue = cls(fresh() if address is ... else address, **options)
        kept.append(kind.keep(queue))
        return queue

    yield make
    for each in kept:
        kind.release(each)


@pytest.fixture
def q(make):
    """A queue with the default serializer."""
    return make()


@pytest.fixture
def raw(make):
    """A queue of bytes."""
    return make(serializer=kind.RawSerializer)


@pytest.fixture
def full(make):
    """A full queue of bytes: 16 bytes in one message."""
    queue = make(**kind.room(1, 16), serializer=kind.RawSerializer)
    queue.put(b"f" * 16)
    return queue


@pytest.fixture
def aq(make):
    """An awaitable queue that holds 4 messages."""
    queue = make(cls=AsyncQueue, **kind.room(4, 32), serializer=Padded)
    yield queue
    queue.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end, in a loop of each kind."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop

    def run(coroutine, limit=100):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, limit))

    return run


# --- others at work ------------------------------------------------------------------------------


@pytest.fixture
def spawn(tmp_path):
    """Start an unrelated Python process on a script: spawn(code, *args, **environment).

    It is killed at the end if it still runs.
    """
    children = []

    def spawn(code, *args, **env):
        script = tmp_path / f"script{len(children)}.py"
        children.append(Child(script, code, *args, **env))
        return children[-1]

    yield spawn
    for child in children:
        child.end()


@pytest.fixture
def isolated(spawn):
    """Like spawn, in an IPC namespace of its own; the test is skipped without."""
    return lambda code, *args, **env: spawn(f"isolate()\n{textwrap.dedent(code)}", *args, **env)


@pytest.fixture
def when_asleep():
    """As soon as the calling thread sleeps in a queue, do this in another thread."""
    running, over = [], threading.Event()

    def when_asleep(act):
        task = task_of()

        def watch():
            until(lambda: over.is_set() or is_asleep(task), "the test to sleep in a queue")
            return None if over.is_set() else act()

        running.append(Call(watch))
        return running[-1]

    yield when_asleep
    over.set()
    for watcher in running:
        watcher.result()


@pytest.fixture
def handler():
    """Install a Python signal handler, which is put back at the end."""
    before = {}

    def install(number, function, restart=False):
        old = signal.signal(number, function)
        before.setdefault(number, old)
        signal.siginterrupt(number, not restart)

    yield install
    for number, old in before.items():
        signal.signal(number, old)


def end_of(pid, limit):
    """The exit status of a child of fork, which is killed if it does not end."""
    ended = []

    def is_over():
        got, status = os.waitpid(pid, os.WNOHANG)
        ended.extend([status] * (got == pid))
        return ended

    try:
        until(is_over, "the forked child to end", limit)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(ended[0])


@pytest.fixture
def fork():
    """Run a function in a forked child and check that all is well there."""

    def fork(function, limit=WAIT_LIMIT_S):
        with warnings.catch_warnings():  # forking with threads is the point
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.alarm(int(limit))
                function()
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
            finally:
                os._exit(status)
        assert end_of(pid, limit) == 0, "the forked child failed"

    return fork


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory):
    """The environment of a process that has this C loaded first: preloaded(name, source)."""
    folder = tmp_path_factory.mktemp("preloaded")

    @functools.cache
    def preloaded(name, source):
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
def with_faults(preloaded, spawn, address):
    """Run a script that may call fail(number, errno) and fail_malloc(size)."""

    def with_faults(code):
        environment = preloaded("faults", faults.LIBRARY)
        return spawn(faults.SCRIPT + textwrap.dedent(code), address, **environment).finish()

    return with_faults
