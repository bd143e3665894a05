"""Programs that run on, print on or fork on: each is ended with its descendants, and no other process is harmed."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits, PorchRequest
from conductor_loop.porch.process import processes

from .porches import GOOD, INTENT, Bench, contained

# Leaves the process group and its environment, but not the session.
IN_A_GROUP = f"{sys.executable} -ISc 'import os, sys; os.setpgid(0, 0); os.execve(sys.argv[1], sys.argv[1:], {{}})'"
THREADS = """
import threading, time
threading.stack_size(65536)
for _ in range(100): threading.Thread(target=time.sleep, args=(60,)).start()
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        yield bench


# ---------------------------------------------------------------- time


def test_a_porch_that_hangs_is_ended_and_timed_out(bench: Bench) -> None:
    bench.timeout_seconds = 0.2
    failed = bench.failure(bench.program("echo starting; echo $$ >> $aside/pids; sleep 60"))
    assert (failed.cause, failed.run.exit_code) == (Cause.PROCESSING_TIMEOUT, -1)
    assert failed.run.stdout == "starting\n"


def test_a_porch_that_hangs_gets_sigterm_before_sigkill(bench: Bench) -> None:
    bench.timeout_seconds = 0.2
    bench.limits = Limits(grace_seconds=20)
    failed = bench.failure(bench.program("trap 'echo goodbye; exit 0' TERM; sleep 60 & wait"))
    assert failed.run.stdout == "goodbye\n"
    assert failed.cause is Cause.PROCESSING_TIMEOUT  # exit code 0 is too late


def test_a_descendant_outside_the_group_gets_sigterm_too(bench: Bench) -> None:
    bench.timeout_seconds = 0.3
    bench.limits = Limits(grace_seconds=20)
    polite = bench.program("trap 'echo > $aside/asked; exit' TERM; echo > $aside/ready; sleep 60 & wait")
    failed = bench.failure(
        bench.program(
            f"""trap 'while [ ! -s $aside/asked ]; do sleep 0.01; done; exit' TERM
            setsid {polite} &
            while [ ! -s $aside/ready ]; do sleep 0.01; done
            while :; do wait; done"""
        )
    )
    assert failed.cause is Cause.PROCESSING_TIMEOUT
    assert (bench.aside / "asked").exists()


@pytest.mark.parametrize("text", ["trap '' TERM; while :; do sleep 60; done", "kill -STOP $$"])
def test_a_porch_that_ignores_sigterm_or_stops_itself_is_killed(bench: Bench, text: str) -> None:
    bench.timeout_seconds = 0.2
    failed = bench.failure(bench.program(f"echo $$ >> $aside/pids; {text}"))
    assert (failed.cause, failed.run.exit_code) == (Cause.PROCESSING_TIMEOUT, -1)


def test_a_porch_that_closes_its_output_is_still_waited_for(bench: Bench) -> None:
    result = bench.run(bench.program("exec >&- 2>&-; sleep 0.1; mkdir $4/p; : > $4/p/Kptfile"))
    assert result.package.files == {"Kptfile": b""}


# ---------------------------------------------------------------- output


@pytest.mark.parametrize("stream", [1, 2])
def test_a_porch_that_prints_without_end_is_ended(bench: Bench, stream: int) -> None:
    failed = bench.failure(bench.program(f"echo $$ >> $aside/pids; yes abcdefg >&{stream}"))
    assert failed.cause is Cause.PORCH_OUTPUT_TOO_LARGE
    assert len(failed.run.stdout + failed.run.stderr) < 17 * 1024


def test_a_gigabyte_of_output_is_read_no_further_than_its_bound(bench: Bench) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failed = bench.failure(bench.program("head -c 1000000000 /dev/zero; echo all of it > $aside/printed"))
    assert failed.cause is Cause.PORCH_OUTPUT_TOO_LARGE
    assert not (bench.aside / "printed").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_the_bound_on_output_is_of_both_streams_together(bench: Bench) -> None:
    bench.limits = Limits(output_bytes=1000)
    program = "head -c {0} /dev/zero; head -c {0} /dev/zero >&2; mkdir $4/p; : > $4/p/Kptfile"
    assert bench.run(bench.program(program.format(500))).run.exit_code == 0
    assert bench.failure(bench.program(program.format(501))).cause is Cause.PORCH_OUTPUT_TOO_LARGE


def test_output_up_to_the_bound_is_read_to_its_end(bench: Bench) -> None:
    result = bench.run(bench.program("head -c 900000 /dev/zero; echo; mkdir $4/p; : > $4/p/Kptfile; echo the end"))
    assert result.run.stdout.endswith("the end\n")


# ---------------------------------------------------------------- processes


@pytest.mark.parametrize(
    "start",
    [
        "$sleeper &",
        "setsid $sleeper &",
        "env -i $sleeper &",
        f"{IN_A_GROUP} $sleeper &",
        "(trap '' TERM HUP; cd /; setsid $sleeper </dev/null >/dev/null 2>&1 &) &",
    ],
)
def test_a_descendant_ends_with_porch(bench: Bench, start: str) -> None:
    sleeper = bench.program("unset PWD OLDPWD; echo $$ >> $aside/pids; exec sleep 60")
    text = f"sleeper={sleeper}\n{start}\nwhile [ ! -s $aside/pids ]; do sleep 0.01; done; {GOOD}"
    assert bench.run(bench.program(text)).run.exit_code == 0  # although the pipes were still open


# Each has an end not far beyond the bound: the machine is not the tests' alone.
@pytest.mark.parametrize(
    "text",
    [
        "for n in $(seq 60); do sleep 60 & echo $! >> $aside/pids; done; wait",
        "for n in $(seq 60); do setsid sleep 60 & echo $! >> $aside/pids; done; wait",
        "bomb() { sleep 0.02; [ $1 = 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & sleep 60; }; }; bomb 5",
        f"exec {sys.executable} -IS -c '{THREADS}'",
    ],
    ids=["one parent", "sessions", "every child a parent", "threads"],
)
def test_a_porch_that_forks_without_end_is_ended_with_its_descendants(bench: Bench, text: str) -> None:
    bench.limits = Limits(tasks=30, grace_seconds=0.1)
    failed = bench.failure(bench.program(text))
    assert failed.cause is Cause.PORCH_KILLED
    assert str(failed).startswith("porch started more than 30 processes and threads and was ended")


def test_no_process_but_a_descendant_is_signalled(bench: Bench) -> None:
    child = subprocess.Popen(["sleep", "60"])
    in_a_session = subprocess.Popen(["sh", "-c", "sleep 60; :"], start_new_session=True)
    bench.timeout_seconds = 0.2
    bench.failure(bench.program("sleep 60"))
    assert [child.poll(), in_a_session.poll()] == [None, None]
    child.kill()
    os.killpg(in_a_session.pid, signal.SIGKILL)
    assert [child.wait(), in_a_session.wait()] == [-signal.SIGKILL] * 2


def test_processes_of_other_users_are_not_listed() -> None:
    if os.geteuid():
        assert os.getpid() in {each.pid for each in processes()}
        assert 1 not in {each.pid for each in processes()}
        return
    with subprocess.Popen(["sleep", "60"], user=65534) as of_another:
        assert of_another.pid not in {each.pid for each in processes()}
        of_another.kill()


def test_a_run_does_not_end_what_another_run_started(bench: Bench) -> None:
    os.mkfifo(bench.aside / "go")
    os.mkfifo(bench.aside / "ready")
    worker = bench.program("echo > $aside/ready; cat $aside/go > $1/Kptfile")
    slow = f"setsid {worker} $4 & wait; echo 'Package successfully created: p'"
    with ThreadPoolExecutor() as threads:
        running = threads.submit(bench.porch(bench.program(slow)).run, PorchRequest("intent-a.json", INTENT, 20.0))
        (bench.aside / "ready").read_text()
        quick = bench.porch(bench.program(GOOD)).run(PorchRequest("intent-b.json", INTENT, 20.0))
        (bench.aside / "go").write_text("unharmed")
        assert running.result().package.files == {"Kptfile": b"unharmed"}
        assert quick.package.name == "cnf-simulator-v1.0.0"


def test_concurrent_runs_each_get_their_own_package(bench: Bench) -> None:
    porch = bench.porch(bench.program("setsid sleep 60 & cp $2 $4; echo 'Package successfully created: p'"))
    requests = [PorchRequest(f"intent-{n}.json", INTENT | {"replicas": n}, 20.0) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(porch.run, requests))
    assert [list(result.package.files) for result in results] == [[request.file] for request in requests]
    assert not any(bench.root.iterdir())


def test_runs_leave_no_thread_and_no_descriptor(bench: Bench) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    path = bench.program("setsid sleep 60 & kill -TERM $$")
    before = held()
    for _ in range(3):
        assert bench.failure(path).run.exit_code == -signal.SIGTERM
    assert held() == before
