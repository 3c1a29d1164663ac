"""Runs the callbacks of Queue.notify(). Imported only when it is used.

The kernel leaves SIGEV_THREAD to the C library, and notifies it through a netlink socket. Each
message on the socket is a cookie that was given to mq_notify(2); the kernel sets its last byte.
One thread reads the socket for all queues of the process.
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

# NOTIFY_COOKIE_LEN and NOTIFY_WOKENUP of <linux/mqueue.h>.
_COOKIE_BYTES = 32
_WOKEN = 1


class _Listener:
    """A netlink socket, the thread that reads it, and the callbacks that wait for a cookie."""

    def __init__(self) -> None:
        self.callbacks: dict[bytes, Callable[[], object]] = {}
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
        # mq_notify(2) reserves room for the cookie in this buffer, and sleeps if there is none.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.most = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2048
        self._identity = os.fstat(self.socket.fileno())
        try:
            threading.Thread(target=self._listen, name="posixmq notify", daemon=True).start()
        except (RuntimeError, MemoryError):  # also where a subinterpreter allows no daemon thread
            self.socket.close()
            raise

    def has_socket(self) -> bool:
        """Return True if the descriptor is still that of the socket.

        A program that becomes a daemon closes all descriptors, and their numbers are reused.
        """
        try:
            return os.path.samestat(os.fstat(self.socket.fileno()), self._identity)
        except OSError:
            return False

    def let_go(self) -> None:
        """Close the socket, but no other file that has its descriptor now."""
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
    """Call the callback in a thread of its own."""
    try:
        threading.Thread(target=callback, daemon=True).start()
    except (RuntimeError, MemoryError) as error:  # no thread can be started
        if threading.main_thread().is_alive():  # otherwise the interpreter is shutting down
            # Ignore what the hook raises: the other callbacks need this thread.
            with contextlib.suppress(BaseException):
                threading.excepthook(
                    threading.ExceptHookArgs(
                        (type(error), error, error.__traceback__, threading.current_thread())
                    )
                )


_lock = threading.RLock()  # reentrant, because a signal handler may call expect() as well
_listener: _Listener | None = None


def expect(callback: Callable[[], object]) -> tuple[int, bytes]:
    """Return what mq_notify(2) needs to run a callback: a descriptor and a cookie.

    :raises QueueError: NO_SYSTEM_RESOURCES if too many callbacks wait already, or the kernel's
        error if this process may not have a netlink socket
    :raises RuntimeError: the listening thread cannot be started
    """
    global _listener
    with _lock:
        if _listener is not None and not _listener.has_socket():
            _replace(_listener)
        if _listener is None:
            started = _start()
            _listener = _listener or started  # a signal handler may have started one meanwhile
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
    """Drop the callback that expect() has returned the cookie for."""
    listener = _listener
    if listener is not None:
        listener.callbacks.pop(cookie[:-1], None)


def _replace(listener: _Listener) -> None:
    """Make the next request start another listener."""
    global _listener
    with _lock:
        if _listener is listener:
            _listener = None
    listener.let_go()


def _start_anew() -> None:
    """Forget the parent's callbacks in the child of a fork, and never read the parent's socket."""
    global _listener, _lock
    _lock = threading.RLock()
    if _listener is not None:
        _listener.let_go()
        _listener = None


os.register_at_fork(after_in_child=_start_anew)
