"""Signals: handlers run, what they raise propagates, on_signal decides the rest."""

import ctypes
import mmap
import os
import queue as stdlib_queue
import signal
import sys
import threading
import time
import types

import pytest

from harness.calls import Call
from harness.measure import times_out
from harness.tasks import is_asleep, main_task, task_of, until, until_asleep
from sysvmq import QueueError

MAIN = threading.main_thread().ident


def interrupt(signum=signal.SIGUSR1):
    signal.pthread_kill(MAIN, signum)


@pytest.fixture(params=[False, True], ids=["EINTR", "SA_RESTART"])
def restart(request):
    return request.param


@pytest.fixture
def calls(handler, restart):
    """The signals that a handler of SIGUSR1 has seen."""
    seen = []
    handler(signal.SIGUSR1, lambda signum, frame: seen.append(signum), restart)
    return seen


@pytest.fixture(params=["get", "put", "timed get", "timed put"])
def way(request):
    return request.param


@pytest.fixture
def wait(make, raw, way):
    """A function that blocks that way on a queue with on_signal given."""

    def wait(on_signal, end=None):
        queue = make(max_bytes=16, serializer=raw.serializer, on_signal=on_signal)
        if "put" in way:
            queue.put(b"f" * 16)
        timeout = 200 if "timed" in way else None
        wait.queue = queue
        wait.unblock = (lambda: queue.get()) if "put" in way else lambda: queue.put(b"x")

        def call():
            if "put" in way:
                return queue.put(b"x", timeout=timeout)
            return queue.get(timeout=timeout)

        return call

    return wait


def test_raise_raises_interrupted_after_the_handler(wait, calls, when_asleep):
    call = wait("raise")
    size = wait.queue.qsize()
    when_asleep(interrupt)
    with pytest.raises(QueueError) as caught:
        call()
    assert caught.value.errno == QueueError.INTERRUPTED
    assert calls == [signal.SIGUSR1]
    assert wait.queue.qsize() == size


def test_raise_is_the_default(q, calls, when_asleep):
    when_asleep(interrupt)
    with pytest.raises(QueueError) as caught:
        q.get()
    assert caught.value.errno == QueueError.INTERRUPTED


def test_a_queue_goes_on_after_it_was_interrupted(wait, calls, when_asleep):
    call = wait("raise")
    for number in range(1, 6):
        when_asleep(interrupt)
        with pytest.raises(QueueError):
            call()
        assert len(calls) == number
    when_asleep(wait.unblock)
    call()


def test_retry_runs_the_handler_at_once_and_waits_on(wait, calls, when_asleep):
    call, task = wait("retry"), task_of()

    def disturb():
        for number in range(1, 4):
            interrupt()
            until(lambda: len(calls) == number, what="the handler")
            until_asleep(task)
        wait.unblock()

    when_asleep(disturb)
    assert call() in (None, b"x")
    assert len(calls) == 3


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_what_a_handler_raises_propagates(wait, handler, restart, when_asleep, on_signal):
    def raising(*_):
        raise ZeroDivisionError("from the handler")

    handler(signal.SIGUSR1, raising, restart)
    call = wait(on_signal)
    size = wait.queue.qsize()
    when_asleep(interrupt)
    with pytest.raises(ZeroDivisionError, match="from the handler"):
        call()
    assert wait.queue.qsize() == size


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_control_c_is_a_keyboard_interrupt(wait, handler, when_asleep, on_signal):
    handler(signal.SIGINT, signal.default_int_handler)
    call = wait(on_signal)
    when_asleep(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        call()


def test_control_c_ends_a_program_that_waits(spawn, key):
    child = spawn("Queue(int(args[0])).get()", key).until_asleep()
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == -signal.SIGINT


def test_sigterm_ends_a_program_that_waits(spawn, key):
    child = spawn("Queue(int(args[0]), on_signal='retry').get()", key).until_asleep()
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == -signal.SIGTERM


def test_a_timeout_is_not_restarted_by_signals(make, calls):
    """They come as long as it waits: were it restarted, it would never end."""
    queue = make(on_signal="retry")
    over = threading.Event()

    def disturb():
        while not over.wait(0.02):
            interrupt()

    noise = Call(disturb)
    try:
        while len(calls) <= 3:
            times_out(0.4, lambda: queue.get(timeout=0.4))
    finally:
        over.set()
        noise.result()


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
@pytest.mark.parametrize("timeout", [None, 200])
def test_other_threads_always_go_on(make, calls, on_signal, timeout):
    queue = make(on_signal=on_signal)
    waiter = Call(queue.get, timeout=timeout).until_asleep()
    for number in range(1, 4):
        signal.pthread_kill(waiter.ident, signal.SIGUSR1)
        until(lambda: len(calls) == number, what="the handler")
        waiter.until_asleep()
    queue.put("undisturbed")
    assert waiter.result() == "undisturbed"


def test_other_threads_go_on_while_they_put(full, calls):
    waiter = Call(full.put, b"second").until_asleep()
    signal.pthread_kill(waiter.ident, signal.SIGUSR1)
    until(lambda: calls, what="the handler")
    waiter.until_asleep()
    full.get()
    waiter.result()
    assert full.get() == b"second"


def test_a_signal_to_another_thread_leaves_its_timeout_alone(make, calls):
    queue = make()
    over, leave = threading.Event(), threading.Event()

    def wait():
        try:
            while len(calls) <= 3:
                times_out(0.4, lambda: queue.get(timeout=0.4))
        finally:
            over.set()
            leave.wait()  # no signal may be sent to a thread that has ended

    waiter = Call(wait)
    while not over.wait(0.02):
        signal.pthread_kill(waiter.ident, signal.SIGUSR1)
    leave.set()
    waiter.result()


def test_a_handler_may_use_the_queue_that_waits(make, handler, when_asleep, restart):
    queue = make(on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: queue.put("from the handler"), restart)
    when_asleep(interrupt)
    assert queue.get() == "from the handler"


def test_a_handler_may_take_the_message_away(make, handler, when_asleep, restart):
    queue = make(on_signal="retry")
    taken = []

    def take(*_):
        queue.put("first")
        taken.append(queue.get())
        queue.put("second")

    handler(signal.SIGUSR1, take, restart)
    when_asleep(interrupt)
    assert queue.get() == "second"
    assert taken == ["first"]


def test_a_handler_may_wait_on_the_queue_that_waits(make, handler, when_asleep, restart):
    queue = make(on_signal="retry")
    inner = []

    def nested(*_):
        with pytest.raises(stdlib_queue.Empty):
            queue.get(timeout=0.1)
        inner.append(True)
        queue.put("outer")

    handler(signal.SIGUSR1, nested, restart)
    when_asleep(interrupt)
    assert queue.get(timeout=200) == "outer"
    assert inner == [True]


@pytest.fixture
def signalled():
    """A function: make a call that waits so long; return whether a signal came in time."""

    def signalled(call, timeout):
        over, deadline = threading.Event(), time.monotonic() + timeout

        def shoot():
            until(lambda: over.is_set() or is_asleep(main_task()), what="the test to block")
            in_time = not over.is_set() and time.monotonic() < deadline
            if in_time:
                interrupt()
            return in_time

        shooter = Call(shoot)
        try:
            call(timeout=timeout)
        finally:
            over.set()
            in_time = shooter.result()
        return in_time

    return signalled


def test_a_timeout_survives_a_handler_that_waits_too(make, handler, signalled, restart):
    """It would be lost with the timeout of the handler's wait, and the wait never end."""
    queue = make(on_signal="retry")
    nested = []

    def wait(*_):
        with pytest.raises(stdlib_queue.Empty):
            queue.get(timeout=0.05)
        nested.append(1)

    def call(timeout):
        times_out(timeout, lambda: queue.get(timeout=timeout))

    handler(signal.SIGUSR1, wait, restart)
    assert any(signalled(call, timeout) for timeout in (0.2, 2, 20))
    assert nested


def test_a_handler_that_outlasts_the_timeout_ends_the_wait(make, handler, signalled, restart):
    """It would go on for ever otherwise."""
    queue = make(on_signal="retry")
    outlasted = []

    def outlast(*_):
        end = time.monotonic() + lasting
        while time.monotonic() < end:
            time.sleep(0.01)
        outlasted.append(1)

    def call(timeout):
        with pytest.raises(stdlib_queue.Empty):
            queue.get(timeout=timeout)

    handler(signal.SIGUSR1, outlast, restart)
    for lasting in (0.2, 2, 20):
        if signalled(call, lasting / 2):
            break
    assert outlasted


def test_ignored_signals_do_not_interrupt(q, handler, when_asleep):
    handler(signal.SIGUSR2, signal.SIG_IGN)
    task = task_of()

    def disturb():
        interrupt(signal.SIGUSR2)
        interrupt(signal.SIGURG)
        until_asleep(task)
        q.put("x")

    when_asleep(disturb)
    assert q.get() == "x"


@pytest.mark.parametrize("arguments", ["", "timeout=200"])
def test_a_stopped_process_waits_on_when_it_is_continued(spawn, make, key, arguments):
    """msgrcv fails with EINTR after SIGCONT though no handler has run, signal(7)."""
    queue = make(key)
    child = spawn(
        f"print(Queue(int(args[0]), on_signal='retry').get({arguments}))", key
    ).until_asleep()
    for _ in range(3):
        child.send_signal(signal.SIGSTOP)
        until(lambda: os.waitpid(child.pid, os.WUNTRACED | os.WNOHANG)[0], what="a stop")
        child.send_signal(signal.SIGCONT)
        child.until_asleep()
    queue.put("still there")
    assert child.finish() == "still there"


def test_a_signal_is_not_mistaken_for_a_timeout_nor_for_empty(make, calls, when_asleep):
    queue = make()
    for timeout in (None, 200, 9e9):
        when_asleep(interrupt)
        with pytest.raises(QueueError) as caught:
            queue.get(timeout=timeout)
        assert caught.value.errno == QueueError.INTERRUPTED


def test_calls_that_need_not_wait_are_not_interrupted(q, handler):
    """The handler runs, at the latest right after, and the work is done."""
    seen = []
    handler(signal.SIGUSR1, lambda *_: seen.append(1))
    for number in range(200):
        interrupt()
        q.put(number)
        interrupt()
        assert q.get() == number
    assert seen


SHOOTER = '''\
import mmap, random
key, path, rounds, reach, target = int(args[0]), args[1], int(args[2]), float(args[3]), os.getppid()
queue, lost = Queue(key), 0
with open(path, "r+b") as file:
    entered_handled = memoryview(mmap.mmap(file.fileno(), 8)).cast("I")

def sleeps_on():
    """Whether the signal is no longer on its way, and the target sleeps in the queue."""
    status = read(f"/proc/{target}/status").splitlines()
    pending = [int(line.split()[1], 16) for line in status if line[:7] in ("SigPnd:", "ShdPnd:")]
    return not any(pending) and is_asleep(f"/proc/{target}")

for number in range(rounds):
    while entered_handled[0] == number:
        os.sched_yield()
    end = time.perf_counter() + random.uniform(0, reach)
    while time.perf_counter() < end:
        pass
    os.kill(target, signal.SIGUSR1)
    while entered_handled[1] == number:
        if sleeps_on() and entered_handled[1] == number:
            lost += 1
            break
    queue.put(number)
print(lost)
'''


@pytest.mark.parametrize(("spin_us", "reach"), [(0, 20e-6), (None, 100e-6), (100, 200e-6)])
def test_a_signal_at_any_moment_runs_its_handler_at_once(
    make, handler, key, spawn, tmp_path, spin_us, reach
):
    """Shots in the dark around the entry into the wait.

    As in Python's own waits, there is an instant between the last look at the signals
    and the system call; all other moments must be safe.
    """
    queue, rounds, path = make(key, on_signal="retry", spin_us=spin_us), 120, tmp_path / "shared"
    path.write_bytes(bytes(8))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:

        def count(*_):
            memory[4:8] = (int.from_bytes(memory[4:8], sys.byteorder) + 1).to_bytes(
                4, sys.byteorder
            )

        handler(signal.SIGUSR1, count)
        shooter = spawn(SHOOTER, key, path, rounds, reach)
        for number in range(rounds):
            memory[0:4] = (number + 1).to_bytes(4, sys.byteorder)
            assert queue.get(timeout=200) == number
        assert int(shooter.finish()) <= rounds / 20
        assert int.from_bytes(memory[4:8], sys.byteorder) == rounds


@pytest.mark.parametrize("way", ["get", "receive", "get_many"])
def test_control_c_while_a_message_fails_to_decode_is_heard(make, way):
    """loads is C code, so that the handler runs only when the next Python code does."""
    interrupt_and_fail = ctypes.pythonapi["PyErr_SetInterrupt"]
    interrupt_and_fail.restype = bytes.fromhex  # a TypeError for any int
    serializer = types.SimpleNamespace(dumps=bytes, loads=interrupt_and_fail)
    q = make(serializer=serializer)
    q.put(b"precious")
    with pytest.raises(KeyboardInterrupt) as caught:
        getattr(q, way)()
    assert (caught.value.data, caught.value.msg_type) == (b"precious", 1)
    assert isinstance(caught.value.__context__, TypeError)
    assert q.empty()
