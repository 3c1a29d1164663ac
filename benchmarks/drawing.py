"""What all plots share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from figures import Row, make_rows
from matplotlib import pyplot, ticker
from runner import Outcome

COLOURS = {"ours": "#d1495b", "floor": "#8d99ae", "bound": "#8d99ae", "peer": "#30638e"}
SPINNING = "#3a3f4b"
HIDDEN = ("pickle", "bound-posix", "bound-sysv", "bare")


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def shown(outcome: Outcome) -> list[Row]:
    return [row for row in make_rows(outcome) if row.median > 0 and row.contender.id not in HIDDEN]


def plain_numbers(axis: Any) -> None:
    """1, 2, 5, 10 ... instead of powers of ten."""
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(ticker.NullLocator())
