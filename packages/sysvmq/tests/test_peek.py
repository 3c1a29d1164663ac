"""peek: a message is shown and stays."""

import errno
import os
import platform
from queue import Empty

import pytest

from harness.calls import Call
from kind import kernel_row, remove_id
from sysvmq import DecodeError, Message, QueueError, RawSerializer


@pytest.fixture
def three(q):
    for number in range(3):
        q.put(f"item {number}", msg_type=number + 5)
    return q


def test_peek_shows_the_oldest_message_and_leaves_it(three):
    before = kernel_row(three.id)
    for _ in range(3):
        message = three.peek()
        assert type(message) is Message
        assert message == ("item 0", 5)
    assert kernel_row(three.id) == before
    assert three.receive() == ("item 0", 5)


def test_peek_counts_from_the_oldest(three):
    assert [three.peek(place) for place in range(3)] == [
        ("item 0", 5),
        ("item 1", 6),
        ("item 2", 7),
    ]
    assert three.peek(index=2).item == "item 2"
    assert three.qsize() == 3


@pytest.mark.parametrize("place", [3, 4, 2**31, 2**31 - 1])
def test_peek_beyond_the_last_message_is_empty(three, place):
    with pytest.raises(Empty):
        three.peek(place)


def test_peek_never_waits(q):
    with pytest.raises(Empty):
        q.peek()


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 40_000, 300_000])
def test_peek_makes_room_for_a_message_of_any_length(isolated, size):
    code = """\
try:
    for name in ("msgmax", "msgmnb"):
        open("/proc/sys/kernel/" + name, "w").write("2000000")
except OSError as error:
    print(error)
    sys.exit(77)
queue = Queue(1, serializer=RawSerializer)
data = os.urandom(int(args[0]))
queue.put(b"short", msg_type=2)
queue.put(data, msg_type=3)
print([queue.peek(1) == (data, 3) for _ in range(2)], queue.peek() == (b"short", 2), queue.qsize())
"""
    assert isolated(code, size).finish() == "[True, True] True 2"


def test_peek_says_when_msgmax_was_lowered_below_the_message(isolated):
    """The kernel copies into room for msgmax bytes, and says EINVAL as of a removed queue."""
    code = """\
queue = Queue(1, serializer=RawSerializer)
queue.put(b"x" * 5000)
try:
    open("/proc/sys/kernel/msgmax", "w").write("100")
except OSError as error:
    print(error)
    sys.exit(77)
try:
    queue.peek()
except QueueError as error:
    print(error.errno == QueueError.TOO_BIG_MESSAGE, "kernel.msgmax" in error.msg, "100" in error.msg)
print(len(queue.get()))
"""
    assert isolated(code).finish() == "True True True\n5000"


def test_peek_at_what_does_not_decode_leaves_it(q, make):
    raw = make(q.key, serializer=RawSerializer)
    raw.put(b"\x80bad", msg_type=4)
    with pytest.raises(DecodeError) as caught:
        q.peek()
    assert (caught.value.data, caught.value.msg_type) == (b"\x80bad", 4)
    assert raw.get() == b"\x80bad"


def test_peek_at_a_removed_queue_is_an_invalid_descriptor(q):
    remove_id(q.id)
    with pytest.raises(QueueError, match="removed") as caught:
        q.peek()
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_peek_disturbs_no_reader(q):
    waiter = Call(q.get, msg_type=2).until_asleep()
    q.put("x", msg_type=1)
    assert q.peek() == ("x", 1)
    waiter.until_asleep()
    q.put("y", msg_type=2)
    assert waiter.result() == "y"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "expected"), [(0o622, "NO_PERMISSIONS"), (0o644, "Message(item=1, msg_type=2)")]
)
def test_peek_needs_the_right_to_read(make, key, spawn, mode, expected):
    make(key, mode=mode).put(1, msg_type=2)
    code = """\
try:
    print(Queue(int(args[0])).peek())
except QueueError as error:
    print("NO_PERMISSIONS" if error.errno == QueueError.NO_PERMISSIONS else error)
"""
    assert spawn("become()\n" + code, key).finish() == expected


# Linux's numbers of msgrcv, and what <linux/audit.h> calls the machine
MSGRCV = {"x86_64": (70, 0xC000003E), "aarch64": (188, 0xC00000B7)}


@pytest.mark.skipif(platform.machine() not in MSGRCV, reason="the number of msgrcv is not known")
def test_a_kernel_without_msg_copy_is_named_as_such(spawn, key):
    """A seccomp filter answers as such a kernel does: ENOSYS to msgrcv with MSG_COPY."""
    number, machine = MSGRCV[platform.machine()]
    code = """\
import errno, struct
number, machine = int(args[1]), int(args[2])
load, equal, has, ret = 0x20, 0x15, 0x45, 0x06
program = b"".join(struct.pack("HBBI", *line) for line in [
    (load, 0, 0, 4), (equal, 0, 5, machine),
    (load, 0, 0, 0), (equal, 0, 3, number),
    (load, 0, 0, 16 + 4 * 8), (has, 0, 1, 0o40000),
    (ret, 0, 0, 0x00050000 | errno.ENOSYS),
    (ret, 0, 0, 0x7FFF0000),
])
buffer = ctypes.create_string_buffer(program, len(program))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
queue = Queue(int(args[0]))
queue.put("kept")
found = libc.prctl(38, 1, 0, 0, 0) or libc.prctl(
    22, 2, ctypes.byref(Program(8, ctypes.addressof(buffer))))
if found:
    print("seccomp:", os.strerror(ctypes.get_errno()))
    sys.exit(77)
try:
    queue.peek()
except QueueError as error:
    print(error.errno == QueueError.ERROR, error.os_errno, "MSG_COPY" in error.msg)
print(queue.get())
queue.close()
"""
    out = spawn(code, key, number, machine).finish()
    assert out == f"True {errno.ENOSYS} True\nkept"


def test_peek_takes_an_index_alone(q):
    q.put("stays")
    for wrong in ({"number": 1}, {"index": "0"}):
        with pytest.raises(TypeError):
            q.peek(**wrong)
    assert q.qsize() == 1
