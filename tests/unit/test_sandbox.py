"""A system that refuses what it can, and what porch cannot learn of us."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .porches import GOOD, Bench, contained


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contained(tmp_path) as bench:
        yield bench


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
from conductor_loop.porch import Limits, Porch, PorchFailed, PorchRequest

refuse(*map(int, sys.argv[3:]))
porch = Porch(sys.argv[1], work_root=Path(sys.argv[2]), limits=Limits(grace_seconds=0.2))
print(porch.run(PorchRequest("intent-a.json", {}, 20.0)).package.name)
try:
    porch.run(PorchRequest("intent-hang.json", {}, 0.2))
except PorchFailed as failed:
    print(failed.cause)
"""
_PRLIMIT = {"x86_64": 302, "aarch64": 261}.get(platform.machine())
_PRCTL = {"x86_64": 157, "aarch64": 167}.get(platform.machine())


@pytest.mark.skipif(_PRLIMIT is None, reason="the number of prlimit is known for Lambda's architectures only")
def test_in_a_sandbox_that_refuses_prlimit_runs_still_end_completely(bench: Bench) -> None:
    path = bench.program(
        f"setsid sleep 60 & echo $! >> $aside/pids; echo $$ >> $aside/pids\ncase $2 in *hang*) sleep 60;; esac; {GOOD}"
    )
    done = subprocess.run(
        [sys.executable, "-c", _SECCOMP, path, str(bench.root), str(_PRLIMIT)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "cnf-simulator-v1.0.0\nPROCESSING_TIMEOUT\n"


# Runs a program as an ordinary user, who may read what processes of the same user let be read: hardened and, to show
# that the test asks rightly, not.
_UNPRIVILEGED = """
import ctypes, os, sys
from pathlib import Path
from conductor_loop.porch import Limits, Porch, PorchRequest, process

if sys.argv[3] == "bare":
    process.harden_process = lambda: None
if os.geteuid() == 0 and sys.argv[3] != "refused":
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as after any exec
os.environ["SET_LATER"] = "1"
print(Porch(sys.argv[1], work_root=Path(sys.argv[2])).run(PorchRequest("intent-a.json", {}, 20.0)).run.stdout, end="")
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
print(os.environ["AWS_SECRET_ACCESS_KEY"], libc.getenv(b"AWS_SECRET_ACCESS_KEY").decode())
"""
_SPY = """
reads() { (cat < /proc/$PPID/$1) 2>/dev/null | head -c 100000 | tr '\\0' '\\n' | grep -q "$2" && echo "$1 is read"; }
reads environ AWS_SECRET_ACCESS_KEY=ours
(exec 3< /proc/$PPID/mem) 2>/dev/null && echo 'mem is read'
ls /proc/$PPID/fd >/dev/null 2>&1 && echo 'fd is read'
reads status State
: > $4/Kptfile
echo 'Package successfully created: p'
"""


def _spied(how: str) -> list[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        program = Path(folder) / "porch"
        program.write_text(f"#!/bin/sh\n{_SPY}")
        program.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", _UNPRIVILEGED, str(program), f"{folder}/root", how],
            env={**os.environ, "AWS_SECRET_ACCESS_KEY": "ours"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return done.stdout.splitlines()


def test_porch_cannot_read_the_functions_environment_memory_and_descriptors() -> None:
    assert _spied("hardened") == ["status is read", "Package successfully created: p", "ours ours"]


def test_unhardened_it_could() -> None:
    assert _spied("bare")[:4] == ["environ is read", "mem is read", "fd is read", "status is read"]


def test_where_prctl_is_denied_the_environment_is_unreadable_all_the_same(tmp_path: Path) -> None:
    program = tmp_path / "porch"
    program.write_text(f"#!/bin/sh\n{_SPY}")
    program.chmod(0o755)
    script = _SECCOMP.partition("from pathlib")[0] + f"refuse({_PRCTL})\n" + _UNPRIVILEGED
    done = subprocess.run(
        [sys.executable, "-c", script, str(program), str(tmp_path / "root"), "refused"],
        env={**os.environ, "AWS_SECRET_ACCESS_KEY": "ours"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "ours ours"
    assert "environ is read" not in done.stdout
