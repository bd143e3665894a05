"""``conductor-loop watch`` and ``redrive``: the queues of the pipeline, live, and the dead letters among them."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import batched
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from conductor_loop.app import Message
from conductor_loop.cli import aws
from conductor_loop.cli.common import STYLES, Duration, print_json, printable, screen, stack_command, word
from conductor_loop.counting import DECIDED, FILES, RETRIED, RUNNING
from conductor_loop.storage.listing import Listed, Listing, Wanted
from conductor_loop.storage.measures import Counters, Counts

QUEUES = {  # by what people call them: the stack's output
    "high": "HighQueue",
    "normal": "NormalQueue",
    "low": "LowQueue",
    "dead letters": "DeadLetterQueue",
    "unanswered": "UnansweredQueue",
}
_ALARMING = {"dead letters", "unanswered"}  # queues that are empty while all is well
_ATTRIBUTES = {
    "visible": "ApproximateNumberOfMessages",  # not received yet
    "in_flight": "ApproximateNumberOfMessagesNotVisible",  # taken, or hidden until their next attempt is due
    "delayed": "ApproximateNumberOfMessagesDelayed",  # sent to be seen later
}
_OUTCOMES = {one: f"{FILES}{one}" for one in ("success", "failed", "timeout", "skipped")} | {
    "all decided": DECIDED,
    "tried again": RETRIED,
}
_DIRECTORIES = {"directory_handoff": "waiting", "directory_processed": "processed", "directory_failed": "failed"}
# Ten at once. Without waiting SQS asks some of its servers only, and may find none of the messages that are there.
_RECEIVE = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
_LOOK_SECONDS = 60  # that dead letters are hidden while all of them are read
_LOOK_BACK_SECONDS = 2 * 86_400.0  # for the latest intents
_RATE_SECONDS = 60.0  # of watching, of which the rates are
_PIPE_WIDTH = 160  # columns, at least: names are to be copied whole
_MOST_LINES = 200  # of latest intents, however high the terminal is
_LATE_SECONDS = 10.0  # that the counters are behind, from which on it is shown
_ABOVE = 13  # lines that the tables above the latest intents take, with the heading of those


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the pipeline looks like at one moment."""

    at: float  # epoch seconds
    queues: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by ``QUEUES``; what ``_ATTRIBUTES`` count
    working: int = 0  # claims that are not released
    counts: Counts = field(default_factory=Counts)
    latest: tuple[Listed, ...] = ()  # newest first


type Look = Callable[[], Snapshot]


@click.command()
@click.option("--interval", type=Duration(0.5, 3600), default="2s", help="How long to wait between two looks.")
@click.option("--once", is_flag=True, help="Look once, print it, and end.")
@stack_command
def watch(interval: float, stack: str, *, once: bool, as_json: bool) -> None:
    """Watch the pipeline: its queues, outcomes, rates and latest intents.

    Ctrl-C leaves. The counts are since the stack was made, the rates those of the last minute of watching. A look takes
    about eleven calls to AWS, so a day of it costs some cents. With --output json there is one line for each look.

    \b
    Examples:
      conductor-loop watch --once
      conductor-loop watch --interval 5
      conductor-loop watch --once --output json
    """  # noqa: D301 - click wants the control character
    if not (once or as_json or sys.stdout.isatty()):
        raise click.UsageError("this is no terminal: take --once, or --output json")
    look = _looker(aws.outputs(stack))
    try:
        if not as_json and not once:
            live(screen(), stack, look, interval)
        while True:
            found = look()
            if as_json:
                document = asdict(found)
                for one in document["latest"]:
                    del one["position"]
                    one["state"] = word(one["state"])
                click.echo(json.dumps(document))
            else:
                console = screen()
                console.width = max(console.width, _PIPE_WIDTH if not console.is_terminal else 0)
                console.print(_picture(console, f"conductor-loop: {stack}", [found], hint=""))
            if once:
                return
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def _looker(outputs: Mapping[str, str]) -> Look:
    """Give what looks at a stack: a few calls, whatever its history. Raises NotAnswering, or an error of the SDK."""
    urls = {name: outputs[output] for name, output in QUEUES.items()}
    sqs, dynamodb = aws.client("sqs"), aws.client("dynamodb")
    measures = Counters(dynamodb, outputs["StateTable"])
    listing = Listing(dynamodb, outputs["StateTable"], _LOOK_BACK_SECONDS)

    def depth(url: str) -> dict[str, int]:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {ours: int(found.get(name, 0)) for ours, name in _ATTRIBUTES.items()}

    def look() -> Snapshot:
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:
            depths = dict(zip(urls, pool.map(depth, urls.values()), strict=True))
        now = time.time()
        counts = measures.counts(now)
        latest = listing.page(Wanted(_MOST_LINES), now).intents
        return Snapshot(now, depths, int(counts.counters.get(RUNNING, 0)), counts, latest)

    return look


def live(
    terminal: Console, stack: str, look: Callable[[], Snapshot], interval: float, looks: int | None = None
) -> None:
    """Draw until interrupted, or so many times; a look that fails, but the first, leaves the last picture."""
    seen, trouble, done = deque([look()]), "", 1
    with Live(console=terminal, screen=True, auto_refresh=False, vertical_overflow="crop") as picture:
        while True:
            picture.update(_picture(terminal, f"conductor-loop: {stack}", seen, trouble), refresh=True)
            if done == looks:
                return
            time.sleep(interval)
            try:
                seen.append(look())
                trouble = ""
            except Exception as error:
                if (explained := aws.explain(error)) is None:
                    raise
                trouble = explained.text
            while len(seen) > 2 and seen[1].at <= seen[-1].at - _RATE_SECONDS:  # noqa: PLR2004 - one at its edge
                seen.popleft()
            done += 1


def _picture(
    console: Console, title: str, seen: Sequence[Snapshot], trouble: str = "", hint: str = "Ctrl-C leaves"
) -> Group:
    """Draw the last of what was seen in a minute, with as many of the latest intents as there is room for.

    ``trouble`` is why that is an old one.
    """
    last = seen[-1]
    right = Text(f"{datetime.fromtimestamp(last.at, UTC):%H:%M:%S}Z  {hint}", style="dim")
    left = Text(printable(trouble), style="bold red") if trouble else Text(title, style="bold")
    left.truncate(max(console.width - len(right) - 1, 0), overflow="ellipsis", pad=True)
    heading = Text.assemble(left, " ", right, no_wrap=True, overflow="crop")
    queues = _table("queue", "waiting", "in flight", "later")
    for name, depth in last.queues.items():
        style = "bold red" if name in _ALARMING and depth["visible"] else ""
        queues.add_row(name, *map(str, depth.values()), style=style)
    queues.add_row("being worked on", str(last.working))
    tables = Table.grid("", "", padding=(0, 5, 0, 0))
    tables.add_row(queues, _outcomes(seen[0], last))
    latest = _latest(last.latest[: max(console.height - _ABOVE, 1)])
    return Group(heading, Text(), tables, Text(), _bucket(last.counts), Text(), latest)


def _outcomes(first: Snapshot, last: Snapshot) -> Table:
    table = _table("outcome", "total", "a minute")
    for name, counter in _OUTCOMES.items():
        total, before = (one.counts.counters.get(counter, 0) for one in (last, first))
        rate = f"{max(total - before, 0) * 60 / (last.at - first.at):.1f}" if last.at > first.at else "-"
        table.add_row(Text(name, style=STYLES.get(name, "")), str(int(total)), rate)
    return table


def _bucket(counts: Counts) -> Text:
    counted = [f"{int(counts.gauges[name])} {word}" for name, word in _DIRECTORIES.items() if name in counts.gauges]
    shown = f"{', '.join(counted)} (the sweeper's last whole count)" if counted else "not counted yet"
    late = f"; outcomes are {counts.lag:.0f} s behind" if counts.lag >= _LATE_SECONDS else ""
    return Text(f"intents in the bucket: {shown}{late}", style="dim", no_wrap=True, overflow="ellipsis")


def _latest(intents: Sequence[Listed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for name, width in {"arrived": 9, "state": 10, "priority": 8, "tries": 5}.items():
        table.add_column(name.upper(), no_wrap=True, width=width)
    table.add_column("INTENT", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("NAMESPACE", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in intents:
        state = Text(word(one.state), style=STYLES.get(word(one.state), ""))
        names = (Text(printable(text), no_wrap=True, overflow="ellipsis") for text in (one.name, one.namespace or "-"))
        table.add_row(f"{one.arrived[11:19]}Z", state, one.priority or "-", str(one.attempts), *names)
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first.upper(), no_wrap=True)
    for name in numbers:
        table.add_column(name.upper(), no_wrap=True, justify="right")
    return table


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what each is about (name, priority, version); move nothing.")
@stack_command
def redrive(stack: str, *, dry_run: bool, as_json: bool) -> None:
    """Move the dead letters back to their queues, once their cause is fixed.

    \b
    Examples:
      conductor-loop redrive --dry-run
      conductor-loop redrive
    """  # noqa: D301 - click wants the control character
    outputs = aws.outputs(stack)
    dead = outputs["DeadLetterQueue"]
    if dry_run:
        _show(*_read(dead), as_json=as_json)
        return
    sqs, moved = aws.client("sqs"), 0
    while received := sqs.receive_message(QueueUrl=dead, **_RECEIVE).get("Messages"):
        for letter in received:  # sent first, then deleted, so that a crash between doubles and loses none
            sqs.send_message(QueueUrl=outputs[_parse(letter["Body"])[0]], MessageBody=letter["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
            moved += 1
    if as_json:
        print_json({"moved": moved})
    click.echo(f"{moved} moved back", err=True)


def _parse(body: str) -> tuple[str, str]:
    """Return the output that names a message's queue, and what the message is about."""
    try:
        message = Message.parse(body)
    except ValueError:  # it becomes a dead letter again, for the operator
        return "NormalQueue", f"not a message of ours: {body[:200]!r}"
    about = f"{message.handoff.file} {message.priority} {message.handoff.version_id}"
    return f"{message.priority.title()}Queue", about


def _show(letters: list[str], there: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"dead_letters": letters, "in_queue": there})
    for letter in [] if as_json else letters:
        click.echo(printable(letter))
    if len(letters) < there:
        hidden = "others are looking at the rest, or have just looked; try again in a minute"
        click.echo(f"{len(letters)} of about {there} dead letters: {hidden}", err=True)
    elif not letters:
        click.echo("no dead letters", err=True)


def _read(queue: str) -> tuple[list[str], int]:
    """Read what each of the dead letters is about, and leave them; and how many the queue has, for all it knows."""
    sqs, seen = aws.client("sqs"), dict[str, Any]()  # by id: one that comes up twice is the same
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[*_ATTRIBUTES.values()])["Attributes"]
    receive = partial(sqs.receive_message, QueueUrl=queue, VisibilityTimeout=_LOOK_SECONDS, **_RECEIVE)
    try:
        while received := receive().get("Messages"):
            known = len(seen)
            seen |= {message["MessageId"]: message for message in received}
            if len(seen) == known:  # of so many that the first ones are visible again
                break
    finally:  # visible again at once. One that cannot be is so already, and a batch refuses no others for it
        for some in batched(seen.values(), _RECEIVE["MaxNumberOfMessages"], strict=False):
            receipts = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(some)]
            entries = [receipt | {"VisibilityTimeout": 0} for receipt in receipts]
            sqs.change_message_visibility_batch(QueueUrl=queue, Entries=entries)
    there = sum(int(counts.get(name, 0)) for name in _ATTRIBUTES.values())
    return [_parse(message["Body"])[1] for message in seen.values()], max(there, len(seen))
