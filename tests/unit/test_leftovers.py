"""What runs leave beside their directories: removed where this user runs nothing else, and left alone elsewhere."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conductor_loop import bootstrap
from conductor_loop.porch import PorchRequest, workspace
from conductor_loop.porch.process import processes

from .porches import GOOD, INTENT, Bench, contained

REQUEST = PorchRequest("intent-a.json", INTENT, 20.0)
LITTER = "mkdir -p $aside/a/b; echo x > $aside/a/b/c; ln -s / $aside/a/link; echo x > $aside/d; chmod 0 $aside/a/b"
HIDDEN = "unset PWD OLDPWD; echo $$ >> $aside/pids; exec sleep 60"  # without what a shell sets itself
LEAVES_ALL_MARKS = "setsid env -i $sleeper & while [ ! -s $aside/pids ]; do sleep 0.01; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        (bench.aside / "pids").touch()
        (bench.aside / "old").mkdir()
        bench.cleans = bench.aside
        yield bench


def files(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.aside.iterdir() if path.name != "pids")


def alive(bench: Bench) -> int:
    pids = (bench.aside / "pids").read_text().split()
    return sum(str(each.pid) in pids for each in processes())


@pytest.mark.parametrize("end", [GOOD, "exit 7"])
def test_files_that_a_run_leaves_elsewhere_are_removed(bench: Bench, end: str) -> None:
    path = bench.program(f"{LITTER}; {end}")
    bench.run(path) if end == GOOD else bench.failure(path)
    assert files(bench) == ["old"]


def test_the_work_root_may_be_in_the_place_that_is_cleaned(bench: Bench) -> None:
    path, bench.cleans = bench.program(f"touch {bench.folder}/new; {GOOD}"), bench.folder
    for _ in range(2):
        assert bench.run(path).run.exit_code == 0
        assert not (bench.folder / "new").exists()


def test_a_process_that_cannot_be_attributed_to_a_run_is_killed_after_it(bench: Bench) -> None:
    sleeper = bench.program(HIDDEN)
    bench.run(bench.program(f"sleeper={sleeper}; {LEAVES_ALL_MARKS}; {GOOD}"))
    assert alive(bench) == 0


def test_where_this_user_runs_other_programs_nothing_is_removed(bench: Bench) -> None:
    bench.cleans = None
    sleeper = bench.program(HIDDEN)
    bench.run(bench.program(f"{LITTER}; sleeper={sleeper}; {LEAVES_ALL_MARKS}; {GOOD}"))
    assert files(bench) == ["a", "d", "old"]
    assert alive(bench) == 1
    subprocess.run(["kill", "-9", *(bench.aside / "pids").read_text().split()], check=True)


def test_a_process_that_was_there_at_start_is_left_alone(bench: Bench) -> None:
    with subprocess.Popen(["sleep", "60"]) as earlier:
        (bench.aside / "pids").write_text(f"{earlier.pid}\n")
        bench.run(bench.program(GOOD))
        assert earlier.poll() is None
        earlier.kill()


def test_while_another_run_is_live_nothing_is_removed(bench: Bench) -> None:
    for fifo in ("up", "go"):
        os.mkfifo(bench.aside / fifo)
    slow = f"{LITTER}; echo > $aside/up; cat $aside/go; cp $aside/d $4; {GOOD}"
    with ThreadPoolExecutor() as threads:
        running = threads.submit(bench.porch(bench.program(slow)).run, REQUEST)
        (bench.aside / "up").read_text()
        bench.porch(bench.program(GOOD)).run(PorchRequest("intent-b.json", INTENT, 20.0))
        (bench.aside / "go").write_text("")
        assert running.result().package.files["d"] == b"x\n"
    assert "a" not in files(bench)


def test_files_of_a_run_that_died_with_the_function_are_removed_before_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.clean_up(bench.cleans, bench.root).__enter__()
    (bench.aside / "litter").touch()
    monkeypatch.setattr(workspace, "_live", Counter())  # as in a new process
    result = bench.run(bench.program(f"ls $aside > $4/found; {GOOD}"))
    assert result.package.files["found"] == b"old\npids\n"


def test_files_that_there_was_no_time_to_remove_are_removed_by_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(workspace, "REMOVAL_SECONDS", -1.0)
        bench.porch(bench.program(f"{LITTER}; {GOOD}")).run(REQUEST)
        assert "a" in files(bench)
    bench.run(bench.program(GOOD))
    assert files(bench) == ["old"]


# ---------------------------------------------------------------- where that is


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(sys, "base_prefix", "/var/lang")
    monkeypatch.setattr(os, "geteuid", lambda: 993)
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) in {"/var/runtime", "/opt/extensions"})
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    return monkeypatch


def test_on_lambda_that_is_tmp(on_lambda: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - patches
    assert bootstrap._tmp_of_lambda() == Path("/tmp")  # noqa: S108 - Lambda has it there


def test_elsewhere_it_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "conductor")  # as emulators do
    assert bootstrap._tmp_of_lambda() is None


def test_with_an_extension_or_as_root_it_is_nowhere(on_lambda: pytest.MonkeyPatch) -> None:
    with on_lambda.context() as patched:
        patched.setattr(Path, "iterdir", lambda _: iter([Path("/opt/extensions/insights")]))
        assert bootstrap._tmp_of_lambda() is None
    on_lambda.setattr(os, "geteuid", lambda: 0)
    assert bootstrap._tmp_of_lambda() is None
