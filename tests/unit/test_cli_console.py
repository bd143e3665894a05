"""What people see in a terminal, and programs in a pipe."""

import subprocess
import sys

import pytest

from tests.terminals import shown

TABLE = """
from conductor_loop.cli import common
rows = [["succeeded", "intent-" + "x" * 100 + ".json"], ["failed", "intent-b.json"]]
common.print_rows(("state", "name"), rows, flexible="name")
common.note("failed", " " + "why " * 100, "red")
"""
BAR = """
from conductor_loop.cli.common import bar
with bar("answered", 200) as show:
    show(120, "3 failed, 10 processing, 67 queued")
"""
WIDTHS = [40, 80, 160]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_has_a_heading_and_each_row_one_line_however_narrow_the_terminal(width: int) -> None:
    heading, first, second, note = shown(TABLE, width, 24).lines
    assert heading.split() == ["STATE", "NAME"]
    assert first.startswith("succeeded  intent-xxx")
    assert first.endswith(".json" if width > 120 else "…")
    assert second.split() == ["failed", "intent-b.json"]
    assert note.startswith("failed why why")
    assert note.endswith("…")


def test_colours_are_for_terminals_that_want_them() -> None:
    assert "\x1b[31m" in shown(TABLE, 80, 24).sent
    assert "\x1b[3" not in shown(TABLE, 80, 24, {"NO_COLOR": "1"}).sent
    assert "\x1b[" not in shown(TABLE, 80, 24, {"TERM": "dumb"}).sent


def test_a_pipe_gets_whole_values_with_tabs_between_them() -> None:
    piped = subprocess.run([sys.executable, "-c", TABLE], capture_output=True, text=True, check=True)
    assert piped.stdout.splitlines() == ["succeeded\tintent-" + "x" * 100 + ".json", "failed\tintent-b.json"]
    assert "\x1b" not in piped.stdout + piped.stderr


@pytest.mark.parametrize("width", WIDTHS)
def test_a_progress_bar_is_one_line(width: int) -> None:
    (line,) = shown(BAR, width, 24).lines
    assert line.startswith("answered ━")
    assert "120/200" in line or width < 80


def test_progress_in_a_pipe_is_a_line_at_the_end() -> None:
    piped = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, check=True)
    assert piped.stderr.startswith("answered: 120 of 200 in ")
    assert piped.stdout == ""
