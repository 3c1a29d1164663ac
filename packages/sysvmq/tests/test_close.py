"""close and detach wake whoever is blocked, in this process and in others."""

import signal
import threading
import time

import pytest

from harness.calls import Call
from harness.measure import in_time
from kind import kernel_row, remove_id
from sysvmq import QueueError, RawSerializer

# Who is not woken waits for ever, so most tests here do not look at the time.


def is_gone(outcome):
    return isinstance(outcome, QueueError) and outcome.errno == QueueError.INVALID_DESCRIPTOR


@pytest.fixture(params=["get", "put", "timed get", "timed put", "typed get"])
def way(request):
    return request.param


@pytest.fixture
def block(make, way):
    """A function: a call that blocks that way on an opener of the queue."""

    def call(queue):
        timeout = 200 if "timed" in way else None
        if "put" in way:
            return lambda: queue.put(b"x", timeout=timeout)
        return lambda: queue.get(msg_type=7 * ("typed" in way), timeout=timeout)

    return call


@pytest.fixture
def stuck(make, way):
    """A queue on which that way blocks."""
    queue = make(max_bytes=16, serializer=RawSerializer)
    if "put" in way or "typed" in way:
        queue.put(b"f" * 16)
    return queue


@pytest.mark.parametrize("end", ["close", "detach"])
def test_every_thread_blocked_on_the_object_wakes(stuck, block, end):
    waiters = [Call(block(stuck)).until_asleep() for _ in range(5)]
    getattr(stuck, end)()
    for waiter in waiters:
        assert is_gone(waiter.outcome())


def test_leaving_the_with_block_wakes_threads_too(make, key):
    with make(key) as queue:
        waiter = Call(queue.get).until_asleep()
    assert is_gone(waiter.outcome())


@pytest.mark.parametrize("end", ["close", "detach"])
@pytest.mark.parametrize("timeout", [None, 100])
def test_threads_wake_within_50_ms_when_the_machine_lets_them(make, end, timeout):
    def attempt():
        queue = make()
        waiters = [Call(queue.get, timeout=timeout).until_asleep() for _ in range(5)]
        start = time.monotonic()
        getattr(queue, end)()
        assert all(is_gone(waiter.outcome()) for waiter in waiters)
        return max(waiter.ended for waiter in waiters) - start

    in_time(attempt, 0.05)


def test_detach_leaves_the_queue_to_others(stuck, block, make):
    other = make(stuck.key, serializer=RawSerializer)
    mine, theirs = Call(block(stuck)).until_asleep(), Call(block(other)).until_asleep()
    stuck.detach()
    assert is_gone(mine.outcome())
    assert kernel_row(other.id)
    theirs.until_asleep()
    assert theirs.is_alive()
    other.close()
    assert is_gone(theirs.outcome())


def test_detach_loses_no_message_to_the_threads_it_wakes(make, key):
    """Each message goes to a waiter that returns it or stays in the queue."""
    keeper, total = make(key), 0
    for _ in range(100):
        queue = make(key)
        waiters = [Call(queue.get) for _ in range(3)]
        feeder = Call(keeper.put, "x")
        queue.detach()
        feeder.result()
        outcomes = [waiter.outcome() for waiter in waiters]
        got = sum(outcome == "x" for outcome in outcomes)
        assert all(outcome == "x" or is_gone(outcome) for outcome in outcomes)
        assert got + keeper.qsize() == 1
        total += got
        if not keeper.empty():
            keeper.get()


def test_detach_at_any_moment_wakes(make, key):
    """Around the entry into the wait, where a single signal would be lost."""
    make(key)
    for number in range(500):
        queue, entered = make(key, spin_us=None if number % 4 == 0 else 0), []

        def wait(queue=queue, entered=entered):
            entered.append(True)
            return queue.get()

        waiter = Call(wait)
        while not entered:
            time.sleep(0)
        end = time.perf_counter() + (number % 30 * 5e-6 if number % 2 else number % 31 * 2e-7)
        while time.perf_counter() < end:
            pass
        queue.detach()
        assert is_gone(waiter.outcome())


def test_detach_at_any_moment_wakes_a_timed_wait(make, key):
    make(key)
    for number in range(200):
        queue = make(key)
        waiter = Call(queue.get, timeout=200)
        end = time.perf_counter() + number % 30 * 5e-6
        while time.perf_counter() < end:
            pass
        queue.detach()
        assert is_gone(waiter.outcome())


def test_close_wakes_other_objects_of_the_queue(stuck, block, make):
    waiter = Call(block(make(stuck.key, serializer=RawSerializer))).until_asleep()
    stuck.close()
    assert is_gone(waiter.outcome())


WAITER = """\
queue = Queue(int(args[0]), serializer=RawSerializer)
timeout = 200 if "timed" in args[1] else None
try:
    if "put" in args[1]:
        queue.put(b"x", timeout=timeout)
    else:
        queue.get(msg_type=7 * ("typed" in args[1]), timeout=timeout)
except QueueError as error:
    print(error.errno == QueueError.INVALID_DESCRIPTOR, error.msg)
    queue.close()
"""


def test_close_wakes_other_processes(stuck, way, spawn):
    children = [spawn(WAITER, stuck.key, way).until_asleep() for _ in range(2)]
    stuck.close()
    for child in children:
        assert child.finish().startswith("True")


def test_a_queue_removed_by_another_process_wakes_its_callers(stuck, block, spawn):
    waiter = Call(block(stuck)).until_asleep()
    spawn("Queue(int(args[0])).close()", stuck.key).finish()
    assert is_gone(waiter.outcome())
    stuck.close()


def test_a_queue_removed_by_another_program_wakes_its_callers(stuck, block, when_asleep):
    when_asleep(lambda: remove_id(stuck.id))
    with pytest.raises(QueueError) as caught:
        block(stuck)()
    assert is_gone(caught.value)


def test_close_of_a_queue_already_removed_is_quiet_and_wakes(stuck):
    remove_id(stuck.id)
    stuck.close()
    assert stuck.closed


@pytest.mark.parametrize("end", ["close", "detach"])
def test_a_signal_handler_may_end_the_queue_that_waits(make, handler, when_asleep, end):
    queue = make(on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: getattr(queue, end)())
    main = threading.main_thread().ident
    when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        queue.get()
    assert is_gone(caught.value)
    assert queue.closed
    assert bool(kernel_row(queue.id)) == (end == "detach")


def test_a_signal_handler_may_close_the_queue_that_waits_by_default(q, handler, when_asleep):
    handler(signal.SIGUSR1, lambda *_: q.close())
    main = threading.main_thread().ident
    when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        q.get()
    assert caught.value.errno in (QueueError.INVALID_DESCRIPTOR, QueueError.INTERRUPTED)
    assert q.closed


def test_many_threads_may_close_at_once(make):
    for _ in range(50):
        queue = make()
        waiters = [Call(queue.get).until_asleep() for _ in range(2)]
        closers = [Call(queue.close) for _ in range(4)]
        for closer in closers:
            closer.result()
        assert all(is_gone(waiter.outcome()) for waiter in waiters)


def test_closing_while_threads_work_never_harms(make):
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
        end = time.perf_counter() + number * 100e-6
        while time.perf_counter() < end:
            pass
        (queue.close if number % 2 else queue.detach)()
        for worker in workers:
            outcome = worker.outcome()
            assert is_gone(outcome), outcome


def test_a_newer_queue_is_never_touched_by_calls_of_an_older_one(make, key):
    """A queue removed and made anew under busy callers: they all stay out of it."""
    for _ in range(40):
        old = make(key)
        waiters = [Call(old.get) for _ in range(3)]
        old.close()
        newer = make(key)
        newer.put("for the new one")
        for waiter in waiters:
            assert is_gone(waiter.outcome())
        assert newer.get_nowait() == "for the new one"
        newer.close()


def test_the_last_reference_may_go_while_a_thread_waits(make, key):
    keeper, queue = make(key), make(key)
    waiter = Call(queue.get).until_asleep()
    del queue
    keeper.put("x")
    assert waiter.result() == "x"
