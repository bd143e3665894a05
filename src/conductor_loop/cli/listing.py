"""``conductor-loop list``: intents, newest first."""

import heapq
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from conductor_loop.cli import aws, console
from conductor_loop.cli.common import Duration, stack_command
from conductor_loop.intent import Priority
from conductor_loop.intents.model import Phase
from conductor_loop.storage.listing import Listed, Listing, Wanted

_RECEIVED = "received"  # in the root, and not read yet
_GROUPS: Mapping[str, set[str]] = {  # by where the file lies
    "waiting": {_RECEIVED, *(state for state in Phase if not state.done)},
    "processed": {Phase.SUCCEEDED, Phase.SKIPPED},
    "failed": {Phase.FAILED, Phase.TIMED_OUT},
}
_STATES = {console.word(state): state for state in (*_GROUPS, _RECEIVED, *Phase)}  # by the words that are shown
_PAGE = 100
_COLUMNS = ("arrived", "state", "priority", "namespace", "attempts", "name")


class _State(click.Choice[str]):
    """A state by the word that is shown, or by the one that the API has for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        return str(_STATES[super().convert(console.word(value), param, ctx)])


@click.command("list")
@click.option("--state", type=_State(_STATES), help="Only these: a folder (waiting, processed, failed), or one state.")
@click.option(
    "--priority", type=click.Choice([*map(str, Priority)]), help="Only those treated with it; known once it is read."
)
@click.option("--namespace", help="Only those of this namespace; known once the intent is read.")
@click.option("--since", type=Duration(), default="7d", help="Only those that arrived since.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="The newest ones.")
@stack_command
def list_(stack: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401 - the options, by name
    """List intents, newest first.

    When they arrived, their state, priority, namespace and attempts, and their name; a narrow terminal goes without
    some of it. In a pipe the columns have tabs between them, and no heading.

    \b
    Examples:
      conductor-loop list
      conductor-loop list --state waiting
      conductor-loop list --state failed --since 24h
      conductor-loop list --namespace oran-sim --priority high --limit 10 --output json
    """  # noqa: D301 - click wants the control character
    found = [_cells(one) for one in _find(stack, **wanted)]
    if as_json:
        console.print_json([dict(zip(_COLUMNS, cells, strict=True)) for cells in found])
        return
    if sys.stdout.isatty():  # of which the name needs more than the year
        found = [[arrived[5:-1].replace("T", " "), *others] for arrived, *others in found]
    console.print_rows(_COLUMNS, found, flexible="name", least=("attempts", "priority", "namespace"))
    if not found:
        click.echo("no intents of that kind; look further back with --since 30d, or send one: submit", err=True)


def _cells(one: Listed) -> list[Any]:
    arrived = f"{one.arrived[:19]}Z" if one.arrived else "-"
    return [arrived, console.word(one.state), one.priority or "-", one.namespace or "-", one.attempts, one.name]


def _find(stack: str, since: float, limit: int, state: str | None, **filters: str | None) -> list[Listed]:
    """Find what the table knows, and what lies in the root and is not in the table yet."""
    outputs, now = aws.outputs(stack), time.time()
    given: dict[str, str] = {name: value for name, value in filters.items() if value}
    states = _GROUPS.get(state or "", {state} if state else set())
    one_state = {"state": state} if state and state in {*Phase} and state not in _GROUPS else {}
    table = Listing(aws.client("dynamodb"), outputs["StateTable"], since)
    start = datetime.fromtimestamp(now - since, UTC)
    rows = _rows(table, Wanted(min(_PAGE, limit), given | one_state), now)
    recent = (one for one in rows if one.arrived >= f"{start:%Y-%m-%dT%H:%M:%S}")
    known = list(islice((one for one in recent if not states or one.state in states), limit))
    if given or (states and _RECEIVED not in states):
        return known
    unmet = _root(outputs["HandoffBucket"], start, limit, {one.version_id for one in known})
    with ThreadPoolExecutor(max_workers=aws.AT_ONCE) as pool:  # the table may know them as older versions of a name
        versions = [found.versions if found else () for found in pool.map(table.newest, (one.name for one in unmet))]
    unread = [one for one, known_ones in zip(unmet, versions, strict=True) if one.version_id not in known_ones]
    return sorted([*known, *unread], key=lambda one: one.arrived, reverse=True)[:limit]


def _rows(table: Listing, wanted: Wanted, now: float) -> Iterator[Listed]:
    while True:
        page = table.page(wanted, now)
        yield from page.intents
        if page.position is None:
            return
        wanted = replace(wanted, position=page.position)


def _root(bucket: str, since: datetime, limit: int, met: Collection[str] = ()) -> list[Listed]:
    """List the newest inputs of the root that were not met. S3 sorts by name, so that all of them are listed."""
    pages = aws.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Delimiter="/")
    versions = (one for page in pages for one in page.get("Versions", []) if one["IsLatest"])
    recent = ((one["LastModified"].astimezone(UTC), one["Key"], one["VersionId"]) for one in versions)
    found = heapq.nlargest(limit, (one for one in recent if one[0] >= since))
    listed = (Listed(name, version, _RECEIVED, f"{at:%Y-%m-%dT%H:%M:%S}.000Z") for at, name, version in found)
    return [one for one in listed if one.version_id not in met]
