"""Trees of directories are removed however they look, in steps that grow as their entries do, and in bounded time."""

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor_loop.porch.workspace import DIRECTORY, open_directory, remove_below

DIRECTORIES = 1500  # more than a process has descriptors, and deeper than the longest path


def nest(place: Path, levels: int) -> None:
    """Make directories in each other, each closed and with a file in it."""
    here = os.open(place, DIRECTORY)
    for _ in range(levels):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("deeper", dir_fd=here)
        there = os.open("deeper", DIRECTORY, dir_fd=here)
        os.chmod("deeper", 0, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    with open_directory(tmp_path) as top:
        remove_below(top, until=math.inf)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_deep", [True, False])
def test_a_directory_costs_two_steps_wherever_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, *, is_deep: bool
) -> None:
    if is_deep:
        nest(place, DIRECTORIES)
    else:
        for one in range(DIRECTORIES):
            (place / str(one)).mkdir()
    with open_directory(place) as top, monkeypatch.context() as patched:
        patched.setattr("time.monotonic", itertools.count().__next__)
        remove_below(top, until=2 * DIRECTORIES + 1)
    assert list(place.iterdir()) == []


def test_what_there_is_no_time_for_is_left_to_the_next_try(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nest(place, 100)
    with open_directory(place) as top, monkeypatch.context() as patched:
        patched.setattr("time.monotonic", itertools.count().__next__)
        remove_below(top, until=50)
    assert any(place.iterdir())


def test_names_to_keep_are_kept_with_all_that_is_in_them(place: Path) -> None:
    (place / "kept/a").mkdir(parents=True)
    (place / "a/kept").mkdir(parents=True)
    with open_directory(place) as top:
        remove_below(top, kept={"kept"}, until=math.inf)
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*")) == ["kept", "kept/a"]


def test_a_link_is_removed_and_not_followed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").touch()
    (place / "link").symlink_to(elsewhere)
    with open_directory(place) as top:
        remove_below(top, until=math.inf)
    assert (elsewhere / "file").exists()
    assert list(place.iterdir()) == []
