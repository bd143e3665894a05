"""Which stack a command is about: the local one, where nothing else is said."""

import os
import re
from pathlib import Path

import click
from click.core import ParameterSource

_DEFAULT = "conductor-loop"
_CHOSEN = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "HANDOFF_BUCKET")  # who sets one means that place
_TAKEN = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "STACK_NAME")
_LINE = re.compile(r"export ([A-Z_]+)='([^']*)'")
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:[0-9]+")


def stack_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Give the stack of --stack or the environment, else that of `make up`, else the usual one."""
    if value is not None or context.resilient_parsing:
        return value or ""
    local = {} if any(os.environ.get(name) for name in _CHOSEN) else local_variables(Path.cwd())
    if not local:
        return _DEFAULT
    os.environ.update(local)
    context.set_parameter_source(parameter.name or "", ParameterSource.ENVIRONMENT)
    click.echo(f"the local stack on {local['AWS_ENDPOINT_URL']} (.local/env)", err=True)
    return local["STACK_NAME"]


def local_variables(folder: Path) -> dict[str, str]:
    """Read what `make up` has written in this folder or one above; nothing unless it leads to this machine."""
    path = next((found for one in (folder, *folder.parents) if (found := one / ".local/env").is_file()), None)
    if path is None:
        return {}
    written = dict(_LINE.findall(path.read_text("utf-8", "replace")))
    if not _LOOPBACK.fullmatch(written.get("AWS_ENDPOINT_URL", "")) or not written.keys() >= set(_TAKEN):
        return {}
    return {name: written[name] for name in _TAKEN}
