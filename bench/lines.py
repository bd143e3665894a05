"""What a benchmark came to: lines of one table, as text, as Markdown and as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, and the target that it has; without one it only says how things are."""

    section: str
    what: str
    figure: str
    value: float | None = None
    target: str = ""
    met: bool | None = None  # None: there is no target, or nothing was measured
    note: str = ""

    @property
    def result(self) -> str:
        """Say whether the target is met."""
        return "" if self.met is None else "met" if self.met else "MISSED"


def bounded(section: str, what: str, value: float, most: float, unit: str = "", note: str = "") -> Line:  # noqa: PLR0913, PLR0917 - the columns of a table
    """Make the line of a figure that has an upper bound."""
    return Line(section, what, f"{value:.4g}{unit}", value, f"≤ {most:g}{unit}", value <= most, note)


def reported(section: str, what: str, figure: str, value: float | None = None, note: str = "") -> Line:
    """Make the line of a figure without a target."""
    return Line(section, what, figure, value, note=note)


def skipped(section: str, what: str, reason: str) -> Line:
    """Make the line of what was not measured, and why."""
    return Line(section, what, "skipped", note=reason)


def text(lines: Iterable[Line]) -> str:
    """Lay the lines out for a terminal."""
    rows = [("", "", "target", "figure", "", "")]
    rows += [(line.section, line.what, line.target, line.figure, line.result, line.note) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    )


def markdown(lines: Iterable[Line]) -> str:
    """Lay the lines out as a table of a document."""
    rows = ["| | | target | figure | | |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {line.section} | {line.what} | {line.target} | {line.figure} | {line.result} | {line.note} |"
        for line in lines
    ]
    return "\n".join(rows)
