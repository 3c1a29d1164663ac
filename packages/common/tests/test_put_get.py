"""What goes in comes out: items, bytes, sizes, marks; with and without waiting."""

import pickle
import queue
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.serial import serializer_of
from kind import Queue, QueueError, RawSerializer

relaxed = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

objects = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)

# --- items and bytes -----------------------------------------------------------------------------

ITEMS = [
    *(None, 0, -1, 2**100, 1.5, "", "text", "žluť", b"", b"\0\xff"),
    *([], {}, (), {1, 2}, {1: [2, (3, {4})]}, ..., int, ValueError),
]


@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_an_item_comes_out_as_it_went_in(q, item):
    assert q.put(item) is None
    assert q.get() == item
    assert q.put_nowait(item) is None
    assert q.get_nowait() == item


@relaxed
@given(item=objects, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_any_item_comes_out_as_it_went_in(make, address, item, protocol):
    with make(address, **kind.room(1, 8192)) as q:
        if len(pickle.dumps(item, protocol)) > 8192:
            error = refusal(q.put, item, False, pickle_protocol=protocol)
            assert error.errno == QueueError.TOO_BIG_MESSAGE
        else:
            q.put(item, False, pickle_protocol=protocol)
            assert q.get(False) == item


@relaxed
@given(data=st.binary(max_size=256), mark=st.integers(kind.MARKS[0], kind.MARKS[-1]))
def test_any_bytes_come_out_as_they_went_in(make, address, data, mark):
    with make(address, serializer=RawSerializer) as q:
        q.put(data, **kind.mark(mark))
        assert q.receive() == (data, mark)


def test_messages_of_one_mark_leave_in_the_order_they_came(q):
    for number in range(50):
        q.put(number)
        if number > 2:
            assert q.get() == number - 3


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000, 4047, 4048, 4049, 8191, 8192])
def test_bytes_of_any_size_come_out(make, size):
    q = make(serializer=RawSerializer, **kind.room(1, 8192))
    data = bytes(i * 7 & 255 for i in range(min(size, q.maxmsgsize)))
    q.put(data)
    got = q.get()
    assert type(got) is bytes
    assert got == data


def test_a_message_of_exactly_the_largest_size_passes(raw):
    data = b"\xa5" * raw.maxmsgsize
    raw.put(data)
    assert refusal(raw.put, data + b"x").errno == QueueError.TOO_BIG_MESSAGE
    assert raw.get() == data
    assert raw.empty()


def test_a_message_may_have_no_bytes(raw):
    raw.put(b"", **kind.mark(3))
    assert raw.qsize() == 1
    assert raw.receive() == (b"", 3)
    assert raw.empty()


def test_short_messages_after_long_ones_have_no_tail(make):
    q = make(serializer=RawSerializer, **kind.room(2, 5000))
    q.put(b"L" * 5000)
    q.put(b"s")
    assert q.get() == b"L" * 5000
    assert q.get() == b"s"


def test_zero_bytes_travel(raw):
    raw.put(b"\0a\0\0")
    assert raw.get() == b"\0a\0\0"


def test_the_smallest_queue_works(make):
    q = make(serializer=RawSerializer, **kind.room(1, 1))
    for byte in range(256):
        q.put(bytes([byte]))
        assert q.get() == bytes([byte])


def test_processes_exchange_objects_both_ways(make, spawn):
    ask, answer = make(), make()
    worker = spawn(
        """
        ask, answer = (Queue(address(number), create=False) for number in range(2))
        while (job := ask.get()) is not None:
            answer.put({"job": job, "twice": job * 2, "pid": os.getpid()})
        """,
        kind.address_of(ask),
        kind.address_of(answer),
    )
    for number in range(20):
        ask.put(number)
        got = answer.get(timeout=60)
        assert got == {"job": number, "twice": number * 2, "pid": worker.pid}
    ask.put(None)
    worker.finish()


# --- parameters ----------------------------------------------------------------------------------


def test_every_argument_may_be_given_by_keyword(q):
    q.put(pickle_protocol=2, timeout=None, block=True, item="first", **kind.mark(1))
    q.put_nowait(pickle_protocol=2, item="second", **kind.mark(1))
    assert q.get(timeout=None, block=True) == "first"
    assert q.get(timeout=1, block=True) == "second"


def test_a_mark_may_be_anything_with_an_index(q):
    class Seven:
        def __index__(self):
            return 7

    q.put("x", **kind.mark(Seven()))
    assert q.receive() == ("x", 7)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_protocol_is_the_protocol_of_the_payload(make, address, protocol):
    q, raw = make(address), make(address, serializer=RawSerializer)
    item = {"a": [1, 2.5, "x", b"y"]}
    q.put(item, pickle_protocol=protocol)
    q.put_nowait(item, pickle_protocol=protocol)
    assert raw.get() == raw.get() == pickle.dumps(item, protocol)


def test_the_default_is_protocol_1(make, address):
    q, raw = make(address), make(address, serializer=RawSerializer)
    q.put([1, "A"])
    q.put_nowait([1, "A"])
    assert raw.get() == raw.get() == pickle.dumps([1, "A"], 1)


MISFITS = [
    lambda q: q.put(),
    lambda q: q.put(1, True, 1, 1, 1, 1),
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
    *(lambda q, end=end: getattr(q, end)(1) for end in kind.ENDS),
    lambda q: Queue(kind.address_of(q), nonsense=1),
    lambda q: Queue(kind.address_of(q), **{kind.ADDRESS: kind.address_of(q)}),
]


@pytest.mark.parametrize("call", MISFITS)
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

    q.put(1, [])
    for call in (lambda: q.get(Broken()), lambda: q.put(2, block=Broken())):
        with pytest.raises(ZeroDivisionError):
            call()
    assert q.qsize() == 1


def test_a_method_taken_from_the_class_works(q):
    Queue.put(q, "x")
    assert Queue.get(q) == "x"
    with pytest.raises(TypeError):
        Queue.get(object())


def test_bound_methods_may_be_kept(q):
    put, get = q.put, q.get
    for number in range(100):
        put(number)
        assert get() == number


# --- empty and full ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "get",
    [
        lambda q: q.get(False),
        lambda q: q.get(block=False),
        lambda q: q.get(0),
        lambda q: q.get(""),
        lambda q: q.get_nowait(),
        lambda q: q.get(timeout=0),
        lambda q: q.get(True, timeout=0.0),
    ],
    ids=["False", "by keyword", "0", "''", "get_nowait", "timeout=0", "timeout=0.0"],
)
def test_without_waiting_an_empty_queue_is_empty(q, get):
    with pytest.raises(queue.Empty):
        get(q)
    q.put("there")
    assert get(q) == "there"


@pytest.mark.parametrize(
    "put",
    [
        lambda q: q.put(b"x", False),
        lambda q: q.put(b"x", block=False),
        lambda q: q.put(b"x", ""),
        lambda q: q.put_nowait(b"x"),
        lambda q: q.put(b"x", timeout=0),
        lambda q: q.put(b"x", True, timeout=0.0),
    ],
    ids=["False", "by keyword", "''", "put_nowait", "timeout=0", "timeout=0.0"],
)
def test_without_waiting_a_full_queue_is_full(full, put):
    with pytest.raises(queue.Full):
        put(full)
    assert full.qsize() == 1
    assert full.get() == b"f" * 16
    put(full)
    assert full.get() == b"x"


def test_the_exceptions_are_those_of_the_queue_module(q):
    for error in (queue.Empty, queue.Full):
        assert not issubclass(error, QueueError)
    with pytest.raises(queue.Empty) as caught:
        q.get_nowait()
    assert type(caught.value) is queue.Empty


@pytest.mark.parametrize("mark", [kind.MARKS[0], kind.MARKS[-1]])
def test_no_mark_lets_a_message_enter_a_full_queue(full, mark):
    with pytest.raises(queue.Full):
        full.put_nowait(b"urgent", **kind.mark(mark))
    assert full.get() == b"f" * 16


def test_a_failed_try_holds_no_reference_to_the_item(make):
    class Item:
        pass

    q = make(serializer=serializer_of(lambda item: bytes(16)), **kind.room(1, 16))
    q.put("first")
    item = Item()
    gone = weakref.ref(item)
    with pytest.raises(queue.Full):
        q.put_nowait(item)
    del item
    assert gone() is None


def test_size_and_emptiness_follow_the_messages(q):
    for size in range(4):
        assert (q.qsize(), q.empty()) == (size, size == 0)
        q.put(size, **kind.mark(1 + size))
    for size in range(4, 0, -1):
        assert (q.qsize(), q.empty()) == (size, False)
        q.get()
    assert (q.qsize(), q.empty()) == (0, True)


def test_a_blocked_get_takes_what_is_put(q):
    getter = Call(q.get).until_asleep()
    q.put("at last")
    assert getter.result() == "at last"


def test_a_blocked_put_goes_on_when_there_is_room(full):
    putter = Call(full.put, b"second").until_asleep()
    assert full.get() == b"f" * 16
    putter.result()
    assert full.get() == b"second"


# --- serializers that use the queue --------------------------------------------------------------


def test_a_serializer_may_use_the_same_queue(make):
    def dumps(item):
        if item == b"outer":
            q.put(b"inner")
        return item

    def loads(data):
        return (data, q.get()) if data == b"inner" else data

    q = make(serializer=serializer_of(dumps, loads))
    q.put(b"outer")
    assert q.get() == (b"inner", b"outer")
    assert q.empty()


@pytest.mark.parametrize("end", kind.ENDS)
def test_a_serializer_may_end_the_queue_it_serves(make, end):
    def dumps(item):
        getattr(q, end)()
        return b"late"

    q = make(serializer=serializer_of(dumps))
    assert is_closed(refusal(q.put, "x"))


@pytest.mark.parametrize("end", kind.ENDS)
def test_a_message_is_delivered_though_its_loads_ends_the_queue(make, end):
    def loads(data):
        getattr(q, end)()
        return data

    q = make(serializer=serializer_of(loads=loads))
    q.put(b"taken")
    assert q.get() == b"taken"
    assert q.closed
