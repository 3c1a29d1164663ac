"""How tasks wait for a queue: shared word for word by posixmq.asyncio and sysvmq.asyncio."""

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

# So many calls that need not wait follow each other before the loop's other tasks have a turn.
BURST = 64


class _Spin:
    """Whether a wait begins with some turns of the loop, in which it tries again, before it sleeps.

    To be woken costs a process more than a few such turns do. Spins that did not pay make the
    next waits go to sleep at once, up to a thousand of them; short sleeps shorten that again.
    """

    def __init__(self, seconds: float) -> None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.seconds = 0.0 if cpus == 1 else seconds
        self.misses = 0
        self.skip = 0

    def end(self, now: float) -> float:
        """Return the time until which a wait that begins now shall spin, 0 for not at all."""
        if self.skip > 0:
            self.skip -= 1
            return 0.0
        return now + self.seconds if self.seconds else 0.0

    def missed(self) -> None:
        self.misses = min(self.misses + 1, 10)
        self.skip = 2**self.misses - 1

    def slept(self, seconds: float) -> None:
        if seconds < 4 * self.seconds:
            self.skip //= 2


class _Turn:
    """The place of one task in a line. Times are time.monotonic()'s: uvloop's are of 1 ms."""

    __slots__ = ("deadline", "expired", "loop", "spin_end", "timer", "woken")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> None:
        self.loop = loop
        self.spin_end: float | None = None  # None before it was first in line
        self.woken: asyncio.Future[None] | None = None
        self.expired = False  # its time is over: one more try, and no more waiting
        self.timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self.deadline = monotonic() + timeout
            self.timer = loop.call_later(timeout, self.expire)

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    def expire(self) -> None:
        left = self.deadline - monotonic()
        if left > 0:  # the loop's timer was early
            self.timer = self.loop.call_later(max(left, 0.001), self.expire)
            return
        self.expired = True
        self.wake()


class Line:
    """The tasks of one event loop that wait for one thing, served first come, first served.

    Waking a task hands it nothing: it tries for itself, without blocking, and returns what it
    took in the same step of the loop. So a cancellation, which can only come at an await, comes
    before the try, when nothing has left the queue, or after the caller has the item. Only the
    first in line tries; whoever leaves that place, for whatever reason, wakes the next, and the
    first that fails arms the wake-up anew: so none is lost.

    :param arm: called when the first in line has found nothing; it sees to it that wake() is
        called, in this loop's thread, once a try may succeed
    :param spin_us: microseconds of the loop's turns to try in before arm is called
    :param idle: called when the last in line has left
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
        self.first_since = 0.0  # the time.monotonic() when the first in line came to be it
        self._arm = arm
        self._spin = _Spin(spin_us * 1e-6)
        self._turns: deque[_Turn] = deque()
        self._calls = 0

    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._turns

    def wake(self) -> None:
        """Let the first in line try."""
        if self._turns:
            self._turns[0].wake()

    def is_free(self) -> bool:
        """Whether a task may try at once, without standing in line.

        Nobody may who comes after others; and now and then nobody may, so that calls which need
        not wait leave the loop's other tasks their turn.
        """
        self._calls += 1
        return not self._turns and self._calls % BURST != 0

    async def enter(self, attempt: Callable[[], _R], timeout: float | None) -> _R:
        """Try at once if that is allowed, else stand in line; see stand().

        put and get have these lines in themselves: a coroutine less to pass is felt there.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self.is_free():
            try:
                return attempt()
            except (Empty, Full):
                if timeout == 0:
                    raise
        return await self.stand(attempt, timeout)

    async def send_all(
        self, left: list[Any], attempt: Callable[[], int], timeout: float | None
    ) -> int:
        """Repeat attempt(), which sends some of what is left, and return how many it sent."""
        count = 0
        end = None if timeout is None else monotonic() + timeout
        try:
            while True:
                sent = await self.enter(attempt, timeout)
                count += sent
                del left[:sent]
                if not left:
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

    async def stand(self, attempt: Callable[[], _R], timeout: float | None) -> _R:
        """Return what attempt() returns, as soon as it raises neither Empty nor Full.

        :param timeout: seconds, None for ever
        """
        plan = self._try_later if self._calls % BURST else self._try_next_turn
        turn = _Turn(self.loop, timeout)
        if not self._turns:
            self.first_since = monotonic()
        self._turns.append(turn)
        try:
            while True:
                if self._turns[0] is turn:
                    plan(turn)
                    plan = self._try_later
                turn.woken = self.loop.create_future()
                await turn.woken
                if turn.expired or self._turns[0] is turn:
                    try:
                        return attempt()
                    except (Empty, Full):
                        if turn.expired:
                            raise
        finally:
            if turn.timer is not None:
                turn.timer.cancel()
            self._leave(turn)

    def _try_next_turn(self, _: _Turn) -> None:
        self.loop.call_soon(self.wake)

    def _try_later(self, turn: _Turn) -> None:
        os.sched_yield()  # the partner may be waiting for this very CPU
        now = monotonic()
        if turn.spin_end is None:
            turn.spin_end = self._spin.end(now)
        if now < turn.spin_end:
            self.loop.call_soon(self.wake)
            return
        if turn.spin_end:
            turn.spin_end = 0.0
            self._spin.missed()
        self._arm()

    def _leave(self, turn: _Turn) -> None:
        was_first = self._turns[0] is turn
        self._turns.remove(turn)
        if not was_first:
            return
        now = monotonic()
        if turn.spin_end:
            self._spin.misses = 0
        else:
            self._spin.slept(now - self.first_since)
        self.first_since = now
        if not self._turns:
            if self._idle is not None:
                self._idle()
        elif not self.loop.is_closed():
            self._turns[0].wake()


def check_timeout(timeout: float) -> None:
    """Refuse what the synchronous queues refuse."""
    try:
        valid = not math.isnan(timeout) and timeout >= 0
    except TypeError:
        raise TypeError(f"timeout must be a number or None, not {type(timeout)!r}") from None
    if not valid:
        raise ValueError("'timeout' must be a non-negative number")
    if timeout > TIMEOUT_MAX:
        raise OverflowError("timeout value is too large; use None to wait for ever")
