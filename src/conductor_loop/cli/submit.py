"""``conductor-loop submit`` and ``undo``: intents are validated by the rules of the stack, sent, and followed."""

import hashlib
import json
import math
import shlex
import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from conductor_loop import validator
from conductor_loop.cli import INTERRUPTED, aws, common, config, intents
from conductor_loop.config import typed
from conductor_loop.config.schema import seconds
from conductor_loop.errors import ConditionFailed, Unreadable
from conductor_loop.intent import Handoff, Intent
from conductor_loop.intents.attempt import SETTLE_SECONDS
from conductor_loop.intents.model import Phase, Row
from conductor_loop.storage.inbox import Inbox
from conductor_loop.storage.rows import read_row
from conductor_loop.storage.state import DynamoDBStateTable
from conductor_loop.storage.table import Table
from conductor_loop.validation import Rules, inspect
from conductor_loop.validation.rules import BOUNDS, SecurityMode

_POLL_SECONDS = 0.5
_LONGEST = 150  # characters of an identifier that are kept; a name has at most 200
_STRICT = (
    "the security mode strict alone refuses {}: it is the specification's list, and refuses honest prose, too; the "
    "stack's operator can choose standard (template parameter SecurityMode), which allows it in reason and metadata"
)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Follow each to its end, and print its result.")
@click.option("--timeout", type=common.Duration(), default="10m", help="With --wait: how long, at most.")
@click.option("--dry-run", is_flag=True, help="Validate, say what would be sent, and send nothing.")
@common.stack_command
def submit(  # noqa: PLR0913 - the options
    files: Sequence[Path], stack: str, timeout: float, *, wait: bool, dry_run: bool, as_json: bool
) -> None:
    """Validate the intents in FILES, send them, and follow them to the end.

    They are held to the rules of the stack, by the code that the function runs. Where one breaks a rule, nothing is
    sent; --output json then lists what `conductor-loop validate` tells of each such file. A name that was used before
    is sent again, and the newer file counts.

    \b
    Examples:
      conductor-loop submit examples/intents/intent-scale-up-001.json --dry-run
      conductor-loop submit examples/intents/intent-scale-up-001.json --wait
      conductor-loop submit examples/intents/intent-*up*.json --wait --timeout 2m --output json

    Exit codes: 0 sent, and with --wait success or skipped, 1 a file breaks a rule, and nothing was sent, or with --wait
    an intent failed, 2 wrong usage, 3 with --wait no failure, and no answer to all of them in time, 4 AWS refuses or
    does not answer, 130 interrupted: what was sent before goes on.
    """  # noqa: D301 - click wants the control character
    bodies = read(files)
    rules, longest = limits(stack)
    validate(bodies, rules, as_json=as_json)
    for name, body in bodies.items():
        wanted = Intent(json.loads(body)).timeout_seconds or 0
        if wanted > longest:
            cut = f"timeout {wanted}s is more than this stack gives, and will be cut to {longest:.0f}s"
            common.note("note     ", f" {name}  {cut} (porch.execution_timeout, FunctionTimeout)", "yellow")
    outputs = aws.outputs(stack)
    if dry_run:
        _print_dry_run(bodies, outputs["HandoffBucket"], as_json=as_json)
        return
    sent, interrupted = _send(bodies, outputs["HandoffBucket"])
    if interrupted:
        _print_summary(sent, waited=False, as_json=as_json)
        done = sum(not one.unsent for one in sent)
        click.echo(f"interrupted; {done} of {len(bodies)} were sent, and go on", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    finish(sent, outputs["StateTable"], timeout if wait else None, as_json=as_json)


def read(files: Sequence[Path]) -> dict[str, bytes]:
    """Read the files, by name. Raises common.WrongUsage, naming every one that cannot be sent."""
    bodies: dict[str, bytes] = {}
    problems = []
    for file in files:
        if str(file) == "-":
            write = "write it to a file, e.g. cat >intent-a.json, and name that"
            alone = "to check it alone: conductor-loop validate -"
            problems.append(f"standard input has no name, and an intent is called as its file is: {write}; {alone}")
            continue
        if file.is_dir():
            named = f"conductor-loop submit {shlex.quote(str(file))}/intent-*.json"
            problems.append(f"{file} is a folder: name its files, e.g. {named}")
            continue
        if file.name in bodies:
            problems.append(f"two files are called {file.name}, and the later would replace the other: rename one")
        try:
            bodies[file.name] = validator.read(str(file), BOUNDS["max_file_bytes"][1])  # more is too large anywhere
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}; check its name and permissions")
    if problems:
        raise common.WrongUsage("\n".join(problems))
    return bodies


def limits(stack: str) -> tuple[Rules, float]:
    """Read the rules of the stack, and the seconds that porch has; if denied, the built-in ones, and no limit."""
    try:
        deployed = config.deployed(stack)
        _, known = config.in_force(deployed)
    except ClientError as error:
        if error.response["Error"]["Code"] not in aws.DENIED:
            raise
        click.echo(f"the stack's rules cannot be read, so the built-in ones are checked here: {error}", err=True)
        return Rules(), math.inf
    most = seconds(known.values["porch"]["execution_timeout"])
    return typed.rules(known.values), min(most, deployed.function_seconds - SETTLE_SECONDS)


def validate(bodies: Mapping[str, bytes], rules: Rules, *, as_json: bool) -> None:
    """Validate every file; end the command, with every violation, where one breaks a rule."""
    reports = {name: inspect(body, rules, name) for name, body in bodies.items()}
    broken = {name: report for name, report in reports.items() if not report.valid}
    if not broken:
        return
    if as_json:
        common.print_json([{"file": name, **report.as_json()} for name, report in broken.items()])
    for name, report in broken.items() if not as_json else ():
        for line in validator.lines(name, report):
            click.echo(line, err=True)
    standard = replace(rules, mode=SecurityMode.STANDARD)  # which the operator of the stack can choose
    if prose := [name for name in broken if inspect(bodies[name], standard, name).valid]:
        click.echo(_STRICT.format(", ".join(prose)), err=True)
    why = "the file breaks a rule" if len(reports) == 1 else f"{len(broken)} of {len(reports)} files break a rule"
    raise click.ClickException(f"nothing was sent: {why}; correct or leave out those above")


def _print_dry_run(bodies: Mapping[str, bytes], bucket: str, *, as_json: bool) -> None:
    columns = ("file", "namespace", "target", "replicas", "priority")
    documents = {name: json.loads(body) for name, body in bodies.items()}
    rows = [[name, *(one.get(key, "normal") for key in columns[1:])] for name, one in documents.items()]
    if as_json:
        common.print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        common.print_rows(columns, rows, flexible="file")
    click.echo(f"{len(rows)} valid; would be sent to s3://{bucket}/; nothing was sent", err=True)


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
        known = common.word(self.row.phase) if self.row else "received"
        return str(self.document.get("status", known))

    @property
    def failed(self) -> bool:
        """Whether its answer is a bad one."""
        return bool(self.document) and self.state not in intents.GOOD

    @property
    def why(self) -> str:
        """What is to be said of it where it did not go well."""
        if details := self.document.get("error_details"):
            return f"{details['code']} {details['error_code']}: {details['error_message']}"
        unknown = f"no answer yet; see: {common.suggest('logs', self.name)}"
        return self.unsent or str(self.document.get("message", unknown))


def _send(bodies: Mapping[str, bytes], bucket: str) -> tuple[list[Sent], bool]:
    """Put files into the root of the bucket, side by side; return the result of each, and whether it was interrupted.

    What was begun then has ended; the rest was not begun, and is not sent.
    """
    s3, sent, begun, interrupted = aws.client("s3"), dict[str, Sent](), set[str](), False

    def put(name: str) -> None:
        begun.add(name)
        try:
            found = s3.put_object(Bucket=bucket, Key=name, Body=bodies[name], ContentType="application/json")
        except (BotoCoreError, ClientError) as error:
            explained = aws.explain(error)
            sent[name] = Sent(name, unsent=explained.text if explained else str(error))
        else:
            handoff = Handoff(bucket, name, found.get("VersionId", "null"), size=len(bodies[name]))
            sent[name] = Sent(name, handoff, since=time.monotonic())
        finally:
            begun.remove(name)

    with common.bar("sending", len(bodies)) as show, ThreadPoolExecutor(aws.AT_ONCE) as pool:
        try:
            for _ in pool.map(put, bodies):
                show(len(sent), "")
        except KeyboardInterrupt:
            interrupted = True
            pool.shutdown(cancel_futures=True)
            while begun:  # by a thread that the pool does not know: the interruption came while it was started
                Event().wait(0.01)
        show(len(sent), "")
    return [sent.get(name, Sent(name, unsent="interrupted before it was sent")) for name in bodies], interrupted


def finish(sent: Collection[Sent], table: str, timeout: float | None, *, as_json: bool) -> None:
    """Follow what was sent for so many seconds (``None``: not at all), print its results, and end the command."""
    waited = timeout is not None
    code = _follow(sent, table, timeout) if timeout is not None else 0
    _print_summary(sent, waited=waited, as_json=as_json)
    left = waited and any(one.settled_after is None for one in sent)
    codes = {common.FAILED: any(one.failed for one in sent), common.NO_AWS: any(one.unsent for one in sent)}
    found = (one for one, is_so in (codes | {common.NOT_YET: left}).items() if is_so)
    raise click.exceptions.Exit(code or next(found, 0))


def _follow(sent: Collection[Sent], table: str, timeout: float) -> int:
    """Wait for the answers; the exit code, if the waiting itself did not end well."""
    followed = [one for one in sent if one.handoff]
    deadline = time.monotonic() + timeout
    try:
        with common.bar("answered", len(followed)) as show:
            while True:
                left = look(followed, table)
                failed = sum(one.failed for one in followed)
                words = [f"{number} {state}" for state, number in sorted(Counter(one.state for one in left).items())]
                show(len(followed) - len(left), ", ".join([*([f"{failed} failed"] if failed else []), *words]))
                if not left or time.monotonic() >= deadline:
                    return 0
                time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo("interrupted; what was sent goes on", err=True)
        return INTERRUPTED
    except Exception as error:
        if (explained := aws.explain(error)) is None:
            raise
        click.echo(f"{explained.text}; what was sent goes on", err=True)
        return common.NO_AWS


def look(sent: Collection[Sent], table: str) -> list[Sent]:
    """Read the rows of those that are not settled, a hundred with one call; those that still are not."""
    s3, state = aws.client("s3"), DynamoDBStateTable(aws.client("dynamodb"), table, keep_seconds=0, jitter=lambda: 0.0)
    pending = {one.handoff: one for one in sent if one.handoff and one.settled_after is None}
    for handoff, row in state.find(pending).items() if pending else ():
        pending[handoff].row = row

    def lies_there(handoff: Handoff) -> bool:  # its input, which is moved last
        return bool(intents.head(s3, handoff.bucket, handoff.file, VersionId=handoff.version_id))

    decided = [handoff for handoff, one in pending.items() if one.document]
    with ThreadPoolExecutor(aws.AT_ONCE) as pool:
        for handoff, waits in zip(decided, pool.map(lies_there, decided), strict=True):
            one = pending[handoff]
            one.settled_after = None if waits else time.monotonic() - one.since
    return [one for one in pending.values() if one.settled_after is None]


def _print_summary(sent: Collection[Sent], *, waited: bool, as_json: bool) -> None:
    """Print the results of what was sent: a table, what was skipped, and the failures last, where they are seen."""
    if as_json:
        common.print_json([_document(one) for one in sent])
    elif waited:
        common.print_rows(("status", "intents", "attempts", "median", "slowest"), _by_state(sent))
    else:
        common.print_rows(("file", "version"), [[one.name, one.handoff.version_id] for one in sent if one.handoff])
    left = [one for one in sent if one.unsent or (waited and one.settled_after is None and not one.failed)]
    skipped = [one for one in sent if one.state == "skipped" and one not in left]
    for one in [*skipped, *left, *(one for one in sent if one.failed)]:
        colour = "red" if one.failed or one.unsent else common.STYLES.get(one.state, "yellow")
        common.note(f"{one.state:9}", f" {one.name}  {common.printable(one.why)}", colour)
    if not waited and sent:
        click.echo("follow them with: conductor-loop watch, or conductor-loop status NAME --wait 30", err=True)


def _by_state(sent: Collection[Sent]) -> Iterator[list[Any]]:
    for state in sorted({one.state for one in sent}, key=lambda state: (state not in intents.GOOD, state)):
        these = [one for one in sent if one.state == state]
        times = [one.settled_after for one in these if one.settled_after is not None]
        spent = [f"{statistics.median(times):.1f} s", f"{max(times):.1f} s"] if times else ["-", "-"]
        yield [state, len(these), sum(one.row.attempt for one in these if one.row), *spent]


def _document(one: Sent) -> dict[str, Any]:
    found = {"file": one.name, "version_id": one.handoff.version_id if one.handoff else None, "state": one.state}
    return found | ({"error": one.unsent} if one.unsent else {}) | ({"status": one.document} if one.document else {})


@click.command()
@common.name_argument
@click.option("--wait", is_flag=True, help="Follow it to its end, and print its result.")
@click.option("--timeout", type=common.Duration(), default="10m", help="With --wait: how long, at most.")
@common.stack_command
def undo(name: str, stack: str, timeout: float, *, wait: bool, as_json: bool) -> None:
    """Put the target of the intent NAME back to the replicas that it had before.

    A new intent is sent for that, intent-undo-<...>.json; it can be undone, too. Only if NAME is still the last applied
    intent of its target, and no other one waits for that.

    \b
    Examples:
      conductor-loop undo intent-scale-up-001.json
      conductor-loop undo intent-scale-up-001.json --wait

    Exit codes: those of `conductor-loop submit`; 1, too, where there is nothing to undo: NAME changed nothing, another
    one was applied since or waits, or what was before is unknown (the message says which), and 3 where NAME has no
    answer yet.
    """  # noqa: D301 - click wants the control character
    outputs = aws.outputs(stack)
    bucket, table = outputs["HandoffBucket"], outputs["StateTable"]
    newest = intents.final(name, bucket)
    status = _last_success(table, name) or newest  # the name may have been sent again since, and refused
    if status["status"] != "success":
        raise click.ClickException(f"{name} changed nothing: it is {status['status']} ({status['message']})")
    target = "/".join(status["package"]["prefix"].split("/")[1:3])
    _check_waiting(bucket, target)  # first: what waits now is seen here, or as the last applied one below
    replicas, now = status.get("previous_replicas"), _last_applied(table, name, target)
    if replicas is None:
        raise click.ClickException(f"how many replicas there were before {name} is unknown: send an intent with them")
    if replicas == now:
        raise click.ClickException(f"there is nothing to undo: {name} found {replicas} replicas, and left them")
    rules, _ = limits(stack)
    file, body = _intent(name, target, replicas, rules)
    validate({file: body}, rules, as_json=as_json)
    try:
        version = Inbox(aws.client("s3"), bucket).put(file, body, replace=False)
    except ConditionFailed:
        raise click.ClickException(f"{file} was sent already, and waits; {intents.follow(file)}") from None
    sent = Sent(file, Handoff(bucket, file, version, size=len(body)), since=time.monotonic())
    click.echo(f"{file} puts {target} back to {replicas} replicas", err=True)
    finish([sent], table, timeout if wait else None, as_json=as_json)


def _intent(name: str, target: str, replicas: int, rules: Rules) -> tuple[str, bytes]:
    """Write the intent that undoes another one; its name and its text."""
    stem = name.removeprefix("intent-").removesuffix(".json")
    if len(stem) > _LONGEST:
        stem = f"{stem[:_LONGEST]}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
    file, (namespace, _, deployment) = f"intent-undo-{stem}.json", target.partition("/")
    fields = {"intent_type": "scaling", "target": deployment, "namespace": namespace, "replicas": replicas}
    body = json.dumps(fields | {"reason": f"Undo of {name}", "source": "user"}, indent=2).encode()
    if not inspect(body, rules, file).valid:  # the strict list of words refuses some honest names, too
        body = json.dumps(fields | {"source": "user"}).encode()
    return file, body


def _last_success(table: str, file: str) -> Mapping[str, Any] | None:
    """Read the status of the newest version of a name that was applied, whatever newer ones came to."""
    rows = list[Row]()
    for item in Table(aws.client("dynamodb"), table).query("intent", file):
        with suppress(Unreadable):
            rows.append(read_row(item))
    applied = [row for row in rows if row.phase is Phase.SUCCEEDED and row.outcome]
    outcome = max(applied, key=lambda row: row.order).outcome if applied else None
    return outcome.status if outcome else None


def _check_waiting(bucket: str, target: str) -> None:
    files, whole = intents.waiting(bucket, target)
    if files:
        follow_it = common.suggest("status", files[0], "--wait", 30)
        raise click.ClickException(f"{', '.join(files)} waits for the same target; see what comes of it: {follow_it}")
    if not whole:
        unknown = f"whether one of them is for {target} is unknown"
        raise click.ClickException(f"more intents wait than are looked at, and {unknown}: try again once fewer do")


def _last_applied(table: str, name: str, target: str) -> int | None:
    """Give the replicas that NAME has left; end the command where it is not the last applied intent of its target."""
    state = DynamoDBStateTable(aws.client("dynamodb"), table, keep_seconds=0, jitter=lambda: 0.0)
    try:
        known = state.target(target)
    except Unreadable:
        unknown = f"what was applied to {target} last is unknown: its row of the state table makes no sense"
        raise click.ClickException(f"{unknown}; the next intent for it puts that right") from None
    if known.last_file != name:
        last = f"{known.last_file} is; undo that: {common.suggest('undo', known.last_file)}" if known.last_file else ""
        raise click.ClickException(f"{name} is not the last applied intent of {target}: {last or 'none is known'}")
    return known.replicas
