"""Turns samples into medians, quartiles and ratios."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from members import EVERYONE, Contender, base_of
from runner import Outcome, Sample


@dataclass(frozen=True)
class Row:
    contender: Contender
    median: float
    low: float
    high: float
    slow: float  # the 90th percentile
    ratio: float | None
    over: float | None  # the same as a difference
    cpu: float
    cpu_ratio: float | None
    memory: float | None  # bytes, where it was looked at


def quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def slowest_tenth(values: list[float]) -> float:
    """Return the 90th percentile."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def against(
    samples: list[Sample | None], base: list[Sample | None], key: str
) -> list[tuple[float, float]]:
    """The figures of every round in which both have one."""
    pairs = zip(samples, base, strict=False)
    return [(one[key], two[key]) for one, two in pairs if one and two and two[key] > 0]


def middle_ratio(pairs: list[tuple[float, float]]) -> float | None:
    return statistics.median(one / two for one, two in pairs) if pairs else None


def make_row(outcome: Outcome, contender: Contender, samples: list[Sample | None]) -> Row | None:
    walls = [sample["wall"] for sample in samples if sample]
    if not walls:
        return None
    base = outcome.samples.get(base_of(outcome.work.base, contender), [])
    pairs = against(samples, base, "wall")
    return Row(
        contender,
        statistics.median(walls),
        *quartiles(walls),
        slowest_tenth(walls),
        middle_ratio(pairs),
        statistics.median(one - two for one, two in pairs) if pairs else None,
        statistics.median(sample["cpu"] for sample in samples if sample),
        middle_ratio(against(samples, base, "cpu")),
        middle_memory(samples),
    )


def middle_memory(samples: list[Sample | None]) -> float | None:
    found = [sample["memory"] for sample in samples if sample and "memory" in sample]
    return statistics.median(found) if found else None


def make_rows(outcome: Outcome) -> list[Row]:
    """The rows of a work, fastest first."""
    rows = (make_row(outcome, EVERYONE[key], values) for key, values in outcome.samples.items())
    return sorted((row for row in rows if row), key=lambda row: row.median)
