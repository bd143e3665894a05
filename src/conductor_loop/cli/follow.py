"""Following what was sent to its end."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import click

from conductor_loop.aws import following, refusals
from conductor_loop.cli.common import FAILED, NO_AWS, NOT_YET
from conductor_loop.cli.lazy import INTERRUPTED
from conductor_loop.cli.progress import Progress
from conductor_loop.cli.summary import Sent
from conductor_loop.intent import Handoff

_POLL_SECONDS = 0.5


def follow(sent: Mapping[str, Sent], table: str, timeout: float) -> int:
    """Wait for the answers; the exit code, if the waiting itself did not end well."""
    pending = {one.handoff: one for one in sent.values() if one.handoff}
    deadline = time.monotonic() + timeout
    try:
        with Progress("answered", len(pending)) as bar:
            for left in _answers(pending, table):
                bar.show(len(pending) - len(left), _standing(left, pending.values()))
                if not left or time.monotonic() >= deadline:
                    break
                time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo("interrupted; what was sent goes on", err=True)
        return INTERRUPTED
    except refusals.AWS_ERRORS as error:
        click.echo(f"{refusals.explained(error).text}; what was sent goes on", err=True)
        return NO_AWS
    return 0


def _answers(sent: Mapping[Handoff, Sent], table: str) -> Iterator[list[Sent]]:
    """Look again and again; give those that have no answer yet."""
    follower, pending = following.Follower(table), dict(sent)
    while True:
        rows = follower.rows(pending.keys()) if pending else {}
        for handoff, row in rows.items():
            pending[handoff].row = row
        for handoff in follower.settled([handoff for handoff, row in rows.items() if row.outcome]):
            pending.pop(handoff).settled_after = time.monotonic() - sent[handoff].since
        yield list(pending.values())


def _standing(left: Sequence[Sent], every: Collection[Sent]) -> str:
    failed = sum(one.failed for one in every)
    words = [f"{number} {state}" for state, number in sorted(Counter(one.state for one in left).items())]
    return ", ".join([*([f"{failed} failed"] if failed else []), *words])


def exit_code(sent: Collection[Sent], *, waited: bool) -> int:
    """Give the exit code of a command that has sent something, by what became of it."""
    if any(one.failed for one in sent):
        return FAILED
    if any(one.unsent for one in sent):
        return NO_AWS
    return NOT_YET if waited and any(one.settled_after is None for one in sent) else 0
