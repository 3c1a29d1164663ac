"""The limits of POSIX queues, and what a queue counts against them; see mq_overview(7).

Imported only when it is used.
"""

import resource
from typing import NamedTuple

from ._proc import may_exceed_limits, read_text, unreadable

__all__ = [
    "FOLDER",
    "HARD_LIMITS",
    "RLIMIT_MSGQUEUE",
    "Limits",
    "allowed",
    "queue_charge",
    "setting",
    "setting_or_default",
]

FOLDER = "/proc/sys/fs/mqueue/"

# The resource module has the name only if the system that Python was built on knows it.
RLIMIT_MSGQUEUE = getattr(resource, "RLIMIT_MSGQUEUE", 12)

# The most that a process with CAP_SYS_RESOURCE may ask for.
HARD_LIMITS = {"msg_max": 65536, "msgsize_max": 16777216}

# The kernel's own values, for when /proc cannot be read.
_DEFAULTS = {"msg_max": 10, "msgsize_max": 8192, "queues_max": 256}

# What the kernel charges for each message besides its bytes: a struct msg_msg, and a node of the
# tree of priorities. There are no more nodes than priorities. See getrlimit(2).
_MESSAGE_OVERHEAD = 48
_NODE_OVERHEAD = 48
_MOST_NODES = 32768


class Limits(NamedTuple):
    """What :func:`limits` returns.

    *queues*, *user_bytes* and *user_bytes_left* are None if they cannot be known, which is so
    where the queues cannot be listed.
    """

    msg_max: int
    """The greatest maxsize of a new queue (fs.mqueue.msg_max)."""
    msgsize_max: int
    """The greatest maxmsgsize of a new queue in bytes (fs.mqueue.msgsize_max)."""
    queues_max: int
    """How many queues the system may have (fs.mqueue.queues_max)."""
    msg_default: int
    """The maxsize that the kernel uses if a program gives none (fs.mqueue.msg_default)."""
    msgsize_default: int
    """The maxmsgsize that the kernel uses if a program gives none (fs.mqueue.msgsize_default)."""
    queues: int | None
    """How many queues the system has, unlinked ones included as far as /proc shows them."""
    user_bytes_max: int | float
    """Bytes that all queues of this user may be charged with (RLIMIT_MSGQUEUE), or math.inf."""
    user_bytes: int | None
    """Bytes that the queues of this user are charged with, as far as they can be seen."""
    user_bytes_left: int | float | None
    """Bytes that may still be charged, 0 or more."""


Limits.__module__ = __package__


def queue_charge(maxsize: int, maxmsgsize: int) -> int:
    """Return the bytes that a queue counts against RLIMIT_MSGQUEUE, whether empty or full."""
    overhead = maxsize * _MESSAGE_OVERHEAD + min(maxsize, _MOST_NODES) * _NODE_OVERHEAD
    return maxsize * maxmsgsize + overhead


def setting(name: str) -> int:
    """Return a limit of the system.

    :param name: the name of a file in /proc/sys/fs/mqueue
    :raises QueueError: ERROR if /proc does not show it
    """
    try:
        with open(FOLDER + name) as file:
            return int(file.read())
    except OSError as error:
        what = f"cannot read the limit {FOLDER + name}"
        raise unreadable(what, error, "Linux, with /proc mounted") from None


def setting_or_default(name: str) -> int:
    """Return a limit of the system, or the kernel's default if /proc does not show it."""
    return int(read_text(FOLDER + name) or _DEFAULTS[name])


def allowed(name: str) -> int:
    """Return the most that this process may ask for: msg_max or msgsize_max."""
    return HARD_LIMITS[name] if may_exceed_limits() else setting_or_default(name)
