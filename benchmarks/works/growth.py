"""Works of one process in which many threads or tasks wait for a message."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from itertools import repeat
from pathlib import Path
from typing import Any

from contenders import Channel

from .people import Result, Task, own_cpu, result


def resident() -> int:
    """Bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def allow_descriptors() -> None:
    """Some contenders need a descriptor for each waiter."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settling(people: int) -> float:
    """Seconds in which so many waiters block."""
    return 0.05 + 0.0005 * people


def growth(channels: list[Channel], task: Task, item: Any) -> Result:
    """A round trip through one of many threads, which all wait by the same receiver."""

    def echo() -> None:
        while True:
            get()
            put(item)

    ping, pong = channels
    allow_descriptors()
    get, put = ping.receiver(), pong.sender()
    ask, answer = ping.sender(), pong.receiver()
    memory = resident()
    threads = [threading.Thread(target=echo, daemon=True) for _ in range(task["people"])]
    for thread in threads:
        thread.start()
    time.sleep(settling(task["people"]))
    memory = resident() - memory
    for _ in repeat(None, task["count"] // 10 + 1):
        ask(item)
        answer()
    wall, cpu = time.perf_counter(), own_cpu(channels)
    for _ in repeat(None, task["count"]):
        ask(item)
        answer()
    wall, cpu = time.perf_counter() - wall, own_cpu(channels) - cpu
    waiting = sum(thread.is_alive() for thread in threads)
    if waiting < len(threads):
        raise RuntimeError(f"only {waiting} of {len(threads)} threads wait")
    return {**result(wall, cpu, task["count"]), "memory": memory / len(threads)}


def async_growth(channels: list[Channel], task: Task, item: Any) -> Result:
    """The same with tasks of one event loop."""

    async def echo() -> None:
        while True:
            await get()
            await put(item)

    async def main() -> Result:
        memory = resident()
        tasks = [asyncio.create_task(echo()) for _ in range(task["people"])]
        await asyncio.sleep(settling(task["people"]))
        memory = resident() - memory
        for _ in repeat(None, task["count"] // 10 + 1):
            await ask(item)
            await answer()
        wall, cpu = time.perf_counter(), own_cpu(channels)
        for _ in repeat(None, task["count"]):
            await ask(item)
            await answer()
        wall, cpu = time.perf_counter() - wall, own_cpu(channels) - cpu
        waiting = sum(not one.done() for one in tasks)
        if waiting < len(tasks):
            raise RuntimeError(f"only {waiting} of {len(tasks)} tasks wait")
        return {**result(wall, cpu, task["count"]), "memory": memory / len(tasks)}

    ping, pong = channels
    get, put = ping.receiver(), pong.sender()
    ask, answer = ping.sender(), pong.receiver()
    return asyncio.run(main())
