"""for item in q: every item until the queue is closed or gone, and nothing else ends it."""

import errno
import json
import queue
import signal

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import growth
from harness.process import interrupt
from harness.serial import serializer_of
from harness.tasks import until
from kind import DecodeError, Queue, QueueError, RawSerializer

every_end = pytest.mark.parametrize("end", kind.ENDS)


class Oops(Exception):
    """What a handler or a serializer raises."""


def leave(q):
    getattr(q, kind.LEAVE)()


def test_a_queue_is_its_own_iterator(q):
    assert iter(q) is q


def test_next_gets_the_next_item(q):
    q.put_many(["first", "second"])
    assert next(q) == "first"
    assert next(q, "unused default") == "second"
    assert q.empty()


def test_next_waits_for_ever_and_never_raises_empty(q):
    waiting = Call(next, q).until_asleep()
    with pytest.raises(queue.Empty):
        q.get_nowait()
    waiting.until_asleep()
    q.put("at last")
    assert waiting.result() == "at last"


def test_an_item_of_none_ends_nothing(q):
    q.put(None)
    q.put("after")
    assert next(q) is None
    assert next(q) == "after"


def test_items_of_every_length_come(raw):
    for size in (0, 1, raw.maxmsgsize, 0, 100):
        raw.put(bytes(size))
        assert next(raw) == bytes(size)


# --- what ends it --------------------------------------------------------------------------------


@every_end
def test_iterating_gets_every_item_until_the_queue_ends(q, end):
    got = []
    reader = Call(lambda: [got.append(item) for item in q])
    for number in range(50):
        q.put(number)
    reader.until_asleep()
    getattr(q, end)()
    reader.result()
    assert got == list(range(50))


@every_end
def test_the_end_ends_every_iteration(q, end):
    readers = [Call(list, q).until_asleep() for _ in range(4)]
    getattr(q, end)()
    assert [reader.result() for reader in readers] == [[]] * 4


@every_end
def test_iterating_over_what_has_ended_yields_nothing(q, end):
    q.put("lost or left")
    getattr(q, end)()
    assert list(q) == []
    with pytest.raises(StopIteration):
        next(q)
    assert next(q, "default") == "default"


def test_leaving_in_the_body_ends_the_iteration_and_leaves_the_rest(make, address):
    q, other = make(address), make(address)
    other.put_many(range(4))
    got = []
    for item in q:
        got.append(item)
        if item == 1:
            leave(q)
    assert got == [0, 1]
    assert other.get_many() == [2, 3]


def test_leaving_with_ends_the_iteration(make):
    with make() as q:
        reader = Call(list, q).until_asleep()
    assert reader.result() == []


def test_an_iteration_that_races_with_leaving_loses_no_item(make, fresh):
    for number in range(100):
        q, other = make(address := fresh()), make(address)
        reader = Call(list, q)
        if number % 2:
            reader.until_asleep()
        putter = Call(other.put, "item")
        leave(q)
        putter.result()
        assert (reader.result() or [other.get_nowait()]) == ["item"]
        assert other.empty()
        kind.destroy(other)


# --- what does not -------------------------------------------------------------------------------


def test_iterating_over_what_was_never_opened_is_an_error():
    q = Queue.__new__(Queue)
    for call in (next, list):
        assert is_closed(refusal(call, q))


def test_an_interruption_comes_through_and_the_iteration_goes_on(q, handler, when_asleep):
    calls = []
    handler(signal.SIGUSR1, lambda *_: calls.append(1))
    when_asleep(interrupt)
    assert refusal(list, q).errno == QueueError.INTERRUPTED
    assert calls == [1]
    q.put("after")
    assert next(q) == "after"


def test_retry_goes_on_iterating(make, handler, when_asleep):
    q = make(on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: q.put("by the handler"))
    when_asleep(interrupt)
    assert next(q) == "by the handler"


@pytest.mark.parametrize(
    "error",
    [
        Oops(),
        OSError(errno.EBADF, "of a file of its own"),
        QueueError(QueueError.INVALID_DESCRIPTOR, "of another queue"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("closes", [False, True])
def test_what_a_handler_raises_comes_through(q, handler, when_asleep, error, closes):
    """Even where it says of something else that it is closed, and even when this one is, too."""

    def fail(*_):
        if closes:
            leave(q)
        raise error

    handler(signal.SIGUSR1, fail)
    when_asleep(interrupt)
    with pytest.raises(type(error)) as caught:
        next(q)
    assert caught.value is error
    if closes:
        assert list(q) == []


@every_end
def test_a_handler_that_ends_the_queue_ends_a_retrying_iteration(make, handler, when_asleep, end):
    q = make(on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: getattr(q, end)())
    when_asleep(interrupt)
    assert list(q) == []


def test_a_message_that_does_not_decode_does_not_end_it(make, address):
    raw, q = make(address, serializer=RawSerializer), make(address, serializer=json)
    raw.put_many([b"1", b"no json", b"2"])
    assert next(q) == 1
    with pytest.raises(DecodeError) as caught:
        for _ in q:
            pass
    assert caught.value.data == b"no json"
    assert next(q) == 2


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EBADF, "of its own"), QueueError(errno.EBADF), StopIteration(), Oops()],
    ids=repr,
)
@every_end
def test_a_message_refused_while_the_queue_ends_is_not_swallowed(make, error, end):
    """An OSError of the serializer's own is none of the queue's, even when it says EBADF."""

    def loads(data):
        getattr(q, end)()
        raise error

    q = make(serializer=serializer_of(loads=loads))
    q.put(b"not lost")
    with pytest.raises(DecodeError) as caught:
        next(q)
    assert caught.value.data == b"not lost"
    assert caught.value.__cause__ is error
    assert list(q) == []


@every_end
def test_an_item_received_while_the_queue_ends_is_not_lost(make, end):
    def loads(data):
        getattr(q, end)()
        return data

    q = make(serializer=serializer_of(loads=loads))
    q.put(b"last")
    assert list(q) == [b"last"]


# --- other callers -------------------------------------------------------------------------------


def test_a_subclass_that_gets_in_its_own_way_still_iterates(make):
    """next() does not go through get(), as iter(q.get, ...) would be there for that."""

    class Shouting(Queue):
        def get(self, *args, **kwargs):
            return super().get(*args, **kwargs).upper()

    q = make(cls=Shouting)
    q.put_many("xx")
    assert next(q) == "x"
    assert q.get() == "X"


def test_threads_share_the_iteration(q):
    readers = [Call(list, q) for _ in range(4)]
    for number in range(400):
        q.put(number)
    until(q.empty)
    for reader in readers:
        reader.until_asleep()
    q.close()
    got = [reader.result() for reader in readers]
    assert sorted(item for each in got for item in each) == list(range(400))
    for each in got:
        assert each == sorted(each)


def test_iterating_leaks_nothing(make, address):
    make(address)

    def work(times):
        for _ in range(times):
            q = Queue(address)
            q.put(1)
            assert next(q) == 1
            leave(q)
            assert list(q) == []
            with pytest.raises(StopIteration):
                next(q)

    blocks, memory = growth(work, 100)
    assert blocks < 50
    assert memory < 300_000
