"""Programs that run on, print on or fork on: each is ended with all it started, and harms no other run."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conductor_loop.errors import Cause
from conductor_loop.porch import Limits, Request, process
from conductor_loop.porch.brand import MARK

from .porches import GOOD, INTENT, LIMITED, LIMITED_SHELL, Bench, contained, is_alive, other_worker

THREADS = """
import threading, time
threading.stack_size(65536)
for _ in range(1500): threading.Thread(target=time.sleep, args=(60,)).start()
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


def test_a_gigabyte_of_output_is_read_no_further_than_its_bound(bench: Bench) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failed = bench.failure(bench.program("head -c 1000000000 /dev/zero; echo all of it > $aside/printed"))
    assert failed.cause is Cause.PORCH_OUTPUT_TOO_LARGE
    assert not (bench.aside / "printed").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_the_bound_on_output_holds_for_both_streams_together(bench: Bench) -> None:
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
        "setsid env -i $sleeper &",
        "(trap '' TERM HUP; cd /; setsid env -i $sleeper </dev/null >/dev/null 2>&1 &) &",
        "set -m; $sleeper &",
    ],
)
def test_what_porch_leaves_running_ends_with_it(bench: Bench, start: str) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; exec sleep 60")
    text = f"sleeper={sleeper}\n{start}\nwhile [ ! -s $aside/pids ]; do sleep 0.01; done; {GOOD}"
    assert bench.run(bench.program(text)).run.exit_code == 0  # although the pipes were still held


# Each has an end far beyond the bound: as root no limit on processes holds, and the machine is not the tests' alone.
@pytest.mark.parametrize(
    "text",
    [
        "for n in $(seq 1500); do sleep 60 & echo $! >> $aside/pids; done; wait",
        "for n in $(seq 1500); do setsid env -i sleep 60 & echo $! >> $aside/pids; done; wait",
        "bomb() { sleep 0.05; [ $1 = 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & sleep 60; }; }; bomb 10",
        f"exec {sys.executable} -IS -c '{THREADS}'",
    ],
    ids=["one parent", "sessions", "every child a parent", "threads"],
)
def test_a_porch_that_forks_without_end_is_ended_with_all_its_children(bench: Bench, text: str) -> None:
    failed = bench.failure(bench.program(text))
    assert failed.cause is Cause.PORCH_KILLED
    assert str(failed).startswith("porch started more than 256 processes and threads and was ended")


def test_who_left_the_group_is_asked_before_it_is_killed_too(bench: Bench) -> None:
    bench.timeout_seconds = 0.3
    bench.limits = Limits(grace_seconds=20)
    polite = bench.program("trap 'echo asked > $aside/polite; exit' TERM; echo > $aside/ready; sleep 60 & wait")
    failed = bench.failure(
        bench.program(
            f"""trap 'while [ ! -s $aside/polite ]; do sleep 0.01; done; exit' TERM
            setsid {polite} &
            while [ ! -s $aside/ready ]; do sleep 0.01; done
            while :; do wait; done"""
        )
    )
    assert failed.cause is Cause.PROCESSING_TIMEOUT
    assert (bench.aside / "polite").read_text() == "asked\n"


# Gives up each mark that an unprivileged program can give up: its session, its environment, and its limit's value.
ESCAPE = (
    LIMITED
    + """
if os.fork():
    while not os.path.exists(aside + "/pids"): time.sleep(0.001)
    open(sys.argv[4] + "/Kptfile", "w").write("x")
    print("Package successfully created: p")
    sys.exit()
os.setsid()
resource.setrlimit(10, (value, value))
if os.fork() == 0:
    os.execve(sleeper, [sleeper], {})
"""
)


@pytest.mark.parametrize("value", ["0", "12345", "2**62 + (os.getppid() << 38)", "2**62 + ({} << 38)"])
def test_who_lowers_the_limit_that_marks_a_run_is_ended_all_the_same(bench: Bench, value: str) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; exec sleep 60")
    living = os.getppid()  # somebody who is no worker
    result = bench.run(bench.python(f"value, sleeper = {value.format(living)}, {sleeper!r}\n{ESCAPE}"))
    assert result.package.name == "p"


@pytest.mark.parametrize("locks", [0, 1000, 2**38, 2**61])
def test_who_has_a_limit_on_locks_of_his_own_is_left_alone(bench: Bench, locks: int) -> None:
    with subprocess.Popen(["prlimit", f"--locks={locks}:{locks}", "sleep", "5"], start_new_session=True) as bystander:
        while resource.prlimit(bystander.pid, 10)[1] != locks:
            time.sleep(0.001)
        bench.run(bench.program(f"sleep 0.2; {GOOD}"))  # long enough for a look
        assert bystander.poll() is None
        bystander.kill()


def test_who_lowers_the_limit_that_marks_a_run_does_not_live_to_its_end(bench: Bench) -> None:
    assert bench.run(bench.python(OUTLAW)).package.files == {"killed-by": b"9"}


OUTLAW = (
    LIMITED
    + """
outlaw = os.fork()
if not outlaw:
    os.setsid()
    resource.setrlimit(10, (0, 0))
    os.execve("/bin/sleep", ["sleep", "60"], {})
killed_by = os.WTERMSIG(os.waitpid(outlaw, 0)[1])
open(sys.argv[4] + "/killed-by", "w").write(str(killed_by))
print("Package successfully created: p")
"""
)


def test_what_a_dead_worker_left_running_is_ended_by_the_next_run(bench: Bench) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; echo > $aside/up; exec sleep 60")
    with other_worker(bench, f"{LIMITED_SHELL}\nsetsid env -i {sleeper}") as worker:
        worker.kill()
    assert bench.run(bench.program(GOOD)).run.exit_code == 0  # and the bench holds that the sleeper is dead


def test_what_a_dead_worker_left_running_is_ended_before_anybody_has_reaped_the_worker(bench: Bench) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; echo > $aside/up; exec sleep 60")
    with other_worker(bench, f"{LIMITED_SHELL}\nsetsid env -i {sleeper}") as worker:
        worker.kill()
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert bench.run(bench.program(GOOD)).run.exit_code == 0
        assert not is_alive(int((bench.aside / "pids").read_text()))


def test_what_a_live_worker_runs_is_left_alone(bench: Bench) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; echo > $aside/up; exec sleep 60")
    with other_worker(bench, f"{LIMITED_SHELL}\nsetsid env -i {sleeper}") as worker:
        bench.porch(bench.program(GOOD)).run(Request("intent-a.json", INTENT, 20.0))
        assert is_alive(int((bench.aside / "pids").read_text()))
        worker.kill()
    bench.run(bench.program(GOOD))


def test_what_a_live_worker_runs_is_left_alone_where_a_limit_keeps_it_from_marking_that(bench: Bench) -> None:
    sleeper = bench.program("echo $$ >> $aside/pids; echo > $aside/up; exec sleep 60")
    limited = ("prlimit", "--locks=4321:4321")
    with other_worker(bench, f"{LIMITED_SHELL}\nsetsid env -i {sleeper} & wait", *limited) as worker:
        bench.porch(bench.program(f"sleep 0.2; {GOOD}")).run(Request("intent-a.json", INTENT, 20.0))
        assert is_alive(int((bench.aside / "pids").read_text()))
        worker.kill()
    bench.run(bench.program(GOOD))  # and the bench holds that now the sleeper is dead


def test_what_others_of_this_process_start_in_the_same_moment_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bystanders: list[subprocess.Popen[bytes]] = []

    def start(command: process.Command) -> subprocess.Popen[bytes]:
        bystanders.append(subprocess.Popen(["sleep", "60"]))
        bystanders.append(subprocess.Popen(["sh", "-c", "sleep 60; :"], start_new_session=True))
        return real(command)

    real = process._start
    monkeypatch.setattr(process, "_start", start)
    bench.run(bench.program(f"sleep 0.2; {GOOD}"))
    monkeypatch.undo()
    try:
        assert [each.poll() for each in bystanders] == [None, None]
        assert [resource.prlimit(each.pid, MARK) for each in bystanders] == [resource.getrlimit(MARK)] * 2
    finally:
        for each in bystanders:
            os.killpg(each.pid, signal.SIGKILL) if each is bystanders[1] else each.kill()
            each.wait()


def test_how_a_child_of_this_process_ended_is_left_for_it_to_learn(bench: Bench) -> None:
    limits = ("--locks=0", "--core=0", "--data=1000000", "--as=100000000", "--nofile=9", "--fsize=9")
    with subprocess.Popen(["prlimit", *limits, "sleep", "60"], start_new_session=True) as child:  # as a run's own
        while resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[1] != 9:
            time.sleep(0.001)
        bench.run(bench.program(GOOD))
        assert child.wait() == -signal.SIGKILL


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


def test_runs_leave_no_thread_and_no_descriptor(bench: Bench) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    path = bench.program("setsid sleep 60 & kill -TERM $$")
    before = held()
    for _ in range(3):
        assert bench.failure(path).run.exit_code == -signal.SIGTERM
    assert held() == before
