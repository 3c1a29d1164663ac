"""The benchmark of posixmq and sysvmq against a floor in C and against their peers.

Run it by `nox -s bench`, or by `python -I benchmarks/run.py` in an environment that holds the
packages and whatever peers are to take part.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import report
from facts import facts
from members import MEMBERS
from plan import EXTRA, Work, all_works
from progress import Progress
from runner import Outcome, Runner, Tools

ORIGINAL = "ipcqueue==0.9.7"
PUBLISHED = HERE.parent / "docs" / "benchmarks"


def parse_arguments() -> argparse.Namespace:
    groups = list(dict.fromkeys(work.group for work in all_works(quick=True)))
    ids = [member.id for member in MEMBERS]
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer, shorter rounds (a minute or two)"
    )
    parser.add_argument("--only", metavar="GROUPS", help="comma-separated: " + ", ".join(groups))
    parser.add_argument("--contenders", metavar="IDS", help="comma-separated: " + ", ".join(ids))
    parser.add_argument("--rounds", type=int, help="how many times all take their turn")
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE.parent / "build" / "benchmarks",
        help="folder for tables, JSON and plots (default: build/benchmarks)",
    )
    parser.add_argument(
        "--publish", action="store_true", help="copy tables and plots to docs/benchmarks as well"
    )
    options = parser.parse_args()
    options.only = choose(parser, options.only, groups) - (set() if options.only else EXTRA)
    options.contenders = choose(parser, options.contenders, ids)
    return options


def choose(parser: argparse.ArgumentParser, text: str | None, known: list[str]) -> set[str]:
    chosen = set(text.split(",")) if text else set(known)
    if chosen - set(known):
        parser.error(
            f"unknown: {', '.join(sorted(chosen - set(known)))}; known: {', '.join(known)}"
        )
    return chosen


# What has to be made first


def compile_c(source: str, target: Path, *flags: str) -> Path | str:
    """The compiled program or module, or the reason why there is none."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return "no C compiler (cc) found"
    command = [compiler, "-std=gnu11", "-O2", *flags, "-o", str(target), str(HERE / source), "-lrt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{source} does not compile" if done.returncode else target


def make_tools(folder: Path, options: argparse.Namespace) -> Tools:
    include = f"-I{sysconfig.get_path('include')}"
    original: Path | str = "not asked for"
    if any(name.startswith("ipcqueue") for name in options.contenders):
        original = install_original(folder)
    return Tools(
        folder,
        compile_c("floor.c", folder / "floor"),
        compile_c("bound.c", folder / "bound.so", "-shared", "-fPIC", include),
        original,
    )


def install_original(folder: Path) -> Path | str:
    """The folder that holds the original ipcqueue, or the reason why there is none."""
    target = folder / "original"
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), ORIGINAL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return target
    return f"{ORIGINAL} could not be installed by pip"


# The run


def measure(works: list[Work], options: argparse.Namespace, runner: Runner) -> list[Outcome]:
    """All works that were finished, also when the run is interrupted."""
    outcomes: list[Outcome] = []
    budget = 0.03 if options.quick else 0.1
    turns = {work: rounds_of(work, options) for work in works}
    steps = {
        work: (turns[work] + 1) * len(runner.contenders(work, options.contenders, Outcome(work)))
        for work in works
    }
    with Progress(steps) as progress:
        for work in works:
            progress.begin(work)
            try:
                outcomes.append(
                    runner.run(work, options.contenders, turns[work], budget, progress.step)
                )
            except KeyboardInterrupt:
                progress.note("interrupted: the report holds what was finished")
                options.interrupted = True
                break
            progress.end(work, outcomes[-1])
    return outcomes


def rounds_of(work: Work, options: argparse.Namespace) -> int:
    if options.rounds:
        return int(options.rounds) * (4 if work.test == "import" else 1)
    if work.test == "import":
        return 10 if options.quick else 40
    if work.loops or work.base == "plain":
        return 5 if options.quick else 20
    return 3 if options.quick else 7


def write(outcomes: list[Outcome], where: dict[str, Any], folder: Path) -> list[Path]:
    """Write everything; return the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    print("\n" + report.write_tables(outcomes, where, folder))
    report.write_json(outcomes, where, folder)
    try:
        import plots
    except ImportError as error:
        print(f"no plots: {error}")
        return []
    return plots.write_plots(outcomes, folder)


def publish(paths: list[Path]) -> None:
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, PUBLISHED)


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    options = parse_arguments()
    options.interrupted = False
    signal.signal(signal.SIGTERM, stop)
    start = time.monotonic()
    works = [work for work in all_works(options.quick) if work.group in options.only]
    where = facts()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        outcomes = measure(works, options, Runner(make_tools(Path(scratch), options)))
    where["load at end"] = os.getloadavg()[0]
    if not outcomes:
        return 130
    drawn = write(outcomes, where, options.output)
    if options.publish and not options.interrupted:
        publish([*drawn, options.output / "table.md"])
    print(f"{time.monotonic() - start:.0f} s; tables, JSON and plots are in {options.output}")
    return 130 if options.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
