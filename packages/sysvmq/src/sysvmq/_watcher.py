"""How the tasks of all event loops learn of messages in a System V queue. For asyncio only."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from functools import partial
from queue import Full
from time import monotonic
from typing import Any

import sysvmq
from sysvmq._waiters import Waiters

Selection = tuple[int, bool]  # msg_type and exclude

# Where the kernel wakes nobody, tasks try again by a timer: after a quarter of the time that
# they have waited, within these limits.
SHORTEST_PAUSE_S = 0.0002
LONGEST_PAUSE_S = 0.05

# How long stop() waits for the thread to come out of the kernel, on a machine at its limits.
LONGEST_STOP_S = 1.0


class Watcher:
    """The tasks that wait for a queue in all event loops, and the thread that wakes them.

    A System V queue has no descriptor. The thread sleeps in the kernel until there is a message
    of the types that are waited for, and leaves the message there; see Queue._watch in C. It can
    watch one selection of types at a time, and the kernel reports room in a queue only to a
    process that sends. All other tasks poll by timer. The watch of a selection is over when the
    last task that waits for the selection leaves.

    Messages of no bytes are the exception, because the thread cannot help receiving them. It
    receives such a message for the tasks that wait for its selection, as if the first of them
    had received it: they find it before anything in the kernel, and nobody else finds it. When
    all of them are gone, the message goes back into the kernel.
    """

    def __init__(self, queue: sysvmq.Queue[Any]) -> None:
        self._id = queue.id
        self._spin_us = queue.spin_us
        self._waiters: dict[tuple[asyncio.AbstractEventLoop, Selection | None], Waiters] = {}
        self._most_waiters = 64
        self._begin()
        _all_watchers.add(self)

    def _begin(self) -> None:
        # Messages that the thread has received: the selection that each is for, and its type.
        self.reserved: deque[tuple[Selection, int]] = deque()
        # The types of messages that are for nobody any more and could not go back, because
        # this process may not write to the queue or because the queue is full.
        self.unclaimed: deque[int] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._handle: sysvmq.Queue[bytes] | None = None
        self._selection: Selection | None = None  # that the thread watches
        self._busy = False  # the thread is in the kernel, or has yet to say what it received
        self._ended = False

    def begin_in_child(self) -> None:
        """Begin again after a fork: the thread and what it has received are the parent's."""
        self._begin()
        for waiters in self._waiters.values():
            with contextlib.suppress(RuntimeError):  # a closed loop
                waiters.wake()  # which starts a thread of this process

    # In the loops' threads

    def waiters(self, selection: Selection | None) -> Waiters:
        """Return the running loop's tasks that wait for these types; None means for room."""
        loop = asyncio.get_running_loop()
        return self._waiters.get((loop, selection)) or self._new_waiters(loop, selection)

    def _new_waiters(self, loop: asyncio.AbstractEventLoop, selection: Selection | None) -> Waiters:
        if len(self._waiters) >= self._most_waiters:
            self._drop_waiters(loop)
        timer: asyncio.TimerHandle | None = None

        def arm() -> None:
            nonlocal timer
            if selection is not None and self._watches(selection):
                return
            if timer is None:
                waited = monotonic() - waiters.first_since
                pause = min(max(waited / 4, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                timer = loop.call_later(pause, try_again)

        def try_again() -> None:
            nonlocal timer
            timer = None
            waiters.wake()

        idle = None if selection is None else partial(self._leave, selection)
        waiters = self._waiters[loop, selection] = Waiters(loop, arm, self._spin_us, idle)
        return waiters

    def _drop_waiters(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget those without a task, but not those of other loops, which may be in use."""
        for key, waiters in list(self._waiters.items()):
            if key[0].is_closed() or (key[0] is loop and waiters.is_empty()):
                self._waiters.pop(key, None)
        self._most_waiters = max(64, 2 * len(self._waiters))

    def _watches(self, selection: Selection) -> bool:
        """Let the thread watch these types; return False if it is busy with others."""
        with self._change:
            busy = self._selection
            if busy not in (None, selection) and not self._is_awaited(busy):
                self._end_watch()
                self._wake_all(busy)  # a loop that has stopped may run again later
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
        except (OSError, RuntimeError):  # the queue is gone, or no thread may be started here
            self._ended = True
        return not self._ended

    def _leave(self, selection: Selection) -> None:
        """Note that no task of one loop waits for these types any more."""
        with self._change:
            if self._selection == selection and not self._is_awaited(selection):
                self._end_watch()
            self._settle()

    def _end_watch(self) -> None:
        handle, self._handle, self._selection = self._handle, None, None
        assert handle is not None
        # detach() lasts until the thread has come out of the kernel, and a loop must not block.
        try:
            _thread.start_new_thread(handle.detach, ())
        except RuntimeError:
            handle.detach()

    def take(self, selection: Selection) -> int:
        """Remove a message that is reserved for this selection; return its type, 0 for none."""
        with self._change:
            for message in self.reserved:
                if message[0] == selection:
                    self.reserved.remove(message)
                    return message[1]
            self._settle()
        return 0

    def matching(self, selection: Selection) -> list[int]:
        """Return the types of the unclaimed messages that match, the first to receive first."""
        msg_type, exclude = selection
        unclaimed = list(self.unclaimed)  # another thread may add to it
        if exclude:
            return [each for each in unclaimed if each != msg_type]
        if msg_type < 0:
            return sorted(each for each in unclaimed if each <= -msg_type)
        return [each for each in unclaimed if msg_type in (0, each)]

    def stop(self, give_back: bool = True) -> None:
        """End the thread and let all tasks try, one after the other. Any thread may call this.

        :param give_back: False if the queue is removed, and the received messages with it
        """
        with self._change:
            self._ended = True
            self._change.notify_all()
            handle, self._handle, self._selection = self._handle, None, None
            if not give_back:
                self.reserved.clear()
                self.unclaimed.clear()
            self._settle()
        if handle is not None:
            handle.detach()
        # Python may end after this: what the thread holds now must not be lost.
        with self._change:
            if threading.current_thread() is not self._thread:
                self._change.wait_for(lambda: not self._busy, LONGEST_STOP_S)
        self._wake_all()

    # In any thread

    def in_hand(self) -> int:
        """Return the number of messages that are here and not in the kernel."""
        return len(self.reserved) + len(self.unclaimed)

    def _is_awaited(self, selection: Selection | None) -> bool:
        """Return True if a task waits for these types in a loop that runs."""
        return any(
            wanted == selection and not waiters.is_empty() and loop.is_running()
            for (loop, wanted), waiters in list(self._waiters.items())
        )

    def _settle(self) -> None:
        """Send messages that nobody waits for to the end of the queue; see unclaimed.

        The caller holds the lock.
        """
        for message in list(self.reserved):
            if self._ended or not self._is_awaited(message[0]):
                self.reserved.remove(message)
                self.unclaimed.append(message[1])
        if not self.unclaimed:
            return
        raw: sysvmq.Queue[bytes]
        with contextlib.suppress(OSError, Full):
            raw = sysvmq.Queue.from_id(self._id, serializer=sysvmq.RawSerializer)
            with raw:
                while self.unclaimed:
                    raw.put_nowait(b"", self.unclaimed[0])
                    self.unclaimed.popleft()

    def _wake_all(self, selection: Selection | None = None) -> None:
        """Wake the first task of each selection, or of this selection, in each loop."""
        for (loop, wanted), waiters in list(self._waiters.items()):
            if selection is None or wanted == selection:
                with contextlib.suppress(RuntimeError):  # a closed loop
                    loop.call_soon_threadsafe(waiters.wake)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            handle, selection = work
            empty, failed = 0, False
            try:
                empty = handle._watch(*selection)
            except Exception:  # mostly removed or detached: tasks learn that by trying
                failed = True
            with self._change:
                if empty:
                    self.reserved.append((selection, empty))
                if handle is self._handle:  # otherwise _end_watch() has ended the watch
                    self._selection = None
                    self._ended = self._ended or failed
                self._settle()
                self._busy = False
                self._change.notify_all()
            self._wake_all(None if self._ended else selection)

    def _next(self) -> tuple[sysvmq.Queue[bytes], Selection] | None:
        """Wait for a selection to watch; return None when the thread must end."""
        with self._change:
            while self._selection is None and not self._ended:
                self._change.wait()
            if self._ended or self._handle is None or self._selection is None:
                return None
            self._busy = True
            return self._handle, self._selection


_all_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def _begin_in_child() -> None:
    for watcher in list(_all_watchers):
        watcher.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
