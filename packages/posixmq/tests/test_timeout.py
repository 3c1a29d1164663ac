"""Timeouts: on the monotonic clock, never early, late only by scheduling."""

import ctypes
import decimal
import fractions
import itertools
import os
import platform
import queue
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.calls import Call
from harness.measure import times_out
from harness.tasks import is_asleep, until


@pytest.fixture(params=["get", "put"])
def waiting(request, q, full):
    """A call that waits for its timeout: get on an empty queue, put on a full one."""
    if request.param == "get":
        return lambda timeout, block=True: q.get(block, timeout)
    return lambda timeout, block=True: full.put(b"x", block, timeout)


@pytest.mark.parametrize(
    "timeout", [1e-9, 1e-6, 0.00005, 0.0001, 0.0007, 0.001, 0.003, 0.01, 0.05, 0.3]
)
def test_a_timeout_is_never_early_and_late_only_by_scheduling(waiting, timeout):
    for _ in range(max(1, min(50, int(0.3 / timeout)))):
        times_out(timeout, lambda: waiting(timeout))


@pytest.mark.parametrize("spin_us", [0, 50, 1_000_000])
def test_the_spin_does_not_move_the_deadline(make, spin_us):
    q = make(spin_us=spin_us)
    for timeout in (0.00001, 0.001, 0.02, 0.1):
        times_out(timeout, lambda timeout=timeout: q.get(timeout=timeout))


def test_many_short_waits_in_a_row_are_each_in_time(q):
    for _ in range(200):
        times_out(0.002, lambda: q.get(timeout=0.002))


def test_a_deadline_that_comes_before_the_sleep_is_not_missed(spawn, name):
    """Timeouts so short that they end at any moment on the way into the system call."""
    spawn(
        """
        import faulthandler
        import random

        with Queue(sys.argv[1], 1, 64, spin_us=0) as q:
            q.unlink()
            for number in range(10_000):
                if number % 500 == 0:
                    faulthandler.dump_traceback_later(100, exit=True)  # a wait does not end
                timeout = random.uniform(1e-6, 3e-5)
                started = time.monotonic()
                try:
                    q.get(timeout=timeout)
                except queue.Empty:
                    assert time.monotonic() - started >= timeout
        """,
        name,
    ).finish()


class Index:
    def __index__(self):
        return 0


class Float:
    def __float__(self):
        return 0.01


@pytest.mark.parametrize(
    "timeout",
    [0, False, 0.0, -0.0, Index(), Float(), fractions.Fraction(1, 100), decimal.Decimal("0.01")],
    ids=repr,
)
def test_a_timeout_may_be_any_number(waiting, timeout):
    times_out(0, lambda: waiting(timeout))


def test_true_is_one_second(q):
    times_out(1, lambda: q.get(timeout=True))


def test_timeout_0_is_one_try(q, full):
    times_out(0, lambda: q.get(timeout=0))
    q.put("there")
    assert q.get(timeout=0) == "there"
    times_out(0, lambda: full.put(b"x", timeout=0))


@pytest.mark.parametrize("timeout", [1e9, 9223372036, 9223372036.0, 2**33], ids=repr)
def test_the_longest_timeouts_wait(make, timeout):
    q = make(maxsize=1)
    getter = Call(q.get, True, timeout).until_asleep()
    q.put("x")
    assert getter.result() == "x"
    q.put("first")
    putter = Call(q.put, "second", True, timeout).until_asleep()
    assert q.get() == "first"
    putter.result()
    assert q.get() == "second"


@pytest.mark.parametrize(
    "timeout", [-1, float("nan"), float("inf"), 10**400, "soon", object(), None], ids=str
)
def test_without_blocking_the_timeout_is_not_even_looked_at(waiting, timeout):
    times_out(0, lambda: waiting(timeout, False))


def test_a_message_ends_the_wait_before_its_time(make):
    q = make()
    getter = Call(q.get, timeout=100).until_asleep()
    q.put("x")
    assert getter.result() == "x"


def test_room_ends_the_wait_before_its_time(full):
    putter = Call(full.put, b"second", timeout=100).until_asleep()
    assert full.get() == b"f" * 16
    putter.result()
    assert full.get() == b"second"


def test_no_message_is_lost_when_it_meets_the_timeout(make):
    """A producer and a consumer whose timeouts are as long as the gaps between messages.

    They go on until enough has been received and enough waits have ended without a message.
    """
    q = make()
    enough = threading.Event()
    got, misses = [], 0

    def produce():
        for number in itertools.count():
            if enough.is_set():
                return number
            while True:
                try:
                    q.put(number, timeout=0.00005)
                    break
                except queue.Full:
                    pass
            if number % 3 == 0:
                time.sleep(0.00001 * (number % 10))

    producer = Call(produce)
    while producer.ended is None or not q.empty():
        try:
            got.append(q.get(timeout=0.00005))
        except queue.Empty:
            misses += 1
        if len(got) >= 5000 and misses >= 100:
            enough.set()
    assert got == list(range(producer.result()))


def test_threads_have_deadlines_of_their_own(q):
    timeouts = [0.4, 0.1, 0.3, 0.2]

    def work(timeout):
        times_out(timeout, lambda: q.get(timeout=timeout))

    for wait in [Call(work, timeout) for timeout in timeouts]:
        wait.result()


def test_a_deadline_of_an_earlier_call_does_not_end_a_later_one(q):
    over = threading.Event()

    def work():
        with pytest.raises(queue.Empty):
            q.get(timeout=0.01)
        over.set()
        return q.get()

    getter = Call(work)
    over.wait()
    getter.until_asleep()
    time.sleep(0.05)  # a deadline that is left over is told every millisecond
    getter.until_asleep()
    q.put("late")
    assert getter.result() == "late"


def test_signals_that_a_thread_blocks_do_not_block_its_deadline(q):
    def work():
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        times_out(0.1, lambda: q.get(timeout=0.1))
        return before == signal.pthread_sigmask(signal.SIG_BLOCK, [])

    assert Call(work).result(), "the mask is kept"


def test_where_the_system_has_no_timer_left_a_wait_fails_and_does_not_hang(spawn, name):
    spawn(
        """
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, hard))
        with Queue(sys.argv[1], 1, 64) as q:
            for call in lambda: q.get(timeout=0.1), lambda: q.put("second", timeout=0.1):
                try:
                    call()
                except (queue.Empty, queue.Full):
                    pass
                except QueueError as error:
                    assert error.errno == QueueError.NO_SYSTEM_RESOURCES, error
                if q.empty():
                    q.put("first")
            assert q.get() == "first"
            q.unlink()
        """,
        name,
    ).finish()


NUMBERS = {"x86_64": ("242", "243"), "aarch64": ("182", "183"), "riscv64": ("182", "183")}


@pytest.mark.parametrize("direction", ["get", "put"])
def test_the_kernel_is_given_no_deadline_on_the_wall_clock(q, full, direction):
    """mq_timedreceive(3) knows CLOCK_REALTIME alone: a step of that clock would move the end.

    While the call sleeps, the kernel shows its arguments: the timeout must not be there, or lie
    so far away that no step reaches it.
    """
    call = (
        (lambda: q.get(timeout=60)) if direction == "get" else (lambda: full.put(b"x", timeout=60))
    )
    waiter = Call(call).until_asleep()
    try:
        words = Path(waiter.task, "syscall").read_text().split()
    except OSError:
        pytest.skip("the kernel shows no arguments of system calls here")
    if words[0] not in NUMBERS.get(platform.machine(), ()):
        pytest.skip("unknown machine")
    pointer = int(words[5], 16)
    if pointer:
        seconds = ctypes.c_int64.from_address(pointer).value
        assert seconds > time.time() + 366 * 86400
    q.put("end")
    full.get()
    waiter.result()


def test_what_came_in_time_is_found_when_a_handler_ran_beyond_the_deadline(spawn, name):
    out = spawn(
        """
        def handler(*_):
            q.put("in time")
            put.append(time.monotonic())
            while time.monotonic() <= deadline:  # the handler shall outlast it
                time.sleep(0.01)

        def is_received(timeout):
            try:
                return q.get(timeout=timeout) == "in time"
            except queue.Empty:
                assert not put or put[0] > deadline - 0.1
                return False

        q = Queue(sys.argv[1], 1, 64, on_signal="retry")
        q.unlink()
        signal.signal(signal.SIGALRM, handler)
        for timeout in 0.2, 2, 20:  # the signal must come in time, too
            put = []
            deadline = time.monotonic() + timeout + 0.1
            signal.setitimer(signal.ITIMER_REAL, timeout / 4)
            if is_received(timeout):
                sys.exit()
            until(lambda: put)
            q.get()
        print("never in time")
        """,
        name,
    ).finish()
    if "never in time" in out:
        pytest.skip("too busy a machine: the signal was never in time")


def is_stopped(process):
    """Whether a child of this process is stopped, or has ended."""
    if process.poll() is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None


READER = """
timeout = float(sys.argv[2])
with Queue(sys.argv[1]) as q:
    print(time.monotonic() + timeout, flush=True)
    try:
        print(q.get(timeout=timeout))
    except queue.Empty:
        print("nothing")
"""


def test_what_came_in_time_while_the_process_was_stopped_is_received(spawn, make, name):
    q = make(name)
    for timeout in (0.4, 4, 40):  # it must be stopped and sent the message before its deadline
        reader = spawn(READER, name, timeout)
        deadline = float(reader.line())  # of a clock that all processes share
        task = f"/proc/{reader.pid}"
        until(lambda task=task, end=deadline: is_asleep(task) or time.monotonic() > end)
        slept = is_asleep(task)
        reader.send_signal(signal.SIGSTOP)
        until(lambda reader=reader: is_stopped(reader))
        q.put("in time")
        came_in_time = slept and time.monotonic() < deadline
        time.sleep(max(0.0, deadline + 0.2 - time.monotonic()))
        reader.send_signal(signal.SIGCONT)
        received = reader.finish()
        if came_in_time:
            assert received == "in time"
            return
        if received == "nothing":
            assert q.get() == "in time"
    pytest.skip("too busy a machine: the message was never in time")
