"""What an operator does with the configuration of a deployed stack."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

import boto3
from botocore.exceptions import ClientError

from conductor_loop.aws import encryption, operator, sdk
from conductor_loop.aws.parameters import ConfigParameter
from conductor_loop.config import Stored
from conductor_loop.config.report import Probes


@dataclass(frozen=True, slots=True)
class Deployed:
    """The configuration of a stack: the newest version of its document, and the environment of its function."""

    parameter: ConfigParameter
    newest: Stored
    environment: Mapping[str, str]


def deployed(stack: str) -> Deployed:
    """Read what is in force."""
    outputs = operator.outputs(stack)
    parameter = ConfigParameter(sdk.ssm_client, outputs["ConfigParameter"])
    return Deployed(parameter, parameter.newest(), _environment(outputs["ConductorFunction"]))


def probes(stack: str) -> Probes:
    """Give what looks at a stack."""
    outputs = operator.outputs(stack)
    stores = cache(partial(encryption.stores, stack))
    return Probes(
        bucket=lambda: _bucket(outputs["HandoffBucket"]),
        porch=lambda: _porch(outputs["ConductorFunction"]),
        workers=lambda: _workers(outputs["ConductorFunction"]),
        state=lambda: stores().verdict(("bucket", "table", "queue", "secret")),
        logs=lambda: stores().verdict(("log group",)),
    )


def _environment(function: str) -> Mapping[str, str]:
    found = boto3.client("lambda").get_function_configuration(FunctionName=function)
    return found.get("Environment", {}).get("Variables", {})


def _bucket(bucket: str) -> str:
    """Write, and take away again, an object that no rule of the bucket looks at."""
    client, key = boto3.client("s3"), f"processed/.probe-{uuid.uuid4().hex}"
    try:
        version = client.put_object(Bucket=bucket, Key=key, Body=b"").get("VersionId", "null")
        client.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except ClientError as error:
        raise OSError(f"s3://{bucket} cannot be written: {error}") from None
    return f"s3://{bucket} takes its place: reachable, writable"


def _porch(function: str) -> str:
    found = boto3.client("lambda").get_function_configuration(FunctionName=function)
    path = found["Environment"]["Variables"]["CONDUCTOR_PORCH_PATH"]
    layers = [layer["Arn"].split(":layer:")[-1] for layer in found.get("Layers", [])]
    if not layers:
        raise OSError(f"{function} has no layer that could hold {path}")
    return f"{path} of the layers {', '.join(layers)} takes its place; whether it can be run, /readyz says"


def _workers(function: str) -> str:
    pages = boto3.client("lambda").get_paginator("list_event_source_mappings").paginate(FunctionName=function)
    mappings = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    idle = [one["EventSourceArn"] for one in mappings if one.get("State") not in {"Enabled", "Creating"}]
    if idle:
        raise OSError(f"nobody takes messages of {', '.join(idle)}: enable the event source mapping")
    most = sum(int(mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)) for mapping in mappings)
    return f"the stack's queues may have {most} in all"
