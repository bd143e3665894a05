"""Another program on the same intents and the same porch: how fast, and how many lost, doubled, misreported.

The peer is a conductor-loop for a directory: ``PATH -handoff DIR -porch PORCH -out DIR -mode direct -once``, its best
mode, since it then waits for no watcher. Our figures beside it are those of the burst.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.burst import Burst
from bench.function import PORCH
from bench.lines import Line, skipped, told

_WAIT_SECONDS = 120
_LOGGED = """#!/bin/sh
while [ "$1" != -intent ]; do shift; done
basename "$2" >> "{log}"
exec "{porch}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the peer made of the intents."""

    seconds: float
    finished: bool
    lost: int  # neither run nor told of
    doubled: int  # run more than once
    misreported: int  # told to have gone otherwise than it went


def run(program: str | None, count: int) -> list[Line]:
    """Hand the peer as many intents; without a peer, say so."""
    what = f"another program on {count:,} intents"
    if program is None:
        return [skipped("peer", what, "no program given: make bench PEER=PATH")]
    if not os.access(program, os.X_OK):
        return [skipped("peer", what, f"{program} is no program that can be run")]
    result = _raced(program, count)
    ended = "" if result.finished else f"; stopped after {_WAIT_SECONDS} s"
    return [
        told("peer", what, f"{result.seconds:.0f} s, {count / result.seconds:.1f}/s", count / result.seconds, ended),
        told("peer", "lost; run twice; misreported", f"{result.lost}; {result.doubled}; {result.misreported}"),
    ]


def _raced(program: str, count: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        handoff, out, log, porch = (root / name for name in ("handoff", "out", "runs", "porch"))
        handoff.mkdir()
        out.mkdir()
        log.touch()
        porch.write_text(_LOGGED.format(log=log, porch=PORCH))
        porch.chmod(0o755)
        burst = Burst(count, 0, None, "", None, "peer")
        for file in burst.files():
            (handoff / file).write_bytes(burst.body(file))
        begun = time.monotonic()
        finished = _ran(
            [program, "-handoff", str(handoff), "-porch", str(porch), "-out", str(out), "-mode", "direct", "-once"]
        )
        return _judged(burst.files(), root, time.monotonic() - begun, finished=finished)


def _ran(command: list[str]) -> bool:
    """Run it to its end, if it comes to one."""
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True) as peer:
        try:
            peer.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(peer.pid, signal.SIGKILL)
            return False
    return True


def _judged(files: list[str], root: Path, seconds: float, *, finished: bool) -> Result:
    runs = Counter((root / "runs").read_text().split())
    packages = {path.parent.name for path in (root / "out").rglob("*") if path.is_file()}
    packages |= {path.name for path in (root / "out").rglob("*")}
    statuses = {path.name: path for path in (root / "handoff").rglob("*.status")}
    lost = misreported = 0
    for file in files:
        status = next((path for name, path in statuses.items() if name.startswith(file.removesuffix(".json"))), None)
        made = any(name.startswith(file.removesuffix(".json")) for name in packages)
        if status is None:
            lost += 1
        elif (json.loads(status.read_text() or "{}").get("status") == "success") != made:
            misreported += 1
    return Result(seconds, finished, lost, sum(times > 1 for times in runs.values()), misreported)
