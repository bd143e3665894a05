"""Programs that use up memory or disk: each is named for what it did, and the next run is unharmed."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits

from .porches import LIMITED, LIMITED_SHELL, Bench, contained


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        yield bench


def test_a_porch_that_allocates_without_end_is_out_of_memory(bench: Bench) -> None:
    bench.limits = Limits(memory_bytes=64 * 1024**2)
    failed = bench.failure(bench.python("hoard = []\nwhile True: hoard.append(bytearray(2**20))"))
    assert failed.cause is Cause.MEMORY_LIMIT


def test_address_space_may_be_reserved_beyond_the_memory_limit(bench: Bench) -> None:
    bench.limits = Limits(memory_bytes=64 * 1024**2)
    result = bench.run(
        bench.python(
            """
            import mmap
            reserved = mmap.mmap(-1, 600 * 2**20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE, 0)
            open(sys.argv[4] + "/Kptfile", "w").write("x")
            print("Package successfully created: p")
            """
        )
    )
    assert result.package.name == "p"


def test_shared_memory_is_bounded_too(bench: Bench) -> None:
    bench.limits = Limits(memory_bytes=64 * 1024**2)
    failed = bench.failure(bench.python(LIMITED + "import mmap\nmmap.mmap(-1, 2**31)"))
    assert failed.cause is Cause.MEMORY_LIMIT


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
        "n=0; while :; do n=$((n + 1)); head -c 500000 /dev/zero > $4/$n; done",
        "while :; do mkdir $TMPDIR/x; cd $TMPDIR/x; export TMPDIR=$PWD; head -c 500000 /dev/zero > big; done",
    ],
    ids=["file by file", "deeper and deeper"],
)
def test_a_porch_that_fills_the_disk_with_small_files_is_out_of_disk(bench: Bench, text: str) -> None:
    bench.limits = Limits(disk_bytes=20 * 1024**2)
    failed = bench.failure(bench.program(text))
    assert failed.cause is Cause.DISK_FULL
    assert str(failed).startswith("porch wrote more than 20971520 bytes or 10000 files and was ended")


def test_a_porch_that_fills_the_disk_where_nobody_can_look_is_out_of_disk(bench: Bench) -> None:
    bench.limits = Limits(disk_bytes=20 * 1024**2)
    failed = bench.failure(
        bench.python(
            """
            os.chdir(os.environ["TMPDIR"])
            for level in range(25):  # longer than the longest path
                os.mkdir("x" * 200)
                os.chdir("x" * 200)
            n = 0
            while True:
                n += 1
                open(str(n), "wb").write(bytes(500000))
            """
        )
    )
    assert failed.cause is Cause.DISK_FULL


def test_a_porch_that_uses_up_inodes_is_out_of_disk(bench: Bench) -> None:
    bench.limits = Limits(disk_entries=2000)
    failed = bench.failure(bench.python("n = 0\nwhile True: n += 1; open(f'{sys.argv[4]}/{n}', 'x').close()"))
    assert failed.cause is Cause.DISK_FULL
    assert "or 2000 files and was ended" in str(failed)


def test_memory_is_bounded_for_all_processes_together(bench: Bench) -> None:
    bench.limits = Limits(memory_bytes=96 * 1024**2)
    hoard = "hoard = b'x' * (40 * 2**20)\nos.fork(); os.fork()\nhoard = bytearray(hoard)\nsignal.pause()"
    failed = bench.failure(bench.python(f"{hoard}"))
    assert failed.cause is Cause.MEMORY_LIMIT
    assert str(failed).startswith("porch and what it started used more than 100663296 bytes of memory and was ended")


def test_what_is_under_all_bounds_may_take_its_time(bench: Bench) -> None:
    text = "for n in $(seq 20); do head -c 50000 /dev/zero > $TMPDIR/$n; sleep 0.01 & done; wait; sleep 0.2"
    result = bench.run(bench.program(f"{text}; : > $4/Kptfile; echo 'Package successfully created: p'"))
    assert result.package.files == {"Kptfile": b""}
