"""Make docs/conformance.md from the tables beside the tests, or check that it is made from them.

python tools/conformance.py           # fail when the page is not what its tables make
python tools/conformance.py --write   # write it
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributions import ROOT, SIBLINGS

PAGE = "docs/conformance.md"
INTRODUCTION = """\
# What the manual pages say

The manual pages of Linux and POSIX say in some hundred sentences how these queues behave. Each package
has a table of them in `tests/conformance.toml`: page, section and a word for the sentence, with the tests that
show what it says, or the reason why none does. The pages are those of Linux man-pages 6.03
and, marked 3p, those of POSIX. `nox -s sync` writes this page from the tables.
"""

Table = dict[str, Any]


def page(tables: dict[str, Table]) -> str:
    """Return the page that the packages' tables make."""
    counts = [
        "| | sentences | tested | of them ours differs | not tested |",
        "| --- | --- | --- | --- | --- |",
        *(counts_of(name, table) for name, table in tables.items()),
    ]
    details = [text for name, table in tables.items() for text in details_of(name, table)]
    return INTRODUCTION + "\n" + "\n".join([*counts, *details]) + "\n"


def rows(table: Table) -> Iterator[tuple[str, list[Any]]]:
    """Yield the id and the row of each sentence."""
    for manual, sections in table.items():
        if manual != "reasons":
            for section, sentences in sections.items():
                for row in sentences:
                    yield f"{manual} {section}: {row[0]}", row


def counts_of(name: str, table: Table) -> str:
    """Return the line of a package in the first table."""
    sentences = [row for _, row in rows(table)]
    tested = sum(isinstance(row[2], list) for row in sentences)
    differing = sum(len(row) > 3 for row in sentences)
    return f"| `{name}` | {len(sentences)} | {tested} | {differing} | {len(sentences) - tested} |"


def details_of(name: str, table: Table) -> Iterator[str]:
    """Yield the lines on how a package differs, and on what is not tested."""
    yield f"\n## {name}: where it differs on purpose\n"
    for id_, row in rows(table):
        if len(row) > 3:
            yield f"- {id_} ({row[1]}). Here: {row[3]}."
    yield f"\n## {name}: what is not tested\n"
    for key, reason in table["reasons"].items():
        ids = [id_ for id_, row in rows(table) if row[2] == key]
        yield f"- {reason[0].upper()}{reason[1:]} ({len(ids)}): {'; '.join(ids)}."


def main(arguments: list[str], root: Path = ROOT) -> str | int:
    """Return what is wrong, or 0."""
    tables = {
        name: tomllib.loads((root / f"packages/{name}/tests/conformance.toml").read_text())
        for name in SIBLINGS
    }
    if arguments == ["--write"]:
        (root / PAGE).write_text(page(tables))
    elif arguments:
        return __doc__ or ""
    elif (root / PAGE).read_text() != page(tables):
        return f"{PAGE} is not what its tables make: run nox -s sync"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
