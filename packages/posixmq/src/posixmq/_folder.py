"""Where all POSIX queues can be found: an mqueue file system. Imported only when it is used."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from . import _posixmq
from ._explain import failure
from ._operations import Operation

__all__ = ["mounts", "open_folder"]

# How /proc writes spaces and the like in a path; see proc(5).
_OCTAL = re.compile(rb"\\([0-7]{3})")


@contextlib.contextmanager
def open_folder() -> Iterator[int]:
    """Open the folder of all queues of this IPC namespace, and close it at the end.

    :raises QueueError: NO_PERMISSIONS if this process can neither mount it nor find it mounted
    """
    folder = _find_folder()
    try:
        yield folder
    finally:
        os.close(folder)


def _find_folder() -> int:
    """Return a descriptor of the folder. The caller closes it."""
    try:
        return _posixmq.mount()
    except OSError as error:
        number = error.errno or errno.EIO
    rejected = None
    for path, device in mounts():
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
    raise failure(Operation.LIST, number, None, rejected)


def _own_device(names: list[str]) -> tuple[int | None, int]:
    """Return the device of this IPC namespace's queues, or None and the errno if it is unknown.

    Opening a queue by its name finds the device, even if the name comes from another namespace.
    A descriptor that this process holds does not: the queue may have been opened in another
    namespace.
    """
    for name in names:
        with contextlib.suppress(OSError):
            return os.makedev(*_posixmq.device("/" + name)), 0
    try:
        return os.makedev(*_posixmq.device(None)), 0
    except OSError as error:
        return None, error.errno or errno.EIO


def mounts() -> Iterator[tuple[bytes, int]]:
    """Yield path and device of each mqueue file system that is mounted here; see proc(5)."""
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
