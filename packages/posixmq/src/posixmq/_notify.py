"""Runs the callbacks of Queue.notify(). Imported only when it is used.

The kernel leaves SIGEV_THREAD to the C library, and tells it by a netlink socket: a message on it is
the cookie given to mq_notify(2), whose last byte the kernel has set. One thread listens for all
queues of the process.
"""

import contextlib
import errno
import os
import secrets
import socket
import threading
from collections.abc import Callable

from ._errors import system_error

__all__ = ["expect", "forget"]

# NOTIFY_COOKIE_LEN, NOTIFY_WOKENUP and NOTIFY_REMOVED of <linux/mqueue.h>.
_COOKIE_BYTES = 32
_WOKEN = 1


class _Listener:
    """A socket, the thread that reads from it, and who waits for what."""

    def __init__(self) -> None:
        self.callbacks: dict[bytes, Callable[[], object]] = {}
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
        # mq_notify(2) reserves room for the cookie, and would sleep where there is none.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.most = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2048
        self._identity = os.fstat(self.socket.fileno())
        try:
            threading.Thread(target=self._listen, name="posixmq notify", daemon=True).start()
        except (
            RuntimeError,
            MemoryError,
        ):  # no thread can be had, or no daemon in a subinterpreter
            self.socket.close()
            raise

    def has_socket(self) -> bool:
        """Whether the descriptor is still its own.

        A daemon closes all that it has inherited, and the number is given to another file then.
        """
        try:
            return os.path.samestat(os.fstat(self.socket.fileno()), self._identity)
        except OSError:
            return False

    def let_go(self) -> None:
        """Close the socket, but nothing that has come in its place."""
        if self.has_socket():
            self.socket.close()
        else:
            self.socket.detach()

    def _listen(self) -> None:
        try:
            while self.has_socket():
                with contextlib.suppress(OSError, MemoryError):
                    self._hear()
        finally:
            _replace(self)

    def _hear(self) -> None:
        cookie, (sender, _) = self.socket.recvfrom(_COOKIE_BYTES)
        if sender == 0 and len(cookie) == _COOKIE_BYTES:  # from the kernel
            callback = self.callbacks.pop(cookie[:-1], None)
            if callback is not None and cookie[-1] == _WOKEN:
                _run(callback)


def _run(callback: Callable[[], object]) -> None:
    """Call it in a thread of its own."""
    try:
        threading.Thread(target=callback, daemon=True).start()
    except (RuntimeError, MemoryError) as error:  # no thread can be had
        if threading.main_thread().is_alive():  # and not because the interpreter ends
            # Whatever the hook does: the other callbacks need this thread.
            with contextlib.suppress(BaseException):
                threading.excepthook(
                    threading.ExceptHookArgs(
                        (type(error), error, error.__traceback__, threading.current_thread())
                    )
                )


_lock = threading.RLock()  # a signal handler may ask while this thread does
_listener: _Listener | None = None


def expect(callback: Callable[[], object]) -> tuple[int, bytes]:
    """Return what mq_notify(2) needs so that *callback* is run: a descriptor and a cookie."""
    global _listener
    with _lock:
        if _listener is not None and not _listener.has_socket():
            _replace(_listener)
        if _listener is None:
            started = _start()
            _listener = _listener or started  # a handler may have been faster
        if len(_listener.callbacks) >= _listener.most:
            raise system_error(
                errno.ENOSPC,
                f"this process has asked {_listener.most} queues to notify it by a callback",
            )
        cookie = secrets.token_bytes(_COOKIE_BYTES)
        _listener.callbacks[cookie[:-1]] = callback
        return _listener.socket.fileno(), cookie


def _start() -> _Listener:
    try:
        return _Listener()
    except OSError as error:
        number, reason = error.errno or errno.EIO, error.strerror
    raise system_error(
        number,
        f"callbacks need a netlink socket, and this process may not have one: {reason}; a signal "
        "number needs none",
    )


def forget(cookie: bytes) -> None:
    """Take back what expect() returned."""
    listener = _listener
    if listener is not None:
        listener.callbacks.pop(cookie[:-1], None)


def _replace(listener: _Listener) -> None:
    """Let the next request start another listener."""
    global _listener
    with _lock:
        if _listener is listener:
            _listener = None
    listener.let_go()


def _start_anew() -> None:
    """Forget in the child of a fork what the parent has asked for, and do not read its socket."""
    global _listener, _lock
    _lock = threading.RLock()
    if _listener is not None:
        _listener.let_go()
        _listener = None


os.register_at_fork(after_in_child=_start_anew)
