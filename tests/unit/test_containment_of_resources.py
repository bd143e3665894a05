"""Programs that use up memory or disk: each is named for what it did, and the next run is unharmed."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits, memory

from .porches import GOOD, LIMITED, LIMITED_SHELL, Bench, contained


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


LIBC = "import ctypes; libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p"
SHARED = {
    "memfd": "for _ in range(5):\n    kept = os.dup(os.memfd_create('x')); os.write(kept, bytes(40 * 2**20))",
    "mappings": "maps = [mmap.mmap(-1, 40 * 2**20) for _ in range(5)]\nfor each in maps: each.write(bytes(40 * 2**20))",
    "one each": "for _ in range(4):\n    if os.fork() == 0: break\n"
    "own = mmap.mmap(-1, 40 * 2**20); own.write(bytes(40 * 2**20))",
    "deleted": "for n in range(5):\n    kept = os.open(f'{shm}/{n}', os.O_CREAT | os.O_RDWR); os.unlink(f'{shm}/{n}')\n"
    "    os.write(kept, bytes(40 * 2**20))",
    "segments": "for _ in range(5):\n    segment = libc.shmget(0, ctypes.c_size_t(40 * 2**20), 0o1600)\n"
    "    at = ctypes.c_void_p(libc.shmat(segment, None, 0)); ctypes.memset(at, 1, 40 * 2**20); libc.shmdt(at)",
    "empty files": "for n in range(20000): open(f'{shm}/{n}', 'x').close()",
    "named": "for n in range(5):\n    with open(f'{shm}/{n}', 'wb') as file: file.write(bytes(40 * 2**20))",
}


@pytest.mark.parametrize("text", SHARED.values(), ids=SHARED)
def test_shared_memory_counts_as_well(bench: Bench, shm: Path, text: str) -> None:
    bench.limits = Limits(memory_bytes=100 * 1024**2)
    before = {each.id for each in memory.segments(0)}
    try:
        failed = bench.failure(bench.python(f"{LIBC}\nimport mmap\nshm = {str(shm)!r}\n{text}\nsignal.pause()"))
    finally:
        for each in memory.segments(0):
            subprocess.run(["ipcrm", "-m", str(each.id)], check=False) if each.id not in before else None
    assert failed.cause is Cause.MEMORY_LIMIT
    assert str(failed).startswith("porch and what it started used more than 104857600 bytes of memory and was ended")


def test_shared_memory_counts_once_however_it_is_shared(bench: Bench, shm: Path) -> None:
    bench.limits = Limits(memory_bytes=100 * 1024**2)
    result = bench.run(
        bench.python(
            f"""
            import mmap, time
            file = os.open({f"{shm}/x"!r}, os.O_CREAT | os.O_RDWR)
            os.write(file, bytes(50 * 2**20))
            maps = mmap.mmap(file, 50 * 2**20), mmap.mmap(-1, 20 * 2**20)
            parent = os.fork() and os.fork() and os.fork()
            for each in maps:
                for n in range(0, len(each), 4096): each[n] = 1
            time.sleep(0.3)  # long enough for a look
            if not parent: os._exit(0)
            for _ in range(3): os.wait()
            open(sys.argv[4] + "/Kptfile", "w").write("x")
            print("Package successfully created: p")
            """
        )
    )
    assert result.package.name == "p"


@pytest.fixture
def shm() -> Iterator[Path]:
    if not memory.SHARED.is_mount():
        pytest.skip("this system has no shared memory with names")
    with TemporaryDirectory(dir=memory.SHARED) as folder:
        yield Path(folder)


@pytest.mark.parametrize("then", ["sleep 60", GOOD], ids=["at a look", "faster than a look"])
def test_a_porch_that_fills_the_disk_beside_its_directory_is_out_of_disk(bench: Bench, then: str) -> None:
    bench.limits = Limits(disk_bytes=20 * 1024**2)
    text = f"for n in 1 2 3; do head -c 10000000 /dev/zero > $aside/$n; done; {then}"
    failed = bench.failure(bench.program(text))
    assert failed.cause is Cause.DISK_FULL
    assert str(failed).startswith("porch wrote more than 20971520 bytes outside its work directory and was ended")


def test_a_porch_is_not_blamed_for_what_others_write(bench: Bench) -> None:
    bench.limits = Limits(disk_bytes=20 * 1024**2)
    path = bench.program(f"echo > $aside/up; cat $aside/go; {GOOD}")
    for fifo in ("up", "go"):
        os.mkfifo(bench.aside / fifo)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(bench.run, path)
        (bench.aside / "up").read_text()
        (bench.aside / "big").write_bytes(bytes(40_000_000))
        time.sleep(0.2)  # long enough for a look
        (bench.aside / "go").write_text("")
        assert running.result().package.name == "cnf-simulator-v1.0.0"


def test_what_is_under_all_bounds_may_take_its_time(bench: Bench) -> None:
    text = "for n in $(seq 20); do head -c 50000 /dev/zero > $TMPDIR/$n; sleep 0.01 & done; wait; sleep 0.2"
    result = bench.run(bench.program(f"{text}; : > $4/Kptfile; echo 'Package successfully created: p'"))
    assert result.package.files == {"Kptfile": b""}
