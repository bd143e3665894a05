"""Programs that misbehave: each is ended with all it started, is named for what it did, and harms no other run."""

import os
import platform
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits, PorchFailed, Request
from conductor_loop.porch.workspace import workspace

from .porches import GOOD, INTENT, Bench, is_alive

# The limits are set from outside, right after the start; under load a program may be faster than a moment.
LIMITED = """
import resource, time
while resource.getrlimit(resource.RLIMIT_RTTIME)[1] == resource.RLIM_INFINITY:
    time.sleep(0.001)
"""
LIMITED_SHELL = "while [ $(ulimit -f) = unlimited ]; do sleep 0.01; done"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield a bench, and hold that a good porch still runs on it afterwards, with nothing of the test's alive."""
    bench = Bench(tmp_path)
    yield bench
    bench.timeout_seconds = 20.0
    assert bench.run(bench.program(GOOD)).run.exit_code == 0
    pids = bench.aside / "pids"
    assert [pid for pid in (pids.read_text().split() if pids.exists() else ()) if is_alive(int(pid))] == []


# ---------------------------------------------------------------- time


def test_a_porch_that_hangs_is_ended_and_timed_out(bench: Bench) -> None:
    bench.timeout_seconds = 0.2
    failed = bench.failure(bench.program("echo starting; echo $$ >> $aside/pids; sleep 60"))
    assert (failed.cause, failed.run.exit_code) == (Cause.PROCESSING_TIMEOUT, -1)
    assert failed.run.stdout == "starting\n"


def test_a_porch_that_hangs_is_asked_before_it_is_killed(bench: Bench) -> None:
    bench.timeout_seconds = 0.3
    bench.limits = Limits(grace_seconds=20)
    failed = bench.failure(bench.program("trap 'echo goodbye; exit 0' TERM; sleep 60 & wait"))
    assert failed.run.stdout == "goodbye\n"
    assert failed.cause is Cause.PROCESSING_TIMEOUT  # whatever it answers now is too late


def test_a_porch_that_ignores_the_asking_is_killed(bench: Bench) -> None:
    bench.timeout_seconds = 0.2
    failed = bench.failure(bench.program("trap '' TERM; echo $$ >> $aside/pids; while :; do sleep 60; done"))
    assert (failed.cause, failed.run.exit_code) == (Cause.PROCESSING_TIMEOUT, -1)


def test_a_porch_that_stops_itself_is_killed(bench: Bench) -> None:
    bench.timeout_seconds = 0.2
    failed = bench.failure(bench.program("echo $$ >> $aside/pids; kill -STOP $$"))
    assert failed.cause is Cause.PROCESSING_TIMEOUT


def test_a_porch_that_closes_its_output_is_still_waited_for(bench: Bench) -> None:
    result = bench.run(bench.program("exec >&- 2>&-; sleep 0.1; mkdir $4/p; : > $4/p/Kptfile"))
    assert result.package.files == {"Kptfile": b""}


# ---------------------------------------------------------------- output


@pytest.mark.parametrize("stream", [1, 2])
def test_a_porch_that_prints_without_end_is_ended(bench: Bench, stream: int) -> None:
    failed = bench.failure(bench.program(f"echo $$ >> $aside/pids; yes abcdefg >&{stream}"))
    assert failed.cause is Cause.PORCH_OUTPUT_TOO_LARGE
    assert len(failed.run.stdout + failed.run.stderr) < 17 * 1024


def test_the_bound_on_output_holds_for_both_streams_together(bench: Bench) -> None:
    bench.limits = Limits(output_bytes=1000)
    program = "head -c {0} /dev/zero; head -c {0} /dev/zero >&2; mkdir $4/p; : > $4/p/Kptfile"
    assert bench.run(bench.program(program.format(500))).run.exit_code == 0
    assert bench.failure(bench.program(program.format(501))).cause is Cause.PORCH_OUTPUT_TOO_LARGE


def test_output_up_to_the_bound_is_read_to_its_end(bench: Bench) -> None:
    result = bench.run(bench.program("head -c 900000 /dev/zero; echo; mkdir $4/p; : > $4/p/Kptfile; echo the end"))
    assert result.run.stdout.endswith("the end\n")


# ---------------------------------------------------------------- memory, disk


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


# ---------------------------------------------------------------- processes


@pytest.mark.parametrize(
    "start",
    [
        "$sleeper &",
        "setsid $sleeper &",
        "setsid env -i $sleeper &",
        "(trap '' TERM HUP; cd /; setsid env -i $sleeper </dev/null >/dev/null 2>&1 &) &",
        "set -m; $sleeper &",
    ],
)
def test_what_porch_leaves_running_ends_with_it(bench: Bench, start: str) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; exec sleep 60")
    text = f"sleeper={sleeper}\n{start}\nwhile [ ! -s $aside/pids ]; do sleep 0.01; done; {GOOD}"
    assert bench.run(bench.program(text)).run.exit_code == 0  # although the pipes were still held


def test_a_runaway_forker_is_ended_with_all_its_children(bench: Bench) -> None:
    bench.timeout_seconds = 0.3
    failed = bench.failure(bench.program("while :; do sleep 60 & echo $! >> $aside/pids; done"))
    assert failed.cause is Cause.PROCESSING_TIMEOUT
    assert len((bench.aside / "pids").read_text().split()) > 5


def test_a_runaway_forker_of_sessions_is_ended_with_all_its_children(bench: Bench) -> None:
    bench.timeout_seconds = 0.3
    sleeper = bench.program("echo $$ >> $aside/pids; exec sleep 60")
    text = f"while :; do setsid {sleeper} & sleep 0.005; done"
    assert bench.failure(bench.program(text)).cause is Cause.PROCESSING_TIMEOUT
    assert len((bench.aside / "pids").read_text().split()) > 5


def test_a_run_does_not_end_what_another_run_started(bench: Bench) -> None:
    os.mkfifo(bench.aside / "go")
    os.mkfifo(bench.aside / "ready")
    worker = bench.program("echo > $aside/ready; cat $aside/go > $1/Kptfile")
    slow = f"setsid {worker} $4 & wait; echo 'Package successfully created: p'"
    with ThreadPoolExecutor() as threads:
        running = threads.submit(bench.porch(bench.program(slow)).run, Request("intent-a.json", INTENT, 20.0))
        (bench.aside / "ready").read_text()
        quick = bench.porch(bench.program(GOOD)).run(Request("intent-b.json", INTENT, 20.0))
        (bench.aside / "go").write_text("unharmed")
        assert running.result().package.files == {"Kptfile": b"unharmed"}
        assert quick.package.name == "cnf-simulator-v1.0.0"


def test_many_runs_side_by_side_each_get_their_own_package(bench: Bench) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; exec sleep 60")
    porch = bench.porch(bench.program(f"setsid {sleeper} & cp $2 $4; echo 'Package successfully created: p'"))
    requests = [Request(f"intent-{n}.json", INTENT | {"replicas": n}, 20.0) for n in range(20)]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(porch.run, requests))
    assert [list(result.package.files) for result in results] == [[request.file] for request in requests]
    assert not any(bench.root.iterdir())


# ---------------------------------------------------------------- the work root


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
        bench.porch(bench.program(GOOD)).run(Request("intent-a.json", INTENT, 20.0))
        assert ours.intent.read_bytes() == b"{}"
        assert len(list(bench.root.iterdir())) == 2
        process.communicate(b"\n")


def test_what_is_not_a_runs_is_left_alone(bench: Bench) -> None:
    bench.root.mkdir(mode=0o700)
    (bench.root / "notes").mkdir()
    (bench.root / "run-link").symlink_to(bench.root / "notes")
    bench.porch(bench.program(GOOD)).run(Request("intent-a.json", INTENT, 20.0))
    assert sorted(path.name for path in bench.root.iterdir()) == ["notes", "run-link"]
    (bench.root / "run-link").unlink()
    (bench.root / "notes").rmdir()


def test_a_deep_tree_without_permissions_is_removed(bench: Bench) -> None:
    bench.run(
        bench.python(
            """
            open(sys.argv[4] + "/Kptfile", "w").write("x")
            os.chdir(os.environ["HOME"])
            for level in range(1100):
                open("file", "w").close()
                os.mkdir("deeper")
                os.chdir("deeper")
                os.chmod("..", 0)
            print("Package successfully created: p")
            """
        )
    )


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
        bench.porch(bench.program(GOOD)).run(Request("intent-a.json", INTENT, 20.0))
    assert caught.value.cause is Cause.PORCH_PERMISSION_DENIED
    bench.root.chmod(0o700) if spoil == "chmod" else bench.root.unlink()


# ---------------------------------------------------------------- a sandbox that refuses what it can

_SECCOMP = """
import ctypes, errno, struct, sys

def refuse(*numbers):
    code = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # load the system call's number
    for number in numbers:
        code += [struct.pack("HBBI", 0x15, 0, 1, number), struct.pack("HBBI", 0x06, 0, 0, 0x50000 | errno.EPERM)]
    code.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))  # allow
    text = ctypes.create_string_buffer(b"".join(code))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER

from pathlib import Path
from conductor_loop.porch import Limits, Porch, PorchFailed, Request

refuse(*map(int, sys.argv[3:]))
porch = Porch(sys.argv[1], work_root=Path(sys.argv[2]), limits=Limits(grace_seconds=0.2))
print(porch.run(Request("intent-a.json", {}, 20.0)).package.name)
try:
    porch.run(Request("intent-hang.json", {}, 0.2))
except PorchFailed as failed:
    print(failed.cause)
"""
_PRLIMIT = {"x86_64": 302, "aarch64": 261}.get(platform.machine())
_PIDFD_OPEN = 434  # everywhere


@pytest.mark.skipif(_PRLIMIT is None, reason="the number of prlimit is known for Lambda's architectures only")
def test_in_a_sandbox_that_refuses_prlimit_and_pidfds_runs_still_end_completely(bench: Bench) -> None:
    path = bench.program(
        f"setsid sleep 60 & echo $! >> $aside/pids; echo $$ >> $aside/pids\ncase $2 in *hang*) sleep 60;; esac; {GOOD}"
    )
    done = subprocess.run(
        [sys.executable, "-c", _SECCOMP, path, str(bench.root), str(_PRLIMIT), str(_PIDFD_OPEN)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "cnf-simulator-v1.0.0\nPROCESSING_TIMEOUT\n"


def test_runs_leave_no_thread_and_no_descriptor(bench: Bench) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    path = bench.program("setsid sleep 60 & kill -TERM $$")
    before = held()
    for _ in range(3):
        assert bench.failure(path).run.exit_code == -signal.SIGTERM
    assert held() == before
