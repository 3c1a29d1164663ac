"""What the errors of POSIX queues say. Imported only when something has failed."""

import contextlib
import errno
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from ._errors import QueueError, system_error
from ._limits import HARD_LIMITS, RLIMIT_MSGQUEUE, allowed, queue_charge, setting_or_default
from ._operations import Operation
from ._posixmq import Queue
from ._wording import (
    EXISTS,
    MISSING,
    Failure,
    explain_argument,
    interrupted,
    no_signal,
    untrusted,
)

__all__ = ["failure"]

# On other systems than Linux the limits are only named, not read.
_LINUX = sys.platform == "linux"


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
    return f"cannot {failed.operation} on {name}: {_reason(failed)}"


def _reason(failed: Failure) -> str:
    if failed.os_errno == errno.EBADF:
        return f"it is {_state(failed.queue)}"
    if failed.os_errno == errno.EMSGSIZE:
        return _too_long(failed.queue, failed.detail)
    if failed.os_errno == errno.EBUSY:
        return no_signal()
    return os.strerror(failed.os_errno)


def _get_into(failed: Failure) -> str:
    if failed.os_errno != errno.EMSGSIZE:
        return _use(failed)
    return (
        f"cannot get_into a buffer of {failed.detail} bytes: a message of "
        f"{_name_of(failed.queue)} may have {failed.queue.maxmsgsize} bytes (maxmsgsize)"
    )


def _pickle(failed: Failure) -> str:
    return f"cannot pickle {_name_of(failed.queue)}: it is {_state(failed.queue)}"


def _notify(failed: Failure) -> str:
    name = _name_of(failed.queue)
    if failed.os_errno == errno.ENOSYS:
        return f"cannot notify on {name}: only Linux can call a function; give a signal number"
    if failed.os_errno != errno.EBUSY:
        return _use(failed)
    pid = 0
    with contextlib.suppress(QueueError):
        pid = failed.queue.stat().notify_pid
    if pid == os.getpid():
        return (
            f"{name} notifies one process at a time, and this one has asked already; "
            "notify(None) cancels that"
        )
    who = f"process {pid}" if pid else "another process"
    return f"{name} notifies one process at a time, and {who} has asked first"


def _too_long(queue: Any, size: int) -> str:
    text = (
        f"the message has {size} bytes, and maxmsgsize is {queue.maxmsgsize}, which is fixed when a "
        "queue is created: unlink it and create it with a larger maxmsgsize"
    )
    most = setting_or_default("msgsize_max")
    if size > most and _LINUX:
        text += (
            f", once fs.mqueue.msgsize_max = {most} is raised "
            f"('sysctl fs.mqueue.msgsize_max={size}' as root)"
        )
    return text


def _state(queue: Any) -> str:
    if not queue.maxmsgsize:
        return "not open: Queue.__init__ was not called"
    if queue.closed:
        return "closed"
    if queue.readable and queue.writable:
        return "open, but something else closed its descriptor"
    return f"opened with {'readable' if queue.writable else 'writable'}=False"


def _name_of(queue: Any) -> str:
    """Return Queue's own repr: that of a subclass may fail, or end here again."""
    return Queue.__repr__(queue)


# --- opening -----------------------------------------------------------------------------------


def _name(failed: Failure) -> str:
    size = len(os.fsencode(failed.detail)) - 1
    most = "mq_overview(7) allows 255" if _LINUX else "the kernel allows 254"
    return f"the name is too long: {size} bytes after the slash, and {most}"


def _open(failed: Failure) -> str:
    name, maxsize, maxmsgsize, readable, writable = failed.detail
    what = "an anonymous queue" if name is None else f"queue {name!r}"
    number = failed.os_errno
    if number == errno.EACCES:
        reason = _no_permission(readable, writable)
    elif number == errno.ENOSYS:
        reason = _no_queues()
    elif number in _OVER_LIMITS:
        over = _OVER_LIMITS[number] if _LINUX else _over_some_limit
        reason = over(number, maxsize, maxmsgsize)
    elif number == errno.ENOMEM:
        reason = f"the kernel has no memory for maxsize={maxsize} times maxmsgsize={maxmsgsize}"
    else:
        reasons = {errno.ENOENT: MISSING, errno.EEXIST: EXISTS}
        reason = reasons.get(number) or os.strerror(number)
    return f"cannot open {what}: {reason}"


def _no_permission(readable: bool, writable: bool) -> str:
    rights = [word for word, asked in (("read", readable), ("write", writable)) if asked]
    text = (
        f"it exists, and its owner and mode give this user no right to {' and '.join(rights)} it; "
        "its owner can create it with mode=0o660 or the like"
    )
    if len(rights) == 2:
        text += ", and readable=False or writable=False asks for one right alone"
    return text


def _no_queues() -> str:
    if _LINUX:
        return "this kernel was built without POSIX message queues (CONFIG_POSIX_MQUEUE)"
    return "the kernel module mqueuefs is not loaded ('kldload mqueuefs' as root)"


def _trust(failed: Failure) -> str:
    name, owner, mode = failed.detail
    what = "this queue" if name is None else f"queue {name!r}"
    is_foreign = owner not in (0, os.geteuid())
    return untrusted(what, f"user {owner} owns it" if is_foreign else f"its mode is {mode:#o}")


def _from_fd(failed: Failure) -> str:
    if failed.os_errno == errno.EBADF:
        return f"descriptor {failed.detail} is not open, or not that of a POSIX message queue"
    return f"cannot use descriptor {failed.detail}: {os.strerror(failed.os_errno)}"


# --- limits ------------------------------------------------------------------------------------


def _over_sizes(os_errno: int, maxsize: int, maxmsgsize: int) -> str:
    found = []
    for parameter, asked, limit in (
        ("maxsize", maxsize, "msg_max"),
        ("maxmsgsize", maxmsgsize, "msgsize_max"),
    ):
        most = allowed(limit)
        if asked > most:
            found.append(_over(parameter, asked, limit, most))
    return "; ".join(found) or (
        f"the kernel refuses maxsize={maxsize} with maxmsgsize={maxmsgsize}; the limits are "
        f"fs.mqueue.msg_max = {setting_or_default('msg_max')} and "
        f"fs.mqueue.msgsize_max = {setting_or_default('msgsize_max')}"
    )


def _over(parameter: str, asked: int, limit: str, most: int) -> str:
    if asked > HARD_LIMITS[limit]:
        return (
            f"{parameter}={asked} is over the kernel's fixed maximum of {HARD_LIMITS[limit]} "
            f"(fs.mqueue.{limit} is {setting_or_default(limit)} now)"
        )
    return (
        f"{parameter}={asked} is over fs.mqueue.{limit} = {most}; raise it with "
        f"'sysctl fs.mqueue.{limit}={asked}' as root"
    )


def _over_user_limits(os_errno: int, maxsize: int, maxmsgsize: int) -> str:
    """Tell the two meanings of EMFILE apart: descriptors, and the bytes of a user's queues."""
    if _descriptors_used_up():
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"this process has no file descriptor left: RLIMIT_NOFILE is {files}; raise it with "
            "'ulimit -n' or resource.setrlimit, or close what is not needed"
        )
    most, _ = resource.getrlimit(RLIMIT_MSGQUEUE)
    asked = queue_charge(maxsize, maxmsgsize)
    return (
        f"RLIMIT_MSGQUEUE is {most} bytes for all queues of this user together, and this one "
        f"needs {asked} bytes (maxsize={maxsize} times maxmsgsize={maxmsgsize} and "
        f"{asked - maxsize * maxmsgsize} bytes of overhead) beside those that exist (see "
        "posixmq.list_queues() and limits()); close and unlink unused queues, ask for smaller "
        "ones, or raise the limit with 'ulimit -q', resource.setrlimit or LimitMSGQUEUE= in "
        "systemd"
    )


def _descriptors_used_up() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno == errno.EMFILE
    return False


def _over_system_files(os_errno: int, maxsize: int, maxmsgsize: int) -> str:
    return "the system has no file left to open; raise it with 'sysctl fs.file-max=...' as root"


def _over_queues(os_errno: int, maxsize: int, maxmsgsize: int) -> str:
    most = setting_or_default("queues_max")
    return (
        f"the system has as many queues as fs.mqueue.queues_max = {most} allows, and one more "
        "was asked for; unlink unused queues or raise it with "
        f"'sysctl fs.mqueue.queues_max={most * 2}' as root"
    )


def _over_some_limit(os_errno: int, maxsize: int, maxmsgsize: int) -> str:
    """Name the limits of FreeBSD."""
    return (
        f"{os.strerror(os_errno)} (maxsize={maxsize}, maxmsgsize={maxmsgsize}); the limits are "
        "kern.mqueue.maxmsg, kern.mqueue.maxmsgsize and kern.mqueue.maxmq, which sysctl shows and "
        "root may raise, and the descriptors of this process ('ulimit -n')"
    )


_OVER_LIMITS = {
    errno.EINVAL: _over_sizes,
    errno.EOVERFLOW: _over_sizes,
    errno.EMFILE: _over_user_limits,
    errno.ENFILE: _over_system_files,
    errno.ENOSPC: _over_queues,
}


# --- names and the list of them -------------------------------------------------------------------


def _unlink(failed: Failure) -> str:
    if failed.os_errno == errno.EBADF:
        return "cannot unlink: this Queue was never opened"
    if failed.queue is not None:
        return f"cannot unlink {_name_of(failed.queue)}: it has no name"
    reasons = {
        errno.ENOSYS: _no_queues(),
        errno.ENOENT: "it does not exist",
        errno.EACCES: "only its owner (or root) may",
        errno.EPERM: "only its owner (or root) may",
    }
    reason = reasons.get(failed.os_errno) or os.strerror(failed.os_errno)
    return f"cannot unlink queue {failed.detail!r}: {reason}"


def _list(failed: Failure) -> str:
    if not _LINUX:
        return "cannot list the queues: only Linux can; 'mount -t mqueuefs' shows them on FreeBSD"
    return (
        f"cannot list the queues: {_mounted(failed.detail)}, and only root can read the list "
        f"without one ({os.strerror(failed.os_errno)}); 'mkdir -p /dev/mqueue && mount -t mqueue "
        "none /dev/mqueue' as root mounts one for all users"
    )


def _mounted(rejected: tuple[str, int] | None) -> str:
    if rejected is None:
        return "no mqueue file system is mounted where this user can read it"
    path, os_errno = rejected
    if not os_errno:
        return f"the mqueue file system at {path!r} belongs to another IPC namespace"
    return (
        f"the mqueue file system at {path!r} may belong to another IPC namespace; only a queue "
        f"can tell, and none can be created ({os.strerror(os_errno)})"
    )


_EXPLAIN: dict[str, Callable[[Failure], str]] = {
    Operation.ARGUMENT: explain_argument,
    Operation.NAME: _name,
    Operation.OPEN: _open,
    Operation.TRUST: _trust,
    Operation.FROM_FD: _from_fd,
    Operation.ENTER: _use,
    Operation.PUT: _use,
    Operation.GET: _use,
    Operation.GET_INTO: _get_into,
    Operation.ATTRIBUTES: _use,
    Operation.STAT: _use,
    Operation.NOTIFY: _notify,
    Operation.PICKLE: _pickle,
    Operation.UNLINK: _unlink,
    Operation.LIST: _list,
}
