"""Console blocks of the documentation, run line by line as a reader would."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^( *)```console\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)
_END = "-- end of a command --"
_COMMENT = re.compile(r"\s{2,}# .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a block, and what the page says it prints; ``…`` stands for anything."""

    command: str
    prints: str

    def is_matched_by(self, output: str) -> bool:
        """Say whether this is what came."""
        parts = [re.escape(part) for part in _normalized(self.prints).split("…")]
        return re.fullmatch(".*?".join(parts), _normalized(output), re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Block:
    """One console block, and why no test runs it, if none does."""

    where: str
    steps: tuple[Step, ...]
    reason: str | None


def blocks(page: Path) -> Iterator[Block]:
    """Read the console blocks of a page; ``<!-- not run: … -->`` before one says why it is not run."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        reason = _NOT_RUN.search(text[: found.start()])
        lines = [line.removeprefix(found[1]) for line in found[2].splitlines()]
        where = f"{page.name}:{text[: found.start()].count('\n') + 1}"
        yield Block(where, tuple(_steps(lines)), reason and reason[1])


def _steps(lines: list[str]) -> Iterator[Step]:
    command: list[str] = []
    printed: list[str] = []
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield Step("\n".join(command), "\n".join(printed))
            command, printed = [line[2:]], []
        elif command[-1].endswith(("\\", "|")) and not printed:
            command.append(line)
        else:
            printed.append(line)
    yield Step("\n".join(command), "\n".join(printed))


def run(steps: list[Step], folder: Path, environment: Mapping[str, str], seconds: float) -> list[tuple[str, int]]:
    """Type the commands into one shell; what each printed, on either stream, and its exit code."""
    script = "\n".join(
        f"{_COMMENT.sub('', step.command)}\n_code=$?; printf '\\n{_END}%d\\n' $_code; (exit $_code)" for step in steps
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**environment, "TERM": "dumb"}, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=seconds,
    )  # fmt: skip
    parts = re.split(rf"\n{_END}(\d+)\n", done.stdout)
    return list(zip(parts[::2], map(int, parts[1::2]), strict=False))


def reader() -> dict[str, str]:
    """Return the environment of a shell that has just been opened."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CONDUCTOR_", "MAKE", "MFLAGS", "SAM_"))
    }


def _normalized(text: str) -> str:
    """Leave out what a terminal would have written over, and spaces at the ends of lines."""
    return "\n".join(line.rpartition("\r")[2].rstrip() for line in text.strip().splitlines())
