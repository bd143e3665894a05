"""``conductor-loop list``, ``status`` and ``retry``: where intents stand, what to say of one, sending it again."""

import heapq
import json
import shlex
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from itertools import islice
from typing import Any

import click
from botocore.exceptions import ClientError

from conductor_loop.cli import aws, common
from conductor_loop.errors import Cause, ConditionFailed, Reaction
from conductor_loop.intent import FILE_NAME, Priority
from conductor_loop.intents.model import Phase
from conductor_loop.storage.inbox import Inbox
from conductor_loop.storage.listing import Listed, Listing, Wanted

GOOD = {"success", "skipped"}
_POLL_SECONDS = 0.5
_PRINTED_LINES, _PRINTED_CHARACTERS = 5, 300  # of what porch printed last; of each line
_ILLEGIBLE = {"InvalidRequest", "InvalidObjectState"}  # encrypted with its sender's own key; archived
_MOST_WAITING = 200  # intents in the root that are read
_MOST_BYTES = 1024**2  # of one that is read
_RECEIVED = "received"  # in the root, and not read yet
_GROUPS: Mapping[str, set[str]] = {  # by where the file lies
    "waiting": {_RECEIVED, *(state for state in Phase if not state.done)},
    "processed": {Phase.SUCCEEDED, Phase.SKIPPED},
    "failed": {Phase.FAILED, Phase.TIMED_OUT},
}
_STATES = {common.word(state): state for state in (*_GROUPS, _RECEIVED, *Phase)}  # by the words that are shown
_PAGE = 100
_LIST_COLUMNS = ("arrived", "state", "priority", "namespace", "attempts", "name")


@click.command()
@click.option(
    "--wait", type=common.Duration(most=common.DAY_SECONDS), default="0s", help="How long to wait for the answer."
)
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    help="text: a few lines for people, by default in a terminal. json: the document as it lies in the bucket.",
)
@common.intent_command
def status(name: str, bucket: str, wait: float, output: str | None) -> None:
    """Print the status of the intent NAME.

    With --wait, that of the file which is in the bucket now, even if the name was used before.

    \b
    Examples:
      conductor-loop status intent-scale-up-001.json
      conductor-loop status intent-scale-up-001.json --wait 30 --output text

    Exit codes: 0 success or skipped, 1 failed or timeout, 2 a name that no intent can have, 3 no answer yet, or nothing
    of that name yet, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    found, said = _await(name, bucket, wait)
    if found.stage is Stage.ABSENT and not FILE_NAME.fullmatch(name):
        rule = "intents are called intent-<letters, digits, - or _>.json, in the root"
        wrong = f"{name} is no intent's name, and nothing of that name was answered: {rule}"
        raise common.WrongUsage(common.printable(wrong + correction(name)))
    if found.text is not None and not (found.stage is Stage.REPLACED and wait):
        if output == "text" or (output is None and sys.stdout.isatty()):
            _print(found.status)
        else:
            click.echo(found.text, nl=False)
    if found.remark not in {"", said}:
        click.echo(common.printable(found.remark), err=True)
    if not found.stage.over:
        raise click.exceptions.Exit(common.NOT_YET)
    raise click.exceptions.Exit(0 if found.status["status"] in GOOD else common.FAILED)


def _await(name: str, bucket: str, seconds: float) -> "tuple[Standing, str]":
    """Wait until nothing more comes, or for so long; where the name stands then, and the last remark meanwhile."""
    deadline, said = time.monotonic() + seconds, ""
    while True:
        found = standing(bucket, name)
        hopeless = found.stage is Stage.ABSENT and not FILE_NAME.fullmatch(name)
        if found.stage.over or hopeless or time.monotonic() >= deadline:
            return found, said
        if found.stage is Stage.RETRYING and found.remark != said:
            said = found.remark
            click.echo(common.printable(said), err=True)
        time.sleep(_POLL_SECONDS)


def _print(document: Mapping[str, Any]) -> None:
    """Print what a reader of a status looks for first."""
    details, package = document.get("error_details", {}), document.get("package", {})
    colour = "green" if document["status"] in GOOD else "red"
    name, status = (common.printable(str(document.get(key, "-"))) for key in ("intent_file", "status"))
    click.echo(f"{name}  {click.style(status, fg=colour, bold=True)}")
    fields = {
        "message": document.get("message"),
        "error": f"{details.get('code')} {details.get('error_code')}" if details else None,
        "next retry": document.get("next_retry"),
        "package": package.get("prefix"),
        "answered": ", ".join(str(document[key]) for key in ("timestamp", "processing_duration") if key in document),
        "attempt": document.get("attempt"),
        "correlation": document.get("correlation_id"),
    }
    rows = [(key, text) for key, text in fields.items() if text]
    violations = [one.get("message") for one in details.get("validation_errors", [])]
    rows += [("", violation) for violation in violations if len(violations) > 1]  # one alone is in the message
    printed = str(details.get("porch_stderr") or details.get("porch_stdout") or "").splitlines()
    printed = [line for line in printed if line.strip()]
    rows += [("printed", line[:_PRINTED_CHARACTERS]) for line in printed[-_PRINTED_LINES:]]
    rows += [("", f"all of it: {common.suggest('status', name, '--output', 'json')}")] if printed else []
    for key, text in rows:
        click.echo(f"  {key:11}  {common.printable(str(text))}")


@click.command()
@common.intent_command
@common.output_option
def retry(name: str, bucket: str, *, as_json: bool) -> None:
    """Send the failed intent NAME again, as it is.

    Its input is put into the root again, as failed/ keeps it. Only where its newest answer is failed or timeout, and
    nothing of that name waits: an old failure must not undo what came after it.

    \b
    Example:
      conductor-loop retry intent-no-such-deployment.json

    Exit codes: 0 sent again, 1 it is not to be, 2 nothing of that name, 4 AWS refuses or does not answer.
    """  # noqa: D301 - click wants the control character
    keys = (f"failed/{name}", f"processed/{name}")  # that of an input which could be sent again on purpose
    kept = next((key for key in keys if head(aws.client("s3"), bucket, key)), None)
    if not FILE_NAME.fullmatch(name):
        raise common.WrongUsage(misnamed(name, bucket, kept))
    found = standing(bucket, name)
    if reason := _reason_against(found, kept):
        raise common.WrongUsage(reason) if found.stage is Stage.ABSENT else click.ClickException(reason)
    _resubmit(bucket, name)
    details, warning = found.status.get("error_details", {}), ""
    if details.get("error_code") in {cause for cause in Cause if cause.reaction is Reaction.REJECT}:
        again = "and will be again unless the file is corrected"
        warning = f"it was rejected ({details['code']} {details['error_code']}), {again}"
        click.echo(warning, err=True)
    if as_json:
        common.print_json({"file": name, "sent": True, "warning": warning or None})
    click.echo(f"{name} is sent again; {follow(name)}", err=True)


def _resubmit(bucket: str, name: str) -> None:
    """Put a failed input into the root again, where it is a new intent; end the command where that cannot be."""
    s3 = aws.client("s3")
    try:
        body = s3.get_object(Bucket=bucket, Key=f"failed/{name}")["Body"].read()
        Inbox(s3, bucket).put(name, body, replace=False)
    except s3.exceptions.NoSuchKey:
        wrong = f"failed/{name} is gone, as it is kept for a time only: copy the file again"
    except ConditionFailed:
        wrong = f"{name} was sent again just now, and is left as it is; {follow(name)}"
    except ClientError as error:
        if error.response["Error"]["Code"] not in _ILLEGIBLE:
            raise
        reason = error.response["Error"]["Message"]
        wrong = f"failed/{name} cannot be read ({reason}): its sender has to send it again"
    else:
        return
    raise click.ClickException(wrong)


def misnamed(name: str, place: str, kept: str | None) -> str:
    """Refuse to send again what no intent is called; ``kept`` is the key of its input, if there is one."""
    rule = f"{name} is no intent's name"
    if kept is None:
        see = common.suggest("list --state failed")
        return f"{rule}, and nothing of it is kept in {place}: see {see}{correction(name)}"
    renamed = f"{_copy(place, kept)} s3://{place}/intent-<letters, digits, - or _>.json"
    return f"{rule}, and would be rejected again; send it under another: {renamed}"


def _reason_against(found: "Standing", kept: str | None) -> str:
    """Refuse to send a name again; nothing where its newest answer is a failure that is over."""
    name, place, status = found.name, found.bucket, found.status
    purpose = f"; to send an input again on purpose: {_copy(place, kept)} s3://{place}/{name}" if kept else ""
    match found.stage:
        case Stage.ABSENT:
            return f"{name} never failed: nothing of that name is in {place}, and nothing of it was answered"
        case Stage.STRAY | Stage.WAITING | Stage.REPLACED:
            return f"{name} waits in the root already; {follow(name)}"
        case Stage.RETRYING:
            return f"{name} is tried again by itself at {status['next_retry']}; {follow(name)}"
        case Stage.WITHDRAWN:
            return f"{name} was withdrawn while it was being retried: copy the file to s3://{place}/ again"
        case Stage.ANSWERED if status["status"] in GOOD:
            newest = f"{status['status']} at {status['timestamp']} ({status['message']})"
            return f"the newest answer to {name} is {newest}: there is nothing to retry{purpose}"
        case Stage.ANSWERED if found.older:
            left = f"an older {name} lies in the root still, and would be in the way"
            return f"{left}: wait until it is gone, or remove it: aws s3 rm s3://{place}/{name}"
        case Stage.ANSWERED if found.waiting is not None:
            return f"{name} has failed just now, or cannot be read: its input still lies in the root; see its status"
        case _:
            return ""


def follow(name: str) -> str:
    """Give the end of a message about a name that waits."""
    return f"follow it with: {common.suggest('status', name, '--wait', 30)}"


def _copy(place: str, key: str) -> str:
    return shlex.join(["aws", "s3", "cp", f"s3://{place}/{key}"])


class Stage(Enum):
    """Where a name stands, as its sender sees it."""

    ABSENT = "neither an input nor a status"
    STRAY = "in the root, under a name that is no intent's"
    WAITING = "in the root, without any status"
    REPLACED = "in the root, and the newest status is about another version"
    RETRYING = "in the root; an attempt failed, and another is due"
    WITHDRAWN = "no longer in the root, although another attempt was due"
    ANSWERED = "the newest status is final"

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self in {Stage.WITHDRAWN, Stage.ANSWERED}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a name stands: the newest version that lies in the root, if any, and the newest status, if any."""

    bucket: str
    name: str
    waiting: str | None = None  # version id
    text: str | None = None  # the status object, as it is
    status: Mapping[str, Any] = field(default_factory=dict)  # parsed; empty where there is none
    older: bool = False  # whether what lies in the root was put before the version that the status is about

    @property
    def stage(self) -> Stage:
        """Derive where it stands."""
        waiting = None if self.older else self.waiting
        if waiting is not None and waiting == self.status.get("version_id"):
            return Stage.RETRYING if "next_retry" in self.status else Stage.ANSWERED
        if waiting is not None and not FILE_NAME.fullmatch(self.name):
            return Stage.STRAY
        if waiting is not None:
            return Stage.REPLACED if self.status else Stage.WAITING
        if not self.status:
            return Stage.ABSENT
        return Stage.WITHDRAWN if "next_retry" in self.status else Stage.ANSWERED

    @property
    def remark(self) -> str:
        """What the status alone does not say, and the next step; nothing beside a final answer."""
        name, details = self.name, self.status.get("error_details", {})
        failure = f"attempt {self.status.get('attempt')} failed ({details.get('code')} {details.get('error_code')})"
        match self.stage:
            case Stage.ABSENT:
                nothing = f"{name} is not in {self.bucket}, and nothing of that name was answered"
                return f"{nothing}: send it first, or see what was sent: {common.suggest('list')}{correction(name)}"
            case Stage.STRAY:
                moved = "once it has lain there for processing.sweep_after (5m by default), a sweep moves it to failed/"
                return f"{name} lies in {self.bucket}, but is not an intent's name; {moved}"
            case Stage.WAITING:
                more = f"wait longer with --wait, or see: {common.suggest('logs', name)}"
                return f"{name} waits in {self.bucket} and has no answer yet: {more}"
            case Stage.REPLACED:
                about = f"the status is about version {self.status.get('version_id')}"
                return f"{name} was sent again (version {self.waiting}) and waits; {about}"
            case Stage.RETRYING:
                return f"{failure}; the next one is due at {self.status['next_retry']}"
            case Stage.WITHDRAWN:
                return f"{failure}, and {name} was withdrawn since: it is not tried again"
            case Stage.ANSWERED:
                return ""


def standing(bucket: str, name: str) -> Standing:
    """Look at the root of the bucket, then at the status: an input is removed after its last status was written.

    An object there that is no status counts for nothing.
    """
    s3 = aws.client("s3")
    root = head(s3, bucket, name)
    waiting = root["VersionId"] if root else None
    try:
        found = s3.get_object(Bucket=bucket, Key=f"status/{name}.status")
        text = found["Body"].read().decode(errors="replace")
        status = json.loads(text)
    except (s3.exceptions.NoSuchKey, ValueError, RecursionError):
        status = None
    if not (isinstance(status, dict) and isinstance(status.get("status"), str)):
        return Standing(bucket, name, waiting)
    put = found["Metadata"].get("order", "")[:19]  # the version that it is about; see intents.model.order
    older = root is not None and f"{root['LastModified'].astimezone(UTC):%Y-%m-%dT%H:%M:%S}" < put
    return Standing(bucket, name, waiting, text, status, older=older)


def final(name: str, bucket: str) -> Mapping[str, Any]:
    """Read the final status of an intent; end the command where there is none."""
    found = standing(bucket, name)
    if found.stage.over:
        return found.status
    if found.waiting is None:
        raise common.WrongUsage(found.remark)
    click.echo(found.remark, err=True)
    raise click.exceptions.Exit(common.NOT_YET)


def correction(name: str) -> str:
    """Give the end of a message about a name of which nothing is known: the intent's name that may be meant."""
    bare = name.removesuffix(".status").removesuffix(".json").removesuffix(".")
    meant = next((one for one in (f"{bare}.json", f"intent-{bare}.json") if FILE_NAME.fullmatch(one)), name)
    return f"; did you mean {meant}?" if meant != name else ""


def head(s3: Any, bucket: str, key: str, **version: str) -> Mapping[str, Any] | None:  # noqa: ANN401 - a client
    """Look up an object, its VersionId and LastModified; ``None`` where there is none."""
    try:
        return {"VersionId": "null", **s3.head_object(Bucket=bucket, Key=key, **version)}
    except ClientError as error:
        if (code := error.response["ResponseMetadata"]["HTTPStatusCode"]) == HTTPStatus.NOT_FOUND:
            return None
        if code != HTTPStatus.BAD_REQUEST:
            raise
    # It has its sender's own key (SSE-C); the listing, for s3:ListBucketVersions, begins with its newest version.
    versions = s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=1).get("Versions", [])
    return next((one for one in versions if one["Key"] == key), None)


def waiting(bucket: str, target: str) -> tuple[list[str], bool]:
    """Find the files in the root about the target ``namespace/name``, sorted; and whether all there were read."""
    s3 = aws.client("s3")
    page = s3.list_objects_v2(Bucket=bucket, Prefix="intent-", Delimiter="/")
    found = sorted(page.get("Contents", []), key=lambda one: one["LastModified"], reverse=True)
    keys = [one["Key"] for one in found[:_MOST_WAITING] if one["Size"] <= _MOST_BYTES]

    def is_about(key: str) -> bool:
        try:
            document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            return f"{document['namespace']}/{document['target']}" == target
        except (ClientError, ValueError, KeyError, TypeError, RecursionError):
            return False  # it is gone by now, or is none that can be read

    with ThreadPoolExecutor(max_workers=aws.AT_ONCE) as pool:
        about = list(pool.map(is_about, keys))
    same = sorted(key for key, one in zip(keys, about, strict=True) if one)
    return same, len(keys) == len(found) and not page["IsTruncated"]


class _State(click.Choice[str]):
    """A state by the word that is shown, or by the one that the API has for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        return str(_STATES[super().convert(common.word(value), param, ctx)])


@click.command("list")
@click.option("--state", type=_State(_STATES), help="Only these: a folder (waiting, processed, failed), or one state.")
@click.option(
    "--priority", type=click.Choice([*map(str, Priority)]), help="Only those treated with it; known once it is read."
)
@click.option("--namespace", help="Only those of this namespace; known once the intent is read.")
@click.option("--since", type=common.Duration(), default="7d", help="Only those that arrived since.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="The newest ones.")
@common.stack_command
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
        common.print_json([dict(zip(_LIST_COLUMNS, cells, strict=True)) for cells in found])
        return
    if sys.stdout.isatty():  # of which the name needs more than the year
        found = [[arrived[5:-1].replace("T", " "), *others] for arrived, *others in found]
    common.print_rows(_LIST_COLUMNS, found, flexible="name", least=("attempts", "priority", "namespace"))
    if not found:
        click.echo("none; to look further back: --since 30d", err=True)


def _cells(one: Listed) -> list[Any]:
    arrived = f"{one.arrived[:19]}Z" if one.arrived else "-"
    return [arrived, common.word(one.state), one.priority or "-", one.namespace or "-", one.attempts, one.name]


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
