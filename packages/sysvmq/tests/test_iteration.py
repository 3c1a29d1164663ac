"""for item in q: every item until the queue is closed or removed, and nothing else ends it."""

import errno
import json
import signal
import threading
from queue import Empty

import pytest

from harness.calls import Call
from harness.tasks import until
from kind import kernel_limit, remove_id
from sysvmq import DecodeError, Queue, QueueError, RawSerializer


class Oops(Exception):
    """What a handler raises."""


def test_a_queue_is_its_own_iterator(q):
    assert iter(q) is q


def test_next_gets_the_oldest_item_of_any_type(q):
    q.put("first", msg_type=9)
    q.put("second", msg_type=1)
    assert next(q) == "first"
    assert next(q, "unused default") == "second"
    assert q.empty()


def test_next_waits(q):
    waiting = Call(next, q).until_asleep()
    q.put("at last")
    assert waiting.result() == "at last"


def test_next_waits_for_ever_and_never_raises_empty(q):
    waiting = Call(next, q).until_asleep()
    with pytest.raises(Empty):
        q.get_nowait()
    waiting.until_asleep()
    q.put(1)
    assert waiting.result() == 1


def test_an_item_of_none_ends_nothing(q):
    q.put(None)
    q.put("after")
    assert next(q) is None
    assert next(q) == "after"


def test_items_of_every_length_come(raw):
    sizes = [0, 1, kernel_limit("msgmax"), 0, 100]
    for size in sizes[:3]:
        raw.put(bytes(size))
    got = [next(raw) for _ in range(3)]
    for size in sizes[3:]:
        raw.put(bytes(size))
    assert [len(item) for item in [*got, next(raw), next(raw)]] == sizes


# ------------------------------------------------------------------- what ends it


@pytest.fixture(params=["close", "detach", "removed by another", "removed by another process"])
def end(request, make, spawn):
    """A function that ends a queue, one way or another."""

    def end(queue):
        if request.param == "removed by another":
            remove_id(queue.id)
        elif request.param == "removed by another process":
            spawn("sysvmq.remove(int(args[0]))", queue.id).finish()
        else:
            getattr(queue, request.param)()

    return end


def test_iterating_gets_every_item_until_the_queue_ends(q, end):
    got = []
    reader = Call(lambda: [got.append(item) for item in q])
    for number in range(50):
        q.put(number)
    reader.until_asleep()
    end(q)
    reader.result()
    assert got == list(range(50))


def test_the_end_ends_every_iteration(q, end):
    readers = [Call(list, q).until_asleep() for _ in range(4)]
    end(q)
    assert [reader.result() for reader in readers] == [[]] * 4


def test_iterating_over_what_has_ended_yields_nothing(q, end):
    q.put("lost or left")
    end(q)
    assert list(q) == []
    with pytest.raises(StopIteration):
        next(q)
    assert next(q, "default") == "default"


def test_detach_in_the_body_ends_the_iteration_and_leaves_the_rest(make, key):
    q, other = make(key), make(key)
    other.put_many(range(4))
    got = []
    for item in q:
        got.append(item)
        if item == 1:
            q.detach()
    assert got == [0, 1]
    assert other.get_many() == [2, 3]


def test_leaving_with_ends_the_iteration(make):
    with make() as q:
        reader = Call(list, q).until_asleep()
    assert reader.result() == []


def test_a_queue_of_this_key_that_is_made_anew_is_another(make, key):
    q = make(key)
    reader = Call(list, q).until_asleep()
    remove_id(q.id)
    make(key).put("for others")
    assert reader.result() == []
    assert list(q) == []


# ---------------------------------------------------------------- what does not


def test_iterating_over_what_was_never_opened_is_an_error():
    q = Queue.__new__(Queue)
    for call in (lambda: next(q), lambda: list(q)):
        with pytest.raises(QueueError) as caught:
            call()
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def poke(when_asleep):
    main = threading.main_thread().ident
    return when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))


def test_an_interruption_comes_through_and_the_iteration_goes_on(q, handler, when_asleep):
    calls = []
    handler(signal.SIGUSR1, lambda *_: calls.append(1))
    poke(when_asleep)
    with pytest.raises(QueueError) as caught:
        for _ in q:
            pass
    assert caught.value.errno == QueueError.INTERRUPTED
    assert calls == [1]
    q.put("after")
    assert next(q) == "after"


def test_retry_goes_on_iterating(make, handler, when_asleep):
    q = make(on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: q.put("by the handler"))
    poke(when_asleep)
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
            q.detach()
        raise error

    handler(signal.SIGUSR1, fail)
    poke(when_asleep)
    with pytest.raises(type(error)) as caught:
        next(q)
    assert caught.value is error


def test_a_handler_that_closes_ends_a_retrying_iteration(make, handler, when_asleep):
    q = make(on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: q.close())
    poke(when_asleep)
    assert list(q) == []


def test_a_message_that_does_not_decode_does_not_end_it(make, key):
    raw, q = make(key, serializer=RawSerializer), make(key, serializer=json)
    raw.put_many([b"1", b"no json", b"2"])
    assert next(q) == 1
    with pytest.raises(DecodeError) as caught:
        next(q)
    assert caught.value.data == b"no json"
    assert next(q) == 2


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EBADF, "of its own"), QueueError(9), StopIteration(), Oops()],
    ids=repr,
)
@pytest.mark.parametrize("closing", ["close", "detach"])
def test_a_message_refused_while_the_queue_closes_is_not_swallowed(make, error, closing):
    class Closing:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            getattr(q, closing)()
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


def test_an_iteration_that_races_with_detach_loses_no_item(make, fresh):
    for number in range(60):
        key = fresh()
        q, other = make(key), make(key)
        reader = Call(list, q)
        if number % 2:
            reader.until_asleep()
        putter = Call(other.put, "item")
        q.detach()
        putter.result()
        got = reader.result()
        assert got + ([] if got else [other.get_nowait()]) == ["item"]
        assert other.empty()
        other.close()


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
