"""POSIX message queues for asyncio: the calls of a synchronous Queue that wait are awaited here.

>>> import asyncio
>>> from posixmq.asyncio import Queue
>>> async def main():
...     async with Queue("/greetings") as q:
...         await q.put({"hello": "world"})
...         print(await q.get())
...         q.unlink()
>>> asyncio.run(main())
{'hello': 'world'}

No thread is needed: while tasks wait, the event loop watches a descriptor of the queue. A message
leaves or enters the kernel's queue in a step of the task that asked for it, never earlier. So
cancelling a task neither loses nor repeats a message.
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
from posixmq._waiters import Waiters, check_timeout

if TYPE_CHECKING:
    from typing import Self

    from posixmq._posixmq import _Attributes

__all__ = ["Queue"]

_T = TypeVar("_T")


class _LoopState:
    """What one event loop has of a queue: the tasks that wait, and a descriptor of its own.

    The loop watches the descriptor level-triggered: if another process takes the message first,
    another wake-up follows. The loop goes on watching when nobody waits any more, until the
    queue changes next. A wait is likely to begin before that, and changing epoll's set costs
    more than the message.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, queue: posixmq.Queue[Any], lock: threading.RLock
    ) -> None:
        self.loop = loop
        self.getters = Waiters(loop, self._watch_readable, queue.spin_us)
        self.putters = Waiters(loop, self._watch_writable, queue.spin_us)
        self._queue = weakref.ref(queue)  # a loop that watches must not keep the queue open
        self._lock = lock
        self._fd = -1
        self._reading = self._writing = False

    def _has_descriptor(self) -> bool:
        """Open a descriptor if there is none yet. Return False if the queue is closed.

        Each loop registers a descriptor of its own, whoever else watches the queue, and removes
        it from the loop before it is closed, whoever closes the queue. Duplicates share
        O_NONBLOCK, which uvloop sets; so the queue is opened again where that works.
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
                if not queue.closed:  # closed through .queue, in another thread
                    raise
        return self._fd >= 0

    def _watch_readable(self) -> None:
        if self._reading:
            return
        if self._has_descriptor():
            self.loop.add_reader(self._fd, self._readable)
            self._reading = True
        else:  # the queue was closed after the try: the next try raises the error
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
        """Stop watching and let all waiting tasks try, one after the other.

        Only the loop itself may call this. Any other code that runs in its thread may be a
        signal handler that has interrupted add_reader.
        """
        if self._reading:
            self.loop.remove_reader(self._fd)
        if self._writing:
            self.loop.remove_writer(self._fd)
        self._reading = self._writing = False
        self.release()
        self.getters.wake()
        self.putters.wake()

    def inherit(self, other: _LoopState) -> bool:
        """Take over the descriptor of a closed loop; return False if that loop had none.

        Closing the descriptor would cancel the process's notify(): the kernel does that whenever
        the process closes any descriptor of the queue.
        """
        self._fd, other._fd = other._fd, -1
        return self._fd >= 0

    def release(self) -> None:
        """Close the descriptor, which no loop watches."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.release()  # no loop watches it: a loop that does keeps this object alive


class Queue(Generic[_T]):
    """A POSIX message queue whose put, get and receive are awaited; see mq_overview(7).

    The arguments and the errors are those of :class:`posixmq.Queue`. The synchronous queue is
    the attribute ``queue``. Tasks of any number of event loops in any number of threads may
    share one object. Each loop serves its waiting tasks first come, first served.

    The event loop handles signals itself, so ``on_signal`` only affects ``queue``. ``spin_us``
    is the time in which a waiting task retries before it sleeps.

    :param name: the name of the queue, which begins with a slash
    :param maxsize: how many messages a new queue can hold, 1 or more
    :param maxmsgsize: the longest message of a new queue in bytes, 1 or more
    :param options: the keyword-only parameters of :class:`posixmq.Queue`
    :raises QueueError: as :class:`posixmq.Queue`
    """

    queue: posixmq.Queue[_T]

    def __init__(
        self, name: str, maxsize: int = 10, maxmsgsize: int = 1024, **options: Any
    ) -> None:
        self._adopt(posixmq.Queue(name, maxsize, maxmsgsize, **options))

    @classmethod
    def wrap(cls, queue: posixmq.Queue[_T]) -> Self:
        """Return an awaitable queue over an open one, such as Queue.anonymous() or from_fd().

        Closing either of the two closes both. Only close() of the awaitable queue wakes the
        tasks that wait. Keep the awaitable queue as long as a request of notify() must hold: when
        it is freed, the loops' descriptors are closed, and the kernel cancels the request when
        the process closes any descriptor of the queue; see mq_close(3).

        :param queue: the synchronous queue
        """
        self = cls.__new__(cls)
        self._adopt(queue)
        return self

    def _adopt(self, queue: posixmq.Queue[_T]) -> None:
        self.queue = queue
        self._states: dict[asyncio.AbstractEventLoop, _LoopState] = {}
        # Held by close() and while a loop's descriptor is opened. A signal handler may close
        # the queue in between, therefore it is reentrant.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} over {self.queue!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).wrap, (self.queue,)

    def _state(self) -> _LoopState:
        """Return the state of the running loop."""
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        if state is None:
            with self._lock:
                # Store it first, so that a close() in a signal handler finds it.
                state = self._states[loop] = _LoopState(loop, self.queue, self._lock)
                for other in list(self._states):
                    if not other.is_closed():
                        continue
                    old = self._states.pop(other, None)
                    if old is not None and state.inherit(old):
                        break  # the descriptors of other closed loops wait for later loops
        return state

    async def put(
        self,
        item: _T,
        block: bool = True,
        timeout: float | None = None,
        priority: int = 0,
        pickle_protocol: int = 1,
    ) -> None:
        """Put an item into the queue; see mq_send(3).

        :param item: what the serializer takes; do not change it while put waits, because every
            try serializes it again
        :param block: False to raise queue.Full at once if the queue is full
        :param timeout: seconds to wait, 0 or more; None waits for ever; ignored if block is false
        :param priority: 0 to 32767; the highest is received first
        :param pickle_protocol: 0 to pickle.HIGHEST_PROTOCOL; for PickleSerializer only
        :raises queue.Full: the queue stayed full for that time
        :raises QueueError: as posixmq.Queue.put
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        if not block:
            return self.queue.put_nowait(item, priority, pickle_protocol)
        if timeout is not None:
            check_timeout(timeout)
        putters = self._state().putters
        if putters.is_free():
            try:
                return self.queue.put_nowait(item, priority, pickle_protocol)
            except Full:
                if timeout == 0:
                    raise
        attempt = partial(self.queue.put_nowait, item, priority, pickle_protocol)
        return await putters.wait(attempt, timeout)

    async def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Remove and return the oldest item of the highest priority; see mq_receive(3).

        :param block: False to raise queue.Empty at once if the queue is empty
        :param timeout: seconds to wait, 0 or more; None waits for ever; ignored if block is false
        :raises queue.Empty: the queue stayed empty for that time
        :raises DecodeError: the serializer refused the message, whose bytes are in ``data``
        :raises QueueError: as posixmq.Queue.get
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        if not block:
            return self.queue.get_nowait()
        if timeout is not None:
            check_timeout(timeout)
        getters = self._state().getters
        if getters.is_free():
            try:
                return self.queue.get_nowait()
            except Empty:
                if timeout == 0:
                    raise
        return await getters.wait(self.queue.get_nowait, timeout)

    async def receive(
        self, block: bool = True, timeout: float | None = None
    ) -> posixmq.Message[_T]:
        """Remove a message and return it as Message(item, priority).

        The parameters and the errors are those of get().
        """
        attempt = partial(self.queue.receive, False)
        if not block:
            return attempt()
        return await self._state().getters.enter(attempt, timeout)

    async def put_many(
        self,
        items: Iterable[_T],
        block: bool = True,
        timeout: float | None = None,
        priority: int = 0,
        pickle_protocol: int = 1,
    ) -> int:
        """Put items into the queue and return how many were put.

        Fewer than all are put if the timeout ends the call. An exception that ends it after some
        were put, a cancellation included, has their number in its attribute ``count``.

        :param items: what the serializer takes
        :param block: False to put only what there is room for at once
        :param timeout: seconds for all items together, 0 or more; None waits for ever; ignored
            if block is false
        :param priority: 0 to 32767, for all items
        :param pickle_protocol: 0 to pickle.HIGHEST_PROTOCOL; for PickleSerializer only
        :raises queue.Full: no item was put in time
        :raises QueueError: as posixmq.Queue.put_many
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        remaining = list(items)

        def attempt() -> int:
            return self.queue.put_many(remaining, False, None, priority, pickle_protocol)

        if not block:
            return attempt()
        return await self._state().putters.send_all(remaining, attempt, timeout)

    async def get_many(
        self, max_items: int | None = None, block: bool = True, timeout: float | None = None
    ) -> list[_T]:
        """Wait for an item and return it in a list, with the items that follow it at once.

        :param max_items: the longest list to return, 1 or more; None for as many as the queue
            holds
        :param block: False to raise queue.Empty at once if the queue is empty
        :param timeout: seconds to wait, 0 or more; None waits for ever; ignored if block is false
        :raises queue.Empty: the queue stayed empty for that time
        :raises DecodeError: the serializer refused messages; the other items are in ``items``
        :raises QueueError: as posixmq.Queue.get_many
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        attempt = partial(self.queue.get_many, max_items, False)
        if not block:
            return attempt()
        return await self._state().getters.enter(attempt, timeout)

    def put_nowait(self, item: _T, priority: int = 0, pickle_protocol: int = 1) -> None:
        """Put an item into the queue without waiting.

        :raises queue.Full: the queue is full
        :raises QueueError: as posixmq.Queue.put
        """
        self.queue.put_nowait(item, priority, pickle_protocol)

    def get_nowait(self) -> _T:
        """Remove and return an item without waiting.

        :raises queue.Empty: the queue is empty
        :raises DecodeError, QueueError: as posixmq.Queue.get
        """
        return self.queue.get_nowait()

    def close(self) -> None:
        """Close this handle; the queue and its messages stay. See mq_close(3).

        Tasks that wait on this object, in any loop, are woken and raise INVALID_DESCRIPTOR. Any
        thread and any signal handler may call this. A loop closes its own descriptor of the
        queue in its next turn.
        """
        with self._lock:
            self.queue.close()
            states, self._states = self._states, {}
        for loop, state in list(states.items()):
            try:
                loop.call_soon_threadsafe(state.close)
            except RuntimeError:  # that loop is closed
                state.release()

    def unlink(self) -> None:
        """Remove the queue's name, also after close(); see mq_unlink(3).

        :raises QueueError: as posixmq.Queue.unlink
        """
        self.queue.unlink()

    def qattr(self) -> _Attributes:
        """Return {'size': ..., 'max_size': ..., 'max_msgbytes': ...}; see mq_getattr(3).

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
        return self.queue.qattr()

    def qsize(self) -> int:
        """Return the approximate number of messages in the queue.

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
        return self.queue.qsize()

    def empty(self) -> bool:
        """Return True if the queue held no message a moment ago.

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
        return self.queue.empty()

    def full(self) -> bool:
        """Return True if the queue was full a moment ago.

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
        return self.queue.full()

    def stat(self) -> posixmq.QueueStat:
        """Return what the kernel tells about the queue, as posixmq.Queue.stat() does.

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
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
        """Return the queue itself.

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
        self.queue.__enter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close this handle."""
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
