"""The list of all POSIX queues. Imported only when it is used."""

import os
from typing import NamedTuple

from ._folder import open_folder
from ._holders import Holders

__all__ = ["QueueInfo", "list_queues"]


class QueueInfo(NamedTuple):
    """A queue as :func:`list_queues` finds it.

    *size*, *max_size*, *max_msgbytes*, *bytes* and *notify_pid* are None if this user may not read
    the queue.
    """

    name: str
    """The name with its slash, as Queue() takes it."""
    uid: int
    """User id of the owner."""
    gid: int
    """Group id of the owner."""
    mode: int
    """Permission bits."""
    size: int | None
    """Messages in the queue."""
    max_size: int | None
    """How many messages the queue can hold."""
    max_msgbytes: int | None
    """The longest message in bytes."""
    bytes: int | None
    """Bytes of all messages in the queue together."""
    message_time: float
    """When a message was last put or received; at first, when the queue was created."""
    access_time: float
    """When the queue was last used or examined."""
    change_time: float
    """When anything about the queue last changed, or when it was last examined."""
    notify_pid: int | None
    """The process that asked to be notified; 0 for none."""
    pids: tuple[int, ...]
    """The processes that hold the queue open, as far as /proc shows their descriptors."""


QueueInfo.__module__ = __package__


def list_queues() -> list[QueueInfo]:
    """Return all queues of this IPC namespace that have a name, sorted by name.

    A process that may mount file systems (root may) reads the list from a mount that only this
    call sees. Any other process needs a mounted mqueue file system; see mq_overview(7).

    A mounted file system that belongs to another IPC namespace, as a container may have it, is never
    read. To tell them apart, this call opens a queue that the user may read. If there is none, it
    creates a queue of one byte without a name, and closes it at once.

    :raises QueueError: NO_PERMISSIONS if there is nothing to read the list from; the message says
        what is mounted, and how to mount what is needed. ERROR without /proc.
    """
    with open_folder() as folder:
        names = sorted(os.listdir(folder))
        holders = Holders(os.fstat(folder).st_dev, names)
        found = (_info(folder, name, holders) for name in names)
        return [info for info in found if info is not None]


def _info(folder: int, name: str, holders: Holders) -> QueueInfo | None:
    """Return what is known about a queue, or None if it has been unlinked meanwhile."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    seen = holders.examine(status.st_ino, name, folder)
    return QueueInfo(
        name="/" + name,
        uid=status.st_uid,
        gid=status.st_gid,
        mode=status.st_mode & 0o7777,
        size=seen and seen.size,
        max_size=seen and seen.max_size,
        max_msgbytes=seen and seen.max_msgbytes,
        bytes=seen and seen.bytes,
        message_time=status.st_mtime,
        access_time=status.st_atime,
        change_time=status.st_ctime,
        notify_pid=seen and seen.notify_pid,
        pids=tuple(sorted(holders.pids.get(status.st_ino, ()))),
    )
