"""The demo: unrelated processes count the words of this repository's documentation.

This program is the coordinator. It makes two queues and starts workers (worker.py) as fresh
interpreters that are told a queue name and a key, nothing else:

- the POSIX queue carries the jobs, each with the first part of a document: any worker takes the
  next one, and urgent jobs overtake the others by priority;
- the System V queue carries everything about a job that is under way: the workers' word counts to
  the coordinator, and further parts of the text back to the worker that asked, matched by message
  type.

Midway one worker is killed with a document in its hand. In the end all counts are compared with a
direct count, and the exit status is 1 when anything is amiss.

Example: python examples/demo/run.py (or nox -s demo, which installs what this needs)
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

try:
    from rich.progress import track

    from ipcqueue import posixmq, sysvmq
except ImportError as error:
    sys.exit(f"{error}; pip install rich, and ipcqueue as the section Install of README.md says")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DOCUMENTS = (
    "*.md",
    "LICENSE",
    ".github/*.md",
    "benchmarks/**/*.md",
    "docs/**/*.md",
    "packages/*/*.md",
)

WORKERS = 3
PARTS_TO_SEND = 12_000  # a second or two of work, however many documents there are
# A worker has one message at a time in the System V queue: a report, or the answer to it. Counts
# take less than twice the room of their text, so those of all workers fit into its usual 16384
# bytes, and no put there ever has to wait.
PART_BYTES = 2000
# So many looks in a row that find nothing are a failure. The looks are counted, not the seconds:
# this program may have been stopped (Ctrl-Z, fg), or had to wait for the processor.
LOOKS = 120
LOOK_S = 1.0  # how long a look waits

COORDINATOR = 1  # System V message types: 1 is for this program,
FIRST_NUMBER = 2  # the others are the numbers of the requests
ORDINARY, URGENT = 0, 1  # POSIX priorities
URGENT_EVERY = 10  # the job queue holds 10, so when it is first filled the urgent one is put last


class DemoError(Exception):
    """What keeps the demo from its end. The text says what it is."""


@dataclass
class Document:
    """A file of this repository, and what the workers should find in it."""

    path: str
    parts: list[str]
    words: Counter[str]


@dataclass(eq=False)
class Request:
    """One document in one round. Its number is the message type of all answers to its worker."""

    number: int
    round: int
    document: Document
    urgent: bool
    words: Counter[str] = field(default_factory=Counter)
    parts_counted: int = 0
    put_at: float = 0.0
    waited: float = 0.0

    def __str__(self) -> str:
        return f"{self.document.path} (round {self.round})"

    @property
    def is_counted(self) -> bool:
        return self.parts_counted == len(self.document.parts)

    def next_part(self) -> str:
        """Return the text to send next, empty after the last part."""
        return "".join(self.document.parts[self.parts_counted : self.parts_counted + 1])

    def add(self, words: dict[str, int]) -> None:
        """Take in the counts of one part."""
        if self.parts_counted == 0:
            self.waited = time.monotonic() - self.put_at
        self.words.update(words)
        self.parts_counted += 1


def split_text(text: str) -> list[str]:
    """Cut a text that is longer than a message into parts, never within a word."""
    parts = [""]
    size = 0
    for piece in re.findall(r"\S+\s*", text):
        size += len(piece.encode())
        if size > PART_BYTES and parts[-1]:
            parts.append("")
            size = len(piece.encode())
        parts[-1] += piece
    return parts


def read_documents() -> list[Document]:
    """Read the documentation, and count its words directly for comparison."""
    documents = []
    for path in sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        words = Counter(re.findall(r"\w+", text.lower()))
        if words:
            documents.append(Document(str(path.relative_to(ROOT)), split_text(text), words))
    return documents


def make_requests(documents: list[Document]) -> list[Request]:
    """Ask for every document as many times as it takes to keep the workers busy for a while."""
    rounds = max(2, PARTS_TO_SEND // sum(len(document.parts) for document in documents))
    todo = [(number, document) for number in range(1, rounds + 1) for document in documents]
    return [
        Request(FIRST_NUMBER + index, number, document, urgent=(index + 1) % URGENT_EVERY == 0)
        for index, (number, document) in enumerate(todo)
    ]


class Coordinator:
    """Hands out the requests, gathers the counts, and kills a worker on the way."""

    def __init__(
        self,
        jobs: posixmq.Queue[tuple[int, str] | None],
        mail: sysvmq.Queue[Any],
        requests: list[Request],
        worker: list[str],
    ) -> None:
        self.jobs = jobs
        self.mail = mail
        self.requests = {request.number: request for request in requests}
        self.waiting = deque(requests)
        self.finished: list[Request] = []
        self.lost: list[Request] = []
        self.command = worker
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.victim: int | None = None
        self.messages = 0

    def run(self) -> Iterator[Request]:
        """Yield every request when it is settled: counted, or lost with its worker."""
        self.put_jobs()
        # One worker alone has to bring the urgent job back first, though it was put last: with two
        # at work, the second could be the quicker one and blur the proof.
        self.start_worker()
        yield self.settle_one()
        for _ in range(WORKERS - 1):
            self.start_worker()
        for _ in range(len(self.requests) - 1):
            self.put_jobs()
            yield self.settle_one()
        self.send_workers_home()

    def put_jobs(self) -> None:
        """Fill the job queue, but never wait for room: workers would wait for answers meanwhile."""
        while self.waiting:
            request = self.waiting[0]
            request.put_at = time.monotonic()
            try:
                self.jobs.put_nowait(
                    (request.number, request.next_part()),
                    priority=URGENT if request.urgent else ORDINARY,
                )
            except queue.Full:
                return
            self.messages += 1
            self.waiting.popleft()

    def settle_one(self) -> Request:
        """Answer the workers until one more request is settled, and return that."""
        while True:
            request, pid = self.receive()
            if self.is_time_to_kill(request):
                self.kill(pid)
                self.lost.append(request)
                return request
            self.wait(self.mail.put, request.next_part(), msg_type=request.number)
            self.messages += 1
            if request.is_counted:
                self.finished.append(request)
                return request

    def receive(self) -> tuple[Request, int]:
        """Take in one report, and return its request and the worker's process id."""
        number, pid, words = self.wait(self.mail.get, msg_type=COORDINATOR)
        self.messages += 1
        request = self.requests[number]
        request.add(words)
        return request, pid

    def wait(self, call: Callable[..., Any], *item: Any, **choice: int) -> Any:
        """Get, put or see a worker end: none takes long while the workers are at work."""
        for _ in range(LOOKS):
            with suppress(queue.Empty, queue.Full, subprocess.TimeoutExpired):
                return call(*item, timeout=LOOK_S, **choice)
            self.check_workers()
        raise DemoError(f"nothing came from the workers in {LOOKS} looks, though they are alive")

    def check_workers(self) -> None:
        """Fail if a worker has ended by an error, or was killed by somebody else."""
        for pid, worker in self.workers.items():
            if pid != self.victim and worker.poll():
                raise DemoError(f"worker {pid} ended with exit status {worker.returncode}")

    def start_worker(self) -> None:
        """Start a fresh interpreter in a session of its own, where Ctrl-C does not reach it."""
        worker = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.workers[worker.pid] = worker

    def is_time_to_kill(self, request: Request) -> bool:
        """Tell whether this is midway, and the worker that reports certain to have work in hand.

        It is while its document has parts to come: it waits for the next, which is never sent.
        """
        midway = len(self.finished) >= len(self.requests) // 2
        return midway and self.victim is None and not request.is_counted

    def kill(self, pid: int) -> None:
        """Kill one worker without warning. The queues and the other workers must not care."""
        self.victim = pid
        os.kill(pid, signal.SIGKILL)

    def send_workers_home(self) -> None:
        """Let the workers end by themselves, the killed one aside."""
        for pid in self.workers:
            if pid != self.victim:
                self.wait(self.jobs.put, None)
        for worker in self.workers.values():
            self.wait(worker.wait)

    def kill_workers(self) -> None:
        """Leave no worker behind, whatever happened."""
        for worker in self.workers.values():
            worker.kill()
        for worker in self.workers.values():
            worker.wait()


def check(claims: dict[str, bool]) -> bool:
    """Print which claims hold, and return whether all do."""
    for claim, holds in claims.items():
        print("ok    " if holds else "FAILED", claim)
    return all(claims.values())


def check_run(run: Coordinator) -> bool:
    """Check what came out against what the documents themselves say."""
    urgent = run.requests[FIRST_NUMBER + URGENT_EVERY - 1]
    times = Counter(request.number for request in run.finished)
    expected = Counter(set(run.requests) - {request.number for request in run.lost})
    words = sum(request.words.total() for request in run.finished)
    ends = {pid: worker.returncode for pid, worker in run.workers.items()}
    due_ends = {pid: -signal.SIGKILL if pid == run.victim else 0 for pid in run.workers}
    return check(
        {
            f"urgent {urgent}, put last, finished ahead of the {URGENT_EVERY - 1} put before it": (
                run.finished[0] is urgent
            ),
            f"{len(times)} of {len(run.requests)} documents counted, each exactly once": (
                times == expected
            ),
            f"not counted: {', '.join(map(str, run.lost))}, in the hand of the killed worker": (
                len(run.lost) == 1
            ),
            f"all {words:,} words are those of a direct count, document by document": all(
                request.words == request.document.words for request in run.finished
            ),
            f"worker {run.victim} ended by SIGKILL, the other {WORKERS - 1} of their own accord": (
                run.victim in ends and ends == due_ends
            ),
            "both queues are empty": run.jobs.empty() and run.mail.empty(),
        }
    )


def report_rates(run: Coordinator, seconds: float) -> None:
    """Print how fast it went."""
    documents = len(run.finished)
    print(
        f"{documents:,} documents and {run.messages:,} messages in {seconds:.2f} s: "
        f"{documents / seconds:,.0f} documents/s, {run.messages / seconds:,.0f} messages/s"
    )
    for kind, urgent in ("urgent", True), ("ordinary", False):
        waits = [request.waited for request in run.finished if request.urgent is urgent]
        print(
            f"from put to first report, {kind}: {statistics.median(waits) * 1000:.2f} ms (median)"
        )


def run_demo(requests: list[Request], name: str, key: int) -> bool:
    """Make the queues, do the work, check it; remove the queues whatever happens."""
    with ExitStack() as stack:
        jobs = stack.enter_context(posixmq.Queue(name, maxmsgsize=8192, exclusive=True))
        stack.callback(jobs.unlink)
        # retry: stopping and resuming this program (Ctrl-Z, fg) is no reason to give up a wait.
        mail = sysvmq.Queue(key, exclusive=True, on_signal="retry")
        stack.callback(mail.close)  # which removes it from the kernel

        worker = [sys.executable, "-I", str(HERE / "worker.py"), name, str(key)]
        run = Coordinator(jobs, mail, requests, worker)
        stack.callback(run.kill_workers)

        started = time.monotonic()
        on_terminal = sys.stdout.isatty()
        for request in track(run.run(), "counting", len(requests), disable=not on_terminal):
            if request in run.lost:
                print(f"killed worker {run.victim} with {request} in its hand")
        seconds = time.monotonic() - started
        passed = check_run(run)
        report_rates(run, seconds)
        return passed


def is_gone(join: Callable[[], object]) -> bool:
    """Tell whether the queue that is to be joined does not exist any more."""
    try:
        join()
    except (posixmq.QueueError, sysvmq.QueueError) as error:
        return error.errno == error.DOES_NOT_EXIST
    return False


def check_queues_are_gone(name: str, key: int) -> bool:
    """Check that nothing of this run is left in the kernel."""
    return check(
        {
            "both queues are removed": is_gone(lambda: posixmq.Queue(name, create=False))
            and is_gone(lambda: sysvmq.Queue(key, create=False))
        }
    )


def main() -> int:
    """Run the demo and return its exit status."""
    argparse.ArgumentParser(usage=f"%(prog)s\n\n{__doc__}").parse_args()
    # A request to end, or a terminal that closes, should clean up just as Ctrl-C does.
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    documents = read_documents()
    requests = make_requests(documents)
    name = f"/ipcqueue-demo-{os.getpid()}-{secrets.token_hex(4)}"
    key = 1 + secrets.randbelow(2**31 - 1)
    print(
        f"{len(documents)} documents of this repository in {requests[-1].round} rounds, "
        f"counted by {WORKERS} processes\n"
        f"POSIX queue {name}, System V queue with key {key:#x}"
    )
    try:
        passed = run_demo(requests, name, key)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    except (DemoError, posixmq.QueueError, sysvmq.QueueError) as error:
        print("FAILED", error)
        passed = False
    return 0 if check_queues_are_gone(name, key) and passed else 1


if __name__ == "__main__":
    sys.exit(main())
