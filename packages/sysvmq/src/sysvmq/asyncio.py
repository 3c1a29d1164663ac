"""System V message queues for asyncio: what a synchronous Queue waits for is awaited here.

>>> import asyncio
>>> from sysvmq.asyncio import Queue
>>> async def main():
...     async with Queue() as q:
...         await q.put({"hello": "world"}, msg_type=7)
...         print(await q.get(msg_type=7))
>>> asyncio.run(main())
{'hello': 'world'}

A message leaves or enters the kernel's queue in a step of the task that asked for it, never
before, so that cancelling a task neither loses nor repeats one. A daemon thread, one a queue,
only tells that a message has come; it starts when a task first waits for one. A message of no
bytes it has to take: that goes to the task, or back to the end of the queue if none waits any more.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from functools import partial
from operator import index
from queue import Empty, Full
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sysvmq
from sysvmq._errors import decode_error
from sysvmq._line import Line, check_timeout

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sysvmq._sysvmq import _Attributes

__all__ = ["Queue"]

_T = TypeVar("_T")
_Selection = tuple[int, bool]  # msg_type and exclude

# Where the kernel tells nothing, tasks try again by a timer: after a quarter of the time that
# they have waited, within these limits.
SHORTEST_PAUSE_S = 0.0002
LONGEST_PAUSE_S = 0.05

LONGEST_STOP_S = 1.0  # that the thread takes to come out of the kernel, on a machine at its limits


class _Watch:
    """Who waits for a queue in all event loops, and the thread that wakes them.

    A System V queue has no descriptor. The thread sleeps in the kernel until there is a message
    of the types that are waited for, and leaves it there: see Queue._watch in C. It can watch
    one selection of types at a time, and nothing in the kernel tells that there is room again
    without sending: who is not watched over tries again by a timer. When the last of those who
    wait for a selection leaves, its watch is over.

    The exception are messages of no bytes, which the thread cannot help taking. It takes one in
    the name of those who wait for its selection, and it is theirs as if the first of them had
    received it: they find it before anything in the kernel, and nobody else finds it. Once they
    all are gone it goes back into the kernel.
    """

    def __init__(self, queue: sysvmq.Queue[Any]) -> None:
        self._id = queue.id
        self._spin_us = queue.spin_us
        self._lines: dict[tuple[asyncio.AbstractEventLoop, _Selection | None], Line] = {}
        self._most_lines = 64
        self._begin()
        _all_watches.add(self)

    def _begin(self) -> None:
        # What the thread has taken: for whom, and of which type; and the types of what is
        # nobody's any more and would not go back: we may not write, or the queue is full.
        self.reserved: deque[tuple[_Selection, int]] = deque()
        self.taken: deque[int] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._handle: sysvmq.Queue[bytes] | None = None
        self._selection: _Selection | None = None  # that the thread watches
        self._busy = False  # the thread is in the kernel, or has not yet said what it took there
        self._ended = False

    def begin_in_child(self) -> None:
        """After a fork: the thread, and what it has taken, are the parent's."""
        self._begin()
        for line in self._lines.values():
            with contextlib.suppress(RuntimeError):  # a closed loop
                line.wake()  # to have our own thread watch

    # In the loops' threads

    def line(self, selection: _Selection | None) -> Line:
        """Return the running loop's line for messages of these types; None for room."""
        loop = asyncio.get_running_loop()
        return self._lines.get((loop, selection)) or self._new_line(loop, selection)

    def _new_line(self, loop: asyncio.AbstractEventLoop, selection: _Selection | None) -> Line:
        if len(self._lines) >= self._most_lines:
            self._drop_lines(loop)
        timer: asyncio.TimerHandle | None = None

        def arm() -> None:
            nonlocal timer
            if selection is not None and self._watches(selection):
                return
            if timer is None:
                waited = monotonic() - line.first_since
                pause = min(max(waited / 4, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                timer = loop.call_later(pause, try_again)

        def try_again() -> None:
            nonlocal timer
            timer = None
            line.wake()

        idle = None if selection is None else partial(self._leave, selection)
        line = self._lines[loop, selection] = Line(loop, arm, self._spin_us, idle)
        return line

    def _drop_lines(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget lines that nobody stands in; other loops' may be about to be used."""
        for key, line in list(self._lines.items()):
            if key[0].is_closed() or (key[0] is loop and line.is_empty()):
                self._lines.pop(key, None)
        self._most_lines = max(64, 2 * len(self._lines))

    def _watches(self, selection: _Selection) -> bool:
        """Have the thread watch these types, unless it is busy with others."""
        with self._change:
            busy = self._selection
            if busy not in (None, selection) and not self._is_awaited(busy):
                self._end_watch()
                self._wake_all(busy)  # a loop that stands still may go on some day
            if self._selection is None and self._start():
                self._selection = selection
                self._change.notify_all()
            return self._selection == selection and not self._ended

    def _start(self) -> bool:
        if self._ended:
            return False
        try:
            if self._handle is None:
                self._handle = sysvmq.Queue.from_id(
                    self._id, serializer=sysvmq.RawSerializer, spin_us=0
                )
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=f"sysvmq-{self._id}", daemon=True)
                thread.start()
                self._thread = thread
        except (OSError, RuntimeError):  # the queue is gone; no thread may be started here
            self._ended = True
        return not self._ended

    def _leave(self, selection: _Selection) -> None:
        """A line for these types has become empty."""
        with self._change:
            if self._selection == selection and not self._is_awaited(selection):
                self._end_watch()
            self._settle()

    def _end_watch(self) -> None:
        handle, self._handle, self._selection = self._handle, None, None
        assert handle is not None
        try:  # detach() lasts until the thread has come out of the kernel: a loop cannot wait
            _thread.start_new_thread(handle.detach, ())
        except RuntimeError:
            handle.detach()

    def take(self, selection: _Selection) -> int:
        """Return the type of a message taken for who asks for these types; 0 for none."""
        with self._change:
            for one in self.reserved:
                if one[0] == selection:
                    self.reserved.remove(one)
                    return one[1]
            self._settle()
        return 0

    def left(self, selection: _Selection) -> list[int]:
        """Return the types of the fitting messages that are nobody's, the first to give first."""
        msg_type, exclude = selection
        taken = list(self.taken)  # another thread may add to it
        if exclude:
            return [one for one in taken if one != msg_type]
        if msg_type < 0:
            return sorted(one for one in taken if one <= -msg_type)
        return [one for one in taken if msg_type in (0, one)]

    def stop(self, give_back: bool = True) -> None:
        """End the thread and let everybody try, one after the other. In any thread."""
        with self._change:
            self._ended = True
            self._change.notify_all()
            handle, self._handle, self._selection = self._handle, None, None
            if not give_back:  # the queue is removed, and these with it
                self.reserved.clear()
                self.taken.clear()
            self._settle()
        if handle is not None:
            handle.detach()
        with self._change:  # what the thread has in hand must not be lost, as Python may end now
            if threading.current_thread() is not self._thread:
                self._change.wait_for(lambda: not self._busy, LONGEST_STOP_S)
        self._wake_all()

    # In any thread

    def in_hand(self) -> int:
        """Return the number of messages that are here and not in the kernel."""
        return len(self.reserved) + len(self.taken)

    def _is_awaited(self, selection: _Selection | None) -> bool:
        """Whether a task waits for these types in a loop that runs."""
        return any(
            wanted == selection and not line.is_empty() and loop.is_running()
            for (loop, wanted), line in list(self._lines.items())
        )

    def _settle(self) -> None:
        """Send what nobody waits for any more to the end of the queue; see taken. Locked."""
        for one in list(self.reserved):
            if self._ended or not self._is_awaited(one[0]):
                self.reserved.remove(one)
                self.taken.append(one[1])
        if not self.taken:
            return
        raw: sysvmq.Queue[bytes]
        with contextlib.suppress(OSError, Full):
            raw = sysvmq.Queue.from_id(self._id, serializer=sysvmq.RawSerializer)
            with raw:
                while self.taken:
                    raw.put_nowait(b"", self.taken[0])
                    self.taken.popleft()

    def _wake_all(self, selection: _Selection | None = None) -> None:
        """Wake the first of each line, or of the lines for these types."""
        for (loop, wanted), line in list(self._lines.items()):
            if selection is None or wanted == selection:
                with contextlib.suppress(RuntimeError):  # a closed loop
                    loop.call_soon_threadsafe(line.wake)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            handle, selection = work
            empty, failed = 0, False
            try:
                empty = handle._watch(*selection)
            except Exception:  # removed or detached, mostly: who waits finds out by trying
                failed = True
            with self._change:
                if empty:
                    self.reserved.append((selection, empty))
                if handle is self._handle:  # else _end_watch() was here, and it is no failure
                    self._selection = None
                    self._ended = self._ended or failed
                self._settle()
                self._busy = False
                self._change.notify_all()
            self._wake_all(None if self._ended else selection)

    def _next(self) -> tuple[sysvmq.Queue[bytes], _Selection] | None:
        with self._change:
            while self._selection is None and not self._ended:
                self._change.wait()
            if self._ended or self._handle is None or self._selection is None:
                return None
            self._busy = True
            return self._handle, self._selection


_all_watches: weakref.WeakSet[_Watch] = weakref.WeakSet()


def _begin_in_child() -> None:
    for watch in list(_all_watches):
        watch.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)


class Queue(Generic[_T]):
    """A System V message queue whose put, get and receive are awaited.

    The arguments are those of :class:`sysvmq.Queue`, and so are the errors; the synchronous
    queue itself is ``.queue``. Tasks of any number of event loops in any number of threads may
    share one object. In each loop those who wait for the same types are served first come,
    first served.

    ``on_signal`` concerns ``.queue`` alone: a loop handles signals itself.
    """

    queue: sysvmq.Queue[_T]

    def __init__(
        self, key: int | None = None, max_bytes: int | None = None, **options: Any
    ) -> None:
        self._adopt(sysvmq.Queue(key, max_bytes, **options))

    @classmethod
    def wrap(cls, queue: sysvmq.Queue[_T]) -> Self:
        """Return an awaitable queue over an open one, such as Queue.from_id().

        Closing either closes both; only the awaitable one's close() and detach() wake its tasks.
        """
        self = cls.__new__(cls)
        self._adopt(queue)
        return self

    def _adopt(self, queue: sysvmq.Queue[_T]) -> None:
        self.queue = queue
        self._watch = _Watch(queue)
        weakref.finalize(self, self._watch.stop)

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
        """Put item into the queue. The timeout goes by keyword only.

        :param item: what the serializer takes; do not change it while put waits, for it is
            serialized at every try
        :param block: False to raise queue.Full at once where there is no room
        :param msg_type: 1 to the largest C long; receivers can select by it
        :param pickle_protocol: for PickleSerializer only
        :param timeout: seconds to wait, None for ever; ignored if block is false
        :raises queue.Full: there was no room in time
        :raises QueueError: as sysvmq.Queue.put
        """
        if not block:
            return self.queue.put_nowait(item, msg_type, pickle_protocol)
        if timeout is not None:
            check_timeout(timeout)
        line = self._watch.line(None)
        if line.is_free():
            try:
                return self.queue.put_nowait(item, msg_type, pickle_protocol)
            except Full:
                if timeout == 0:
                    raise
        attempt = partial(self.queue.put_nowait, item, msg_type, pickle_protocol)
        return await line.stand(attempt, timeout)

    async def get(
        self,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> _T:
        """Remove and return an item. The timeout goes by keyword only.

        :param block: False to raise queue.Empty at once where there is none
        :param msg_type: 0 for the oldest message, N > 0 for the oldest of type N, N < 0 for the
            oldest of the lowest type that is at most -N
        :param timeout: seconds to wait, None for ever; ignored if block is false
        :param exclude: True for the oldest of any type but msg_type
        :raises queue.Empty: there was none in time
        :raises DecodeError: the serializer refused the message, which .data holds
        :raises QueueError: as sysvmq.Queue.get
        """
        if not block:
            return self.get_nowait(msg_type, exclude=exclude)
        if timeout is not None:
            check_timeout(timeout)
        selection = self._select(msg_type, exclude)
        line = self._watch.line(selection)
        if line.is_free():
            try:
                return self._get_nowait(*selection)
            except Empty:
                if timeout == 0:
                    raise
        return await line.stand(partial(self._get_nowait, *selection), timeout)

    async def receive(
        self,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> sysvmq.Message[_T]:
        """Remove a message and return it as Message(item, msg_type); else as get()."""
        selection = self._select(msg_type, exclude)
        attempt = partial(self._receive_nowait, *selection)
        if not block:
            return attempt()
        return await self._watch.line(selection).enter(attempt, timeout)

    async def put_many(
        self,
        items: Iterable[_T],
        block: bool = True,
        msg_type: int = 1,
        pickle_protocol: int = 1,
        *,
        timeout: float | None = None,
    ) -> int:
        """Put items into the queue and return how many went; one await for many messages.

        Fewer than all go when the time is over. An exception that comes when some have gone, and
        a cancellation is one, has their number as ``.count``.

        :raises queue.Full: not one went in time
        :raises QueueError: as sysvmq.Queue.put_many
        """
        left = list(items)
        if not block:
            return self.queue.put_many(left, False, msg_type, pickle_protocol)

        def attempt() -> int:
            return self.queue.put_many(left, False, msg_type, pickle_protocol)

        return await self._watch.line(None).send_all(left, attempt, timeout)

    async def get_many(
        self,
        max_items: int | None = None,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> list[_T]:
        """Wait for an item and return it in a list with those that are there behind it.

        :param max_items: at most so many; None for as many as the queue holds
        :raises queue.Empty: there was none in time
        :raises QueueError: as sysvmq.Queue.get_many
        """
        selection = self._select(msg_type, exclude)
        attempt = partial(self._get_many_nowait, max_items, *selection)
        if not block:
            return attempt()
        return await self._watch.line(selection).enter(attempt, timeout)

    def _get_many_nowait(self, max_items: int | None, msg_type: int, exclude: bool) -> list[_T]:
        one_is_enough = max_items is None or (isinstance(max_items, int) and max_items > 0)
        if one_is_enough and self._watch.in_hand():
            try:
                return [self._receive_nowait(msg_type, exclude).item]
            except sysvmq.DecodeError as error:
                error.items, error.failures = [], [error]
                raise
        return self.queue.get_many(max_items, False, msg_type, exclude=exclude)

    def put_nowait(self, item: _T, msg_type: int = 1, pickle_protocol: int = 1) -> None:
        """Put item into the queue, or raise queue.Full."""
        self.queue.put_nowait(item, msg_type, pickle_protocol)

    def get_nowait(self, msg_type: int = 0, *, exclude: bool = False) -> _T:
        """Remove and return an item, or raise queue.Empty."""
        return self._get_nowait(*self._select(msg_type, exclude))

    def _select(self, msg_type: int, exclude: bool) -> _Selection:
        """Return what is asked for in one form, as equal ones share a line.

        A number that no message can have is refused by the first try.
        """
        try:
            return int(index(msg_type)), bool(exclude)
        except TypeError:
            self.queue.get_nowait(msg_type, exclude=exclude)  # raises it in its own words
            raise

    # What follows takes the selection in the form that _select() returns.

    def _get_nowait(self, msg_type: int, exclude: bool) -> _T:
        if self._watch.reserved or self._watch.taken:
            return self._receive_nowait(msg_type, exclude).item
        return self.queue.get_nowait(msg_type, exclude=exclude)

    def _receive_nowait(self, msg_type: int, exclude: bool) -> sysvmq.Message[_T]:
        if not self._watch.in_hand():
            return self.queue.receive(False, msg_type, exclude=exclude)
        empty = self._watch.take((msg_type, exclude))
        if not empty:
            # What would not go back is younger than what is in the kernel.
            left = self._watch.left((msg_type, exclude))
            wanted = -left[0] if left and msg_type < 0 else msg_type
            try:
                return self.queue.receive(False, wanted, exclude=exclude)
            except Empty:
                if not left:
                    raise
                empty = left[0]
                try:
                    self._watch.taken.remove(empty)
                except ValueError:  # another thread has it
                    raise Empty from None
        return sysvmq.Message(self._decode_empty(empty), empty)

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
        """Remove the queue with all its messages from the kernel.

        Everybody who waits for it, in any loop and any process, raises INVALID_DESCRIPTOR.
        """
        self.queue.close()
        self._watch.stop(give_back=False)

    def detach(self) -> None:
        """Let go of the queue, which stays in the kernel with its messages.

        Tasks that wait on this object, in any loop, are woken and raise INVALID_DESCRIPTOR.
        """
        self.queue.detach()
        self._watch.stop()

    def qattr(self) -> _Attributes:
        """Return {'size': ..., 'max_bytes': ...}."""
        attributes = self.queue.qattr()
        attributes["size"] += self._watch.in_hand()
        return attributes

    def qsize(self) -> int:
        """Return the approximate number of messages in the queue."""
        return self.queue.qsize() + self._watch.in_hand()

    def empty(self) -> bool:
        """Return True if the queue held no message a moment ago."""
        return self.queue.empty() and not self._watch.in_hand()

    def stat(self) -> sysvmq.QueueStat:
        """Return the QueueStat of sysvmq.Queue.stat()."""
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
        self.queue.__enter__()
        return self

    async def __aexit__(
        self, *exc_info: type[BaseException] | BaseException | TracebackType | None
    ) -> None:
        try:
            self.queue.__exit__(*exc_info)  # detaches a keyed queue, removes a private one
        finally:
            self._watch.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            return await self.get()
        except sysvmq.QueueError as error:
            if error.errno == sysvmq.QueueError.INVALID_DESCRIPTOR:
                raise StopAsyncIteration from None
            raise
