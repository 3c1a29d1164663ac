"""What batches of System V queues alone promise: types, room in bytes, removal and set()."""

import pickle
import signal
import time
from queue import Empty, Full

import pytest

from harness.calls import Call
from harness.errors import is_closed
from harness.process import interrupt
from harness.tasks import until
from kind import LONG_MAX, QueueError, RawSerializer, kernel_limit, remove_id

without_end_or_in_time = pytest.mark.parametrize("timeout", [None, 60])


@pytest.fixture
def small(make):
    """A function: a queue of bytes with room for so many bytes."""
    return lambda size, key=..., **options: make(key, size, serializer=RawSerializer, **options)


def letters(number):
    """So many messages of one byte each."""
    return [bytes([97 + place % 26]) for place in range(number)]


def outcome(call):
    """How many went, and what was raised."""
    try:
        return call(), None
    except (Full, QueueError) as error:
        return error.count, error


# --- types ---------------------------------------------------------------------------------------


@pytest.fixture
def types(q):
    for number, type_ in enumerate((5, 3, 5, 9, 4, 3)):
        q.put(f"{number} of {type_}", msg_type=type_)
    return q


def test_get_many_takes_any_type_by_age(types):
    assert [item[0] for item in types.get_many()] == list("012345")


def test_get_many_takes_one_type(types):
    assert types.get_many(msg_type=5) == ["0 of 5", "2 of 5"]
    assert types.get_many(None, True, 3) == ["1 of 3", "5 of 3"]
    with pytest.raises(Empty):
        types.get_many(msg_type=5, block=False)
    assert types.get_many() == ["3 of 9", "4 of 4"]


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


def test_the_parameters_of_a_batch_may_be_given_by_place(make, key):
    q, raw = make(key), make(key, serializer=RawSerializer)
    assert q.put_many(["x"], True, 7, 4, timeout=1) == 1
    assert raw.get_many(msg_type=7) == [pickle.dumps("x", 4)]
    q.put_many("xy")
    assert q.get_many(1, True, 1, timeout=1, exclude=False) == ["x"]
    assert q.get_many(max_items=1, block=True, msg_type=1, timeout=1, exclude=0) == ["y"]


def test_the_type_to_get_may_be_anything_with_an_index(q):
    class Two:
        def __index__(self):
            return 2

    q.put("other")
    q.put_many(range(2), msg_type=2)
    assert q.get_many(msg_type=Two()) == [0, 1]


BAD = {
    "a type that is none": (lambda q: q.get_many(msg_type="1"), TypeError),
    "a type beyond C": (lambda q: q.get_many(msg_type=LONG_MAX + 1), QueueError),
    "no type to exclude": (lambda q: q.get_many(exclude=True), QueueError),
    "a type to exclude that is none": (
        lambda q: q.get_many(msg_type=-1, exclude=True),
        QueueError,
    ),
    "a timeout by place": (lambda q: q.put_many(["x"], True, 1, 1, 1.0), TypeError),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_bad_types_of_batches_are_refused_and_change_nothing(q, call, error):
    q.put("untouched")
    with pytest.raises(error) as caught:
        call(q)
    if error is QueueError:
        assert caught.value.errno == QueueError.INVALID_VALUE
    assert q.get_many() == ["untouched"]


# --- room ----------------------------------------------------------------------------------------


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


def test_as_many_as_there_are_come_at_once(raw):
    total = kernel_limit("msgmnb")
    assert raw.put_many([b"x"] * total) == total
    assert len(raw.get_many()) == total


def test_the_room_is_counted_in_bytes(small):
    q = small(10)
    assert q.put_many([b"aaaa", b"bbbb", b"ccc", b"d"], block=False) == 2
    assert q.put_many([b"dd", b"e"], block=False) == 1
    assert q.get_many() == [b"aaaa", b"bbbb", b"dd"]


def test_messages_of_no_bytes_have_room_as_long_as_there_are_fewer_than_bytes(small):
    q = small(4)
    assert q.put_many([b""] * 9, block=False) == 4
    assert q.get_many() == [b""] * 4


def test_the_system_s_longest_message_is_looked_at_before_the_first_goes(raw):
    with pytest.raises(QueueError, match=r"kernel\.msgmax") as caught:
        raw.put_many([b"a", bytes(kernel_limit("msgmax") + 1)])
    assert (caught.value.errno, caught.value.count) == (QueueError.TOO_BIG_MESSAGE, 0)
    assert raw.empty()


@without_end_or_in_time
def test_a_queue_that_gets_too_small_amid_a_batch_counts_what_went(
    small, handler, when_asleep, timeout
):
    """max_bytes may change between any two system calls."""
    q = small(8, on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: q.set(max_bytes=3))
    when_asleep(interrupt)
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


@without_end_or_in_time
def test_a_queue_that_grows_lets_a_waiting_batch_go_on(small, timeout):
    q = small(2)
    writer = Call(q.put_many, letters(6), timeout=timeout).until_asleep()
    q.set(max_bytes=6)
    assert writer.result() == 6
    assert q.get_many() == letters(6)


# --- removal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["thread", "process"])
@without_end_or_in_time
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


def test_removal_wakes_a_waiting_get_many(q):
    getter = Call(q.get_many).until_asleep()
    remove_id(q.id)
    assert is_closed(getter.failure())
