"""Trees of folders are removed however they look, in steps that grow as their entries do, and no longer than wanted."""

import itertools
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor_loop.porch.package import DIRECTORY, opened
from conductor_loop.porch.removal import Fate, remove_below

FOLDERS = 1500


def nest(place: Path, levels: int) -> None:
    """Make folders in each other, deeper than any path can say, each closed and with a file in it."""
    here = os.open(place, DIRECTORY)
    for _ in range(levels):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("deeper", dir_fd=here)
        there = os.open("deeper", DIRECTORY, dir_fd=here)
        os.chmod("deeper", 0, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)


def spread(place: Path, number: int) -> None:
    for one in range(number):
        (place / str(one)).mkdir()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    with opened(tmp_path, DIRECTORY) as top:
        remove_below(top, until=math.inf)


@pytest.mark.parametrize("make", [nest, spread])
def test_a_folder_costs_two_steps_wherever_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, int], None]
) -> None:
    make(place, FOLDERS)
    with opened(place, DIRECTORY) as top, monkeypatch.context() as patched:
        patched.setattr("time.monotonic", itertools.count().__next__)
        assert remove_below(top, until=2 * FOLDERS + 1)
    assert list(place.iterdir()) == []


def test_what_there_is_no_time_for_is_left_to_the_next_try(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nest(place, 100)
    with opened(place, DIRECTORY) as top, monkeypatch.context() as patched:
        patched.setattr("time.monotonic", itertools.count().__next__)
        assert not remove_below(top, until=150)
        assert (place / "deeper").is_dir()
        assert remove_below(top, until=math.inf)
    assert list(place.iterdir()) == []


def test_what_is_kept_keeps_its_folders(place: Path) -> None:
    (place / "a/b/c").mkdir(parents=True)
    (place / "a/b/kept").touch()
    (place / "a/other").touch()
    with opened(place, DIRECTORY) as top:
        assert remove_below(top, lambda one: Fate.KEPT if one.name == "kept" else Fate.REMOVED, until=math.inf)
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*")) == ["a", "a/b", "a/b/kept"]


def test_a_link_is_removed_and_not_followed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").touch()
    (place / "link").symlink_to(elsewhere)
    with opened(place, DIRECTORY) as top:
        assert remove_below(top, until=math.inf)
    assert (elsewhere / "file").exists()
    assert list(place.iterdir()) == []


def test_where_a_folder_is_moved_meanwhile_nothing_is_removed_elsewhere(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious").touch()
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/file").touch()

    def moving(one: os.DirEntry[str]) -> Fate:
        if one.name == "file":
            (place / "a/b").rename(elsewhere / "b")
        return Fate.REMOVED

    with opened(place, DIRECTORY) as top, pytest.raises(OSError, match="was moved"):
        remove_below(top, moving, until=math.inf)
    assert (elsewhere / "precious").exists()
