"""The programs of .local/bin, which `. .local/env` puts on the PATH, and no others of their environments."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LINKS = ("conductor-loop", "conductor-loop-validator")
_SCRIPTS = {  # those that need more than their environment
    # It asks AWS itself for some services, SQS among them, unless the endpoint is on the command line.
    "aws": 'exec "$folder"/tools/bin/aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"',
    # Without these it, and the pip that it calls, write to HOME, and fail where they may not.
    "sam": (
        'export SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR="$folder/cache/sam"\n'
        'export PIP_CACHE_DIR="${PIP_CACHE_DIR:-$folder/cache/pip}"\n'
        'exec "$folder"/tools/bin/sam "$@"'
    ),
    # `sam build` wants a python3.13 that has pip; a link would lose its environment.
    "python3.13": 'exec "$folder"/tools/bin/python3.13 "$@"',
}


def link_programs(local: Path) -> Path:
    """Fill the folder ``bin`` of .local, and give it."""
    programs = local / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in _LINKS:
        with _new(programs / name) as program:
            program.symlink_to(Path("../../.venv/bin") / name)
    for name, script in _SCRIPTS.items():
        with _new(programs / name) as program:
            program.write_text(f"#!/bin/sh\nfolder={shlex.quote(str(local))}\n{script}\n")
            program.chmod(0o755)
    return programs


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    """Give a path to make a file at, and put it in its place at once: another stack may start just now."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    yield beside
    beside.replace(path)
