"""Compare the lines of the C that no test reaches with the list of those that may be left out.

    python tools/uncovered.py FOLDER...

Each FOLDER is where a package was built for gcov and where the tests have left its counts. gcovr reads
them; tools/uncovered.txt is the list.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

LIST = Path(__file__).resolve().with_name("uncovered.txt")
LEAST = 95  # per cent of each file
POLLS = r".*/sleep_poll\.c"  # Linux has it and does not use it; nox -s portable tests it


class Line(NamedTuple):
    """A line as the list names it: numbers would change with every edit."""

    function: str
    code: str


@dataclass(frozen=True)
class Reached:
    """A line of a file, and whether a test reaches it."""

    number: int
    line: Line
    reached: bool


def read_list(text: str) -> set[Line]:
    """Return the lines that the list explains: function | line | reason."""
    rows = [row.split(" | ") for row in text.splitlines() if not row.startswith("#")]
    return {Line(*row[:2]) for row in rows if len(row) == 3}


def read_report(source: Path) -> dict[str, list[Reached]]:
    """Let gcovr count, show what it says, and return the lines of each file."""
    report = source.with_suffix(".json").resolve()
    options = ["--root", ".", "--exclude", POLLS, "--txt", "-", "--json", str(report)]
    subprocess.run(["gcovr", *options], cwd=source, check=True)
    files = json.loads(report.read_text())["files"]
    return {file["file"]: list(lines_of(source, file)) for file in files}


def lines_of(source: Path, file: dict[str, Any]) -> Iterator[Reached]:
    """Yield what gcovr says of each line of a file."""
    text = (source / file["file"]).read_text().splitlines()
    for entry in file["lines"]:
        number = entry["line_number"]
        line = Line(entry.get("function_name", ""), text[number - 1].strip())
        yield Reached(number, line, bool(entry["count"]))


def unexplained(files: dict[str, list[Reached]], explained: set[Line]) -> Iterator[str]:
    """Yield the lines that no test reaches and the list does not explain, and files under the least."""
    for name, lines in files.items():
        missed = [each for each in lines if not each.reached]
        for each in missed:
            if each.line not in explained:
                yield f"{name}:{each.number}: no test reaches {each.line.function}: {each.line.code}"
        if 100 * (1 - len(missed) / len(lines)) < LEAST:
            yield f"{name}: under {LEAST} %"


def outdated(files: Iterable[list[Reached]], explained: set[Line]) -> Iterator[str]:
    """Yield what the list explains though no file has such a line any more."""
    there = {each.line for lines in files for each in lines}
    for line in sorted(explained - there):
        yield f"{LIST.name} explains what is not there: {line.function}: {line.code}"


def main(folders: list[str]) -> str | int:
    """Return what is wrong, or 0."""
    if not folders:
        return __doc__ or ""
    explained = read_list(LIST.read_text())
    reports = [read_report(Path(folder)) for folder in folders]
    found = [line for files in reports for line in unexplained(files, explained)]
    found += outdated([lines for files in reports for lines in files.values()], explained)
    return "\n".join(found) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
