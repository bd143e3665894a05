"""The directory below which porch runs: made fresh, and cleared of what dead runs left."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import PorchFailed, PorchRequest
from conductor_loop.porch.workspace import workspace

from .porches import GOOD, INTENT, Bench, contained


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        yield bench


@contextmanager
def _other_process(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of ours, in the middle of a run."""
    text = f"""if True:
        from pathlib import Path
        from conductor_loop.porch.workspace import workspace
        with workspace(Path({str(bench.root)!r}), "intent-z.json", b"") as space:
            (space.home / "deep" / "er").mkdir(parents=True)
            (space.home / "deep").chmod(0)
            space.path.chmod(0)
            print(flush=True)
            input()
    """
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        process.stdout.readline()
        yield process


def test_leftovers_of_a_dead_process_are_removed(bench: Bench) -> None:
    with _other_process(bench) as process:
        process.kill()
    assert len(list(bench.root.iterdir())) == 1
    assert bench.run(bench.program(GOOD)).run.exit_code == 0  # and the bench holds that the root is empty


def test_the_directory_of_a_live_run_is_left_alone(bench: Bench) -> None:
    with _other_process(bench) as process, workspace(bench.root, "intent-b.json", b"{}") as ours:
        bench.porch(bench.program(GOOD)).run(PorchRequest("intent-a.json", INTENT, 20.0))
        assert ours.intent.read_bytes() == b"{}"
        assert len(list(bench.root.iterdir())) == 2
        process.communicate(b"\n")


def test_other_entries_of_the_root_are_left_alone(bench: Bench) -> None:
    bench.root.mkdir(mode=0o700)
    (bench.root / "notes").mkdir()
    (bench.root / "run-link").symlink_to(bench.root / "notes")
    bench.porch(bench.program(GOOD)).run(PorchRequest("intent-a.json", INTENT, 20.0))
    assert sorted(path.name for path in bench.root.iterdir()) == ["notes", "run-link"]
    (bench.root / "run-link").unlink()
    (bench.root / "notes").rmdir()


def test_a_run_waits_no_longer_for_cleaning_than_its_time_and_the_next_one_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    littering = bench.program(f"mkdir -p $HOME/a/b/c; {GOOD}")
    with monkeypatch.context() as patched:
        patched.setattr("conductor_loop.porch.workspace.REMOVAL_SECONDS", -1.0)
        assert bench.porch(littering).run(PorchRequest("intent-a.json", INTENT, 20.0)).run.exit_code == 0
        assert len(list(bench.root.iterdir())) == 1
    bench.run(bench.program(GOOD))  # and the bench holds that the root is empty


@pytest.mark.parametrize("spoil", ["chmod", "link", "file"])
def test_a_work_root_that_is_not_private_is_refused(bench: Bench, spoil: str) -> None:
    if spoil == "chmod":
        bench.root.mkdir()
        bench.root.chmod(0o777)
    elif spoil == "link":
        bench.root.symlink_to(bench.aside)
    else:
        bench.root.write_text("")
    with pytest.raises(PorchFailed) as caught:
        bench.porch(bench.program(GOOD)).run(PorchRequest("intent-a.json", INTENT, 20.0))
    assert caught.value.cause is Cause.PORCH_PERMISSION_DENIED
    bench.root.chmod(0o700) if spoil == "chmod" else bench.root.unlink()
