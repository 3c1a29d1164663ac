"""POSIX queues, for the tests of both packages: the other kind's names are the same."""

import contextlib
import itertools
import os
import platform
import resource
import secrets
import stat
from pathlib import Path

import posixmq as mq
from posixmq import (
    DecodeError,
    Message,
    PickleSerializer,
    Queue,
    QueueError,
    RawSerializer,
    SignedSerializer,
)

__all__ = [
    "TIMES_OF_LOOKING",
    "DecodeError",
    "Message",
    "PickleSerializer",
    "Queue",
    "QueueError",
    "RawSerializer",
    "SignedSerializer",
    "mq",
]

PACKAGE = "posixmq"
ADDRESS = "name"  # the parameter of Queue
MARK = "priority"  # the parameter of put, and the attribute of a Message
DEFAULT_MARK = 0  # of put
TIMES_OF_LOOKING = {"access_time", "change_time"}  # stat() reads the size, which sets both
MARKS = (0, 1, 31, 32766, 32767)  # some that put takes, from the lowest to the highest
BAD_MARKS = (-1, 32768)  # some that it does not
LEAVE = "close"  # the method that ends the handle and leaves the queue
ENDS = ("close",)  # the methods that end the handle
WARNS_WHEN_DROPPED = True  # of a queue that has an address, and was never closed
HAS_TYPES = False  # whether a receiver chooses by the mark
SA_RESTART_INTERRUPTS = False  # whether a handler with that flag ends a sleep, too
OPTIONS = {"maxsize": 4, "maxmsgsize": 256}  # of make(), unless its caller says otherwise
ATTRIBUTES = (  # of a Queue
    *("name", "maxsize", "maxmsgsize", "readable", "writable"),
    *("closed", "serializer", "on_signal", "spin_us", "trusted"),
)
LIMITS = "/proc/sys/fs/mqueue"  # where the limits are
SIZE_LIMITS = {"maxsize": "msg_max", "maxmsgsize": "msgsize_max"}  # of an option of Queue
QUEUES_LIMIT = "queues_max"
BEYOND_LIMIT = QueueError.INVALID_VALUE, 22  # what asking for more is: EINVAL

# What a task does in /proc while it waits in a queue: mq_timedsend, mq_timedreceive; or pselect6.
POLLS = getattr(mq._posixmq, "_polls", False)
WAIT_CHANNEL = "" if POLLS else "wq_sleep"
WAIT_CALLS = {
    "x86_64": {"270"} if POLLS else {"242", "243"},
    **dict.fromkeys(("aarch64", "riscv64", "loongarch64"), {"72"} if POLLS else {"182", "183"}),
}.get(platform.machine(), ())

STEM = f"/posixmq-test-{os.getpid()}-{secrets.token_hex(4)}"
numbers = itertools.count()


def new_address():
    """A name that no other queue has."""
    return f"{STEM}-{next(numbers)}"


def parse_address(text):
    """The address that was given to a script as text."""
    return text


def address_of(queue):
    return queue.name


def exists(address):
    """Whether there is a queue of this name."""
    try:
        Queue(address, create=False, serializer=RawSerializer).close()
    except QueueError as error:
        return error.errno != QueueError.DOES_NOT_EXIST
    return True


def remove_address(address):
    """Remove the queue of this name, if there is one."""
    with contextlib.suppress(QueueError):
        mq.unlink(address)


def destroy(queue):
    """End the handle and remove the queue."""
    queue.unlink()
    queue.close()


def keep(queue):
    """What release() needs to know of a queue that a test has made."""
    return queue


def release(queue):
    queue.close()


def mode_of(queue):
    """The permissions of a queue, as the kernel has them."""
    return stat.S_IMODE(os.fstat(queue.fileno()).st_mode)


def anonymous(**options):
    """Create a queue that has no address."""
    return Queue.anonymous(**room(1, 64) | options)


def change_mode(queue, mode):
    """Give the queue other permissions."""
    os.fchmod(queue.fileno(), mode)


def adopt(queue, **options):
    """Open the same queue without its address: by a descriptor, which is closed if it is refused."""
    descriptor = os.dup(queue.fileno())
    try:
        return Queue.from_fd(descriptor, **options)
    except BaseException:
        os.close(descriptor)
        raise


def mark(number):
    """The keyword of put for a message with this mark."""
    return {MARK: number}


def room(messages, size=256):
    """The options of a queue that holds so many messages of so many bytes, and no more."""
    return {"maxsize": messages, "maxmsgsize": size}


def kernel_limit(name):
    """A limit of the kernel, or ? where it is not shown."""
    try:
        return int(Path(LIMITS, name).read_text())
    except OSError:
        return "?"


MANY_MESSAGES = "/proc/sys/fs/mqueue/msg_max"  # the limit of how many a queue may hold
LENGTH_LIMIT = "maxmsgsize"  # the attribute that bounds the length of one message
WIDE_LIMITS = {"/proc/sys/fs/mqueue/msgsize_max": 100_000}  # that allow long messages


def count_queues(addresses, isolated):
    """How many of these queues there are."""
    del isolated
    return sum(map(exists, addresses))


def limits_in_words():
    limits = [f"{name} {kernel_limit(name)}" for name in ("msg_max", "msgsize_max", "queues_max")]
    own, _ = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    return ", ".join([*limits, f"RLIMIT_MSGQUEUE {own}"])
