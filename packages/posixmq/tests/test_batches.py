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

from harness.calls import Call
from harness.measure import growth, in_time, times_out
from harness.tasks import main_task, until, until_asleep
from posixmq import DecodeError, Queue, QueueError, RawSerializer

MESSAGES = int(os.environ.get("POSIXMQ_TEST_MESSAGES", "12000"))
WAIT_S = 2.0  # far less than the wait would last if it were wrong


def test_a_batch_larger_than_the_queue_goes_whole_however_slow_the_reader(make):
    """From the main thread, too, which wakes between the messages to look for signals."""
    q = make(maxsize=2)

    def read():
        got = []
        for _ in range(12):
            time.sleep(0.02)  # longer than a spin, and than a look for signals
            got.append(q.get(timeout=60))
        return got

    reader = Call(read)
    assert q.put_many(range(12)) == 12
    assert reader.result() == list(range(12))


def test_get_many_takes_no_more_than_the_queue_holds(make):
    """Writers that wait would hand over message after message, and it might never end."""
    q = make(maxsize=2)
    q.put_many("ab")
    writer = Call(q.put_many, "cdefgh").until_asleep()
    got = q.get_many(max_items=10**6)
    assert got == ["a", "b"]
    while len(got) < 8:
        more = q.get_many(timeout=60)
        assert len(more) <= 2
        got += more
    assert writer.result() == 6
    assert "".join(got) == "abcdefgh"


# A queue with room for whole batches, which only a namespace of one's own may have: nothing blocks.
ROOMY = """
import ctypes

ROOM = 5000

def in_a_namespace():
    try:
        if ctypes.CDLL(None).unshare(0x08000000) != 0:
            raise OSError
        with open("/proc/sys/fs/mqueue/msg_max", "w") as file:
            file.write(str(ROOM))
        return Queue(sys.argv[1], ROOM, 16, serializer=RawSerializer)
    except OSError:
        print("no right")
        sys.exit()

q = in_a_namespace()
other = Queue(sys.argv[1], serializer=RawSerializer)
items = [b"x"] * ROOM
"""


@pytest.fixture
def roomy(spawn, name):
    """Run a script on a queue with room for 5,000 messages."""

    def run(code):
        if "no right" in spawn(ROOMY + textwrap.dedent(code), name).finish():
            pytest.skip("no right to an IPC namespace here")

    return run


def test_a_batch_that_never_blocks_sees_that_its_time_is_up(roomy):
    roomy(
        """
        started = time.monotonic()
        count = q.put_many(items, timeout=1e-6)
        assert 0 < count < ROOM, count
        assert other.qsize() == count
        assert len(other.get_many()) == count
        assert q.put_many(items, timeout=0) == ROOM  # that is not to wait at all
        """
    )


def test_a_batch_that_never_blocks_sees_that_it_is_closed(roomy):
    roomy(
        """
        def put():
            try:
                counts.append(q.put_many(items))
            except QueueError as error:
                assert error.errno == QueueError.INVALID_DESCRIPTOR
                counts.append(error.count)

        for _ in range(200):  # the closing thread may come too late
            counts = []
            q = Queue(sys.argv[1], serializer=RawSerializer)
            thread = threading.Thread(target=put)
            thread.start()
            while other.empty() and not counts:
                pass
            q.close()
            thread.join()
            assert other.qsize() == counts[0]
            assert other.empty() or len(other.get_many()) == counts[0]
            if counts[0] < ROOM:
                sys.exit()
        raise AssertionError("never seen")
        """
    )


def test_a_batch_that_never_blocks_lets_handlers_run(roomy):
    roomy(
        """
        sizes = []
        signal.signal(signal.SIGALRM, lambda *_: sizes.append(other.qsize()))
        for _ in range(500):  # the signal may come too late
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            count = q.put_many(items)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert count == ROOM
            assert len(other.get_many()) == ROOM
            if any(0 < size < ROOM for size in sizes):
                sys.exit()
        raise AssertionError(f"never amid a batch: {set(sizes)}")
        """
    )


def test_get_many_frees_its_memory(make):
    """Its room for messages comes from malloc(3), which only the size of the process shows."""
    q = make(maxsize=2, maxmsgsize=8192, serializer=RawSerializer)

    def work(times):
        for _ in range(times):
            q.put_many([b"a", b"b"])
            q.get_many()
            with contextlib.suppress(queue.Empty):
                q.get_many(block=False)

    _, memory = growth(work, 300)
    assert memory < 1_000_000


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
    q.put(b"bad")
    with pytest.raises((DecodeError, ValueError, RecursionError)) as caught:
        at(deepest() - left + 1, q.get)
    assert caught.value.data == b"bad"


UNFIT = {
    "an item that does not pickle": (["a", lambda: None, "c"], Exception),
    "an item that is too long": (["a", "x" * 300, "c"], QueueError),
    "no iterable": (5, TypeError),
}


@pytest.mark.parametrize(("items", "error"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_sent_sends_nothing_and_says_so(q, items, error):
    with pytest.raises(error) as caught:
        q.put_many(items)
    assert caught.value.count == 0
    assert q.empty()


def test_a_closed_queue_refuses_a_batch_and_counts_none(q):
    q.close()
    for items in (["a"], []):
        with pytest.raises(QueueError) as caught:
            q.put_many(items)
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
        assert caught.value.count == 0


# --- what goes and in which order ----------------------------------------------------------------------


def drain(q):
    """What is in the queue now."""
    got = []
    with contextlib.suppress(queue.Empty):
        while True:
            got.append(q.get_nowait())
    return got


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
    for queue_ in (q, full):
        size = queue_.qsize()
        assert queue_.put_many([]) == 0
        assert queue_.put_many(iter(()), timeout=0) == 0
        assert queue_.put_many((), block=False) == 0
        assert queue_.qsize() == size


def test_all_of_a_batch_have_the_priority(q):
    q.put("middle", priority=5)
    q.put_many(["low", "low too"], priority=1)
    q.put_many(["high"], priority=9)
    assert [q.receive() for _ in range(4)] == [
        ("high", 9),
        ("middle", 5),
        ("low", 1),
        ("low too", 1),
    ]


def test_get_many_goes_by_priority_and_then_by_age(q):
    for item, priority in (("low", 0), ("high", 2), ("low too", 0), ("high too", 2)):
        q.put(item, priority=priority)
    assert q.get_many() == ["high", "high too", "low", "low too"]


def test_every_parameter_of_a_batch_may_be_given_by_place_or_keyword(make, name):
    q, raw = make(name), make(name, serializer=RawSerializer)
    assert q.put_many(["x"], True, 1, 7, 4) == 1
    assert q.put_many(items=["y"], block=True, timeout=1, priority=7, pickle_protocol=4) == 1
    assert raw.get_many() == [pickle.dumps("x", 4), pickle.dumps("y", 4)]
    q.put_many(["x", "y"])
    assert q.get_many(1, True, 1) == ["x"]
    assert q.get_many(max_items=1, block=True, timeout=1) == ["y"]


@pytest.mark.parametrize("serializer", [None, RawSerializer, json, Picky])
def test_batches_use_the_serializer(make, serializer):
    q = make(serializer=serializer)
    items = [b"a", b"", b"c"] if serializer in (RawSerializer, Picky) else ["a", [], {"c": 1}]
    assert q.put_many(items) == 3
    assert q.get_many() == items


def test_batches_and_single_messages_mix(q):
    q.put("a")
    q.put_many(["b", "c"])
    assert q.get() == "a"
    q.put("d")
    assert q.get_many() == ["b", "c", "d"]


def test_messages_of_every_length_keep_their_place_in_a_batch(make):
    q = make(maxsize=10, maxmsgsize=128, serializer=RawSerializer)
    for start in range(0, 129, 9):
        items = [bytes([65 + number]) * ((start + number) % 129) for number in range(9)]
        assert q.put_many(items) == 9
        assert q.get_many() == items


def test_a_batch_may_hold_one_object_many_times(make):
    q = make(serializer=RawSerializer)
    buffer = bytearray(b"again")
    assert q.put_many([buffer] * 4) == 4
    buffer.extend(b": nobody holds it")
    assert q.get_many() == [b"again"] * 4


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
    items = ["a", "b", "c"]

    class Evil:
        @staticmethod
        def dumps(obj):
            items.clear()
            return obj

        @staticmethod
        def loads(data):
            return data

    q = make(serializer=Evil)
    assert q.put_many(items) == 3
    assert q.get_many() == [b"a", b"b", b"c"]


def test_an_iterable_that_raises_sends_nothing(q):
    def items():
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        q.put_many(items())
    assert caught.value.count == 0
    assert q.empty()


@pytest.mark.parametrize("how", ["dumps", "iter"])
def test_closing_amid_a_batch_sends_nothing(make, name, how):
    class Closing:
        @staticmethod
        def dumps(obj):
            if how == "dumps":
                q.close()
            return obj

        @staticmethod
        def loads(data):
            return data

    def items():
        yield b"a"
        if how == "iter":
            q.close()
        yield b"b"

    q, other = make(name, serializer=Closing), make(name)
    with pytest.raises(QueueError) as caught:
        q.put_many(items())
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert caught.value.count == 0
    assert other.empty()


def test_the_length_is_looked_at_before_the_first_goes(q):
    for place in range(3):
        items = ["a", "b", "c"]
        items[place] = "x" * 300
        with pytest.raises(QueueError) as caught:
            q.put_many(items)
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
        assert caught.value.count == 0
        assert "maxmsgsize is 256" in str(caught.value)
        assert q.empty()


def test_a_batch_that_fails_frees_its_buffers(make):
    q = make(serializer=RawSerializer)
    buffers = [bytearray(b"a"), bytearray(b"b"), bytearray(300), bytearray(b"d")]
    for last in (b"x", "no bytes"):
        with pytest.raises((QueueError, TypeError)):
            q.put_many([*buffers, last])
        for buffer in buffers:
            buffer.append(0)


BAD = {
    "max_items=0": (lambda q: q.get_many(0), QueueError),
    "max_items=-1": (lambda q: q.get_many(-1), QueueError),
    "max_items=10**100": (lambda q: q.get_many(10**100), QueueError),
    "max_items=1.0": (lambda q: q.get_many(1.0), TypeError),
    "max_items='1'": (lambda q: q.get_many("1"), TypeError),
    "a negative timeout": (lambda q: q.get_many(timeout=-1), ValueError),
    "NaN": (lambda q: q.get_many(timeout=float("nan")), ValueError),
    "four arguments": (lambda q: q.get_many(1, True, None, 0), TypeError),
    "no items": (lambda q: q.put_many(), TypeError),
    "a priority too high": (lambda q: q.put_many(["x"], priority=32768), QueueError),
    "a priority too low": (lambda q: q.put_many(["x"], priority=-1), QueueError),
    "a protocol that is none": (lambda q: q.put_many(["x"], pickle_protocol=99), ValueError),
    "a bad timeout": (lambda q: q.put_many(["x"], timeout="1"), TypeError),
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


# --- how many ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3])
def test_max_items_is_kept_and_the_rest_stays(q, most):
    q.put_many(range(4))
    assert q.get_many(most) == list(range(most))
    assert drain(q) == list(range(most, 4))


@pytest.mark.parametrize("most", [None, 4, 5, 10**6, sys.maxsize], ids=str)
def test_more_than_there_are_may_be_asked_for(q, most):
    q.put_many(range(4))
    assert q.get_many(most) == [0, 1, 2, 3]
    with pytest.raises(queue.Empty):
        q.get_many(most, block=False)


def test_max_items_may_be_anything_with_an_index(q):
    class Two:
        def __index__(self):
            return 2

    q.put_many(range(3))
    assert q.get_many(Two()) == [0, 1]


def test_put_many_without_waiting_puts_what_there_is_room_for(q):
    assert q.put_many(range(9), block=False) == 4
    with pytest.raises(queue.Full) as caught:
        q.put_many([9], block=False)
    assert caught.value.count == 0
    with pytest.raises(queue.Full):
        q.put_many([9], timeout=0)
    assert drain(q) == [0, 1, 2, 3]
    assert q.put_many(range(9), timeout=0) == 4


@pytest.mark.native("those who wait make room")
def test_put_many_without_waiting_serves_those_who_wait_as_well(make):
    """There is room for them besides what the queue holds."""
    q = make(maxsize=2)
    readers = [Call(q.get).until_asleep() for _ in range(3)]
    assert q.put_many(range(9), block=False) == 5
    assert sorted(reader.result() for reader in readers) == [0, 1, 2]
    assert drain(q) == [3, 4]


def test_get_many_without_waiting(q):
    for options in ({"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}):
        with pytest.raises(queue.Empty):
            q.get_many(**options)
        q.put_many("ab")
        assert q.get_many(**options) == ["a", "b"]


@pytest.mark.parametrize("timeout", [None, 60])
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


@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_a_timeout_in_the_middle_counts_what_went(make, in_thread):
    q = make(maxsize=3)

    def put():
        started = time.monotonic()
        count = q.put_many(range(10), timeout=0.3)
        return count, time.monotonic() - started

    def attempt():
        count, waited = Call(put).result() if in_thread else put()
        assert count == 3
        assert drain(q) == [0, 1, 2]
        assert waited >= 0.3
        return waited

    in_time(attempt, WAIT_S)


@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_the_timeout_is_one_for_the_whole_batch(make, in_thread):
    """Each message comes off in time, and all together do not: they would take 5 s."""
    q = make(maxsize=1)

    def put():
        started = time.monotonic()
        count = q.put_many(range(100), timeout=0.4)
        return count, time.monotonic() - started

    def attempt():
        done, got = threading.Event(), []

        def read():
            while not done.wait(0.05):
                with contextlib.suppress(queue.Empty):
                    got.append(q.get_nowait())

        reader = Call(read)
        try:
            count, waited = Call(put).result() if in_thread else put()
        finally:
            done.set()
        reader.result()
        assert waited >= 0.4
        assert got + drain(q) == list(range(count))
        return waited if count >= 2 else WAIT_S  # the reader never came: no proof

    in_time(attempt, WAIT_S)


# --- nothing is lost -----------------------------------------------------------------------------------


def outcome(call):
    """How many went, and what was raised."""
    try:
        return call(), None
    except (queue.Full, QueueError, ZeroDivisionError) as error:
        return error.count, error


@pytest.mark.parametrize("timeout", [None, 60])
def test_close_in_the_middle_of_a_batch_counts_what_went(make, name, timeout):
    q, other = make(name, maxsize=3), make(name)
    putter = Call(outcome, lambda: q.put_many(range(10), timeout=timeout)).until_asleep()
    assert other.get() == 0
    putter.until_asleep()
    q.close()
    count, error = putter.result()
    assert error.errno == QueueError.INVALID_DESCRIPTOR
    assert drain(other) == list(range(1, count))
    assert count in (3, 4)


def test_close_at_any_moment_of_a_batch_loses_nothing(make, fresh):
    for number in range(100):
        name = fresh()
        q, other = make(name, maxsize=2), make(name)
        putter = Call(outcome, lambda q=q: q.put_many(range(50), timeout=60))
        got = [other.get(timeout=60) for _ in range(number % 7)]
        q.close()
        count, error = putter.result()
        assert error.errno == QueueError.INVALID_DESCRIPTOR
        assert got + drain(other) == list(range(count))
        other.close()
        other.unlink()


def test_close_at_any_moment_of_get_many_loses_nothing(make, fresh):
    for number in range(100):
        name = fresh()
        q, other = make(name, maxsize=4), make(name)

        def get_all(q=q):
            got = []
            with contextlib.suppress(QueueError):
                while True:
                    got += q.get_many()
            return got

        getter = Call(get_all)
        other.put_many(range(number % 9 + 1))
        q.close()
        assert getter.result() + drain(other) == list(range(number % 9 + 1))
        other.close()
        other.unlink()


def test_close_wakes_a_waiting_get_many(q):
    getter = Call(q.get_many).until_asleep()
    q.close()
    assert getter.failure().errno == QueueError.INVALID_DESCRIPTOR


class Handled:
    """Handlers of SIGUSR1 and SIGALRM for a test."""

    def __init__(self):
        self.calls = []
        self.before = {n: signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGALRM)}

    def by(self, action=lambda: None):
        def handler(number, frame):
            self.calls.append(number)
            action()

        for number in self.before:
            signal.signal(number, handler)


@pytest.fixture
def handled():
    """Set handlers of signals; they are put back at the end."""
    handled = Handled()
    yield handled
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in handled.before.items():
        signal.signal(number, handler)


@pytest.fixture
def poke():
    """Send the main thread a signal once it sleeps in a queue, then do something."""
    main = threading.main_thread()

    def work(then):
        until_asleep(main_task())
        signal.pthread_kill(main.ident, signal.SIGUSR1)
        if then is not None:
            then()

    return lambda then=None: Call(work, then)


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_signal_in_the_middle_interrupts_and_counts_what_went(make, handled, poke, timeout):
    q = make(maxsize=3)
    handled.by()
    poker = poke()
    count, error = outcome(lambda: q.put_many(range(10), timeout=timeout))
    poker.result()
    assert error.errno == QueueError.INTERRUPTED
    assert handled.calls == [signal.SIGUSR1]
    assert count == 3
    assert drain(q) == [0, 1, 2]


def test_what_a_handler_raises_in_the_middle_counts_what_went(make, handled, poke):
    q = make(maxsize=3)
    handled.by(lambda: 1 / 0)
    poker = poke()
    count, error = outcome(lambda: q.put_many(range(10)))
    poker.result()
    assert type(error) is ZeroDivisionError
    assert count == 3
    assert drain(q) == [0, 1, 2]


def test_retry_goes_on_with_the_batch(make, handled, poke):
    q = make(maxsize=3, on_signal="retry")
    handled.by()
    got = []

    def read():
        until(lambda: handled.calls)
        while len(got) < 10:
            got.append(q.get(timeout=60))

    poker = poke(read)
    assert q.put_many(range(10)) == 10
    poker.result()
    assert got == list(range(10))


def test_a_signal_interrupts_a_waiting_get_many(q, handled, poke):
    handled.by()
    poker = poke()
    with pytest.raises(QueueError) as caught:
        q.get_many()
    poker.result()
    assert caught.value.errno == QueueError.INTERRUPTED
    q.put_many("ab")
    assert q.get_many() == ["a", "b"]


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_storm_of_signals_loses_nothing_of_batches(make, handled, on_signal):
    ask, answer = make(maxsize=3, on_signal=on_signal), make(maxsize=3, on_signal=on_signal)
    total, got = MESSAGES // 12, []

    def mirror():
        passed = 0
        while passed < total:
            items = ask.get_many(timeout=60)
            assert answer.put_many(items) == len(items)
            passed += len(items)

    handled.by()
    mirroring = Call(mirror)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    sent = 0
    while len(got) < total:
        count, error = outcome(
            lambda: ask.put_many(range(sent, min(sent + 7, total)), timeout=0.01)
        )
        assert error is None or isinstance(error, queue.Full) or error.errno == error.INTERRUPTED
        sent += count
        with contextlib.suppress(queue.Empty, QueueError):
            while True:
                got += answer.get_many(timeout=0.0005)
    signal.setitimer(signal.ITIMER_REAL, 0)
    mirroring.result()
    assert got == list(range(total))
    assert handled.calls


# --- messages that do not decode ---------------------------------------------------------------------


def test_messages_that_do_not_decode_lose_nothing(make):
    q = make(maxsize=5, serializer=Picky)
    for number, data in enumerate((b"a", b"bad 1", b"c", b"bad 2", b"e")):
        q.put(data, priority=10 - number)
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    error = caught.value
    assert error.items == [b"a", b"c", b"e"]
    assert [type(each) for each in error.failures] == [DecodeError] * 2
    assert [each.data for each in error.failures] == [b"bad 1", b"bad 2"]
    assert [each.priority for each in error.failures] == [9, 7]
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
    q.put_many([b"a", b"bad"])
    with pytest.raises(DecodeError) as caught:
        q.get_many()
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.deepcopy(caught.value)):
        assert type(again) is DecodeError
        assert again.items == [b"a"]
        assert (again.data, again.priority) == (b"bad", 0)
        assert again.failures[0] is again


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_gets_through_with_all_that_was_received(make, kind):
    raised = []

    class Interrupting:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            if data == b"stop":
                raised.append(kind(data))
                raise raised[-1]
            return Picky.loads(data)

    q = make(maxsize=6, serializer=Interrupting)
    q.put_many([b"a", b"bad", b"stop", b"d"])
    with pytest.raises(kind) as caught:
        q.get_many()
    assert caught.value is raised[0]
    assert caught.value.items == [b"a", b"d"]
    assert [each.data for each in caught.value.failures] == [b"bad", b"stop"]
    assert caught.value.failures[1].__cause__ is raised[0]
    assert q.empty()


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
    class Closing:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            q.close()
            return data

    q = make(serializer=Closing)
    q.put_many([b"a", b"b"])
    assert q.get_many() == [b"a", b"b"]
    assert q.closed


# --- many at once --------------------------------------------------------------------------------------


def test_a_batch_waits_without_the_gil(make):
    q = make(maxsize=1)
    putter = Call(q.put_many, range(3)).until_asleep()
    counted = sum(1 for _ in range(100_000))  # it would stand still otherwise
    getter = make().get_many
    waiting = Call(getter).until_asleep()
    assert counted == 100_000
    assert [q.get(), q.get(), q.get()] == [0, 1, 2]
    assert putter.result() == 3
    assert waiting.is_alive()


def test_a_large_batch_goes_through_a_small_queue_to_another_process(make, spawn):
    q, back = make(maxsize=2, maxmsgsize=64), make(maxsize=2, maxmsgsize=64)
    count = MESSAGES // 6
    process = spawn(
        """
        with Queue(sys.argv[1]) as q, Queue(sys.argv[2]) as back:
            passed = 0
            while passed < int(sys.argv[3]):
                items = q.get_many(timeout=60)
                assert back.put_many(items, timeout=60) == len(items)
                passed += len(items)
        """,
        q.name,
        back.name,
        count,
    )
    result = []

    def collect():
        while len(result) < count:
            result.extend(back.get_many(timeout=60))

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    assert q.put_many(range(count)) == count
    process.finish()
    collector.join(60)
    assert result == list(range(count))


WORKER = """
name, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
q = Queue(name, serializer=RawSerializer, create=False)
received = [[], []]

def produce(producer):
    numbers = iter(range(count))
    while batch := [b"%d %d" % (producer, n) for _, n in zip(range(1 + producer * 5), numbers)]:
        assert q.put_many(batch) == len(batch)

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
q.close()
"""


def test_two_processes_of_four_threads_exchange_batches_and_lose_nothing(make, spawn):
    q = make(maxsize=4, maxmsgsize=64, serializer=RawSerializer)
    count = MESSAGES // 4
    processes = [spawn(WORKER, q.name, first, count) for first in (0, 2)]
    for process in processes:
        assert process.line() == "produced"
    for _ in range(4):
        q.put(b"")
    received = [got for process in processes for got in json.loads(process.finish())]
    everything = []
    for got in received:
        last = {}
        for each in got:
            producer, number = map(int, each.split())
            assert number > last.get(producer, -1), "out of order"
            last[producer] = number
            everything.append((producer, number))
    assert sorted(everything) == [(p, n) for p in range(4) for n in range(count)]
    assert q.empty()


@pytest.mark.parametrize("spin_us", [None, 0], ids=["spin", "no spin"])
def test_eight_threads_exchange_batches_of_every_kind(make, spin_us):
    q = make(maxsize=3, spin_us=spin_us)
    count = MESSAGES // 48
    done = threading.Event()

    def produce(producer):
        number = 0
        while number < count:
            items = [(producer, n) for n in range(number, min(number + 1 + number % 11, count))]
            kind = number % 3
            with contextlib.suppress(queue.Full):
                number += q.put_many(items, kind != 0, 0.001 if kind == 1 else None)

    def consume(turn):
        got = []
        while not done.is_set():
            turn += 1
            with contextlib.suppress(queue.Empty):
                got += q.get_many(turn % 5 or None, turn % 2 == 0, 0.001)
        return got

    consumers = [Call(consume, turn) for turn in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(100)
    while not q.empty():
        time.sleep(0.001)
    done.set()
    received = [consumer.result() for consumer in consumers]
    for got in received:
        for producer in range(4):
            numbers = [number for each, number in got if each == producer]
            assert numbers == sorted(numbers)
    everything = sorted(each for got in received for each in got)
    assert everything == [(p, n) for p in range(4) for n in range(count)]


def test_batches_leak_nothing(make, name):
    q, raw = make(name, serializer=Picky), make(name, serializer=RawSerializer)

    def work(times):
        for _ in range(times):
            assert q.put_many([b"a", b"b" * 100], priority=400) == 2
            assert q.get_many() == [b"a", b"b" * 100]
            raw.put_many([bytearray(b"a"), b"bad", b"bad"])
            with pytest.raises(DecodeError):
                q.get_many()
            for call in (
                lambda: q.get_many(block=False),
                lambda: raw.put_many([b"a", bytearray(300)]),
                lambda: raw.put_many([bytearray(b"a"), "text"]),
                lambda: raw.put_many(5),
                lambda: q.get_many(0),
            ):
                with contextlib.suppress(queue.Empty, QueueError, TypeError):
                    call()
                    pytest.fail("not refused")
            assert raw.put_many([bytearray(b"a")] * 9, block=False) == 4
            with pytest.raises(queue.Full):
                raw.put_many([bytearray(b"a")], block=False)
            drain(raw)

    blocks, memory = growth(work, 200)
    assert blocks < 180, "one a round would be 200"
    assert memory < 500_000


def test_what_the_serializer_raises_keeps_its_context(name):
    class Refusing:
        @staticmethod
        def dumps(item):
            try:
                raise LookupError("inner")
            except LookupError:
                raise ValueError("outer")  # noqa: B904 - its context is what counts

        loads = staticmethod(bytes)

    with Queue(name, 5, 100, serializer=Refusing) as q:
        try:
            raise OSError("handled")
        except OSError:
            with pytest.raises(ValueError) as caught:
                q.put_many([1])
        assert isinstance(caught.value.__context__, LookupError)
        assert caught.value.count == 0
