"""Putting and getting without waiting: what goes in comes out, in the promised order."""

import pickle
import queue

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import posixmq
from posixmq import Queue, QueueError, RawSerializer

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


@pytest.mark.parametrize(
    "item",
    [
        None,
        0,
        -1,
        2**100,
        1.5,
        "",
        "žluť",
        b"",
        b"\0\xff",
        [],
        {},
        (),
        {1: [2, (3, {4})]},
        ...,
        int,
    ],
    ids=repr,
)
def test_an_item_comes_out_as_it_went_in(q, item):
    assert q.put(item) is None
    assert q.get() == item


@relaxed
@given(item=objects, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_any_item_comes_out_as_it_went_in(make, name, item, protocol):
    q = make(name, 1, 8192)
    data = pickle.dumps(item, protocol)
    if len(data) > 8192:
        with pytest.raises(QueueError):
            q.put(item, False, pickle_protocol=protocol)
    else:
        q.put(item, False, pickle_protocol=protocol)
        assert q.get(False) == item
    q.close()


@relaxed
@given(data=st.binary(max_size=256), priority=st.integers(0, 32767))
def test_any_bytes_come_out_as_they_went_in(make, name, data, priority):
    with make(name, serializer=RawSerializer) as q:
        q.put(data, priority=priority)
        assert q.get() == data


@relaxed
@given(
    steps=st.lists(
        st.none() | st.integers(0, 3) | st.integers(0, 32767) | st.just("qsize"), max_size=60
    )
)
def test_the_order_is_that_of_a_stable_priority_queue(make, name, steps):
    model = []
    with make(name, 4) as q:
        for number, step in enumerate(steps):
            if step == "qsize":
                assert q.qsize() == len(model) == q.qattr()["size"]
                assert (q.empty(), q.full()) == (not model, len(model) == 4)
            elif step is None:
                if model:
                    model.sort(key=lambda entry: -entry[0])
                    assert q.get(False) == model.pop(0)[1]
                else:
                    with pytest.raises(queue.Empty):
                        q.get(False)
            elif len(model) == 4:
                with pytest.raises(queue.Full):
                    q.put(number, False, priority=step)
            else:
                q.put(number, False, priority=step)
                model.append((step, number))
        while not q.empty():
            q.get_nowait()


def test_the_highest_priority_comes_first_and_equals_in_order(q):
    for item, priority in (("a", 0), ("b", 32767), ("c", 1), ("d", 32767)):
        q.put(item, priority=priority)
    assert [q.get() for _ in range(4)] == ["b", "d", "c", "a"]


def test_put_takes_its_arguments_in_the_documented_order(q):
    q.put("low", True, None, 1, 2)
    q.put("high", False, 0, 2, 0)
    assert [q.get(True, None), q.get(False, 0)] == ["high", "low"]


def test_put_nowait_takes_its_arguments_in_the_documented_order(q):
    q.put_nowait("low", 1, 2)
    q.put_nowait("high", 2, 0)
    assert [q.get_nowait(), q.get_nowait()] == ["high", "low"]


def test_every_argument_may_be_given_by_keyword(q):
    q.put(pickle_protocol=2, priority=1, timeout=None, block=True, item="low")
    q.put_nowait(pickle_protocol=2, priority=2, item="high")
    assert q.get(timeout=None, block=True) == "high"
    assert q.get(timeout=1, block=True) == "low"


def test_priorities_may_be_anything_with_an_index(q):
    class One:
        def __index__(self):
            return 1

    q.put("zero", priority=False)
    q.put("one", priority=One())
    assert [q.get(), q.get()] == ["one", "zero"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_protocol_is_the_protocol_of_the_payload(make, name, protocol):
    q, raw = make(name), make(name, serializer=RawSerializer)
    item = {"a": [1, 2.5, "x", b"y"]}
    q.put(item, pickle_protocol=protocol)
    q.put_nowait(item, pickle_protocol=protocol)
    assert raw.get() == raw.get() == pickle.dumps(item, protocol)


def test_the_default_is_protocol_1(make, name):
    q, raw = make(name), make(name, serializer=RawSerializer)
    q.put([1, "A"])
    q.put_nowait([1, "A"])
    assert raw.get() == raw.get() == pickle.dumps([1, "A"], 1)


@pytest.mark.parametrize(
    "get",
    [
        lambda q: q.get(False),
        lambda q: q.get(block=False),
        lambda q: q.get(0),
        lambda q: q.get_nowait(),
        lambda q: q.get(timeout=0),
        lambda q: q.get(True, 0.0),
    ],
    ids=["block=False", "by keyword", "false by truth", "get_nowait", "timeout=0", "timeout=0.0"],
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
        lambda q: q.put(b"x", True, 0.0),
    ],
    ids=["block=False", "by keyword", "false by truth", "put_nowait", "timeout=0", "timeout=0.0"],
)
def test_without_waiting_a_full_queue_is_full(full, put):
    with pytest.raises(queue.Full):
        put(full)
    assert full.get() == b"f" * 16
    put(full)
    assert full.get() == b"x"


def test_urgent_messages_do_not_enter_a_full_queue(full):
    with pytest.raises(queue.Full):
        full.put_nowait(b"urgent", priority=32767)
    assert full.get() == b"f" * 16


def test_a_failed_try_holds_no_reference_to_the_item(make):
    import weakref

    class Item:
        def __reduce__(self):
            return int, ()

    q = make(maxsize=1)
    q.put("first")
    item = Item()
    gone = weakref.ref(item)
    with pytest.raises(queue.Full):
        q.put_nowait(item)
    del item
    assert gone() is None


def test_qsize_empty_and_full_follow_the_queue(make):
    q = make(maxsize=3)
    for size in range(4):
        assert q.qsize() == size
        assert q.empty() is (size == 0)
        assert q.full() is (size == 3)
        assert q.qattr() == {"size": size, "max_size": 3, "max_msgbytes": 256}
        if size < 3:
            q.put(size)


def test_a_message_of_exactly_the_largest_size_passes(make):
    q = make(maxmsgsize=100, serializer=RawSerializer)
    q.put(b"x" * 100)
    with pytest.raises(QueueError) as caught:
        q.put(b"x" * 101)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    assert q.get() == b"x" * 100


def test_a_message_may_have_no_bytes(make):
    q = make(serializer=RawSerializer)
    q.put(b"")
    assert q.qsize() == 1
    assert q.get() == b""


def test_the_smallest_queue_works(make):
    q = make(maxsize=1, maxmsgsize=1, serializer=RawSerializer)
    for byte in range(256):
        q.put(bytes([byte]))
        assert q.get() == bytes([byte])


def test_the_largest_message_size_of_the_system_works(make):
    with open("/proc/sys/fs/mqueue/msgsize_max") as file:
        largest = int(file.read())
    q = make(maxsize=1, maxmsgsize=min(largest, 65536), serializer=RawSerializer)
    data = bytes(range(256)) * (q.maxmsgsize // 256)
    for _ in range(3):
        q.put(data)
        assert q.get() == data


def test_processes_exchange_objects_both_ways(make, spawn):
    ask, answer = make(), make()
    worker = spawn(
        """
        with Queue(sys.argv[1], create=False) as ask, Queue(sys.argv[2], create=False) as answer:
            while (job := ask.get()) is not None:
                answer.put({"job": job, "twice": job * 2, "pid": os.getpid()})
        """,
        ask.name,
        answer.name,
    )
    for number in range(20):
        ask.put(number)
        got = answer.get(timeout=60)
        assert got == {"job": number, "twice": number * 2, "pid": worker.pid}
    ask.put(None)
    worker.finish()


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


def test_the_exceptions_are_those_of_the_queue_module(q):
    for error in (queue.Empty, queue.Full):
        assert not issubclass(error, posixmq.QueueError)
    with pytest.raises(queue.Empty) as caught:
        q.get_nowait()
    assert type(caught.value) is queue.Empty
