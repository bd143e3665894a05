"""Intents that a command sends: put into the bucket, followed to their end, and what became of them."""

import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop.cli import INTERRUPTED, aws, console
from conductor_loop.cli.answers import GOOD
from conductor_loop.cli.common import FAILED, NO_AWS, NOT_YET, suggest
from conductor_loop.cli.console import Progress
from conductor_loop.intent import Handoff
from conductor_loop.intents.model import Row
from conductor_loop.storage.state import StateTable

_POLL_SECONDS = 0.5


@dataclass(slots=True)
class Sent:
    """An intent that was sent, or could not be; and what is known of it."""

    name: str
    handoff: Handoff | None = None
    unsent: str = ""  # why it could not be sent
    since: float = 0.0  # monotonic seconds
    row: Row | None = None  # None: not read yet
    settled_after: float | None = None  # seconds

    @property
    def document(self) -> Mapping[str, Any]:
        """The status; empty while there is none."""
        return self.row.outcome.status if self.row and self.row.outcome else {}

    @property
    def state(self) -> str:
        """A word for where it stands: its status, or what it waits for."""
        if self.unsent:
            return "not sent"
        if self.document:
            return str(self.document["status"])
        return console.word(self.row.phase) if self.row else "received"

    @property
    def failed(self) -> bool:
        """Whether its answer is a bad one."""
        return bool(self.document) and self.state not in GOOD

    @property
    def why(self) -> str:
        """What is to be said of it where it did not go well."""
        if self.unsent:
            return self.unsent
        if details := self.document.get("error_details"):
            return f"{details['code']} {details['error_code']}: {details['error_message']}"
        return str(self.document.get("message", f"no answer yet; see: {suggest('logs', self.name)}"))


def send(bodies: Mapping[str, bytes], bucket: str) -> tuple[list[Sent], bool]:
    """Put files into the root of the bucket, side by side.

    Returns:
        What became of each; and whether the caller has interrupted it. What was begun then has ended; the rest was not
        begun, and is not sent.

    """
    s3, sent, interrupted = aws.client("s3"), dict[str, Sent](), False

    def put(name: str) -> None:
        try:
            found = s3.put_object(Bucket=bucket, Key=name, Body=bodies[name], ContentType="application/json")
        except (BotoCoreError, ClientError) as error:
            refusal = aws.explain(error)
            sent[name] = Sent(name, unsent=refusal.text if refusal else str(error))
        else:
            handoff = Handoff(bucket, name, found.get("VersionId", "null"), size=len(bodies[name]))
            sent[name] = Sent(name, handoff, since=time.monotonic())

    with Progress("sending", len(bodies)) as bar, ThreadPoolExecutor(aws.AT_ONCE) as pool:
        try:
            for _ in pool.map(put, bodies):
                bar.show(len(sent))
        except KeyboardInterrupt:
            interrupted = True
            pool.shutdown(cancel_futures=True)
        bar.show(len(sent))
    return [sent.get(name, Sent(name, unsent="interrupted before it was sent")) for name in bodies], interrupted


def finish(sent: Collection[Sent], table: str, timeout: float | None, *, as_json: bool) -> None:
    """Follow what was sent for so many seconds (``None``: not at all), print what became of it, and end the command."""
    waited = timeout is not None
    code = _follow(sent, table, timeout) if timeout is not None else 0
    print_summary(sent, waited=waited, as_json=as_json)
    if not code and any(one.failed for one in sent):
        code = FAILED
    elif not code and any(one.unsent for one in sent):
        code = NO_AWS
    elif not code and waited and any(one.settled_after is None for one in sent):
        code = NOT_YET
    raise click.exceptions.Exit(code)


def _follow(sent: Collection[Sent], table: str, timeout: float) -> int:
    """Wait for the answers; the exit code, if the waiting itself did not end well."""
    followed = [one for one in sent if one.handoff]
    deadline, follower = time.monotonic() + timeout, Follower(table)
    try:
        with Progress("answered", len(followed)) as bar:
            while True:
                left = follower.look(followed)
                failed = sum(one.failed for one in followed)
                words = [f"{number} {state}" for state, number in sorted(Counter(one.state for one in left).items())]
                bar.show(len(followed) - len(left), ", ".join([*([f"{failed} failed"] if failed else []), *words]))
                if not left or time.monotonic() >= deadline:
                    return 0
                time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo("interrupted; what was sent goes on", err=True)
        return INTERRUPTED
    except Exception as error:
        if (refusal := aws.explain(error)) is None:
            raise
        click.echo(f"{refusal.text}; what was sent goes on", err=True)
        return NO_AWS


class Follower:
    """Looks where intents stand: one call for a hundred of them, whatever else is in the bucket."""

    def __init__(self, table: str) -> None:
        self._state = StateTable(aws.client("dynamodb"), table, keep_seconds=0, jitter=lambda: 0.0)
        self._s3 = aws.client("s3")

    def look(self, sent: Collection[Sent]) -> list[Sent]:
        """Note the rows of those that are not settled, and give those that still are not."""
        pending = {one.handoff: one for one in sent if one.handoff and one.settled_after is None}
        for handoff, row in self._state.find(pending).items() if pending else ():
            pending[handoff].row = row
        decided = [one for one in pending.values() if one.document]
        with ThreadPoolExecutor(aws.AT_ONCE) as pool:
            for one, moved in zip(decided, pool.map(self._is_moved, decided), strict=True):
                one.settled_after = time.monotonic() - one.since if moved else None
        return [one for one in pending.values() if one.settled_after is None]

    def _is_moved(self, one: Sent) -> bool:
        """Whether the input was moved, which is the last thing that is done."""
        assert one.handoff is not None  # noqa: S101 - for the types
        try:
            self._s3.head_object(Bucket=one.handoff.bucket, Key=one.name, VersionId=one.handoff.version_id)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                return True
            raise
        return False


def print_summary(sent: Collection[Sent], *, waited: bool, as_json: bool) -> None:
    """Print what became of what was sent: a table, what was skipped, and the failures last, where they are seen."""
    if as_json:
        console.print_json([_document(one) for one in sent])
    elif waited:
        console.print_rows(("status", "intents", "attempts", "median", "slowest"), _by_state(sent))
    else:
        console.print_rows(("file", "version"), [[one.name, one.handoff.version_id] for one in sent if one.handoff])
    left = [one for one in sent if one.unsent or (waited and one.settled_after is None and not one.failed)]
    skipped = [one for one in sent if one.state == "skipped" and one not in left]
    for one in [*skipped, *left, *(one for one in sent if one.failed)]:
        colour = "red" if one.failed or one.unsent else console.STYLES.get(one.state, "yellow")
        console.note(f"{one.state:9}", f" {one.name}  {console.printable(one.why)}", colour)
    if not waited and sent:
        click.echo("follow them with: conductor-loop watch, or conductor-loop status NAME --wait 30", err=True)


def _by_state(sent: Collection[Sent]) -> Iterator[list[str]]:
    for state in sorted({one.state for one in sent}, key=lambda state: (state not in GOOD, state)):
        these = [one for one in sent if one.state == state]
        times = [one.settled_after for one in these if one.settled_after is not None]
        attempts = sum(one.row.attempt for one in these if one.row)
        spent = [f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"] if times else ["-", "-"]
        yield [state, str(len(these)), str(attempts), *spent]


def _document(one: Sent) -> dict[str, Any]:
    found = {"file": one.name, "version_id": one.handoff.version_id if one.handoff else None, "state": one.state}
    return found | ({"error": one.unsent} if one.unsent else {}) | ({"status": one.document} if one.document else {})
