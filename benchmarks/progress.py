"""Shows how far the run is: a bar on a terminal, otherwise a line a work."""

from __future__ import annotations

import sys
import time
from typing import Any

from figures import make_rows
from plan import Work
from report import short, unit_of
from runner import Outcome


def summary(work: Work, outcome: Outcome) -> str:
    """Ours and the fastest peer, in a few words."""
    unit, scale = unit_of(work)
    rows = make_rows(outcome)
    picked = [row for row in rows if row.contender.kind == "ours"]
    picked += [row for row in rows if row.contender.kind == "peer"][:1]
    return ", ".join(f"{row.contender.title} {short(row.median * scale)} {unit}" for row in picked)


class Progress:
    def __init__(self, steps: dict[Work, int]) -> None:
        """`steps`: how many samples each work takes."""
        self._steps, self._bar, self._task = steps, self._make_bar(), None
        self._count, self._start = 0, time.monotonic()

    @staticmethod
    def _make_bar() -> Any:
        """Refreshed by hand: a thread of its own would disturb the measurement."""
        if not sys.stderr.isatty():
            return None
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            return None
        columns = (BarColumn(), "{task.percentage:>3.0f}%", TimeRemainingColumn())
        words = TextColumn("{task.description}")
        return Progress(*columns, words, console=Console(stderr=True), auto_refresh=False)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=sum(self._steps.values()))
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def note(self, words: str) -> None:
        if self._bar:
            self._bar.console.print(words, highlight=False)
        else:
            print(words, file=sys.stderr, flush=True)

    def begin(self, work: Work) -> None:
        self._work = work

    def step(self, contender: str) -> None:
        if self._bar:
            self._bar.update(self._task, advance=1, description=f"{self._work.id}: {contender}")
            self._bar.refresh()

    def end(self, work: Work, outcome: Outcome) -> None:
        self._count += 1
        elapsed = time.monotonic() - self._start
        place = f"[{self._count}/{len(self._steps)}, {elapsed:4.0f} s]"
        self.note(f"{place} {work.id}: {summary(work, outcome)}")
