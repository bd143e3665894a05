"""``conductor-loop watch``: the pipeline, live, in a terminal."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from conductor_loop.aws import operator, overview, refusals
from conductor_loop.aws.overview import Snapshot
from conductor_loop.cli import console
from conductor_loop.cli.common import Duration, output_option, speaks_to_aws, stack_option
from conductor_loop.cli.rates import Growth
from conductor_loop.cli.view import View
from conductor_loop.errors import NotAnswering

_MOST_LINES = 200  # of latest intents, however high the terminal is

type Look = Callable[[], Snapshot]
"""Looks at the pipeline once."""


@click.command()
@click.option(
    "--interval", type=Duration(0.5, 3600), default="2s", show_default=True, help="How long to wait between two looks."
)
@click.option("--once", is_flag=True, help="Look once, print it, and end.")
@stack_option
@output_option
@speaks_to_aws
def watch(interval: float, stack: str, *, once: bool, as_json: bool) -> None:
    """Watch the pipeline: its queues, outcomes, rates and latest intents.

    Ctrl-C leaves. The counts are since the stack was made, the rates those of the last minute of watching. A look takes
    about nine calls to AWS, so a day of it costs some cents. With --output json there is one line for each look.

    \b
    Examples:
      conductor-loop watch --once
      conductor-loop watch --interval 5
      conductor-loop watch --once --output json
    """  # noqa: D301 - click wants the control character
    if not (once or as_json or sys.stdout.isatty()):
        raise click.UsageError("this is no terminal: take --once, or --output json")
    eye = overview.Overview(operator.outputs(stack))

    def look() -> Snapshot:
        return eye.look(time.time(), _MOST_LINES)

    try:
        if as_json:
            _lines(look, None if once else interval)
        elif once:
            _print(stack, look())
        else:
            live(console.stdout(), stack, look, interval)
    except KeyboardInterrupt:
        return


def live(screen: Console, stack: str, look: Look, interval: float, looks: int | None = None) -> None:
    """Draw until interrupted, or so many times; a look that fails leaves the last picture, and says why.

    Raises:
        NotAnswering: the first look has failed already; or an error of the SDK.

    """
    growth, found, trouble, done = Growth(), look(), "", 1
    with Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as picture:
        while True:
            if not trouble:
                growth.add(found.at, found.counts.counters)
            picture.update(View(f"conductor-loop: {stack}", found, growth, trouble), refresh=True)
            if done == looks:
                return
            time.sleep(interval)
            found, trouble = _again(look, found)
            done += 1


def _again(look: Look, last: Snapshot) -> tuple[Snapshot, str]:
    try:
        return look(), ""
    except (*refusals.AWS_ERRORS, NotAnswering) as error:
        return last, refusals.explained(error.__cause__ or error).text


def _print(stack: str, found: Snapshot) -> None:
    growth = Growth()
    growth.add(found.at, found.counts.counters)
    console.stdout().print(View(f"conductor-loop: {stack}", found, growth, hint=""))


def _lines(look: Look, interval: float | None) -> None:
    while True:
        click.echo(json.dumps(_document(look())))
        if interval is None:
            return
        time.sleep(interval)


def _document(found: Snapshot) -> dict[str, Any]:
    document = asdict(found)
    for one in document["latest"]:
        del one["position"]
        one["state"] = console.word(one["state"])
    return document
