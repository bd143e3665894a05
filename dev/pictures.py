"""Draw a dashboard: the rows of its grid as PNG pictures."""

import datetime as dt
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dev.widgets import Buckets, Points, rows, series

type Widget = Mapping[str, Any]
_COLUMNS, _UNIT = 24, 0.62  # of CloudWatch's grid; inches
_STATES = {"OK": "#1d8102", "ALARM": "#d13212", "INSUFFICIENT_DATA": "#687078"}
_MOST_LINES, _GAP = 22, 0.7  # of a table of log lines; between its rows, in lines
_COLUMN_WIDTHS = {
    "@timestamp": 11,
    "handoff": 24,
    "principal": 16,
    "attempt": 9,
    "error_code": 12,
    "exception_name": 16,
}
_GREY = "#5f6b7a"
_LEGEND, _MOST_LABELS = 72, 4  # characters and labels of a line of a legend
_COLORS = 256  # of a picture: enough for text and lines, and a third of the size


class EmptyWidgetError(Exception):
    """A widget has nothing to show."""


@dataclass(frozen=True)
class Drawn:
    """Everything that a picture is made of."""

    points: Points
    buckets: Buckets
    events: Sequence[tuple[float, str, str]]  # log group, as ``widgets.rows`` takes them
    alarms: Mapping[str, tuple[str, str]]  # name and state, by ARN
    note: str  # below the picture: of what traffic it is


def draw(widgets: Sequence[Widget], drawn: Drawn, path: Path) -> None:
    """Draw widgets, which fill whole rows of the grid.

    Raises:
        EmptyWidgetError: one has nothing to show.

    """
    top = min(one["y"] for one in widgets)
    height = max(one["y"] + one["height"] for one in widgets) - top
    mpl.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figure = Figure(figsize=(_COLUMNS * _UNIT, height * _UNIT + 0.4), dpi=96, facecolor="#f2f3f3")
    inches = (height * _UNIT) + 0.4
    for widget in widgets:
        x, y, w, h = (widget[key] * _UNIT for key in ("x", "y", "width", "height"))
        y -= top * _UNIT
        card = figure.add_axes(
            ((x + 0.06) / 14.88, 1 - (y + h - 0.06) / inches, (w - 0.12) / 14.88, (h - 0.12) / inches),
            xticks=[], yticks=[], facecolor="white",
        )  # fmt: skip
        card.spines[:].set_color("#d5dbdb")
        card.spines[:].set_visible(True)
        _DRAW[widget["type"]](card, widget, drawn)
    figure.text(0.005, 0.08 / inches, drawn.note, fontsize=8, color=_GREY)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    Image.fromarray(pixels).convert("RGB").quantize(_COLORS, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def _title(card: Axes, text: str) -> None:
    card.text(0.012, 0.985, text, transform=card.transAxes, va="top", fontsize=10.5, fontweight="bold", color="#16191f")


def _text(card: Axes, widget: Widget, _: Drawn) -> None:
    heading, _, text = widget["properties"]["markdown"].partition("\n")
    card.text(0.006, 0.9, heading.lstrip("# "), va="top", fontsize=14, fontweight="bold")
    card.text(0.006, 0.5, textwrap.fill(text, 210), va="top", fontsize=9, color=_GREY)


def _alarms(card: Axes, widget: Widget, drawn: Drawn) -> None:
    _title(card, widget["properties"]["title"])
    across = 4
    down = -(-len(widget["properties"]["alarms"]) // across)
    for number, arn in enumerate(widget["properties"]["alarms"]):
        name, state = drawn.alarms[arn]
        x, y = (number % across) / across + 0.012, 0.88 - (number // across + 0.5) * 0.88 / down
        card.plot([x + 0.008], [y], "s", color=_STATES[state], markersize=11, transform=card.transAxes)
        weight, color = ("bold", _STATES[state]) if state == "ALARM" else ("normal", "black")
        card.text(x + 0.024, y, name, va="center", transform=card.transAxes, fontsize=9, fontweight=weight, color=color)


def _metric(card: Axes, widget: Widget, drawn: Drawn) -> None:
    reported = widget["properties"]
    _title(card, reported["title"])
    shown = list(series(widget, drawn.points, drawn.buckets))
    silent = [one.label for one in shown if np.isnan(one.values).all()]
    if silent or not shown:
        raise EmptyWidgetError(f"{reported['title']}: no data for {', '.join(silent) or 'anything'}")
    if reported["view"] == "singleValue":
        for number, one in enumerate(shown):
            y = 0.86 - (number + 0.5) * 0.86 / len(shown)
            latest = one.values[~np.isnan(one.values)][-1]
            card.text(0.16, y, f"{latest:g}", fontsize=20, ha="right", va="center", transform=card.transAxes)
            card.text(0.2, y, one.label, fontsize=10, va="center", color=_GREY, transform=card.transAxes)
        return
    axes = card.inset_axes((0.1, 0.25, 0.87, 0.61))
    _lines(axes, widget, drawn, shown)


def _lines(axes: Axes, widget: Widget, drawn: Drawn, shown: Sequence[Any]) -> None:
    reported, buckets = widget["properties"], drawn.buckets
    minutes = (np.arange(buckets.number) + 0.5) * buckets.seconds / 60
    if reported.get("stacked"):
        base = np.zeros(buckets.number)
        for one in shown:
            values = np.nan_to_num(one.values)
            axes.bar(minutes, values, buckets.seconds / 60 * 0.9, base, color=one.color, label=one.label)
            base = base + values
    else:
        for one in shown:
            known = ~np.isnan(one.values)
            axes.plot(
                minutes[known], one.values[known], "o-", markersize=2.5, linewidth=1.4, color=one.color, label=one.label
            )
    axes.set_xlim(0, buckets.number * buckets.seconds / 60)
    if axes.get_ylim()[1] < 1 and all(np.nanmax(one.values) == 0 for one in shown):
        axes.set_ylim(0, 1)  # zeros lie on the axis, not in the middle
    axes.set_ylim(bottom=reported["yAxis"]["left"]["min"])
    unit = reported["yAxis"]["left"]["label"]  # over the axis, as CloudWatch has it: beside it are numbers of any width
    axes.text(-0.09, 1.04, unit, fontsize=8, color=_GREY, transform=axes.transAxes)
    axes.set_xlabel("minutes", fontsize=8, color=_GREY, labelpad=1, loc="right")
    axes.grid(axis="y", color="#eaeded")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=2)
    longest = max(len(one.label) for one in shown)
    columns = max(1, min(len(shown) if len(shown) <= _MOST_LABELS else 3, _LEGEND // (longest + 5)))
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.1, -0.15), ncols=columns, fontsize=8, frameon=False,
        handlelength=1.2, columnspacing=1.2, labelspacing=0.25, borderaxespad=0.2,
    )  # fmt: skip


def _log(card: Axes, widget: Widget, drawn: Drawn) -> None:
    _title(card, widget["properties"]["title"])
    names, *found = rows(widget["properties"]["query"], drawn.events)
    if not found:
        raise EmptyWidgetError(f"{widget['properties']['title']}: the query finds nothing")
    room = widget["width"] * 8.3  # characters of a row
    fixed = [_COLUMN_WIDTHS.get(name, 0) for name in names]
    share = (room - sum(fixed)) / max(1, fixed.count(0))
    widths = [width or share for width in fixed]
    line = 0.0
    for number, row in enumerate([names, *found]):
        cells = [_wrapped(name, text, int(width), number) for name, text, width in zip(names, row, widths, strict=True)]
        if line + max(map(len, cells)) > _MOST_LINES:
            break
        weight, color = ("normal", "black") if number else ("bold", _GREY)
        for at, cell in zip(accumulate(widths, initial=0.0), cells, strict=False):
            card.text(
                0.008 + at / room, 0.87 - line * 0.87 / (_MOST_LINES + 1.4), "\n".join(cell), va="top", fontsize=8,
                family="DejaVu Sans Mono", fontweight=weight, color=color, transform=card.transAxes, parse_math=False,
                linespacing=1.15,
            )  # fmt: skip
        line += max(map(len, cells)) + _GAP


def _wrapped(name: str, text: str, width: int, number: int) -> list[str]:
    """Break a cell into lines, so that a message is shown with the advice at its end."""
    if name == "@timestamp" and number:
        text = dt.datetime.fromtimestamp(float(text), dt.UTC).strftime("%H:%M:%S")
    return textwrap.wrap(text, width - 1) or [""]


_DRAW: Mapping[str, Callable[[Axes, Widget, Drawn], None]] = {
    "text": _text,
    "alarm": _alarms,
    "metric": _metric,
    "log": _log,
}
