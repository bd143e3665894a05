"""What an operator does with the configuration of a deployed stack."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from botocore.exceptions import ClientError

from conductor_loop.aws import encryption
from conductor_loop.cli import aws
from conductor_loop.config import Stored
from conductor_loop.config.report import Probes
from conductor_loop.storage.parameters import ConfigParameter

_MOST_SECONDS = 900  # that Lambda gives any function
_ANSWER_SECONDS = 30  # API Gateway waits for 29


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


def probes(stack: str) -> Probes:
    """Give what looks at a stack."""
    outputs = aws.outputs(stack)
    stores = cache(partial(encryption.stores, stack))
    return Probes(
        bucket=lambda: _bucket(outputs["HandoffBucket"]),
        porch=lambda: _porch(outputs["ConductorFunction"], outputs["ApiUrl"]),
        workers=lambda: _workers(outputs["ConductorFunction"]),
        state=lambda: stores().verdict(encryption.STATE),
        logs=lambda: stores().verdict(("log group",)),
    )


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
        checks = json.loads(_answer(url))["checks"]
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        return f"whether it can be run was not seen, since {url} does not say ({error!r})"
    if checks.get("porch_available") != "ok":
        raise OSError(f"{path} is not there, or not executable, says {url}")
    return f"executable, says {url}"


def _answer(url: str) -> bytes:
    """Get what a URL answers, whatever the status: 503 tells as much. Raises OSError."""
    try:
        with urlopen(url, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - an output of the stack
            return bytes(answer.read())
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
