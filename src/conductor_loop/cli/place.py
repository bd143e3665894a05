"""Which stack a command is about: the local one, where nothing else is named."""

import os
import re
from pathlib import Path

import click
from click.core import ParameterSource

DEFAULT = "conductor-loop"
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_CHOSEN = ("AWS_ENDPOINT_URL", *_PROFILES, "AWS_ACCESS_KEY_ID", "HANDOFF_BUCKET")  # who sets one means that place
_TAKEN = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "STACK_NAME")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_OF_LOCAL = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "STACK_NAME", "HANDOFF_BUCKET")  # beside the keys
_LINE = re.compile(r"export ([A-Z_]+)='([^']*)'")
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:[0-9]+")


def stack_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Give the stack of --stack or the environment, else that of `make up`, else the usual one."""
    if value is not None or context.resilient_parsing:
        return value or ""
    local = take_local()
    if not local:
        return DEFAULT
    context.set_parameter_source(parameter.name or "", ParameterSource.ENVIRONMENT)
    click.echo(f"the local stack on {local['AWS_ENDPOINT_URL']} (.local/env)", err=True)
    return local["STACK_NAME"]


def take_local() -> dict[str, str]:
    """Take what `make up` has written into the environment, where nothing there says otherwise; what was taken."""
    local = {} if any(os.environ.get(name) for name in _CHOSEN) else local_variables(Path.cwd())
    os.environ.update(local)
    return local


def local_variables(folder: Path) -> dict[str, str]:
    """Read what `make up` has written in this folder or one above; nothing unless it leads to this machine."""
    path = next((found for one in (folder, *folder.parents) if (found := one / ".local/env").is_file()), None)
    written = dict(_LINE.findall(path.read_text("utf-8", "replace"))) if path else {}
    if not _LOOPBACK.fullmatch(written.get("AWS_ENDPOINT_URL", "")) or not written.keys() >= set(_TAKEN):
        return {}
    return {name: written[name] for name in _TAKEN}


def take_region() -> None:
    """Have AWS_REGION count before AWS_DEFAULT_REGION, the only one that botocore reads, as for AWS CLI v2."""
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region


def endpoints() -> list[str]:
    """Name the variables that set an endpoint."""
    return sorted(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL"))


def used(region: str) -> str:
    """Name the credentials, the region and the endpoint that the SDK uses."""
    keys = "keys of AWS_ACCESS_KEY_ID" if os.environ.get("AWS_ACCESS_KEY_ID") else f"profile {_profile() or 'default'}"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return ", ".join([keys, f"region {region}", *([f"endpoint {endpoint}"] if endpoint else [])])


def warn_of_profile() -> None:
    """Name what of the environment the SDK uses before the profile that is named: its keys, its endpoint."""
    name, endpoint, keys = _profile(), os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ACCESS_KEY_ID")
    if not name or not (keys or endpoint):
        return
    unset = " ".join(one for one in (_KEYS + _OF_LOCAL if endpoint else _KEYS) if os.environ.get(one))
    taken = f" and the endpoint {endpoint}" if endpoint else ""
    if keys:
        warning = f"profile {name} is not used, but the keys{taken} of the environment; for it: unset {unset}"
    else:
        warning = f"profile {name} is used at {endpoint}, the endpoint of the environment; for AWS: unset {unset}"
    click.echo(warning, err=True)


def _profile() -> str | None:
    return next((found for one in _PROFILES if (found := os.environ.get(one))), None)
