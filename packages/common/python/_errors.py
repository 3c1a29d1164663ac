"""The exceptions, and the table that maps the kernel's errno to the documented constants."""

import errno as _errno

__all__ = ["DecodeError", "QueueError"]


class QueueError(OSError):
    """A queue operation failed.

    ``errno`` is one of the constants below, and ``os_errno`` is the kernel's own error number.
    ``msg``, like ``str()``, says what failed, on which queue, and which limit was hit. An error
    that ``put_many`` raises has the number of messages that were put in ``count``.

    :param errno: one of the constants, which are system error numbers
    :param msg: what failed, in words; None for the constant's own text
    """

    ERROR = _errno.EIO
    INVALID_VALUE = _errno.EINVAL
    NO_PERMISSIONS = _errno.EACCES
    NO_SYSTEM_RESOURCES = _errno.ENOSPC
    INVALID_DESCRIPTOR = _errno.EBADF
    INTERRUPTED = _errno.EINTR
    TOO_BIG_MESSAGE = _errno.EMSGSIZE
    TIMEOUT = _errno.ETIMEDOUT
    DOES_NOT_EXIST = _errno.ENOENT
    EXISTS = _errno.EEXIST

    # The package that has this file, not the module, as users import it from there.
    __module__ = __package__

    os_errno: int
    msg: str

    def __init__(self, errno: int, msg: "str | None" = None) -> None:
        if not msg:
            msg = _TEXTS.get(errno, _TEXTS[QueueError.ERROR])
        super().__init__(errno, msg)
        self.os_errno = errno
        self.msg = msg


class DecodeError(QueueError):
    """The serializer refused a message, which has left the queue.

    ``data`` has the bytes of the message, ``priority`` (POSIX) or ``msg_type`` (System V) its
    mark, and ``__cause__`` is the exception that the serializer raised. ``errno`` is ``ERROR``.

    One that ``get_many`` raises has the items of the other messages in ``items``, and in
    ``failures`` a DecodeError for each message that was refused. The first of them is this one.
    """

    __module__ = __package__

    data: bytes = b""
    priority: "int | None" = None
    msg_type: "int | None" = None

    items: "list[object] | tuple[()]" = ()

    # None stands for the error itself. An error that held itself would be a cycle, and would keep
    # its traceback, and with it the queue, until the garbage collector runs. C sets this.
    _failures: "list[BaseException | None] | tuple[()]" = ()

    @property
    def failures(self) -> "list[BaseException] | tuple[()]":
        """An error for each message that get_many() could not decode; empty for other calls."""
        return [self if each is None else each for each in self._failures] or ()

    @failures.setter
    def failures(self, failures: "list[BaseException]") -> None:
        self._failures = [None if each is self else each for each in failures]


_TEXTS = {
    QueueError.ERROR: "Error",
    QueueError.INVALID_VALUE: "Invalid value",
    QueueError.NO_PERMISSIONS: "No permissions",
    QueueError.NO_SYSTEM_RESOURCES: "No system resources",
    QueueError.INVALID_DESCRIPTOR: "Invalid queue descriptor",
    QueueError.INTERRUPTED: "Interrupted by signal",
    QueueError.TOO_BIG_MESSAGE: "Data is too big",
    QueueError.TIMEOUT: "Timeout",
    QueueError.DOES_NOT_EXIST: "Queue does not exist",
    QueueError.EXISTS: "Queue exists already",
}

_DOCUMENTED = {
    _errno.EINVAL: QueueError.INVALID_VALUE,
    _errno.ENAMETOOLONG: QueueError.INVALID_VALUE,
    _errno.EOVERFLOW: QueueError.INVALID_VALUE,
    _errno.EACCES: QueueError.NO_PERMISSIONS,
    _errno.EPERM: QueueError.NO_PERMISSIONS,
    _errno.ENOSPC: QueueError.NO_SYSTEM_RESOURCES,
    _errno.ENOMEM: QueueError.NO_SYSTEM_RESOURCES,
    _errno.EMFILE: QueueError.NO_SYSTEM_RESOURCES,
    _errno.ENFILE: QueueError.NO_SYSTEM_RESOURCES,
    _errno.EAGAIN: QueueError.NO_SYSTEM_RESOURCES,
    _errno.EBADF: QueueError.INVALID_DESCRIPTOR,
    _errno.EIDRM: QueueError.INVALID_DESCRIPTOR,
    _errno.EINTR: QueueError.INTERRUPTED,
    _errno.EMSGSIZE: QueueError.TOO_BIG_MESSAGE,
    _errno.E2BIG: QueueError.TOO_BIG_MESSAGE,
    _errno.ETIMEDOUT: QueueError.TIMEOUT,
    _errno.ENOENT: QueueError.DOES_NOT_EXIST,
    _errno.EEXIST: QueueError.EXISTS,
}


_ABOUT_FILES = {ImportError, ModuleNotFoundError, OSError, PermissionError, FileNotFoundError}


def system_error(os_errno: int, msg: str) -> QueueError:
    """Return the QueueError for the kernel's *os_errno*, with the text *msg*."""
    error = QueueError(_DOCUMENTED.get(os_errno, QueueError.ERROR), msg)
    error.os_errno = os_errno
    return error


def import_failure(cause: BaseException) -> "QueueError | None":
    """Return the QueueError for a first Queue whose imports failed with *cause*.

    Return None if *cause* is not about files, because a signal handler may have raised it.
    """
    if type(cause) not in _ABOUT_FILES:
        return None
    os_errno = getattr(cause, "errno", None)
    if os_errno in (None, _errno.ENOENT):  # ENOENT would mean that there is no such queue
        os_errno = _errno.EIO
    error = system_error(
        os_errno,
        f"cannot make a queue: a module that it needs cannot be imported ({cause}); "
        "make the first queue while the files can be read",
    )
    error.__cause__ = cause
    return error


def decode_error(queue: str, cause: BaseException, data: bytes, **mark: int) -> DecodeError:
    """Return the DecodeError for a message.

    :param queue: the repr of the queue
    :param cause: the exception that the serializer raised
    :param data: the bytes of the message
    :param mark: its priority or its msg_type
    """
    ((field, value),) = mark.items()
    try:
        reason = f"{type(cause).__name__}: {cause}"
    except Exception:  # the exception's own __str__ fails
        reason = type(cause).__name__
    error = DecodeError(
        QueueError.ERROR,
        f"the serializer refused a message of {len(data)} bytes ({field} {value}) from {queue}: "
        f"{reason}; the bytes are in .data",
    )
    error.data = data
    setattr(error, field, value)
    error.__cause__ = cause
    return error
