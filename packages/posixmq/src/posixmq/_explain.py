"""What an error says. Imported only when something has gone wrong."""

import contextlib
import errno
import os
import resource
import sys
from typing import Any

from ._errors import QueueError, system_error
from ._posixmq import Queue
from ._system import RLIMIT_MSGQUEUE, queue_charge

_MQUEUE_LIMITS = "/proc/sys/fs/mqueue/"

# mq_overview(7): what a process with CAP_SYS_RESOURCE may ask for at most.
_HARD_LIMITS = {"msg_max": 65536, "msgsize_max": 16777216}

_CAP_SYS_RESOURCE = 24

# Elsewhere than on Linux the limits are not read, only named.
_LINUX = sys.platform == "linux"


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


def _name(operation: str, os_errno: int, queue: Any, name: Any) -> str:
    size = len(os.fsencode(name)) - 1
    allowed = "mq_overview(7) allows 255" if _LINUX else "the kernel allows 254"
    return f"the name is too long: {size} bytes after the slash, and {allowed}"


def _unlink(operation: str, os_errno: int, queue: Any, name: Any) -> str:
    if os_errno == errno.EBADF:
        return "cannot unlink: this Queue was never opened"
    if queue is not None:
        return f"cannot unlink {_name_of(queue)}: it has no name"
    reasons = {
        errno.ENOSYS: _no_queues(),
        errno.ENOENT: "it does not exist",
        errno.EACCES: "only its owner (or root) may",
        errno.EPERM: "only its owner (or root) may",
    }
    return f"cannot unlink queue {name!r}: {reasons.get(os_errno, os.strerror(os_errno))}"


def _using(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    if os_errno == errno.EBADF:
        return f"cannot {operation} on {_name_of(queue)}: it is {_state(queue)}"
    if os_errno == errno.EMSGSIZE and operation == "get_into":
        return (
            f"cannot get_into a buffer of {detail} bytes: a message of {_name_of(queue)} may have "
            f"{queue.maxmsgsize} bytes (maxmsgsize)"
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
    return f"cannot {operation} on {_name_of(queue)}: {os.strerror(os_errno)}"


def _too_long(queue: Any, size: int) -> str:
    text = (
        f"the message has {size} bytes, and maxmsgsize is {queue.maxmsgsize}, which is fixed when a "
        "queue is created: unlink it and create it with a larger maxmsgsize"
    )
    allowed = _read_limit("msgsize_max")
    if size > allowed and _LINUX:
        text += (
            f", once fs.mqueue.msgsize_max = {allowed} is raised "
            f"('sysctl fs.mqueue.msgsize_max={size}' as root)"
        )
    return text


def _open(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    name, maxsize, maxmsgsize, readable, writable = detail
    what = "an anonymous queue" if name is None else f"queue {name!r}"
    if os_errno == errno.EACCES:
        return f"cannot open {what}: {_no_permission(readable, writable)}"
    explain = {
        errno.EINVAL: _over_size_limits,
        errno.EOVERFLOW: _over_size_limits,
        errno.EMFILE: _over_user_limits,
        errno.ENFILE: _over_system_files,
        errno.ENOSPC: _over_queues_max,
        errno.ENOMEM: _over_memory,
        errno.ENOENT: _missing,
        errno.EEXIST: _exists,
    }.get(os_errno)
    if os_errno == errno.ENOSYS:
        words = _no_queues()
    elif explain in _NAME_LIMITS and not _LINUX:
        words = _over_some_limit(os_errno, maxsize, maxmsgsize)
    else:
        words = os.strerror(os_errno) if explain is None else explain(maxsize, maxmsgsize)
    return f"cannot open {what}: {words}"


def _trust(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    name, owner, mode = detail
    what = "this queue" if name is None else f"queue {name!r}"
    who = f"user {owner} owns it" if owner not in (0, os.geteuid()) else f"its mode is {mode:#o}"
    return (
        f"will not unpickle from {what}: {who}, so others may write to it, and unpickling runs code "
        "that a message holds; open it with trusted=True if all who may write are trusted, with "
        "a SignedSerializer, or with a serializer that runs no code, such as json"
    )


def _from_fd(operation: str, os_errno: int, queue: Any, fd: Any) -> str:
    if os_errno == errno.EBADF:
        return f"descriptor {fd} is not open, or not that of a POSIX message queue"
    return f"cannot use descriptor {fd}: {os.strerror(os_errno)}"


def _no_queues() -> str:
    if _LINUX:
        return "this kernel was built without POSIX message queues (CONFIG_POSIX_MQUEUE)"
    return "the kernel module mqueuefs is not loaded ('kldload mqueuefs' as root)"


def _over_some_limit(os_errno: int, maxsize: int, maxmsgsize: int) -> str:
    return (
        f"{os.strerror(os_errno)} (maxsize={maxsize}, maxmsgsize={maxmsgsize}); the limits are "
        "kern.mqueue.maxmsg, kern.mqueue.maxmsgsize and kern.mqueue.maxmq, which sysctl shows and "
        "root may raise, and the descriptors of this process ('ulimit -n')"
    )


def _notify(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    if os_errno == errno.ENOSYS:
        return (
            f"cannot notify on {_name_of(queue)}: calling a function takes Linux; a signal number "
            "is taken here as well"
        )
    if os_errno != errno.EBUSY:
        return _using(operation, os_errno, queue, detail)
    pid = 0
    with contextlib.suppress(QueueError):
        pid = queue.stat().notify_pid
    if pid == os.getpid():
        return (
            f"{_name_of(queue)} notifies one process at a time, and this one has asked already; "
            "notify(None) takes that back"
        )
    who = f"process {pid}" if pid else "another process"
    return f"{_name_of(queue)} notifies one process at a time, and {who} has asked first"


def _list(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    if not _LINUX:
        return "cannot list the queues: that takes Linux; 'mount -t mqueuefs' shows them on FreeBSD"
    return (
        f"cannot list the queues: {_mounted(detail)}, and mounting one unseen is "
        f"for root ({os.strerror(os_errno)}); 'mkdir -p /dev/mqueue && mount -t mqueue none "
        "/dev/mqueue' as root makes one for all"
    )


def _mounted(rejected: tuple[str, int] | None) -> str:
    if rejected is None:
        return "no mqueue file system is mounted where this user can read it"
    path, os_errno = rejected
    if not os_errno:
        return f"the mqueue file system at {path!r} belongs to another IPC namespace"
    return (
        f"the mqueue file system at {path!r} may belong to another IPC namespace, which takes a "
        f"queue to find out, and none can be created ({os.strerror(os_errno)})"
    )


def _pickle(operation: str, os_errno: int, queue: Any, detail: Any) -> str:
    return f"cannot pickle {_name_of(queue)}: it is {_state(queue)}"


def _over_size_limits(maxsize: int, maxmsgsize: int) -> str:
    found = []
    for parameter, asked, limit in (
        ("maxsize", maxsize, "msg_max"),
        ("maxmsgsize", maxmsgsize, "msgsize_max"),
    ):
        allowed = _HARD_LIMITS[limit] if _may_exceed_limits() else _read_limit(limit)
        if asked > allowed:
            found.append(_over(parameter, asked, limit, allowed))
    return "; ".join(found) or (
        f"the kernel refuses maxsize={maxsize} with maxmsgsize={maxmsgsize}; the limits are "
        f"fs.mqueue.msg_max = {_read_limit('msg_max')} and "
        f"fs.mqueue.msgsize_max = {_read_limit('msgsize_max')}"
    )


def _over(parameter: str, asked: int, limit: str, allowed: int) -> str:
    if asked > _HARD_LIMITS[limit]:
        return (
            f"{parameter}={asked} is over the kernel's fixed maximum of {_HARD_LIMITS[limit]} "
            f"(fs.mqueue.{limit} is {_read_limit(limit)} now)"
        )
    return (
        f"{parameter}={asked} is over fs.mqueue.{limit} = {allowed}; raise it with "
        f"'sysctl fs.mqueue.{limit}={asked}' as root"
    )


def _over_user_limits(maxsize: int, maxmsgsize: int) -> str:
    """EMFILE has two meanings: descriptors, and the bytes of a user's queues."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _descriptors_used_up():
        return (
            f"this process has no file descriptor left: RLIMIT_NOFILE is {files}; raise it with "
            "'ulimit -n' or resource.setrlimit, or close what is not needed"
        )
    allowed, _ = resource.getrlimit(RLIMIT_MSGQUEUE)
    asked = queue_charge(maxsize, maxmsgsize)
    return (
        f"RLIMIT_MSGQUEUE is {allowed} bytes for all queues of this user together, and this one "
        f"needs {asked} bytes (maxsize={maxsize} times maxmsgsize={maxmsgsize} and "
        f"{asked - maxsize * maxmsgsize} bytes of overhead) beside those that exist (see "
        "posixmq.list_queues() and limits()); close and unlink unused queues, ask for smaller ones, or raise the limit with 'ulimit -q', "
        "resource.setrlimit or LimitMSGQUEUE= in systemd"
    )


def _over_system_files(maxsize: int, maxmsgsize: int) -> str:
    return "the system has no file left to open; raise it with 'sysctl fs.file-max=...' as root"


def _over_queues_max(maxsize: int, maxmsgsize: int) -> str:
    allowed = _read_limit("queues_max")
    return (
        f"the system has as many queues as fs.mqueue.queues_max = {allowed} allows, and one more "
        "was asked for; unlink unused queues or raise it with "
        f"'sysctl fs.mqueue.queues_max={allowed * 2}' as root"
    )


def _over_memory(maxsize: int, maxmsgsize: int) -> str:
    return f"the kernel has no memory for maxsize={maxsize} times maxmsgsize={maxmsgsize}"


def _no_permission(readable: bool, writable: bool) -> str:
    rights = [word for word, asked in (("read", readable), ("write", writable)) if asked]
    text = (
        f"it exists, and its owner and mode give this user no right to {' and '.join(rights)} it; "
        "its owner can create it with mode=0o660 or the like"
    )
    if len(rights) == 2:
        text += ", and readable=False or writable=False asks for one right alone"
    return text


def _missing(maxsize: int, maxmsgsize: int) -> str:
    return "it does not exist, and create=False was given"


def _exists(maxsize: int, maxmsgsize: int) -> str:
    return "it exists already, and exclusive=True was given"


def _read_limit(name: str) -> int:
    return int(
        _read(_MQUEUE_LIMITS + name)
        or {"msg_max": 10, "msgsize_max": 8192, "queues_max": 256}[name]
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


def _descriptors_used_up() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno == errno.EMFILE
    return False


def _no_signal() -> str:
    chosen = os.environ.get("POSIXMQ_SIGNAL")
    if chosen:
        return (
            f"POSIXMQ_SIGNAL={chosen!r} names no free real-time signal (SIGRTMIN to SIGRTMAX, without "
            "a handler), and one is needed to end a wait"
        )
    return "no real-time signal is free to end a wait with; POSIXMQ_SIGNAL can name one"


def _state(queue: Any) -> str:
    if not queue.maxmsgsize:
        return "not open: Queue.__init__ was not called"
    if queue.closed:
        return "closed"
    if queue.readable and queue.writable:
        return "open, but something else closed its descriptor"
    return f"opened with {'readable' if queue.writable else 'writable'}=False"


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


# Those that name limits of Linux.
_NAME_LIMITS = (_over_size_limits, _over_user_limits, _over_system_files, _over_queues_max)

_EXPLAIN = {
    "argument": _argument,
    "name": _name,
    "unlink": _unlink,
    "open": _open,
    "trust": _trust,
    "from_fd": _from_fd,
    "notify": _notify,
    "list": _list,
    "pickle": _pickle,
}
