"""The configuration of a deployed stack: what is in force, and what `--validate-config` looks at there."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from botocore.exceptions import ClientError

from conductor_loop.cli import aws, encryption
from conductor_loop.config import InvalidConfig, Stored
from conductor_loop.config.schema import effective, get, leaves, parse
from conductor_loop.storage.parameters import ConfigParameter

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


@dataclass(frozen=True, slots=True)
class Deployed:
    """The configuration of a stack: the newest version of its document, and the environment of its function."""

    parameter: ConfigParameter
    newest: Stored
    environment: Mapping[str, str]
    key: str  # ARN of the key that the stack is encrypted with; empty: AWS's
    function_seconds: float  # that an invocation has

    def push(self, text: str) -> str:
        """Put a new version of the document; its number."""
        return self.parameter.put(text, self.key)


def deployed(stack: str) -> Deployed:
    """Read what is in force."""
    outputs = aws.outputs(stack)
    parameter = ConfigParameter(partial(aws.client, "ssm"), outputs["ConfigParameter"])
    function = _function(outputs["ConductorFunction"])
    variables = function.get("Environment", {}).get("Variables", {})
    key, timeout = function.get("KMSKeyArn", ""), function.get("Timeout", _MOST_SECONDS)
    return Deployed(parameter, parameter.newest(), variables, key, timeout)


@dataclass(frozen=True, slots=True)
class Report:
    """Whether a configuration is good, and a line for each thing that was looked at."""

    passed: bool
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Write it as the specification does ("Configuration Validation")."""
        return "\n".join((f"Configuration validation: {'PASSED' if self.passed else 'FAILED'}", *self.lines))


def inspect(text: str, environment: Mapping[str, str], probes: Mapping[str, Probe]) -> Report:
    """Check a document: by itself, and with ``probes``, by key, against the stack that it is meant for."""
    try:
        document = parse(text)
        values = effective(document, environment).values
    except InvalidConfig as error:
        return Report(passed=False, lines=tuple(f"- {problem}" for problem in error.problems))
    shown = [(label, get(values, tuple(key.split("."))), probes.get(key) or default) for label, key, default in _CHECKS]
    checks = [_check(f"- {label}", value, probe) for label, value, probe in shown if probe]
    return Report(all(good for good, _ in checks), (*(line for _, line in checks), *_without_effect(document)))


def _check(label: str, value: object, probe: Probe | str) -> tuple[bool, str]:
    shown = value if isinstance(value, str) else json.dumps(value)
    try:
        return True, f"{label}: {shown} ({probe if isinstance(probe, str) else probe()})"
    except OSError as error:
        if value is False:  # it was not asked for
            return True, f"{label}: {shown} ({error})"
        return False, f"{label}: {shown} (FAILED: {error})"


def _without_effect(document: object) -> Iterator[str]:
    """Name every key of the document that something else governs here."""
    named = [leaf for leaf in leaves() if leaf.governed_by and get(document, leaf.path) is not None]
    if named:
        yield "Without effect on Lambda, and what governs it there:"
    yield from (f"- {leaf.dotted}: {leaf.governed_by}" for leaf in named)


def probes(stack: str) -> Mapping[str, Probe]:
    """Return what looks at a stack, by key."""
    outputs = aws.outputs(stack)
    stores = cache(partial(encryption.stores, stack))
    return {
        "handoff_dir": lambda: _bucket(outputs["HandoffBucket"]),
        "out_dir": lambda: _bucket(outputs["HandoffBucket"]),
        "porch_path": lambda: _porch(outputs["ConductorFunction"], outputs["ApiUrl"]),
        "max_workers": lambda: _workers(outputs["ConductorFunction"]),
        "security.encryption.state_encryption": lambda: stores().verdict(encryption.STATE),
        "security.encryption.log_encryption": lambda: stores().verdict(("log group",)),
    }


def _function(name: str) -> Any:  # noqa: ANN401 - the response of Lambda
    return aws.client("lambda").get_function_configuration(FunctionName=name)


def _bucket(bucket: str) -> str:
    """Write, and take away again, an object that no rule of the bucket looks at."""
    client, key = aws.client("s3"), f"processed/.probe-{uuid.uuid4().hex}"
    try:
        version = client.put_object(Bucket=bucket, Key=key, Body=b"").get("VersionId", "null")
        client.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except ClientError as error:
        raise OSError(f"s3://{bucket} cannot be written: {error}") from None
    return f"s3://{bucket} takes its place: reachable, writable"


def _porch(function: str, api: str) -> str:
    found = _function(function)
    path = found["Environment"]["Variables"]["CONDUCTOR_PORCH_PATH"]
    layers = [layer["Arn"].split(":layer:")[-1] for layer in found.get("Layers", [])]
    if not layers:
        raise OSError(f"{function} has no layer that could hold {path}")
    return f"{path} of the layers {', '.join(layers)} takes its place: {_can_be_run(path, f'{api}/readyz')}"


def _can_be_run(path: str, url: str) -> str:
    """Ask the stack, whose function has the file before it; its response is reported as it is."""
    try:
        checks = json.loads(_get(url))["checks"]
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        return f"whether it can be run was not seen, since {url} does not say ({error!r})"
    if checks.get("porch_available") != "ok":
        raise OSError(f"{path} is not there, or not executable, says {url}")
    return f"executable, says {url}"


def _get(url: str) -> bytes:
    """Return the body of a response, whatever its status: 503 says as much. Raises OSError."""
    try:
        with urlopen(url, timeout=_ANSWER_SECONDS) as response:  # noqa: S310 - an output of the stack
            return bytes(response.read())
    except HTTPError as error:
        return error.read()


def _workers(function: str) -> str:
    pages = aws.client("lambda").get_paginator("list_event_source_mappings").paginate(FunctionName=function)
    mappings = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    idle = [one["EventSourceArn"] for one in mappings if one.get("State") not in {"Enabled", "Creating"}]
    if idle:
        raise OSError(f"no function receives messages of {', '.join(idle)}: enable the event source mapping")
    most = sum(int(mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)) for mapping in mappings)
    return f"the stack's queues may have {most} in all"
