"""``conductor-loop config``: see and change the configuration of a stack."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from conductor_loop.cli import Group, configuration, console
from conductor_loop.cli.common import FAILED, WrongUsage, speaks_to_aws, stack_command
from conductor_loop.config import Stored
from conductor_loop.config.schema import Effective, InvalidConfig, effective, get, leaves, parse

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group(cls=Group)
def config() -> None:
    """See and change the configuration; a change needs no deploy.

    \b
    Examples:
      conductor-loop --config=config.json --validate-config
      conductor-loop config diff config.json
      conductor-loop config push config.json
      conductor-loop config show
    """  # noqa: D301 - click wants the control character


@config.command()
@click.option("--version", type=click.IntRange(1), help="Print the document of this version, as it was pushed.")
@stack_command
def show(version: int | None, stack: str, *, as_json: bool) -> None:
    """Print the configuration in force: each key, its value, and who set it.

    With --version, it is the document alone, which `conductor-loop config push` takes back. SSM keeps a hundred
    versions.

    \b
    Examples:
      conductor-loop config show
      conductor-loop config show --output json
    """  # noqa: D301 - click wants the control character
    deployed = configuration.deployed(stack)
    if version is not None:
        click.echo(_version(deployed, version), nl=False)
        return
    stored, known = in_force(deployed)
    name = deployed.parameter.name
    said = f"version {stored.version} of {name}" if stored.version else f"{name} has no good document: defaults"
    click.echo(said, err=True)
    click.echo(json.dumps(known.values, indent=2) if as_json else "\n".join(_rows(known)))


@config.command()
@_FILE
@stack_command
def push(file: Path, stack: str, *, as_json: bool) -> None:
    """Make the document FILE the configuration of the stack; a broken one is refused, and changes nothing.

    \b
    Example:
      conductor-loop config push config.json
    """  # noqa: D301 - click wants the control character
    text = _read(file)
    with _refusing():  # before any call to AWS
        document = parse(text)
    deployed = configuration.deployed(stack)
    with _refusing():
        effective(document, deployed.environment)
    newest = deployed.newest
    same = bool(newest.version) and text == newest.text
    version = newest.version if same else deployed.push(text)
    if as_json:
        console.print_json({"version": str(version), "changed": not same})
    age = deployed.environment.get("CONDUCTOR_CONFIG_MAX_AGE", "60s")
    done = f"version {version} is in force within {age}; see it with: conductor-loop config show"
    click.echo(f"version {version} says the same: nothing to do" if same else done, err=True)


@config.command()
@_FILE
@stack_command
def diff(file: Path, stack: str, *, as_json: bool) -> None:
    """Print what would change if the document FILE were pushed: key, value now, value then.

    \b
    Example:
      conductor-loop config diff config.json
    """  # noqa: D301 - click wants the control character
    text = _read(file)
    with _refusing():  # before any call to AWS
        document = parse(text)
    deployed = configuration.deployed(stack)
    _, now = in_force(deployed)
    with _refusing():
        then = effective(document, deployed.environment)
    found = {leaf.dotted: (get(now.values, leaf.path), get(then.values, leaf.path)) for leaf in leaves()}
    changes = {key: {"now": old, "then": new} for key, (old, new) in found.items() if old != new}
    if as_json:
        console.print_json(changes)
        return
    for key, change in changes.items():
        click.echo(f"{key}: {json.dumps(change['now'])} -> {json.dumps(change['then'])}")


@speaks_to_aws
def validate(file: Path, stack: str | None) -> int:
    """Print the report on a document (specification, "Configuration Validation"); the exit code."""
    text = _read(file)
    environment = os.environ if stack is None else configuration.deployed(stack).environment
    found = configuration.inspect(text, environment, {} if stack is None else configuration.probes(stack))
    click.echo(str(found))
    return 0 if found.passed else FAILED


def in_force(deployed: configuration.Deployed) -> tuple[Stored, Effective]:
    """Find the newest version that is good, as the functions do."""
    for stored in (deployed.newest, *deployed.parameter.earlier()):
        try:
            return stored, effective(parse(stored.text), deployed.environment)
        except InvalidConfig as error:
            click.echo(f"version {stored.version} is broken, and not in force: {error}", err=True)
    try:
        return Stored("{}", ""), effective({}, deployed.environment)
    except InvalidConfig as error:
        raise click.ClickException(
            f"the function's own variables are wrong, and no document can correct them: {error}"
        ) from None


def _version(deployed: configuration.Deployed, version: int) -> str:
    """Find the document of a version; end the command where there is none."""
    kept = {stored.version: stored.text for stored in (*deployed.parameter.earlier(), deployed.newest)}
    if str(version) in kept:
        return kept[str(version)]
    numbers = [int(number) for number in kept if number]
    there = f"{min(numbers)} to {max(numbers)} are kept" if numbers else "it was never pushed"
    raise WrongUsage(f"there is no version {version} of {deployed.parameter.name}: {there}")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise WrongUsage(f"{file}: there is no such file") from None
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}; check its name and permissions") from None
    except UnicodeDecodeError as error:
        raise WrongUsage(f"{file} is no text in UTF-8: {error}") from None


@contextmanager
def _refusing() -> Iterator[None]:
    """Print what is wrong with a document, and end the command."""
    try:
        yield
    except InvalidConfig as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise click.ClickException("the document is refused; nothing was changed") from None


def _rows(found: Effective) -> Iterator[str]:
    wide = max(len(leaf.dotted) for leaf in leaves())
    for leaf in leaves():
        value = json.dumps(get(found.values, leaf.path))
        effect = f"  no effect; see {leaf.governed_by}" if leaf.governed_by else ""
        yield f"{leaf.dotted:{wide}}  {value}  ({found.sources[leaf.dotted]}){effect}"
