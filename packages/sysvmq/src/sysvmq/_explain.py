"""What an error says. Imported only when something has gone wrong."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from ._errors import QueueError, system_error
from ._sysvmq import Queue

_KERNEL_LIMITS = "/proc/sys/kernel/"

_CAP_SYS_RESOURCE = 24

# Elsewhere than on Linux the limits are not read, only named.
_LINUX = sys.platform == "linux"
_NAMES = (
    "compiled into the kernel"
    if sys.platform == "darwin"
    else "kern.ipc.msgmax, kern.ipc.msgmnb and kern.ipc.msgmni, which sysctl shows"
)


def failure(operation: str, os_errno: int, queue: Any, detail: Any) -> QueueError:
    """Return the exception for an operation that failed with *os_errno*.

    *queue* is the Queue or None; what *detail* holds depends on the operation.
    """
    explain = _EXPLAIN.get(operation, _using)
    return system_error(os_errno, explain(operation, os_errno, queue, detail))


def _argument(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    parameter, value, range_ = detail
    if parameter == "mode" and 0 <= value < 2**32:
        return f"mode must be {range_}; {value:#o} was asked for"
    if range_ == "1 or more" and value > 0:
        range_ = "within a C long"
    return f"{parameter} must be {range_}; {_shown(value)} was asked for"


def _using(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    if os_errno == errno.EBADF:
        return f"cannot {operation} on {_name_of(queue)}: it is {_state(queue)}"
    if os_errno == errno.EIDRM:
        return f"cannot {operation}: {_name_of(queue)} has been removed from the kernel"
    if os_errno == errno.E2BIG:  # get_into: all others make more room
        return (
            f"the message at the head of {_name_of(queue)} is longer than the buffer, and stays "
            f"there; maxmsgsize is {queue.maxmsgsize}"
        )
    if os_errno == errno.EMSGSIZE:
        return f"cannot {operation} on {_name_of(queue)}: {_too_long(queue, detail)}"
    if os_errno == errno.EINTR:
        return (
            f"{operation} on {_name_of(queue)} was interrupted by a signal; Queue(..., "
            "on_signal='retry') goes on waiting instead"
        )
    if os_errno == errno.EBUSY:
        return f"cannot {operation} on {_name_of(queue)}: {_no_signal()}"
    if operation == "close":
        return (
            f"cannot remove {_name_of(queue)}: only its owner or creator (or root) may; detach() "
            "leaves it"
        )
    if os_errno == errno.ENOSYS and operation == "get":
        return f"cannot get from {_name_of(queue)} with exclude=True: that takes Linux (MSG_EXCEPT)"
    if os_errno in (errno.EACCES, errno.EPERM):
        return f"cannot {operation} on {_name_of(queue)}: its owner and mode do not let this user"
    return f"cannot {operation} on {_name_of(queue)}: {os.strerror(os_errno)}"


def _peek(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    if os_errno == errno.ENOSYS:
        return (
            f"cannot peek on {_name_of(queue)}: this kernel lacks MSG_COPY; it needs Linux 3.8 or "
            "later, built with CONFIG_CHECKPOINT_RESTORE"
        )
    if os_errno == errno.EMSGSIZE:
        return (
            f"cannot peek on {_name_of(queue)}: the message is longer than kernel.msgmax, which is "
            f"now {_read_limit('msgmax')}; get() can still receive it, or raise the limit again "
            "with 'sysctl kernel.msgmax=...' as root"
        )
    return _using(operation, os_errno, queue, detail)


def _set(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    uid, gid, max_bytes = detail
    if (
        _LINUX
        and os_errno == errno.EPERM
        and max_bytes > _read_limit("msgmnb")
        and not _may_exceed_limits()
    ):
        return f"cannot change {_name_of(queue)}: {_no_max_bytes(max_bytes)}"
    if os_errno in (errno.EPERM, errno.EACCES):
        return f"cannot change {_name_of(queue)}: only its owner, its creator or root may"
    if os_errno == errno.EINVAL:
        wanted = ", ".join(f"{name}={n}" for name, n in (("uid", uid), ("gid", gid)) if n >= 0)
        return (
            f"cannot change {_name_of(queue)}: {wanted or 'its owner'} has no number in this user "
            "namespace (/proc/self/uid_map, gid_map)"
        )
    return _using(operation, os_errno, queue, detail)


def _pickle(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    return f"cannot pickle {_name_of(queue)}: it is {_state(queue)}"


def _too_long(queue: Any, size: int) -> str:
    """A message has two limits: the system's, and the room that the whole queue has."""
    if not _LINUX:
        return (
            f"the message has {size} bytes, and maxmsgsize is {queue.maxmsgsize}, max_bytes "
            f"{queue.max_bytes}; the system's own limits are {_NAMES}"
        )
    msgmax, max_bytes = _read_limit("msgmax"), queue.max_bytes
    words = []
    if size > msgmax:
        words.append(
            f"kernel.msgmax is {msgmax}: raise it with 'sysctl kernel.msgmax={size}' as root"
        )
    if size > max_bytes:
        words.append(f"the queue's max_bytes is {max_bytes}: {_larger_queue(size)}")
    if not words:  # who may only write may not read max_bytes, and it may be another by now
        words.append(f"that is over the queue's max_bytes: {_larger_queue(size)}")
    return f"the message has {size} bytes, and {'; and '.join(words)}"


def _larger_queue(size: int) -> str:
    msgmnb = _read_limit("msgmnb")
    if size > msgmnb and not _may_exceed_limits():
        return (
            f"raise kernel.msgmnb = {msgmnb} ('sysctl kernel.msgmnb={size}' as root), then its "
            f"owner can open it with max_bytes={size}"
        )
    return f"its owner can open it with max_bytes={size} (kernel.msgmnb is {msgmnb})"


def _open(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    key, max_bytes = detail
    explain = {
        errno.EPERM: _no_max_bytes,
        errno.EINVAL: _no_max_bytes,
        errno.ENOSPC: _over_msgmni,
        errno.ENOMEM: _over_memory,
        errno.EACCES: _no_permission,
        errno.ENOENT: _missing,
        errno.EEXIST: _exists,
        errno.EIDRM: _removed,
    }.get(os_errno)
    words = os.strerror(os_errno) if explain is None else explain(max_bytes)
    return f"cannot open {f'queue {key}' if key else 'a private queue'}: {words}"


def _trust(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    by, number, owner, creator, mode = detail
    others = [user for user in (owner, creator) if user not in (0, os.geteuid())]
    who = f"user {others[0]} owns or made it" if others else f"its mode is {mode:#o}"
    what = f"the queue with {by} {number}" if number or by == "id" else "a private queue"
    return (
        f"will not unpickle from {what}: {who}, so others may write to it, and unpickling runs code "
        "that a message holds; open it with trusted=True if all who may write are trusted, with "
        "a SignedSerializer, or with a serializer that runs no code, such as json"
    )


def _by_id(operation: str, os_errno: int, queue: Any, msqid: int) -> str:
    words = os.strerror(os_errno)
    if os_errno == errno.ENOENT:
        words = "it does not exist, or no longer; list_queues() and ipcs -q show those that do"
    elif os_errno == errno.EACCES:
        words = (
            "its owner and mode give this user no right to it; its owner can let others in with "
            "set(mode=0o660) or the like"
        )
    elif os_errno == errno.EPERM:
        words = "only its owner, its creator or root may"
    return f"cannot {operation.split()[0]} the queue with id {msqid}: {words}"


def _ftok(operation: str, os_errno: int, queue: Any, path: bytes) -> str:
    return f"cannot make a key of {_shown(os.fsdecode(path))}: {os.strerror(os_errno)}"


def _limits(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    if os_errno == errno.ENOSYS and not _LINUX:
        return f"cannot read the limits of message queues: that takes Linux; here they are {_NAMES}"
    return f"cannot read the limits of message queues: {os.strerror(os_errno)}"


def _no_max_bytes(max_bytes: int) -> str:
    if not _LINUX:
        return (
            f"the system refuses max_bytes={max_bytes}: only root may set more than the queue has, "
            f"and only its owner or creator less; the system's own limits are {_NAMES}"
        )
    allowed = _read_limit("msgmnb")
    if max_bytes > allowed and not _may_exceed_limits():
        return (
            f"max_bytes={max_bytes} is over kernel.msgmnb = {allowed}; raise it with "
            f"'sysctl kernel.msgmnb={max_bytes}' as root"
        )
    return f"only the queue's owner or creator (or root) may set max_bytes={max_bytes}"


def _over_msgmni(max_bytes: int) -> str:
    if not _LINUX:
        return (
            "the system has no room for one more queue; remove unused queues (ipcs -q, ipcrm); "
            f"the limits are {_NAMES}"
        )
    allowed = _read_limit("msgmni")
    return (
        f"the system has as many queues as kernel.msgmni = {allowed} allows, and one more was "
        "asked for; remove unused queues (ipcs -q, ipcrm) or raise it with "
        f"'sysctl kernel.msgmni={allowed * 2}' as root"
    )


def _over_memory(max_bytes: int) -> str:
    return "the kernel has no memory for one more queue"


def _no_permission(max_bytes: int) -> str:
    return (
        "it exists, and its owner and mode give this user no right to it; its owner can create "
        "it with mode=0o660 or the like"
    )


def _missing(max_bytes: int) -> str:
    return "it does not exist, and create=False was given"


def _exists(max_bytes: int) -> str:
    return "it exists already, and exclusive=True was given"


def _removed(max_bytes: int) -> str:
    return "somebody removed it while it was being opened"


def _read_limit(name: str) -> int:
    return int(
        _read(_KERNEL_LIMITS + name) or {"msgmax": 8192, "msgmnb": 16384, "msgmni": 32000}[name]
    )


def _read(path: str) -> str:
    """A file of /proc, or nothing where it cannot be read."""
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        if type(error) not in (OSError, FileNotFoundError, PermissionError):
            raise  # a signal handler's own, such as TimeoutError
        return ""


def _may_exceed_limits() -> bool:
    """Whether this process has CAP_SYS_RESOURCE, which root may lack."""
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def _no_signal() -> str:
    chosen = os.environ.get("SYSVMQ_SIGNAL")
    if chosen:
        return (
            f"SYSVMQ_SIGNAL={chosen!r} names no free real-time signal (SIGRTMIN to SIGRTMAX, without "
            "a handler), and one is needed to end a wait"
        )
    return "no real-time signal is free to end a wait with; SYSVMQ_SIGNAL can name one"


def _state(queue: Any) -> str:
    return "closed" if queue.id >= 0 else "not open: Queue.__init__ was not called"


def _name_of(queue: Any) -> str:
    """The queue as Queue shows it: the repr of a subclass may fail, or come back here."""
    return Queue.__repr__(queue)


def _shown(value: object) -> str:
    """The value in full if it is short: an absurd one must not make an absurd message."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python converts
        return "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."


_EXPLAIN: dict[str, Callable[[str, int, Any, Any], str]] = {
    "argument": _argument,
    "open": _open,
    "trust": _trust,
    "open by id": _by_id,
    "remove": _by_id,
    "peek": _peek,
    "set": _set,
    "pickle": _pickle,
    "ftok": _ftok,
    "limits": _limits,
}
