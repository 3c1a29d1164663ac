"""Queues that systemd has opened for this process. Imported only when it is used."""

import contextlib
import errno
import os
from typing import Any

from . import _posixmq
from ._errors import QueueError, system_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from ._posixmq import _Serializer

__all__ = ["listen_queues"]

_FIRST = 3  # SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def listen_queues(
    *,
    serializer: "_Serializer | None" = None,
    on_signal: "Literal['raise', 'retry']" = "raise",
    spin_us: int | None = None,
    trusted: bool = False,
    unset_environment: bool = True,
) -> "list[tuple[str, _posixmq.Queue[Any]]]":
    """Return the queues that systemd passes by ListenMessageQueue=, as (name, Queue) pairs.

    A name is what FileDescriptorName= says, else that of the socket unit ("jobs.socket"), and
    "unknown" where the service manager gives none; ``dict(listen_queues())["jobs.socket"]`` is the
    queue where no name stands for two. The list is empty if nothing was passed to this process.
    Descriptors that are no message queues are left alone.

    The Queues own their descriptors: call it once. systemd opens queues for reading only. See
    sd_listen_fds(3) and systemd.socket(5).

    :param serializer, on_signal, spin_us, trusted: as Queue.from_fd() takes them, for all
    :param unset_environment: False to leave LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES for another
        caller, or for a child
    :raises QueueError: INVALID_VALUE for variables that make no sense, INVALID_DESCRIPTOR for a
        descriptor that is not there, and what Queue.from_fd() raises
    """
    try:
        found = [(fd, name) for fd, name in _passed() if _is_queue(fd)]
    finally:
        if unset_environment:
            for variable in _VARIABLES:
                os.environ.pop(variable, None)
    with contextlib.ExitStack() as opened:
        queues = []
        for fd, name in found:
            queue: _posixmq.Queue[Any] = _posixmq.Queue.from_fd(
                fd, serializer=serializer, on_signal=on_signal, spin_us=spin_us, trusted=trusted
            )
            opened.callback(queue.close)
            queues.append((name, queue))
        opened.pop_all()
        return queues


def _passed() -> list[tuple[int, str]]:
    """Return the descriptors passed to this very process, with their names."""
    pid, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    if not pid or not count or _number("LISTEN_PID", pid) != os.getpid():
        return []
    descriptors = range(_FIRST, _FIRST + _number("LISTEN_FDS", count))
    names = ["unknown"] * len(descriptors)
    if "LISTEN_FDNAMES" in os.environ:
        names = os.environ["LISTEN_FDNAMES"].split(":") if descriptors else []
    if len(names) != len(descriptors):
        raise system_error(
            errno.EINVAL,
            f"LISTEN_FDNAMES has {len(names)} names, and LISTEN_FDS says {len(descriptors)}",
        )
    return list(zip(descriptors, names, strict=True))


def _number(variable: str, text: str) -> int:
    with contextlib.suppress(ValueError):
        number = int(text)
        if 0 <= number <= 2**22:  # of processes and of descriptors there cannot be more
            return number
    raise system_error(errno.EINVAL, f"{variable} is {text!r}, which cannot be")


def _is_queue(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError as error:
        raise system_error(
            errno.EBADF, f"LISTEN_FDS promises descriptor {fd}, which is not open"
        ) from error
    try:
        _posixmq.look(fd)
    except OSError as error:
        if isinstance(error, QueueError) or error.errno != errno.EBADF:
            raise
        return False
    return True
