"""Code written for queue.Queue runs on kernel queues: the same answers to the same calls."""

import contextlib
import gc
import pickle
import queue
import random
import threading
import time
import weakref

import pytest

from ipcqueue import posixmq, sysvmq

SIZE = 5


def outcome(call):
    """What a call comes to: its value, or the class of the exception."""
    try:
        return call()
    except Exception as error:
        return type(error)


# Each is a little program for a queue of two items; what its calls come to is compared.
PROGRAMS = {
    "first in, first out": [
        lambda q: q.put(1),
        lambda q: q.put(2),
        lambda q: q.get(),
        lambda q: q.put(3),
        lambda q: q.get(),
        lambda q: q.get(),
    ],
    "a look at it": [
        lambda q: (q.empty(), q.qsize()),
        lambda q: q.put(1),
        lambda q: (q.empty(), q.qsize()),
        lambda q: q.put(2),
        lambda q: (q.empty(), q.qsize()),
    ],
    "every way not to wait for an item": [
        lambda q: q.get_nowait(),
        lambda q: q.get(False),
        lambda q: q.get(block=False),
        lambda q: q.get(0),
        lambda q: q.get(timeout=0),
        lambda q: q.get(timeout=0.01),
        lambda q: q.get(True, timeout=0.01),
        lambda q: q.qsize(),
    ],
    "every way not to wait for room": [
        lambda q: q.put(1),
        lambda q: q.put(2),
        lambda q: q.put_nowait(3),
        lambda q: q.put(3, False),
        lambda q: q.put(3, block=False),
        lambda q: q.put(3, 0),
        lambda q: q.put(3, timeout=0),
        lambda q: q.put(3, timeout=0.01),
        lambda q: q.put(3, True, timeout=0.01),
        lambda q: (q.qsize(), q.get(), q.get(), q.empty()),
    ],
    "negative timeouts": [
        lambda q: q.get(timeout=-1),
        lambda q: q.get(True, timeout=-0.001),
        lambda q: q.put(1, timeout=-1),
        lambda q: q.qsize(),
        lambda q: q.get(False, timeout=-1),
        lambda q: q.put(1, False, timeout=-1),
        lambda q: q.get(False, timeout=-1),
    ],
    "wrong arguments": [
        lambda q: q.put(),
        lambda q: q.put(1, nonsense=1),
        lambda q: q.put(1, timeout="soon"),
        lambda q: q.put_nowait(),
        lambda q: q.put_nowait(1, block=True),
        lambda q: q.get(nonsense=1),
        lambda q: q.get(timeout="soon"),
        lambda q: q.get_nowait(block=True),
        lambda q: q.qsize(1),
        lambda q: q.empty(1),
        lambda q: q.qsize(),
    ],
    "None is an item like any other": [
        lambda q: q.put(None),
        lambda q: (q.empty(), q.qsize()),
        lambda q: q.get(),
        lambda q: q.empty(),
    ],
    "a queue goes on after it was full and empty": 3
    * [
        lambda q: [q.put(1), q.put(2), outcome(lambda: q.put_nowait(3))],
        lambda q: [q.get(), q.get(), outcome(q.get_nowait)],
    ],
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_same_calls_come_to_the_same(bounded, program):
    theirs, ours = queue.Queue(2), bounded(2)
    expected = [outcome(lambda: call(theirs)) for call in program]
    assert [outcome(lambda: call(ours)) for call in program] == expected


def test_put_and_get_take_block_and_timeout_by_position_where_documented():
    """So do the POSIX ones; after block a System V queue takes the message type."""
    from_position = "the timeout is the third of put, the second of get"
    with posixmq.Queue.anonymous(1, 64) as q:
        q.put(1, True, 0.01)
        assert outcome(lambda: q.put(2, True, 0.01)) is queue.Full, from_position
        assert q.get(True, 0.01) == 1
        assert outcome(lambda: q.get(True, 0.01)) is queue.Empty, from_position
    with sysvmq.Queue() as q:
        q.put(1, True, 10)
        assert outcome(lambda: q.get(False, 9)) is queue.Empty
        assert q.get(False, 10) == 1


def test_a_posix_queue_tells_when_it_is_full():
    with posixmq.Queue.anonymous(2, 64) as q:
        assert (q.maxsize, q.full()) == (2, False)
        q.put(1)
        assert not q.full()
        q.put(2)
        assert q.full()
        assert q.qsize() == q.maxsize
        q.get()
        assert not q.full()


def test_a_system_v_queue_cannot_tell_whether_it_is_full():
    """Its room is in bytes: what is full for one message is not for a shorter one."""
    assert not hasattr(sysvmq.Queue, "full")
    with sysvmq.Queue(max_bytes=32, serializer=sysvmq.RawSerializer) as q:
        q.put(b"x" * 20)
        assert outcome(lambda: q.put_nowait(b"y" * 20)) is queue.Full
        q.put_nowait(b"z" * 12)
        assert outcome(lambda: q.put_nowait(b"!")) is queue.Full


@pytest.mark.parametrize("method", ["task_done", "join", "shutdown", "mutex"])
def test_what_needs_a_count_or_a_lock_in_one_process_is_not_there(family, method):
    """Users of the interface, such as QueueListener, look for it with hasattr()."""
    assert not hasattr(family.module.Queue, method)


# --- waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 200])
def test_a_full_queue_and_an_empty_one_block_until_another_thread_comes(
    bounded, background, timeout
):
    q = bounded(SIZE)
    for _ in range(2):  # the same object serves again
        for number in range(SIZE):
            q.put(number)
        waiting = background(q.put, 99, timeout=timeout).until_asleep()
        assert q.get() == 0
        assert waiting.result() is None
        assert [q.get() for _ in range(SIZE)] == [1, 2, 3, 4, 99]
        waiting = background(q.get, timeout=timeout).until_asleep()
        q.put(7)
        assert waiting.result() == 7
        assert q.empty()


@pytest.mark.parametrize("timeout", [0.02, 0.1])
@pytest.mark.parametrize("way", ["get", "put"])
def test_a_timeout_is_not_early_and_not_much_later_than_that_of_queue_queue(
    bounded, until, way, timeout
):
    def taken(q):
        start = time.monotonic()
        with pytest.raises((queue.Empty, queue.Full)):
            q.get(timeout=timeout) if way == "get" else q.put(1, timeout=timeout)
        return time.monotonic() - start

    theirs, ours = queue.Queue(1), bounded(1)
    if way == "put":
        theirs.put(0)
        ours.put(0)

    def as_good():  # at times other programs delay one of them
        allowed, took = taken(theirs) + 0.05, taken(ours)
        assert took >= timeout
        return took < allowed

    until(as_good)


def test_an_item_that_cannot_be_put_leaves_the_queue_as_it_was(bounded, background):
    """It fails at once, in a full queue as well: nothing waits for room that it cannot use."""
    q = bounded(2)
    q.put(1)
    for _ in range(2):
        with pytest.raises((TypeError, pickle.PicklingError)):
            q.put(threading.Lock())
    q.put(2)
    with pytest.raises((TypeError, pickle.PicklingError)):
        q.put(threading.Lock(), timeout=200)
    waiting = background(q.put, 3).until_asleep()
    assert [q.get(), q.get(), q.get()] == [1, 2, 3]
    waiting.result()
    assert q.empty()


# --- many at once --------------------------------------------------------------------------------


def feed(q, items, seed):
    chance = random.Random(seed)
    while True:
        try:
            item = items.pop()
        except IndexError:
            return q.put(None)
        q.put(item)
        if chance.random() > 0.5:
            time.sleep(chance.random() * 1e-3)


def take_blocking(q):
    return q.get()


def take_trying(q):
    while True:
        with contextlib.suppress(queue.Empty):
            return q.get_nowait()
        time.sleep(1e-5)


def take_timing_out(q):
    while True:
        with contextlib.suppress(queue.Empty):
            return q.get(timeout=1e-5)


def consume(q, take):
    return list(iter(lambda: take(q), None))


@pytest.mark.parametrize("take", [take_blocking, take_trying, take_timing_out])
@pytest.mark.parametrize("threads", [1, 20])
def test_everything_fed_is_consumed_once(bounded, background, take, threads):
    q, items = bounded(SIZE), [number % 256 for number in range(600)]
    feeders = [background(feed, q, items, seed) for seed in range(threads)]
    expected = [number % 256 for number in range(600)][::-1]
    consumers = [background(consume, q, take) for _ in range(threads)]
    consumed = [item for consumer in consumers for item in consumer.result()]
    for feeder in feeders:
        feeder.result()
    if threads > 1:
        consumed, expected = sorted(consumed), sorted(expected)
    assert consumed == expected
    assert q.empty()


def test_a_queue_keeps_no_item_alive(make):
    class Item:
        def __reduce__(self):
            return dict, ()

    q = make()
    for _ in range(4):
        item = Item()
        gone = weakref.ref(item)
        q.put(item)
        del item
        assert gone() is None
    item = make(serializer=Keeping)
    item.put("x")
    gone = weakref.ref(item.get())
    assert gone() is None


class Kept:
    """Something that a weak reference can be made to."""


class Keeping:
    @staticmethod
    def dumps(obj):
        return b"kept"

    @staticmethod
    def loads(data):
        return Kept()


def test_a_destructor_may_put_at_any_moment(make):
    """The collector may run it in the middle of another call on the same queue."""
    q, count, overflowed = make(), iter(range(10**6)), []

    class Cycle:
        def __init__(self):
            self.self = self

        def __del__(self):
            try:
                q.put_nowait(next(count))
            except queue.Full:
                overflowed.append(True)

    got, before = [], gc.get_threshold()
    gc.set_threshold(10)
    try:
        while len(got) < 3000:
            Cycle()
            with contextlib.suppress(queue.Full):
                q.put_nowait(next(count))
            while not q.empty():
                got.append(q.get())
    finally:
        gc.set_threshold(*before)
        gc.collect()
    while not q.empty():
        got.append(q.get())
    assert len(set(got)) == len(got)
    assert len(got) > 3000


# --- in the place of other things ----------------------------------------------------------------


def test_contextlib_closing_closes(make):
    with contextlib.closing(make()) as q:
        q.put(1)
        assert q.get() == 1
    assert q.closed
    with pytest.raises(OSError):
        q.put(2)


def test_closing_a_queue_frees_who_waits_in_it(make, background):
    """What shutdown() is to queue.Queue from Python 3.13 on; see the tests of the packages."""
    q = make()
    waiting = background(q.get).until_asleep()
    q.close()
    with pytest.raises(OSError):
        waiting.result()


def test_queues_of_both_kinds_can_be_annotated_like_queue_queue(family):
    assert family.module.Queue[int] is not None
