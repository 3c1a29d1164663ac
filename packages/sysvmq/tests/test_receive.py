"""What a reader may ask for: the item with its type, and any type but one."""

import ctypes
import signal
import threading
from queue import Empty

import pytest

import sysvmq
from sysvmq import DecodeError, Message, QueueError, RawSerializer

LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1


def test_receive_returns_the_item_with_its_type(q):
    q.put({"a": 1}, msg_type=7)
    message = q.receive()
    assert message == ({"a": 1}, 7)
    assert (message.item, message.msg_type) == ({"a": 1}, 7)
    assert type(message) is Message
    assert q.empty()


def test_receive_takes_what_get_takes(q):
    for kind in (5, 3, 4):
        q.put(f"of type {kind}", msg_type=kind)
    assert q.receive(msg_type=4) == ("of type 4", 4)
    assert q.receive(False, -9) == ("of type 3", 3)
    assert q.receive(True, 0, timeout=1) == ("of type 5", 5)
    for call in (lambda: q.receive(False), lambda: q.receive(timeout=0.01)):
        with pytest.raises(Empty):
            call()


@pytest.mark.parametrize("kind", [1, 2**31 - 1, min(2**31, LONG_MAX), LONG_MAX])
def test_receive_tells_types_over_the_whole_of_c_long(q, kind):
    q.put("x", msg_type=kind)
    assert q.peek().msg_type == kind
    assert q.receive() == ("x", kind)


def test_receive_waits_and_is_woken_by_a_message(q, thread):
    waiter = thread(q.receive, msg_type=2).wait_blocked()
    q.put("awaited", msg_type=2)
    assert waiter.result() == ("awaited", 2)


def test_receive_ends_when_its_queue_is_closed(q, thread):
    waiter = thread(q.receive).wait_blocked()
    q.detach()
    assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR


def test_a_signal_interrupts_receive_as_it_does_get(q, handler, when_blocked):
    handler(signal.SIGUSR1, lambda *_: None)
    main = threading.main_thread().ident
    when_blocked(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        q.receive(msg_type=1, exclude=True)
    assert caught.value.errno == QueueError.INTERRUPTED


def test_a_message_that_does_not_decode_is_handed_over_by_receive(q, make):
    make(q.key, serializer=RawSerializer).put(b"\x80bad", msg_type=9)
    with pytest.raises(DecodeError) as caught:
        q.receive()
    assert (caught.value.data, caught.value.msg_type) == (b"\x80bad", 9)


def test_receive_takes_messages_of_every_length_that_is_allowed(raw, limit):
    for size in (0, 1, limit("msgmax") - 1, limit("msgmax")):
        data = bytes(size)
        raw.put(data, msg_type=3)
        assert raw.peek() == (data, 3)
        assert raw.receive() == (data, 3)


# ------------------------------------------------------------------------- exclude


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


def test_a_blocked_reader_that_excludes_a_type_sleeps_on_through_it(q, thread):
    waiter = thread(q.get, msg_type=5, exclude=True).wait_blocked()
    q.put("not for it", msg_type=5)
    waiter.wait_blocked()
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


def test_many_readers_of_one_type_each_share_a_queue(q, thread):
    """receive in several threads, one of which takes what the others leave."""
    total = 60
    counts = {1: 0, 2: 0, "rest": 0}

    def read(name, **wanted):
        while q.receive(timeout=60, **wanted).item is not None:
            counts[name] += 1

    readers = [
        thread(read, 1, msg_type=1),
        thread(read, 2, msg_type=2),
        thread(read, "rest", msg_type=-6),
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


# ------------------------------------------------------------------------- Message


def test_two_threads_may_be_the_first_to_receive(spawn, key):
    """The class of what is returned is imported when it is first needed."""
    code = """\
queue = Queue(int(args[0]))
for number in range(8):
    queue.put(number)
got, start = [], threading.Barrier(8)
def work():
    start.wait()
    got.append(queue.receive())
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(m.item for m in got) == list(range(8)), {type(m) for m in got} == {sysvmq.Message})
queue.close()
"""
    assert spawn(code, key).finish() == "True True"


def test_an_import_brings_no_class_that_is_not_asked_for(spawn):
    classes = "{'sysvmq._limits', 'sysvmq._listing', 'sysvmq._stat'}"
    assert spawn(f"print({classes}.isdisjoint(sys.modules))").finish() == "True"


def test_the_package_has_no_other_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        sysvmq.no_such_name()


def test_receive_in_many_threads_loses_and_doubles_nothing(raw):
    got, total = [], 400

    def work():
        while (message := raw.receive(timeout=60)).msg_type != 2:
            got.append(message)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for worker in threads:
        worker.start()
    for number in range(total):
        raw.put(b"%d" % number)
    for _ in threads:
        raw.put(b"", msg_type=2)
    for worker in threads:
        worker.join()
    assert sorted(got) == sorted((b"%d" % number, 1) for number in range(total))
