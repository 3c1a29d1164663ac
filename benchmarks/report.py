"""Turns the figures into tables and JSON."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facts import facts_words
from figures import Row, against, make_rows, middle_ratio
from members import EVERYONE, MEMBERS, base_of
from plan import BUSY_TARGET, TARGETS, Work
from runner import Outcome
from tables import markdown_table, text_table

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
    words = "no base" if work.base == "none" else f"base: {words_of_base(work.base)}"
    return f"{words}; {work.remark}" if work.remark else words


def words_of_base(base: str) -> str:
    words = {
        "bare": "a bare interpreter",
        "bound": "C + pickle timed apart",
        "loop": "C and pickle in one loop",
        "plain": "posix_ipc, sysv_ipc",
    }
    return words.get(base, f"C, {base}")


def ratio_words(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def memory_words(memory: float | None) -> str:
    return "-" if memory is None else f"{memory:,.0f} B"


def table_of(rows: list[Row], work: Work) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the headings and the cells of a work's table."""
    unit, scale = unit_of(work)
    ours = {row.contender.id: row.median for row in rows if row.contender.kind == "ours"}

    def time(seconds: float) -> str:
        return f"{short(seconds * scale)} {unit}"

    def to_base(row: Row) -> str:
        if work.base == "bare":
            return "-" if row.over is None else time(row.over)
        return ratio_words(None if work.test == "timeout" else row.ratio)

    def times(row: Row, one: str) -> str:
        with_times = one in ours and ours[one] > 0 and work.test not in ("timeout", "import")
        return short(row.median / ours[one]) if with_times else "-"

    columns: dict[str, Callable[[Row], str]] = {
        "contender": lambda row: row.contender.title,
        "median": lambda row: time(row.median),
        "quartiles": lambda row: f"{short(row.low * scale)} - {short(row.high * scale)}",
        "90th percentile": lambda row: time(row.slow),
        "to the base": to_base,
        "x posixmq": lambda row: times(row, "posixmq"),
        "x sysvmq": lambda row: times(row, "sysvmq"),
        "CPU": lambda row: time(row.cpu),
        "CPU to the base": lambda row: ratio_words(row.cpu_ratio),
        "memory": lambda row: memory_words(row.memory),
    }
    if work.base != "plain":
        del columns["90th percentile"]
    if not any(row.memory is not None for row in rows):
        del columns["memory"]
    return tuple(columns), [[words(row) for words in columns.values()] for row in rows]


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


def busy_cells(outcomes: list[Outcome]) -> list[list[str]]:
    """The target of the busy machine, in the 90th percentile."""
    body = []
    for outcome in outcomes:
        slow = {row.contender.id: row.slow for row in make_rows(outcome)}
        for one in (one for one in MEMBERS if one.kind == "ours" and not one.environment):
            rivals = [f"{one.id}-spin0", base_of("plain", one)]
            if outcome.work.base != "plain" or not {one.id, *rivals} <= slow.keys():
                continue
            ratio = slow[one.id] / min(slow[rival] for rival in rivals)
            title = f"{outcome.work.title}: 90th percentile (the better of {' and '.join(rivals)})"
            words = [f"{ratio:.2f} x", "-", f"{BUSY_TARGET:.2f} x"]
            body.append([title, one.title, *words, "yes" if ratio <= BUSY_TARGET else "no"])
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
    targets = target_cells(outcomes) + busy_cells(outcomes)
    if targets:
        headings = ("target", "contender", "reached", "by CPU time", "at most", "met")
        text.append(text_table(headings, targets))
        markdown += ["## Targets", markdown_table(headings, targets)]
    for outcome in outcomes:
        headings, body = table_of(make_rows(outcome), outcome.work)
        heading = f"{outcome.work.title} ({base_words(outcome.work)})"
        text.append(f"{heading}\n{text_table(headings, body)}")
        markdown += [
            f"## {outcome.work.title}",
            base_words(outcome.work),
            markdown_table(headings, body),
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
                "90th percentile": row.slow,
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
