"""What is released has one number, wherever it is said, and a dated section in the changelog."""

import datetime as dt
import json
import re
from pathlib import Path

from click.testing import CliRunner

from conductor_loop import __version__
from conductor_loop.cli import main

ROOT = Path(__file__).parents[2]
RELEASED = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def test_the_newest_release_of_the_changelog_is_the_version_of_every_part() -> None:
    newest, *_ = RELEASED.findall((ROOT / "CHANGELOG.md").read_text())
    assert newest[0] == __version__
    assert CliRunner().invoke(main, ["--version"]).stdout == f"conductor-loop, version {newest[0]}\n"
    assert json.loads((ROOT / "docs/openapi.json").read_text())["info"]["version"] == newest[0]


def test_releases_are_dated_newest_first_under_nothing_but_what_is_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    found = [
        (tuple(map(int, number.split("."))), dt.date.fromisoformat(date)) for number, date in RELEASED.findall(text)
    ]
    assert found == sorted(found, reverse=True)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert set(headings) - {"Unreleased"} == {f"{number} - {date}" for number, date in RELEASED.findall(text)}
