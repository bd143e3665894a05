"""The examples in the help of the commands, and a folder in which they can be run."""

import re
from pathlib import Path

import click

from dev.commands import leaves

ROOT = Path(__file__).parents[1]


def examples(path: str) -> list[str]:
    """Give the command lines below "Example" in the help of the command that one types so."""
    command = dict(leaves())[path]
    text = f"{command.help or ''}\n\n{command.epilog or ''}"
    found = re.findall(r"Examples?[^\n]*:\n((?:[ ]*\S[^\n]*\n?)+)", click.unstyle(text).replace("\b", ""))
    lines = "".join(found).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if "conductor-loop" in line]


def offices(folder: Path) -> Path:
    """Make a folder that looks like the repository to the examples; they may write into it."""
    for name in ("examples", "layers", "schemas"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "config.json").write_text('{"processing": {"retry_delay": "2s"}}\n')
    return folder
