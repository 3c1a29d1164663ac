"""put_many and get_many: whole batches inside C, in order, with every message accounted for."""

import collections
import contextlib
import copy
import ctypes
import json
import os
import pickle
import signal
import sys
import threading
import time
from queue import Empty, Full

import pytest

from harness.calls import Call
from harness.measure import growth, in_time, times_out
from harness.tasks import until
from kind import kernel_limit, remove_id
from sysvmq import DecodeError, Queue, QueueError, RawSerializer

MESSAGES = int(os.environ.get("SYSVMQ_TEST_MESSAGES", "12000"))
LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1


def drain(queue):
    """What is in the queue now."""
    got = []
    with contextlib.suppress(Empty):
        while True:
            got.append(queue.get_nowait())
    return got


class Picky:
    """A serializer of bytes that refuses some of them."""

    @staticmethod
    def dumps(obj):
        return obj

    @staticmethod
    def loads(data):
        if data.startswith(b"bad"):
            raise ValueError(data)
        return data


@pytest.fixture
def small(make):
    """A function: a queue of bytes with room for so many messages of one byte each."""
    return lambda size, key=..., **options: make(key, size, serializer=RawSerializer, **options)


def letters(number):
    """So many messages of one byte each."""
    return [bytes([97 + place % 26]) for place in range(number)]


# ------------------------------------------------------------- what goes, and in which order

ITERABLES = {
    "a list": lambda: ["a", "b", "c"],
    "a tuple": lambda: ("a", "b", "c"),
    "a str": lambda: "abc",
    "a generator": lambda: (letter for letter in "abc"),
    "an iterator": lambda: iter("abc"),
    "the keys of a dict": lambda: {"a": 1, "b": 2, "c": 3},
    "a deque": lambda: collections.deque("abc"),
}


@pytest.mark.parametrize("items", ITERABLES.values(), ids=ITERABLES)
def test_put_many_takes_any_iterable_and_keeps_its_order(q, items):
    assert q.put_many(items()) == 3
    assert drain(q) == ["a", "b", "c"]


def test_get_many_takes_what_is_there_in_order(q):
    for number in range(3):
        q.put(number)
    got = q.get_many()
    assert type(got) is list
    assert got == [0, 1, 2]
    assert q.empty()


def test_a_batch_of_nothing_is_nothing(q, full):
    for queue in (q, full):
        size = queue.qsize()
        assert queue.put_many([]) == 0
        assert queue.put_many(iter(()), timeout=0) == 0
        assert queue.put_many((), block=False) == 0
        assert queue.qsize() == size


@pytest.mark.parametrize("kind", [1, 2, 2**31 - 1, min(2**31, LONG_MAX), LONG_MAX])
def test_all_of_a_batch_have_the_type(q, kind):
    q.put_many("ab", msg_type=kind)
    assert [q.receive() for _ in "ab"] == [("a", kind), ("b", kind)]


def test_all_of_a_batch_are_of_type_1_unless_told_otherwise(q):
    q.put_many("ab")
    assert [q.receive().msg_type for _ in "ab"] == [1, 1]


@pytest.fixture
def types(q):
    for number, kind in enumerate((5, 3, 5, 9, 4, 3)):
        q.put(f"{number} of {kind}", msg_type=kind)
    return q


def test_get_many_takes_any_type_by_age(types):
    assert [item[0] for item in types.get_many()] == list("012345")


def test_get_many_takes_one_type(types):
    assert types.get_many(msg_type=5) == ["0 of 5", "2 of 5"]
    assert types.get_many(None, True, 3) == ["1 of 3", "5 of 3"]
    with pytest.raises(Empty):
        types.get_many(msg_type=5, block=False)
    assert drain(types) == ["3 of 9", "4 of 4"]


def test_get_many_takes_the_lowest_types_first(types):
    assert types.get_many(msg_type=-4) == ["1 of 3", "5 of 3", "4 of 4"]
    assert types.get_many(msg_type=-LONG_MAX) == ["0 of 5", "2 of 5", "3 of 9"]


def test_get_many_takes_any_type_but_one(types):
    assert types.get_many(msg_type=3, exclude=True) == ["0 of 5", "2 of 5", "3 of 9", "4 of 4"]
    with pytest.raises(Empty):
        types.get_many(msg_type=3, exclude=True, timeout=0.01)
    assert types.get_many(msg_type=5, exclude=True) == ["1 of 3", "5 of 3"]


def test_get_many_waits_for_its_types_alone(types):
    one = Call(types.get_many, msg_type=7).until_asleep()
    types.put("for it", msg_type=7)
    assert one.result() == ["for it"]
    types.get_many(msg_type=5, exclude=True)
    other = Call(types.get_many, msg_type=5, exclude=True).until_asleep()
    types.put("not for it", msg_type=5)
    other.until_asleep()
    types.put("for it", msg_type=LONG_MAX)
    assert other.result() == ["for it"]


def test_every_parameter_of_a_batch_may_be_given_by_place_or_keyword(make, key):
    q, raw = make(key), make(key, serializer=RawSerializer)
    assert q.put_many(["x"], True, 7, 4, timeout=1) == 1
    assert q.put_many(items=["y"], block=True, timeout=1, msg_type=7, pickle_protocol=4) == 1
    assert raw.get_many(msg_type=7) == [pickle.dumps("x", 4), pickle.dumps("y", 4)]
    q.put_many("xy")
    assert q.get_many(1, True, 1, timeout=1, exclude=False) == ["x"]
    assert q.get_many(max_items=1, block=True, msg_type=1, timeout=1, exclude=0) == ["y"]


@pytest.mark.parametrize("serializer", [None, RawSerializer, json, Picky])
def test_batches_use_the_serializer(make, serializer):
    q = make(serializer=serializer)
    items = [b"a", b"", b"c"] if serializer in (RawSerializer, Picky) else ["a", [], {"c": 1}]
    assert q.put_many(items) == 3
    assert q.get_many() == items


def test_messages_of_every_length_keep_their_place_in_a_batch(raw):
    for start in range(0, 200, 9):
        items = [bytes([65 + number]) * ((start + number * 31) % 130) for number in range(9)]
        assert raw.put_many(items) == 9
        assert raw.get_many() == items


@pytest.mark.parametrize("empty", ["bytes", "a bytearray"])
def test_messages_of_no_bytes_count(raw, empty):
    items = [b"" if empty == "bytes" else bytearray()] * 50
    assert raw.put_many(items) == 50
    assert raw.get_many() == [b""] * 50


def test_the_longest_messages_that_are_allowed_go_in_a_batch(raw):
    size = kernel_limit("msgmax")
    items = [bytes([number]) * size for number in range(kernel_limit("msgmnb") // size)]
    assert raw.put_many(items) == len(items)
    assert raw.get_many() == items


def test_messages_longer_than_any_buffer_to_start_with_are_received_whole(isolated):
    """Where kernel.msgmax is higher, the kernel keeps what does not fit until there is room."""
    code = """\
for name in ("msgmax", "msgmnb"):
    with open("/proc/sys/kernel/" + name, "w") as file:
        file.write("2000000")
queue = Queue(serializer=RawSerializer)
items = [bytes([n]) * n * 9973 for n in (1, 0, 2, 33, 1, 5, 67, 0, 3)]
for _ in range(3):
    assert queue.put_many(items) == 9
    assert queue.get_many() == items
    assert queue.put_many(items) == 9
    assert queue.get_many(3) + queue.get_many(9) == items
reader = threading.Thread(target=lambda: got.extend(queue.get_many()))
got = []
reader.start()
queue.put(items[6])
reader.join()
assert got == [items[6]]
queue.close()
"""
    isolated(code).finish()


def test_a_batch_may_hold_one_object_many_times(raw):
    buffer = bytearray(b"again")
    assert raw.put_many([buffer] * 4) == 4
    buffer.extend(b": nobody holds it")
    assert raw.get_many() == [b"again"] * 4


def test_raw_holds_the_buffers_of_a_batch_while_it_waits_and_no_longer(full):
    buffers = [bytearray(b"second"), bytearray(b"third")]
    waiting = Call(full.put_many, buffers).until_asleep()
    for buffer in buffers:
        with pytest.raises(BufferError):
            buffer.append(0)
    assert full.get() == b"f" * 16
    assert waiting.result() == 2
    for buffer in buffers:
        buffer.append(0)
    assert full.get_many() == [b"second", b"third"]


def test_the_serializer_may_use_the_queue_amid_a_batch(make):
    class Nested:
        @staticmethod
        def dumps(obj):
            if obj == b"outer":
                q.put_many([b"inner"])
            return obj

        @staticmethod
        def loads(data):
            return (data, q.get_many()) if data == b"first" else data

    q = make(serializer=Nested)
    assert q.put_many([b"outer"]) == 1
    assert q.get_many() == [b"inner", b"outer"]
    q.put_many([b"first", b"second"])
    assert q.get_many(1) == [(b"first", [b"second"])]


def test_items_that_change_while_they_are_serialized_do_no_harm(make):
    items = [b"a", b"b", b"c"]

    class Evil(Picky):
        @staticmethod
        def dumps(obj):
            items.clear()
            return obj

    q = make(serializer=Evil)
    assert q.put_many(items) == 3
    assert q.get_many() == [b"a", b"b", b"c"]


def test_max_items_and_msg_type_may_be_anything_with_an_index(q):
    class Two:
        def __index__(self):
            return 2

    q.put_many(range(3), msg_type=Two())
    assert q.get_many(Two(), msg_type=Two()) == [0, 1]


# ------------------------------------------------------------------- what cannot be sent

UNFIT = {
    "an item that does not pickle": (["a", lambda: None, "c"], Exception),
    "an item that is too long": (["a", "x" * 10**6, "c"], QueueError),
    "no iterable": (5, TypeError),
}


@pytest.mark.parametrize(("items", "error"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_sent_sends_nothing_and_says_so(q, items, error):
    with pytest.raises(error) as caught:
        q.put_many(items)
    assert caught.value.count == 0
    assert q.empty()


@pytest.mark.parametrize("end", ["close", "detach", "never opened"])
def test_a_closed_queue_refuses_a_batch_and_counts_none(q, end):
    if end == "never opened":
        q = Queue.__new__(Queue)
    else:
        getattr(q, end)()
    for items in (["a"], []):
        with pytest.raises(QueueError) as caught:
            q.put_many(items)
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
        assert caught.value.count == 0


# ------------------------------------------------------------------ batches come to an end


@pytest.fixture
def ample(make):
    """A function: a queue, and as many items as it has room for; no reader has to keep up."""

    def ample():
        q = make(serializer=RawSerializer)
        return q, [b"x"] * q.max_bytes

    return ample


def test_a_batch_that_never_blocks_sees_that_its_queue_is_detached(ample, make):
    def is_caught():
        q, items = ample()
        other = make(q.key, serializer=RawSerializer)
        writer = Call(outcome, lambda: q.put_many(items))
        until(lambda: other.stat().last_put_pid)
        q.detach()
        count, error = writer.result()
        other.close()
        if error is None:  # all had gone before
            return False
        assert error.errno == QueueError.INVALID_DESCRIPTOR
        assert 0 < count < len(items)
        return True

    until(is_caught, what="a batch that is cut short")


@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_a_batch_that_never_blocks_sees_that_its_time_is_over(ample, in_thread):
    def put():
        started = time.monotonic()
        count = q.put_many(items, timeout=0.0001)
        assert time.monotonic() - started >= 0.0001
        return count

    q, items = ample()
    assert 0 < (Call(put).result() if in_thread else put()) < len(items)


def test_a_handler_runs_amid_a_batch_that_never_blocks_for_long(ample, handler):
    main = threading.main_thread().ident
    handler(signal.SIGUSR1, lambda *_: 1 / 0)

    def interrupt(q):
        until(lambda: q.stat().last_put_pid)
        signal.pthread_kill(main, signal.SIGUSR1)

    def is_interrupted():
        q, items = ample()
        try:
            interrupting = Call(interrupt, q)
            q.put_many(items)
            interrupting.result()
            pytest.fail("no handler ran, neither amid the batch nor after it")
        except ZeroDivisionError as error:
            count = getattr(error, "count", len(items))
        interrupting.result()
        q.close()
        return 0 < count < len(items)

    until(is_interrupted, what="a handler that runs amid a batch")


@pytest.mark.parametrize("most", [None, 10**9, LONG_MAX], ids=str)
def test_get_many_takes_no_more_than_the_queue_holds(make, spawn, most):
    """Writers that keep up would hand over message after message, and it would never end."""
    q = make(max_bytes=100, serializer=RawSerializer)
    writing = """\
queue, batch = Queue.from_id(int(args[0]), serializer=RawSerializer), [b"x"] * 5000
while True:
    queue.put_many(batch)
"""
    for _ in range(4):
        spawn(writing, q.id)
    for _ in range(200):
        assert 1 <= len(q.get_many(most, timeout=60)) <= 101


def test_a_batch_that_never_blocks_takes_what_is_there_at_once(small):
    """Without waiting there is no look about: all goes that there is room for."""
    q = small(2000)
    assert q.put_many(letters(1500), block=False) == 1500
    assert q.put_many(letters(900), block=False) == 500
    assert q.get_many(1000) == letters(1000)
    assert len(q.get_many()) == 1000


def outcome(call):
    """How many went, and what was raised."""
    try:
        return call(), None
    except (Full, QueueError, ZeroDivisionError) as error:
        return error.count, error


# ------------------------------------------------------------------------------ how many


@pytest.mark.parametrize("most", [1, 2, 3])
def test_max_items_is_kept_and_the_rest_stays(q, most):
    q.put_many(range(4))
    assert q.get_many(most) == list(range(most))
    assert drain(q) == list(range(most, 4))


@pytest.mark.parametrize("most", [None, 4, 5, 256, 257, 10**6, LONG_MAX], ids=str)
def test_more_than_there_are_may_be_asked_for(q, most):
    q.put_many(range(4))
    assert q.get_many(most) == [0, 1, 2, 3]
    with pytest.raises(Empty):
        q.get_many(most, block=False)


def test_as_many_as_there_are_come_at_once(raw):
    total = kernel_limit("msgmnb")
    assert raw.put_many([b"x"] * total) == total
    assert len(raw.get_many()) == total


def test_put_many_without_waiting_puts_what_there_is_room_for(small):
    q = small(4)
    assert q.put_many(letters(9), block=False) == 4
    for options in ({"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}):
        with pytest.raises(Full) as caught:
            q.put_many([b"z"], **options)
        assert caught.value.count == 0
    assert drain(q) == letters(4)
    assert q.put_many(letters(9), timeout=0) == 4


def test_the_room_is_counted_in_bytes(small):
    q = small(10)
    assert q.put_many([b"aaaa", b"bbbb", b"ccc", b"d"], block=False) == 2
    assert q.put_many([b"dd", b"e"], block=False) == 1
    assert drain(q) == [b"aaaa", b"bbbb", b"dd"]


def test_messages_of_no_bytes_have_room_as_long_as_there_are_fewer_than_bytes(small):
    q = small(4)
    assert q.put_many([b""] * 9, block=False) == 4
    assert drain(q) == [b""] * 4


def test_get_many_without_waiting(q):
    for options in ({"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}):
        with pytest.raises(Empty):
            q.get_many(**options)
        q.put_many("ab")
        assert q.get_many(**options) == ["a", "b"]


@pytest.mark.parametrize("timeout", [None, 60])
def test_get_many_waits_for_the_first_alone(q, timeout):
    waiting = Call(q.get_many, timeout=timeout).until_asleep()
    q.put("only one")
    assert waiting.result() == ["only one"]


@pytest.mark.parametrize("timeout", [0.05, 0.2])
def test_batches_time_out_and_never_early(q, full, timeout):
    times_out(timeout, lambda: q.get_many(timeout=timeout))
    error = times_out(timeout, lambda: full.put_many([b"x", b"y"], timeout=timeout))
    assert error.count == 0
    assert drain(full) == [b"f" * 16]


@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_a_timeout_in_the_middle_counts_what_went(small, in_thread):
    q = small(3)

    def put():
        started = time.monotonic()
        count = q.put_many(letters(10), timeout=0.3)
        return count, time.monotonic() - started

    def attempt():
        count, waited = Call(put).result() if in_thread else put()
        assert count == 3
        assert drain(q) == letters(3)
        assert waited >= 0.3
        return waited

    in_time(attempt, 2)


@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_the_timeout_is_one_for_the_whole_batch(small, in_thread):
    """Each message comes off in time, and all together do not: they would take 50 s."""
    q = small(1)

    def put():
        started = time.monotonic()
        count = q.put_many(letters(1000), timeout=0.4)
        return count, time.monotonic() - started

    def attempt():
        done, got = threading.Event(), []

        def read():
            while not done.wait(0.05):
                with contextlib.suppress(Empty):
                    got.append(q.get_nowait())

        reader = Call(read)
        try:
            count, waited = Call(put).result() if in_thread else put()
        finally:
            done.set()
        reader.result()
        assert waited >= 0.4
        assert got + drain(q) == letters(count)
        return waited if count >= 2 else 2  # the reader never came: no proof

    in_time(attempt, 2)


@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_a_batch_larger_than_the_queue_goes_whole_however_slow_the_reader(small, in_thread):
    """From the main thread, too, which wakes between the messages to look for signals."""
    q = small(2)

    def read():
        got = []
        for _ in range(12):
            time.sleep(0.02)  # longer than a spin, and than a look for signals
            got.append(q.get(timeout=60))
        return got

    reader = Call(read)
    count = Call(q.put_many, letters(12)).result() if in_thread else q.put_many(letters(12))
    assert count == 12
    assert reader.result() == letters(12)


def test_a_batch_of_all_lengths_goes_through_a_queue_that_holds_one_of_the_longest(make):
    q = make(max_bytes=100, serializer=RawSerializer)
    items = [bytes([number]) * (number * 37 % 101) for number in range(200)]
    writer = Call(q.put_many, items)
    got = []
    while len(got) < len(items):
        got += q.get_many(timeout=60)
    assert writer.result() == 200
    assert got == items


# ------------------------------------------------------------------------ nothing is lost


def test_the_length_is_looked_at_before_the_first_goes(small):
    q = small(10)
    for place in range(3):
        items = letters(3)
        items[place] = b"x" * 11
        with pytest.raises(QueueError) as caught:
            q.put_many(items)
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
        assert caught.value.count == 0
        assert "11 bytes" in caught.value.msg and "max_bytes is 10" in caught.value.msg
        assert q.empty()


def test_the_system_s_longest_message_is_looked_at_before_the_first_goes(raw):
    with pytest.raises(QueueError, match=r"kernel\.msgmax") as caught:
        raw.put_many([b"a", bytes(kernel_limit("msgmax") + 1)])
    assert (caught.value.errno, caught.value.count) == (QueueError.TOO_BIG_MESSAGE, 0)
    assert raw.empty()


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_queue_that_gets_too_small_amid_a_batch_counts_what_went(
    small, handler, when_asleep, timeout
):
    """max_bytes may change between any two system calls."""
    q = small(8, on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: q.set(max_bytes=3))
    poke(when_asleep)
    items = [b"aaaa", b"bbbb", b"cccc", b"dd"]
    count, error = outcome(lambda: q.put_many(items, timeout=timeout))
    assert (error.errno, count) == (QueueError.TOO_BIG_MESSAGE, 2)
    assert q.get_many() == items[:2]


def test_a_queue_that_got_too_small_is_told_from_a_full_one_when_time_is_over(small):
    for timeout in (0.3, 3, 30):  # it must shrink in time
        q, over = small(8), time.monotonic() + timeout
        items = [b"aaaa", b"bbbb", b"cccc"]
        writer = Call(outcome, lambda q=q, t=timeout: q.put_many(items, timeout=t))
        while q.qsize() < 2 and time.monotonic() < over:
            time.sleep(0.001)
        q.set(max_bytes=3)
        shrunk_in_time = time.monotonic() < over
        count, error = writer.result()
        if shrunk_in_time:
            assert error.errno == QueueError.TOO_BIG_MESSAGE
            assert count == 2
            assert q.get_many() == items[:2]
            return
    pytest.fail("the queue never shrank in time")


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_queue_that_grows_lets_a_waiting_batch_go_on(small, timeout):
    q = small(2)
    writer = Call(q.put_many, letters(6), timeout=timeout).until_asleep()
    q.set(max_bytes=6)
    assert writer.result() == 6
    assert q.get_many() == letters(6)


@pytest.mark.parametrize("timeout", [None, 60])
def test_detach_in_the_middle_of_a_batch_counts_what_went(small, key, timeout):
    q, other = small(3, key), small(3, key)
    writer = Call(outcome, lambda: q.put_many(letters(10), timeout=timeout)).until_asleep()
    assert other.get() == b"a"
    q.detach()
    count, error = writer.result()
    assert error.errno == QueueError.INVALID_DESCRIPTOR
    assert drain(other) == letters(count)[1:]
    assert count in (3, 4)


@pytest.mark.parametrize("role", ["thread", "process"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_removal_in_the_middle_of_a_batch_counts_what_went(small, key, spawn, role, timeout):
    """By another process, or by a thread that goes round the object."""
    q = small(3, key)
    writer = Call(outcome, lambda: q.put_many(letters(10), timeout=timeout)).until_asleep()
    assert [q.get(), q.get()] == letters(2)
    until(lambda: q.qsize() == 3)
    writer.until_asleep()
    if role == "process":
        spawn("Queue(int(args[0]), create=False).close()", key).finish()
    else:
        remove_id(q.id)
    count, error = writer.result()
    assert error.errno == QueueError.INVALID_DESCRIPTOR
    assert "has been removed" in error.msg
    assert count == 5


def test_removal_before_a_batch_sends_none(q):
    remove_id(q.id)
    with pytest.raises(QueueError, match="has been removed") as caught:
        q.put_many("ab")
    assert (caught.value.errno, caught.value.count) == (QueueError.INVALID_DESCRIPTOR, 0)


@pytest.mark.parametrize("options", [{}, {"block": False}, {"timeout": 60}], ids=str)
def test_removal_before_get_many_is_told(q, options):
    q.put("lost")
    remove_id(q.id)
    with pytest.raises(QueueError, match="has been removed") as caught:
        q.get_many(**options)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_detach_at_any_moment_of_a_batch_loses_nothing(small, fresh):
    for number in range(60):
        key = fresh()
        q, other = small(2, key), small(2, key)
        writer = Call(outcome, lambda q=q: q.put_many(letters(50), timeout=60))
        got = [other.get(timeout=60) for _ in range(number % 7)]
        q.detach()
        count, error = writer.result()
        assert error.errno == QueueError.INVALID_DESCRIPTOR
        assert got + drain(other) == letters(count)
        other.close()


def test_detach_at_any_moment_of_get_many_loses_nothing(small, fresh):
    for number in range(60):
        key = fresh()
        q, other = small(4, key), small(4, key)

        def get_all(q=q):
            got = []
            with contextlib.suppress(QueueError):
                while True:
                    got += q.get_many()
            return got

        getter = Call(get_all)
        total = number % 4 + 1
        other.put_many(letters(total))
        q.detach()
        assert getter.result() + drain(other) == letters(total)
        other.close()


@pytest.mark.parametrize("end", ["close", "detach", "removed"])
def test_the_end_of_the_queue_ends_a_waiting_get_many(q, end):
    getter = Call(q.get_many).until_asleep()
    if end == "removed":
        remove_id(q.id)
    else:
        getattr(q, end)()
    assert getter.outcome().errno == QueueError.INVALID_DESCRIPTOR


@pytest.mark.parametrize("how", ["dumps", "iter", "index"])
def test_detaching_while_a_batch_is_made_sends_nothing(make, key, how):
    class Closing(Picky):
        @staticmethod
        def dumps(obj):
            if how == "dumps":
                q.detach()
            return obj

    class Kind:
        def __index__(self):
            if how == "index":
                q.detach()
            return 1

    def items():
        yield b"a"
        if how == "iter":
            q.detach()
        yield b"b"

    q, other = make(key, serializer=Closing), make(key)
    with pytest.raises(QueueError) as caught:
        q.put_many(items(), msg_type=Kind())
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert caught.value.count == 0
    assert other.empty()


def test_an_iterable_that_raises_sends_nothing(q):
    def items():
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        q.put_many(items())
    assert caught.value.count == 0
    assert q.empty()


def test_a_batch_that_fails_frees_its_buffers(small):
    q = small(100)
    buffers = [bytearray(b"a"), bytearray(b"b"), bytearray(300), bytearray(b"d")]
    for last in (b"x", "no bytes"):
        with pytest.raises((QueueError, TypeError)):
            q.put_many([*buffers, last])
        for buffer in buffers:
            buffer.append(0)
    assert q.empty()


BAD = {
    "max_items=0": (lambda q: q.get_many(0), QueueError),
    "max_items=-1": (lambda q: q.get_many(-1), QueueError),
    "max_items=10**100": (lambda q: q.get_many(10**100), QueueError),
    "max_items=1.0": (lambda q: q.get_many(1.0), TypeError),
    "max_items='1'": (lambda q: q.get_many("1"), TypeError),
    "a negative timeout": (lambda q: q.get_many(timeout=-1), ValueError),
    "NaN": (lambda q: q.get_many(timeout=float("nan")), ValueError),
    "four arguments": (lambda q: q.get_many(1, True, 0, None), TypeError),
    "a type that is none": (lambda q: q.get_many(msg_type="1"), TypeError),
    "a type beyond C": (lambda q: q.get_many(msg_type=LONG_MAX + 1), QueueError),
    "no type to exclude": (lambda q: q.get_many(exclude=True), QueueError),
    "a type to exclude that is none": (
        lambda q: q.get_many(msg_type=-1, exclude=True),
        QueueError,
    ),
    "no items": (lambda q: q.put_many(), TypeError),
    "type 0": (lambda q: q.put_many(["x"], msg_type=0), QueueError),
    "a negative type": (lambda q: q.put_many(["x"], msg_type=-1), QueueError),
    "a type to put beyond C": (lambda q: q.put_many(["x"], msg_type=LONG_MAX + 1), QueueError),
    "a protocol that is none": (lambda q: q.put_many(["x"], pickle_protocol=99), ValueError),
    "a bad timeout": (lambda q: q.put_many(["x"], timeout="1"), TypeError),
    "a timeout by place": (lambda q: q.put_many(["x"], True, 1, 1, 1.0), TypeError),
    "an unknown keyword": (lambda q: q.put_many(["x"], max_items=1), TypeError),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_bad_arguments_of_batches_are_refused_and_change_nothing(q, call, error):
    q.put("untouched")
    with pytest.raises(error) as caught:
        call(q)
    if error is QueueError:
        assert caught.value.errno == QueueError.INVALID_VALUE
    assert drain(q) == ["untouched"]


# -------------------------------------------------------------------------------- signals


def poke(when_asleep, then=None):
    """Send the main thread a signal once it is blocked, then do something."""
    main = threading.main_thread().ident

    def act():
        signal.pthread_kill(main, signal.SIGUSR1)
        return then and then()

    return when_asleep(act)


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_signal_in_the_middle_interrupts_and_counts_what_went(
    small, handler, when_asleep, timeout
):
    q, calls = small(3), []
    handler(signal.SIGUSR1, lambda *_: calls.append(1))
    poke(when_asleep)
    count, error = outcome(lambda: q.put_many(letters(10), timeout=timeout))
    assert error.errno == QueueError.INTERRUPTED
    assert calls == [1]
    assert count == 3
    assert drain(q) == letters(3)


def test_what_a_handler_raises_in_the_middle_counts_what_went(small, handler, when_asleep):
    q = small(3)
    handler(signal.SIGUSR1, lambda *_: 1 / 0)
    poke(when_asleep)
    count, error = outcome(lambda: q.put_many(letters(10)))
    assert type(error) is ZeroDivisionError
    assert count == 3
    assert drain(q) == letters(3)


def test_retry_goes_on_with_the_batch(small, handler, when_asleep):
    q, calls, got = small(3, on_signal="retry"), [], []
    handler(signal.SIGUSR1, lambda *_: calls.append(1))

    def read():
        until(lambda: calls)
        while len(got) < 10:
            got.append(q.get(timeout=60))

    reader = poke(when_asleep, read)
    assert q.put_many(letters(10)) == 10
    reader.result()
    assert got == letters(10)


def test_a_signal_interrupts_a_waiting_get_many(q, handler, when_asleep):
    handler(signal.SIGUSR1, lambda *_: None)
    poke(when_asleep)
    with pytest.raises(QueueError) as caught:
        q.get_many()
    assert caught.value.errno == QueueError.INTERRUPTED
    q.put_many("ab")
    assert q.get_many() == ["a", "b"]


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_storm_of_signals_loses_nothing_of_batches(make, handler, on_signal):
    ask, answer = (make(max_bytes=20, on_signal=on_signal) for _ in range(2))
    total, got, calls = 2000, [], []

    def mirror():
        passed = 0
        while passed < total:
            items = ask.get_many(timeout=60)
            assert answer.put_many(items) == len(items)
            passed += len(items)

    handler(signal.SIGALRM, lambda *_: calls.append(1))
    mirroring = Call(mirror)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    sent = 0
    try:
        while len(got) < total:
            count, error = outcome(
                lambda: ask.put_many(range(sent, min(sent + 7, total)), timeout=0.01)
            )
            assert error is None or isinstance(error, Full) or error.errno == error.INTERRUPTED
            sent += count
            with contextlib.suppress(Empty, QueueError):
                while True:
                    got += answer.get_many(timeout=0.0005)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    mirroring.result()
    assert got == list(range(total))
    assert calls


# --------------------------------------------------------- messages that do not decode


def test_messages_that_do_not_decode_lose_nothing(make):
    q = make(serializer=Picky)
    for number, data in enumerate((b"a", b"bad 1", b"c", b"bad 2", b"e")):
        q.put(data, msg_type=10 - number)
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    error = caught.value
    assert error.items == [b"a", b"c", b"e"]
    assert [type(each) for each in error.failures] == [DecodeError] * 2
    assert [each.data for each in error.failures] == [b"bad 1", b"bad 2"]
    assert [each.msg_type for each in error.failures] == [9, 7]
    assert [str(each.__cause__) for each in error.failures] == ["b'bad 1'", "b'bad 2'"]
    assert error.failures[0] is error
    assert error.errno == QueueError.ERROR
    assert q.empty()


def test_a_batch_of_which_nothing_decodes(make):
    q = make(serializer=Picky)
    q.put_many([b"bad 1", b"bad 2"])
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    assert caught.value.items == []
    assert [each.data for each in caught.value.failures] == [b"bad 1", b"bad 2"]


def test_failures_of_a_batch_pickle_and_copy_whole(make):
    q = make(serializer=Picky)
    q.put_many([b"a", b"bad"], msg_type=LONG_MAX)
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.deepcopy(caught.value)):
        assert type(again) is DecodeError
        assert again.items == [b"a"]
        assert (again.data, again.msg_type) == (b"bad", LONG_MAX)
        assert again.failures[0] is again


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_gets_through_with_all_that_was_received(make, kind):
    raised = []

    class Interrupting(Picky):
        @staticmethod
        def loads(data):
            if data == b"stop":
                raised.append(kind(data))
                raise raised[-1]
            return Picky.loads(data)

    q = make(serializer=Interrupting)
    q.put_many([b"a", b"bad", b"stop", b"d"])
    with pytest.raises(kind) as caught:
        q.get_many()
    assert caught.value is raised[0]
    assert caught.value.items == [b"a", b"d"]
    assert [each.data for each in caught.value.failures] == [b"bad", b"stop"]
    assert caught.value.failures[1].__cause__ is raised[0]
    assert q.empty()


def test_an_exception_that_does_not_say_what_it_is_loses_nothing(make):
    class Faceless(BaseException):
        @property
        def __class__(self):
            raise ZeroDivisionError

    class Raising(Picky):
        @staticmethod
        def loads(data):
            if data == b"stop":
                raise Faceless
            return data

    q = make(serializer=Raising)
    q.put_many([b"a", b"stop", b"c", b"stop", b"e"])
    caught = None
    try:
        q.get_many()
    except BaseException as error:
        caught = error
    assert type(caught) is Faceless
    assert caught.items == [b"a", b"c", b"e"]
    assert [each.data for each in caught.failures] == [b"stop", b"stop"]


def test_a_serializer_that_always_raises_the_same_object_loses_nothing(make):
    error = ValueError("always this one")

    class Same(Picky):
        @staticmethod
        def loads(data):
            raise error

    q = make(serializer=Same)
    q.put_many([b"a", b"b"])
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    assert [each.data for each in caught.value.failures] == [b"a", b"b"]


def test_loads_may_close_the_queue_amid_a_batch(make):
    class Closing(Picky):
        @staticmethod
        def loads(data):
            q.close()
            return data

    q = make(serializer=Closing)
    q.put_many([b"a", b"b"])
    assert q.get_many() == [b"a", b"b"]
    assert q.closed


@pytest.mark.parametrize("left", range(1, 8))
def test_a_refusal_at_the_limit_of_recursion_loses_nothing(make, left):
    """Where not even a DecodeError can be made, what the serializer raised stands for it."""
    q = make(serializer=Picky)
    limit = sys.getrecursionlimit()

    def at(depth, call):
        return call() if depth == 0 else at(depth - 1, call)

    def deepest():
        """How deep at() may go here."""
        low, high = 0, limit
        while low < high - 1:
            middle = (low + high) // 2
            try:
                at(middle, lambda: None)
                low = middle
            except RecursionError:
                high = middle
        return low

    q.put_many([b"a", b"bad", b"c"])
    with pytest.raises((DecodeError, ValueError, RecursionError)) as caught:
        at(deepest() - left + 1, q.get_many)
    accounted = caught.value.items + [failure.data for failure in caught.value.failures]
    assert sorted(accounted) == [b"a", b"bad", b"c"]


# --------------------------------------------------------------------------- many at once


def test_a_batch_waits_without_the_gil(small, make):
    q = small(1)
    writer = Call(q.put_many, letters(3)).until_asleep()
    reader = Call(make().get_many).until_asleep()
    assert sum(1 for _ in range(100_000)) == 100_000  # it would stand still otherwise
    assert [q.get(), q.get(), q.get()] == letters(3)
    assert writer.result() == 3
    assert reader.is_alive()


def test_a_large_batch_goes_through_a_small_queue_to_another_process(make, spawn):
    q, back = make(max_bytes=100), make(max_bytes=100)
    code = """\
q, back = (Queue(int(key)) for key in args)
passed = 0
while passed < 5000:
    items = q.get_many(timeout=60)
    assert back.put_many(items, timeout=60) == len(items)
    passed += len(items)
"""
    child = spawn(code, q.key, back.key)

    def collect():
        result = []
        while len(result) < 5000:
            result.extend(back.get_many(timeout=60))
        return result

    collector = Call(collect)
    assert q.put_many(range(5000)) == 5000
    child.finish()
    assert collector.result() == list(range(5000))


WORKER = """\
import json
key, first, count = map(int, args)
q = Queue(key, serializer=RawSerializer, create=False)
received = [[], []]

def produce(producer):
    numbers = iter(range(count))
    while batch := [b"%d %d" % (producer, n) for _, n in zip(range(1 + producer * 5), numbers)]:
        assert q.put_many(batch, msg_type=1 + producer) == len(batch)

def consume(got, most):
    while True:
        batch = q.get_many(most, timeout=100)
        ends = batch.count(b"")
        got.extend(data.decode() for data in batch if data)
        if ends:
            q.put_many([b""] * (ends - 1))  # those are for the others
            return

producers = [threading.Thread(target=produce, args=(first + n,)) for n in range(2)]
consumers = [threading.Thread(target=consume, args=each) for each in zip(received, (None, 3))]
for thread in producers + consumers:
    thread.start()
for thread in producers:
    thread.join()
print("produced", flush=True)
for thread in consumers:
    thread.join()
print(json.dumps(received))
"""


def test_two_processes_of_four_threads_exchange_batches_and_lose_nothing(make, spawn):
    q = make(max_bytes=100, serializer=RawSerializer)
    count = MESSAGES // 4
    children = [spawn(WORKER, q.key, first, count) for first in (0, 2)]
    for child in children:
        assert child.line() == "produced"
    for _ in range(4):
        q.put(b"")
    received = [got for child in children for got in json.loads(child.finish(60))]
    everything = []
    for got in received:
        pairs = [tuple(map(int, text.split())) for text in got]
        everything += pairs
        for producer in range(4):
            mine = [number for who, number in pairs if who == producer]
            assert mine == sorted(mine), "a producer's messages came out of order"
    assert sorted(everything) == [(who, n) for who in range(4) for n in range(count)]


def test_batches_leak_nothing(make):
    q = make(max_bytes=64, serializer=Picky)
    unfit = [[b"a", 5], [b"x" * 65], [bytearray(b"a"), "x" * 65]]

    def work(times):
        for _ in range(times):
            q.put_many([b"a", b"bad", bytearray(b"c")], msg_type=1000)
            with contextlib.suppress(DecodeError):
                q.get_many()
            assert q.put_many([b"x" * 32] * 3, block=False) == 2
            assert q.get_many(257) == [b"x" * 32] * 2
            for items in unfit:
                with contextlib.suppress(QueueError, TypeError):
                    q.put_many(items)
            with contextlib.suppress(Empty):
                q.get_many(block=False)
            for call in (lambda: q.get_many(0), lambda: q.put_many(5)):
                with contextlib.suppress(QueueError, TypeError):
                    call()

    blocks, _ = growth(work, 300)
    assert blocks < 100


def test_what_the_serializer_raises_keeps_its_context(key):
    class Refusing:
        @staticmethod
        def dumps(item):
            try:
                raise LookupError("inner")
            except LookupError:
                raise ValueError("outer")  # noqa: B904 - its context is what counts

        loads = staticmethod(bytes)

    with Queue(key, serializer=Refusing) as q:
        try:
            raise OSError("handled")
        except OSError:
            with pytest.raises(ValueError) as caught:
                q.put_many([1])
        assert isinstance(caught.value.__context__, LookupError)
        assert caught.value.count == 0


def test_an_exception_that_takes_no_attributes_is_given_what_was_received(make):
    class Closed(BaseException):
        def __setattr__(self, name, value):
            raise RuntimeError("no attributes")

    class Refusing(Picky):
        @staticmethod
        def loads(data):
            if data == b"bad":
                raise Closed
            return data

    q = make(serializer=Refusing)
    q.put_many([b"a", b"bad", b"c"])
    with pytest.raises(Closed) as caught:
        q.get_many()
    assert caught.value.items == [b"a", b"c"]
    assert caught.value.failures[0].data == b"bad"
