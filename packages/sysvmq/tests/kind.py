"""System V queues, for the tests of both packages: the other kind's names are the same."""

import ctypes
import platform
import secrets
from pathlib import Path

import sysvmq as mq
from sysvmq import (
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

PACKAGE = "sysvmq"
ADDRESS = "key"  # the parameter of Queue
MARK = "msg_type"  # the parameter of put, and the attribute of a Message
DEFAULT_MARK = 1  # of put
TIMES_OF_LOOKING = set()  # attributes of stat() that looking at a queue changes
LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1
# Some that put takes, from the lowest to the highest, and some that it does not.
MARKS = (1, 2, 2**15, 2**31 - 1, min(2**31, LONG_MAX - 1), LONG_MAX)
BAD_MARKS = (0, -1, LONG_MAX + 1)
LEAVE = "detach"  # the method that ends the handle and leaves the queue
ENDS = ("close", "detach")  # the methods that end the handle
WARNS_WHEN_DROPPED = False  # of a queue that has an address, and was never closed
HAS_TYPES = True  # whether a receiver chooses by the mark
SA_RESTART_INTERRUPTS = True  # whether a handler with that flag ends a sleep, too
# Of make(), unless its caller says otherwise; who may write is the affair of test_trust.py.
OPTIONS = {"max_bytes": None, "trusted": True}
ATTRIBUTES = (  # of a Queue
    *("key", "id", "max_bytes", "maxmsgsize"),
    *("closed", "serializer", "on_signal", "spin_us", "trusted"),
)
LIMITS = "/proc/sys/kernel"  # where the limits are
SIZE_LIMITS = {"max_bytes": "msgmnb"}  # of an option of Queue
QUEUES_LIMIT = "msgmni"
BEYOND_LIMIT = QueueError.NO_PERMISSIONS, 1  # what asking for more is: EPERM

# What a task does in /proc while it waits in a queue: msgsnd, msgrcv; or pselect6.
POLLS = getattr(mq._sysvmq, "_polls", False)
WAIT_CHANNEL = ""
WAIT_CALLS = {
    "x86_64": {"270"} if POLLS else {"69", "70"},
    **dict.fromkeys(("aarch64", "riscv64", "loongarch64"), {"72"} if POLLS else {"188", "189"}),
}.get(platform.machine(), ())

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_RMID = 0


def id_of_key(key):
    """The id of the queue with this key, -1 where there is none."""
    return LIBC.msgget(ctypes.c_int(key & 0xFFFFFFFF), 0)


def remove_id(id_):
    """Remove a queue as another process would."""
    LIBC.msgctl(id_, IPC_RMID, None)


def kernel_row(id_):
    """What /proc/sysvipc/msg says of a queue, None when it has been removed."""
    head, *rows = Path("/proc/sysvipc/msg").read_text().splitlines()
    for row in rows:
        fields = dict(zip(head.split(), row.split(), strict=True))
        if int(fields["msqid"]) == id_:
            return fields
    return None


def new_address(low=1, high=2**31):
    """A key that no queue has."""
    while id_of_key(key := low + secrets.randbelow(high - low)) != -1:
        pass
    return key


def parse_address(text):
    """The address that was given to a script as text."""
    return int(text)


def address_of(queue):
    return queue.key


def exists(address):
    """Whether there is a queue of this key."""
    return id_of_key(address) != -1


def remove_address(address):
    """Remove the queue of this key, if there is one."""
    while (id_ := id_of_key(address)) != -1:
        remove_id(id_)


def destroy(queue):
    """End the handle and remove the queue."""
    queue.close()


def keep(queue):
    """What release() needs to know of a queue that a test has made.

    To warn of a private queue that is dropped is the package's own affair.
    """
    return queue.id, queue if not queue.key else None


def release(kept):
    remove_id(kept[0])


def mode_of(queue):
    """The permissions of a queue, as the kernel has them."""
    return int(kernel_row(queue.id)["perms"], 8) & 0o777


def anonymous(**options):
    """Create a queue that has no address; only close() removes it."""
    return Queue(None, **options)


def change_mode(queue, mode):
    """Give the queue other permissions."""
    queue.set(mode=mode)


def adopt(queue, **options):
    """Open the same queue without its address: by its id."""
    return Queue.from_id(queue.id, **options)


def mark(number):
    """The keyword of put for a message with this mark."""
    return {MARK: number}


def room(messages, size=256):
    """The options of a queue that holds so many messages of so many bytes, and no more."""
    return {"max_bytes": messages * size}


def kernel_limit(name):
    """A limit of the kernel."""
    return int(Path(LIMITS, name).read_text())


MANY_MESSAGES = None  # the limit of how many a queue may hold: enough of one byte each
LENGTH_LIMIT = "max_bytes"  # the attribute that bounds the length of one message

# Limits that allow long messages.
WIDE_LIMITS = {"/proc/sys/kernel/msgmax": 200_000, "/proc/sys/kernel/msgmnb": 200_000}


def count_queues(addresses, isolated):
    """How many queues there are, in an IPC namespace of this process's own; else it cannot tell."""
    del addresses
    return len(Path("/proc/sysvipc/msg").read_text().splitlines()) - 1 if isolated else 0


def limits_in_words():
    return ", ".join(f"{name} {kernel_limit(name)}" for name in ("msgmax", "msgmnb", "msgmni"))
