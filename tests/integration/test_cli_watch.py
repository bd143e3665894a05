"""``conductor-loop watch``, on moto, in a terminal that pyte plays."""

import io
import itertools
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pyte
import pytest
from click.testing import CliRunner
from rich.console import Console

from conductor_loop.cli import main, watch
from conductor_loop.cli.watch import live
from conductor_loop.errors import NotAnswering
from conductor_loop.intents import admit
from conductor_loop.storage.listing import Listed
from conductor_loop.storage.measures import Counters, Counts
from tests.factories import World
from tests.integration.conftest import TABLE
from tests.integration.test_counters import batch
from tests.long import first

SIZES = [(80, 24), (160, 50)]
NONE = {"visible": 0, "in_flight": 0, "delayed": 0}
LONG = "intent-" + "x" * 180 + ".json"


@pytest.fixture(autouse=True)
def stack(aws: boto3.session.Session, stacks: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    sqs: Any = aws.client("sqs")
    urls = {output: sqs.create_queue(QueueName=output)["QueueUrl"] for output in watch.QUEUES.values()}
    sqs.send_message(QueueUrl=urls["DeadLetterQueue"], MessageBody="{}")
    stacks["conductor-loop"] = urls | {"StateTable": TABLE}
    return stacks["conductor-loop"]


class Terminal(io.StringIO):
    """Takes what is drawn, and keeps the screen as it was after each piece."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.Stream(self.screen)
        self.pictures: list[list[str]] = []
        self.drawn = ""

    def write(self, text: str) -> int:
        self.drawn += text
        self.stream.feed(text.replace("\n", "\r\n"))  # as the terminal driver does
        self.pictures.append(list(self.screen.display))
        return len(text)

    @property
    def complete(self) -> list[list[str]]:
        """Every picture from when the first one was drawn, down to the last line, until it is left."""
        begun = next(at for at, picture in enumerate(self.pictures) if picture[-1].strip())
        return self.pictures[begun:-1]

    @property
    def last(self) -> list[str]:
        return self.complete[-1]

    @property
    def console(self) -> Console:
        columns, lines = self.screen.columns, self.screen.lines
        return Console(file=self, force_terminal=True, highlight=False, markup=False, width=columns, height=lines)


def listed(number: int, name: str = "") -> Listed:
    return Listed(
        name=name or f"intent-{number}.json",
        version_id="v1",
        state="succeeded",
        arrived="2026-11-23T09:31:20.000Z",
        attempts=1,
        priority="normal",
        namespace="oran-sim",
    )


@pytest.fixture
def look() -> Callable[[], watch.Snapshot]:
    """Look at a pipeline that has answered 60 intents, and answers another one before each look."""
    numbers = itertools.count(61)

    def again() -> watch.Snapshot:
        number = next(numbers)
        return watch.Snapshot(
            at=time.time(),
            queues=dict.fromkeys(watch.QUEUES, NONE) | {"dead letters": NONE | {"visible": 1}},
            counts=Counts(counters={"files_success": number, "decided": number}),
            latest=tuple(listed(number - at) for at in range(60)),
        )

    return again


@pytest.mark.parametrize(("lag", "shown"), [(2.0, False), (75.0, True)])
def test_a_picture_says_when_its_counts_are_behind(
    look: Callable[[], watch.Snapshot], lag: float, *, shown: bool
) -> None:
    terminal, found = Terminal(120, 40), look()
    behind = replace(found, counts=replace(found.counts, lag=lag))
    live(terminal.console, "a-stack", lambda: behind, interval=1, looks=1)
    assert any("outcomes are 75 s behind" in line for line in terminal.last) is shown


def test_a_picture_says_what_is_counted_in_the_bucket_and_when(look: Callable[[], watch.Snapshot]) -> None:
    """Files of other names are not: the sweeper counts intent-* in the root."""
    terminal, found = Terminal(120, 40), look()
    counted = replace(found, counts=Counts(gauges={"directory_handoff": 3.0, "directory_processed": 60.0}))
    live(terminal.console, "a-stack", lambda: counted, interval=1, looks=1)
    assert "intents in the bucket: 3 waiting, 60 processed (the sweeper's last whole count)" in "\n".join(terminal.last)


@pytest.mark.parametrize(("columns", "rows"), first(*SIZES))
def test_a_picture_fills_the_terminal_and_nothing_wraps(
    look: Callable[[], watch.Snapshot], columns: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    terminal = Terminal(columns, rows)
    live(terminal.console, "a-stack", look, interval=1, looks=3)
    last = terminal.last
    assert last[0].startswith("conductor-loop: a-stack")
    assert last[2].split()[:4] == ["QUEUE", "WAITING", "IN", "FLIGHT"]
    assert any(line.startswith("dead letters           1") for line in last)
    shown = [line.split()[4] for line in last if "intent-" in line]
    assert shown == [f"intent-{63 - at}.json" for at in range(rows - 13)]
    assert "intent-" in last[-1], "down to the last line"


@pytest.mark.parametrize(("columns", "rows"), first(*SIZES))
def test_nothing_flickers(
    look: Callable[[], watch.Snapshot], columns: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    terminal = Terminal(columns, rows)
    live(terminal.console, "a-stack", look, interval=1, looks=4)
    pictures = terminal.complete
    assert len(pictures) >= 4
    for picture in pictures:
        assert picture[0].startswith("conductor-loop: a-stack"), "the terminal never scrolls, and is never empty"
        assert picture[12].startswith("ARRIVED")
    assert not {"\x1b[2J", "\x1b[2K"} & set(re.findall(r"\x1b\[[0-9?]*[A-Za-z]", terminal.drawn)), (
        "drawn over, not erased"
    )
    assert terminal.drawn.index("\x1b[?1049h") < terminal.drawn.index("QUEUE"), "on a screen of its own"
    assert terminal.drawn.index("\x1b[?1049l") > terminal.drawn.rindex("QUEUE"), "which is given back in the end"


@pytest.mark.parametrize(("columns", "rows"), first(*SIZES))
def test_a_long_name_is_cut_and_not_wrapped(columns: int, rows: int) -> None:
    terminal = Terminal(columns, rows)
    picture = watch.Snapshot(at=0.0, latest=tuple(listed(at, LONG) for at in range(50)))
    live(terminal.console, "a-stack", lambda: picture, interval=1, looks=1)
    lines = terminal.last[13:]
    assert len(lines) == rows - 13
    assert all(line.startswith("09:31:20Z") and "xxx" in line and "…" in line for line in lines)


def test_rates_are_those_of_the_last_minute(
    look: Callable[[], watch.Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda _: now.__setitem__(0, now[0] + 10))
    terminal = Terminal(80, 24)
    live(terminal.console, "a-stack", look, interval=10, looks=12)
    last = terminal.last
    success = next(line for line in last if "success" in line)
    assert success.split()[-2:] == ["72", "6.0"], "one every ten seconds"


def test_a_look_that_fails_leaves_the_last_picture_and_says_why(
    look: Callable[[], watch.Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    looks = iter([look])

    def once() -> watch.Snapshot:
        for one in looks:
            return one()
        raise NotAnswering("DynamoDB: gone")

    terminal = Terminal(80, 24)
    live(terminal.console, "a-stack", once, interval=1, looks=2)
    last = terminal.last
    assert last[0].startswith("AWS does not answer: DynamoDB: gone")
    assert any("intent-61.json" in line for line in last)


def test_a_pipe_gets_one_picture_or_a_line_for_each_look(world: World, aws: boto3.session.Session) -> None:
    world.clock.now = time.time() - 600
    admit.answer(world.app, world.drop(), world.deadline)
    Counters(aws.client("dynamodb"), TABLE).advance(batch("shardId-1", "1", files_success=1))
    once = CliRunner().invoke(main, ["watch", "--once"])
    assert once.exit_code == 0, once.output
    assert "dead letters           1" in once.stdout
    assert once.stdout.splitlines()[-1].split()[1:] == ["success", "normal", "1", "intent-a.json", "oran-sim"]
    (line,) = CliRunner().invoke(main, ["watch", "--once", "--output", "json"]).stdout.splitlines()
    reported = json.loads(line)
    assert reported["queues"]["dead letters"] == {"visible": 1, "in_flight": 0, "delayed": 0}
    assert reported["counts"]["counters"]["files_success"] == 1
    assert [one["name"] for one in reported["latest"]] == ["intent-a.json"]
    assert CliRunner().invoke(main, ["watch"]).exit_code == 2, "no terminal"
