"""Compare two builds of posixmq and sysvmq, sample by sample in turn.

    python -I benchmarks/against.py OLD [NEW]

OLD and NEW are folders that hold the packages, as `pip install --target FOLDER` or a
site-packages folder has them; without NEW it is what this interpreter has installed. In every round
each work is measured with both builds, one right after the other, and the first of the two changes
from round to round. The ratio of a round is new / old: below 1 the new build is faster. Compare a
build with itself to see how much of a difference is noise.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from figures import quartiles, slowest_tenth
from loops import Loops
from members import MEMBERS, Contender, left_out
from plan import Work, all_works
from run import choose, stop
from runner import Runner, Sample, Tools
from tables import text_table

HERE = Path(__file__).resolve().parent
WORKS = ("pair", "pingpong", "stream", "workers", "producers", "fanout")
MORE = (
    "asyncio",
    "batches",
    "paced",
    "pace",
    "growth-threads",
    "growth-tasks",
    "sizes",
    "timeouts",
)
HEADINGS = (
    *("work", "kind", "old µs", "new µs", "new / old", "quartiles"),
    *("old p90", "new p90", "of p90", "CPU"),
)
Pair = tuple[Sample, Sample]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/against.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, help="folder with the old packages")
    parser.add_argument("new", type=Path, nargs="?", help="folder with the new ones")
    parser.add_argument("--only", help=f"of {', '.join(WORKS + MORE)} (the first six unless set)")
    parser.add_argument("--kinds", help="of posixmq, sysvmq (both unless set)")
    parser.add_argument("--payloads", help="of raw, dict (both unless set)")
    parser.add_argument("--loops", default="0", help="busy loops beside it: 0, or several: 0,2,4")
    parser.add_argument("--nice", type=int, default=0, help="the niceness of these loops")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a sample")
    parser.add_argument("--json", type=Path, help="file for all samples")
    options = parser.parse_args()
    options.only = choose(parser, options.only or ",".join(WORKS), [*WORKS, *MORE])
    options.kinds = choose(parser, options.kinds, ["posixmq", "sysvmq"])
    options.payloads = choose(parser, options.payloads, ["raw", "dict"])
    options.interrupted = False
    options.loops = [int(number) for number in options.loops.split(",")]
    return options


def works_of(options: argparse.Namespace) -> Iterator[Work]:
    """Yield the chosen works with each payload; those of many people with the most alone."""
    works = [work for work in all_works(quick=False) if work.group in options.only]
    most = {work.group: work.people for work in works}
    for work in works:
        skipped = work.depth is None or work.pickled or work.test in ("import", "ready")
        if skipped or work.people not in (8, most[work.group]):
            continue
        for payload in sorted(options.payloads, reverse=True):
            name = f"{work.id.removesuffix('-raw')} {payload}"
            yield replace(work, id=name, pickled=payload == "dict")


def builds(options: argparse.Namespace, member: Contender) -> tuple[Contender, Contender]:
    """Return a contender of ours from the old and from the new folder."""
    old, new = (
        replace(member, id=f"{member.id}-{name}", channel=member.id, site=str(site.resolve()))
        if site
        else replace(member, id=f"{member.id}-{name}", channel=member.id)
        for name, site in (("old", options.old), ("new", options.new))
    )
    return old, new


class Comparison:
    """One work with one kind of queue: the pairs of samples of its rounds."""

    def __init__(self, work: Work, both: tuple[Contender, Contender], member: Contender) -> None:
        self.work, self.both, self.member = work, both, member
        self.count = 0
        self.pairs: list[Pair] = []
        self.failure = ""

    def measure(self, runner: Runner, turn: int, seconds: float) -> None:
        """Append one pair; the build that comes first changes with the turn."""
        if self.failure:
            return
        try:
            if not self.count:
                self.count = runner.pilot(self.both[1], self.work, seconds)
            first, second = self.both[:: -1 if turn % 2 else 1]
            one = runner.once(first, self.work, self.count)
            two = runner.once(second, self.work, self.count)
            self.pairs.append((two, one) if turn % 2 else (one, two))
        except RuntimeError as error:
            self.failure = str(error)

    def row(self) -> list[str]:
        old, new = ([pair[index]["wall"] for pair in self.pairs] for index in (0, 1))
        low, high = quartiles([one / two for one, two in zip(new, old, strict=True)])
        old_slow, new_slow = slowest_tenth(old), slowest_tenth(new)
        return [
            self.work.id,
            self.member.id,
            *(f"{1e6 * statistics.median(values):.2f}" for values in (old, new)),
            f"{self.ratio('wall'):.3f}",
            f"{low:.2f} - {high:.2f}",
            *(f"{1e6 * value:.2f}" for value in (old_slow, new_slow)),
            f"{new_slow / old_slow:.2f}",
            f"{self.ratio('cpu'):.3f}",
        ]

    def ratio(self, key: str) -> float:
        return statistics.median(new[key] / max(old[key], 1e-9) for old, new in self.pairs)


def compare(options: argparse.Namespace, runner: Runner, loops: int) -> list[Comparison]:
    """Measure everything beside so many loops; an interrupt ends it after what is finished."""
    comparisons = [
        Comparison(work, builds(options, member), member)
        for work in works_of(options)
        for member in MEMBERS
        if member.kind == "ours" and not member.environment
        if member.id.partition(".")[0].partition("-")[0] in options.kinds
        if not left_out(work, member)
    ]
    try:
        with Loops(loops, options.nice):
            for turn in range(options.rounds):
                for comparison in comparisons:
                    comparison.measure(runner, turn, options.seconds)
                print(f"{loops} loops: round {turn + 1} of {options.rounds}", file=sys.stderr)
    except KeyboardInterrupt:
        options.interrupted = True
    return comparisons


def show(comparisons: list[Comparison], loops: int) -> None:
    rows = [comparison.row() for comparison in comparisons if comparison.pairs]
    print(f"\n{loops} busy loops\n{text_table(HEADINGS, rows)}")
    for comparison in comparisons:
        if comparison.failure:
            print(f"{comparison.work.id}, {comparison.member.id}: {comparison.failure}")


def save(path: Path, found: dict[int, list[Comparison]]) -> None:
    samples = [
        {"loops": loops, "work": one.work.id, "kind": one.member.id, "pairs": one.pairs}
        for loops, comparisons in found.items()
        for one in comparisons
    ]
    path.write_text(json.dumps(samples, indent=1) + "\n")


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, stop)
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        runner = Runner(Tools(Path(scratch), "not used", "not used", "not used"))
        for loops in options.loops:
            found[loops] = compare(options, runner, loops)
            show(found[loops], loops)
            if options.interrupted:
                break
    if options.json:
        save(options.json, found)
    return 130 if options.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
