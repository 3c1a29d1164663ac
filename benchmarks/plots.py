"""SVG plots of the report: bars for single works, lines where a work has an axis."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from figures import Row, make_rows
from matplotlib import pyplot, ticker
from report import short, unit_of
from runner import Outcome

COLOURS = {"ours": "#d1495b", "floor": "#8d99ae", "bound": "#8d99ae", "peer": "#30638e"}
SPINNING = "#3a3f4b"
MARKERS = {"many": "s", "into": "^"}  # by how a contender moves its messages
HIDDEN = ("pickle", "bound-posix", "bound-sysv", "bare")
OVERVIEW = ("pair-raw", "pingpong", "stream-raw", "workers-64")
AXES = {
    "sizes": "bytes a message",
    "workers": "waiting workers",
    "paced": "waiting workers",
    "producers": "producers",
    "fanout": "consumers",
    "batches": "messages a call",
}
TITLES = {
    "sizes": "put + get in one process, raw",
    "workers": "waiting workers, 64 bytes raw, a burst",
    "paced": "waiting workers, 64 bytes raw, one message at a time: latency",
    "batches": "one-way stream in batches, 64 bytes raw",
    "producers": "producers and one consumer, 64 bytes raw",
    "fanout": "one producer and consumers, 64 bytes raw",
}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "ipcqueue",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


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


def line_style(row: Row) -> dict[str, Any]:
    kind = row.contender.kind
    width = 2.2 if kind == "ours" else 1.2
    marker = MARKERS.get(row.contender.id.rpartition("-")[2], ".")
    if kind == "peer":
        return {"linewidth": width, "marker": marker}
    dashes = "--" if row.contender.family == "sysv" else "-"
    colour = SPINNING if row.contender.id.endswith("spinning") else COLOURS[kind]
    return {"linewidth": width, "marker": marker, "linestyle": dashes, "color": colour}


def line_figure(group: str, outcomes: list[Outcome], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8.5, 5), layout="constrained")
    lines: dict[str, tuple[Row, list[int], list[float]]] = {}
    for outcome in outcomes:
        for row in shown(outcome):
            line = lines.setdefault(row.contender.id, (row, [], []))
            line[1].append(outcome.work.x)
            line[2].append(row.median * 1e6)
    for row, across, up in sorted(lines.values(), key=lambda line: -line[2][-1]):
        axes.plot(across, up, label=row.contender.title, **line_style(row))
    ticks = [outcome.work.x for outcome in outcomes]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(AXES[group])
    axes.set_ylabel("µs a message, less is better (logarithmic)")
    axes.set_title(TITLES[group], loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
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
            if group in AXES and len(works) > 1:
                line_figure(group, works, path)
            else:
                bar_figure(works, path)
    return paths
