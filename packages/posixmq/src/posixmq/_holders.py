"""Which processes hold POSIX queues open, as /proc shows it. Imported only when it is used."""

import contextlib
import os

from . import _posixmq
from ._proc import unreadable
from ._stat import QueueStat, queue_stat

__all__ = ["Holders"]


class Holders:
    """The holders of all queues of a device, as far as /proc shows them to this user.

    :param device: the device number of an mqueue file system
    :param names: the names of the queues in it
    :raises QueueError: ERROR without /proc
    """

    def __init__(self, device: int, names: list[str]) -> None:
        self.pids: dict[int, set[int]] = {}  # inode: processes
        self.own: dict[int, list[int]] = {}  # inode: descriptors of this process
        self.unlinked: dict[int, tuple[int, str]] = {}  # inode: owner, path that opens it
        self._device = device
        self._names = set(names)
        try:
            own_pid = os.readlink("/proc/self")
            pids = os.listdir("/proc")
        except OSError as error:
            what = "cannot list the queues: /proc/self"
            raise unreadable(what, error, "Linux, with /proc mounted") from None
        for pid in pids:
            if pid.isdigit():
                self._examine_process(pid, pid == own_pid)

    def _examine_process(self, pid: str, is_own: bool) -> None:
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:  # the process has ended, or belongs to another user
            return
        for descriptor in descriptors:
            path = f"{folder}/{descriptor}"
            with contextlib.suppress(OSError):
                if not self._may_be_queue(os.readlink(path)):
                    continue
                status = os.stat(path)
                if status.st_dev != self._device:
                    continue
                inode = status.st_ino
                self.pids.setdefault(inode, set()).add(int(pid))
                if is_own:
                    self.own.setdefault(inode, []).append(int(descriptor))
                if status.st_nlink == 0:
                    self.unlinked[inode] = status.st_uid, path

    def _may_be_queue(self, target: str) -> bool:
        """Skip stat() of other files: it may hang if their file system does not answer."""
        if not target.startswith("/"):
            return False
        return target.endswith(" (deleted)") or target.rpartition("/")[2] in self._names

    def examine(self, inode: int, path: str, folder: int | None = None) -> QueueStat | None:
        """Return the status of a queue, or None if this user may not read it.

        When a process closes any descriptor of a queue, the kernel cancels its request to be
        notified. So a queue that this process holds is never opened here. It is examined through
        a descriptor that the process already has.

        :param path: a path that opens the queue
        :param folder: the descriptor of the folder that the path is relative to
        """
        for descriptor in self.own.get(inode, ()):
            with contextlib.suppress(OSError):
                seen = _posixmq.look(descriptor)
                if seen[-2] == inode:  # it may have been closed, and its number reused
                    return queue_stat(*seen)
        if inode in self.own:
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY, dir_fd=folder)
        except OSError:
            return None
        try:
            return queue_stat(*_posixmq.look(descriptor))
        except OSError:
            return None
        finally:
            os.close(descriptor)
