"""Workers on one queue, each with its account, and somebody who does them harm."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import accounts
from messages import END, HEAD, build

PROGRAM = Path(__file__).resolve().with_name("worker.py")
PATIENCE = 60.0  # seconds without any progress after which something must be wrong
LOOK_S = 0.004  # between two looks at the accounts, at most


def until(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds; fail with what was awaited if it does not come to hold."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"after {PATIENCE:.0f} s still not so: {what}"
        time.sleep(0.001)


@dataclass
class Worker:
    """A place in the crew: whoever fills it has the account of the predecessor."""

    command: list[str]
    account: Any
    errors: IO[str]
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0
    in_hand: int = 0  # messages at most that the killed ones had in their hands
    hands: list[range] = field(default_factory=list)  # of a producer's

    def start(self) -> None:
        """Start a process that Ctrl-C does not reach; what it complains of goes into the file."""
        self.process = subprocess.Popen(self.command, stderr=self.errors, start_new_session=True)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def is_at_work(self) -> bool:
        """Whether it runs and has opened the queue."""
        return self.is_running() and self.account.words[self.account.PID] == self.pid

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def has_failed(self) -> bool:
        return self.process is not None and self.process.poll() not in (None, 0)

    def moved(self) -> int:
        """Return how many messages it and its predecessors have moved."""
        return self.account.moved()

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """Kill it, and note what it may have had in its hand."""
        self.end()
        self.kills += 1
        if isinstance(self.account, accounts.Sent):
            self.hands.append(self.account.take_from_hand())
            self.in_hand += len(self.hands[-1])
        else:
            self.in_hand += self.account.words[self.account.HAND]


class Crew:
    """Producers and consumers on one queue."""

    def __init__(self, family: Any, address: str, folder: Path) -> None:
        self.family = family
        self.address = address
        self.folder = folder
        self.errors = open(folder / f"{family.name}-errors", "w+")  # noqa: SIM115
        self.queue = family.make(address, serializer=family.module.RawSerializer)
        self.producers: list[Worker] = []
        self.consumers: list[Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave no process and no queue behind, whatever happened."""
        for worker in self.workers:
            worker.end()
            worker.account.close()
        self.errors.close()
        self.family.let_go(self.queue)
        self.family.remove(self.address)

    @property
    def workers(self) -> list[Worker]:
        return self.producers + self.consumers

    @property
    def kills(self) -> int:
        return sum(worker.kills for worker in self.workers)

    def _command(self, role: str, path: Path, *rest: object) -> list[str]:
        place = (role, self.family.name, self.address, str(path))
        return [sys.executable, "-I", str(PROGRAM), *place, *map(str, rest)]

    def add_producer(self, ways: str = "put", lie: str = "", limit: int = 0) -> None:
        """Add one that puts that many messages, or if 0 as many as it can until it is stopped."""
        number = len(self.producers) + 1
        path = self.folder / f"{self.family.name}-producer-{number}"
        account = accounts.Sent(path, accounts.Sent.SIZE)
        command = self._command("produce", path, ways, lie, number, limit)
        self.producers.append(Worker(command, account, self.errors))

    def add_consumer(self, ways: str = "get", lie: str = "", kind: Any = accounts.Log) -> None:
        """Add one that keeps every message in mind, or that only counts with a Tally."""
        path = self.folder / f"{self.family.name}-consumer-{len(self.consumers) + 1}"
        account = kind(path, kind.SIZE)
        command = self._command("consume", path, ways, lie, kind.__name__)
        self.consumers.append(Worker(command, account, self.errors))

    def start(self) -> None:
        for worker in self.workers:
            worker.start()

    def check_health(self, *workers: Worker) -> None:
        """Fail if one has ended by itself that should not."""
        for worker in workers:
            if worker.has_failed():
                self.errors.seek(0)
                raise AssertionError(f"{worker.command} failed:\n{self.errors.read()}")

    def harm(self, fault: Callable[[Worker], None], times: int, every: int) -> None:
        """Do it to every worker so many times, in random order and at random moments of its work.

        The worker's account decides when it is due: it has moved that many messages on average since
        the fault before. So there are as many faults on a slow machine as on a fast one. At the end
        all must be at work, which those that were harmed last have to show.
        """
        for _ in range(times):
            for worker in random.sample(self.workers, len(self.workers)):
                self._until_moved(worker, random.randrange(1, 2 * every))
                fault(worker)
        for worker in self.workers:
            self._until_moved(worker, 1)

    def _until_moved(self, worker: Worker, messages: int) -> None:
        """Return once the worker is at work and has moved that many messages more."""
        stuck = StuckCheck([worker])
        due = worker.moved() + messages
        while worker.moved() < due or not worker.is_at_work():
            time.sleep(random.uniform(0, LOOK_S))
            stuck.look()
            self.check_health(*self.workers)

    def until_put(self) -> None:
        """Return once every producer has put all that it has to."""
        stuck = StuckCheck(self.workers)
        while any(worker.is_running() for worker in self.producers):
            time.sleep(LOOK_S)
            stuck.look()
            self.check_health(*self.workers)
        self.check_health(*self.producers)

    def kill_and_replace(self, worker: Worker) -> None:
        worker.kill()
        worker.start()

    def stop(self) -> None:
        """Have the producers end, if they have not, and then the consumers."""
        stuck = StuckCheck(self.workers)
        for workers in self.producers, self.consumers:
            for worker in workers:
                worker.account.words[worker.account.STOP] = 1
            while any(worker.is_running() for worker in workers):
                if workers is self.consumers:
                    self._call()
                stuck.look()
                time.sleep(0.01)
            self.check_health(*workers)

    def _call(self) -> None:
        """Wake the consumers that wait, behind all that was put."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(build(END, 0))

    def left(self) -> list[bytes]:
        """Take out what nobody got, the calls aside."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self.queue.get_nowait())
        return [message for message in found if HEAD.unpack_from(message)[2] != END]


class StuckCheck:
    """Fails when none of these workers has moved a message for too long."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers
        self._last: list[int] = []
        self._moved = time.monotonic()

    def look(self) -> None:
        progress, now = [worker.moved() for worker in self._workers], time.monotonic()
        if progress != self._last:
            self._last, self._moved = progress, now
        elif now - self._moved > PATIENCE:
            raise AssertionError(f"no message has moved for {PATIENCE:.0f} s: {progress}")


# ------------------------------------------------------------------------------- the final count


@dataclass
class Result:
    """What became of the messages."""

    messages: int
    received: int = 0
    missing: int = 0
    in_hands: int = 0  # in killed producers' hands: each was put or not, both are right
    of_them_put: int = 0
    allowed: int = 0  # how many killed consumers may have had in their hands
    doubled: int = 0
    torn: int = 0
    invented: int = 0
    disordered: int = 0
    left: int = 0
    kills: int = 0

    def __str__(self) -> str:
        return (
            f"{self.messages:,} messages, {self.kills} kills: {self.received:,} received, "
            f"{self.missing} missing ({self.allowed} may be, in killed consumers' hands), "
            f"{self.in_hands} in killed producers' hands ({self.of_them_put} of them put), "
            f"{self.doubled} doubled, {self.torn} torn, {self.disordered} out of order"
        )

    def check(self) -> None:
        """Fail unless every promise was kept."""
        wrong = (self.doubled, self.torn, self.invented, self.disordered, self.left)
        assert not any(wrong), self
        assert self.missing <= self.allowed, self


def count(crew: Crew) -> Result:
    """Compare what the consumers entered with what the producers said."""
    put = {number: worker.moved() for number, worker in enumerate(crew.producers, 1)}
    result = Result(sum(put.values()), kills=crew.kills, left=len(crew.left()))
    times = {number: bytearray(messages) for number, messages in put.items()}
    for consumer in crew.consumers:
        result.torn += consumer.account.words[accounts.Log.TORN]
        result.allowed += consumer.in_hand
        result.received += consumer.account.words[accounts.Log.COUNT]
        enter(consumer.account.records(), times, result)
    for number, producer in enumerate(crew.producers, 1):
        assert not producer.account.take_from_hand(), producer.command
        hands = set(itertools.chain(*producer.hands))
        result.in_hands += len(hands)
        result.of_them_put += sum(times[number][sequence] > 0 for sequence in hands)
        never = times[number].count(0)
        result.missing += never - sum(times[number][sequence] == 0 for sequence in hands)
    return result


def enter(records: list[tuple[int, int]], times: dict[int, bytearray], result: Result) -> None:
    """Enter one consumer's messages; those of one producer must have come in order."""
    last = dict.fromkeys(times, -1)
    for producer, sequence in records:
        if producer not in times or sequence >= len(times[producer]):
            result.invented += 1
            continue
        result.doubled += times[producer][sequence] > 0
        result.disordered += sequence < last[producer]
        last[producer] = sequence
        times[producer][sequence] = 1


# -------------------------------------------------------------------------------------- harm done


def stop_and_go(worker: Worker) -> None:
    """Stop it for a moment, wherever it is, longer than the timeouts that it waits with."""
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(random.uniform(0.001, 0.05))
    os.kill(worker.pid, signal.SIGCONT)
