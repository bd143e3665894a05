"""Completing the names of intents in a shell: soon or not at all, and in silence."""

from collections.abc import Mapping
from contextlib import suppress
from threading import Thread
from typing import Any

import click
from click.shell_completion import CompletionItem

from conductor_loop.aws import operator, refusals
from conductor_loop.cli.place import DEFAULT, take_local, take_region

_MOST_SECONDS = 2.0  # that a shell waits after Tab


def names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Give the names of inputs and answers that begin so (click asks); none where a call fails."""
    found: list[str] = []
    # A daemon thread, so that the process can end before it: credentials alone may take minutes.
    looking = Thread(target=_look, args=(dict(context.params), incomplete, found), daemon=True)
    looking.start()
    looking.join(_MOST_SECONDS)
    return [CompletionItem(name) for name in found]


def _look(typed: Mapping[str, Any], incomplete: str, found: list[str]) -> None:
    with suppress(Exception):
        stack = typed.get("stack") or take_local().get("STACK_NAME", DEFAULT)
        take_region()
        refusals.connect()
        bucket = typed.get("bucket") or operator.outputs(stack)["HandoffBucket"]
        found += operator.names(bucket, incomplete)
