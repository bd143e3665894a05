"""The comparison with another program, tried on programs that do it well and badly."""

import stat
import sys
from pathlib import Path

import pytest

from bench import peer

pytestmark = pytest.mark.long  # a program for each intent

PROGRAM = """#!{python}
import json, pathlib, subprocess, sys
options = dict(zip(sys.argv[1:-1:2], sys.argv[2::2]))
handoff, out = pathlib.Path(options["-handoff"]), options["-out"]
(handoff / "status").mkdir()
for number, file in enumerate(sorted(handoff.glob("*.json"))):
    for _ in range({times}):
        subprocess.run([options["-porch"], "-intent", str(file), "-out", out], check=True, stdout=subprocess.DEVNULL)
    if number or not {loses}:
        (handoff / "status" / (file.name + ".status")).write_text(json.dumps(dict(status="{says}")))
"""


MIXED = """#!{python}
import json, pathlib, subprocess, sys
options = dict(zip(sys.argv[1:-1:2], sys.argv[2::2]))
handoff, out = pathlib.Path(options["-handoff"]), options["-out"]
for file in handoff.glob("*.json"):
    number = file.stem.rpartition("-")[2]
    said = json.dumps(dict(status="failed" if number == "2" else "success"))
    for _ in range(2 if number == "3" else 1):
        subprocess.run([options["-porch"], "-intent", str(file), "-out", out], check=True, stdout=subprocess.DEVNULL)
    if number == "4":
        said = said[:5]
    if number != "1":
        (handoff / (file.stem + "-20261123.status")).write_text(said)
sys.exit(7)
"""


def program(folder: Path, *, times: int = 1, loses: bool = False, says: str = "success") -> str:
    path = folder / "peer"
    path.write_text(PROGRAM.format(python=sys.executable, times=times, loses=loses, says=says))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ({}, "0; 0; 0"),
        ({"times": 2}, "0; 3; 0"),
        ({"loses": True}, "1; 0; 0"),
        ({"says": "failed"}, "0; 0; 3"),
        ({"times": 0}, "0; 0; 3"),
    ],
)
def test_what_a_peer_loses_doubles_and_misreports_is_seen(tmp_path: Path, made: dict[str, int], found: str) -> None:
    options: dict[str, object] = {**made}
    lines = peer.run(program(tmp_path, **options), 3)  # type: ignore[arg-type]
    assert lines[1].figure == found


def test_an_intent_is_not_taken_for_another_whose_name_begins_likewise(tmp_path: Path) -> None:
    """Of 0 to 11, the first is lost, the second misreported, the third run twice, the fourth's status torn."""
    peers = tmp_path / "peer"
    peers.write_text(MIXED.format(python=sys.executable))
    peers.chmod(0o755)
    lines = peer.run(str(peers), 12)
    assert lines[1].figure == "1; 1; 2"
    assert lines[0].note == "exit code 7"


def test_without_a_peer_the_reason_is_reported() -> None:
    assert peer.run(None, 3)[0].note == "no program given: make bench PEER=PATH"
    assert "no program that can be run" in peer.run("/nowhere", 3)[0].note
