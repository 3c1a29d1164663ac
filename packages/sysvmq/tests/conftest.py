"""Fixtures: queues that are always removed, threads and processes seen asleep.

Nothing here sleeps and hopes. A test that needs a caller blocked looks at the
system call the kernel has it in (/proc/PID/task/TID/syscall) and goes on from there.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest

import sysvmq

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_RMID = 0
PATIENCE = 20.0  # seconds after which what should have happened is a failure
HANG = 90  # seconds after which a test is interrupted, more for those made longer on demand
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

PRELUDE = """\
import ctypes, os, queue, signal, sys, threading, time
import sysvmq
from sysvmq import Queue, QueueError, RawSerializer
args = sys.argv[1:]

def import_all():
    "Import what the package would import later: another user may be unable to read the files."
    import importlib, pkgutil, traceback
    for module in pkgutil.iter_modules(sysvmq.__path__):
        importlib.import_module("sysvmq." + module.name)

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


def wait_until(true, patience: float = PATIENCE, what: str = "") -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"still waiting for {what or true}"
        time.sleep(0.0005)


def switches(tid: int, pid: int | str = "self") -> int:
    """How often a thread has gone to sleep (voluntary context switches)."""
    for line in Path(f"/proc/{pid}/task/{tid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError("no voluntary_ctxt_switches in /proc")


def is_blocked(tid: int, pid: int | str = "self") -> bool:
    """Whether a thread sleeps inside msgsnd or msgrcv."""
    task = Path(f"/proc/{pid}/task/{tid}")
    if BLOCKING_CALLS:
        with contextlib.suppress(PermissionError, FileNotFoundError):
            # A call that does not wait may be there, too, stopped by a fault of a page (state D).
            return (task / "syscall").read_text().split()[0] in BLOCKING_CALLS and sleeps(task)
    before = switches(tid, pid)
    time.sleep(0.05)
    return sleeps(task) and switches(tid, pid) == before


def sleeps(task: Path) -> bool:
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "S"


def wait_blocked(tid: int, pid: int | str = "self") -> None:
    wait_until(lambda: is_blocked(tid, pid), what=f"thread {tid} to block in the queue")


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
