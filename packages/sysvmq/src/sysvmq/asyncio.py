"""System V message queues for asyncio: the calls of a synchronous Queue that wait are awaited.

>>> import asyncio
>>> from sysvmq.asyncio import Queue
>>> async def main():
...     async with Queue() as q:
...         await q.put({"hello": "world"}, msg_type=7)
...         print(await q.get(msg_type=7))
>>> asyncio.run(main())
{'hello': 'world'}

A message leaves or enters the kernel's queue in a step of the task that asked for it, never
earlier. So cancelling a task neither loses nor repeats a message. A daemon thread for each queue
only reports that a message has come; it starts when a task first waits for one. It has to receive
a message of no bytes: that one goes to the task, or to the end of the queue if no task waits any
more.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable
from functools import partial
from operator import index
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sysvmq
from sysvmq._errors import decode_error
from sysvmq._waiters import check_timeout
from sysvmq._watcher import Selection, Watcher

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sysvmq._sysvmq import _Attributes

__all__ = ["Queue"]

_T = TypeVar("_T")


class Queue(Generic[_T]):
    """A System V message queue whose put, get and receive are awaited; see sysvipc(7).

    The arguments and the errors are those of :class:`sysvmq.Queue`. The synchronous queue is
    the attribute ``queue``. Tasks of any number of event loops in any number of threads may
    share one object. Each loop serves the tasks that wait for the same types first come, first
    served.

    The event loop handles signals itself, so ``on_signal`` only affects ``queue``. ``spin_us``
    is the time in which a waiting task retries before it sleeps.

    :param key: 1 to 4294967295; 0 or None for a private queue, which is always a new one
    :param max_bytes: bytes that the messages in the queue may have together, 1 or more; None
        leaves it as it is
    :param options: the keyword-only parameters of :class:`sysvmq.Queue`
    :raises QueueError: as :class:`sysvmq.Queue`
    """

    queue: sysvmq.Queue[_T]

    def __init__(
        self, key: int | None = None, max_bytes: int | None = None, **options: Any
    ) -> None:
        self._adopt(sysvmq.Queue(key, max_bytes, **options))

    @classmethod
    def wrap(cls, queue: sysvmq.Queue[_T]) -> Self:
        """Return an awaitable queue over an open one, such as Queue.from_id().

        Closing either of the two closes both. Only close() and detach() of the awaitable queue
        wake the tasks that wait.

        :param queue: the synchronous queue
        """
        self = cls.__new__(cls)
        self._adopt(queue)
        return self

    def _adopt(self, queue: sysvmq.Queue[_T]) -> None:
        self.queue = queue
        self._watcher = Watcher(queue)
        weakref.finalize(self, self._watcher.stop)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} over {self.queue!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).wrap, (self.queue,)

    async def put(
        self,
        item: _T,
        block: bool = True,
        msg_type: int = 1,
        pickle_protocol: int = 1,
        *,
        timeout: float | None = None,
    ) -> None:
        """Put an item into the queue; see msgsnd(2).

        :param item: what the serializer takes; do not change it while put waits, because every
            try serializes it again
        :param block: False to raise queue.Full at once if the queue is full
        :param msg_type: 1 to the largest C long; receivers can select messages by it
        :param pickle_protocol: 0 to pickle.HIGHEST_PROTOCOL; for PickleSerializer only
        :param timeout: seconds to wait, 0 or more; None waits for ever; ignored if block is false
        :raises queue.Full: the queue stayed full for that time
        :raises QueueError: as sysvmq.Queue.put
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        if not block:
            return self.queue.put_nowait(item, msg_type, pickle_protocol)
        if timeout is not None:
            check_timeout(timeout)
        putters = self._watcher.waiters(None)
        if putters.is_free():
            try:
                return self.queue.put_nowait(item, msg_type, pickle_protocol)
            except Full:
                if timeout == 0:
                    raise
        attempt = partial(self.queue.put_nowait, item, msg_type, pickle_protocol)
        return await putters.wait(attempt, timeout)

    async def get(
        self,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> _T:
        """Remove and return an item; see msgrcv(2).

        :param block: False to raise queue.Empty at once if there is no such message
        :param msg_type: 0 for the oldest message, N > 0 for the oldest of type N, N < 0 for the
            oldest of the lowest type that is at most -N; within a C long
        :param timeout: seconds to wait, 0 or more; None waits for ever; ignored if block is false
        :param exclude: True for the oldest message of any type but msg_type
        :raises queue.Empty: there was no such message in that time
        :raises DecodeError: the serializer refused the message, whose bytes are in ``data``
        :raises QueueError: as sysvmq.Queue.get
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        if not block:
            return self.get_nowait(msg_type, exclude=exclude)
        if timeout is not None:
            check_timeout(timeout)
        selection = self._select(msg_type, exclude)
        getters = self._watcher.waiters(selection)
        if getters.is_free():
            try:
                return self._get_nowait(*selection)
            except Empty:
                if timeout == 0:
                    raise
        return await getters.wait(partial(self._get_nowait, *selection), timeout)

    async def receive(
        self,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> sysvmq.Message[_T]:
        """Remove a message and return it as Message(item, msg_type).

        The parameters and the errors are those of get().
        """
        selection = self._select(msg_type, exclude)
        attempt = partial(self._receive_nowait, *selection)
        if not block:
            return attempt()
        return await self._watcher.waiters(selection).enter(attempt, timeout)

    async def put_many(
        self,
        items: Iterable[_T],
        block: bool = True,
        msg_type: int = 1,
        pickle_protocol: int = 1,
        *,
        timeout: float | None = None,
    ) -> int:
        """Put items into the queue and return how many were put.

        Fewer than all are put if the timeout ends the call. An exception that ends it after some
        were put, a cancellation included, has their number in its attribute ``count``.

        :param items: what the serializer takes
        :param block: False to put only what there is room for at once
        :param msg_type: 1 to the largest C long, for all items
        :param pickle_protocol: 0 to pickle.HIGHEST_PROTOCOL; for PickleSerializer only
        :param timeout: seconds for all items together, 0 or more; None waits for ever; ignored
            if block is false
        :raises queue.Full: no item was put in time
        :raises QueueError: as sysvmq.Queue.put_many
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        remaining = list(items)

        def attempt() -> int:
            return self.queue.put_many(remaining, False, msg_type, pickle_protocol)

        if not block:
            return attempt()
        return await self._watcher.waiters(None).send_all(remaining, attempt, timeout)

    async def get_many(
        self,
        max_items: int | None = None,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> list[_T]:
        """Wait for an item and return it in a list, with the items that follow it at once.

        :param max_items: the longest list to return, 1 or more; None for as many as the queue
            holds
        :param block: False to raise queue.Empty at once if there is no such message
        :param msg_type: the messages to receive, as for get()
        :param timeout: seconds to wait, 0 or more; None waits for ever; ignored if block is false
        :param exclude: True for messages of any type but msg_type
        :raises queue.Empty: there was no such message in that time
        :raises DecodeError: the serializer refused messages; the other items are in ``items``
        :raises QueueError: as sysvmq.Queue.get_many
        :raises ValueError, OverflowError: a timeout that is negative, NaN or too large
        """
        selection = self._select(msg_type, exclude)
        attempt = partial(self._get_many_nowait, max_items, *selection)
        if not block:
            return attempt()
        return await self._watcher.waiters(selection).enter(attempt, timeout)

    def put_nowait(self, item: _T, msg_type: int = 1, pickle_protocol: int = 1) -> None:
        """Put an item into the queue without waiting.

        :raises queue.Full: the queue is full
        :raises QueueError: as sysvmq.Queue.put
        """
        self.queue.put_nowait(item, msg_type, pickle_protocol)

    def get_nowait(self, msg_type: int = 0, *, exclude: bool = False) -> _T:
        """Remove and return an item without waiting.

        :raises queue.Empty: there is no such message
        :raises DecodeError, QueueError: as sysvmq.Queue.get
        """
        return self._get_nowait(*self._select(msg_type, exclude))

    def _select(self, msg_type: int, exclude: bool) -> Selection:
        """Return the selection in one form, because tasks with equal ones wait together.

        A number that no message can have is refused by the first try.
        """
        try:
            return int(index(msg_type)), bool(exclude)
        except TypeError:
            self.queue.get_nowait(msg_type, exclude=exclude)  # raises the TypeError that it words
            raise

    # The methods below take the selection in the form that _select() returns.

    def _get_nowait(self, msg_type: int, exclude: bool) -> _T:
        if self._watcher.reserved or self._watcher.unclaimed:
            return self._receive_nowait(msg_type, exclude).item
        return self.queue.get_nowait(msg_type, exclude=exclude)

    def _receive_nowait(self, msg_type: int, exclude: bool) -> sysvmq.Message[_T]:
        if not self._watcher.in_hand():
            return self.queue.receive(False, msg_type, exclude=exclude)
        empty = self._watcher.take((msg_type, exclude))
        if empty:
            return sysvmq.Message(self._decode_empty(empty), empty)
        return self._receive_or_claim(msg_type, exclude)

    def _receive_or_claim(self, msg_type: int, exclude: bool) -> sysvmq.Message[_T]:
        """Receive from the kernel first: the unclaimed messages are younger than those there."""
        unclaimed = self._watcher.matching((msg_type, exclude))
        wanted = -unclaimed[0] if unclaimed and msg_type < 0 else msg_type
        try:
            return self.queue.receive(False, wanted, exclude=exclude)
        except Empty:
            if not unclaimed:
                raise
        empty = unclaimed[0]
        try:
            self._watcher.unclaimed.remove(empty)
        except ValueError:  # another thread has claimed it
            raise Empty from None
        return sysvmq.Message(self._decode_empty(empty), empty)

    def _get_many_nowait(self, max_items: int | None, msg_type: int, exclude: bool) -> list[_T]:
        one_is_enough = max_items is None or (isinstance(max_items, int) and max_items > 0)
        if one_is_enough and self._watcher.in_hand():
            try:
                return [self._receive_nowait(msg_type, exclude).item]
            except sysvmq.DecodeError as error:
                error.items, error.failures = [], [error]
                raise
        return self.queue.get_many(max_items, False, msg_type, exclude=exclude)

    def _decode_empty(self, msg_type: int) -> _T:
        try:
            item: _T = self.queue.serializer.loads(b"")
        except Exception as error:
            raise decode_error(repr(self.queue), error, b"", msg_type=msg_type) from error
        except BaseException as error:
            with contextlib.suppress(Exception):
                error.data, error.msg_type = b"", msg_type  # type: ignore[attr-defined]
            raise
        return item

    def close(self) -> None:
        """Remove the queue with all its messages from the kernel; see msgctl(2), IPC_RMID.

        All who wait for the queue, in any loop and any process, raise INVALID_DESCRIPTOR.

        :raises QueueError: NO_PERMISSIONS if this user may not remove it
        """
        self.queue.close()
        self._watcher.stop(give_back=False)

    def detach(self) -> None:
        """Let go of the queue, which stays in the kernel with its messages.

        Tasks that wait on this object, in any loop, are woken and raise INVALID_DESCRIPTOR.
        """
        self.queue.detach()
        self._watcher.stop()

    def qattr(self) -> _Attributes:
        """Return {'size': ..., 'max_bytes': ...}; see msgctl(2).

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed or was removed,
            NO_PERMISSIONS if this user may not read it
        """
        attributes = self.queue.qattr()
        attributes["size"] += self._watcher.in_hand()
        return attributes

    def qsize(self) -> int:
        """Return the approximate number of messages in the queue.

        :raises QueueError: as qattr()
        """
        return self.queue.qsize() + self._watcher.in_hand()

    def empty(self) -> bool:
        """Return True if the queue held no message a moment ago.

        :raises QueueError: as qattr()
        """
        return self.queue.empty() and not self._watcher.in_hand()

    def stat(self) -> sysvmq.QueueStat:
        """Return what the kernel tells about the queue, as sysvmq.Queue.stat() does.

        :raises QueueError: as qattr()
        """
        return self.queue.stat()

    @property
    def key(self) -> int:
        """The key; 0 for a private queue."""
        return self.queue.key

    @property
    def id(self) -> int:
        """The kernel's identifier, as ipcs(1) shows it."""
        return self.queue.id

    @property
    def max_bytes(self) -> int:
        """The bytes that the messages in the queue may have together."""
        return self.queue.max_bytes

    @property
    def maxmsgsize(self) -> int:
        """The longest message in bytes."""
        return self.queue.maxmsgsize

    @property
    def closed(self) -> bool:
        """True once close() or detach() was called."""
        return self.queue.closed

    async def __aenter__(self) -> Self:
        """Return the queue itself.

        :raises QueueError: INVALID_DESCRIPTOR if the queue is closed
        """
        self.queue.__enter__()
        return self

    async def __aexit__(
        self, *exc_info: type[BaseException] | BaseException | TracebackType | None
    ) -> None:
        """Detach a queue that has a key; remove a private one."""
        try:
            self.queue.__exit__(*exc_info)
        finally:
            self._watcher.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            return await self.get()
        except sysvmq.QueueError as error:
            if error.errno == sysvmq.QueueError.INVALID_DESCRIPTOR:
                raise StopAsyncIteration from None
            raise
