"""Works of one process: what a call costs."""

from __future__ import annotations

import statistics
import time
from itertools import repeat
from typing import Any

from contenders import Channel

from .people import Result, Task, own_cpu, result


def pair(channels: list[Channel], task: Task, item: Any) -> Result:
    get, put = channels[0].receiver(), channels[0].sender()
    wall, cpu = time.perf_counter(), own_cpu(channels)
    for _ in repeat(None, task["count"]):
        put(item)
        get()
    return result(time.perf_counter() - wall, own_cpu(channels) - cpu, task["count"])


def ready(channels: list[Channel], task: Task, item: Any) -> Result:
    get, put = channels[0].timed_receiver(), channels[0].sender()
    wall, cpu = time.perf_counter(), own_cpu(channels)
    for _ in repeat(None, task["count"]):
        put(item)
        get(1.0)
    return result(time.perf_counter() - wall, own_cpu(channels) - cpu, task["count"])


def timeout(channels: list[Channel], task: Task, item: Any) -> Result:
    """Timeouts on an empty queue: how late they end."""
    channel, seconds, late = channels[0], task["wait"], []
    get = channel.timed_receiver()
    cpu = own_cpu(channels)
    for _ in repeat(None, task["count"]):
        start = time.monotonic()
        try:
            get(seconds)
        except channel.empty:
            pass
        late.append(time.monotonic() - start - seconds)
    cpu = (own_cpu(channels) - cpu) / task["count"]
    return {"wall": statistics.median(late), "cpu": cpu, "earliest": min(late), "latest": max(late)}
