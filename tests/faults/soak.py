"""Move messages at full rate for as long as one likes, killing and replacing workers.

Both kinds of queue at once, each with a producer and a consumer that change their calls every
thousand. Every message is accounted for; memory and descriptors of every process are watched.
The exit status is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -I leaves it off the path

from accounts import Sent, Tally
from crew import Crew, StuckCheck, Worker
from families import FAMILIES

WARM_UP_S = 10
SAMPLE_S = 5
MOST_GROWTH_KIB = 1024  # of a process after its warm-up


def rss_kib(pid: int) -> int:
    """Return the resident memory; statm would be off by some pages a CPU."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@dataclass
class Life:
    """What a process needed, from the end of its warm-up on."""

    pid: int
    born: float
    rss: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def sample(self, now: float) -> None:
        self.seconds = now - self.born
        if self.seconds >= WARM_UP_S:
            self.rss.append(rss_kib(self.pid))
            self.descriptors.append(descriptors(self.pid))

    @property
    def growth_kib(self) -> int:
        """How much more it needs now than after its warm-up."""
        return self.rss[-1] - self.rss[0] if self.rss else 0

    @property
    def more_descriptors(self) -> int:
        return max(self.descriptors) - self.descriptors[0] if self.descriptors else 0


class Watch:
    """The lives of all processes of a crew."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._now: dict[int, Life] = {}
        self.lives: list[Life] = []

    def sample(self) -> None:
        now = time.monotonic()
        for worker in self._crew.workers:
            if not worker.is_at_work():
                continue
            if worker.pid not in self._now:
                self._now[worker.pid] = Life(worker.pid, now)
                self.lives.append(self._now[worker.pid])
            self._now[worker.pid].sample(now)


@dataclass
class Count:
    """What a crew has come to."""

    put: int
    got: int
    kills: int
    missing: int
    allowed: int
    doubled: int
    torn: int
    left: int = 0
    growth_kib: int = 0
    more_descriptors: int = 0
    longest_life: float = 0.0

    def is_right(self) -> bool:
        wrong = self.doubled or self.torn or self.left or self.more_descriptors
        return not wrong and self.missing <= self.allowed and self.growth_kib <= MOST_GROWTH_KIB

    def __str__(self) -> str:
        return (
            f"{self.put:,} put, {self.got:,} got, {self.kills} kills, {self.missing} missing "
            f"({self.allowed} may be), {self.doubled} doubled, {self.torn} torn, {self.left} left; "
            f"longest life {self.longest_life:.0f} s, most growth {self.growth_kib} KiB and "
            f"{self.more_descriptors} descriptors"
        )


def count(crew: Crew, watch: Watch) -> Count:
    (producer,), (consumer,) = crew.producers, crew.consumers
    words = consumer.account.words
    return Count(
        put=producer.account.words[Sent.DONE],
        got=words[Tally.NEXT] - words[Tally.MISSING],
        kills=crew.kills,
        missing=words[Tally.MISSING],
        allowed=producer.in_hand + consumer.in_hand,
        doubled=words[Tally.DOUBLED],
        torn=words[Tally.TORN],
        growth_kib=max((life.growth_kib for life in watch.lives), default=0),
        more_descriptors=max((life.more_descriptors for life in watch.lives), default=0),
        longest_life=max((life.seconds for life in watch.lives), default=0.0),
    )


def final_count(crew: Crew, watch: Watch) -> Count:
    """Count what is missing at the very end too, where no later message shows the gap."""
    result = count(crew, watch)
    result.left = len(crew.left())
    never_seen = (
        crew.producers[0].account.words[Sent.DONE] - crew.consumers[0].account.words[Tally.NEXT]
    )
    result.missing += max(0, never_seen)
    return result


def enlist(crew: Crew) -> None:
    crew.add_producer("put,timed,polled,many")
    crew.add_consumer("get,timed,polled,receive,into,many", kind=Tally)
    crew.start()


def may_be_killed(workers: list[Worker], is_calm: bool) -> list[Worker]:
    return [] if is_calm else [worker for worker in workers if worker.is_at_work()]


class Soak:
    """The crews, and the times at which something is done to them."""

    def __init__(self, crews: list[Crew], minutes: float, kill_every: float) -> None:
        self.crews = crews
        self.watches = [Watch(crew) for crew in crews]
        self.checks = [StuckCheck(crew.workers) for crew in crews]
        self.started = time.monotonic()
        self.end = self.started + minutes * 60
        self.kill_every = kill_every
        self.calm_s = max(60.0, 10 * kill_every)

    def is_calm(self, index: int) -> bool:
        """The crews take turns to be left alone for a while, so that some live long."""
        turn = int((time.monotonic() - self.started) // self.calm_s)
        return turn % (len(self.crews) + 1) == index

    def kill_one(self) -> None:
        crew, index = random.choice([(crew, index) for index, crew in enumerate(self.crews)])
        workers = may_be_killed(crew.workers, self.is_calm(index))
        if workers:
            crew.kill_and_replace(random.choice(workers))

    def look(self) -> None:
        for crew, watch, stuck in zip(self.crews, self.watches, self.checks, strict=True):
            watch.sample()
            stuck.look()
            crew.check_health(*crew.workers)

    def report(self, counts: list[Count]) -> None:
        seconds = time.monotonic() - self.started
        for crew, result in zip(self.crews, counts, strict=True):
            rate = result.got / seconds
            print(
                f"{seconds / 60:6.1f} min {crew.family.name}: {result}; {rate:,.0f}/s", flush=True
            )

    def counts(self) -> list[Count]:
        return [count(crew, watch) for crew, watch in zip(self.crews, self.watches, strict=True)]

    def run(self) -> bool:
        """Go on until the time is over; return whether all promises were kept."""
        now = time.monotonic()
        kill_at, sample_at, report_at = now + 1, now + SAMPLE_S, now + 60
        while now < self.end:
            time.sleep(0.05)
            now = time.monotonic()
            if now >= kill_at:
                self.kill_one()
                kill_at = now + random.uniform(0, 2 * self.kill_every)
            if now >= sample_at:
                self.look()
                sample_at = now + SAMPLE_S
            if now >= report_at:
                self.report(self.counts())
                report_at = now + 60
        return self.finish()

    def finish(self) -> bool:
        for crew in self.crews:
            crew.stop()
        counts = [
            final_count(crew, watch) for crew, watch in zip(self.crews, self.watches, strict=True)
        ]
        print("at the end")
        self.report(counts)
        return all(result.is_right() for result in counts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kill-every", type=float, default=10, metavar="SECONDS")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no queue behind
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        crews = []
        for family in FAMILIES.values():
            crews.append(stack.enter_context(Crew(family, family.new_address(), folder)))
            enlist(crews[-1])
        is_right = Soak(crews, options.minutes, options.kill_every).run()
    print("every promise was kept" if is_right else "A PROMISE WAS BROKEN")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
