"""What a reader of a System V queue may ask for: a type, and any type but one."""

import signal
from queue import Empty

import pytest

from harness.calls import Call
from harness.errors import refusal
from harness.process import interrupt
from kind import LONG_MAX, QueueError


def test_receive_takes_what_get_takes(q):
    for kind in (5, 3, 4):
        q.put(f"of type {kind}", msg_type=kind)
    assert q.receive(msg_type=4) == ("of type 4", 4)
    assert q.receive(False, -9) == ("of type 3", 3)
    assert q.receive(True, 0, timeout=1) == ("of type 5", 5)
    for call in (lambda: q.receive(False), lambda: q.receive(timeout=0.01)):
        with pytest.raises(Empty):
            call()


@pytest.mark.parametrize("type_", [1, 2**31 - 1, min(2**31, LONG_MAX), LONG_MAX])
def test_peek_tells_types_over_the_whole_of_c_long(q, type_):
    q.put("x", msg_type=type_)
    assert q.peek().msg_type == type_


def test_peek_shows_messages_of_every_length_that_is_allowed(raw):
    for size in (0, 1, raw.maxmsgsize - 1, raw.maxmsgsize):
        raw.put(bytes(size), msg_type=3)
        assert raw.peek() == raw.receive() == (bytes(size), 3)


def test_receive_waits_for_its_type(q):
    waiter = Call(q.receive, msg_type=2).until_asleep()
    q.put("not for it", msg_type=1)
    waiter.until_asleep()
    q.put("awaited", msg_type=2)
    assert waiter.result() == ("awaited", 2)


def test_a_signal_interrupts_receive_that_excludes_a_type(q, handler, when_asleep):
    handler(signal.SIGUSR1, lambda *_: None)
    when_asleep(interrupt)
    assert refusal(q.receive, msg_type=1, exclude=True).errno == QueueError.INTERRUPTED


# --- exclude -------------------------------------------------------------------------------------


@pytest.fixture
def three(q):
    for kind in (1, 2, 3):
        q.put(kind, msg_type=kind)
    return q


def test_exclude_takes_the_oldest_of_any_other_type(three):
    assert three.get(msg_type=1, exclude=True) == 2
    assert three.get_nowait(1, exclude=True) == 3
    with pytest.raises(Empty):
        three.get_nowait(1, exclude=True)
    assert three.get(msg_type=1) == 1


def test_exclude_is_for_receive_as_well(three):
    assert three.receive(msg_type=1, exclude=True) == (2, 2)
    assert three.receive(False, 3, exclude=True) == (1, 1)
    with pytest.raises(Empty):
        three.receive(False, 3, exclude=True)


def test_exclude_false_excludes_nothing(three):
    assert three.get(msg_type=2, exclude=False) == 2
    assert three.get(exclude=0) == 1


@pytest.mark.parametrize("kind", [min(2**31, LONG_MAX), LONG_MAX])
def test_exclude_knows_types_over_the_whole_of_c_long(q, kind):
    q.put("large", msg_type=kind)
    q.put("other", msg_type=kind - 1)
    assert q.receive(msg_type=kind, exclude=True) == ("other", kind - 1)
    with pytest.raises(Empty):
        q.get_nowait(kind, exclude=True)


def test_a_blocked_reader_that_excludes_a_type_sleeps_on_through_it(q):
    waiter = Call(q.get, msg_type=5, exclude=True).until_asleep()
    q.put("not for it", msg_type=5)
    waiter.until_asleep()
    q.put("for it", msg_type=6)
    assert waiter.result() == "for it"
    assert q.get() == "not for it"


def test_a_timeout_ends_a_wait_that_excludes_a_type(q):
    q.put("x", msg_type=5)
    with pytest.raises(Empty):
        q.get(msg_type=5, exclude=True, timeout=0.02)


@pytest.mark.parametrize("kind", [0, -1, -LONG_MAX])
def test_exclude_needs_a_type_to_exclude(q, kind):
    """The kernel would ignore the flag, and hand out what was not wanted."""
    q.put("kept")
    with pytest.raises(QueueError, match="exclude=True") as caught:
        q.get(msg_type=kind, exclude=True)
    assert caught.value.errno == QueueError.INVALID_VALUE
    assert str(kind) in caught.value.msg
    assert q.qsize() == 1


def test_many_readers_of_one_type_each_share_a_queue(q):
    """receive in several threads, one of which takes what the others leave."""
    total = 60
    counts = {1: 0, 2: 0, "rest": 0}

    def read(name, **wanted):
        while q.receive(timeout=60, **wanted).item is not None:
            counts[name] += 1

    readers = [
        Call(read, 1, msg_type=1),
        Call(read, 2, msg_type=2),
        Call(read, "rest", msg_type=-6),
    ]
    for _ in range(total):
        q.put("for all", msg_type=3)
    q.put(None, msg_type=6)
    readers[2].result()
    for kind in (1, 2):
        q.put("x", msg_type=kind)
        q.put(None, msg_type=kind)
    for reader in readers:
        reader.result()
    assert counts == {1: 1, 2: 1, "rest": total}
