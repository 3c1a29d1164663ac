"""Works between processes, by asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

from contenders import Channel

from .people import People, Result, Task, result


async def echo(ready: Callable[[], int], ping: Channel, pong: Channel, item: Any) -> None:
    get, put = ping.receiver(), pong.sender()
    ready()
    while True:
        await get()
        await put(item)


async def send(ready: Callable[[], int], channel: Channel, item: Any) -> None:
    put = channel.sender()
    ready()
    while True:
        await put(item)


def async_body(ready: Callable[[], int], _: int, body: Callable[..., Any], *args: Any) -> None:
    asyncio.run(body(ready, *args))


def async_pingpong(channels: list[Channel], task: Task, item: Any) -> Result:
    async def main() -> Result:
        get, put = pong.receiver(), ping.sender()
        people.begin()
        await put(item)
        await get()
        wall, cpu = time.perf_counter(), people.cpu() + time.process_time()
        for _ in repeat(None, task["count"]):
            await put(item)
            await get()
        wall = time.perf_counter() - wall
        return result(wall, people.cpu() + time.process_time() - cpu, task["count"])

    ping, pong = channels
    people = People(1, async_body, echo, ping, pong, item)
    try:
        return asyncio.run(main())
    finally:
        people.stop()


def async_stream(channels: list[Channel], task: Task, item: Any) -> Result:
    async def main() -> Result:
        get = channels[0].receiver()
        people.begin()
        for _ in repeat(None, task["count"] // 10 + 10):
            await get()
        wall, cpu = time.perf_counter(), people.cpu() + time.process_time()
        for _ in repeat(None, task["count"]):
            await get()
        wall = time.perf_counter() - wall
        return result(wall, people.cpu() + time.process_time() - cpu, task["count"])

    people = People(1, async_body, send, channels[0], item)
    try:
        return asyncio.run(main())
    finally:
        people.stop()
