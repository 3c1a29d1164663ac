"""How the tasks of an event loop wait for a queue. Only the asyncio modules import this."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable
from queue import Empty, Full
from threading import TIMEOUT_MAX
from time import monotonic
from typing import Any, TypeVar

_R = TypeVar("_R")

# After so many calls that did not have to wait, the loop's other tasks get a turn.
BURST = 64


class _Spin:
    """Decides whether a wait retries for some turns of the loop before it sleeps.

    Waking a process costs more than a few such turns. After spins that did not pay, the next
    waits sleep at once: up to a thousand waits after repeated misses. A short sleep halves the
    number of waits that are left to skip, because a spin would probably have caught it.
    """

    def __init__(self, seconds: float) -> None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.seconds = 0.0 if cpus == 1 else seconds
        self.misses = 0
        self.skip = 0

    def end(self, now: float) -> float:
        """Return the time until which a wait that begins now spins; 0 to sleep at once."""
        if self.skip > 0:
            self.skip -= 1
            return 0.0
        return now + self.seconds if self.seconds else 0.0

    def missed(self) -> None:
        """Note that a spin has ended without success."""
        self.misses = min(self.misses + 1, 10)
        self.skip = 2**self.misses - 1

    def slept(self, seconds: float) -> None:
        """Note how long a wait that did not spin has slept."""
        if seconds < 4 * self.seconds:
            self.skip //= 2


class _Waiter:
    """One waiting task. Its times are those of time.monotonic(): uvloop's clock ticks in ms."""

    __slots__ = ("deadline", "expired", "loop", "spin_end", "timer", "woken")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> None:
        self.loop = loop
        self.spin_end: float | None = None  # None until the task is the first that waits
        self.woken: asyncio.Future[None] | None = None
        self.expired = False  # the time is over: the task tries once more and then gives up
        self.timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self.deadline = monotonic() + timeout
            self.timer = loop.call_later(timeout, self.expire)

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    def expire(self) -> None:
        remaining = self.deadline - monotonic()
        if remaining > 0:  # the loop's timer was early
            self.timer = self.loop.call_later(max(remaining, 0.001), self.expire)
            return
        self.expired = True
        self.wake()


class Waiters:
    """The tasks of one event loop that wait for the same thing, served first come, first served.

    Waking a task hands it no message. The task tries by itself, without blocking, and returns
    what it received in the same step of the loop. A cancellation can only arrive at an await:
    either before the try, when nothing has left the queue, or after the caller has the item.

    Only the first task tries. When it leaves, for whatever reason, it wakes the next one, and
    the first that fails arms the wake-up again. So no wake-up is lost.

    :param arm: called when the first task has found nothing; it must make sure that wake() is
        called, in this loop's thread, as soon as a try may succeed
    :param spin_us: microseconds in which the first task retries before arm is called
    :param idle: called when the last task has left
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        arm: Callable[[], None],
        spin_us: int,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self.loop = loop
        self._idle = idle
        self.first_since = 0.0  # the time.monotonic() at which the first task became the first
        self._arm = arm
        self._spin = _Spin(spin_us * 1e-6)
        self._waiters: deque[_Waiter] = deque()
        self._calls = 0

    def is_empty(self) -> bool:
        """Return True if no task waits."""
        return not self._waiters

    def wake(self) -> None:
        """Let the first task try."""
        if self._waiters:
            self._waiters[0].wake()

    def is_free(self) -> bool:
        """Return True if a task may try at once, without waiting.

        It may not while others wait. Once in BURST calls it may not either, so that calls which
        never have to wait give the loop's other tasks a turn.
        """
        self._calls += 1
        return not self._waiters and self._calls % BURST != 0

    async def enter(self, attempt: Callable[[], _R], timeout: float | None) -> _R:
        """Try at once if that is allowed, otherwise wait; see wait().

        put and get repeat these lines, because one more coroutine in between is measurable.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self.is_free():
            try:
                return attempt()
            except (Empty, Full):
                if timeout == 0:
                    raise
        return await self.wait(attempt, timeout)

    async def send_all(
        self, remaining: list[Any], attempt: Callable[[], int], timeout: float | None
    ) -> int:
        """Repeat attempt(), which sends some of the remaining items; return how many were sent.

        Fewer than all were sent if the timeout ended it. An exception that ends it, a
        cancellation included, has their number in its attribute ``count``.

        :param timeout: seconds for all items together; None waits for ever
        :raises queue.Full: no item was sent in time
        """
        count = 0
        end = None if timeout is None else monotonic() + timeout
        try:
            while True:
                sent = await self.enter(attempt, timeout)
                count += sent
                del remaining[:sent]
                if not remaining:
                    return count
                if end is not None:
                    timeout = max(0.0, end - monotonic())
        except Full:
            if not count:
                raise
        except BaseException as error:
            error.count = count + getattr(error, "count", 0)  # type: ignore[attr-defined]
            raise
        return count

    async def wait(self, attempt: Callable[[], _R], timeout: float | None) -> _R:
        """Return what attempt() returns, as soon as it raises neither Empty nor Full.

        :param timeout: seconds; None waits for ever
        :raises queue.Empty, queue.Full: what the last attempt() in time has raised
        """
        plan = self._try_later if self._calls % BURST else self._try_next_turn
        waiter = _Waiter(self.loop, timeout)
        if not self._waiters:
            self.first_since = monotonic()
        self._waiters.append(waiter)
        try:
            while True:
                if self._waiters[0] is waiter:
                    plan(waiter)
                    plan = self._try_later
                waiter.woken = self.loop.create_future()
                await waiter.woken
                if waiter.expired or self._waiters[0] is waiter:
                    try:
                        return attempt()
                    except (Empty, Full):
                        if waiter.expired:
                            raise
        finally:
            if waiter.timer is not None:
                waiter.timer.cancel()
            self._leave(waiter)

    def _try_next_turn(self, _: _Waiter) -> None:
        self.loop.call_soon(self.wake)

    def _try_later(self, waiter: _Waiter) -> None:
        os.sched_yield()  # the partner may be waiting for this CPU
        now = monotonic()
        if waiter.spin_end is None:
            waiter.spin_end = self._spin.end(now)
        if now < waiter.spin_end:
            self.loop.call_soon(self.wake)
            return
        if waiter.spin_end:
            waiter.spin_end = 0.0
            self._spin.missed()
        self._arm()

    def _leave(self, waiter: _Waiter) -> None:
        was_first = self._waiters[0] is waiter
        self._waiters.remove(waiter)
        if not was_first:
            return
        now = monotonic()
        if waiter.spin_end:
            self._spin.misses = 0
        else:
            self._spin.slept(now - self.first_since)
        self.first_since = now
        if not self._waiters:
            if self._idle is not None:
                self._idle()
        elif not self.loop.is_closed():
            self._waiters[0].wake()


def check_timeout(timeout: float) -> None:
    """Refuse a timeout that the synchronous queues refuse.

    :param timeout: seconds, 0 or more
    :raises TypeError: the timeout is not a number
    :raises ValueError: the timeout is negative or NaN
    :raises OverflowError: the timeout is more than threading.TIMEOUT_MAX
    """
    try:
        valid = not math.isnan(timeout) and timeout >= 0
    except TypeError:
        raise TypeError(f"timeout must be a number or None, not {type(timeout)!r}") from None
    if not valid:
        raise ValueError("'timeout' must be a non-negative number")
    if timeout > TIMEOUT_MAX:
        raise OverflowError("timeout value is too large; use None to wait for ever")
