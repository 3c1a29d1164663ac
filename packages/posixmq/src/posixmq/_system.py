"""What the system tells of queues: their status, the list of them all, the limits.

Imported only when it is used.
"""

import contextlib
import errno
import math
import os
import re
import resource
from collections.abc import Iterator
from typing import NamedTuple

from . import _posixmq
from ._errors import QueueError

__all__ = ["Limits", "QueueInfo", "QueueStat", "limits", "list_queues"]

_LIMITS = "/proc/sys/fs/mqueue/"

# How a mount point's spaces and the like are written, see proc(5).
_OCTAL = re.compile(rb"\\([0-7]{3})")

# The resource module has it only where Python was built on a system that knows it.
RLIMIT_MSGQUEUE = getattr(resource, "RLIMIT_MSGQUEUE", 12)

# What the kernel adds for each message when it charges a queue to its user: a struct msg_msg and
# a node of the tree of priorities, of which there are no more than priorities. See getrlimit(2).
_MESSAGE_OVERHEAD = 48
_NODE_OVERHEAD = 48
_MOST_NODES = 32768

# SIGEV_SIGNAL, SIGEV_NONE and SIGEV_THREAD of <signal.h>.
_KINDS = {0: "signal", 1: "none", 2: "thread"}


class QueueStat(NamedTuple):
    """What :meth:`Queue.stat` returns: all that the kernel tells of a queue.

    *bytes* and the last three are None where the queue was opened write-only. Times are seconds
    since the epoch, of which this kernel's queues keep whole ones.
    """

    size: int
    """Messages in the queue."""
    max_size: int
    """Messages it can hold."""
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
    """When a message last went in or out; at first, when the queue was created."""
    access_time: float
    """When it was last used or looked at, by stat() too."""
    change_time: float
    """When anything of it last changed, or it was looked at."""
    notify_pid: int | None
    """Process that asked to be notified, 0 for none (or one of a PID namespace unseen here)."""
    notify_kind: str | None
    """"signal", "thread" or "none", as it wants to be notified; "" for no process."""
    notify_signal: int | None
    """The number of the signal it wants, 0 for none."""


class QueueInfo(NamedTuple):
    """A queue as :func:`list_queues` finds it.

    What takes the right to read the queue is None without it: *size*, *max_size*, *max_msgbytes*,
    *bytes* and *notify_pid*.
    """

    name: str
    """With the slash, as Queue() takes it."""
    uid: int
    """User id of the owner."""
    gid: int
    """Group id of the owner."""
    mode: int
    """Permission bits."""
    size: int | None
    """Messages in the queue."""
    max_size: int | None
    """Messages it can hold."""
    max_msgbytes: int | None
    """The longest message in bytes."""
    bytes: int | None
    """Bytes of all messages in the queue together."""
    message_time: float
    """When a message last went in or out; at first, when the queue was created."""
    access_time: float
    """When it was last used or looked at."""
    change_time: float
    """When anything of it last changed, or it was looked at."""
    notify_pid: int | None
    """Process that asked to be notified, 0 for none."""
    pids: tuple[int, ...]
    """Processes that hold it open, of those whose descriptors this user may see in /proc."""


class Limits(NamedTuple):
    """What :func:`limits` returns.

    What cannot be known is None: the last two and *queues*, without a way to list the queues.
    """

    msg_max: int
    """The greatest maxsize of a new queue (fs.mqueue.msg_max)."""
    msgsize_max: int
    """The greatest maxmsgsize of a new queue, in bytes (fs.mqueue.msgsize_max)."""
    queues_max: int
    """Queues that the system may have (fs.mqueue.queues_max)."""
    msg_default: int
    """What the kernel takes where a program names no maxsize (fs.mqueue.msg_default)."""
    msgsize_default: int
    """What the kernel takes where a program names no maxmsgsize (fs.mqueue.msgsize_default)."""
    queues: int | None
    """Queues that the system has, unlinked ones included as far as /proc shows them."""
    user_bytes_max: int | float
    """Bytes that all queues of a user may be charged with (RLIMIT_MSGQUEUE), or math.inf."""
    user_bytes: int | None
    """Bytes that the queues of this user seen here are charged with."""
    user_bytes_left: int | float | None
    """Bytes that may still be charged, 0 or more; compare queue_charge()."""


QueueStat.__module__ = QueueInfo.__module__ = Limits.__module__ = __package__


def _proc_error(what: str, reason: OSError) -> QueueError:
    """Return the QueueError for a file of /proc that cannot be read."""
    number = reason.errno or errno.EIO
    text = f"{what}: {os.strerror(number)}; it needs Linux, with /proc mounted"
    error = QueueError(QueueError.ERROR, text)
    error.os_errno = number
    return error


# --- one queue -----------------------------------------------------------------------------------


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
    """Make a QueueStat of what the C module has looked up."""
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
    """Read "QSIZE:129  NOTIFY:2  SIGNO:0  NOTIFY_PID:8260", see mq_overview(7)."""
    pairs = (word.partition(":") for word in (text or "").split())
    return {key: int(value) for key, _, value in pairs}


def _notify_kind(fields: dict[str, int]) -> str | None:
    if not fields:
        return None
    kind, pid, signal = fields["NOTIFY"], fields["NOTIFY_PID"], fields["SIGNO"]
    return _KINDS.get(kind, "") if kind or pid or signal else ""  # 0 is SIGEV_SIGNAL as well


def queue_charge(maxsize: int, maxmsgsize: int) -> int:
    """Return the bytes of RLIMIT_MSGQUEUE that a queue takes, empty or full."""
    overhead = maxsize * _MESSAGE_OVERHEAD + min(maxsize, _MOST_NODES) * _NODE_OVERHEAD
    return maxsize * maxmsgsize + overhead


# --- all queues ----------------------------------------------------------------------------------


def list_queues() -> list[QueueInfo]:
    """Return all queues of this IPC namespace that have a name, sorted by it.

    A process that may mount (root may) lists them from a mount that only this call sees. Any other
    needs a mounted mqueue file system. One that belongs to another IPC namespace, as containers may
    have it, is never read. To find out, this call looks up a queue that the user may read. Where
    there is none, it creates a queue of one byte, without a name, and closes it at once.

    :raises QueueError: NO_PERMISSIONS where there is nothing to list them from; it says what is
        mounted, and how to mount what is needed. ERROR without /proc.
    """
    with _open_folder() as folder:
        names = sorted(os.listdir(folder))
        holders = _Holders(os.fstat(folder).st_dev, names)
        found = (_look_at_name(folder, name, holders) for name in names)
        return [info for info in found if info is not None]


@contextlib.contextmanager
def _open_folder() -> Iterator[int]:
    folder = _find_folder()
    try:
        yield folder
    finally:
        os.close(folder)


def _find_folder() -> int:
    """Return a descriptor of a folder of all queues, which has to be closed."""
    try:
        return _posixmq.mount()
    except OSError as error:
        number = error.errno or errno.EIO
    rejected = None
    for path, device in _mounts():
        with contextlib.suppress(OSError):
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if os.fstat(folder).st_dev != device:  # another mount covers it
                    continue
                own, problem = _own_device(os.listdir(folder))
                if own == device:
                    found, folder = folder, -1
                    return found
                rejected = os.fsdecode(path), problem
            finally:
                if folder >= 0:
                    os.close(folder)
    from ._explain import failure

    raise failure("list", number, None, rejected)


def _own_device(names: list[str]) -> tuple[int | None, int]:
    """Return the device of this IPC namespace's queues, or None and an errno if none tells it.

    A descriptor that this process holds does not tell it: the queue may have been opened in another
    namespace. Looking up a name does, even where the names were found in another namespace.
    """
    for name in names:
        with contextlib.suppress(OSError):
            return os.makedev(*_posixmq.device("/" + name)), 0
    try:
        return os.makedev(*_posixmq.device(None)), 0
    except OSError as error:
        return None, error.errno or errno.EIO


def _mounts() -> Iterator[tuple[bytes, int]]:
    """Yield path and device of each mqueue file system mounted here, see proc(5)."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.readlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[fields.index(b"-") + 1] == b"mqueue" and fields[3] == b"/":
            major, minor = map(int, fields[2].split(b":"))
            yield _OCTAL.sub(_character, fields[4]), os.makedev(major, minor)


def _character(octal: re.Match[bytes]) -> bytes:
    return bytes([int(octal[1], 8)])


def _look_at_name(folder: int, name: str, holders: "_Holders") -> QueueInfo | None:
    """Return what is known of a queue, or None if it is gone by now."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    seen = _look(status.st_ino, holders, name, folder)
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


def _look(
    inode: int, holders: "_Holders", path: str, folder: int | None = None
) -> QueueStat | None:
    """Look into a queue as far as this user may.

    When a process closes any descriptor of a queue, the kernel forgets that the process asked to
    be notified. So a queue that this process holds is never opened here, but looked at through
    the descriptor that there is.
    """
    for descriptor in holders.own.get(inode, ()):
        with contextlib.suppress(OSError):
            seen = _posixmq.look(descriptor)
            if seen[-2] == inode:  # it may have been closed, and the number have a new owner
                return queue_stat(*seen)
    if inode in holders.own:
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


class _Holders:
    """Who holds the queues of a device open, as far as /proc shows that to this user."""

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
            raise _proc_error("cannot list the queues: /proc/self", error) from None
        for pid in pids:
            if pid.isdigit():
                self._look_at_process(pid, pid == own_pid)

    def _look_at_process(self, pid: str, is_own: bool) -> None:
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:  # it has ended, or is not this user's
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
        """Spare a look at other files, which may hang on a file system that is away."""
        if not target.startswith("/"):
            return False
        return target.endswith(" (deleted)") or target.rpartition("/")[2] in self._names


# --- limits --------------------------------------------------------------------------------------


def limits() -> Limits:
    """Return the limits of the system and of this user, and what of them is used.

    The kernel does not tell how many bytes a user's queues take. They are summed up over the
    queues that can be seen: all with a name, and of those without, the ones in processes whose
    descriptors this user may see in /proc. Queues in other IPC namespaces (containers) of the same
    user count for the kernel, but are not seen; nor does the sum know who created a queue that
    has changed its owner.

    :raises QueueError: ERROR where /proc does not show the limits
    """
    allowed, _ = resource.getrlimit(RLIMIT_MSGQUEUE)
    most = math.inf if allowed == resource.RLIM_INFINITY else allowed
    queues, used = _usage()
    left: int | float | None = None
    if most == math.inf:
        left = most
    elif used is not None:
        left = max(most - used, 0)
    return Limits(
        msg_max=_read("msg_max"),
        msgsize_max=_read("msgsize_max"),
        queues_max=_read("queues_max"),
        msg_default=_read("msg_default"),
        msgsize_default=_read("msgsize_default"),
        queues=queues,
        user_bytes_max=most,
        user_bytes=used,
        user_bytes_left=left,
    )


def _read(name: str) -> int:
    try:
        with open(_LIMITS + name) as file:
            return int(file.read())
    except OSError as error:
        raise _proc_error(f"cannot read the limit {_LIMITS + name}", error) from None


def _usage() -> tuple[int | None, int | None]:
    """Return how many queues there are, and the charge of this user's; None if unknown."""
    with contextlib.suppress(QueueError), _open_folder() as folder:
        names = os.listdir(folder)
        holders = _Holders(os.fstat(folder).st_dev, names)
        charges = [_charge_of_name(folder, name, holders) for name in names]
        charges += [_charge_of_unlinked(inode, holders) for inode in holders.unlinked]
        known = [charge for charge in charges if charge is not None]
        return len(charges), sum(known) if len(known) == len(charges) else None
    return None, None


def _charge_of_name(folder: int, name: str, holders: _Holders) -> int | None:
    """Return the charge of a queue to this user, None if it cannot be known."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return 0
    if status.st_uid != os.getuid():  # the kernel charges the real user
        return 0
    return _charge(_look(status.st_ino, holders, name, folder))


def _charge_of_unlinked(inode: int, holders: _Holders) -> int | None:
    uid, path = holders.unlinked[inode]
    if uid != os.getuid():
        return 0
    seen = _look(inode, holders, path)
    if seen is None and not os.path.exists(path):
        return 0  # its last holder has ended meanwhile
    return _charge(seen)


def _charge(seen: QueueStat | None) -> int | None:
    return None if seen is None else queue_charge(seen.max_size, seen.max_msgbytes)
