"""receive(): what get() does, with the mark that the message had."""

import copy
import json
import pickle
import queue
import signal

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import growth, times_out
from harness.process import interrupt
from kind import DEFAULT_MARK, MARK, DecodeError, Message, QueueError, RawSerializer


def test_receive_returns_the_item_with_its_mark(q):
    q.put({"a": [1, 2]}, **kind.mark(7))
    message = q.receive()
    assert type(message) is Message
    assert message == ({"a": [1, 2]}, 7)
    assert (message.item, getattr(message, MARK)) == message
    assert q.empty()


def test_a_message_is_a_tuple_with_names(q):
    q.put("x", **kind.mark(3))
    message = q.receive()
    item, mark = message
    assert (item, mark) == message == Message("x", 3) == ("x", 3)
    assert Message._fields == ("item", MARK)
    assert repr(message) == f"Message(item='x', {MARK}=3)"
    assert message._replace(**kind.mark(4)) == ("x", 4)
    assert message._asdict() == {"item": "x", MARK: 3}


def test_a_message_belongs_to_the_package_and_pickles(q):
    assert Message.__module__ == kind.PACKAGE
    assert kind.mq.Message is Message
    q.put(["x"], **kind.mark(3))
    message = q.receive()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(message, protocol))
        assert type(again) is Message
        assert again == message
    assert copy.deepcopy(message) == message


@pytest.mark.parametrize("mark", kind.MARKS)
def test_every_mark_comes_back(q, mark):
    q.put("x", **kind.mark(mark))
    assert q.receive() == ("x", mark)


def test_none_is_an_item_like_any_other(q):
    q.put(None)
    assert q.receive() == (None, DEFAULT_MARK)


@pytest.mark.parametrize("serializer", [None, RawSerializer, json])
def test_receive_uses_the_serializer(make, serializer):
    q = make(serializer=serializer)
    item = b"bytes" if serializer is RawSerializer else "text"
    q.put(item, **kind.mark(1))
    assert q.receive() == (item, 1)


def test_receive_takes_messages_of_every_length_that_is_allowed(raw):
    for size in (0, 1, raw.maxmsgsize - 1, raw.maxmsgsize):
        raw.put(bytes(size), **kind.mark(3))
        assert raw.receive() == (bytes(size), 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda q: q.receive(False),
        lambda q: q.receive(block=False),
        lambda q: q.receive(False, timeout=100),
        lambda q: q.receive(timeout=0),
    ],
    ids=["False", "block=False", "timeout ignored", "timeout=0"],
)
def test_receive_without_waiting(q, call):
    for _ in range(50):
        times_out(0, lambda: call(q))
    q.put("x", **kind.mark(2))
    assert call(q) == ("x", 2)


@pytest.mark.parametrize("timeout", [0.05, 0.4])
def test_receive_times_out_and_never_early(q, timeout):
    times_out(timeout, lambda: q.receive(timeout=timeout))


@pytest.mark.parametrize("timeout", [None, 60])
def test_receive_waits_for_a_message(q, timeout):
    waiting = Call(q.receive, timeout=timeout).until_asleep()
    q.put("at last", **kind.mark(12))
    assert waiting.result() == ("at last", 12)


@pytest.mark.parametrize("end", kind.ENDS)
def test_the_end_of_the_queue_ends_a_waiting_receive(q, end):
    waiting = Call(q.receive).until_asleep()
    getattr(q, end)()
    assert is_closed(waiting.failure())


def test_a_signal_interrupts_receive_as_it_does_get(q, handler, when_asleep):
    handler(signal.SIGUSR1, lambda *_: None)
    when_asleep(interrupt)
    assert refusal(q.receive).errno == QueueError.INTERRUPTED


BAD = {
    "a negative timeout": (lambda q: q.receive(timeout=-1), ValueError),
    "NaN": (lambda q: q.receive(timeout=float("nan")), ValueError),
    "an endless timeout": (lambda q: q.receive(timeout=1e300), OverflowError),
    "a timeout that is none": (lambda q: q.receive(timeout="1"), TypeError),
    "three arguments": (lambda q: q.receive(True, 0, 0), TypeError),
    "an unknown keyword": (lambda q: q.receive(nonsense=1), TypeError),
    "an argument twice": (lambda q: q.receive(True, block=True), TypeError),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_receive_refuses_what_get_refuses(q, call, error):
    q.put("untouched")
    with pytest.raises(error):
        call(q)
    assert q.get_nowait() == "untouched"


def test_a_message_that_does_not_decode_loses_nothing(make, address):
    raw, q = make(address, serializer=RawSerializer), make(address, serializer=json)
    raw.put(b"no json", **kind.mark(5))
    with pytest.raises(DecodeError) as caught:
        q.receive()
    assert (caught.value.data, getattr(caught.value, MARK)) == (b"no json", 5)
    assert isinstance(caught.value.__cause__, ValueError)
    assert q.empty()


def test_threads_may_be_the_first_to_receive(spawn, address):
    """The class of what is returned is imported when it is first needed."""
    code = """
    q, got, start = Queue(address(), **kind.room(8, 64)), [], threading.Barrier(8)
    q.put_many(range(8))

    def work():
        start.wait()
        got.append(q.receive())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(m.item for m in got) == list(range(8)), {type(m) for m in got} == {kind.Message})
    """
    assert spawn(code, address).finish() == "True True"


def test_receive_in_many_threads_loses_and_doubles_nothing(raw):
    def work():
        got = []
        while (message := raw.receive(timeout=60)).item:
            got.append(message)
        return got

    readers, total = [Call(work) for _ in range(4)], 400
    for number in range(total):
        raw.put(b"%d" % number, **kind.mark(1))
    for _ in readers:
        raw.put(b"", **kind.mark(1))
    got = [message for reader in readers for message in reader.result()]
    assert sorted(got) == sorted((b"%d" % number, 1) for number in range(total))


def test_receiving_leaks_nothing(make, address):
    q, raw = make(address, serializer=json), make(address, serializer=RawSerializer)

    def work(times):
        for _ in range(times):
            q.put(["an item"], **kind.mark(400))
            assert q.receive() == (["an item"], 400)
            raw.put(b"no json")
            with pytest.raises(DecodeError):
                q.receive()
            with pytest.raises(queue.Empty):
                q.receive(False)

    blocks, memory = growth(work, 200)
    assert blocks < 100
    assert memory < 300_000
