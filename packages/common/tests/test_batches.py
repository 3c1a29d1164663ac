"""put_many and get_many: whole batches inside C, in order, with every message accounted for."""

import collections
import contextlib
import copy
import json
import os
import pickle
import queue
import signal
import sys
import textwrap
import threading
import time

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed
from harness.measure import growth, in_time, times_out
from harness.process import interrupt
from harness.serial import PICKY, serializer_of
from harness.tasks import until
from kind import DEFAULT_MARK, MARK, DecodeError, Queue, QueueError, RawSerializer

MESSAGES = int(os.environ.get(f"{kind.PACKAGE.upper()}_TEST_MESSAGES", "12000"))
WAIT_S = 2.0  # far less than the wait would last if it were wrong

in_main_or_thread = pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
without_end_or_in_time = pytest.mark.parametrize("timeout", [None, 60])


@pytest.fixture
def small(make):
    """A function: a queue of bytes with room for so many messages of one byte each."""

    def small(size, address=..., **options):
        return make(address, serializer=RawSerializer, **kind.room(size, 1), **options)

    return small


def letters(number):
    """So many messages of one byte each."""
    return [bytes([97 + place % 26]) for place in range(number)]


def drain(q):
    """What is in the queue now."""
    got = []
    with contextlib.suppress(queue.Empty):
        while True:
            got.append(q.get_nowait())
    return got


def outcome(call):
    """How many went, and what was raised."""
    try:
        return call(), None
    except (queue.Full, QueueError, ZeroDivisionError) as error:
        return error.count, error


def put_in(in_thread, q, items, **options):
    """Put a batch in this thread or in another; return how many went, and the time it took."""

    def put():
        started = time.monotonic()
        count = q.put_many(items, **options)
        return count, time.monotonic() - started

    return Call(put).result() if in_thread else put()


def leave(q):
    getattr(q, kind.LEAVE)()


# --- what goes, and in which order ---------------------------------------------------------------

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
    for each in (q, full):
        size = each.qsize()
        assert each.put_many([]) == 0
        assert each.put_many(iter(()), timeout=0) == 0
        assert each.put_many((), block=False) == 0
        assert each.qsize() == size


@pytest.mark.parametrize("mark", [None, *kind.MARKS])
def test_all_of_a_batch_have_the_mark(q, mark):
    q.put_many("ab", **({} if mark is None else kind.mark(mark)))
    mark = DEFAULT_MARK if mark is None else mark
    assert [q.receive() for _ in "ab"] == [("a", mark), ("b", mark)]


def test_every_parameter_of_a_batch_may_be_given_by_keyword(make, address):
    q, raw = make(address), make(address, serializer=RawSerializer)
    assert q.put_many(items=["y"], block=True, timeout=1, pickle_protocol=4, **kind.mark(7)) == 1
    assert raw.get_many() == [pickle.dumps("y", 4)]
    q.put_many("xy")
    assert q.get_many(max_items=1, block=True, timeout=1) == ["x"]


@pytest.mark.parametrize("serializer", [None, RawSerializer, json, PICKY])
def test_batches_use_the_serializer(make, serializer):
    q = make(serializer=serializer)
    items = [b"a", b"", b"c"] if serializer in (RawSerializer, PICKY) else ["a", [], {"c": 1}]
    assert q.put_many(items) == 3
    assert q.get_many() == items


def test_batches_and_single_messages_mix(q):
    q.put("a")
    q.put_many(["b", "c"])
    assert q.get() == "a"
    q.put("d")
    assert q.get_many() == ["b", "c", "d"]


def test_messages_of_every_length_keep_their_place_in_a_batch(make):
    q = make(serializer=RawSerializer, **kind.room(9, 130))
    for start in range(0, 200, 9):
        items = [bytes([65 + number]) * ((start + number * 31) % 131) for number in range(9)]
        assert q.put_many(items) == 9
        assert q.get_many() == items


@pytest.mark.parametrize("empty", [bytes, bytearray])
def test_messages_of_no_bytes_count(small, empty):
    q = small(9)
    assert q.put_many([empty()] * 9) == 9
    assert q.get_many() == [b""] * 9


def test_the_longest_messages_that_are_allowed_go_in_a_batch(raw):
    items = [bytes([number]) * raw.maxmsgsize for number in range(3)]
    count = raw.put_many(items, block=False)
    assert count > 0
    assert raw.get_many() == items[:count]


def test_a_batch_of_all_lengths_goes_through_a_queue_that_holds_one_of_the_longest(make):
    q = make(serializer=RawSerializer, **kind.room(1, 100))
    items = [bytes([number]) * (number * 37 % 101) for number in range(200)]
    writer = Call(q.put_many, items)
    got = []
    while len(got) < len(items):
        got += q.get_many(timeout=60)
    assert writer.result() == 200
    assert got == items


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
    assert [full.get() for _ in range(3)] == [b"f" * 16, b"second", b"third"]
    assert waiting.result() == 2
    for buffer in buffers:
        buffer.append(0)


def test_the_serializer_may_use_the_queue_amid_a_batch(make):
    def dumps(item):
        if item == b"outer":
            q.put_many([b"inner"])
        return item

    def loads(data):
        return (data, q.get_many()) if data == b"first" else data

    q = make(serializer=serializer_of(dumps, loads))
    assert q.put_many([b"outer"]) == 1
    assert q.get_many() == [b"inner", b"outer"]
    q.put_many([b"first", b"second"])
    assert q.get_many(1) == [(b"first", [b"second"])]


def test_items_that_change_while_they_are_serialized_do_no_harm(make):
    items = [b"a", b"b", b"c"]

    def dumps(item):
        items.clear()
        return item

    q = make(serializer=serializer_of(dumps))
    assert q.put_many(items) == 3
    assert q.get_many() == [b"a", b"b", b"c"]


def test_max_items_and_the_mark_may_be_anything_with_an_index(q):
    class Two:
        def __index__(self):
            return 2

    q.put_many(range(3), **kind.mark(Two()))
    assert q.receive() == (0, 2)
    assert q.get_many(Two()) == [1, 2]


# --- what cannot be sent -------------------------------------------------------------------------

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


@pytest.mark.parametrize("end", [*kind.ENDS, "never opened"])
def test_a_closed_queue_refuses_a_batch_and_counts_none(q, end):
    if end == "never opened":
        q = Queue.__new__(Queue)
    else:
        getattr(q, end)()
    for items in (["a"], []):
        count, error = outcome(lambda items=items: q.put_many(items))
        assert is_closed(error)
        assert count == 0


def test_the_length_is_looked_at_before_the_first_goes(make):
    q = make(serializer=RawSerializer, **kind.room(1, 10))
    for place in range(3):
        items = letters(3)
        items[place] = b"x" * 11
        count, error = outcome(lambda items=items: q.put_many(items))
        assert error.errno == QueueError.TOO_BIG_MESSAGE
        assert count == 0
        for words in ("11 bytes", f"{kind.LENGTH_LIMIT} is 10"):
            assert words in error.msg
        assert q.empty()


def test_an_iterable_that_raises_sends_nothing(q):
    def items():
        yield "a"
        raise ZeroDivisionError

    count, error = outcome(lambda: q.put_many(items()))
    assert type(error) is ZeroDivisionError
    assert count == 0
    assert q.empty()


@pytest.mark.parametrize("how", ["dumps", "iter", "index"])
def test_leaving_while_a_batch_is_made_sends_nothing(make, address, how):
    def leave_if(place):
        if how == place:
            leave(q)

    def dumps(item):
        leave_if("dumps")
        return item

    class Mark:
        def __index__(self):
            leave_if("index")
            return 1

    def items():
        yield b"a"
        leave_if("iter")
        yield b"b"

    q, other = make(address, serializer=serializer_of(dumps)), make(address)
    count, error = outcome(lambda: q.put_many(items(), **kind.mark(Mark())))
    assert is_closed(error)
    assert count == 0
    assert other.empty()


def test_a_batch_that_fails_frees_its_buffers(make):
    q = make(serializer=RawSerializer, **kind.room(1, 200))
    buffers = [bytearray(b"a"), bytearray(b"b"), bytearray(300), bytearray(b"d")]
    for last in (b"x", "no bytes"):
        with pytest.raises((QueueError, TypeError)):
            q.put_many([*buffers, last])
        for buffer in buffers:
            buffer.append(0)
    assert q.empty()


def test_what_the_serializer_raises_keeps_its_context(make):
    def dumps(item):
        try:
            raise LookupError("inner")
        except LookupError:
            raise ValueError("outer")  # noqa: B904 - its context is what counts

    q = make(serializer=serializer_of(dumps))
    try:
        raise OSError("handled")
    except OSError:
        with pytest.raises(ValueError) as caught:
            q.put_many([1])
    assert isinstance(caught.value.__context__, LookupError)
    assert caught.value.count == 0


BAD = {
    "max_items=0": (lambda q: q.get_many(0), QueueError),
    "max_items=-1": (lambda q: q.get_many(-1), QueueError),
    "max_items=10**100": (lambda q: q.get_many(10**100), QueueError),
    "max_items=1.0": (lambda q: q.get_many(1.0), TypeError),
    "max_items='1'": (lambda q: q.get_many("1"), TypeError),
    "a negative timeout": (lambda q: q.get_many(timeout=-1), ValueError),
    "NaN": (lambda q: q.get_many(timeout=float("nan")), ValueError),
    "four arguments": (lambda q: q.get_many(1, True, 0, 0), TypeError),
    "no items": (lambda q: q.put_many(), TypeError),
    "a protocol that is none": (lambda q: q.put_many(["x"], pickle_protocol=99), ValueError),
    "a bad timeout": (lambda q: q.put_many(["x"], timeout="1"), TypeError),
    "an unknown keyword": (lambda q: q.put_many(["x"], max_items=1), TypeError),
    **{
        f"{MARK}={bad}": (lambda q, bad=bad: q.put_many(["x"], **kind.mark(bad)), QueueError)
        for bad in kind.BAD_MARKS
    },
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_bad_arguments_of_batches_are_refused_and_change_nothing(q, call, error):
    q.put("untouched")
    with pytest.raises(error) as caught:
        call(q)
    if error is QueueError:
        assert caught.value.errno == QueueError.INVALID_VALUE
    assert drain(q) == ["untouched"]


# --- how many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3])
def test_max_items_is_kept_and_the_rest_stays(q, most):
    q.put_many(range(4))
    assert q.get_many(most) == list(range(most))
    assert drain(q) == list(range(most, 4))


@pytest.mark.parametrize("most", [None, 4, 5, 256, 257, 10**6, sys.maxsize], ids=str)
def test_more_than_there_are_may_be_asked_for(q, most):
    q.put_many(range(4))
    assert q.get_many(most) == [0, 1, 2, 3]
    with pytest.raises(queue.Empty):
        q.get_many(most, block=False)


@pytest.mark.parametrize("most", [None, 10**9, sys.maxsize], ids=str)
def test_get_many_takes_no_more_than_the_queue_holds(make, spawn, address, most):
    """Writers that keep up would hand over message after message, and it would never end.

    One more may come: System V queues count what is left after the first.
    """
    q = make(address, serializer=RawSerializer, **kind.room(8, 16))
    held = q.put_many([b"x"] * 5000, block=False)
    code = """
    q = Queue(address(), create=False, serializer=RawSerializer)
    print("here", flush=True)
    while True:
        q.put_many([b"x"] * 5000)
    """
    for writer in [spawn(code, address) for _ in range(4)]:
        assert writer.line() == "here"
    for _ in range(200):
        assert 1 <= len(q.get_many(most, timeout=60)) <= held + 1


def test_put_many_without_waiting_puts_what_there_is_room_for(small):
    q = small(4)
    assert q.put_many(letters(9), block=False) == 4
    for options in ({"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}):
        with pytest.raises(queue.Full) as caught:
            q.put_many([b"z"], **options)
        assert caught.value.count == 0
    assert drain(q) == letters(4)
    assert q.put_many(letters(9), timeout=0) == 4


def test_get_many_without_waiting(q):
    for options in ({"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}):
        with pytest.raises(queue.Empty):
            q.get_many(**options)
        q.put_many("ab")
        assert q.get_many(**options) == ["a", "b"]


@without_end_or_in_time
def test_get_many_waits_for_the_first_alone(q, timeout):
    waiting = Call(q.get_many, timeout=timeout).until_asleep()
    q.put("only one")
    assert waiting.result() == ["only one"]


@pytest.mark.parametrize("timeout", [0.05, 0.4])
def test_batches_time_out_and_never_early(q, full, timeout):
    times_out(timeout, lambda: q.get_many(timeout=timeout))
    error = times_out(timeout, lambda: full.put_many([b"x", b"y"], timeout=timeout))
    assert error.count == 0
    assert drain(full) == [b"f" * 16]


@in_main_or_thread
def test_a_timeout_in_the_middle_counts_what_went(small, in_thread):
    q = small(3)

    def attempt():
        count, waited = put_in(in_thread, q, letters(10), timeout=0.3)
        assert count == 3
        assert drain(q) == letters(3)
        assert waited >= 0.3
        return waited

    in_time(attempt, WAIT_S)


@in_main_or_thread
def test_the_timeout_is_one_for_the_whole_batch(small, in_thread):
    """Each message comes off in time, and all together do not: they would take 50 s."""
    q = small(1)

    def attempt():
        done, got = threading.Event(), []

        def read():
            while not done.wait(0.05):
                with contextlib.suppress(queue.Empty):
                    got.append(q.get_nowait())

        reader = Call(read)
        try:
            count, waited = put_in(in_thread, q, letters(1000), timeout=0.4)
        finally:
            done.set()
        reader.result()
        assert waited >= 0.4
        assert got + drain(q) == letters(count)
        return waited if count >= 2 else WAIT_S  # the reader never came: no proof

    in_time(attempt, WAIT_S)


@in_main_or_thread
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
    count, _ = put_in(in_thread, q, letters(12))
    assert count == 12
    assert reader.result() == letters(12)


# --- batches that never block --------------------------------------------------------------------

AMPLE = """
from harness.calls import Call

ROOM = 5000

def queues():
    try:
        if kind.MANY_MESSAGES:
            with open(kind.MANY_MESSAGES, "w") as file:
                file.write(str(ROOM))
        options = kind.room(ROOM, 1)
        return [Queue(address(), serializer=RawSerializer, **options) for _ in range(2)]
    except OSError as error:
        skip(f"no queue with room for {ROOM} messages: {error}")

q, other = queues()
items = [bytes([number % 256]) for number in range(ROOM)]

def wait_for_the_first(call):
    while other.empty() and call.ended is None:
        pass
"""


@pytest.fixture
def ample(spawn, isolated, address):
    """Run a script on a queue with room for 5,000 messages of one byte each."""
    start = isolated if kind.MANY_MESSAGES else spawn
    return lambda code: start(AMPLE + textwrap.dedent(code), address).finish()


def test_without_waiting_all_goes_that_there_is_room_for_and_all_comes(ample):
    ample(
        """
        assert q.put_many(items[:3000], block=False) == 3000
        assert q.put_many(items, timeout=0) == 2000
        assert other.get_many(1000) == items[:1000]
        assert other.get_many() == items[1000:3000] + items[:2000]
        assert q.put_many(items, timeout=0) == ROOM
        assert other.get_many() == items
        """
    )


def test_a_batch_that_never_blocks_sees_that_its_time_is_up(ample):
    ample(
        """
        def put():
            started = time.monotonic()
            count = q.put_many(items, timeout=1e-5)
            assert time.monotonic() - started >= 1e-5
            assert 0 < count < ROOM, count
            assert other.qsize() == count
            assert other.get_many() == items[:count]

        put()
        Call(put).result()
        """
    )


def test_a_batch_that_never_blocks_sees_that_its_queue_is_left(ample):
    ample(
        """
        def put(queue):
            try:
                return queue.put_many(items)
            except QueueError as error:
                assert is_closed(error), error
                return error.count

        for _ in range(200):  # the end may come too late
            mine = Queue(address(), serializer=RawSerializer)
            putter = Call(put, mine)
            wait_for_the_first(putter)
            getattr(mine, kind.LEAVE)()
            count = putter.result()
            assert count > 0
            assert other.get_many() == items[:count]
            if count < ROOM:
                sys.exit()
        raise AssertionError("never amid a batch")
        """
    )


def test_a_batch_that_never_blocks_lets_handlers_run_and_goes_on(ample):
    ample(
        """
        sizes = []
        signal.signal(signal.SIGALRM, lambda *_: sizes.append(other.qsize()))
        for _ in range(500):  # the signal may come too late
            signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
            count = q.put_many(items)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert count == ROOM
            assert other.get_many() == items
            if any(0 < size < ROOM for size in sizes):
                sys.exit()
        raise AssertionError(f"never amid a batch: {set(sizes)}")
        """
    )


def test_what_a_handler_raises_amid_a_batch_that_never_blocks_counts_what_went(ample):
    ample(
        """
        from harness.process import interrupt

        def act():
            wait_for_the_first(threading.current_thread())
            interrupt()

        signal.signal(signal.SIGUSR1, lambda *_: 1 / 0)
        for _ in range(500):  # the signal may come too late
            try:
                actor = Call(act)
                q.put_many(items)
                actor.result()
                raise AssertionError("no handler ran, neither amid the batch nor after it")
            except ZeroDivisionError as error:
                count = getattr(error, "count", ROOM)
            actor.result()
            assert other.get_many() == items[:count]
            if count < ROOM:
                sys.exit()
        raise AssertionError("never amid a batch")
        """
    )


# --- nothing is lost -----------------------------------------------------------------------------


@without_end_or_in_time
def test_leaving_in_the_middle_of_a_batch_counts_what_went(small, address, timeout):
    q, other = small(3, address), small(3, address)
    putter = Call(outcome, lambda: q.put_many(letters(10), timeout=timeout)).until_asleep()
    assert other.get() == b"a"
    leave(q)
    count, error = putter.result()
    assert is_closed(error)
    assert drain(other) == letters(count)[1:]
    assert count in (3, 4)


def test_leaving_at_any_moment_of_a_batch_loses_nothing(small, fresh):
    for number in range(100):
        q, other = small(2, address := fresh()), small(2, address)
        putter = Call(outcome, lambda q=q: q.put_many(letters(50), timeout=60))
        got = [other.get(timeout=60) for _ in range(number % 7)]
        leave(q)
        count, error = putter.result()
        assert is_closed(error)
        assert got + drain(other) == letters(count)
        kind.destroy(other)


def test_leaving_at_any_moment_of_get_many_loses_nothing(small, fresh):
    def get_all(q):
        got = []
        with contextlib.suppress(QueueError):
            while True:
                got += q.get_many()
        return got

    for number in range(100):
        q, other = small(4, address := fresh()), small(4, address)
        getter, sent = Call(get_all, q), letters(number % 9 + 1)
        other.put_many(sent)
        leave(q)
        assert getter.result() + drain(other) == sent
        kind.destroy(other)


@pytest.mark.parametrize("end", kind.ENDS)
def test_the_end_wakes_a_waiting_get_many(q, end):
    getter = Call(q.get_many).until_asleep()
    getattr(q, end)()
    assert is_closed(getter.failure())


# --- signals -------------------------------------------------------------------------------------


@without_end_or_in_time
def test_a_signal_in_the_middle_interrupts_and_counts_what_went(
    small, handler, when_asleep, timeout
):
    q, calls = small(3), []
    handler(signal.SIGUSR1, lambda *_: calls.append(1))
    when_asleep(interrupt)
    count, error = outcome(lambda: q.put_many(letters(10), timeout=timeout))
    assert error.errno == QueueError.INTERRUPTED
    assert calls == [1]
    assert count == 3
    assert drain(q) == letters(3)


def test_what_a_handler_raises_in_the_middle_counts_what_went(small, handler, when_asleep):
    q = small(3)
    handler(signal.SIGUSR1, lambda *_: 1 / 0)
    when_asleep(interrupt)
    count, error = outcome(lambda: q.put_many(letters(10)))
    assert type(error) is ZeroDivisionError
    assert count == 3
    assert drain(q) == letters(3)


def test_retry_goes_on_with_the_batch(small, handler, when_asleep):
    q, calls = small(3, on_signal="retry"), []
    handler(signal.SIGUSR1, lambda *_: calls.append(1))

    def read():
        interrupt()
        until(lambda: calls)
        return [q.get(timeout=60) for _ in range(10)]

    reader = when_asleep(read)
    assert q.put_many(letters(10)) == 10
    assert reader.result() == letters(10)


def test_a_signal_interrupts_a_waiting_get_many(q, handler, when_asleep):
    handler(signal.SIGUSR1, lambda *_: None)
    when_asleep(interrupt)
    with pytest.raises(QueueError) as caught:
        q.get_many()
    assert caught.value.errno == QueueError.INTERRUPTED
    q.put_many("ab")
    assert q.get_many() == ["a", "b"]


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_storm_of_signals_loses_nothing_of_batches(make, handler, on_signal):
    ask, answer = (make(on_signal=on_signal, **kind.room(3, 7)) for _ in range(2))
    total, got, calls = MESSAGES // 6, [], []

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
            batch = range(sent, min(sent + 7, total))
            count, error = outcome(lambda batch=batch: ask.put_many(batch, timeout=0.01))
            assert (
                error is None or isinstance(error, queue.Full) or error.errno == error.INTERRUPTED
            )
            sent += count
            with contextlib.suppress(queue.Empty, QueueError):
                while True:
                    got += answer.get_many(timeout=0.0005)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    mirroring.result()
    assert got == list(range(total))
    assert calls


# --- messages that do not decode -----------------------------------------------------------------


def data_of(failures):
    return [failure.data for failure in failures]


def test_messages_that_do_not_decode_lose_nothing(make):
    q = make(serializer=PICKY, **kind.room(5))
    for number, data in enumerate((b"a", b"bad 1", b"c", b"bad 2", b"e")):
        q.put(data, **kind.mark(10 - number))
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    error = caught.value
    assert error.items == [b"a", b"c", b"e"]
    assert [type(each) for each in error.failures] == [DecodeError] * 2
    assert data_of(error.failures) == [b"bad 1", b"bad 2"]
    assert [getattr(each, MARK) for each in error.failures] == [9, 7]
    assert [str(each.__cause__) for each in error.failures] == ["b'bad 1'", "b'bad 2'"]
    assert error.failures[0] is error
    assert error.errno == QueueError.ERROR
    assert q.empty()


def test_a_batch_of_which_nothing_decodes(make):
    q = make(serializer=PICKY)
    q.put_many([b"bad 1", b"bad 2"])
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    assert caught.value.items == []
    assert data_of(caught.value.failures) == [b"bad 1", b"bad 2"]


@pytest.mark.parametrize("mark", [kind.MARKS[0], kind.MARKS[-1]])
def test_failures_of_a_batch_pickle_and_copy_whole(make, mark):
    q = make(serializer=PICKY)
    q.put_many([b"a", b"bad"], **kind.mark(mark))
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.deepcopy(caught.value)):
        assert type(again) is DecodeError
        assert again.items == [b"a"]
        assert (again.data, getattr(again, MARK)) == (b"bad", mark)
        assert again.failures[0] is again


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_gets_through_with_all_that_was_received(make, error):
    raised = []

    def loads(data):
        if data == b"stop":
            raised.append(error(data))
            raise raised[-1]
        return PICKY.loads(data)

    q = make(serializer=serializer_of(loads=loads))
    q.put_many([b"a", b"bad", b"stop", b"d"])
    with pytest.raises(error) as caught:
        q.get_many()
    assert caught.value is raised[0]
    assert caught.value.items == [b"a", b"d"]
    assert data_of(caught.value.failures) == [b"bad", b"stop"]
    assert caught.value.failures[1].__cause__ is raised[0]
    assert q.empty()


class Faceless(BaseException):
    @property
    def __class__(self):
        raise ZeroDivisionError


class Closed(BaseException):
    def __setattr__(self, name, value):
        raise RuntimeError("no attributes")


@pytest.mark.parametrize("error", [Faceless, Closed])
def test_an_exception_that_hides_its_class_or_takes_no_attributes_loses_nothing(make, error):
    def loads(data):
        if data == b"stop":
            raise error
        return data

    q = make(serializer=serializer_of(loads=loads))
    q.put_many([b"a", b"stop", b"c", b"stop"])
    caught = None
    try:
        q.get_many()
    except BaseException as raised:  # pytest.raises would ask for its class
        caught = raised
    assert type(caught) is error
    assert caught.items == [b"a", b"c"]
    assert data_of(caught.failures) == [b"stop", b"stop"]


def test_a_serializer_that_always_raises_the_same_object_loses_nothing(make):
    error = ValueError("always this one")

    def loads(data):
        raise error

    q = make(serializer=serializer_of(loads=loads))
    q.put_many([b"a", b"b"])
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    assert data_of(caught.value.failures) == [b"a", b"b"]


def test_loads_may_close_the_queue_amid_a_batch(make):
    def loads(data):
        q.close()
        return data

    q = make(serializer=serializer_of(loads=loads))
    q.put_many([b"a", b"b"])
    assert q.get_many() == [b"a", b"b"]
    assert q.closed


def at(depth, call):
    """Make a call so many calls deep."""
    return call() if depth == 0 else at(depth - 1, call)


def deepest():
    """How deep at() may go here."""
    low, high = 0, sys.getrecursionlimit()
    while low < high - 1:
        middle = (low + high) // 2
        try:
            at(middle, lambda: None)
            low = middle
        except RecursionError:
            high = middle
    return low


@pytest.mark.parametrize("left", range(1, 8))
def test_a_refusal_at_the_limit_of_recursion_loses_nothing(make, left):
    """Where not even a DecodeError can be made, what the serializer raised stands for it."""
    q = make(serializer=PICKY)
    q.put_many([b"a", b"bad", b"c"])
    with pytest.raises((DecodeError, ValueError, RecursionError)) as caught:
        at(deepest() - left + 1, q.get_many)
    assert sorted(caught.value.items + data_of(caught.value.failures)) == [b"a", b"bad", b"c"]
    q.put(b"bad")
    with pytest.raises((DecodeError, ValueError, RecursionError)) as caught:
        at(deepest() - left + 1, q.get)
    assert caught.value.data == b"bad"


# --- many at once --------------------------------------------------------------------------------


def test_a_batch_waits_without_the_gil(small, make):
    q = small(1)
    putter = Call(q.put_many, letters(3)).until_asleep()
    getter = Call(make().get_many).until_asleep()
    assert sum(1 for _ in range(100_000)) == 100_000  # it would stand still otherwise
    assert [q.get(), q.get(), q.get()] == letters(3)
    assert putter.result() == 3
    assert getter.is_alive()


def test_a_large_batch_goes_through_a_small_queue_to_another_process(make, spawn):
    q, back = make(**kind.room(2, 64)), make(**kind.room(2, 64))
    count = MESSAGES // 4
    child = spawn(
        """
        q, back, passed = Queue(address()), Queue(address(1)), 0
        while passed < int(args[2]):
            items = q.get_many(timeout=60)
            assert back.put_many(items, timeout=60) == len(items)
            passed += len(items)
        """,
        kind.address_of(q),
        kind.address_of(back),
        count,
    )

    def collect():
        result = []
        while len(result) < count:
            result += back.get_many(timeout=60)
        return result

    collector = Call(collect)
    assert q.put_many(range(count)) == count
    child.finish()
    assert collector.result() == list(range(count))


WORKER = """
first, count = map(int, args[1:])
q = Queue(address(), serializer=RawSerializer, create=False)
received = [[], []]

def produce(producer):
    numbers = iter(range(count))
    while batch := [b"%d %d" % (producer, n) for _, n in zip(range(1 + producer * 5), numbers)]:
        assert q.put_many(batch, **kind.mark(1 + producer)) == len(batch)

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


def check_order(received, count):
    """Everybody got what each producer sent in its order, and all together got everything."""
    for got in received:
        for producer in range(4):
            numbers = [number for who, number in got if who == producer]
            assert numbers == sorted(numbers), "out of order"
    everything = sorted(each for got in received for each in got)
    assert everything == [(who, number) for who in range(4) for number in range(count)]


def test_two_processes_of_four_threads_exchange_batches_and_lose_nothing(make, spawn, address):
    q = make(address, serializer=RawSerializer, **kind.room(4, 25))
    count = MESSAGES // 4
    children = [spawn(WORKER, address, first, count) for first in (0, 2)]
    for child in children:
        assert child.line() == "produced"
    for _ in range(4):
        q.put(b"")
    received = [texts for child in children for texts in json.loads(child.finish())]
    check_order([[tuple(map(int, text.split())) for text in texts] for texts in received], count)
    assert q.empty()


@pytest.mark.parametrize("spin_us", [None, 0], ids=["spin", "no spin"])
def test_eight_threads_exchange_batches_of_every_kind(make, spin_us):
    q = make(spin_us=spin_us, **kind.room(3, 64))
    count = MESSAGES // 48
    done = threading.Event()

    def produce(producer):
        number = 0
        while number < count:
            items = [(producer, n) for n in range(number, min(number + 1 + number % 11, count))]
            how = number % 3
            with contextlib.suppress(queue.Full):
                number += q.put_many(items, how != 0, timeout=0.001 if how == 1 else None)

    def consume(turn):
        got = []
        while not done.is_set():
            turn += 1
            with contextlib.suppress(queue.Empty):
                got += q.get_many(turn % 5 or None, turn % 2 == 0, timeout=0.001)
        return got

    consumers = [Call(consume, turn) for turn in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(100)
    until(q.empty)
    done.set()
    check_order([consumer.result() for consumer in consumers], count)


def test_batches_leak_nothing(make, address):
    options = kind.room(4, 128)
    q, raw = (make(address, serializer=each, **options) for each in (PICKY, RawSerializer))
    refused = (
        lambda: q.get_many(block=False),
        lambda: raw.put_many([b"a", bytearray(600)]),
        lambda: raw.put_many([bytearray(b"a"), "text"]),
        lambda: raw.put_many(5),
        lambda: q.get_many(0),
    )

    def work(times):
        for _ in range(times):
            assert q.put_many([b"a", b"b" * 100], **kind.mark(400)) == 2
            assert q.get_many() == [b"a", b"b" * 100]
            raw.put_many([bytearray(b"a"), b"bad", b"bad"])
            with pytest.raises(DecodeError):
                q.get_many()
            for call in refused:
                with contextlib.suppress(queue.Empty, QueueError, TypeError):
                    call()
                    pytest.fail("not refused")
            assert raw.put_many([bytearray(128)] * 9, block=False) == 4
            with pytest.raises(queue.Full):
                raw.put_many([bytearray(b"a")], block=False)
            assert raw.get_many(257) == [bytes(128)] * 4

    blocks, memory = growth(work, 200)
    assert blocks < 100, "one a round would be 200"
    assert memory < 500_000


def test_get_many_frees_its_memory(make):
    """Its room for messages comes from malloc(3), which only the size of the process shows."""
    q = make(serializer=RawSerializer, **kind.room(2, 8192))

    def work(times):
        for _ in range(times):
            q.put_many([b"a", b"b" * 8000])
            q.get_many()
            with contextlib.suppress(queue.Empty):
                q.get_many(block=False)

    _, memory = growth(work, 300)
    assert memory < 1_000_000
