"""What a run of the test suites says in the end: read from pytest's reports, told in plain words."""

from __future__ import annotations

import ast
import getpass
import os
import platform
import shlex
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MESSAGE_WIDTH = 160


@dataclass(frozen=True)
class Failure:
    """A test that failed."""

    test: str  # as pytest takes it: file::name
    message: str
    kind: str = "failed"  # or "error", where a fixture or the import of the file failed


@dataclass
class Result:
    """How a suite ended."""

    passed_tests: int = 0
    failures: list[Failure] = field(default_factory=list)
    skips: Counter[str] = field(default_factory=Counter)  # the reason, and how many tests
    seconds: float = 0.0
    broken: str = ""  # why the suite did not come to its end

    @property
    def passed(self) -> bool:
        return not self.broken and not self.failures

    def as_pytest_says_it(self) -> str:
        """Return the counts in the form of pytest's last line."""
        failed, skipped = len(self.failures), self.skips.total()
        return f"{self.passed_tests} passed, {failed} failed, {skipped} skipped"


# ------------------------------------------------------------------------------ reading


def read_report(path: Path) -> Result:
    """Read a report that pytest wrote by --junitxml and junit_family=xunit1."""
    result = Result()
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = next((each for each in case if each.tag in ("failure", "error", "skipped")), None)
        if outcome is None:
            result.passed_tests += 1
        elif outcome.tag == "skipped":
            result.skips[one_line(outcome)] += 1
        else:
            kind = "failed" if outcome.tag == "failure" else "error"
            result.failures.append(Failure(test_of(case), one_line(outcome), kind))
    return result


def test_of(case: ElementTree.Element) -> str:
    """Return the test in the form that pytest takes."""
    file, name = case.get("file", ""), case.get("name", "")
    if not case.get("classname"):  # the file itself, which could not be imported
        return file
    module = file.removesuffix(".py").replace("/", ".")
    classes = case.get("classname", "").removeprefix(module).strip(".")
    return "::".join(part for part in (file, classes, name) if part)


def one_line(outcome: ElementTree.Element) -> str:
    """Return in one line what pytest says of an outcome."""
    message, text = outcome.get("message", ""), outcome.text or ""
    if message == "collection skipped":  # the text is a tuple of file, line and reason
        message = str(ast.literal_eval(text)[2]).removeprefix("Skipped: ")
    elif message == "collection failure":  # the text ends with the exception
        message = text.strip().splitlines()[-1].removeprefix("E").strip()
    lines = (message or text).strip().splitlines() or [""]
    told = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1].strip()}"
    return told[:MESSAGE_WIDTH]


# ------------------------------------------------------------------------------ telling


def print_summary(results: Mapping[str, Result], work: Path, again: str, seconds: float) -> None:
    """Tell in a few lines what was tested, what was skipped, and what failed."""
    print("\n" + "-" * 80)
    print(f"Tested from installed wheels with {machine()}:\n")
    for name, result in results.items():
        print(f"  {name:10} {result.as_pytest_says_it():45} {result.seconds:4.0f} s")
    for line in skipped(results):
        print(line)
    for name, result in results.items():
        for line in failed(name, result, again):
            print(line)
    passed = all(result.passed for result in results.values())
    ending = "Everything passed" if passed else "NOT everything passed"
    print(f"\n{ending}, in {duration(seconds)}. The logs are {work}/*.log", flush=True)


def machine() -> str:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    cpus = len(os.sched_getaffinity(0))
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"user {os.getuid()}"
    return f"{version} on {platform.system()} {platform.release()}, {cpus} CPUs, as {user}"


def skipped(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield a line for each reason, and the suites with the number of tests."""
    reasons: dict[str, Counter[str]] = {}
    for name, result in results.items():
        for reason, count in result.skips.items():
            reasons.setdefault(reason, Counter())[name] += count
    if reasons:
        yield "\nSkipped, and why:\n"
    for reason, counts in sorted(reasons.items(), key=lambda item: -item[1].total()):
        suites = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield f"  {counts.total():3}  {reason} ({suites})"


def failed(name: str, result: Result, again: str) -> Iterator[str]:
    """Yield what failed in a suite, where, and how to run it alone."""
    if result.broken:
        yield f"\nBROKEN  {name}: {result.broken}"
    for failure in result.failures:
        yield f"\n{failure.kind.upper()}  {failure.test}"
        yield f"        {failure.message}"
        if again:
            yield f"        Run it alone: {again} {shlex.quote(failure.test)}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
