"""Measures one sample of one work with one contender, in an interpreter of its own.

    python -I work.py '{"contender": "posixmq", "test": "pair", "count": 1000, ...}'

Prints one line of JSON: {"wall": s, "cpu": s}, seconds a message, or {"error": words}.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from contenders import CHANNELS, Channel, Spec, fork
from plan import ITEM

TIME_LIMIT_S = 120
WARM_UP = 4  # messages a worker, before the clock runs: those that adapt have adapted by then
Result = dict[str, float]
Task = dict[str, Any]


# Time


def cpu_time(pid: int) -> float:
    """Seconds of CPU of another process: the clock that clock_getcpuclockid(3) would give."""
    return time.clock_gettime((~pid << 3) | 2)


def result(wall: float, cpu: float, count: int) -> Result:
    return {"wall": wall / count, "cpu": cpu / count}


# Other processes


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


# The works


def pair(channels: list[Channel], task: Task, item: Any) -> Result:
    get, put = channels[0].receiver(), channels[0].sender()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in repeat(None, task["count"]):
        put(item)
        get()
    return result(time.perf_counter() - wall, time.process_time() - cpu, task["count"])


def ready(channels: list[Channel], task: Task, item: Any) -> Result:
    get, put = channels[0].timed_receiver(), channels[0].sender()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in repeat(None, task["count"]):
        put(item)
        get(1.0)
    return result(time.perf_counter() - wall, time.process_time() - cpu, task["count"])


def pingpong(channels: list[Channel], task: Task, item: Any) -> Result:
    ping, pong = channels
    people = People(1, echo_body, ping, pong, item)
    get, put = pong.receiver(), ping.sender()
    people.begin()
    put(item)
    get()
    wall, cpu = time.perf_counter(), people.cpu() + time.process_time()
    for _ in repeat(None, task["count"]):
        put(item)
        get()
    wall = time.perf_counter() - wall
    cpu = people.cpu() + time.process_time() - cpu
    people.stop()
    return result(wall, cpu, task["count"])


def stream(channels: list[Channel], task: Task, item: Any) -> Result:
    """One way, from one or several producers; the first tenth warms up."""
    people = People(task["people"], sender_body, channels[0], item)
    get = channels[0].receiver()
    people.begin()
    for _ in repeat(None, task["count"] // 10 + 10):
        get()
    wall, cpu = time.perf_counter(), people.cpu() + time.process_time()
    for _ in repeat(None, task["count"]):
        get()
    wall = time.perf_counter() - wall
    cpu = people.cpu() + time.process_time() - cpu
    people.stop()
    return result(wall, cpu, task["count"])


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
    wall, cpu = time.perf_counter(), people.cpu() + time.process_time()
    for _ in repeat(None, task["count"]):
        put(item)
    wall = time.perf_counter() - wall
    cpu = people.cpu() + time.process_time() - cpu
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
    wall, cpu = time.perf_counter(), people.cpu() + time.process_time()
    count = take(receive, task["count"])
    wall = time.perf_counter() - wall
    cpu = people.cpu() + time.process_time() - cpu
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


def timeout(channels: list[Channel], task: Task, item: Any) -> Result:
    """Timeouts on an empty queue: how late they end."""
    channel, seconds, late = channels[0], task["wait"], []
    get = channel.timed_receiver()
    cpu = time.process_time()
    for _ in repeat(None, task["count"]):
        start = time.monotonic()
        try:
            get(seconds)
        except channel.empty:
            pass
        late.append(time.monotonic() - start - seconds)
    cpu = (time.process_time() - cpu) / task["count"]
    return {"wall": statistics.median(late), "cpu": cpu, "earliest": min(late), "latest": max(late)}


def pickle_only(task: Task) -> Result:
    """What pickle alone costs for the small dict."""
    dumps, loads = pickle.dumps, pickle.loads
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in repeat(None, task["count"]):
        loads(dumps(ITEM, 1))
    return result(time.perf_counter() - wall, time.process_time() - cpu, task["count"])


def loop_only(task: Task) -> Result:
    """The same with the system calls in between, all from C."""
    sys.path.insert(0, task["scratch"])
    import bound

    posix, name = task["contender"] == "loop-posix", task["name"]
    wall, cpu = time.perf_counter(), time.process_time()
    bound.run(posix, name, task["key"], task["count"], ITEM, pickle.dumps, pickle.loads)
    return result(time.perf_counter() - wall, time.process_time() - cpu, task["count"])


TESTS: dict[str, Callable[[list[Channel], Task, Any], Result]] = {
    test.__name__: test
    for test in (
        *(pair, ready, pingpong, stream, fanout, batch, workers, paced, timeout),
        *(async_pingpong, async_stream),
    )
}


# One sample


def make_channels(task: Task) -> list[Channel]:
    return [
        CHANNELS[task["channel"]](
            Spec(
                name=f"{task['name']}-{index}",
                key=task["key"] + index,
                path=f"{task['scratch']}/{index}",
                original=task["original"],
                size=task["size"],
                pickled=task["pickled"],
                depth=task["depth"],
                sender_binds=task["test"] in ("workers", "paced", "fanout"),
            )
        )
        for index in range(2 if task["test"].endswith("pingpong") else 1)
    ]


def check_site(site: str) -> None:
    """Make sure that ours came from the folder asked for."""
    for name in ("posixmq", "sysvmq"):
        module = sys.modules.get(name)
        if site and module and Path(str(module.__file__)).parents[1] != Path(site):
            raise ImportError(f"{name} is not in {site}")


def run(task: Task) -> Result:
    if task["contender"] == "pickle":
        return pickle_only(task)
    if task["contender"].startswith("loop-"):
        return loop_only(task)
    if task["site"]:
        sys.path.insert(0, task["site"])
    channels = make_channels(task)
    check_site(task["site"])
    item = ITEM if task["pickled"] else bytes(task["size"])
    try:
        return TESTS[task["test"]](channels, task, item)
    finally:
        for channel in channels:
            channel.remove()


def main() -> None:
    signal.alarm(TIME_LIMIT_S)
    try:
        answer: dict[str, Any] = dict(run(json.loads(sys.argv[1])))
    except ImportError as error:
        answer = {"error": f"cannot be imported: {type(error).__name__}: {error}"}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    os._exit(0)  # no contender's exit handlers: some wait for readers that are gone


if __name__ == "__main__":
    main()
