"""Fixtures of what holds for both kinds of queue: each test that asks for one runs on each.

Queues are small, unique and always removed; threads and processes that wait too long fail the run.
A busy machine may delay anything by any time, so no limit here is close: it ends what would never
come.
"""

import contextlib
import faulthandler
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from ipcqueue import posixmq, sysvmq

TEST_LIMIT_S = 300
WAIT_LIMIT_S = 60


def pytest_configure(config):
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        config.ipcqueue_stderr = os.dup(2)


def pytest_unconfigure(config):
    os.close(config.ipcqueue_stderr)


@pytest.fixture(autouse=True)
def watch(request):
    """A wait that nothing ends must fail the run, not hang it."""
    log = request.config.ipcqueue_stderr
    faulthandler.dump_traceback_later(TEST_LIMIT_S, exit=True, file=log)
    yield
    faulthandler.cancel_dump_traceback_later()


# --- queues --------------------------------------------------------------------------------------


class Posix:
    """POSIX queues, to which an address is a name."""

    name = "posixmq"
    module = posixmq

    @staticmethod
    def new_address():
        return f"/ipcqueue-test-{os.getpid()}-{secrets.token_hex(4)}"

    @staticmethod
    def bounded(address, items):
        """Open a queue that holds so many small integers."""
        return posixmq.Queue(address, items, 64)

    @staticmethod
    def open(address, **options):
        return posixmq.Queue(address, **{"maxsize": 4, "maxmsgsize": 2048, **options})

    @staticmethod
    def let_go(queue):
        queue.close()

    @staticmethod
    def remove(address):
        posixmq.unlink(address)


class SysV:
    """System V queues, to which an address is a key."""

    name = "sysvmq"
    module = sysvmq

    @staticmethod
    def new_address():
        return 0x40000000 + secrets.randbelow(0x3FFFFFFF)

    @staticmethod
    def bounded(address, items):
        """Open a queue that holds so many integers below 256, whose pickles have 3 bytes."""
        return sysvmq.Queue(address, 3 * items)

    @staticmethod
    def open(address, **options):
        return sysvmq.Queue(address, **options)

    @staticmethod
    def let_go(queue):
        queue.detach()

    @staticmethod
    def remove(address):
        sysvmq.Queue(address, create=False, serializer=sysvmq.RawSerializer).close()


FAMILIES = {family.name: family for family in (Posix, SysV)}


@pytest.fixture(params=FAMILIES)
def family(request):
    """Each kind of queue in turn."""
    return FAMILIES[request.param]


@pytest.fixture
def address(unique, family):
    """A name or a key that no other queue has."""
    return unique(family)


@pytest.fixture
def name(unique):
    """A name that no other POSIX queue has."""
    return unique(Posix)


@pytest.fixture
def unique():
    """Call for a name or key that no other queue has; what bears it at the end is removed."""
    given = []

    def unique(family):
        given.append((family, family.new_address()))
        return given[-1][1]

    yield unique
    for family, address in given:
        with contextlib.suppress(posixmq.QueueError, sysvmq.QueueError):
            family.remove(address)


@pytest.fixture
def make(family, unique):
    """Open a queue with these options, under a new address unless one is given."""
    made = []

    def make(address=None, **options):
        made.append(family.open(address or unique(family), **options))
        return made[-1]

    yield make
    for queue in made:
        family.let_go(queue)


@pytest.fixture
def bounded(family, unique):
    """Open a queue that holds just so many of the integers from 0 to 255."""
    made = []

    def bounded(items):
        made.append(family.bounded(unique(family), items))
        return made[-1]

    yield bounded
    for queue in made:
        family.let_go(queue)


# --- others at work ------------------------------------------------------------------------------


class Call:
    """A call in a thread of its own."""

    def __init__(self, function, *args, **kwargs):
        self._work = function, args, kwargs
        self.value = self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        function, args, kwargs = self._work
        try:
            self.value = function(*args, **kwargs)
        except BaseException as error:
            self.error = error

    def until_asleep(self):
        """Return when the thread sleeps, in a queue as far as anyone can tell from outside."""
        task = f"/proc/self/task/{self.thread.native_id}"
        wait_until(lambda: sleeps(task) or not self.thread.is_alive())
        assert self.thread.is_alive(), f"did not block: {self.value!r}, {self.error!r}"
        return self

    def result(self):
        """What the call returned; what it raised is raised."""
        self.thread.join(WAIT_LIMIT_S)
        assert not self.thread.is_alive(), f"still waiting after {WAIT_LIMIT_S} s"
        if self.error is not None:
            raise self.error
        return self.value


def sleeps(task):
    """Say whether a task of /proc sleeps in a call of either kind of queue (or in any, off x86)."""
    try:
        with open(f"{task}/syscall") as file:
            number = file.read().split()[0]
    except OSError:
        return False
    # x86-64, then arm64 and riscv64
    queue_calls = {"69", "70", "242", "243"} | {"188", "189", "182", "183"}
    return number in queue_calls


def wait_until(condition):
    """Return when condition() is true; fail when that takes too long."""
    end = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"not reached in {WAIT_LIMIT_S} s: {condition}"
        time.sleep(0.001)


@pytest.fixture
def background():
    """Start a call in a thread of its own."""
    return Call


@pytest.fixture
def until():
    """Wait for a condition."""
    return wait_until


@pytest.fixture
def asleep():
    """Say whether a task of /proc sleeps in a queue."""
    return sleeps


PRELUDE = """\
import json, logging, logging.handlers, os, queue, signal, sys, threading, time
from ipcqueue import posixmq, sysvmq


def open_queue(address, **options):
    if address.isdecimal():
        return sysvmq.Queue(int(address), create=False, **options)
    return posixmq.Queue(address, create=False, **options)


"""


@pytest.fixture
def start(tmp_path):
    """Start an unrelated process: a program by its path, or the text of a Python script."""
    started = []

    def start(program, *args, **env):
        if "\n" in str(program):
            script = tmp_path / f"script{len(started)}.py"
            script.write_text(PRELUDE + textwrap.dedent(program))
            program = script
        command = [sys.executable, "-I"] if str(program).endswith(".py") else []
        process = subprocess.Popen(
            [*command, str(program), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def finish():
    """Wait for the end of a process and return what it wrote; fail if it failed."""

    def finish(process):
        try:
            out, err = process.communicate(timeout=2 * WAIT_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}"
        return out

    return finish


@pytest.fixture
def run(start, finish):
    """Run a program or script to its end and return what it wrote."""
    return lambda program, *args, **env: finish(start(program, *args, **env))
