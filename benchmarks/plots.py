"""The SVG files of the report: bars for single works, lines where a work has an axis."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from curves import PANELS, line_figure
from drawing import COLOURS, plain_numbers, save, shown
from matplotlib import pyplot
from report import short, unit_of
from runner import Outcome

OVERVIEW = ("pair-raw", "pingpong", "stream-raw", "workers-64")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "ipcqueue",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def bars(axes: Any, outcome: Outcome) -> None:
    """Horizontal bars on a logarithmic scale, the fastest on top, quartiles as whiskers."""
    rows = shown(outcome)[::-1]
    unit, scale = unit_of(outcome.work)
    values = [row.median * scale for row in rows]
    below = [(row.median - row.low) * scale for row in rows]
    above = [(row.high - row.median) * scale for row in rows]
    axes.barh(
        [row.contender.title for row in rows],
        values,
        xerr=(below, above),
        color=[COLOURS[row.contender.kind] for row in rows],
        ecolor="#444444",
        error_kw={"linewidth": 0.8},
    )
    for place, row in enumerate(rows):
        axes.annotate(
            f" {short(row.median * scale)}", (row.high * scale, place), va="center", fontsize=8
        )
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 2, max(row.high for row in rows) * scale * 3)
    plain_numbers(axes.xaxis)
    axes.set_title(outcome.work.title, loc="left", wrap=True)
    axes.set_xlabel(f"{unit}, less is better (logarithmic)")


def bar_figure(outcomes: list[Outcome], path: Path, columns: int = 1) -> None:
    rows = -(-len(outcomes) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(7.5 * columns, 3.9 * rows), squeeze=False, layout="constrained"
    )
    for axes, outcome in zip(grid.flat, outcomes, strict=False):
        bars(axes, outcome)
    for axes in list(grid.flat)[len(outcomes) :]:
        axes.set_axis_off()
    save(figure, path)


def write_plots(outcomes: Iterable[Outcome], folder: Path) -> list[Path]:
    paths = []
    drawn = [outcome for outcome in outcomes if shown(outcome)]
    with pyplot.rc_context(STYLE):
        overview = [outcome for outcome in drawn if outcome.work.id in OVERVIEW]
        if overview:
            paths.append(folder / "overview.svg")
            bar_figure(overview, paths[0], columns=2)
        for group, members in groupby(drawn, key=lambda outcome: outcome.work.group):
            path, works = folder / f"{group}.svg", list(members)
            paths.append(path)
            if group in PANELS and len({work.work.x for work in works}) > 1:
                line_figure(group, works, path)
            else:
                bar_figure(works, path)
    return paths
