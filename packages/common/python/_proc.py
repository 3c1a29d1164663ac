"""What /proc tells about the system and this process; see proc(5). Imported only when it is used."""

import errno
import os

from ._errors import QueueError

__all__ = ["may_exceed_limits", "read_text", "unreadable"]

_CAP_SYS_RESOURCE = 24


def read_text(path: str) -> str:
    """Return the text of a file, or "" if the file cannot be read."""
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        if type(error) not in (OSError, FileNotFoundError, PermissionError):
            raise  # a signal handler has raised it: TimeoutError, for instance
        return ""


def may_exceed_limits() -> bool:
    """Return True if this process has CAP_SYS_RESOURCE, which even root may lack."""
    for line in read_text("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def unreadable(what: str, cause: OSError, needs: str) -> QueueError:
    """Return the QueueError for a file that cannot be read.

    :param what: what could not be done, and the file
    :param cause: the error of the file
    :param needs: what must be there for the file to be readable
    """
    number = cause.errno or errno.EIO
    error = QueueError(QueueError.ERROR, f"{what}: {os.strerror(number)}; it needs {needs}")
    error.os_errno = number
    return error
