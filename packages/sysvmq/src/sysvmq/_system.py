"""What is looked up rather than waited for: the system's queues, results with names, pickling.

Imported only when something of it is asked for.
"""

import importlib
import os
from collections import namedtuple
from types import ModuleType

from ._errors import QueueError

_TABLE = "/proc/sysvipc/msg"

Message = namedtuple("Message", "item msg_type", module="sysvmq")
Message.__doc__ = "A received item and the type of the message that brought it, 1 or more."

QueueStat = namedtuple(
    "QueueStat",
    "uid gid cuid cgid mode key size bytes max_bytes last_put_pid last_get_pid put_time get_time "
    "change_time",
    module="sysvmq",
)
QueueStat.__doc__ = """What the kernel says of a queue; see msgctl(2).

``uid``, ``gid`` are the owner's, ``cuid``, ``cgid`` the creator's, ``mode`` the permission bits.
``key`` is 0 for a private queue. ``size`` counts the messages, ``bytes`` what they have together,
and ``max_bytes`` what they may have. ``last_put_pid`` and ``last_get_pid`` are the processes that
put and got last, 0 for none. ``put_time``, ``get_time`` and ``change_time`` are seconds since
1970, 0 for never; the last is when the queue was made or changed by ``set()``."""

QueueInfo = namedtuple(
    "QueueInfo",
    "key id mode uid gid cuid cgid size bytes last_put_pid last_get_pid put_time get_time "
    "change_time",
    module="sysvmq",
)
QueueInfo.__doc__ = """One queue of the system, as ``list_queues()`` finds it.

``id`` is for ``Queue.from_id()`` and ``remove()``; the other fields are those of QueueStat."""

Limits = namedtuple("Limits", "msgmax msgmnb msgmni queues messages bytes", module="sysvmq")
Limits.__doc__ = """The system's limits and what is in use; see proc(5) and msgctl(2).

``msgmax`` is the longest message in bytes, ``msgmnb`` the bytes that a new queue may hold, and
``msgmni`` the number of queues: sysctl kernel.msgmax and so on. ``queues``, ``messages`` and
``bytes`` count what there is now in all queues."""


# The fields of QueueInfo as the first line of the table names them.
_COLUMNS = (
    *("key", "msqid", "perms", "uid", "gid", "cuid", "cgid", "qnum", "cbytes"),
    *("lspid", "lrpid", "stime", "rtime", "ctime"),
)


def list_queues():
    """Return a list of QueueInfo, one for each queue of this IPC namespace.

    Every user sees all of them, whatever their modes; see proc(5), /proc/sysvipc/msg.

    :raises QueueError: ERROR, where there is no /proc or no System V IPC in the kernel
    """
    try:
        with open(_TABLE) as table:
            head, *rows = table.read().splitlines()
    except OSError as problem:
        error = QueueError(
            QueueError.ERROR,
            f"cannot list the queues: {_TABLE}: {os.strerror(problem.errno)}; it needs /proc to be "
            "mounted and a kernel with System V IPC",
        )
        error.os_errno = problem.errno
        raise error from None
    return [_read_row(dict(zip(head.split(), row.split(), strict=True))) for row in rows]


def _read_row(fields):
    """Turn a row of the table into a QueueInfo: keys are shown signed, modes in octal."""
    values = [int(fields[name], 8 if name == "perms" else 10) for name in _COLUMNS]
    info = QueueInfo._make(values)
    return info._replace(key=info.key & 0xFFFFFFFF, mode=info.mode & 0o777)


# ------------------------------------------------------------------------- pickling


def reduce_queue(queue):
    """Return what pickles an open queue: how to open it by its id, and a subclass's attributes."""
    serializer = queue.serializer
    if isinstance(serializer, ModuleType):  # pickle takes none; no str is a serializer
        serializer = serializer.__name__
    options = {"on_signal": queue.on_signal, "spin_us": queue.spin_us}
    how = rebuild_queue, (type(queue), queue.id, serializer, options)
    state = queue.__getstate__()
    return how if state is None else (*how, state)


def rebuild_queue(cls, msqid, serializer, options):
    """Open the queue that was pickled."""
    if isinstance(serializer, str):
        serializer = importlib.import_module(serializer)
    return cls.from_id(msqid, serializer=serializer, **options)
