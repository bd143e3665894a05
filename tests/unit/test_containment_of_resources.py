"""Programs that use up memory or disk: the failure names the bound, and the next run is unharmed."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits, process

from .porches import LIMITED, LIMITED_SHELL, Bench, contained

PACKAGE = "open(sys.argv[4] + '/Kptfile', 'w').write('x'); print('Package successfully created: p')"
SMALL_FILES = "n=0; while :; do n=$((n + 1)); head -c 100000 /dev/zero > $TMPDIR/$n; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        yield bench


@pytest.mark.parametrize("text", ["bytearray(2**27)", "import mmap\nmmap.mmap(-1, 2**31)"])
def test_a_process_that_takes_too_much_memory_is_out_of_memory(bench: Bench, text: str) -> None:
    bench.limits = Limits(memory_bytes=64 * 1024**2)
    assert bench.failure(bench.python(f"{LIMITED}\n{text}")).cause is Cause.MEMORY_LIMIT


def test_a_child_that_is_started_before_the_limits_are_set_gets_them_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = process._confine

    def confine_late(run: process._Run) -> None:
        while not (bench.aside / "started").exists():
            pass
        real(run)

    monkeypatch.setattr(process, "_confine", confine_late)
    bench.timeout_seconds = 2.0
    child = "pid = os.fork()\nif pid: sys.exit(os.waitpid(pid, 0)[1] and 5)\nopen(aside + '/started', 'w')"
    assert bench.failure(bench.python(f"{child}\n{LIMITED}\nos._exit(1)")).run.exit_code == 5


def test_address_space_may_be_reserved_beyond_the_memory_limit(bench: Bench) -> None:
    bench.limits = Limits(memory_bytes=64 * 1024**2)
    reserve = "mmap.mmap(-1, 600 * 2**20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE, 0)"
    assert bench.run(bench.python(f"{LIMITED}\nimport mmap\nkept = {reserve}\n{PACKAGE}")).package.name == "p"


def test_the_kernel_kills_porch_first_when_memory_runs_out(bench: Bench) -> None:
    wait = "while open('/proc/self/oom_score_adj').read() != '1000\\n': pass"  # set from outside, after the start
    assert bench.run(bench.python(f"{wait}\n{PACKAGE}")).package.name == "p"


@pytest.mark.parametrize(
    "text",
    [
        "exec head -c 2000000 /dev/zero > $4/big",
        "head -c 2000000 /dev/zero > $4/big",
        f"exec {sys.executable} -IS -c 'import sys; open(sys.argv[1], \"wb\").write(bytes(2000000))' $4/big",
    ],
    ids=["killed", "killed below a shell", "refused"],
)
def test_a_porch_that_writes_without_end_is_out_of_disk(bench: Bench, text: str) -> None:
    bench.limits = Limits(file_bytes=1024**2)
    assert bench.failure(bench.program(f"{LIMITED_SHELL}; {text}")).cause is Cause.DISK_FULL


def test_a_full_disk_is_found_before_porch_starts(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = bench.program("touch $aside/started")
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        failed = bench.failure(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (failed.cause, failed.run.exit_code) == (Cause.DISK_FULL, None)
    assert not (bench.aside / "started").exists()


@pytest.mark.parametrize(
    "text",
    [
        SMALL_FILES,
        f"mkdir -p $TMPDIR/a/b/c; export TMPDIR=$TMPDIR/a/b/c; {SMALL_FILES}",
        "n=0; while :; do n=$((n + 1)); : > $4/$n; done",
        "cd $TMPDIR; while :; do mkdir $(printf %0200d 0); cd $(printf %0200d 0) || sleep 60; done",
    ],
    ids=["files", "files in directories", "inodes", "too deep to be measured"],
)
def test_a_porch_that_fills_its_work_directory_is_out_of_disk(bench: Bench, text: str) -> None:
    bench.limits = Limits(disk_bytes=3 * 1024**2, disk_entries=200, grace_seconds=0.1)
    failed = bench.failure(bench.program(text))
    assert failed.cause is Cause.DISK_FULL
    assert str(failed).startswith("porch wrote more than 3145728 bytes or 200 files and was ended")


def test_a_porch_within_all_bounds_may_take_its_time(bench: Bench) -> None:
    text = "for n in $(seq 20); do head -c 50000 /dev/zero > $TMPDIR/$n; sleep 0.01 & done; wait; sleep 0.2"
    result = bench.run(bench.program(f"{text}; : > $4/Kptfile; echo 'Package successfully created: p'"))
    assert result.package.files == {"Kptfile": b""}
