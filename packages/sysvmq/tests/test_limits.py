"""Kernel limits: which one, its value, what was asked, and how to raise it."""

import os

import pytest

from kind import kernel_limit
from sysvmq import QueueError, RawSerializer

DROP = """\
if os.geteuid() == 0:
    become()
def report(call):
    try:
        call()
    except QueueError as error:
        print(error.errno, error.os_errno, str(error).replace("\\n", " "), sep="|")
    else:
        print("0|0|no error")
"""


def report(line):
    errno, os_errno, words = line.split("|", 2)
    return int(errno), int(os_errno), words


def test_private_queues_that_could_not_get_their_size_are_not_left_behind(isolated):
    code = (
        DROP
        + """\
limit = int(open("/proc/sys/kernel/msgmnb").read())
for exclusive in (False, True):
    report(lambda: Queue(None, limit + 1))
print(len(open("/proc/sysvipc/msg").readlines()) - 1)
"""
    )
    *reports, left = isolated(code).finish().splitlines()
    assert [report(line)[0] for line in reports] == [QueueError.NO_PERMISSIONS] * 2
    assert left == "0"


def test_a_queue_that_was_there_before_survives_the_refusal(make, spawn, key):
    queue = make(key, mode=0o666)
    queue.put("survivor")
    child = spawn(
        DROP + "report(lambda: Queue(int(args[0]), int(args[1]), trusted=True))",
        key,
        kernel_limit("msgmnb") + 1,
    )
    assert report(child.finish())[0] == QueueError.NO_PERMISSIONS
    assert queue.max_bytes == kernel_limit("msgmnb")
    assert queue.get() == "survivor"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_max_bytes_of_somebody_else_s_queue_cannot_be_set(make, spawn, key):
    queue = make(key, 1000, mode=0o666)
    child = spawn(DROP + "report(lambda: Queue(int(args[0]), 500, trusted=True))", key)
    errno, _, words = report(child.finish())
    assert errno == QueueError.NO_PERMISSIONS
    assert "msgmnb" not in words  # it is the owner, not the limit
    assert queue.max_bytes == 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    "call",
    [
        "queue.put(item, timeout=5)",
        "queue.put(item, block=False)",
        "queue.put_many([b'x', item], timeout=5)",
    ],
)
def test_who_may_write_but_not_look_is_told_what_never_fits(make, spawn, key, call):
    """It would wait for ever for room that there will never be."""
    queue = make(key, 100, mode=0o602, serializer=RawSerializer)
    code = f"""\
queue, item = Queue(int(args[0]), serializer=RawSerializer), b"x" * 101
report(lambda: {call})
queue.put(item[1:])
"""
    errno, _, words = report(spawn(DROP + code, key).finish())
    assert errno == QueueError.TOO_BIG_MESSAGE
    assert "101 bytes" in words and "max_bytes" in words
    assert queue.get_many() == [b"x" * 100]


def test_a_message_beyond_msgmax_is_refused_with_the_limit_in_words(raw):
    size = kernel_limit("msgmax") + 1
    for put in (raw.put, raw.put_nowait, lambda item: raw.put(item, timeout=1)):
        with pytest.raises(QueueError) as caught:
            put(b"x" * size)
        error = caught.value
        assert error.errno == QueueError.TOO_BIG_MESSAGE
        assert "msgmax" in error.msg
        assert str(kernel_limit("msgmax")) in error.msg
        assert str(size) in error.msg
    assert raw.empty()


def test_max_bytes_raised_by_somebody_else_counts_at_once(make, key):
    queue = make(key, max_bytes=100, serializer=RawSerializer)
    with pytest.raises(QueueError):
        queue.put_nowait(b"x" * 500)
    make(key, max_bytes=1000)
    queue.put_nowait(b"x" * 500)
    assert len(queue.get()) == 500


def test_max_bytes_lowered_by_somebody_else_counts_at_once(make, key):
    queue = make(key, max_bytes=1000, serializer=RawSerializer)
    queue.put_nowait(b"x" * 500)
    make(key, max_bytes=100)
    for put in (queue.put, queue.put_nowait):
        with pytest.raises(QueueError) as caught:
            put(b"y" * 500)
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    assert queue.get() == b"x" * 500


def test_limits_are_read_anew_whenever_they_matter(isolated):
    code = """\
def size(queue, length):
    try:
        queue.put_nowait(b"x" * length)
        return len(queue.get())
    except QueueError as error:
        assert error.errno == QueueError.TOO_BIG_MESSAGE, error
        return str(error)
old = Queue(1, serializer=RawSerializer)
set_limit("msgmnb", 300000)
set_limit("msgmax", 200000)
new = Queue(2, serializer=RawSerializer)
print(new.max_bytes, size(new, 200000))
print(size(new, 200001))
print(size(old, old.max_bytes))
set_limit("msgmax", 1000)
print(size(new, 1001))
set_limit("msgmax", 2000)
print(size(new, 1001))
"""
    lines = isolated(code).finish().splitlines()
    assert lines[0] == "300000 200000"
    assert "msgmax" in lines[1] and "200000" in lines[1]
    assert int(lines[2]) > 0
    assert "msgmax" in lines[3] and "1000" in lines[3]
    assert lines[4] == "1001"


def test_a_message_sent_before_msgmax_was_lowered_is_received(isolated):
    code = """\
set_limit("msgmax", 12000)
queue = Queue(1, serializer=RawSerializer)
queue.put(b"x" * 12000)
set_limit("msgmax", 100)
print(len(Queue(1, serializer=RawSerializer).get(timeout=60)))
"""
    assert isolated(code).finish() == "12000"


@pytest.mark.parametrize("size", [8193, 65536, 1_000_000])
def test_messages_longer_than_the_usual_msgmax_are_received(isolated, size):
    """A reader that opened before the limits were raised must still get them."""
    code = """\
reader = Queue(1, serializer=RawSerializer)
for name in ("msgmax", "msgmnb"):
    set_limit(name, 2000000)
writer = Queue(1, 2000000, serializer=RawSerializer)
data = bytes(range(256)) * (int(args[0]) // 256 + 1)
data = data[:int(args[0])]
writer.put(data, msg_type=7)
writer.put(b"next", msg_type=8)
print(reader.get(msg_type=-7) == data, reader.get() == b"next")
"""
    assert isolated(code, size).finish() == "True True"


def test_a_blocked_reader_gets_a_message_longer_than_it_expected(isolated):
    code = """\
reader = Queue(1, serializer=RawSerializer)
got = []
thread = threading.Thread(target=lambda: got.append(reader.get(timeout=100)), daemon=True)
thread.start()
until_asleep(task_of(thread))
for name in ("msgmax", "msgmnb"):
    set_limit(name, 100000)
writer = Queue(1, 100000, serializer=RawSerializer)
writer.put(b"z" * 90000)
thread.join(60)
print(got == [b"z" * 90000])
"""
    assert isolated(code).finish() == "True"
