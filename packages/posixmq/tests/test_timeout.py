"""Timeouts: on the monotonic clock, never early, late only by scheduling."""

import ctypes
import decimal
import fractions
import os
import platform
import queue
import signal
import time
from pathlib import Path

import pytest

LATE = 2.0  # what a busy machine may add


def time_of(call, *args, **kwargs):
    started = time.monotonic()
    with pytest.raises((queue.Empty, queue.Full)):
        call(*args, **kwargs)
    return time.monotonic() - started


@pytest.fixture(params=["get", "put"])
def waiting(request, q, full):
    """A call that waits for its timeout: get on an empty queue, put on a full one."""
    if request.param == "get":
        return lambda timeout, block=True: q.get(block, timeout)
    return lambda timeout, block=True: full.put("x", block, timeout)


@pytest.mark.parametrize(
    "timeout", [1e-9, 1e-6, 0.00005, 0.0001, 0.0007, 0.001, 0.003, 0.01, 0.05, 0.3]
)
def test_a_timeout_is_never_early_and_late_only_by_scheduling(waiting, timeout):
    for _ in range(max(1, min(50, int(0.3 / timeout)))):
        assert timeout <= time_of(waiting, timeout) < timeout + LATE


@pytest.mark.parametrize("spin_us", [0, 50, 1_000_000])
def test_the_spin_does_not_move_the_deadline(make, spin_us):
    q = make(spin_us=spin_us)
    for timeout in (0.00001, 0.001, 0.02, 0.1):
        assert timeout <= time_of(q.get, timeout=timeout) < timeout + LATE


def test_many_short_waits_in_a_row_are_each_in_time(q):
    started = time.monotonic()
    for _ in range(200):
        time_of(q.get, timeout=0.002)
    assert 0.4 <= time.monotonic() - started < 0.4 + 3 * LATE


def test_a_deadline_that_comes_before_the_sleep_is_not_missed(run_script, name):
    """Timeouts so short that they end at any moment on the way into the system call."""
    run_script(
        """
        import faulthandler
        import random

        faulthandler.dump_traceback_later(30, exit=True)
        with Queue(sys.argv[1], 1, 64, spin_us=0) as q:
            q.unlink()
            for _ in range(20_000):
                timeout = random.uniform(1e-6, 3e-5)
                started = time.monotonic()
                try:
                    q.get(timeout=timeout)
                except queue.Empty:
                    assert time.monotonic() - started >= timeout
        """,
        name,
    )


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
    assert time_of(waiting, timeout) < LATE


def test_true_is_one_second(q):
    assert 1 <= time_of(q.get, timeout=True) < 1 + LATE


def test_timeout_0_is_one_try(q, full):
    assert time_of(q.get, timeout=0) < LATE
    q.put("there")
    assert q.get(timeout=0) == "there"
    assert time_of(full.put, "x", timeout=0) < LATE


@pytest.mark.parametrize("timeout", [1e9, 9223372036, 9223372036.0, 2**33], ids=repr)
def test_the_longest_timeouts_wait(make, background, timeout):
    q = make(maxsize=1)
    getter = background(q.get, True, timeout).until_asleep()
    q.put("x")
    assert getter.result() == "x"
    q.put("first")
    putter = background(q.put, "second", True, timeout).until_asleep()
    assert q.get() == "first"
    putter.result()
    assert q.get() == "second"


@pytest.mark.parametrize(
    "timeout", [-1, float("nan"), float("inf"), 10**400, "soon", object(), None], ids=str
)
def test_without_blocking_the_timeout_is_not_even_looked_at(waiting, timeout):
    assert time_of(waiting, timeout, False) < LATE


def test_a_message_ends_the_wait_before_its_time(make, background):
    q = make()
    getter = background(q.get, timeout=100).until_asleep()
    q.put("x")
    assert getter.result(10) == "x"


def test_room_ends_the_wait_before_its_time(full, background):
    putter = background(full.put, "second", timeout=100).until_asleep()
    assert full.get() == "first"
    putter.result(10)
    assert full.get() == "second"


def test_no_message_is_lost_when_it_meets_the_timeout(make, background):
    """A producer and a consumer whose timeouts are as long as the gaps between messages."""
    q = make()
    count, got, misses = 20_000, [], 0

    def produce():
        for number in range(count):
            while True:
                try:
                    q.put(number, timeout=0.00005)
                    break
                except queue.Full:
                    pass
            if number % 3 == 0:
                time.sleep(0.00005)

    producer = background(produce)
    end = time.monotonic() + 60
    while len(got) < count and time.monotonic() < end:
        try:
            got.append(q.get(timeout=0.00005))
        except queue.Empty:
            misses += 1
    producer.result()
    assert got == list(range(count))
    assert misses > 0
    assert q.empty()


def test_threads_have_deadlines_of_their_own(q, background):
    timeouts = [0.4, 0.1, 0.3, 0.2]
    waits = [background(time_of, q.get, timeout=timeout) for timeout in timeouts]
    for timeout, wait in zip(timeouts, waits, strict=True):
        assert timeout <= wait.result() < timeout + LATE


def test_a_deadline_of_an_earlier_call_does_not_end_a_later_one(q, background):
    def work():
        time_of(q.get, timeout=0.01)
        return q.get()

    getter = background(work)
    time.sleep(0.05)
    getter.until_asleep()
    time.sleep(0.05)
    getter.until_asleep()
    q.put("late")
    assert getter.result() == "late"


def test_signals_that_a_thread_blocks_do_not_block_its_deadline(q, background):
    import signal

    def work():
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        waited = time_of(q.get, timeout=0.1)
        return waited, before == signal.pthread_sigmask(signal.SIG_BLOCK, [])

    waited, mask_kept = background(work).result()
    assert 0.1 <= waited < 0.1 + LATE
    assert mask_kept


def test_where_the_system_has_no_timer_left_a_wait_fails_and_does_not_hang(run_script, name):
    run_script(
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
    )


NUMBERS = {"x86_64": ("242", "243"), "aarch64": ("182", "183"), "riscv64": ("182", "183")}


@pytest.mark.parametrize("direction", ["get", "put"])
def test_the_kernel_is_given_no_deadline_on_the_wall_clock(q, full, background, direction):
    """mq_timedreceive(3) knows CLOCK_REALTIME alone: a step of that clock would move the end.

    While the call sleeps, the kernel shows its arguments: the timeout must not be there, or lie
    so far away that no step reaches it.
    """
    call = (lambda: q.get(timeout=60)) if direction == "get" else (lambda: full.put(1, timeout=60))
    waiter = background(call).until_asleep()
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
    waiter.thread.join(10)


def test_what_came_in_time_is_found_when_a_handler_ran_beyond_the_deadline(run_script, name):
    run_script(
        """
        def handler(*_):
            q.put("in time")
            time.sleep(0.3)  # beyond the deadline, which is the point

        q = Queue(sys.argv[1], 1, 64, on_signal="retry")
        q.unlink()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert q.get(timeout=0.2) == "in time"
        q.close()
        """,
        name,
    )


def test_what_came_in_time_while_the_process_was_stopped_is_received(
    start_script, finish, processes_asleep, until, make, name
):
    q = make(name)
    reader = start_script(
        """
        with Queue(sys.argv[1]) as q:
            print(q.get(timeout=0.4))
        """,
        name,
    )
    processes_asleep(reader)
    reader.send_signal(signal.SIGSTOP)
    until(lambda: os.waitid(os.P_PID, reader.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG))
    q.put("in time")
    time.sleep(0.6)
    reader.send_signal(signal.SIGCONT)
    assert finish(reader) == "in time\n"
