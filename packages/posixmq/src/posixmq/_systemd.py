"""Queues that systemd opens for a service. Imported only when it is used."""

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
    """Return the queues that systemd passes for ListenMessageQueue=, as (name, Queue) pairs.

    The name is that of FileDescriptorName=, otherwise that of the socket unit ("jobs.socket"), or
    "unknown" if the service manager gives none. If all names differ,
    ``dict(listen_queues())["jobs.socket"]`` is the queue. The list is empty if nothing was passed
    to this process. Descriptors of other files are ignored and stay open.

    The queues own their descriptors, so call this once. systemd opens queues for reading only. See
    sd_listen_fds(3) and systemd.socket(5).

    :param serializer, on_signal, spin_us, trusted: as for Queue.from_fd(), for all queues
    :param unset_environment: False to keep LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES for another
        caller or a child process
    :raises QueueError: INVALID_VALUE if the variables contradict each other or are no numbers,
        INVALID_DESCRIPTOR if a descriptor is not open, and what Queue.from_fd() raises
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
    """Return the descriptors that were passed to this process, with their names."""
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
        if 0 <= number <= 2**22:  # there can be no more processes, and no more descriptors
            return number
    raise system_error(
        errno.EINVAL, f"{variable} is {text!r}, which is not a number that systemd sets"
    )


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
