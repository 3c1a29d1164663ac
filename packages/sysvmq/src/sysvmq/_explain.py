"""What the errors of System V queues say. Imported only when something has failed."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from ._errors import QueueError, system_error
from ._limits import setting_or_default
from ._operations import Operation
from ._proc import may_exceed_limits
from ._sysvmq import Queue
from ._wording import (
    EXISTS,
    MISSING,
    Failure,
    explain_argument,
    interrupted,
    no_signal,
    shown,
    untrusted,
)

__all__ = ["failure"]

# On other systems than Linux the limits are only named, not read.
_LINUX = sys.platform == "linux"
_NAMES = (
    "compiled into the kernel"
    if sys.platform == "darwin"
    else "kern.ipc.msgmax, kern.ipc.msgmnb and kern.ipc.msgmni, which sysctl shows"
)


def failure(operation: str, os_errno: int, queue: Any, detail: Any) -> QueueError:
    """Return the exception for an operation that failed.

    :param operation: an Operation, or its value
    :param os_errno: the kernel's error number
    :param queue: the Queue, or None if there is none yet
    :param detail: what else the message mentions, depending on the operation
    """
    explain = _EXPLAIN[operation]
    return system_error(os_errno, explain(Failure(operation, os_errno, queue, detail)))


# --- an open queue ---------------------------------------------------------------------------


def _use(failed: Failure) -> str:
    name = _name_of(failed.queue)
    if failed.os_errno == errno.EINTR:
        return interrupted(failed.operation, name)
    if failed.os_errno == errno.EIDRM:
        return f"cannot {failed.operation}: {name} has been removed from the kernel"
    return f"cannot {failed.operation} on {name}: {_reason(failed)}"


def _reason(failed: Failure) -> str:
    if failed.os_errno == errno.EBADF:
        return f"it is {_state(failed.queue)}"
    if failed.os_errno == errno.EMSGSIZE:
        return _too_long(failed.queue, failed.detail)
    if failed.os_errno == errno.EBUSY:
        return no_signal()
    if failed.os_errno in (errno.EACCES, errno.EPERM):
        return "its owner and mode do not allow that to this user"
    return os.strerror(failed.os_errno)


def _get(failed: Failure) -> str:
    if failed.os_errno != errno.ENOSYS:
        return _use(failed)
    name = _name_of(failed.queue)
    return f"cannot get from {name} with exclude=True: only Linux can (MSG_EXCEPT)"


def _get_into(failed: Failure) -> str:
    if failed.os_errno != errno.E2BIG:
        return _get(failed)
    return (
        f"the message at the head of {_name_of(failed.queue)} is longer than the buffer, and stays "
        f"there; maxmsgsize is {failed.queue.maxmsgsize}"
    )


def _peek(failed: Failure) -> str:
    name = _name_of(failed.queue)
    if failed.os_errno == errno.ENOSYS:
        return (
            f"cannot peek on {name}: this kernel lacks MSG_COPY; it needs Linux 3.8 or later, built "
            "with CONFIG_CHECKPOINT_RESTORE"
        )
    if failed.os_errno == errno.EMSGSIZE:
        return (
            f"cannot peek on {name}: the message is longer than kernel.msgmax, which is now "
            f"{setting_or_default('msgmax')}; get() can still receive it, or raise the limit again "
            "with 'sysctl kernel.msgmax=...' as root"
        )
    return _use(failed)


def _set(failed: Failure) -> str:
    name = _name_of(failed.queue)
    uid, gid, max_bytes = failed.detail
    if failed.os_errno == errno.EPERM and _LINUX and _is_over_msgmnb(max_bytes):
        return f"cannot change {name}: {_no_max_bytes(max_bytes)}"
    if failed.os_errno in (errno.EPERM, errno.EACCES):
        return f"cannot change {name}: only its owner, its creator or root may"
    if failed.os_errno == errno.EINVAL:
        wanted = ", ".join(f"{who}={n}" for who, n in (("uid", uid), ("gid", gid)) if n >= 0)
        return (
            f"cannot change {name}: {wanted or 'its owner'} has no number in this user namespace "
            "(/proc/self/uid_map, gid_map)"
        )
    return _use(failed)


def _close(failed: Failure) -> str:
    if failed.os_errno in (errno.EACCES, errno.EPERM):
        return (
            f"cannot remove {_name_of(failed.queue)}: only its owner or creator (or root) may; "
            "detach() closes it without removing it"
        )
    return _use(failed)


def _pickle(failed: Failure) -> str:
    return f"cannot pickle {_name_of(failed.queue)}: it is {_state(failed.queue)}"


def _too_long(queue: Any, size: int) -> str:
    """Name the limit that a message exceeds: the system's, the room of the whole queue, or both."""
    if not _LINUX:
        return (
            f"the message has {size} bytes, and maxmsgsize is {queue.maxmsgsize}, max_bytes "
            f"{queue.max_bytes}; the system's own limits are {_NAMES}"
        )
    msgmax, max_bytes = setting_or_default("msgmax"), queue.max_bytes
    found = []
    if size > msgmax:
        found.append(
            f"kernel.msgmax is {msgmax}: raise it with 'sysctl kernel.msgmax={size}' as root"
        )
    if size > max_bytes:
        found.append(f"the queue's max_bytes is {max_bytes}: {_larger_queue(size)}")
    if not found:  # a user who may only write cannot read max_bytes, and it may have changed
        found.append(f"that is over the queue's max_bytes: {_larger_queue(size)}")
    return f"the message has {size} bytes, and {'; and '.join(found)}"


def _larger_queue(size: int) -> str:
    msgmnb = setting_or_default("msgmnb")
    if _is_over_msgmnb(size):
        return (
            f"raise kernel.msgmnb = {msgmnb} ('sysctl kernel.msgmnb={size}' as root), then its "
            f"owner can open it with max_bytes={size}"
        )
    return f"its owner can open it with max_bytes={size} (kernel.msgmnb is {msgmnb})"


def _is_over_msgmnb(max_bytes: int) -> bool:
    return max_bytes > setting_or_default("msgmnb") and not may_exceed_limits()


def _state(queue: Any) -> str:
    return "closed" if queue.id >= 0 else "not open: Queue.__init__ was not called"


def _name_of(queue: Any) -> str:
    """Return Queue's own repr: that of a subclass may fail, or end here again."""
    return Queue.__repr__(queue)


# --- opening -----------------------------------------------------------------------------------


def _open(failed: Failure) -> str:
    key, max_bytes = failed.detail
    if failed.os_errno in (errno.EPERM, errno.EINVAL):
        reason = _no_max_bytes(max_bytes)
    elif failed.os_errno == errno.ENOSPC:
        reason = _over_msgmni()
    else:
        reason = _NOT_OPENED.get(failed.os_errno) or os.strerror(failed.os_errno)
    return f"cannot open {f'queue {key}' if key else 'a private queue'}: {reason}"


_NOT_OPENED = {
    errno.ENOMEM: "the kernel has no memory for one more queue",
    errno.EACCES: "it exists, and its owner and mode give this user no right to it; its owner can "
    "create it with mode=0o660 or the like",
    errno.ENOENT: MISSING,
    errno.EEXIST: EXISTS,
    errno.EIDRM: "somebody removed it while it was being opened",
}


def _no_max_bytes(max_bytes: int) -> str:
    if not _LINUX:
        return (
            f"the system refuses max_bytes={max_bytes}: only root may set more than the queue has, "
            f"and only its owner or creator less; the system's own limits are {_NAMES}"
        )
    if _is_over_msgmnb(max_bytes):
        return (
            f"max_bytes={max_bytes} is over kernel.msgmnb = {setting_or_default('msgmnb')}; raise "
            f"it with 'sysctl kernel.msgmnb={max_bytes}' as root"
        )
    return f"only the queue's owner or creator (or root) may set max_bytes={max_bytes}"


def _over_msgmni() -> str:
    if not _LINUX:
        return (
            "the system has no room for one more queue; remove unused queues (ipcs -q, ipcrm); "
            f"the limits are {_NAMES}"
        )
    most = setting_or_default("msgmni")
    return (
        f"the system has as many queues as kernel.msgmni = {most} allows, and one more was "
        "asked for; remove unused queues (ipcs -q, ipcrm) or raise it with "
        f"'sysctl kernel.msgmni={most * 2}' as root"
    )


def _trust(failed: Failure) -> str:
    by, number, owner, creator, mode = failed.detail
    others = [user for user in (owner, creator) if user not in (0, os.geteuid())]
    what = f"the queue with {by} {number}" if number or by == "id" else "a private queue"
    return untrusted(
        what, f"user {others[0]} owns or made it" if others else f"its mode is {mode:#o}"
    )


# --- what is not a queue, or only its number --------------------------------------------------


def _from_id(failed: Failure) -> str:
    return f"cannot open the queue with id {failed.detail}: {_no_such_id(failed.os_errno)}"


def _remove(failed: Failure) -> str:
    return f"cannot remove the queue with id {failed.detail}: {_no_such_id(failed.os_errno)}"


def _no_such_id(os_errno: int) -> str:
    if os_errno == errno.ENOENT:
        return "it does not exist, or no longer; list_queues() and ipcs -q show those that do"
    if os_errno == errno.EACCES:
        return (
            "its owner and mode give this user no right to it; its owner can let others in with "
            "set(mode=0o660) or the like"
        )
    if os_errno == errno.EPERM:
        return "only its owner, its creator or root may"
    return os.strerror(os_errno)


def _ftok(failed: Failure) -> str:
    path = shown(os.fsdecode(failed.detail))
    return f"cannot make a key of {path}: {os.strerror(failed.os_errno)}"


def _limits(failed: Failure) -> str:
    if failed.os_errno == errno.ENOSYS and not _LINUX:
        return f"cannot read the limits of message queues: only Linux can; here they are {_NAMES}"
    return f"cannot read the limits of message queues: {os.strerror(failed.os_errno)}"


_EXPLAIN: dict[str, Callable[[Failure], str]] = {
    Operation.ARGUMENT: explain_argument,
    Operation.OPEN: _open,
    Operation.FROM_ID: _from_id,
    Operation.TRUST: _trust,
    Operation.ENTER: _use,
    Operation.PUT: _use,
    Operation.GET: _get,
    Operation.GET_INTO: _get_into,
    Operation.PEEK: _peek,
    Operation.ATTRIBUTES: _use,
    Operation.SET: _set,
    Operation.PICKLE: _pickle,
    Operation.CLOSE: _close,
    Operation.REMOVE: _remove,
    Operation.FTOK: _ftok,
    Operation.LIMITS: _limits,
}
