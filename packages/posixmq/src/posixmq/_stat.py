"""What the kernel tells about one POSIX queue. Imported only when it is used."""

from typing import NamedTuple

__all__ = ["QueueStat", "queue_stat"]

# SIGEV_SIGNAL, SIGEV_NONE and SIGEV_THREAD of <signal.h>.
_NOTIFY_KINDS = {0: "signal", 1: "none", 2: "thread"}


class QueueStat(NamedTuple):
    """What :meth:`Queue.stat` returns: all that the kernel tells about a queue.

    *bytes* and the last three fields are None if the queue was opened for writing only. Times are
    seconds since the epoch; the kernel keeps whole seconds for these queues.
    """

    size: int
    """Messages in the queue."""
    max_size: int
    """How many messages the queue can hold."""
    max_msgbytes: int
    """The longest message in bytes."""
    bytes: int | None
    """Bytes of all messages in the queue together."""
    uid: int
    """User id of the owner."""
    gid: int
    """Group id of the owner."""
    mode: int
    """Permission bits."""
    linked: bool
    """False once the name was unlinked."""
    message_time: float
    """When a message was last put or received; at first, when the queue was created."""
    access_time: float
    """When the queue was last used or examined, by stat() too."""
    change_time: float
    """When anything about the queue last changed, or when it was last examined."""
    notify_pid: int | None
    """The process that asked to be notified; 0 for none, or one in a PID namespace unseen here."""
    notify_kind: str | None
    """How that process is notified: "signal", "thread" or "none"; "" if there is no process."""
    notify_signal: int | None
    """The number of the signal that it is notified by; 0 for none."""


QueueStat.__module__ = __package__


def queue_stat(
    size: int,
    max_size: int,
    max_msgbytes: int,
    uid: int,
    gid: int,
    mode: int,
    links: int,
    message_time: float,
    access_time: float,
    change_time: float,
    inode: int,
    text: str | None,
) -> QueueStat:
    """Return the QueueStat for what the C module has read.

    :param text: what the kernel writes into the queue's file; None if it could not be read
    """
    fields = _parse(text)
    return QueueStat(
        size=size,
        max_size=max_size,
        max_msgbytes=max_msgbytes,
        bytes=fields.get("QSIZE"),
        uid=uid,
        gid=gid,
        mode=mode,
        linked=links > 0,
        message_time=message_time,
        access_time=access_time,
        change_time=change_time,
        notify_pid=fields.get("NOTIFY_PID"),
        notify_kind=_notify_kind(fields),
        notify_signal=fields.get("SIGNO"),
    )


def _parse(text: str | None) -> dict[str, int]:
    """Parse "QSIZE:129  NOTIFY:2  SIGNO:0  NOTIFY_PID:8260"; see mq_overview(7)."""
    pairs = (word.partition(":") for word in (text or "").split())
    return {key: int(value) for key, _, value in pairs}


def _notify_kind(fields: dict[str, int]) -> str | None:
    if not fields:
        return None
    kind, pid, signal = fields["NOTIFY"], fields["NOTIFY_PID"], fields["SIGNO"]
    # Without a request all three are 0, but NOTIFY:0 also means SIGEV_SIGNAL.
    return _NOTIFY_KINDS.get(kind, "") if kind or pid or signal else ""
