"""``conductor-loop logs``: what the functions have logged, for people to read."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from conductor_loop.cli import aws, console, intents
from conductor_loop.cli.common import Duration, WrongUsage, complete, file_name, stack_command, suggest

_FUNCTIONS = ("conductor", "sweeper", "api")
_NOT_SHOWN = {  # what a line begins with, and what is the same on all of them
    "level", "location", "message", "timestamp", "service", "handoff", "intent", "worker_id", "config_version",
    "cold_start", "function_name", "function_memory_size", "function_arn", "function_request_id", "xray_trace_id",
}  # fmt: skip
_FIRST = ("answer", "status", "error_code", "attempt", "next_retry", "status_message")
_OF_ALL_SECONDS, _OF_ONE_SECONDS = 600, 7 * 86_400  # that are looked at
_DULL = {"success", "succeeded"}  # invocations that Lambda itself reports


@click.command()
@click.argument("name", type=file_name, shell_complete=complete, required=False)
@click.option("--since", type=Duration(), help="How far to look back; 10m by default, 7d for one intent.")
@stack_command
def logs(name: str | None, stack: str, since: float | None, *, as_json: bool) -> None:
    """Print what the functions have logged, of all intents or of the intent NAME.

    There is a line for each event. With a name, that is its life across all invocations: admitted, tried, decided,
    settled, swept, and asked about over HTTPS; where nothing is logged of it, the exit code is 2. With --output json
    there is one object a line, with every field that was logged.

    \b
    Examples:
      conductor-loop logs
      conductor-loop logs intent-scale-up-001.json
      conductor-loop logs intent-scale-up-001.json --since 24h --output json
    """  # noqa: D301 - click wants the control character
    back = since if since is not None else _OF_ONE_SECONDS if name else _OF_ALL_SECONDS
    since = time.time() - back
    lines = [line for one in _FUNCTIONS for line in group(f"/conductor-loop/{stack}/{one}", name, since)]
    read = [(line, readable(line.text, name)) for line in sorted(lines, key=lambda line: line.at)]
    found = [(line, text) for line, text in read if text is not None]
    for line, text in found:
        at = f"{datetime.fromtimestamp(line.at, UTC):%Y-%m-%dT%H:%M:%S}Z"
        fields = _parse(line.text) or {"message": line.text}
        click.echo(json.dumps({"at": at, **fields}) if as_json else f"{at} {console.printable(text)}")
    if not found and name:
        more = f"look further back with --since 30d, or see: {suggest('status', name)}"
        raise WrongUsage(console.printable(f"nothing is logged of {name}; {more}{intents.correction(name)}"))


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a log group."""

    at: float  # epoch seconds
    text: str


def group(name: str, word: str | None, since: float) -> Iterator[Line]:
    """Read a log group since (epoch seconds), oldest first; with ``word``, what may hold it. Raises NotFoundHere."""
    client = aws.client("logs")
    pattern = {"filterPattern": f'"{word}"'} if word else {}
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=name, startTime=int(since * 1000), **pattern
    )
    try:
        for page in pages:
            yield from (Line(event["timestamp"] / 1000, event["message"]) for event in page["events"])
    except client.exceptions.ResourceNotFoundException:
        wrong = f"there is no log group {name} in {client.meta.region_name}"
        raise aws.NotFoundHere(f"{wrong}: name another stack with --stack, or another region with AWS_REGION") from None


def readable(text: str, name: str | None) -> str | None:
    """Put an event into one line; ``None`` for one that tells nothing: metrics, invocations that went well."""
    event = _parse(text)
    if event is None:
        return None if name or text.startswith(("START ", "END ", "REPORT ")) else " ".join(text.split())
    if "_aws" in event:
        return None
    if "level" not in event:
        return None if name else _of_lambda(event)
    about = event.get("handoff") or event.get("intent")  # which a request to the API is about
    if name not in {None, about}:
        return None
    shown = {key: value for key, value in event.items() if key not in _NOT_SHOWN and value is not None}
    first = [key for key in _FIRST if key in shown]
    rest = [f"{key}={_short(shown[key])}" for key in (*first, *(key for key in shown if key not in _FIRST))]
    return " ".join([f"{event['level']:7}", about or "-", str(event.get("message")), *rest])


def _parse(text: str) -> dict[str, Any] | None:
    """Parse an event; ``None`` for a line that is none."""
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _of_lambda(event: dict[str, Any]) -> str | None:
    """Describe an invocation that Lambda itself ended: out of time, or of memory."""
    report = event.get("record", {})
    if "status" not in report or report["status"] in _DULL:
        return None
    return f"ERROR   - {event.get('type')} status={report['status']} {report.get('errorType', '')}".rstrip()


def _short(value: object) -> str:
    """Write a value without line breaks: of many lines, such as a traceback, the last one says what it was."""
    if not isinstance(value, str):
        return json.dumps(value)
    last = value.strip().splitlines()[-1:] or [""]
    return json.dumps(last[0], ensure_ascii=False) if " " in last[0] else last[0]
