"""Ending a handle wakes whoever waits on it, and touches nothing of anybody else.

Who is not woken waits for ever, so most tests here do not look at the time.
"""

import os
import queue as stdlib_queue
import signal
import threading
import time

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed
from harness.measure import in_time
from harness.process import descriptors
from harness.tasks import until_spinning
from harness.ways import WAYS, end_wait, make_stuck, wait
from kind import Queue, QueueError

SOON_S = 0.05  # what is promised

every_way = pytest.mark.parametrize("way", WAYS)
every_end = pytest.mark.parametrize("end", kind.ENDS)


def leave(queue):
    getattr(queue, kind.LEAVE)()


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


def pass_time(seconds):
    """Be busy: no sleep is so short."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@every_way
@every_end
@pytest.mark.parametrize("spin_us", [None, 0])
def test_every_thread_that_waits_on_the_object_wakes_soon(make, fresh, way, end, spin_us):
    def attempt():
        address, before = fresh(), descriptors()
        queue = make_stuck(make, way, address, spin_us=spin_us)
        size = queue.qsize()
        waiters = [Call(wait, queue, way).until_asleep() for _ in range(6)]
        started = time.monotonic()
        getattr(queue, end)()
        ended = [time.monotonic()]
        for waiter in waiters:
            assert is_closed(waiter.failure())
            ended.append(waiter.ended)
        assert descriptors() == before
        if end == kind.LEAVE:
            with Queue(address, create=False) as again:
                assert again.qsize() == size
        return max(ended) - started

    in_time(attempt, SOON_S)


def test_leaving_with_wakes_waiting_threads(make, address):
    with make(address) as queue:
        waiter = Call(queue.get).until_asleep()
    assert is_closed(waiter.failure())


@every_end
def test_the_end_is_noticed_during_the_spin(make, end):
    def attempt():
        queue = make(spin_us=1_000_000)
        started = time.monotonic()
        getter = Call(queue.get)
        until_spinning(getter)
        getattr(queue, end)()
        assert is_closed(getter.failure())
        return getter.ended - started

    in_time(attempt, 1)  # it spins so long


@every_way
def test_leaving_lets_other_objects_of_the_queue_wait_on(make, address, way):
    mine, other = make_stuck(make, way, address), make(address, serializer=kind.RawSerializer)
    gone, stays = Call(wait, mine, way).until_asleep(), Call(wait, other, way).until_asleep()
    leave(mine)
    assert is_closed(gone.failure())
    assert kind.exists(address)
    stays.until_asleep()
    end_wait(other, way)
    assert stays.result() in (None, b"x")


@every_end
def test_the_end_lets_the_other_threads_of_the_program_run(make, end):
    """It waits for those inside without the GIL, or they could never leave."""
    queue = make()
    getters = [Call(queue.get).until_asleep() for _ in range(4)]
    Call(getattr(queue, end)).result()
    for getter in getters:
        assert is_closed(getter.failure())


@pytest.mark.parametrize("timeout", [None, 200])
@pytest.mark.parametrize("way", ["get", "put"])
def test_leaving_at_any_moment_ends_a_call(make, fresh, way, timeout):
    """Around the entry into the wait, where a single signal would be lost."""
    address = fresh()
    make_stuck(make, way, address)
    for number in range(250):
        queue = Queue(
            address, spin_us=None if number % 4 == 0 else 0, serializer=kind.RawSerializer
        )
        entered = threading.Event()

        def call(queue=queue, entered=entered):
            entered.set()
            return wait(queue, f"timed {way}" if timeout else way, timeout)

        waiter = Call(call)
        if number % 3:
            entered.wait()
        pass_time(number % 30 * 5e-6 if number % 2 else number % 31 * 2e-7)
        leave(queue)
        assert is_closed(waiter.failure())


def test_a_call_that_loses_the_race_with_leaving_loses_no_message(make, address):
    """A message goes to a waiter that returns it, or it stays in the queue."""
    keeper = make(address)
    for number in range(200):
        queue = Queue(address, create=False)
        waiters = [Call(queue.get, timeout=timeout) for timeout in (None, 100, None)]
        if number % 2:
            for waiter in waiters:
                waiter.until_asleep()
        leaver = Call(leave, queue)
        keeper.put("x")
        leaver.result()
        outcomes = [waiter.outcome() for waiter in waiters]
        assert all(outcome == "x" or is_closed(outcome) for outcome in outcomes)
        assert outcomes.count("x") + keeper.qsize() == 1
        while not keeper.empty():
            assert keeper.get_nowait() == "x"


def test_threads_that_close_at_once_close_once(make):
    """Of many close() only one may close, and none the descriptor that comes next."""
    for _ in range(50):
        queue = make()
        waiters = [Call(queue.get).until_asleep() for _ in range(2)]
        start = threading.Barrier(4)

        def close(queue=queue, start=start):
            start.wait()
            queue.close()
            return os.open(os.devnull, os.O_RDONLY)

        opened = [closer.result() for closer in [Call(close) for _ in range(4)]]
        assert len(set(opened)) == 4
        for descriptor in opened:
            os.fstat(descriptor)
            os.close(descriptor)
        assert all(is_closed(waiter.outcome()) for waiter in waiters)


def test_ending_while_threads_work_never_harms(make):
    """Every call works, or the queue is gone; nothing else, whatever the moment."""

    def work(queue, go):
        go.wait()
        try:
            while True:
                queue.put("x", timeout=0.01)
                queue.get(timeout=0.01)
                queue.qsize()
        except QueueError as error:
            return error

    for number in range(16):
        queue, go = make(), threading.Event()
        workers = [Call(work, queue, go) for _ in range(4)]
        go.set()
        pass_time(number * 100e-6)
        getattr(queue, kind.ENDS[number % len(kind.ENDS)])()
        for worker in workers:
            outcome = worker.outcome()
            assert is_closed(outcome), outcome


def test_a_newer_queue_is_never_touched_by_calls_of_an_older_one(make, address):
    """A queue removed and made anew under busy callers: they all stay out of it."""
    for _ in range(40):
        old = make(address)
        waiters = [Call(old.get) for _ in range(3)]
        kind.destroy(old)
        newer = make(address)
        newer.put("for the new one")
        for waiter in waiters:
            assert is_closed(waiter.failure())
        assert newer.get_nowait() == "for the new one"
        kind.destroy(newer)


# --- signal handlers -----------------------------------------------------------------------------------


@every_end
@pytest.mark.parametrize("way", ["get", "put"])
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_signal_handler_may_end_the_queue_that_waits(
    make, address, handler, when_asleep, way, on_signal, end
):
    queue = make_stuck(make, way, address, on_signal=on_signal)
    handler(signal.SIGUSR1, lambda *_: getattr(queue, end)())
    when_asleep(interrupt)
    with pytest.raises(QueueError) as caught:
        wait(queue, way)
    # Both things happened: the wait was interrupted, and its queue is closed.
    allowed = {QueueError.INVALID_DESCRIPTOR}
    if on_signal == "raise":
        allowed.add(QueueError.INTERRUPTED)
    assert caught.value.errno in allowed
    assert queue.closed
    assert kind.exists(address) == (end == kind.LEAVE)


@every_end
def test_a_signal_handler_may_end_the_queue_while_other_threads_wait(make, handler, end):
    queue = make()
    getters = [Call(queue.get).until_asleep() for _ in range(3)]
    handler(signal.SIGUSR1, lambda *_: getattr(queue, end)())
    signal.raise_signal(signal.SIGUSR1)
    for getter in getters:
        assert is_closed(getter.failure())


def test_no_signal_is_claimed_where_nobody_waits(spawn, address):
    spawn(
        """
        before = caught_signals()
        with Queue(address()):
            pass
        assert caught_signals() == before
        """,
        address,
    ).finish()


@every_end
def test_waiting_on_a_queue_that_was_closed_before_ends_at_once(q, end):
    getattr(q, end)()
    for call in (lambda: q.get(timeout=100), lambda: q.put(1, timeout=100)):
        with pytest.raises(QueueError) as caught:
            call()
        assert is_closed(caught.value)
    with pytest.raises((QueueError, stdlib_queue.Empty)):
        q.get(timeout=0)
