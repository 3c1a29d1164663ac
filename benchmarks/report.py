"""Turns the figures into tables and JSON."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facts import facts_words
from figures import Row, against, make_rows, middle_ratio
from members import EVERYONE, MEMBERS, base_of
from plan import TARGETS, Work
from runner import Outcome
from tables import markdown_table, text_table

HEADINGS = (
    *("contender", "median", "quartiles", "to the base"),
    *("x posixmq", "x sysvmq", "CPU", "CPU to the base"),
)


def headings_of(work: Work) -> tuple[str, ...]:
    return (*HEADINGS, "memory") if work.test == "batch" else HEADINGS


NOTES = """\
Medians and quartiles over the rounds; in a round all contenders take their turn. "To the base" is the
median over the rounds of the contender's figure divided by the C program's in the same round, for the
same family of queues (POSIX for contenders that use neither); the base is named above each table.
"x posixmq" and "x sysvmq" say how many times longer a contender takes than these two. CPU time
is that of all processes taking part unless the table says otherwise. POSIX queues hold 10 messages,
and so do the others that can be told to; System V queues are bounded by bytes (kernel.msgmnb),
pipes, SimpleQueue among them, by their buffer."""


# Words


def short(value: float) -> str:
    """Three digits, without an exponent."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"


def unit_of(work: Work) -> tuple[str, float]:
    return ("ms", 1e3) if work.test == "import" else ("µs", 1e6)


def base_words(work: Work) -> str:
    if work.test == "timeout":
        return "no base: late by so much"
    words = f"base: {words_of_base(work.base)}"
    return f"{words}; {work.remark}" if work.remark else words


def words_of_base(base: str) -> str:
    words = {
        "bare": "a bare interpreter",
        "bound": "C + pickle timed apart",
        "loop": "C and pickle in one loop",
    }
    return words.get(base, f"C, {base}")


def ratio_words(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def cells(rows: list[Row], work: Work) -> list[list[str]]:
    unit, scale = unit_of(work)
    ours = {row.contender.id: row.median for row in rows if row.contender.kind == "ours"}

    def to_base(row: Row) -> str:
        if work.base == "bare":
            return "-" if row.over is None else f"{short(row.over * scale)} {unit}"
        return ratio_words(None if work.test == "timeout" else row.ratio)

    def times(row: Row, one: str) -> str:
        with_times = one in ours and ours[one] > 0 and work.test not in ("timeout", "import")
        return short(row.median / ours[one]) if with_times else "-"

    return [
        [
            row.contender.title,
            f"{short(row.median * scale)} {unit}",
            f"{short(row.low * scale)} - {short(row.high * scale)}",
            to_base(row),
            times(row, "posixmq"),
            times(row, "sysvmq"),
            f"{short(row.cpu * scale)} {unit}",
            ratio_words(row.cpu_ratio),
            *(
                []
                if work.test != "batch"
                else ["-" if row.memory is None else f"{row.memory:,.0f} B"]
            ),
        ]
        for row in rows
    ]


# Parts of the report


def target_cells(outcomes: list[Outcome]) -> list[list[str]]:
    done = {outcome.work.id: outcome for outcome in outcomes}
    body = []
    for work_id, base, limit in TARGETS:
        if work_id not in done:
            continue
        title = f"{done[work_id].work.title} ({words_of_base(base)})"
        for one in (one for one in MEMBERS if one.kind == "ours"):
            samples = done[work_id].samples
            ours, theirs = samples.get(one.id, []), samples.get(base_of(base, one), [])
            wall, cpu = (reached(against(ours, theirs, key), base) for key in ("wall", "cpu"))
            if wall is None or cpu is None:
                continue
            words = [
                f"{1e3 * n:.2f} ms" if base == "bare" else f"{n:.2f} x" for n in (wall, cpu, limit)
            ]
            body.append([title, one.title, *words, "yes" if wall <= limit else "no"])
    return body


def reached(pairs: list[tuple[float, float]], base: str) -> float | None:
    if base == "bare":
        return statistics.median(one - two for one, two in pairs) if pairs else None
    return middle_ratio(pairs)


def missing_words(outcomes: list[Outcome]) -> list[str]:
    """One line a contender and reason, with the works it concerns."""
    works: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome in outcomes:
        for key, reason in outcome.missing.items():
            works[EVERYONE[key].title, reason].append(outcome.work.id)
    measured = {EVERYONE[key].title for outcome in outcomes for key in outcome.samples}
    return [
        f"{title}: {reason} ({', '.join(ids) if title in measured else 'everywhere'})"
        for (title, reason), ids in works.items()
    ]


def write_tables(outcomes: list[Outcome], where: dict[str, Any], folder: Path) -> str:
    """Write the text and the Markdown; return the text."""
    text, markdown = [facts_words(where), NOTES], ["# Benchmarks", facts_words(where), NOTES]
    targets = target_cells(outcomes)
    if targets:
        headings = ("target", "contender", "reached", "by CPU time", "at most", "met")
        text.append(text_table(headings, targets))
        markdown += ["## Targets", markdown_table(headings, targets)]
    for outcome in outcomes:
        body = cells(make_rows(outcome), outcome.work)
        heading = f"{outcome.work.title} ({base_words(outcome.work)})"
        text.append(f"{heading}\n{text_table(headings_of(outcome.work), body)}")
        markdown += [
            f"## {outcome.work.title}",
            base_words(outcome.work),
            markdown_table(headings_of(outcome.work), body),
        ]
    missing = missing_words(outcomes)
    if missing:
        lines = "\n".join(f"- {line}" for line in missing)
        text.append(f"Not measured\n{lines}")
        markdown += ["## Not measured", lines]
    whole = "\n\n".join(text) + "\n"
    (folder / "table.txt").write_text(whole, "utf-8")
    (folder / "table.md").write_text("\n\n".join(markdown) + "\n", "utf-8")
    return whole


def write_json(outcomes: list[Outcome], where: dict[str, Any], folder: Path) -> None:
    works = []
    for outcome in outcomes:
        rows = {
            row.contender.id: {
                "median": row.median,
                "quartiles": [row.low, row.high],
                "ratio": row.ratio,
                "over": row.over,
                "cpu": row.cpu,
                "cpu ratio": row.cpu_ratio,
                "memory": row.memory,
                "samples": outcome.samples[row.contender.id],
            }
            for row in make_rows(outcome)
        }
        works.append({**asdict(outcome.work), "contenders": rows, "missing": outcome.missing})
    (folder / "results.json").write_text(
        json.dumps({"facts": where, "works": works}, indent=1) + "\n"
    )
