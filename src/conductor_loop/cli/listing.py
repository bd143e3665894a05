"""``conductor-loop list``: intents, newest first."""

import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from conductor_loop.aws import operator, overview
from conductor_loop.aws.operator import Listed as Lying
from conductor_loop.cli import console
from conductor_loop.cli.common import Duration, output_option, speaks_to_aws, stack_option
from conductor_loop.intent import Priority
from conductor_loop.intents.model import Phase
from conductor_loop.storage.listing import Listed, Listing, Wanted

_RECEIVED = "received"  # in the root, and not read yet
_UNDECIDED = {state for state in Phase if not state.done}
_GROUPS: Mapping[str, set[str]] = {  # by where the file lies
    "waiting": {_RECEIVED, *_UNDECIDED},
    "processed": {Phase.SUCCEEDED, Phase.SKIPPED},
    "failed": {Phase.FAILED, Phase.TIMED_OUT},
}
_STATES = {console.word(state): state for state in (*_GROUPS, _RECEIVED, *Phase)}  # by the words that are shown
_PAGE = 100
_AT_ONCE = 8  # calls
_COLUMNS = ("arrived", "state", "priority", "namespace", "attempts", "name")


class _State(click.Choice[str]):
    """A state by the word that is shown, or by the one that the API has for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        return str(_STATES[super().convert(console.word(value), param, ctx)])


@click.command("list")
@click.option("--state", type=_State(_STATES), help="Only these: a folder (waiting, processed, failed), or one state.")
@click.option(
    "--priority",
    type=click.Choice([*map(str, Priority)]),
    help="Only those that are treated with it; known from the first attempt on.",
)
@click.option("--namespace", help="Only those of this namespace; known from the first attempt on.")
@click.option("--since", type=Duration(), default="7d", show_default=True, help="Only those that arrived since.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest ones.")
@stack_option
@output_option
@speaks_to_aws
def listed(stack: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401 - the options, by name
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
    found = _found(stack, **wanted)
    if as_json:
        console.print_json([dict(zip(_COLUMNS, _cells(one), strict=True)) for one in found])
        return
    rows = [[str(value) for value in _cells(one)] for one in found]
    if sys.stdout.isatty():  # of which the name needs more than the year
        rows = [[arrived[5:-1].replace("T", " "), *others] for arrived, *others in rows]
    console.print_rows(_COLUMNS, rows, flexible="name", least=("attempts", "priority", "namespace"))
    if not found:
        click.echo("no intents of that kind; look further back with --since 30d, or send one: submit", err=True)


def _found(stack: str, since: float, limit: int, state: str | None, **filters: str | None) -> list[Listed]:
    """Give what the table knows, and what lies in the root and is not in the table yet."""
    outputs, now = operator.outputs(stack), time.time()
    given: dict[str, str] = {name: value for name, value in filters.items() if value}
    states: set[str] = _GROUPS.get(state or "", {state} if state else set())
    one_state = {"state": state} if state and state in {*Phase} and state not in _GROUPS else {}
    table = overview.intents(outputs["StateTable"], since)
    wanted = Wanted(min(_PAGE, limit), given | one_state)
    start = f"{datetime.fromtimestamp(now - since, UTC):%Y-%m-%dT%H:%M:%S}"
    rows = (one for one in _rows(table, wanted, now) if not states or one.state in states)
    known = list(islice((one for one in rows if one.arrived >= start), limit))
    if given or (states and _RECEIVED not in states):
        return known
    lying = operator.waiting(outputs["HandoffBucket"], datetime.fromtimestamp(now - since, UTC), limit)
    strangers = _strangers(table, lying, {one.version_id for one in known})
    return sorted([*known, *strangers], key=lambda one: one.arrived, reverse=True)[:limit]


def _rows(table: Listing, wanted: Wanted, now: float) -> Iterator[Listed]:
    while True:
        page = table.page(wanted, now)
        yield from page.intents
        if page.position is None:
            return
        wanted = replace(wanted, position=page.position)


def _strangers(table: Listing, lying: list[Lying], met: set[str]) -> list[Listed]:
    """Give what lies in the root of which the table knows nothing, though it may know other versions of the name."""
    waiting = [one for one in lying if one.version_id not in met]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        answers = list(pool.map(lambda one: table.newest(one.name), waiting))
    return [
        Listed(one.name, "", _RECEIVED, f"{one.since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z")
        for one, answer in zip(waiting, answers, strict=True)
        if answer is None or one.version_id not in answer.versions
    ]


def _cells(one: Listed) -> list[Any]:
    arrived = f"{one.arrived[:19]}Z" if one.arrived else "-"
    return [arrived, console.word(one.state), one.priority or "-", one.namespace or "-", one.attempts, one.name]
