"""Runs the samples: one process group each, contenders in turn, and nothing left behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loops import Loops
from members import (
    BARE,
    EVERYONE,
    FAMILIES,
    MEMBERS,
    Contender,
    floors_of,
    left_out,
    refusal,
)
from plan import Work

HERE = Path(__file__).resolve().parent
TIME_LIMIT_S = 90
Sample = dict[str, float]


@dataclass
class Outcome:
    """What one work gave: samples by contender and round, and reasons for what is missing."""

    work: Work
    samples: dict[str, list[Sample | None]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """What was made for this run: paths, or words that say why there is none."""

    scratch: Path
    floor: Path | str
    bound: Path | str
    original: Path | str

    def lack(self, contender: Contender) -> str | None:
        """The reason why the contender has not what it needs."""
        needs = {"c": self.floor, "loop": self.bound, "ipcqueue": self.original}
        tool = needs.get(contender.id.partition("-")[0])
        return tool if isinstance(tool, str) else None


class Runner:
    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    # One sample

    def _floor_command(self, contender: Contender, work: Work, count: int, ids: Any) -> list[str]:
        _, family, mode = contender.id.split("-")
        test = {"ready": "pair", "batch": "stream"}.get(work.test, work.test)
        test = test.removeprefix("async_")
        numbers = (ids["key"], count, work.payload, work.people, work.wait)
        return [str(self.tools.floor), test, family, mode, ids["name"], *map(str, numbers)]

    def _python_command(self, contender: Contender, work: Work, count: int, ids: Any) -> list[str]:
        task = {
            **ids,
            "contender": contender.id,
            "channel": contender.channel or contender.id,
            "site": contender.site,
            "test": work.test,
            "count": count,
            "size": work.size,
            "people": work.people,
            "batch": work.batch,
            "pickled": work.pickled,
            "depth": work.depth,
            "wait": work.wait,
            "seconds": work.seconds,
            "scratch": str(self.tools.scratch),
            "original": str(self.tools.original),
        }
        return [sys.executable, "-I", str(HERE / "work.py"), json.dumps(task)]

    def _remove_leftovers(self, ids: Any) -> None:
        if isinstance(self.tools.floor, Path):
            subprocess.run([self.tools.floor, "remove", ids["name"], str(ids["key"])], check=False)

    def sample(self, contender: Contender, work: Work, count: int) -> Sample:
        """Raises RuntimeError with the reason when there is no figure."""
        ids = {
            "name": f"/bench-{os.getpid()}-{secrets.token_hex(4)}",
            "key": secrets.randbelow(2**30) + 1,
        }
        on_c = contender.id.startswith("c-")
        command = self._floor_command if on_c else self._python_command
        try:
            return self._answer(
                self._run(command(contender, work, count, ids), dict(contender.environment))
            )
        except BaseException:
            self._remove_leftovers(ids)
            raise
        finally:
            for path in Path("/dev/shm").glob(f"*{ids['name'][1:]}*"):  # what rings leave
                path.unlink(missing_ok=True)

    def _run(
        self, command: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run in a process group of its own, which dies whole when the time is over or we are stopped.

        The session stays ours: where the scheduler groups processes by session (autogroup), busy
        loops of another session would take no time from the sample's.
        """
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            env={**os.environ, "TMPDIR": str(self.tools.scratch), **environment},
        )
        try:
            out, err = process.communicate(timeout=TIME_LIMIT_S)
        except BaseException as error:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise RuntimeError(f"did not end within {TIME_LIMIT_S} s") from None
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    @staticmethod
    def _answer(done: subprocess.CompletedProcess[str]) -> Sample:
        if done.returncode or not done.stdout:
            words = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise RuntimeError(words[0])
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _import_sample(self, contender: Contender) -> Sample:
        code = "pass"
        if contender.id.startswith("ipcqueue"):
            code += f"; import sys; sys.path.insert(0, {str(self.tools.original)!r})"
        if contender is not BARE:
            code += f"; {contender.adapter.code}"
        errors = self.tools.scratch / "errors"
        to_file = (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        command = [sys.executable, "-I", "-c", code]
        start = time.perf_counter()
        pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=[to_file])
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        if status:
            words = errors.read_text().strip().splitlines()[-1:]
            raise RuntimeError("cannot be imported: " + "".join(words))
        return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime}

    # One work

    def contenders(self, work: Work, wanted: set[str], outcome: Outcome) -> list[Contender]:
        """Who takes part; the reasons of the others go into the outcome."""
        members = [one for one in MEMBERS if one.id in wanted and not left_out(work, one)]
        reasons = {one.id: self.tools.lack(one) for one in [*floors_of(work), *members]}
        for one in members:
            reasons[one.id] = reasons[one.id] or refusal(work, one)
        outcome.missing.update({key: words for key, words in reasons.items() if words})
        return [EVERYONE[key] for key, words in reasons.items() if not words]

    def once(self, contender: Contender, work: Work, count: int) -> Sample:
        if work.test == "import":
            return self._import_sample(contender)
        try:
            return self.sample(contender, work, count)
        except RuntimeError as error:
            if str(error).startswith(("cannot be imported", "not available")):
                raise
            time.sleep(0.5)  # the kernel's room for queues is shared: try once more
            return self.sample(contender, work, count)

    def pilot(self, contender: Contender, work: Work, budget: float) -> int:
        """How many messages fill a sample."""
        first = self.once(contender, work, work.pilot)
        return int(
            min(500_000, max(work.least, budget / (work.item_time or max(first["wall"], 1e-7))))
        )

    def run(
        self,
        work: Work,
        wanted: set[str],
        rounds: int,
        budget: float,
        step: Callable[[str], None],
    ) -> Outcome:
        outcome = Outcome(work)
        with Loops(work.loops, work.nice):
            self._measure(outcome, wanted, rounds, budget, step)
        add_bounds(outcome)
        return outcome

    def _measure(
        self,
        outcome: Outcome,
        wanted: set[str],
        rounds: int,
        budget: float,
        step: Callable[[str], None],
    ) -> None:
        work, counts = outcome.work, {}
        for contender in self.contenders(work, wanted, outcome):
            step(contender.title)
            try:
                counts[contender] = self.pilot(contender, work, budget)
                outcome.samples[contender.id] = []
            except RuntimeError as error:
                outcome.missing[contender.id] = str(error)
        for turn in range(rounds):
            order = list(counts)
            for contender in order[turn % len(order) :] + order[: turn % len(order)]:
                step(contender.title)
                self._append(outcome, contender, counts[contender])

    def _append(self, outcome: Outcome, contender: Contender, count: int) -> None:
        try:
            sample: Sample | None = self.once(contender, outcome.work, count)
        except RuntimeError as error:
            sample = None
            outcome.missing[contender.id] = f"some rounds failed: {error}"
        outcome.samples[contender.id].append(sample)


def add_bounds(outcome: Outcome) -> None:
    """The bound of a pickled pair: the C floor and pickle itself, round by round."""
    if outcome.work.base != "bound":
        return
    pickle = outcome.samples.get("pickle", [])
    for family in FAMILIES:
        floor = outcome.samples.get(f"c-{family}-blocking", [])
        outcome.samples[f"bound-{family}"] = [
            {key: one[key] + two[key] for key in ("wall", "cpu")} if one and two else None
            for one, two in zip(floor, pickle, strict=False)
        ]
