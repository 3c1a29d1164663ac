"""POSIX message queues for asyncio: what a synchronous Queue waits for is awaited here.

>>> import asyncio
>>> from posixmq.asyncio import Queue
>>> async def main():
...     async with Queue("/greetings") as q:
...         await q.put({"hello": "world"})
...         print(await q.get())
...         q.unlink()
>>> asyncio.run(main())
{'hello': 'world'}

There is no thread: the event loop watches a descriptor of the queue while tasks wait. A message
leaves or enters the kernel's queue in a step of the task that asked for it, never before, so
that cancelling a task neither loses nor repeats one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Iterable
from functools import partial
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import posixmq
from posixmq._line import Line, check_timeout

if TYPE_CHECKING:
    from typing import Self

    from posixmq._posixmq import _Attributes

__all__ = ["Queue"]

_T = TypeVar("_T")


class _Watch:
    """One event loop's view of a queue: its waiting tasks and a descriptor of its own.

    Level-triggered, so that a wake-up which another process made void is followed by another.
    What is watched stays watched when nobody waits any more, until it stirs: the next wait is
    likely to come first, and changing epoll's set costs more than the message.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, queue: posixmq.Queue[Any], lock: threading.RLock
    ) -> None:
        self.loop = loop
        self.getters = Line(loop, self._watch_readable, queue.spin_us)
        self.putters = Line(loop, self._watch_writable, queue.spin_us)
        self._queue = weakref.ref(queue)  # a loop that watches shall not keep the queue open
        self._lock = lock
        self._fd = -1
        self._reading = self._writing = False

    def _has_descriptor(self) -> bool:
        """Have a descriptor, unless the queue is closed.

        A descriptor of its own is registered once a loop, whoever else watches the queue, and is
        taken out of the loop before it is closed, whoever closes the queue. It is opened anew
        where that works, because uvloop sets O_NONBLOCK, which duplicates share.
        """
        queue = self._queue()
        with self._lock:
            if self._fd >= 0 or queue is None or queue.closed:
                return self._fd >= 0
            fd = queue.fileno()
            for access in (os.O_RDONLY, os.O_WRONLY):
                with contextlib.suppress(OSError):
                    self._fd = os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK)
                    return True
            try:
                self._fd = os.dup(fd)
            except OSError:
                if not queue.closed:  # by .queue, in another thread
                    raise
        return self._fd >= 0

    def _watch_readable(self) -> None:
        if self._reading:
            return
        if self._has_descriptor():
            self.loop.add_reader(self._fd, self._readable)
            self._reading = True
        else:  # closed since the try, which will say so when it is repeated
            self.loop.call_soon(self.getters.wake)

    def _watch_writable(self) -> None:
        if self._writing:
            return
        if self._has_descriptor():
            self.loop.add_writer(self._fd, self._writable)
            self._writing = True
        else:
            self.loop.call_soon(self.putters.wake)

    def _readable(self) -> None:
        if self.getters.is_empty():
            self.loop.remove_reader(self._fd)
            self._reading = False
        else:
            self.getters.wake()

    def _writable(self) -> None:
        if self.putters.is_empty():
            self.loop.remove_writer(self._fd)
            self._writing = False
        else:
            self.putters.wake()

    def close(self) -> None:
        """Watch no more and let everybody try, one after the other.

        Only the loop itself calls this: whatever else runs in its thread may be a signal handler
        in the midst of add_reader.
        """
        if self._reading:
            self.loop.remove_reader(self._fd)
        if self._writing:
            self.loop.remove_writer(self._fd)
        self._reading = self._writing = False
        self.release()
        self.getters.wake()
        self.putters.wake()

    def inherit(self, other: _Watch) -> bool:
        """Take over the descriptor of a loop that is closed, if it had one.

        Closing it would take back the process's notify(): the kernel does so at any close.
        """
        self._fd, other._fd = other._fd, -1
        return self._fd >= 0

    def release(self) -> None:
        """Close the descriptor, which no loop watches."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.release()  # a loop that watches it would have kept this object


class Queue(Generic[_T]):
    """A POSIX message queue whose put, get and receive are awaited.

    The arguments are those of :class:`posixmq.Queue`, and so are the errors; the synchronous
    queue itself is ``.queue``. Tasks of any number of event loops in any number of threads may
    share one object. In each loop those who wait are served first come, first served.

    ``on_signal`` and ``spin_us`` concern ``.queue`` alone: a loop handles signals itself.
    """

    queue: posixmq.Queue[_T]

    def __init__(
        self, name: str, maxsize: int = 10, maxmsgsize: int = 1024, **options: Any
    ) -> None:
        self._adopt(posixmq.Queue(name, maxsize, maxmsgsize, **options))

    @classmethod
    def wrap(cls, queue: posixmq.Queue[_T]) -> Self:
        """Return an awaitable queue over an open one, such as Queue.anonymous() or from_fd().

        Closing either closes both; only the awaitable one's close() wakes its tasks. Keep it as
        long as the queue's notify() shall hold: when it goes, the loops' own descriptors are
        closed, and the kernel takes notify() back when a process closes any.
        """
        self = cls.__new__(cls)
        self._adopt(queue)
        return self

    def _adopt(self, queue: posixmq.Queue[_T]) -> None:
        self.queue = queue
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        # Between close() and opening a descriptor for a loop; a signal handler may close, too.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} over {self.queue!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).wrap, (self.queue,)

    def _watch(self) -> _Watch:
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            with self._lock:
                # First put where a close() in a signal handler finds it.
                watch = self._watches[loop] = _Watch(loop, self.queue, self._lock)
                for other in list(self._watches):
                    if not other.is_closed():
                        continue
                    old = self._watches.pop(other, None)
                    if old is not None and watch.inherit(old):
                        break  # what other closed loops had is for loops to come
        return watch

    async def put(
        self,
        item: _T,
        block: bool = True,
        timeout: float | None = None,
        priority: int = 0,
        pickle_protocol: int = 1,
    ) -> None:
        """Put item into the queue.

        :param item: what the serializer takes; do not change it while put waits, for it is
            serialized at every try
        :param block: False to raise queue.Full at once where there is no room
        :param timeout: seconds to wait, None for ever; ignored if block is false
        :param priority: 0 to 32767; the highest is received first
        :param pickle_protocol: for PickleSerializer only
        :raises queue.Full: there was no room in time
        :raises QueueError: as posixmq.Queue.put
        """
        if not block:
            return self.queue.put_nowait(item, priority, pickle_protocol)
        if timeout is not None:
            check_timeout(timeout)
        line = self._watch().putters
        if line.is_free():
            try:
                return self.queue.put_nowait(item, priority, pickle_protocol)
            except Full:
                if timeout == 0:
                    raise
        attempt = partial(self.queue.put_nowait, item, priority, pickle_protocol)
        return await line.stand(attempt, timeout)

    async def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return the oldest item of the highest priority.

        :param block: False to raise queue.Empty at once where there is none
        :param timeout: seconds to wait, None for ever; ignored if block is false
        :raises queue.Empty: there was none in time
        :raises DecodeError: the serializer refused the message, which .data holds
        :raises QueueError: as posixmq.Queue.get
        """
        if not block:
            return self.queue.get_nowait()
        if timeout is not None:
            check_timeout(timeout)
        line = self._watch().getters
        if line.is_free():
            try:
                return self.queue.get_nowait()
            except Empty:
                if timeout == 0:
                    raise
        return await line.stand(self.queue.get_nowait, timeout)

    async def receive(
        self, block: bool = True, timeout: float | None = None
    ) -> posixmq.Message[_T]:
        """Remove a message and return it as Message(item, priority); else as get()."""
        attempt = partial(self.queue.receive, False)
        if not block:
            return attempt()
        return await self._watch().getters.enter(attempt, timeout)

    async def put_many(
        self,
        items: Iterable[_T],
        block: bool = True,
        timeout: float | None = None,
        priority: int = 0,
        pickle_protocol: int = 1,
    ) -> int:
        """Put items into the queue and return how many went; one await for many messages.

        Fewer than all go when the time is over. An exception that comes when some have gone, and
        a cancellation is one, has their number as ``.count``.

        :raises queue.Full: not one went in time
        :raises QueueError: as posixmq.Queue.put_many
        """
        left = list(items)
        if not block:
            return self.queue.put_many(left, False, None, priority, pickle_protocol)

        def attempt() -> int:
            return self.queue.put_many(left, False, None, priority, pickle_protocol)

        return await self._watch().putters.send_all(left, attempt, timeout)

    async def get_many(
        self, max_items: int | None = None, block: bool = True, timeout: float | None = None
    ) -> list[_T]:
        """Wait for an item and return it in a list with those that are there behind it.

        :param max_items: at most so many; None for as many as the queue holds
        :raises queue.Empty: there was none in time
        :raises QueueError: as posixmq.Queue.get_many
        """
        attempt = partial(self.queue.get_many, max_items, False)
        if not block:
            return attempt()
        return await self._watch().getters.enter(attempt, timeout)

    def put_nowait(self, item: _T, priority: int = 0, pickle_protocol: int = 1) -> None:
        """Put item into the queue, or raise queue.Full."""
        self.queue.put_nowait(item, priority, pickle_protocol)

    def get_nowait(self) -> _T:
        """Remove and return an item, or raise queue.Empty."""
        return self.queue.get_nowait()

    def close(self) -> None:
        """Close this handle; the queue and its messages stay.

        Tasks that wait on this object, in any loop, are woken and raise INVALID_DESCRIPTOR. Any
        thread and any signal handler may call this. A loop's own descriptor of the queue is
        closed in its next turn.
        """
        with self._lock:
            self.queue.close()
            watches, self._watches = self._watches, {}
        for loop, watch in list(watches.items()):
            try:
                loop.call_soon_threadsafe(watch.close)
            except RuntimeError:  # that loop is closed
                watch.release()

    def unlink(self) -> None:
        """Remove the queue's name; works after close() too."""
        self.queue.unlink()

    def qattr(self) -> _Attributes:
        """Return {'size': ..., 'max_size': ..., 'max_msgbytes': ...}."""
        return self.queue.qattr()

    def qsize(self) -> int:
        """Return the approximate number of messages in the queue."""
        return self.queue.qsize()

    def empty(self) -> bool:
        """Return True if the queue held no message a moment ago."""
        return self.queue.empty()

    def full(self) -> bool:
        """Return True if the queue had no room a moment ago."""
        return self.queue.full()

    def stat(self) -> posixmq.QueueStat:
        """Return the QueueStat of posixmq.Queue.stat()."""
        return self.queue.stat()

    @property
    def name(self) -> str | None:
        """The queue's name; None if it never had one."""
        return self.queue.name

    @property
    def maxsize(self) -> int:
        """How many messages the queue can hold."""
        return self.queue.maxsize

    @property
    def maxmsgsize(self) -> int:
        """The longest message in bytes."""
        return self.queue.maxmsgsize

    @property
    def closed(self) -> bool:
        """True once close() was called."""
        return self.queue.closed

    async def __aenter__(self) -> Self:
        self.queue.__enter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            return await self.get()
        except posixmq.QueueError as error:
            if self.closed and error.errno == posixmq.QueueError.INVALID_DESCRIPTOR:
                raise StopAsyncIteration from None
            raise
