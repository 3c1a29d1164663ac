"""Plots of works that have an axis: a line a contender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawing import COLOURS, SPINNING, plain_numbers, save, shown
from figures import Row
from matplotlib import pyplot
from members import MEMBERS
from runner import Outcome

MARKERS = {"many": "s", "into": "^"}  # by how a contender moves its messages
WITHOUT_SPIN = "#efa9b3"
# A colour each, the same in all plots; red is ours.
PEERS = [one.id for one in MEMBERS if one.kind == "peer"]
TAB20 = pyplot.get_cmap("tab20").colors
NO_REDS = [*TAB20[:6:2], *TAB20[8::2], *TAB20[1:6:2], *TAB20[9::2]]  # the strong ones first
PEER_COLOURS = dict(zip(PEERS, NO_REDS * 2, strict=False))
TIME = "µs a message, less is better (logarithmic)"


def median_us(row: Row) -> float | None:
    return row.median * 1e6


def cpu_us(row: Row) -> float | None:
    return row.cpu * 1e6


def memory_kib(row: Row) -> float | None:
    return None if row.memory is None else max(row.memory, 1) / 1024


@dataclass(frozen=True)
class Panel:
    """One pair of axes: what it shows of a group's works."""

    title: str
    across: str
    up: str = TIME
    value: Callable[[Row], float | None] = median_us
    test: str = ""  # works of this test alone
    logarithmic: bool = True  # the horizontal axis
    slow: bool = False  # draws the 90th percentile as well


BUSY = tuple(
    Panel(f"{words}: median, and 90th percentile (dotted)", "busy loops beside it", TIME, **options)
    for words, options in (
        ("ping-pong", {"test": "pingpong", "logarithmic": False, "slow": True}),
        ("one-way stream", {"test": "stream", "logarithmic": False, "slow": True}),
    )
)
PACE = "a message now and then for one waiting receiver"
PANELS: dict[str, tuple[Panel, ...]] = {
    "sizes": (Panel("put + get in one process, raw", "bytes a message"),),
    "workers": (Panel("waiting workers, 64 bytes raw, a burst", "waiting workers"),),
    "paced": (
        Panel("waiting workers, 64 bytes raw, one message at a time: latency", "waiting workers"),
    ),
    "pace": (
        Panel(f"{PACE}: latency", "ms between messages"),
        Panel(f"{PACE}: CPU time", "ms between messages", "µs of CPU a message", cpu_us),
    ),
    "producers": (Panel("producers and one consumer, 64 bytes raw", "producers"),),
    "fanout": (Panel("one producer and consumers, 64 bytes raw", "consumers"),),
    "batches": (Panel("one-way stream in batches, 64 bytes raw", "messages a call"),),
    **{
        f"growth-{whom}": (
            Panel(f"a round trip through one of many waiting {whom}", f"waiting {whom}"),
            Panel("memory", f"waiting {whom}", f"KiB (RSS) for each of the {whom}", memory_kib),
        )
        for whom in ("threads", "tasks")
    },
    "busy": BUSY,
    "busy-nice": BUSY,
    "busy-dict": BUSY,
}


def line_style(row: Row) -> dict[str, Any]:
    kind = row.contender.kind
    width = 2.2 if kind == "ours" else 1.2
    marker = MARKERS.get(row.contender.id.rpartition("-")[2], ".")
    if kind == "peer":
        return {"linewidth": width, "marker": marker, "color": PEER_COLOURS[row.contender.id]}
    dashes = "--" if row.contender.family == "sysv" else "-"
    colour = SPINNING if row.contender.id.endswith("spinning") else COLOURS[kind]
    if row.contender.environment:
        colour = WITHOUT_SPIN
    return {"linewidth": width, "marker": marker, "linestyle": dashes, "color": colour}


def draw(axes: Any, panel: Panel, outcomes: list[Outcome]) -> None:
    lines: dict[str, list[tuple[int, Row]]] = {}
    for outcome in outcomes:
        for row in shown(outcome):
            if panel.value(row) is not None:
                lines.setdefault(row.contender.id, []).append((outcome.work.x, row))
    for points in sorted(lines.values(), key=lambda points: -(panel.value(points[-1][1]) or 0)):
        across, rows = [x for x, _ in points], [row for _, row in points]
        up = [panel.value(row) for row in rows]
        (line,) = axes.plot(across, up, label=rows[0].contender.title, **line_style(rows[0]))
        if panel.slow:
            slow = [row.slow * 1e6 for row in rows]
            axes.plot(across, slow, color=line.get_color(), linewidth=0.9, linestyle=":")
    decorate(axes, panel, [outcome.work.x for outcome in outcomes])


def decorate(axes: Any, panel: Panel, ticks: list[int]) -> None:
    if panel.logarithmic:
        axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)
    axes.set_title(panel.title, loc="left")


def line_figure(group: str, outcomes: list[Outcome], path: Path) -> None:
    panels = [
        (panel, [one for one in outcomes if panel.test in ("", one.work.test)])
        for panel in PANELS[group]
    ]
    panels = [(panel, ones) for panel, ones in panels if ones]
    size = (8.5, 5 if len(panels) == 1 else 4.2 * len(panels))
    figure, grid = pyplot.subplots(len(panels), figsize=size, squeeze=False, layout="constrained")
    for axes, (panel, ones) in zip(grid.flat, panels, strict=True):
        draw(axes, panel, ones)
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, line)
    figure.legend(
        handles.values(), handles.keys(), loc="outside right center", frameon=False, fontsize=8
    )
    save(figure, path)
