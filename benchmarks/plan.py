"""What is measured: every work, its parameters, and what its figures are compared with."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

ITEM = {"id": 12345, "name": "sensor-7", "value": 21.5, "ok": True}
PICKLED_SIZE = len(pickle.dumps(ITEM, 1))


@dataclass(frozen=True)
class Work:
    """One table of the report."""

    id: str
    group: str  # what --only selects, and what shares a plot
    title: str
    test: str  # the function in work.py and in floor.c
    base: str = "blocking"  # the floor that ratios refer to
    size: int = 64
    people: int = 1  # other processes
    batch: int = 1  # messages a call
    pickled: bool = False
    depth: int | None = 10  # None: each contender's own default
    wait: float = 0.0  # the timeout, or the pause between messages
    pilot: int = 200  # messages of the first, discarded sample
    item_time: float | None = None  # where the figure is not the time a message takes
    least: int = 100  # messages of a sample
    seconds: float = 0.0  # the length of a sample that ends by time, not by number
    loops: int = 0  # busy loops beside it
    nice: int = 0  # their niceness
    variants: bool = False  # ours take part without the spin, too
    x: int = 0  # its place on the horizontal axis of a plot
    remark: str = ""

    @property
    def payload(self) -> int:
        """Bytes that the kernel carries."""
        return PICKLED_SIZE if self.pickled else self.size


def system_maximum() -> int:
    """The largest message that both families take on this machine (16 MiB at most)."""
    limits = ("/proc/sys/fs/mqueue/msgsize_max", "/proc/sys/kernel/msgmax")
    return min(2**24, *(int(Path(name).read_text()) for name in limits))


def payload_sizes(quick: bool) -> list[int]:
    top = system_maximum()
    sizes = [8] if quick else [8, 64, 256, 1024, 4096, *(4**n for n in range(7, 13))]
    return [size for size in sizes if size < top] + [top]


def pair_works() -> list[Work]:
    return [
        Work("pair-raw", "pair", "put + get in one process, 64 bytes raw", "pair"),
        Work(
            "pair-dict",
            "pair",
            "put + get in one process, small dict pickled",
            "pair",
            base="bound",
            pickled=True,
        ),
    ]


def pingpong_works() -> list[Work]:
    title = "ping-pong between two processes, 64 bytes raw, one round trip"
    return [Work("pingpong", "pingpong", title, "pingpong", "spinning")]


def stream_works() -> list[Work]:
    title = "one-way stream, %s"
    return [
        Work("stream-raw", "stream", title % "64 bytes raw, depth 10", "stream", "spinning"),
        Work(
            "stream-dict",
            "stream",
            title % "small dict pickled, depth 10",
            "stream",
            "spinning",
            pickled=True,
        ),
        Work(
            "stream-own",
            "stream",
            title % "64 bytes raw, every contender at its own default depth",
            "stream",
            "spinning",
            depth=None,
        ),
    ]


def asyncio_works() -> list[Work]:
    works = []
    for test, words in (("pingpong", "ping-pong, one round trip"), ("stream", "one-way stream")):
        title = f"asyncio: {words}, 64 bytes raw, depth 10"
        works.append(Work(f"asyncio-{test}", "asyncio", title, f"async_{test}", "spinning"))
    return works


def worker_works(quick: bool) -> list[Work]:
    works = []
    for people in (1, 64) if quick else (1, 8, 64):
        title = f"{people} waiting worker{'s' * (people > 1)}, 64 bytes raw"
        common = {"people": people, "x": people, "remark": "CPU: the workers' alone"}
        works.append(Work(f"workers-{people}", "workers", f"{title}, a burst", "workers", **common))
        title += ", one message at a time: latency"
        works.append(
            Work(f"paced-{people}", "paced", title, "paced", wait=3e-4, item_time=5e-4, **common)
        )
    return sorted(works, key=lambda work: work.group != "workers")


def pace_works(quick: bool) -> list[Work]:
    """One receiver that mostly sleeps: what it costs to be woken for each message."""
    return [
        Work(
            f"pace-{milliseconds}ms",
            "pace",
            f"a message every {milliseconds} ms for one waiting receiver, 64 bytes raw: latency",
            "paced",
            wait=milliseconds / 1000,
            item_time=milliseconds / 1000,
            least=20,
            pilot=5,
            variants=True,
            x=milliseconds,
            remark="CPU: the receiver's alone",
        )
        for milliseconds in ((20,) if quick else (1, 5, 20))
    ]


def producer_works(quick: bool) -> list[Work]:
    return [
        Work(
            f"producers-{people}",
            "producers",
            f"{people} producer{'s' * (people > 1)}, one consumer, 64 bytes raw",
            "stream",
            "spinning",
            people=people,
            x=people,
        )
        for people in ((8,) if quick else (1, 2, 4, 8))
    ]


def fanout_works(quick: bool) -> list[Work]:
    return [
        Work(
            f"fanout-{people}",
            "fanout",
            f"one producer, {people} consumer{'s' * (people > 1)}, 64 bytes raw",
            "fanout",
            "spinning",
            people=people,
            x=people,
        )
        for people in ((8,) if quick else (1, 2, 4, 8))
    ]


def batch_works() -> list[Work]:
    remark = "memory: what Python had allocated at most, a message, while a batch was at hand"
    return [
        Work(
            f"batch-{size}",
            "batches",
            f"one-way stream, 64 bytes raw, in batches of {size}",
            "batch",
            "spinning",
            batch=size,
            x=size,
            remark=remark,
        )
        for size in (1, 10, 100)
    ]


def growth_works(quick: bool) -> list[Work]:
    remark = "memory: what the process had more in use (RSS) for each waiter"
    works = []
    for test, whom in (("growth", "thread"), ("async_growth", "task")):
        for people in (1, 100) if quick else (1, 10, 100, 1000):
            waiting = f"{people:,} waiting {whom}{'s' * (people > 1)}"
            works.append(
                Work(
                    f"{test.replace('_', '-')}-{people}",
                    f"growth-{whom}s",
                    f"a round trip through {waiting} of one process, 64 bytes raw",
                    test,
                    base="none",
                    people=people,
                    x=people,
                    remark=remark,
                )
            )
    return works


def busy_works(quick: bool) -> list[Work]:
    """Beside busy loops the time of a message has two modes, so the 90th percentile counts as well."""
    some, every = ((2,), (0, 2, 4)) if quick else ((2, 4), range(5))
    groups = (
        ("busy", every, 0, False),
        ("busy-nice", some, 19, False),
        ("busy-dict", every, 0, True),
    )
    return [
        busy_work(group, test, loops, nice, pickled)
        for group, numbers, nice, pickled in groups
        for test in ("pingpong", "stream")
        for loops in numbers
    ]


def busy_work(group: str, test: str, loops: int, nice: int, pickled: bool) -> Work:
    words = {"pingpong": "ping-pong, one round trip", "stream": "one-way stream"}[test]
    payload = "small dict pickled" if pickled else "64 bytes raw"
    beside = f"{loops} busy loop{'s' * (loops != 1)}" + f" at nice {nice}" * (nice > 0)
    return Work(
        f"{group}-{test}-{loops}",
        group,
        f"{words}, {payload}, beside {beside}",
        test,
        base="plain",
        pickled=pickled,
        seconds=0.5,
        loops=loops,
        nice=nice,
        variants=True,
        x=loops,
    )


def size_works(quick: bool) -> list[Work]:
    return [
        Work(
            f"size-{size}",
            "sizes",
            f"put + get in one process, {size:,} bytes raw",
            "pair",
            size=size,
            x=size,
        )
        for size in payload_sizes(quick)
    ]


def timeout_works(quick: bool) -> list[Work]:
    works = [
        Work("ready", "timeouts", "put + get(timeout=1) with a message there, raw", "ready"),
    ]
    for wait in (0.01,) if quick else (0.001, 0.01, 0.1):
        title = f"get(timeout={wait}) on an empty queue: how late it ends"
        works.append(
            Work(
                f"timeout-{1000 * wait:g}ms",
                "timeouts",
                title,
                "timeout",
                wait=wait,
                item_time=wait,
                least=3,
                pilot=2,
            )
        )
    return works


def import_works() -> list[Work]:
    title = "import in a fresh interpreter, over one that imports nothing"
    remark = "the column is the difference"
    return [Work("import", "import", title, "import", base="bare", remark=remark)]


# Measured only where --only names them: others of the report say nearly the same.
EXTRA = {"busy-dict"}


def all_works(quick: bool) -> list[Work]:
    return [
        *pair_works(),
        *pingpong_works(),
        *stream_works(),
        *asyncio_works(),
        *worker_works(quick),
        *pace_works(quick),
        *producer_works(quick),
        *fanout_works(quick),
        *batch_works(),
        *growth_works(quick),
        *busy_works(quick),
        *size_works(quick),
        *timeout_works(quick),
        *import_works(),
    ]


# What the project holds itself to: at most so many times a base, or seconds more than one.
TARGETS = (
    ("pair-raw", "blocking", 1.10),
    ("pair-dict", "bound", 1.10),
    ("pair-dict", "loop", 1.10),
    ("pingpong", "spinning", 1.50),
    ("stream-raw", "spinning", 1.30),
    ("workers-64", "blocking", 1.30),
    ("import", "bare", 0.003),
)
# Beside busy loops, at the 90th percentile: so many times the better of ours without the spin and
# the plain binding of the family.
BUSY_TARGET = 1.30
