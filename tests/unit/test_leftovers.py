"""What runs leave beside their own directories: removed where nobody else writes, and left alone anywhere else."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conductor_loop import bootstrap
from conductor_loop.porch import Request, memory

from .porches import GOOD, INTENT, Bench, contained

REQUEST = Request("intent-a.json", INTENT, 20.0)
LITTER = "mkdir -p $aside/a/b; echo x > $aside/a/b/c; ln -s / $aside/a/link; echo x > $aside/d; chmod 0 $aside/a/b"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        (bench.aside / "old").write_text("old")
        bench.cleans = bench.aside
        yield bench


def lying(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.aside.iterdir())


def test_what_a_run_leaves_elsewhere_is_removed(bench: Bench) -> None:
    bench.run(bench.program(f"{LITTER}; {GOOD}"))
    assert lying(bench) == ["old"]


def test_the_work_root_may_lie_in_the_place_that_is_cleaned(bench: Bench) -> None:
    bench.cleans = bench.folder
    path = bench.program(f"{LITTER}; {GOOD}")
    time.sleep(0.02)  # the clock of the file system ticks: so the program is older than the run
    for _ in range(2):
        assert bench.run(path).run.exit_code == 0
        assert lying(bench) == ["old"]


def test_shared_memory_that_a_run_leaves_is_removed(bench: Bench) -> None:
    before = list(memory.segments(0))
    bench.run(bench.program(f"ipcmk -M 1000; {GOOD}"))
    assert list(memory.segments(0)) == before


def test_what_a_failed_run_leaves_elsewhere_is_removed(bench: Bench) -> None:
    bench.failure(bench.program(f"{LITTER}; exit 7"))
    assert lying(bench) == ["old"]


def test_only_on_lambda_is_tmp_taken_for_the_functions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "conductor")  # as emulators do
    assert bootstrap._tmp_of_lambda() is None
    monkeypatch.setattr(sys, "base_prefix", "/var/lang")
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) == "/var/runtime")
    monkeypatch.setattr(os, "geteuid", lambda: 993)
    assert bootstrap._tmp_of_lambda() == Path("/tmp")  # noqa: S108 - Lambda has it there
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert bootstrap._tmp_of_lambda() is None


def test_where_an_extension_runs_tmp_is_not_the_functions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    extensions: list[Path] = []
    monkeypatch.setattr(sys, "base_prefix", "/var/lang")
    monkeypatch.setattr(os, "geteuid", lambda: 993)
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) in {"/var/runtime", "/opt/extensions"})
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(extensions))
    assert bootstrap._tmp_of_lambda() == Path("/tmp")  # noqa: S108 - Lambda has it there
    extensions.append(Path("/opt/extensions/insights"))
    assert bootstrap._tmp_of_lambda() is None


def test_folders_deeper_than_any_path_are_removed(bench: Bench) -> None:
    deep = "for _ in range(1500): os.mkdir('deeper'); os.chdir('deeper')"
    text = f"open(sys.argv[4] + '/Kptfile', 'w').write('x'); os.chdir(aside)\n{deep}\n"
    bench.run(bench.python(f"{text}print('Package successfully created: p')"))
    assert lying(bench) == ["old"]


def test_what_there_is_no_time_to_clean_is_removed_by_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("conductor_loop.porch.leftovers.REMOVAL_SECONDS", -1.0)
        assert bench.porch(bench.program(f"{LITTER}; {GOOD}")).run(REQUEST).run.exit_code == 0
        assert "a" in lying(bench)
    bench.run(bench.program(GOOD))
    assert lying(bench) == ["old"]


def test_where_others_write_too_nothing_is_removed(bench: Bench) -> None:
    bench.cleans = None
    bench.run(bench.program(f"{LITTER}; {GOOD}"))
    assert lying(bench) == ["a", "d", "old"]


def test_what_somebody_alive_has_open_stays(bench: Bench) -> None:
    with (bench.aside / "log").open("w") as log:
        bench.run(bench.program(f"echo x > $aside/log; {GOOD}"))
    assert lying(bench) == ["log", "old"]
    assert log.closed


def test_while_a_run_goes_on_its_files_stay(bench: Bench) -> None:
    for fifo in ("up", "go"):
        os.mkfifo(bench.aside / fifo)
    slow = f"{LITTER}; echo > $aside/up; cat $aside/go; cp $aside/d $4; {GOOD}"
    with ThreadPoolExecutor() as threads:
        running = threads.submit(bench.porch(bench.program(slow)).run, Request("intent-a.json", INTENT, 20.0))
        (bench.aside / "up").read_text()
        bench.porch(bench.program(GOOD)).run(Request("intent-b.json", INTENT, 20.0))
        (bench.aside / "go").write_text("")
        assert running.result().package.files["d"] == b"x\n"
    assert "a" not in lying(bench)


def test_what_a_dead_process_left_elsewhere_is_removed_before_the_next_run(bench: Bench) -> None:
    os.mkfifo(bench.aside / "up")
    script = "import sys; from pathlib import Path; from conductor_loop.porch import Porch, Request\n"
    script += "porch = Porch(sys.argv[1], work_root=Path(sys.argv[2]), cleans=Path(sys.argv[3]))\n"
    script += "porch.run(Request('intent-z.json', {}, 60.0))"
    path = bench.program(f"{LITTER}; echo > $aside/up; sleep 60")
    with subprocess.Popen([sys.executable, "-c", script, path, str(bench.root), str(bench.folder)]) as process:
        (bench.aside / "up").read_text()
        process.kill()
    assert "a" in lying(bench)
    result = bench.run(bench.program(f"ls $aside > $4/found; {GOOD}"))
    assert result.package.files["found"] == b"old\n"
