"""``conductor-loop undo``: the intent that puts a target back."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import click

from conductor_loop.aws import asking, following, operator
from conductor_loop.cli import answers, drafts
from conductor_loop.cli.common import Duration, file_name, output_option, speaks_to_aws, stack_option
from conductor_loop.cli.completing import names
from conductor_loop.cli.follow import exit_code, follow
from conductor_loop.cli.summary import Sent, print_summary
from conductor_loop.errors import ConditionFailed, Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.validation import Rules, inspect

_LONGEST = 150  # characters of an identifier that are kept; a name has at most 200


@click.command()
@click.argument("name", type=file_name, shell_complete=names)
@click.option("--wait", is_flag=True, help="Follow it to its end, and say what became of it.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="With --wait: how long, at most.")
@stack_option
@output_option
@speaks_to_aws
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
    outputs = operator.outputs(stack)
    bucket, table = outputs["HandoffBucket"], outputs["StateTable"]
    newest = answers.final(name, bucket)
    status = asking.applied(table, name) or newest  # the name may have been sent again since, and refused
    if status["status"] != "success":
        raise click.ClickException(f"{name} changed nothing: it is {status['status']} ({status['message']})")
    target = _target(status)
    _check_waiting(bucket, target)  # first: what waits now is seen here, or as the last applied one below
    replicas = _replicas(name, status, _last_applied(table, name, target))
    file = _named(name)
    rules, _ = drafts.limits(stack)
    body = _intent(target, replicas, name, rules)
    drafts.validated({file: body}, rules, as_json=as_json)
    sent = {file: Sent(file, _sent(bucket, file, body), since=time.monotonic())}
    code = follow(sent, table, timeout) if wait else 0
    print_summary(sent.values(), waited=wait, as_json=as_json)
    click.echo(f"{file} puts {target} back to {replicas} replicas", err=True)
    raise click.exceptions.Exit(code or exit_code(sent.values(), waited=wait))


def _target(status: Mapping[str, Any]) -> str:
    _, namespace, target, *_ = status["package"]["prefix"].split("/")
    return f"{namespace}/{target}"


def _last_applied(table: str, name: str, target: str) -> int | None:
    """Give the replicas that NAME has left; end the command where it is not the last applied intent of its target."""
    try:
        known = asking.target(table, target)
    except Unreadable:
        text = f"what was applied to {target} last is unknown: its row of the state table makes no sense"
        raise click.ClickException(f"{text}; the next intent for it puts that right") from None
    if known.last_file != name:
        last = f"{known.last_file} is; undo that: conductor-loop undo {known.last_file}" if known.last_file else ""
        raise click.ClickException(f"{name} is not the last applied intent of {target}: {last or 'none is known'}")
    return known.replicas


def _replicas(name: str, status: Mapping[str, Any], now: int | None) -> int:
    before: int | None = status.get("previous_replicas")
    if before is None:
        raise click.ClickException(f"how many replicas there were before {name} is unknown: send an intent with them")
    if before == now:
        raise click.ClickException(f"there is nothing to undo: {name} found {before} replicas, and left them")
    return before


def _check_waiting(bucket: str, target: str) -> None:
    waiting, whole = asking.waiting(bucket, target)
    if waiting:
        follow_it = f"conductor-loop status {waiting[0]} --wait 30"
        raise click.ClickException(f"{', '.join(waiting)} waits for the same target; see what comes of it: {follow_it}")
    if not whole:
        unknown = f"whether one of them is for {target} is unknown"
        raise click.ClickException(f"more intents wait than are looked at, and {unknown}: try again once fewer do")


def _named(name: str) -> str:
    """Give the name of the intent that undoes another one."""
    stem = name.removeprefix("intent-").removesuffix(".json")
    if len(stem) > _LONGEST:
        stem = f"{stem[:_LONGEST]}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
    return f"intent-undo-{stem}.json"


def _intent(target: str, replicas: int, name: str, rules: Rules) -> bytes:
    namespace, _, deployment = target.partition("/")
    fields = {"intent_type": "scaling", "target": deployment, "namespace": namespace, "replicas": replicas}
    written = json.dumps(fields | {"reason": f"Undo of {name}", "source": "user"}, indent=2).encode()
    # The strict list of words refuses some honest names, too.
    return written if inspect(written, rules, _named(name)).valid else json.dumps(fields | {"source": "user"}).encode()


def _sent(bucket: str, file: str, body: bytes) -> Handoff:
    try:
        return following.put_new(bucket, file, body)
    except ConditionFailed:
        text = f"{file} was sent already, and waits; follow it with: conductor-loop status {file} --wait 30"
        raise click.ClickException(text) from None
