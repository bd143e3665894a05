"""What people type: durations, states, names and commands that are nearly right."""

import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conductor_loop.cli import intents, main
from conductor_loop.cli.common import Duration, suggest
from dev import commands
from tests.terminals import shown

ALL = dict(commands.leaves())
DURATIONS = [
    (path, option.opts[-1], option.type)
    for path, command in ALL.items()
    for option in command.params
    if isinstance(option.type, Duration)
]


def said(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, prog_name="conductor-loop")
    return result.exit_code, result.output


# ---------------------------------------------------------------- durations


@pytest.mark.parametrize(("path", "option", "kind"), DURATIONS)
def test_every_option_for_a_duration_takes_30s_and_plain_seconds(path: str, option: str, kind: Duration) -> None:
    del path, option
    assert kind.convert("30s", None, None) == kind.convert("30", None, None) == kind.convert("30.0", None, None) == 30
    assert kind.convert("0.5m", None, None) == 30


def test_no_option_takes_seconds_in_another_way() -> None:
    numbers = (click.types.FloatRange, click.types.FloatParamType)
    odd = [path for path, one in ALL.items() for option in one.params if isinstance(option.type, numbers)]
    assert odd == []
    assert {option for _, option, _ in DURATIONS} == {
        "--wait", "--timeout", "--since", "--interval", "--grace", "--expires",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "s", "-1", "1e3", "nan", "inf", "soon", "30 s", "1h30m", "٣٠"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write a duration such as 500ms, 30s.* or plain seconds"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(("text", "says"), [("2d", "2d: from 1s to 1d"), ("0", "0: from 1s to 1d"), ("0.5", "to 1d")])
def test_a_duration_out_of_range_is_refused_with_the_range(text: str, says: str) -> None:
    with pytest.raises(click.BadParameter, match=says):
        Duration(1, 86_400).convert(text, None, None)


# ---------------------------------------------------------------- states


@pytest.mark.parametrize(("word", "other"), [("success", "succeeded"), ("timeout", "timed_out")])
def test_both_spellings_of_a_state_are_taken_and_one_is_shown(word: str, other: str) -> None:
    (state,) = (option.type for option in ALL["conductor-loop list"].params if "--state" in option.opts)
    assert state.convert(word, None, None) == state.convert(other, None, None) == other  # as the state table has it
    assert word in commands.document()
    assert f"|{other}" not in commands.document()


# ---------------------------------------------------------------- names and commands


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("intent-a", "intent-a.json"),
        ("intent-a.json.status", "intent-a.json"),
        ("scale-up-001", "intent-scale-up-001.json"),
        ("scale.json", "intent-scale.json"),
        ("intent-a.", "intent-a.json"),
    ],
)
def test_a_name_that_is_nearly_one_is_suggested(typed: str, meant: str) -> None:
    assert intents.correction(typed) == f"; did you mean {meant}?"


@pytest.mark.parametrize("name", ["intent-a.json", "read me.txt", "\x1b[2J"])
def test_nothing_is_suggested_for_a_good_name_nor_for_a_hopeless_one(name: str) -> None:
    assert intents.correction(name) == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stauts x", "conductor-loop status"),
        ("sumbit x", "conductor-loop submit"),
        ("push config.json", "conductor-loop config push"),
        ("verify", "conductor-loop audit verify"),
        ("config psuh x", "conductor-loop config push"),
        ("token revok x", "conductor-loop token revoke"),
        ("audit shwo x", "conductor-loop audit show"),
    ],
)
def test_a_command_that_is_nearly_one_is_suggested(typed: str, meant: str) -> None:
    code, text = said(*typed.split())
    assert code == 2
    assert f"did you mean {meant}" in text


def test_a_command_that_is_like_none_leads_to_the_help() -> None:
    code, text = said("xyzzy")
    assert code == 2
    assert "there is no command 'xyzzy'; see conductor-loop --help" in text


# ---------------------------------------------------------------- what to type next


@pytest.mark.parametrize("name", ["intent-bad name.json", "intent-$HOME.json", "it's.json"])
def test_a_command_to_be_typed_next_is_quoted_for_the_shell(name: str) -> None:
    assert shlex.split(suggest("status", name, "--wait", 30)) == ["conductor-loop", "status", name, "--wait", "30"]
    typed = intents.misnamed(name, "bucket", f"failed/{name}").partition("another: ")[2]
    assert shlex.split(typed)[:4] == ["aws", "s3", "cp", f"s3://bucket/failed/{name}"]


# ---------------------------------------------------------------- submit


def test_submitting_a_folder_or_standard_input_says_what_to_type(tmp_path: Path) -> None:
    folder = tmp_path / "my intents"
    folder.mkdir()
    code, text = said("submit", str(folder), "-")
    assert code == 2
    assert f"is a folder: name its files, e.g. conductor-loop submit {shlex.quote(str(folder))}/intent-*.json" in text
    assert "standard input has no name" in text
    assert "conductor-loop validate -" in text


# ---------------------------------------------------------------- narrow terminals

LIST = """
from conductor_loop.cli import common
rows = [["11-28 22:00:01", "success", "normal", "oran-sim", "1", "intent-scale-up-001.json"],
        ["11-28 22:00:02", "processing", "critical", "a-teams-namespace", "12", "intent-" + "x" * 100 + ".json"]]
columns = ("arrived", "state", "priority", "namespace", "attempts", "name")
common.print_rows(columns, rows, flexible="name", least=("attempts", "priority", "namespace"))
"""


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (160, "ARRIVED STATE PRIORITY NAMESPACE ATTEMPTS NAME"),
        (90, "ARRIVED STATE PRIORITY NAMESPACE NAME"),
        (80, "ARRIVED STATE NAMESPACE NAME"),
        (60, "ARRIVED STATE NAME"),
    ],
)
def test_a_narrow_terminal_shows_names_that_can_be_read(width: int, columns: str) -> None:
    heading, first, second = shown(LIST, width, 24).lines
    assert heading.split() == columns.split()
    assert first.endswith("intent-scale-up-001.json")
    assert second.rpartition("intent-")[2].startswith("x" * 15)
    assert len(second) <= width
