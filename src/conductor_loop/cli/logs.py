"""``conductor-loop logs`` and ``audit``: what the functions have logged, and whether the record of intents is whole."""

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from conductor_loop.audit.entries import Change, Entry, facts, last_change, read, timestamp
from conductor_loop.audit.verify import Known, read_status, verify
from conductor_loop.cli import CommandGroup, aws, common, intents
from conductor_loop.storage.measures import Counters
from conductor_loop.storage.rows import Key, key_of
from conductor_loop.storage.table import Table

_FUNCTIONS = ("conductor", "sweeper", "api")
_NOT_SHOWN = {  # what a line begins with, and what is the same on all of them
    "level", "location", "message", "timestamp", "service", "handoff", "intent", "worker_id", "config_version",
    "cold_start", "function_name", "function_memory_size", "function_arn", "function_request_id", "xray_trace_id",
}  # fmt: skip
_FIRST = ("answer", "status", "error_code", "attempt", "next_retry", "status_message")
_OF_ALL_SECONDS, _OF_ONE_SECONDS = 600, 7 * 86_400  # that are looked at
_DULL = {"success", "succeeded"}  # invocations that Lambda itself reports
_SINCE = common.Duration(most=3653 * common.DAY_SECONDS)  # the longest retention of CloudWatch Logs
_NOT_FACTS = ("at", "event", "status_sha256")  # at the beginning of a line of the audit trail, or not shown
_LONGEST_PK, _LONGEST_SK = 2048, 1024  # bytes of a key that DynamoDB takes


@click.command()
@click.argument("name", type=common.file_name, shell_complete=common.complete, required=False)
@click.option("--since", type=common.Duration(), help="How far to look back; 10m by default, 7d for one intent.")
@common.stack_command
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
    read_all = (event for one in _FUNCTIONS for event in group(f"/conductor-loop/{stack}/{one}", name, since))
    events = sorted(read_all, key=lambda event: event[0])
    found = [(at, text, line) for at, text in events if (line := readable(text, name)) is not None]
    for epoch, text, line in found:
        at = f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%S}Z"
        fields = _parse(text) or {"message": text}
        click.echo(json.dumps({"at": at, **fields}) if as_json else f"{at} {common.printable(line)}")
    if not found and name:
        more = f"look further back with --since 30d, or see: {common.suggest('status', name)}"
        raise common.WrongUsage(common.printable(f"nothing is logged of {name}; {more}{intents.correction(name)}"))


def group(name: str, word: str | None, since: float) -> Iterator[tuple[float, str]]:
    """Read the times and texts of a log group since (epoch seconds), oldest first. Raises NotFoundHere.

    With ``word``, those that may hold it.
    """
    client = aws.client("logs")
    pattern = {"filterPattern": f'"{word}"'} if word else {}
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=name, startTime=int(since * 1000), **pattern
    )
    try:
        for page in pages:
            yield from ((event["timestamp"] / 1000, event["message"]) for event in page["events"])
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


@click.group(cls=CommandGroup)
def audit() -> None:
    """See who dropped what, what was decided, and whether that record is whole.

    \b
    Examples:
      conductor-loop audit show intent-scale-up-001.json
      conductor-loop audit verify --since 7d
    """  # noqa: D301 - click wants the control character


@audit.command()
@common.name_argument
@click.option("--since", type=_SINCE, default="90d", help="How far to look back.")
@common.stack_command
def show(name: str, stack: str, since: float, *, as_json: bool) -> None:
    """Print what the audit trail tells of the intent NAME, all of its versions and calls of the API.

    With --output json, the entries are printed as they are kept, a line of JSON each. Where there is none, the exit
    code is 2.

    \b
    Examples:
      conductor-loop audit show intent-scale-up-001.json
      conductor-loop audit show intent-scale-up-001.json --since 7d --output json
    """  # noqa: D301 - click wants the control character
    word = name if json.dumps(name) == f'"{name}"' else None  # any other is written in another way there
    found = map(read, dict.fromkeys(_lines(stack, time.time() - since, word)))
    entries = [
        one for one in found if one and (one.chain.startswith(f"intent/{name}/") or one.document.get("intent") == name)
    ]
    for one in entries:
        click.echo(one.text if as_json else common.printable(_readable(one)))
    if not entries:
        when = "entries appear there a few seconds after the event"
        wrong = f"no entry of {name} is in the audit trail yet; {when}"
        raise common.WrongUsage(common.printable(wrong + intents.correction(name)))


def _readable(entry: Entry) -> str:
    said, warning = entry.document, "" if entry.sound else "ALTERED: "
    shown = {name: value for name, value in facts(said).items() if name not in _NOT_FACTS}
    plain = {name: isinstance(value, str) and value and " " not in value for name, value in shown.items()}
    rest = " ".join(f"{name}={value if plain[name] else json.dumps(value)}" for name, value in shown.items())
    return f"{said.get('at', '-')} {entry.seq:>2} {common.word(str(said.get('event', '-'))):10} {warning}{rest}"


@audit.command("verify")
@click.option("--since", type=_SINCE, default="24h", help="How far to look back.")
@click.option("--grace", type=common.Duration(), default="5m", help="How long an entry may be on its way to the log.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Verify these lines, e.g. of the export, in place of the log's.",
)
@common.stack_command
def check(stack: str, since: float, grace: float, file: Path | None, *, as_json: bool) -> None:
    """Compare every entry with the next one, the state table and the statuses.

    Each entry that was removed, altered or moved is named: the intent, its version, and the entry's position. The exit
    code is 1 if there is one, and 2 where --file has lines, and none is an entry.

    \b
    Examples:
      conductor-loop audit verify
      conductor-loop audit verify --since 7d --output json
    """  # noqa: D301 - click wants the control character
    begin = time.time() - since
    lines = file.read_text(errors="replace").splitlines() if file else _lines(stack, begin)
    chains = {found.chain for line in lines if (found := read(line))}
    if file and lines and not chains:
        raise common.WrongUsage(f"{file}: no line of it is an entry of an audit trail; name the lines of an export")
    verified = verify(lines, _known(stack, chains, begin, grace))
    wrong = verified.wrong
    if as_json:
        common.print_json(asdict(verified))
    else:
        for finding in verified.findings:
            click.echo(common.printable(str(finding)))
        if verified.illegible:
            click.echo(f"{verified.illegible} lines are no entries: what they were is missing above, or was never one")
        said = f"{verified.entries} entries of {verified.chains} chains: {wrong or 'no'} finding{'s' * (wrong != 1)}"
        click.echo(said, err=bool(wrong))
    if wrong:
        raise click.exceptions.Exit(common.FAILED)


def _lines(stack: str, since: float, word: str | None = None) -> list[str]:
    return [text for _, text in group(f"/conductor-loop/{stack}/audit", word, since)]


def _known(stack: str, chains: Iterable[str], begin: float, grace: float) -> Known:
    """Read the rows of chains, and all rows and statuses since (epoch seconds).

    What is younger than ``grace`` (seconds) may still be on its way, and is not missed.
    """
    outputs, now = aws.outputs(stack), time.time()
    table = outputs["StateTable"]
    shards = Counters(aws.client("dynamodb"), table).ends()
    keys = set(_keys_since(table, begin, now))
    for chain in chains:
        kind, _, name = chain.partition("/")
        file, _, version = name.rpartition("/")
        kinds = {"intent": Key("intent", file, version), "config": Key("audit", "config", name)}
        key = kinds.get(kind, Key("audit", chain))
        if 0 < len(key.version.encode()) <= _LONGEST_SK and len(key.pk.encode()) <= _LONGEST_PK:  # or never a row's
            keys.add(key)
    found = Table(aws.client("dynamodb"), table).get_some(keys)
    rows = [row for item in found if (row := last_change(item))]
    statuses = list(_statuses(outputs["HandoffBucket"], begin))
    return Known(rows, statuses, shards, timestamp(begin), timestamp(now - grace))


def _keys_since(table: str, since: float, now: float) -> Iterator[Key]:
    """List the rows that were made since, by the days of their arrival; clocks may differ by a day."""
    pages = aws.client("dynamodb").get_paginator("query")
    day, last = (datetime.fromtimestamp(at, UTC) for at in (since - common.DAY_SECONDS, now + common.DAY_SECONDS))
    while day.date() <= last.date():
        for partition in (f"{day.date()}", f"audit#{day.date()}"):
            asked: Any = {
                "TableName": table,
                "IndexName": "by-day",
                "KeyConditionExpression": "arrival_day = :day AND arrived >= :since",
                "ExpressionAttributeValues": {":day": {"S": partition}, ":since": {"S": timestamp(since)}},
                "ProjectionExpression": "pk, sk",
            }
            for page in pages.paginate(**asked):
                yield from map(key_of, page["Items"])
        day += timedelta(days=1)


def _statuses(bucket: str, since: float) -> Iterator[Change]:
    client = aws.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="status/")
    found = (one for page in pages for one in page.get("Contents", []))
    keys = [one["Key"] for one in found if since <= one["LastModified"].timestamp()]

    def read_one(key: str) -> Change | None:
        try:
            return read_status(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except client.exceptions.NoSuchKey:
            return None  # expired meanwhile

    with ThreadPoolExecutor(aws.AT_ONCE) as pool:
        yield from (status for status in pool.map(read_one, keys) if status is not None)
