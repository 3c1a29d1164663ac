"""receive(): what get() does, with the priority that the message had."""

import copy
import json
import pickle
import queue

import pytest

import posixmq
from harness.calls import Call
from harness.measure import growth, times_out
from posixmq import DecodeError, Message, QueueError, RawSerializer


def test_receive_returns_the_item_and_its_priority(q):
    q.put({"a": [1, 2]}, priority=7)
    message = q.receive()
    assert type(message) is Message
    assert message.item == {"a": [1, 2]}
    assert message.priority == 7
    assert q.empty()


def test_a_message_is_a_tuple_with_names(q):
    q.put("x", priority=3)
    message = q.receive()
    item, priority = message
    assert (item, priority) == message == ("x", 3)
    assert message == Message("x", 3)
    assert Message._fields == ("item", "priority")
    assert repr(message) == "Message(item='x', priority=3)"
    assert message._replace(priority=4) == ("x", 4)
    assert message._asdict() == {"item": "x", "priority": 3}


def test_a_message_belongs_to_the_package_and_pickles(q):
    assert Message.__module__ == "posixmq"
    assert posixmq.Message is Message
    q.put(["x"], priority=3)
    message = q.receive()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(message, protocol))
        assert type(again) is Message
        assert again == message
    assert copy.deepcopy(message) == message


@pytest.mark.parametrize("priority", [0, 1, 31, 32767])
def test_every_priority_comes_back(q, priority):
    q.put("x", priority=priority)
    assert q.receive().priority == priority


def test_messages_come_by_priority_and_then_by_age(q):
    for item, priority in (("low", 1), ("high", 9), ("low too", 1), ("high too", 9)):
        q.put(item, priority=priority)
    assert [q.receive() for _ in range(4)] == [
        ("high", 9),
        ("high too", 9),
        ("low", 1),
        ("low too", 1),
    ]


def test_none_is_an_item_like_any_other(q):
    q.put(None)
    assert q.receive() == (None, 0)


@pytest.mark.parametrize("serializer", [None, RawSerializer, json])
def test_receive_uses_the_serializer(make, serializer):
    q = make(serializer=serializer)
    item = b"bytes" if serializer is RawSerializer else "text"
    q.put(item, priority=1)
    assert q.receive() == (item, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda q: q.receive(False),
        lambda q: q.receive(block=False),
        lambda q: q.receive(False, 100),
        lambda q: q.receive(timeout=0),
        lambda q: q.receive(True, 0),
    ],
    ids=["False", "block=False", "timeout ignored", "timeout=0", "by place"],
)
def test_receive_without_waiting(q, call):
    for _ in range(50):
        times_out(0, lambda: call(q))
    q.put("x", priority=2)
    assert call(q) == ("x", 2)


@pytest.mark.parametrize("timeout", [0.05, 0.4])
def test_receive_times_out_and_never_early(q, timeout):
    times_out(timeout, lambda: q.receive(timeout=timeout))


@pytest.mark.parametrize("timeout", [None, 60])
def test_receive_waits_for_a_message(q, timeout):
    waiting = Call(q.receive, timeout=timeout).until_asleep()
    q.put("at last", priority=12)
    assert waiting.result() == ("at last", 12)


def test_close_ends_a_waiting_receive(q):
    waiting = Call(q.receive).until_asleep()
    q.close()
    assert waiting.failure().errno == QueueError.INVALID_DESCRIPTOR


BAD = {
    "a negative timeout": (lambda q: q.receive(timeout=-1), ValueError),
    "NaN": (lambda q: q.receive(timeout=float("nan")), ValueError),
    "an endless timeout": (lambda q: q.receive(timeout=1e300), OverflowError),
    "a timeout that is none": (lambda q: q.receive(timeout="1"), TypeError),
    "three arguments": (lambda q: q.receive(True, None, 0), TypeError),
    "an unknown keyword": (lambda q: q.receive(priority=1), TypeError),
    "an argument twice": (lambda q: q.receive(True, block=True), TypeError),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_receive_refuses_what_get_refuses(q, call, error):
    q.put("untouched")
    with pytest.raises(error):
        call(q)
    assert q.get_nowait() == "untouched"


def test_a_message_that_does_not_decode_loses_nothing(make, name):
    raw, q = make(name, serializer=RawSerializer), make(name, serializer=json)
    raw.put(b"no json", priority=5)
    with pytest.raises(DecodeError) as caught:
        q.receive()
    assert (caught.value.data, caught.value.priority) == (b"no json", 5)
    assert isinstance(caught.value.__cause__, ValueError)
    assert q.empty()


def test_receiving_leaks_nothing(make, name):
    q, raw = make(name, serializer=json), make(name, serializer=RawSerializer)

    def work(times):
        for _ in range(times):
            q.put(["an item"], priority=400)
            assert q.receive() == (["an item"], 400)
            raw.put(b"no json")
            with pytest.raises(DecodeError):
                q.receive()
            with pytest.raises(queue.Empty):
                q.receive(False)

    blocks, memory = growth(work, 200)
    assert blocks < 100
    assert memory < 300_000
