"""What the kernel tells about one System V queue. Imported only when it is used."""

from typing import NamedTuple

__all__ = ["QueueStat"]


class QueueStat(NamedTuple):
    """What :meth:`Queue.stat` returns: all that the kernel tells about a queue; see msgctl(2).

    Times are seconds since the epoch.
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
    """The key; 0 for a private queue."""
    size: int
    """Messages in the queue."""
    bytes: int
    """Bytes of all messages in the queue together."""
    max_bytes: int
    """The bytes that the messages may have together."""
    last_put_pid: int
    """The process that put the last message; 0 for none."""
    last_get_pid: int
    """The process that received the last message; 0 for none."""
    put_time: int
    """When that message was put; 0 for never."""
    get_time: int
    """When that message was received; 0 for never."""
    change_time: int
    """When the queue was created, or last changed by set()."""


QueueStat.__module__ = __package__
