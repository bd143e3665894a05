"""``conductor-loop config`` and ``token``: a stack's configuration, tokens and encryption."""

import json
import math
import os
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

import click
from botocore.exceptions import ClientError

from conductor_loop.cli import CommandGroup, aws, common
from conductor_loop.cli.common import FAILED, Duration, WrongUsage, speaks_to_aws, stack_command
from conductor_loop.config import Stored
from conductor_loop.config.schema import Effective, InvalidConfig, Source, effective, get, leaves, parse
from conductor_loop.storage.parameters import ConfigParameter
from conductor_loop.tokens import Document, Scope, UnreadableTokens, mint
from conductor_loop.tokens.stores import TokensFile, TokensSecret

type Probe = Callable[[], str]
"""Checks one thing of a stack; what it found, in a few words. Raises OSError, with what is wrong."""

_MOST_SECONDS = 900  # that Lambda gives any function
_ANSWER_SECONDS = 30  # API Gateway waits for 29
_UNCHECKED = "not checked: name a stack with --stack"
_CHECKS = (  # the specification's labels, each with its key and the result where no stack is given
    ("Handoff directory", "handoff_dir", _UNCHECKED),
    ("Porch path", "porch_path", _UNCHECKED),
    ("Output directory", "out_dir", _UNCHECKED),
    ("Log level", "log_level", "valid"),
    ("Workers", "max_workers", "within limits"),
    ("State encryption", "security.encryption.state_encryption", ""),
    ("Log encryption", "security.encryption.log_encryption", ""),
)
_KINDS = {
    "AWS::S3::Bucket": "bucket",
    "AWS::DynamoDB::Table": "table",
    "AWS::SQS::Queue": "queue",
    "AWS::SecretsManager::Secret": "secret",
    "AWS::SSM::Parameter": "parameter",
    "AWS::Logs::LogGroup": "log group",
}
STATE = tuple(_KINDS.values())[:-1]  # all but log lines
_GOOD_KEY_STATES = {"Enabled", "Creating", "Updating"}
_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group(cls=CommandGroup)
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
    known = deployed(stack)
    name = known.parameter.name
    if version is not None:
        kept = {stored.version: stored.text for stored in (*known.parameter.earlier(), known.newest)}
        if str(version) not in kept:
            numbers = [int(number) for number in kept if number]
            there = f"{min(numbers)} to {max(numbers)} are kept" if numbers else "it was never pushed"
            raise WrongUsage(f"there is no version {version} of {name}: {there}")
        click.echo(kept[str(version)], nl=False)
        return
    stored, found = in_force(known)
    said = f"version {stored.version} of {name}" if stored.version else f"{name} has no good document: defaults"
    click.echo(said, err=True)
    click.echo(json.dumps(found.values, indent=2) if as_json else "\n".join(_rows(found)))


def _rows(found: Effective) -> Iterator[str]:
    wide = max(len(leaf.dotted) for leaf in leaves())
    for leaf in leaves():
        value = json.dumps(get(found.values, leaf.path))
        effect = f"  no effect; governed by {leaf.governed_by}" if leaf.governed_by else ""
        yield f"{leaf.dotted:{wide}}  {value}  ({found.sources[leaf.dotted]}){effect}"


@config.command()
@_FILE
@stack_command
def push(file: Path, stack: str, *, as_json: bool) -> None:
    """Make the document FILE the configuration of the stack; a broken one is refused, and changes nothing.

    \b
    Example:
      conductor-loop config push config.json
    """  # noqa: D301 - click wants the control character
    text, document, known, found = _checked(file, stack)
    same = bool(known.newest.version) and text == known.newest.text
    version = known.newest.version if same else known.parameter.put(text, known.key)
    if as_json:
        common.print_json({"version": str(version), "changed": not same})
    for line in _without_effect(document, found):
        click.echo(f"without effect: {line}", err=True)
    age = known.environment.get("CONDUCTOR_CONFIG_MAX_AGE", "60s")
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
    *_, known, then = _checked(file, stack)
    _, now = in_force(known)
    found = {leaf.dotted: (get(now.values, leaf.path), get(then.values, leaf.path)) for leaf in leaves()}
    changes = {key: {"now": old, "then": new} for key, (old, new) in found.items() if old != new}
    if as_json:
        common.print_json(changes)
        return
    for key, change in changes.items():
        click.echo(f"{key}: {json.dumps(change['now'])} -> {json.dumps(change['then'])}")


def _checked(file: Path, stack: str) -> "tuple[str, object, Deployed, Effective]":
    """Read a document, and what would be in force with it; end the command, with every problem of a broken one."""
    text = _read(file)
    try:
        document = parse(text)  # before any call to AWS
        known = deployed(stack)
        return text, document, known, effective(document, known.environment)
    except InvalidConfig as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise click.ClickException("the document is refused; nothing was changed") from None


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise WrongUsage(f"{file}: there is no such file") from None
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read: {error.strerror}; check its name and permissions") from None
    except UnicodeDecodeError as error:
        raise WrongUsage(f"{file} is no text in UTF-8: {error}") from None


class Deployed(NamedTuple):
    """The configuration of a stack: the newest version of its document, and the environment of its function."""

    parameter: ConfigParameter
    newest: Stored
    environment: Mapping[str, str]
    key: str  # ARN of the key that the stack is encrypted with; empty: AWS's
    function_seconds: float  # that an invocation has


def deployed(stack: str) -> Deployed:
    """Read what is in force."""
    outputs = aws.outputs(stack)
    parameter = ConfigParameter(partial(aws.client, "ssm"), outputs["ConfigParameter"])
    function = _function(outputs["ConductorFunction"])
    variables = function.get("Environment", {}).get("Variables", {})
    key, timeout = function.get("KMSKeyArn", ""), function.get("Timeout", _MOST_SECONDS)
    return Deployed(parameter, parameter.newest(), variables, key, timeout)


def _function(name: str) -> Any:  # noqa: ANN401 - the response of Lambda
    return aws.client("lambda").get_function_configuration(FunctionName=name)


def in_force(known: Deployed) -> tuple[Stored, Effective]:
    """Find the newest version that is good, as the functions do."""
    for stored in (known.newest, *known.parameter.earlier()):
        try:
            return stored, effective(parse(stored.text), known.environment)
        except InvalidConfig as error:
            click.echo(f"version {stored.version} is broken, and not in force: {error}", err=True)
    try:
        return Stored("{}", ""), effective({}, known.environment)
    except InvalidConfig as error:
        raise click.ClickException(
            f"the function's own variables are wrong, and no document can correct them: {error}"
        ) from None


@speaks_to_aws
def validate(file: Path, stack: str | None) -> int:
    """Print the report on a document (specification, "Configuration Validation"); the exit code."""
    text = _read(file)
    environment = os.environ if stack is None else deployed(stack).environment
    passed, lines = inspect(text, environment, {} if stack is None else probes(stack))
    click.echo("\n".join((f"Configuration validation: {'PASSED' if passed else 'FAILED'}", *lines)))
    return 0 if passed else FAILED


def inspect(text: str, environment: Mapping[str, str], probes: Mapping[str, Probe]) -> tuple[bool, list[str]]:
    """Check a document: by itself, and with ``probes``, by key, against a stack; a line for each thing checked."""
    try:
        document = parse(text)
        found = effective(document, environment)
    except InvalidConfig as error:
        return False, [f"- {problem}" for problem in error.problems]
    asked = [(label, tuple(key.split(".")), probes.get(key) or default) for label, key, default in _CHECKS]
    checks = [_check(f"- {label}", get(found.values, path), probe) for label, path, probe in asked if probe]
    lines = [line for _, line in checks]
    if idle := _without_effect(document, found):
        lines.append("Without effect on Lambda, and what governs it there:")
    return all(good for good, _ in checks), lines + [f"- {line}" for line in idle]


def _without_effect(document: object, found: Effective) -> list[str]:
    """Name the keys of a document that change nothing, each with what decides instead."""
    lines = []
    for leaf in (one for one in leaves() if get(document, one.path) is not None):
        if leaf.governed_by:
            lines.append(f"{leaf.dotted}: {leaf.governed_by}")
        elif found.sources[leaf.dotted] is Source.ENVIRONMENT:
            lines.append(f"{leaf.dotted}: the variable {leaf.variable}; on Lambda, a template parameter sets it")
    return lines


def _check(label: str, value: object, probe: Probe | str) -> tuple[bool, str]:
    shown = value if isinstance(value, str) else json.dumps(value)
    try:
        return True, f"{label}: {shown} ({probe if isinstance(probe, str) else probe()})"
    except OSError as error:
        if value is False:  # it was not asked for
            return True, f"{label}: {shown} ({error})"
        return False, f"{label}: {shown} (FAILED: {error})"


def probes(stack: str) -> Mapping[str, Probe]:
    """Return what checks a stack, by key."""
    outputs = aws.outputs(stack)
    stores = cache(partial(_stores, stack))
    return {
        "handoff_dir": lambda: _bucket(outputs["HandoffBucket"]),
        "out_dir": lambda: _bucket(outputs["HandoffBucket"]),
        "porch_path": lambda: _porch(outputs["ConductorFunction"], f"{outputs['ApiUrl']}/readyz"),
        "max_workers": lambda: _workers(outputs["ConductorFunction"]),
        "security.encryption.state_encryption": lambda: encryption_status(*stores(), STATE),
        "security.encryption.log_encryption": lambda: encryption_status(*stores(), ("log group",)),
    }


def _bucket(bucket: str) -> str:
    """Write, and delete again, an object that no rule of the bucket looks at."""
    client, key = aws.client("s3"), f"processed/.probe-{uuid.uuid4().hex}"
    try:
        version = client.put_object(Bucket=bucket, Key=key, Body=b"").get("VersionId", "null")
        client.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except ClientError as error:
        raise OSError(f"s3://{bucket} cannot be written: {error}") from None
    return f"s3://{bucket} takes its place: reachable, writable"


def _porch(function: str, url: str) -> str:
    """Ask the stack, whose function has the file before it; its response is reported as it is."""
    found = _function(function)
    path = found["Environment"]["Variables"]["CONDUCTOR_PORCH_PATH"]
    layers = [layer["Arn"].split(":layer:")[-1] for layer in found.get("Layers", [])]
    if not layers:
        raise OSError(f"{function} has no layer that could hold {path}")
    place = f"{path} of the layers {', '.join(layers)} takes its place"
    try:
        try:
            with urlopen(url, timeout=_ANSWER_SECONDS) as response:  # noqa: S310 - an output of the stack
                body = response.read()
        except HTTPError as error:  # 503 says as much
            body = error.read()
        checks = json.loads(body)["checks"]
        missing = checks.get("porch_available") != "ok"
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{place}: whether it can be run was not seen, since {url} does not say ({error!r})"
    if missing:
        raise OSError(f"{path} is missing, or not executable, says {url}")
    return f"{place}: executable, says {url}"


def _workers(function: str) -> str:
    pages = aws.client("lambda").get_paginator("list_event_source_mappings").paginate(FunctionName=function)
    mappings = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    idle = [one["EventSourceArn"] for one in mappings if one.get("State") not in {"Enabled", "Creating"}]
    if idle:
        raise OSError(f"no function receives messages of {', '.join(idle)}: enable the event source mapping")
    most = sum(int(mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)) for mapping in mappings)
    return f"the stack's queues may have {most} in all"


class Store(NamedTuple):
    """One place where a stack stores something."""

    kind: str  # one of STATE, or "log group"
    name: str
    key: str  # ARN or alias in KMS; empty for one that AWS owns
    encrypted: bool = True


def encryption_status(stores: Sequence[Store], key: str, kinds: Collection[str]) -> str:
    """Say how these kinds of stores are encrypted; raises OSError, naming each that is not, or not with ``key``."""
    wanted = [store for kind in kinds for store in stores if store.kind == kind]
    bare = [f"{one.kind} {one.name}" for one in wanted if not one.encrypted]
    other = [f"{one.kind} {one.name}" for one in wanted if one.encrypted and key and one.key != key]
    if bare or other:
        said = [f"not encrypted: {', '.join(bare)}"] if bare else []
        said += [f"not with {key}: {', '.join(other)}"] if other else []
        pushed = all(store.startswith("parameter ") for store in bare + other)
        raise OSError("; ".join((*said, "push the configuration again" if pushed else "deploy the stack again")))
    numbers = Counter(store.kind for store in wanted).items()
    count = ", ".join(f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in numbers)
    return f"{count}: encrypted with {key or 'keys of AWS'}"


def _stores(stack: str) -> tuple[list[Store], str]:
    """Read what a stack stores, and the key that it was deployed with."""
    client = aws.client("cloudformation")
    described = client.describe_stacks(StackName=stack)["Stacks"][0]
    given = {one["ParameterKey"]: one.get("ParameterValue", "") for one in described.get("Parameters", [])}
    key = given.get("KmsKeyArn", "")
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    found = [(one["ResourceType"], one.get("PhysicalResourceId", "")) for one in resources]
    beside = [one["OutputValue"] for one in described.get("Outputs", []) if one["OutputKey"] == "ConfigParameter"]
    return find_stores(found + [("AWS::SSM::Parameter", name) for name in beside], key), key


def find_stores(resources: Iterable[tuple[str, str]], key: str) -> list[Store]:
    """Read those of some resources (CloudFormation's types, physical ids) that store something.

    Raises OSError where ``key``, the ARN of the stack's own one if any, cannot be used.
    """
    if key:
        try:
            state = aws.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
        except ClientError as error:
            raise OSError(f"{key} cannot be looked at: {error}") from None
        if state not in _GOOD_KEY_STATES:
            raise OSError(f"{key} is {state}: nothing can be read until it is enabled again")
    named = [(_KINDS[kind], name) for kind, name in resources if kind in _KINDS and name]
    return [store for kind, name in named if (store := _read_store(kind, name))]


def _read_store(kind: str, name: str) -> Store | None:
    match kind:
        case "bucket":
            found = aws.client("s3").get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
            return Store(kind, name, found["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID", ""))
        case "table":  # without a description: with DynamoDB's own key, as every table by default
            found = aws.client("dynamodb").describe_table(TableName=name)["Table"].get("SSEDescription", {})
            return Store(kind, name, "" if found.get("Status") == "DISABLED" else found.get("KMSMasterKeyArn", ""))
        case "queue":
            found = aws.client("sqs").get_queue_attributes(QueueUrl=name, AttributeNames=["All"])["Attributes"]
            key, managed = found.get("KmsMasterKeyId", ""), found.get("SqsManagedSseEnabled") == "true"
            return Store(kind, name.rpartition("/")[2], key, encrypted=managed or bool(key))
        case "secret":
            found = aws.client("secretsmanager").describe_secret(SecretId=name)
            return Store(kind, name, found.get("KmsKeyId", ""))
        case "parameter":  # that of the configuration, which is missing until one is pushed
            found = aws.client("ssm").describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])
            return Store(kind, name, found["Parameters"][0].get("KeyId", "")) if found["Parameters"] else None
        case _:
            return _read_log_group(name)


def _read_log_group(name: str) -> Store:
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    keys = [one.get("kmsKeyId", "") for one in groups if one["logGroupName"] == name]
    if not keys:
        raise OSError(f"the log group {name} is missing; deploy the stack again")
    return Store("log group", name, keys[0])


_document_option = click.option(
    "--document",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the tokens, for Vault or Kubernetes; the stack's secret by default.",
)


@click.group(cls=CommandGroup)
def token() -> None:
    """Make, list and revoke the tokens of the API. Only digests are kept: a token is shown once.

    \b
    Examples:
      conductor-loop token create --scope metrics --name prometheus
      conductor-loop token create --scope intents:read --scope intents:write --expires 30d
      conductor-loop token list
      conductor-loop token revoke 9f2c4d1e8a7b6c50

    To replace a token, create another, hand it out, then revoke the first: both are good until then.
    """  # noqa: D301 - click wants the control character


@token.command()
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice([*map(str, Scope)]), help="Repeatable."
)
@click.option("--name", default="unnamed", help="Who or what uses it.")
@click.option("--expires", type=Duration(most=math.inf), default="90d", help="How long it is good, e.g. 12h.")
@_document_option
@stack_command
def create(scopes: tuple[str, ...], stack: str, document: Path | None, *, as_json: bool, **about: Any) -> None:  # noqa: ANN401 - the options, by name
    """Make a token and print it, once. It is good within a minute.

    \b
    Example:
      conductor-loop token create --scope metrics --name prometheus --expires 30d
    """  # noqa: D301 - click wants the control character
    name, expires = about["name"], about["expires"]
    now = time.time()
    try:
        made, clear = mint(name, map(Scope, scopes), now, now + expires, random=secrets.token_bytes(40))
    except (ValueError, OverflowError) as error:
        raise click.UsageError(str(error)) from None
    _change(_tokens(stack, document), lambda found: found.added(made, now))
    if as_json:
        common.print_json({"id": made.id, "token": clear, "expires": _day(made.expires)})
    else:
        click.echo(clear)
    click.echo(f"{made.id} is good within a minute, until {_day(made.expires)}; it is not shown again", err=True)


@token.command("list")
@_document_option
@stack_command
def list_(stack: str, document: Path | None, *, as_json: bool) -> None:
    """Print the tokens: id, name, scopes, and how long they are good.

    \b
    Examples:
      conductor-loop token list
      conductor-loop token list --output json
    """  # noqa: D301 - click wants the control character
    try:
        found = _tokens(stack, document).read().tokens()
    except (UnreadableTokens, OSError) as error:
        raise click.ClickException(str(error)) from None
    now = time.time()
    if as_json:
        shown = [{key: value for key, value in one.entry().items() if key != "sha256"} for one in found]
        common.print_json(shown)
        return
    until = [f"{'good until' if one.expires > now else 'expired on'} {_day(one.expires)}" for one in found]
    rows = [(one.id, one.name, ",".join(sorted(one.scopes)), end) for one, end in zip(found, until, strict=True)]
    common.print_rows(("id", "name", "scopes", "until"), rows, flexible="name")


@token.command()
@click.argument("identifier", metavar="ID")
@_document_option
@stack_command
def revoke(identifier: str, stack: str, document: Path | None, *, as_json: bool) -> None:
    """Revoke the token ID, within a minute. Where there is none of this ID, the exit code is 2.

    \b
    Example:
      conductor-loop token revoke 9f2c4d1e8a7b6c50
    """  # noqa: D301 - click wants the control character
    try:
        _change(_tokens(stack, document), lambda found: found.revoked(identifier))
    except KeyError:
        raise WrongUsage("there is no token with this id; see conductor-loop token list") from None
    if as_json:
        common.print_json({"id": identifier, "revoked": True})
    click.echo(f"{identifier} is revoked; copies of it are believed for a minute at most", err=True)


def _tokens(stack: str, document: Path | None) -> TokensFile | TokensSecret:
    if document is not None:
        return TokensFile(document)
    _, known = in_force(deployed(stack))
    if known.values["secrets"]["vault"]["enabled"]:
        raise click.ClickException(
            "this stack reads its tokens from Vault: change a file with --document, and put it there"
        )
    return TokensSecret(partial(aws.client, "secretsmanager"), aws.outputs(stack)["TokensSecret"])


def _change(store: TokensFile | TokensSecret, edit: Callable[[Document], Document]) -> None:
    try:
        store.change(edit)
    except (UnreadableTokens, ValueError, OSError) as error:
        raise click.ClickException(f"{error}; nothing was changed") from None


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
