"""Another program on the same intents and the same porch: how fast, and how many lost, doubled, misreported.

The peer is a conductor-loop for a directory: ``PATH -handoff DIR -porch PORCH -out DIR -mode direct -once``, its best
mode, since it then waits for no watcher. Our figures beside it are those of the burst.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.burst import Burst
from bench.function import PORCH
from bench.lines import Line, reported, skipped

_WAIT_SECONDS = 120
_ABOUT = re.compile(r"intent-peer-[a-z]+-\d+")  # as a burst names them
_LOGGED = """#!/bin/sh
while [ "$1" != -intent ]; do shift; done
basename "$2" >> "{log}"
exec "{porch}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the peer made of the intents."""

    seconds: float
    code: int | None  # that it ended with; None: it was stopped
    lost: int  # not reported, run or not
    doubled: int  # run more than once
    misreported: int  # reported with another result than it had


def run(program: str | None, count: int) -> list[Line]:
    """Hand the peer as many intents; without a peer, say so."""
    what = f"another program on {count:,} intents"
    if program is None:
        return [skipped("peer", what, "no program given: make bench PEER=PATH")]
    if not os.access(program, os.X_OK):
        return [skipped("peer", what, f"{program} is no program that can be run")]
    result = _raced(program, count)
    ended = f"stopped after {_WAIT_SECONDS} s" if result.code is None else f"exit code {result.code}"
    return [
        reported(
            "peer",
            what,
            f"{result.seconds:.0f} s, {count / result.seconds:.1f}/s",
            count / result.seconds,
            ended if result.code != 0 else "",
        ),
        reported("peer", "lost; run twice; misreported", f"{result.lost}; {result.doubled}; {result.misreported}"),
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
        code = _ran(
            [program, "-handoff", str(handoff), "-porch", str(porch), "-out", str(out), "-mode", "direct", "-once"]
        )
        return _classified(burst.files(), root, time.monotonic() - begun, code)


def _ran(command: list[str]) -> int | None:
    """Run it to its end, if it comes to one; its exit code."""
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True) as peer:
        try:
            return peer.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(peer.pid, signal.SIGKILL)
            return None


def _classified(files: list[str], root: Path, seconds: float, code: int | None) -> Result:
    runs = Counter((root / "runs").read_text().split())
    packages = {_intent_of(path.name) for path in (root / "out").rglob("*")}
    said: dict[str, set[bool]] = defaultdict(set)
    for path in (root / "handoff").rglob("*.status"):
        said[_intent_of(path.name)].add(_succeeded(path))
    intents = [_intent_of(file) for file in files]
    lost = sum(intent not in said for intent in intents)
    misreported = sum(intent in said and said[intent] != {intent in packages} for intent in intents)
    return Result(seconds, code, lost, sum(times > 1 for times in runs.values()), misreported)


def _intent_of(name: str) -> str:
    """Find the intent that a file or a folder is about: what follows its number is the program's own to choose."""
    found = _ABOUT.match(name)
    return found[0] if found else ""


def _succeeded(status: Path) -> bool:
    """Return whether a status reports success; an unreadable one does not."""
    try:
        document = json.loads(status.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("status") == "success"
