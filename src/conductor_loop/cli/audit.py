"""``conductor-loop audit``: who did what to an intent, and whether the record of it is whole."""

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any

import click

from conductor_loop.audit.counters import Counters
from conductor_loop.audit.entries import Change, Entry, facts, last_change, read, timestamp
from conductor_loop.audit.verify import Known, Verdict, read_status, verify
from conductor_loop.cli import Group, aws, common, console, intents
from conductor_loop.cli.logs import group

_SINCE = common.Duration(most=3653 * common.DAY_SECONDS)  # the longest retention of CloudWatch Logs
_FIRST = ("at", "event", "status_sha256")  # at the beginning of a line, or not shown
_READERS = 16  # of statuses, side by side
_BATCH = 100  # rows of one call
_LONGEST_PK, _LONGEST_SK = 2048, 1024  # bytes of a key that DynamoDB takes


@click.group(cls=Group)
def audit() -> None:
    """See who dropped what, what was decided, and whether that record is whole.

    \b
    Examples:
      conductor-loop audit show intent-scale-up-001.json
      conductor-loop audit verify --since 7d
    """  # noqa: D301 - click wants the control character


@audit.command()
@common.name_argument
@common.stack_option
@click.option("--since", type=_SINCE, default="90d", help="How far to look back.")
@common.output_option
@common.speaks_to_aws
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
        click.echo(one.text if as_json else console.printable(readable(one)))
    if not entries:
        when = "entries appear there a few seconds after the event"
        wrong = f"no entry of {name} is in the audit trail yet; {when}"
        raise common.WrongUsage(console.printable(wrong + intents.correction(name)))


@audit.command("verify")
@common.stack_option
@click.option("--since", type=_SINCE, default="24h", help="How far to look back.")
@click.option("--grace", type=common.Duration(), default="5m", help="How long an entry may be on its way to the log.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Verify these lines, e.g. of the export, in place of the log's.",
)
@common.output_option
@common.speaks_to_aws
def check(stack: str, since: float, grace: float, file: Path | None, *, as_json: bool) -> None:
    """Hold every entry against the one before it, the state table and the statuses.

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
    verdict = verify(lines, _known(stack, chains, begin, grace))
    if as_json:
        console.print_json(asdict(verdict))
    else:
        _print(verdict)
    if verdict.wrong:
        raise click.exceptions.Exit(common.FAILED)


def _print(verdict: Verdict) -> None:
    for finding in verdict.findings:
        click.echo(console.printable(str(finding)))
    if verdict.illegible:
        click.echo(f"{verdict.illegible} lines are no entries: what they were is missing above, or was never one")
    wrong = verdict.wrong
    said = f"{verdict.entries} entries of {verdict.chains} chains: {wrong or 'no'} finding{'s' * (wrong != 1)}"
    click.echo(said, err=bool(wrong))


def readable(entry: Entry) -> str:
    """Put an entry into a line."""
    said, warning = entry.document, "" if entry.sound else "ALTERED: "
    rest = " ".join(f"{name}={_short(value)}" for name, value in facts(said).items() if name not in _FIRST)
    return f"{said.get('at', '-')} {entry.seq:>2} {console.word(str(said.get('event', '-'))):10} {warning}{rest}"


def _short(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value)


# -- what a deployed stack knows


def _lines(stack: str, since: float, word: str | None = None) -> list[str]:
    """Read the log since (epoch seconds), oldest first; with ``word``, the lines that hold it. Raises NotFoundHere."""
    return [line.text for line in group(f"/conductor-loop/{stack}/audit", word, since)]


def _known(stack: str, chains: Iterable[str], begin: float, grace: float) -> Known:
    """Read the rows of chains, and all rows and statuses since (epoch seconds).

    What is younger than ``grace`` (seconds) may still be on its way, and is not missed.
    """
    outputs, now = aws.outputs(stack), time.time()
    table = outputs["StateTable"]
    shards = Counters(aws.client("dynamodb"), table).ends()
    rows = _rows(table, {*_keys(chains), *_keys_since(table, begin, now)})
    statuses = _statuses(outputs["HandoffBucket"], begin)
    return Known(list(rows), list(statuses), shards, timestamp(begin), timestamp(now - grace))


def _keys(chains: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the keys of the rows that chains belong to."""
    for chain in chains:
        kind, _, name = chain.partition("/")
        file, _, version = name.rpartition("/")
        kinds = {"intent": (f"intent#{file}", version), "config": ("audit#config", name)}
        pk, sk = kinds.get(kind, (f"audit#{chain}", "-"))
        if 0 < len(sk.encode()) <= _LONGEST_SK and len(pk.encode()) <= _LONGEST_PK:  # or it was never a row's
            yield pk, sk


def _keys_since(table: str, since: float, now: float) -> Iterator[tuple[str, str]]:
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
                yield from ((one["pk"]["S"], one["sk"]["S"]) for one in page["Items"])
        day += timedelta(days=1)


def _rows(table: str, keys: Iterable[tuple[str, str]]) -> Iterator[Change]:
    client = aws.client("dynamodb")
    for some in batched(sorted(keys), _BATCH, strict=False):
        wanted: Any = {table: {"Keys": [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in some], "ConsistentRead": True}}
        while wanted:
            answer = client.batch_get_item(RequestItems=wanted)
            yield from (row for item in answer["Responses"].get(table, []) if (row := last_change(item)))
            wanted = answer.get("UnprocessedKeys")


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
