"""for item in q: every item until the queue is closed, and nothing else ends it."""

import json
import queue
import signal
import threading

import pytest

from harness.calls import Call
from harness.measure import growth
from harness.tasks import main_task, until, until_asleep
from posixmq import DecodeError, Queue, QueueError, RawSerializer


class Oops(Exception):
    """What a handler raises."""


def test_a_queue_is_its_own_iterator(q):
    assert iter(q) is q


def test_next_gets_the_next_item(q):
    q.put("low", priority=1)
    q.put("high", priority=2)
    assert next(q) == "high"
    assert next(q, "unused default") == "low"
    assert q.empty()


def test_next_waits(q):
    waiting = Call(next, q).until_asleep()
    q.put("at last")
    assert waiting.result() == "at last"


def test_an_item_of_none_ends_nothing(q):
    q.put(None)
    q.put("after")
    assert next(q) is None
    assert next(q) == "after"


def test_iterating_gets_every_item_until_close_in_another_thread(q):
    got = []
    reader = Call(lambda: [got.append(item) for item in q])
    for number in range(50):
        q.put(number)
    reader.until_asleep()
    q.close()
    reader.result()
    assert got == list(range(50))


def test_close_ends_every_iteration(q):
    readers = [Call(list, q).until_asleep() for _ in range(4)]
    q.close()
    for reader in readers:
        assert reader.result() == []


def test_close_in_the_body_ends_the_iteration(make, name):
    q, other = make(name), make(name)
    for number in range(4):
        other.put(number)
    got = []
    for item in q:
        got.append(item)
        if item == 1:
            q.close()
    assert got == [0, 1]
    assert other.qsize() == 2, "what was not asked for stays"


def test_iterating_over_a_closed_queue_yields_nothing(q):
    q.put("kept")
    q.close()
    assert list(q) == []
    with pytest.raises(StopIteration):
        next(q)
    assert next(q, "default") == "default"


def test_leaving_with_ends_the_iteration(name):
    with Queue(name, 2, 64) as q:
        reader = Call(list, q).until_asleep()
    assert reader.result() == []


def test_iterating_over_what_was_never_opened_is_an_error():
    q = Queue.__new__(Queue)
    with pytest.raises(QueueError) as caught:
        next(q)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    with pytest.raises(QueueError):
        list(q)


def test_iterating_over_a_queue_opened_for_writing_is_an_error_while_it_is_open(make):
    q = make(readable=False)
    with pytest.raises(QueueError) as caught:
        next(q)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    q.close()
    assert list(q) == []


def poke(then=None):
    main = threading.main_thread()

    def work():
        until_asleep(main_task())
        signal.pthread_kill(main.ident, signal.SIGUSR1)
        if then is not None:
            then()

    return Call(work)


@pytest.fixture
def handle():
    """Set the handler of SIGUSR1; put back at the end."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda action: signal.signal(signal.SIGUSR1, lambda *_: action())
    signal.signal(signal.SIGUSR1, before)


def test_an_interruption_comes_through_and_the_iteration_goes_on(q, handle):
    calls = []
    handle(lambda: calls.append(1))
    poker = poke()
    with pytest.raises(QueueError) as caught:
        for _ in q:
            pass
    poker.result()
    assert caught.value.errno == QueueError.INTERRUPTED
    assert calls == [1]
    q.put("after")
    assert next(q) == "after"


def test_retry_goes_on_iterating(make, handle):
    q = make(on_signal="retry")
    calls = []
    handle(lambda: calls.append(1))
    poker = poke(lambda: (until(lambda: calls), q.put("late")))
    assert next(q) == "late"
    poker.result()


def test_what_a_handler_raises_comes_through(q, handle):
    def fail():
        raise Oops

    handle(fail)
    poker = poke()
    with pytest.raises(Oops):
        next(q)
    poker.result()


@pytest.mark.parametrize("error", [Oops(), OSError(9, "of a file")], ids=["of its own", "EBADF"])
def test_what_a_handler_raises_after_it_closed_comes_through(q, handle, error):
    """The queue is closed then, but that is not what happened."""

    def fail():
        q.close()
        raise error

    handle(fail)
    poker = poke()
    with pytest.raises(type(error)) as caught:
        next(q)
    assert caught.value is error
    poker.result()
    assert list(q) == []


def test_a_handler_that_closes_ends_a_retrying_iteration(make, handle):
    q = make(on_signal="retry")
    handle(q.close)
    poker = poke()
    assert list(q) == []
    poker.result()


def test_a_message_that_does_not_decode_does_not_end_it(make, name):
    raw, q = make(name, serializer=RawSerializer), make(name, serializer=json)
    for data in (b"1", b"no json", b"2"):
        raw.put(data)
    got, refused = [], []
    while len(got) + len(refused) < 3:
        try:
            for item in q:
                got.append(item)
                if len(got) + len(refused) == 3:
                    break
        except DecodeError as error:
            refused.append(error.data)
    assert got == [1, 2]
    assert refused == [b"no json"]


@pytest.mark.parametrize(
    "error", [OSError(9, "of its own"), QueueError(9), StopIteration(), Oops()]
)
def test_a_message_refused_while_the_queue_closes_is_not_swallowed(make, error):
    """An OSError of the serializer's own is none of the queue's, even when it says EBADF."""

    class Closing:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            q.close()
            raise error

    q = make(serializer=Closing)
    q.put(b"not lost")
    with pytest.raises(DecodeError) as caught:
        next(q)
    assert caught.value.data == b"not lost"
    assert caught.value.__cause__ is error
    assert list(q) == []


def test_an_item_received_while_the_queue_closes_is_not_lost(make):
    class Closing:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            q.close()
            return data

    q = make(serializer=Closing)
    q.put(b"last")
    assert list(q) == [b"last"]


def test_an_iteration_that_races_with_close_loses_no_item(make, fresh):
    for number in range(100):
        q, other = make(name := fresh(), 2), make(name)
        reader = Call(list, q)
        if number % 2:
            reader.until_asleep()
        putter = Call(other.put, "item")
        q.close()
        putter.result()
        got = reader.result()
        if not got:
            assert other.get_nowait() == "item"
        else:
            assert got == ["item"]
            assert other.empty()
        other.close()
        other.unlink()


def test_a_subclass_that_gets_in_its_own_way_still_iterates(name):
    """next() does not go through get(), as iter(q.get, ...) would be there for that."""

    class Shouting(Queue):
        def get(self, *args, **kwargs):
            return super().get(*args, **kwargs).upper()

    with Shouting(name, 2, 64) as q:
        q.put("x")
        assert next(q) == "x"
        q.put("x")
        assert q.get() == "X"


def test_threads_share_the_iteration(make):
    q = make()
    readers = [Call(list, q) for _ in range(4)]
    for number in range(400):
        q.put(number)
    while not q.empty():
        pass
    for reader in readers:
        reader.until_asleep()
    q.close()
    got = [reader.result() for reader in readers]
    assert sorted(item for each in got for item in each) == list(range(400))
    for each in got:
        assert each == sorted(each)


def test_iterating_leaks_nothing(make, fresh):
    def work(times):
        for _ in range(times):
            with Queue(name, 2, 64) as q:
                q.put(1)
                assert next(q) == 1
                other = q
            assert list(other) == []
            with pytest.raises(StopIteration):
                next(other)

    name = fresh()
    make(name)
    blocks, memory = growth(work, 100)
    assert blocks < 100
    assert memory < 300_000


def test_queue_empty_is_never_raised_by_next(q):
    """It waits for ever: only close() ends it."""
    reader = Call(next, q).until_asleep()
    with pytest.raises(queue.Empty):
        q.get_nowait()
    reader.until_asleep()
    q.put(1)
    assert reader.result() == 1
