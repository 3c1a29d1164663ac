"""What the system tells of queues: their status, the list of them all, the limits; pickling.

Imported only when it is used.
"""

import os
from typing import Any, NamedTuple, TypeVar

from ._errors import QueueError
from ._sysvmq import Queue
from .serializers import picklable, restored

_T = TypeVar("_T")

_TABLE = "/proc/sysvipc/msg"


class QueueStat(NamedTuple):
    """What :meth:`Queue.stat` returns: all that the kernel tells of a queue; see msgctl(2).

    Times are seconds since 1970.
    """

    uid: int
    """User id of the owner."""
    gid: int
    """Group id of the owner."""
    cuid: int
    """User id of the creator."""
    cgid: int
    """Group id of the creator."""
    mode: int
    """Permission bits."""
    key: int
    """0 for a private queue."""
    size: int
    """Messages in the queue."""
    bytes: int
    """Bytes of all messages in the queue together."""
    max_bytes: int
    """Bytes that they may have together."""
    last_put_pid: int
    """The process that put last, 0 for none."""
    last_get_pid: int
    """The process that got last, 0 for none."""
    put_time: int
    """When that was, 0 for never."""
    get_time: int
    """When that was, 0 for never."""
    change_time: int
    """When the queue was made, or last changed by set()."""


class QueueInfo(NamedTuple):
    """A queue as :func:`list_queues` finds it; what its fields mean is said at QueueStat."""

    key: int
    """0 for a private queue."""
    id: int
    """For :meth:`Queue.from_id` and :func:`remove`."""
    mode: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    size: int
    bytes: int
    last_put_pid: int
    last_get_pid: int
    put_time: int
    get_time: int
    change_time: int


class Limits(NamedTuple):
    """What :func:`limits` returns; see proc(5) and msgctl(2)."""

    msgmax: int
    """The longest message in bytes (kernel.msgmax)."""
    msgmnb: int
    """Bytes that a new queue may hold (kernel.msgmnb)."""
    msgmni: int
    """Queues that the system may have (kernel.msgmni)."""
    queues: int
    """Queues that it has."""
    messages: int
    """Messages in all of them."""
    bytes: int
    """Bytes in all of them."""


QueueStat.__module__ = QueueInfo.__module__ = Limits.__module__ = __package__

# The fields of QueueInfo as the first line of the table names them.
_COLUMNS = (
    *("key", "msqid", "perms", "uid", "gid", "cuid", "cgid", "qnum", "cbytes"),
    *("lspid", "lrpid", "stime", "rtime", "ctime"),
)


def list_queues() -> list[QueueInfo]:
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
            f"cannot list the queues: {_TABLE}: {os.strerror(problem.errno or 0)}; it needs /proc to be "
            "mounted and a kernel with System V IPC",
        )
        error.os_errno = problem.errno or 0
        raise error from None
    return [_read_row(dict(zip(head.split(), row.split(), strict=True))) for row in rows]


def _read_row(fields: dict[str, str]) -> QueueInfo:
    """Turn a row of the table into a QueueInfo: keys are shown signed, modes in octal."""
    values = [int(fields[name], 8 if name == "perms" else 10) for name in _COLUMNS]
    info = QueueInfo._make(values)
    return info._replace(key=info.key & 0xFFFFFFFF, mode=info.mode & 0o777)


# ------------------------------------------------------------------------- pickling


def reduce_queue(queue: Queue[Any]) -> tuple[Any, ...]:
    """Return what pickles an open queue: how to open it by its id, and a subclass's attributes."""
    options = {name: getattr(queue, name) for name in ("on_signal", "spin_us", "trusted")}
    how = rebuild_queue, (type(queue), queue.id, picklable(queue.serializer), options)
    state = queue.__getstate__()
    return how if state is None else (*how, state)


def rebuild_queue(
    cls: type[Queue[_T]], msqid: int, serializer: Any, options: dict[str, Any]
) -> Queue[_T]:
    """Open the queue that was pickled."""
    return cls.from_id(msqid, serializer=restored(serializer), **options)
