"""``conductor-loop undo``: the intent that puts a target back."""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from conductor_loop.cli import aws, intents, submit
from conductor_loop.cli.common import Duration, name_argument, stack_command, suggest
from conductor_loop.errors import ConditionFailed, Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Phase, Row
from conductor_loop.storage import inbox
from conductor_loop.storage.rows import Key, read_row, text
from conductor_loop.storage.state import StateTable
from conductor_loop.validation import Rules, inspect

_LONGEST = 150  # characters of an identifier that are kept; a name has at most 200


@click.command()
@name_argument
@click.option("--wait", is_flag=True, help="Follow it to its end, and say what became of it.")
@click.option("--timeout", type=Duration(), default="10m", help="With --wait: how long, at most.")
@stack_command
def undo(name: str, stack: str, timeout: float, *, wait: bool, as_json: bool) -> None:
    """Put the target of the intent NAME back to the replicas that it had before.

    A new intent is sent for that, intent-undo-<...>.json; it can be undone, too. Only if NAME is still the last applied
    intent of its target, and no other one waits for that.

    \b
    Examples:
      conductor-loop undo intent-scale-up-001.json
      conductor-loop undo intent-scale-up-001.json --wait

    \b
    Exit codes:
      0  sent; with --wait: it is success or skipped
      1  nothing to undo: NAME changed nothing, another one was applied since or waits, or what was before is unknown
         (the message says which); with --wait: it failed
      2  wrong usage: nothing of that name, no such stack
      3  no answer to NAME yet; with --wait: none to what was sent
      4  AWS refuses or does not answer
      130  interrupted; what was sent goes on
    """  # noqa: D301 - click wants the control character
    outputs = aws.outputs(stack)
    bucket, table = outputs["HandoffBucket"], outputs["StateTable"]
    newest = intents.final(name, bucket)
    status = _last_success(table, name) or newest  # the name may have been sent again since, and refused
    if status["status"] != "success":
        raise click.ClickException(f"{name} changed nothing: it is {status['status']} ({status['message']})")
    target = "/".join(status["package"]["prefix"].split("/")[1:3])
    _check_waiting(bucket, target)  # first: what waits now is seen here, or as the last applied one below
    replicas, now = status.get("previous_replicas"), _last_applied(table, name, target)
    if replicas is None:
        raise click.ClickException(f"how many replicas there were before {name} is unknown: send an intent with them")
    if replicas == now:
        raise click.ClickException(f"there is nothing to undo: {name} found {replicas} replicas, and left them")
    rules, _ = submit.limits(stack)
    file, body = _intent(name, target, replicas, rules)
    submit.validate({file: body}, rules, as_json=as_json)
    try:
        version = inbox.put(aws.client("s3"), bucket, file, body, replace=False)
    except ConditionFailed:
        raise click.ClickException(f"{file} was sent already, and waits; {intents.follow(file)}") from None
    sent = submit.Sent(file, Handoff(bucket, file, version, size=len(body)), since=time.monotonic())
    click.echo(f"{file} puts {target} back to {replicas} replicas", err=True)
    submit.finish([sent], table, timeout if wait else None, as_json=as_json)


def _intent(name: str, target: str, replicas: int, rules: Rules) -> tuple[str, bytes]:
    """Write the intent that undoes another one; its name and its text."""
    stem = name.removeprefix("intent-").removesuffix(".json")
    if len(stem) > _LONGEST:
        stem = f"{stem[:_LONGEST]}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
    file, (namespace, _, deployment) = f"intent-undo-{stem}.json", target.partition("/")
    fields = {"intent_type": "scaling", "target": deployment, "namespace": namespace, "replicas": replicas}
    body = json.dumps(fields | {"reason": f"Undo of {name}", "source": "user"}, indent=2).encode()
    if not inspect(body, rules, file).valid:  # the strict list of words refuses some honest names, too
        body = json.dumps(fields | {"source": "user"}).encode()
    return file, body


def _last_success(table: str, file: str) -> Mapping[str, Any] | None:
    """Read the status of the newest version of a name that was applied, whatever newer ones came to."""
    query: Any = {
        "TableName": table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": text(Key("intent", file).pk)},
        "ConsistentRead": True,
    }
    rows = list[Row]()
    for page in aws.client("dynamodb").get_paginator("query").paginate(**query):
        for item in page["Items"]:
            with suppress(Unreadable):
                rows.append(read_row(item))
    applied = [row for row in rows if row.phase is Phase.SUCCEEDED and row.outcome]
    outcome = max(applied, key=lambda row: row.order).outcome if applied else None
    return outcome.status if outcome else None


def _check_waiting(bucket: str, target: str) -> None:
    files, whole = intents.waiting(bucket, target)
    if files:
        follow_it = suggest("status", files[0], "--wait", 30)
        raise click.ClickException(f"{', '.join(files)} waits for the same target; see what comes of it: {follow_it}")
    if not whole:
        unknown = f"whether one of them is for {target} is unknown"
        raise click.ClickException(f"more intents wait than are looked at, and {unknown}: try again once fewer do")


def _last_applied(table: str, name: str, target: str) -> int | None:
    """Give the replicas that NAME has left; end the command where it is not the last applied intent of its target."""
    state = StateTable(aws.client("dynamodb"), table, keep_seconds=0, jitter=lambda: 0.0)
    try:
        known = state.target(target)
    except Unreadable:
        unknown = f"what was applied to {target} last is unknown: its row of the state table makes no sense"
        raise click.ClickException(f"{unknown}; the next intent for it puts that right") from None
    if known.last_file != name:
        last = f"{known.last_file} is; undo that: {suggest('undo', known.last_file)}" if known.last_file else ""
        raise click.ClickException(f"{name} is not the last applied intent of {target}: {last or 'none is known'}")
    return known.replicas
