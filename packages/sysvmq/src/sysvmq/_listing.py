"""The list of all System V queues. Imported only when it is used."""

from typing import NamedTuple

from ._proc import unreadable

__all__ = ["QueueInfo", "list_queues"]

_TABLE = "/proc/sysvipc/msg"

# The fields of QueueInfo as the first line of the table names them.
_COLUMNS = (
    *("key", "msqid", "perms", "uid", "gid", "cuid", "cgid", "qnum", "cbytes"),
    *("lspid", "lrpid", "stime", "rtime", "ctime"),
)


class QueueInfo(NamedTuple):
    """A queue as :func:`list_queues` finds it.

    The fields that :class:`QueueStat` has, too, mean the same as there.
    """

    key: int
    """The key; 0 for a private queue."""
    id: int
    """The number that :meth:`Queue.from_id` and :func:`remove` take."""
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


QueueInfo.__module__ = __package__


def list_queues() -> list[QueueInfo]:
    """Return all queues of this IPC namespace, one QueueInfo for each.

    Every user sees all of them, whatever their modes are; see proc(5), /proc/sysvipc/msg.

    :raises QueueError: ERROR without /proc, or if the kernel has no System V IPC
    """
    try:
        with open(_TABLE) as table:
            head, *rows = table.read().splitlines()
    except OSError as error:
        what = f"cannot list the queues: {_TABLE}"
        needs = "/proc to be mounted and a kernel with System V IPC"
        raise unreadable(what, error, needs) from None
    return [_read_row(dict(zip(head.split(), row.split(), strict=True))) for row in rows]


def _read_row(fields: dict[str, str]) -> QueueInfo:
    """Turn a row of the table into a QueueInfo. The table has signed keys, and octal modes."""
    values = [int(fields[name], 8 if name == "perms" else 10) for name in _COLUMNS]
    info = QueueInfo._make(values)
    return info._replace(key=info.key & 0xFFFFFFFF, mode=info.mode & 0o777)
