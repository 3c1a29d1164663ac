"""Message types of System V queues, their room, and other programs."""

import ctypes
from queue import Empty, Full

import pytest

from harness.calls import Call
from kind import LONG_MAX, Queue


@pytest.fixture
def mixed(q):
    """Messages named by type and order: 3a 1a 5a 3b 1b."""
    for name in ("3a", "1a", "5a", "3b", "1b"):
        q.put(name, msg_type=int(name[0]))
    return q


def drain(q, msg_type=0):
    items = []
    while True:
        try:
            items.append(q.get_nowait(msg_type))
        except Empty:
            return items


def test_type_zero_takes_the_first_message_of_any_type(mixed):
    assert drain(mixed, 0) == ["3a", "1a", "5a", "3b", "1b"]


def test_a_positive_type_takes_the_first_message_of_that_type(mixed):
    assert mixed.get(msg_type=1) == "1a"
    assert mixed.get(msg_type=3) == "3a"
    assert mixed.get(msg_type=3) == "3b"
    assert drain(mixed) == ["5a", "1b"]


def test_a_negative_type_takes_the_lowest_type_up_to_its_value(mixed):
    assert mixed.get(msg_type=-4) == "1a"
    assert mixed.get(msg_type=-4) == "1b"
    assert mixed.get(msg_type=-4) == "3a"
    assert mixed.get(msg_type=-4) == "3b"
    with pytest.raises(Empty):
        mixed.get_nowait(msg_type=-4)
    assert mixed.get(msg_type=-5) == "5a"


def test_a_type_that_is_not_there_is_empty_and_takes_nothing(mixed):
    with pytest.raises(Empty):
        mixed.get_nowait(msg_type=2)
    with pytest.raises(Empty):
        mixed.get(block=False, msg_type=4)
    with pytest.raises(Empty):
        mixed.get(msg_type=2, timeout=0)
    assert mixed.qsize() == 5


def test_put_uses_type_1_by_default(q):
    q.put("one")
    q.put("two", msg_type=2)
    assert q.get(msg_type=1) == "one"
    with pytest.raises(Empty):
        q.get_nowait(msg_type=1)


@pytest.mark.parametrize(
    "msg_type", [1, 2**15, 2**31 - 1, min(2**31, LONG_MAX), LONG_MAX - 1, LONG_MAX]
)
def test_types_span_the_whole_of_c_long(q, msg_type):
    q.put("x", msg_type=msg_type)
    if msg_type > 1:
        with pytest.raises(Empty):
            q.get_nowait(msg_type=msg_type - 1)
        with pytest.raises(Empty):
            q.get_nowait(msg_type=1 - msg_type)
    assert q.get(msg_type=msg_type) == "x"
    q.put("y", msg_type=msg_type)
    assert q.get(msg_type=-msg_type) == "y"


def test_types_that_agree_in_their_low_32_bits_are_different(q):
    if LONG_MAX < 2**32:
        pytest.skip("C long has 32 bits")
    q.put("large", msg_type=2**32 + 7)
    with pytest.raises(Empty):
        q.get_nowait(msg_type=7)
    assert q.get(msg_type=2**32 + 7) == "large"


def test_the_most_negative_type_takes_any(q):
    q.put("x", msg_type=LONG_MAX)
    assert q.get_nowait(msg_type=-LONG_MAX - 1) == "x"


def test_a_type_may_be_any_object_that_is_an_index(q):
    class Seven:
        def __index__(self):
            return 7

    q.put("x", msg_type=Seven())
    assert q.get(msg_type=Seven()) == "x"


def test_the_type_to_get_may_be_given_by_keyword(q):
    q.put(1, msg_type=2)
    q.put(2, msg_type=3)
    assert q.get_nowait(msg_type=3) == 2
    assert q.get(block=True, msg_type=2, timeout=1) == 1


def test_a_blocked_get_waits_for_its_type(q):
    getter = Call(q.get, msg_type=9).until_asleep()
    q.put("other", msg_type=2)
    getter.until_asleep()
    q.put("mine", msg_type=9)
    assert getter.result() == "mine"
    assert q.get_nowait() == "other"


def test_what_is_keyword_only_takes_no_place(q):
    for call in (
        lambda: q.put(1, True, 1, 1, 1),
        lambda: Queue(1, 1, q.serializer),
    ):
        with pytest.raises(TypeError):
            call()
    assert q.empty()


def test_empty_messages_fill_a_queue_too(make, raw):
    queue = make(max_bytes=4, serializer=raw.serializer)
    for _ in range(4):
        queue.put_nowait(b"")
    with pytest.raises(Full):
        queue.put_nowait(b"")
    assert queue.get() == b""
    queue.put_nowait(b"")


def test_a_queue_takes_messages_of_other_programs(raw):
    libc = ctypes.CDLL(None, use_errno=True)
    message = ctypes.create_string_buffer(
        bytes(ctypes.c_long(6)) + b"from C", ctypes.sizeof(ctypes.c_long) + 6
    )
    assert libc.msgsnd(raw.id, message, ctypes.c_size_t(6), 0) == 0
    assert raw.get(msg_type=6) == b"from C"


def test_other_programs_take_its_messages(raw):
    libc = ctypes.CDLL(None, use_errno=True)
    raw.put(b"to C", msg_type=8)
    message = ctypes.create_string_buffer(100)
    got = libc.msgrcv(raw.id, message, ctypes.c_size_t(50), ctypes.c_long(0), 0)
    assert got == 4
    start = ctypes.sizeof(ctypes.c_long)
    assert ctypes.c_long.from_buffer(message).value == 8
    assert message.raw[start : start + 4] == b"to C"
