"""What goes in comes out: order, message types, sizes."""

import ctypes
from queue import Empty, Full

import pytest

from harness.tasks import task_of, until_asleep
from kind import kernel_limit
from sysvmq import QueueError

LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1


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


@pytest.mark.parametrize(
    "item",
    [None, 0, "text", b"bytes", [1, "A"], {"a": (1, 2.5)}, {1, 2}, 2**100, ValueError],
    ids=repr,
)
def test_an_item_comes_back_equal(q, item):
    q.put(item)
    assert q.get() == item


def test_messages_leave_in_the_order_they_came(q):
    for number in range(50):
        q.put(number)
    assert drain(q) == list(range(50))


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


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000, 4047, 4048, 4049, 8192])
def test_bytes_of_any_size_up_to_msgmax_come_back(raw, size):
    size = min(size, kernel_limit("msgmax"))
    data = bytes(i * 7 & 255 for i in range(size))
    raw.put(data)
    got = raw.get()
    assert type(got) is bytes
    assert got == data


def test_msgmax_bytes_come_back(raw):
    data = b"\xa5" * kernel_limit("msgmax")
    raw.put(data)
    assert raw.get() == data


def test_an_empty_message_is_a_message(raw):
    raw.put(b"", msg_type=3)
    assert raw.qsize() == 1
    assert raw.get(msg_type=3) == b""
    assert raw.empty()


def test_empty_messages_fill_a_queue_too(make, raw):
    queue = make(max_bytes=4, serializer=raw.serializer)
    for _ in range(4):
        queue.put_nowait(b"")
    with pytest.raises(Full):
        queue.put_nowait(b"")
    assert queue.get() == b""
    queue.put_nowait(b"")


def test_short_messages_after_long_ones_have_no_tail(raw):
    raw.put(b"L" * 5000)
    raw.put(b"s")
    assert raw.get() == b"L" * 5000
    assert raw.get() == b"s"


def test_zero_bytes_travel(raw):
    raw.put(b"\0a\0\0")
    assert raw.get() == b"\0a\0\0"


def test_an_empty_queue_is_empty(q):
    for get in (
        q.get_nowait,
        lambda: q.get(False),
        lambda: q.get(block=False),
        lambda: q.get(timeout=0),
        lambda: q.get(block=0),
    ):
        with pytest.raises(Empty):
            get()


def test_a_full_queue_is_full(full):
    for put in (
        lambda: full.put_nowait(b"x"),
        lambda: full.put(b"x", False),
        lambda: full.put(b"x", block=False),
        lambda: full.put(b"x", timeout=0),
    ):
        with pytest.raises(Full):
            put()
    assert full.qsize() == 1
    assert full.get() == b"f" * 16


def test_a_blocked_get_takes_what_is_put(q, when_asleep):
    when_asleep(lambda: q.put("at last"))
    assert q.get() == "at last"


def test_a_blocked_get_waits_for_its_type(q, when_asleep):

    task = task_of()

    def feed():
        q.put("other", msg_type=2)
        until_asleep(task)
        q.put("mine", msg_type=9)

    when_asleep(feed)
    assert q.get(msg_type=9) == "mine"
    assert q.get_nowait() == "other"


def test_a_blocked_put_goes_on_when_there_is_room(full, when_asleep):
    watcher = when_asleep(full.get)
    full.put(b"second")
    assert watcher.result() == b"f" * 16
    assert full.get() == b"second"


def test_size_and_emptiness_follow_the_messages(q):
    assert (q.qsize(), q.empty()) == (0, True)
    q.put(1)
    q.put(2, msg_type=2)
    assert (q.qsize(), q.empty()) == (2, False)
    q.get()
    q.get()
    assert (q.qsize(), q.empty()) == (0, True)


def test_everything_may_be_given_by_keyword(q):
    q.put(item=1, block=True, msg_type=2, pickle_protocol=2, timeout=1)
    assert q.get(block=True, msg_type=2, timeout=1) == 1
    q.put_nowait(item=2, msg_type=3, pickle_protocol=0)
    assert q.get_nowait(msg_type=3) == 2


def test_put_returns_nothing(q):
    assert q.put(1) is None
    assert q.put_nowait(2) is None
    assert q.detach() is None
    assert q.close() is None


@pytest.mark.parametrize(
    "call",
    [
        lambda q: q.put(),
        lambda q: q.put(1, True, 1, 1, 1),
        lambda q: q.put(1, nonsense=1),
        lambda q: q.put(1, item=1),
        lambda q: q.put(1, True, block=True),
        lambda q: q.put_nowait(1, 1, 1, 1),
        lambda q: q.put_nowait(1, block=True),
        lambda q: q.get(True, 0, 1),
        lambda q: q.get(nonsense=1),
        lambda q: q.get(True, block=True),
        lambda q: q.get_nowait(0, 1),
        lambda q: q.get_nowait(timeout=1),
        lambda q: q.qsize(1),
        lambda q: q.qattr(1),
        lambda q: q.empty(1),
        lambda q: q.close(1),
        lambda q: q.detach(1),
        lambda q: type(q)(1, 1, q.serializer),
        lambda q: type(q)(nonsense=1),
        lambda q: type(q)(q.key, key=q.key),
    ],
)
def test_arguments_that_do_not_fit_are_type_errors(q, call):
    q.put("kept")
    with pytest.raises(TypeError):
        call(q)
    assert q.qsize() == 1
    assert q.get() == "kept"


def test_truth_is_what_block_wants(q):
    class Broken:
        def __bool__(self):
            raise ZeroDivisionError

    with pytest.raises(Empty):
        q.get("")
    q.put(1, [])
    with pytest.raises(ZeroDivisionError):
        q.get(Broken())
    with pytest.raises(ZeroDivisionError):
        q.put(2, block=Broken())
    assert q.qsize() == 1


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


def test_a_serializer_may_use_the_same_queue(make):
    class Nested:
        queue = None

        def dumps(self, obj):
            if obj == "outer":
                self.queue.put("inner")
            return obj

        def loads(self, data):
            if data == b"inner":
                assert self.queue.get() == "outer"
            return data.decode()

    nested = Nested()
    nested.queue = queue = make(serializer=nested)
    queue.put("outer")
    assert queue.get() == "inner"
    assert queue.empty()


@pytest.mark.parametrize("end", ["close", "detach"])
def test_a_serializer_may_end_the_queue_it_serves(make, end):
    class Ender:
        queue = None

        def dumps(self, obj):
            getattr(self.queue, end)()
            return b"late"

        def loads(self, data):
            raise AssertionError

    ender = Ender()
    ender.queue = queue = make(serializer=ender)
    with pytest.raises(QueueError) as caught:
        queue.put("x")
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


@pytest.mark.parametrize("end", ["close", "detach"])
def test_a_message_is_delivered_though_its_loads_ends_the_queue(make, end):
    class Ender:
        queue = None

        def dumps(self, obj):
            return obj

        def loads(self, data):
            getattr(self.queue, end)()
            return data

    ender = Ender()
    ender.queue = queue = make(serializer=ender)
    queue.put(b"taken")
    assert queue.get() == b"taken"
    assert queue.closed
