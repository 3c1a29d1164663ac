"""Run the test suites of the three distributions from their wheels, and say how it went.

Each suite has a virtual environment of its own, with no other wheel of ours than it tests. The two
packages are tested side by side, because they share no queue; the meta-package follows, together with
what spans the packages: tests/integration, the documented examples, the tests of tools/. What
pytest prints goes to a log for each suite. This program shows how far the suites are, and closes
with a summary.

    python tools/run_tests.py --wheels DIST --work FOLDER [TEST or pytest's option ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from summary import Result, print_summary, read_report

ROOT = Path(__file__).resolve().parent.parent
PROGRESS_S = 10  # between two lines that show how far the suites are

WHEELS = "--only-binary=:all:"  # the newest Pythons then get a release that has one

TESTS_FAILED, NO_TESTS = 1, 5  # exit codes of pytest


@dataclass(frozen=True)
class Suite:
    """The tests of one distribution, or of what spans them."""

    name: str
    wheels: tuple[str, ...]
    folder: str  # whatever is named below it belongs to this suite
    paths: tuple[str, ...]
    absent: str = ""  # the sibling, which must not be importable


SUITES = {
    "posixmq": Suite(
        "posixmq",
        wheels=("posixmq",),
        folder="packages/posixmq",
        paths=("packages/posixmq/tests", "packages/posixmq/README.md"),
        absent="sysvmq",
    ),
    "sysvmq": Suite(
        "sysvmq",
        wheels=("sysvmq",),
        folder="packages/sysvmq",
        paths=("packages/sysvmq/tests", "packages/sysvmq/README.md"),
        absent="posixmq",
    ),
    "ipcqueue": Suite(
        "ipcqueue",
        wheels=("posixmq", "sysvmq", "ipcqueue"),
        folder=".",
        paths=(
            *("packages/ipcqueue-meta/tests", "packages/ipcqueue-meta/README.md"),
            *("tests/integration", "tools"),
            *("README.md", "docs/tutorial.md", "docs/kernel.md"),
            *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/howto-*.md")),
        ),
    ),
}
ROWS = [("posixmq", "sysvmq"), ("ipcqueue",)]  # the suites of a row run at the same time


class Run:
    """One suite at work: its environment, its log and its result."""

    def __init__(
        self, suite: Suite, wheels: Path, work: Path, tests: Sequence[str], options: Sequence[str]
    ) -> None:
        self.suite = suite
        self.log = work / f"{suite.name}.log"
        self.result = Result()
        self._wheels = [wheel_of(wheels, name) for name in suite.wheels]
        self._environment = work / f"{suite.name}-env"
        self._report = work / f"{suite.name}.xml"
        self._tests = tests
        self._options = options  # which may select no test of this suite

    def run(self) -> None:
        """Install the wheels and test them; what goes wrong stands in the result."""
        started = time.monotonic()
        with self.log.open("w") as log:
            try:
                self._install(log)
                self._test(log)
            except subprocess.CalledProcessError as error:
                self.result.broken = f"this command failed: {shlex.join(error.cmd)}"
            except OSError as error:
                self.result.broken = f"a command could not be started: {error}"
        self.result.seconds = time.monotonic() - started

    def progress(self) -> str:
        """Return how many of the tests have run."""
        counts = re.findall(r"\[ *(\d+)/(\d+)\]$", self._log_text(), re.MULTILINE)
        return f"{self.suite.name} {counts[-1][0]} of {counts[-1][1]}" if counts else ""

    def _install(self, log: IO[str]) -> None:
        venv.create(self._environment, clear=True, symlinks=True)
        pip = (sys.executable, "-m", "pip", "--python", self._python, "install", "-q")
        call(log, *pip, WHEELS, *requirements("test"))
        # Where one of these has no wheel for this Python, the tests that want it are skipped.
        for requirement in requirements("test-optional"):
            call(log, *pip, WHEELS, requirement, may_fail=True)
        call(log, *pip, "--no-index", *self._wheels)
        if self.suite.absent:
            look = f"from importlib import util; assert not util.find_spec({self.suite.absent!r})"
            call(log, self._python, "-I", "-c", look)

    def _test(self, log: IO[str]) -> None:
        """Run pytest far from the sources, so that only what is installed counts."""
        self._report.unlink(missing_ok=True)
        command = (
            *(self._python, "-I", "-m", "pytest", "-v", "-o", "console_output_style=count"),
            *(f"--config-file={ROOT}/pyproject.toml", f"--rootdir={ROOT}"),
            *(f"--junitxml={self._report}", "-o", "junit_family=xunit1"),
        )
        with tempfile.TemporaryDirectory() as outside:
            arguments = (*self._options, *(str(ROOT / test) for test in self._tests))
            code = call(log, *command, *arguments, cwd=outside, may_fail=True)
            seen_from = os.path.relpath(ROOT, os.path.realpath(outside))
        if self._report.exists():
            self.result = read_report(self._report)
        if code not in (0, TESTS_FAILED, NO_TESTS):
            self.result.broken = self._last_words(code, seen_from)
        elif not (self.result.passed_tests or self.result.failures or self._options):
            self.result.broken = "no test has run"

    def _last_words(self, code: int, seen_from: str) -> str:
        """Say how pytest ended, and in which test; pytest names it as seen from where it ran."""
        ending = f"exit code {code}" if code >= 0 else f"signal {-code}"
        pattern = rf"^{re.escape(seen_from)}/(\S+::\S+)"
        started = re.findall(pattern, self._log_text(), re.MULTILINE)
        return f"pytest ended with {ending}" + (f" in {started[-1]}" if started else "")

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def _python(self) -> str:
        return str(self._environment / "bin/python")


def call(log: IO[str], *command: str, cwd: str | None = None, may_fail: bool = False) -> int:
    """Run a command with its output in the log, and return its exit code."""
    done = subprocess.run(
        command,
        cwd=cwd,
        check=not may_fail,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    return done.returncode


def requirements(group: str, project: Path = ROOT / "pyproject.toml") -> list[str]:
    """Return what a dependency group asks for, together with the groups that it includes."""
    groups = tomllib.loads(project.read_text())["dependency-groups"]
    found: list[str] = []
    for entry in groups[group]:
        found += (
            [entry] if isinstance(entry, str) else requirements(entry["include-group"], project)
        )
    return found


def wheel_of(folder: Path, name: str) -> str:
    """Return the one wheel of a distribution in the folder."""
    wheels = list(folder.glob(f"{name}-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"{folder} has {len(wheels)} wheels of {name}, not one")
    return str(wheels[0])


# ------------------------------------------------------------------------------ all suites


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell the tests that are named from the options of pytest."""
    tests = [
        text
        for text in arguments
        if not text.startswith("-") and (ROOT / text.partition("::")[0]).exists()
    ]
    return tests, [text for text in arguments if text not in tests]


def suite_of(test: str) -> str:
    """Return the name of the suite that a test belongs to."""
    path = (ROOT / test.partition("::")[0]).resolve()
    return next(name for name, s in SUITES.items() if path.is_relative_to(ROOT / s.folder))


def plan(names: Sequence[str], arguments: Sequence[str], wheels: Path, work: Path) -> list[Run]:
    """Return what is to run: the suites of these names, or those of the tests that are named."""
    tests, options = split(arguments)
    runs = []
    for name in names:
        named = [test for test in tests if suite_of(test) == name]
        if named or not tests:
            runs.append(Run(SUITES[name], wheels, work, named or SUITES[name].paths, options))
    return runs


def run_together(runs: Sequence[Run]) -> None:
    """Run these suites at the same time, and show how far they are."""
    started = time.monotonic()
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = [pool.submit(run.run) for run in runs]
        print(f"{' and '.join(run.suite.name for run in runs)}: installing", flush=True)
        while wait(futures, timeout=PROGRESS_S).not_done:
            counts = ", ".join(filter(None, (run.progress() for run in runs)))
            print(f"{time.monotonic() - started:4.0f} s  {counts or 'installing'}", flush=True)
    for run, future in zip(runs, futures, strict=True):
        future.result()  # raises what run() did not expect
        print(f"{run.suite.name}: {run.result.as_pytest_says_it()}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheels", type=Path, required=True, help="the folder of the wheels")
    parser.add_argument("--work", type=Path, required=True, help="a folder for logs and more")
    parser.add_argument("--again", default="", help="the command that this program's TEST follows")
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="all by default")
    options, arguments = parser.parse_known_args()
    started = time.monotonic()
    wheels, work = options.wheels.resolve(), options.work.resolve()
    runs = plan(options.suite or list(SUITES), arguments, wheels, work)
    for row in ROWS:
        if together := [run for run in runs if run.suite.name in row]:
            run_together(together)
    results = {run.suite.name: run.result for run in runs}
    print_summary(results, work, options.again, time.monotonic() - started)
    some_passed = any(result.passed_tests for result in results.values())
    return 0 if some_passed and all(result.passed for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
