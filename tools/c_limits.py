"""Measure the C, so that it stays readable: functions that are too long or too complex, files that are too long.

    python tools/c_limits.py [FILE ...]     # without files: the C of both packages

The distribution lizard counts. A function begins at its name and ends at its closing brace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import lizard
from distributions import ROOT, c_files

MOST_LINES_OF_A_FILE = 600
# What lizard calls it, how much of it a function may have at most, and what we call it.
MOST_OF_A_FUNCTION = {
    "length": (46, "lines"),
    "parameter_count": (5, "parameters"),
    "cyclomatic_complexity": (15, "cyclomatic complexity"),
}
FOLDERS = ["packages/common/mqc", "packages/posixmq/ext", "packages/sysvmq/ext"]


def excesses(name: str, code: str) -> Iterator[str]:
    """Yield what is too much in a file of C."""
    if (lines := len(code.splitlines())) > MOST_LINES_OF_A_FILE:
        yield f"{name}: {lines} lines, more than {MOST_LINES_OF_A_FILE}"
    for function in lizard.analyze_file.analyze_source_code(name, code).function_list:
        for attribute, (most, words) in MOST_OF_A_FUNCTION.items():
            if (value := getattr(function, attribute)) > most:
                place = f"{name}:{function.start_line}: {function.name}"
                yield f"{place}: {value} {words}, more than {most}"


def main(names: list[str]) -> str | int:
    """Return what is too much, or 0."""
    paths = [Path(name).resolve() for name in names or c_files(*FOLDERS)]
    if not paths:
        return "there is no C to measure"
    found = []
    for path in paths:
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
        found += excesses(name, path.read_text())
    return "\n".join([*found, f"{len(found)} excesses"]) if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
