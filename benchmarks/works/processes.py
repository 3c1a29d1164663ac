"""Works between processes."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from typing import Any

from contenders import Channel, fork

from .people import People, Result, Task, laps, own_cpu, result

WARM_UP = 4  # messages a worker, before the clock runs: those that adapt have adapted by then


def echo_body(ready: Callable[[], int], _: int, ping: Channel, pong: Channel, item: Any) -> None:
    get, put = ping.receiver(), pong.sender()
    ready()
    while True:
        get()
        put(item)


def sender_body(ready: Callable[[], int], _: int, channel: Channel, item: Any) -> None:
    put = channel.sender()
    ready()
    while True:
        put(item)


def worker_body(
    ready: Callable[[], int], index: int, channel: Channel, received: Any, received_at: Any
) -> None:
    get, now = channel.receiver(), time.monotonic
    ready()
    while True:
        get()
        received_at[0] = now()
        received[index] += 1


def pingpong(channels: list[Channel], task: Task, item: Any) -> Result:
    ping, pong = channels
    people = People(1, echo_body, ping, pong, item)
    get, put = pong.receiver(), ping.sender()
    people.begin()
    total = 0
    put(item)
    get()
    wall, cpu = time.perf_counter(), people.cpu() + own_cpu(channels)
    for lap in laps(task):
        for _ in repeat(None, lap):
            put(item)
            get()
        total += lap
    wall = time.perf_counter() - wall
    cpu = people.cpu() + own_cpu(channels) - cpu
    people.stop()
    return result(wall, cpu, total)


def stream(channels: list[Channel], task: Task, item: Any) -> Result:
    """One way, from one or several producers; the first tenth warms up."""
    people = People(task["people"], sender_body, channels[0], item)
    get = channels[0].receiver()
    people.begin()
    total = 0
    for lap in laps(task, 0.1):
        for _ in repeat(None, lap + 10):
            get()
    wall, cpu = time.perf_counter(), people.cpu() + own_cpu(channels)
    for lap in laps(task):
        for _ in repeat(None, lap):
            get()
        total += lap
    wall = time.perf_counter() - wall
    cpu = people.cpu() + own_cpu(channels) - cpu
    people.stop()
    return result(wall, cpu, total)


def receiver_body(ready: Callable[[], int], _: int, channel: Channel) -> None:
    get = channel.receiver()
    ready()
    while True:
        get()


def fanout(channels: list[Channel], task: Task, item: Any) -> Result:
    """One way, from one producer to several consumers; the first tenth warms up."""
    people = People(task["people"], receiver_body, channels[0])
    put = channels[0].sender()
    people.begin()
    for _ in repeat(None, task["count"] // 10 + 10):
        put(item)
    wall, cpu = time.perf_counter(), people.cpu() + own_cpu(channels)
    for _ in repeat(None, task["count"]):
        put(item)
    wall = time.perf_counter() - wall
    cpu = people.cpu() + own_cpu(channels) - cpu
    people.stop()
    return result(wall, cpu, task["count"])


def batch_sender_body(ready: Callable[[], int], _: int, channel: Channel, items: Any) -> None:
    send = channel.batch_sender(items)
    ready()
    while True:
        send()


def batch(channels: list[Channel], task: Task, item: Any) -> Result:
    """One way, several messages a call; the first tenth warms up. Memory is measured apart."""
    people = People(1, batch_sender_body, channels[0], [item] * task["batch"])
    receive = channels[0].batch_receiver(task["batch"])
    people.begin()
    take(receive, task["count"] // 10 + 10)
    wall, cpu = time.perf_counter(), people.cpu() + own_cpu(channels)
    count = take(receive, task["count"])
    wall = time.perf_counter() - wall
    cpu = people.cpu() + own_cpu(channels) - cpu
    tracemalloc.start()
    receive()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    received = receive()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    people.stop()
    return {**result(wall, cpu, count), "memory": (peak - before) / received}


def take(receive: Callable[[], int], count: int) -> int:
    received = 0
    while received < count:
        received += receive()
    return received


def start_workers(channel: Channel, count: int) -> tuple[People, Any, Any]:
    received, received_at = fork.RawArray("q", count), fork.RawArray("d", 1)
    return People(count, worker_body, channel, received, received_at), received, received_at


def wait_for(received: Any, total: int, pause: float = 50e-6) -> None:
    while sum(received) < total:
        time.sleep(pause)


def workers(channels: list[Channel], task: Task, item: Any) -> Result:
    """As many messages as the workers will take; the CPU time is theirs, without the sender's."""
    people, received, received_at = start_workers(channels[0], task["people"])
    put, warm = channels[0].sender(), WARM_UP * task["people"]
    people.begin()
    for _ in repeat(None, warm):
        put(item)
    wait_for(received, warm)
    time.sleep(0.01)
    wall, cpu = time.monotonic(), people.cpu()
    for _ in repeat(None, task["count"]):
        put(item)
    wait_for(received, warm + task["count"])
    wall, cpu = received_at[0] - wall, people.cpu() - cpu
    people.stop()
    return result(wall, cpu, task["count"])


def paced(channels: list[Channel], task: Task, item: Any) -> Result:
    """One message at a time, each to workers that all sleep: from before put to after get."""
    people, received, received_at = start_workers(channels[0], task["people"])
    put, warm = channels[0].sender(), WARM_UP * task["people"]
    latencies, cpu = [], 0.0
    people.begin()
    for sent in range(warm + task["count"]):
        if sent == warm:
            cpu = people.cpu()
        start = time.monotonic()
        put(item)
        time.sleep(task["wait"])
        wait_for(received, sent + 1, task["wait"])
        latencies.append(received_at[0] - start)
    cpu = people.cpu() - cpu
    people.stop()
    return {"wall": statistics.median(latencies[warm:]), "cpu": cpu / task["count"]}
