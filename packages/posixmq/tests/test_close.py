"""close() wakes whoever waits on the object and never touches a descriptor of somebody else."""

import contextlib
import os
import queue
import signal
import threading
import time

import pytest

from harness.calls import Call
from harness.measure import in_time
from harness.process import descriptors
from harness.tasks import main_task, until_asleep, until_spinning
from posixmq import Queue, QueueError, RawSerializer

SOON_S = 1  # 50 ms are promised


def is_closed(error):
    return isinstance(error, QueueError) and error.errno == QueueError.INVALID_DESCRIPTOR


@pytest.mark.parametrize("timeout", [None, 100])
@pytest.mark.parametrize("spin_us", [None, 0])
def test_close_wakes_a_waiting_get(make, timeout, spin_us):
    def attempt():
        q = make(spin_us=spin_us)
        getter = Call(q.get, timeout=timeout).until_asleep()
        started = time.monotonic()
        q.close()
        assert is_closed(getter.failure())
        return getter.ended - started

    in_time(attempt, SOON_S)


@pytest.mark.parametrize("timeout", [None, 100])
def test_close_wakes_a_waiting_put(make, timeout):
    def attempt():
        q = make(maxsize=1)
        q.put("first")
        putter = Call(q.put, "second", timeout=timeout).until_asleep()
        started = time.monotonic()
        q.close()
        assert is_closed(putter.failure())
        with Queue(q.name) as again:
            assert [again.get(), again.qsize()] == ["first", 0]
        return putter.ended - started

    in_time(attempt, SOON_S)


def test_close_wakes_every_thread_and_returns_itself(make, name):
    def attempt():
        q = make(name)
        getters = [Call(q.get, timeout=t).until_asleep() for t in (None, 100) * 8]
        started = time.monotonic()
        q.close()
        ended = [time.monotonic()]
        for getter in getters:
            assert is_closed(getter.failure())
            ended.append(getter.ended)
        assert descriptors(name) == []
        return max(ended) - started

    in_time(attempt, SOON_S)


def test_leaving_with_wakes_waiting_threads(name):
    with Queue(name, 1, 16) as q:
        getter = Call(q.get).until_asleep()
    assert is_closed(getter.failure())


def test_close_is_noticed_during_the_spin(make):
    def attempt():
        q = make(spin_us=1_000_000)
        started = time.monotonic()
        getter = Call(q.get)
        until_spinning(getter)
        q.close()
        assert is_closed(getter.failure())
        return getter.ended - started

    in_time(attempt, 1)  # it spins so long


def test_other_objects_on_the_same_queue_wait_on(make, name):
    one, other = make(name), make(name)
    gone, stays = Call(one.get).until_asleep(), Call(other.get).until_asleep()
    one.close()
    assert is_closed(gone.failure())
    stays.until_asleep()
    other.put("for the one who stays")
    assert stays.result() == "for the one who stays"


def test_close_at_any_moment_of_a_call_ends_it(fresh):
    """The closing thread does not wait for the other to sleep: every moment has its turn."""
    for number in range(300):
        with Queue(fresh(), 1, 64) as q:
            timeout = None if number % 2 else 100
            if number % 3:
                call = Call(q.get, timeout=timeout)
            else:
                q.put("first")
                call = Call(q.put, "second", timeout=timeout)
            if number % 5:
                time.sleep(0.0001 * (number % 5))
            q.close()
            assert is_closed(call.failure())
            q.unlink()


def test_threads_that_close_at_once_close_once(fresh):
    """Of many close() only one may close, and none the descriptor that comes next."""
    for _ in range(50):
        q = Queue(fresh(), 1, 16)
        start = threading.Barrier(4)
        opened = []

        def close(q=q, start=start, opened=opened):
            start.wait()
            q.close()
            opened.append(os.open(os.devnull, os.O_RDONLY))

        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(opened)) == 4
        for descriptor in opened:
            os.fstat(descriptor)
            os.close(descriptor)
        q.unlink()


@pytest.mark.parametrize("timeout", [None, 100])
def test_a_reused_descriptor_is_never_touched(fresh, timeout):
    """Threads use A without pause; A is closed, and B takes its number at once."""
    name_a, name_b = fresh(), fresh()
    keep_a, keep_b = (Queue(name, 2, 64, serializer=RawSerializer) for name in (name_a, name_b))
    with keep_a, keep_b:
        for number in range(150):
            a = Queue(name_a, serializer=RawSerializer)

            def put(a=a):
                while True:
                    a.put(b"for A", timeout=timeout)

            def get(a=a):
                while True:
                    assert a.get(timeout=timeout) == b"for A"

            calls = [Call(call) for call in ((put, get, get), (put, put, get))[number % 2]]
            if number % 3:
                time.sleep(0.0002 * (number % 3))
            a.close()
            with Queue(name_b, serializer=RawSerializer) as b:
                b.put(b"for B")
                for call in calls:
                    assert is_closed(call.failure())
                assert b.get_nowait() == b"for B"
                assert b.empty()


@pytest.mark.parametrize("how", ["get", "put"])
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_signal_handler_may_close_the_queue_that_waits(make, how, on_signal):
    q = make(maxsize=1, on_signal=on_signal)
    if how == "put":
        q.put("first")
    task = main_task()

    def poke():
        until_asleep(task)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: q.close())
    try:
        poker = Call(poke)
        with pytest.raises(QueueError) as caught:
            q.get() if how == "get" else q.put("second")
        poker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    # Both things happened: the wait was interrupted, and its queue is closed.
    allowed = {QueueError.INVALID_DESCRIPTOR}
    if on_signal == "raise":
        allowed.add(QueueError.INTERRUPTED)
    assert caught.value.errno in allowed
    assert q.closed


def test_a_signal_handler_may_close_while_other_threads_wait(make):
    q = make()
    getters = [Call(q.get).until_asleep() for _ in range(3)]
    before = signal.signal(signal.SIGUSR1, lambda *_: q.close())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    for getter in getters:
        assert is_closed(getter.failure())


def test_a_handler_that_closes_and_opens_something_else_misleads_nobody(make, fresh):
    """The number of the closed descriptor now belongs to another queue, and the object is anew."""
    q = make(on_signal="retry", serializer=RawSerializer)
    bystander, anew = fresh(), fresh()
    task = main_task()
    opened = []

    def handler(*_):
        q.close()
        opened.append(make(bystander, serializer=RawSerializer))
        opened[0].put(b"not for q")
        with contextlib.suppress(RuntimeError):  # it may well refuse to be opened anew
            q.__init__(anew, 2, 64, on_signal="retry", serializer=RawSerializer)
            q.put(b"for q")

    def poke():
        until_asleep(task)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        poker = Call(poke)
        try:
            assert q.get(timeout=60) == b"for q"
        except QueueError as error:
            assert is_closed(error)
        poker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert opened[0].get_nowait() == b"not for q"


def test_close_lets_the_other_threads_of_the_program_run(make):
    """close() waits for those inside without the GIL, or they could never leave."""
    q = make()
    getters = [Call(q.get).until_asleep() for _ in range(4)]
    closer = Call(q.close)
    closer.result()
    for getter in getters:
        assert is_closed(getter.failure())


def test_a_call_that_loses_the_race_with_close_loses_no_message(fresh):
    """Either get() returns the message or the message is still there."""
    for number in range(200):
        name = fresh()
        with Queue(name, 1, 64) as q, Queue(name) as other:
            getter = Call(q.get, timeout=100)
            if number % 2:
                getter.until_asleep()
            closer = Call(q.close)
            other.put("message")
            closer.result()
            try:
                assert getter.result() == "message"
                assert other.empty()
            except QueueError as error:
                assert is_closed(error)
                assert other.get_nowait() == "message"
            other.unlink()


def test_close_needs_no_signal_of_its_own_where_nobody_waits(spawn, name):
    spawn(
        """
        before = caught_signals()
        with Queue(sys.argv[1], 1, 16) as q:
            q.unlink()
        assert caught_signals() == before
        """,
        name,
    ).finish()


def test_getting_from_a_queue_closed_before_the_wait_ends_at_once(q):
    q.close()
    with pytest.raises(QueueError) as caught:
        q.get(timeout=100)
    assert is_closed(caught.value)
    with pytest.raises(QueueError):
        q.put(1, timeout=100)
    with pytest.raises((QueueError, queue.Empty)):
        q.get(timeout=0)
