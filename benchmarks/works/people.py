"""Time, and the other processes of a work."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from contenders import Channel, fork

TIME_LIMIT_S = 120
LAP = 20  # messages between two looks at the clock
Result = dict[str, float]
Task = dict[str, Any]


def cpu_time(pid: int) -> float:
    """Seconds of CPU of another process: the clock that clock_getcpuclockid(3) would give."""
    return time.clock_gettime((~pid << 3) | 2)


def own_cpu(channels: list[Channel]) -> float:
    """Seconds of CPU of this process and of the channels' servers."""
    servers = (pid for channel in channels for pid in channel.servers)
    return time.process_time() + sum(map(cpu_time, servers))


def result(wall: float, cpu: float, count: int) -> Result:
    return {"wall": wall / count, "cpu": cpu / count}


def laps(task: Task, share: float = 1.0) -> Iterator[int]:
    """Yield how many messages to move next, until the sample has its number or its time is over.

    By number it yields once, so that a loop around it costs nothing.
    """
    if not task["seconds"]:
        yield int(task["count"] * share)
        return
    end = time.perf_counter() + task["seconds"] * share
    while time.perf_counter() < end:
        yield LAP


class People:
    """Processes that open their ends, wait for the start, and run until they are stopped."""

    def __init__(self, count: int, body: Callable[..., None], *args: Any) -> None:
        self._ready = fork.Barrier(count + 1)
        self._processes = [
            fork.Process(target=self._run, args=(body, index, *args), daemon=True)
            for index in range(count)
        ]
        for process in self._processes:
            process.start()

    def _run(self, body: Callable[..., None], *args: Any) -> None:
        signal.alarm(TIME_LIMIT_S)
        body(self._ready.wait, *args)

    def begin(self) -> None:
        self._ready.wait(TIME_LIMIT_S)
        time.sleep(0.02 + 0.002 * len(self._processes))  # let them block

    def cpu(self) -> float:
        return sum(cpu_time(process.pid or 0) for process in self._processes)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
