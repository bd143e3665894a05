"""The command line as a whole: its reference, its help, its start."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conductor_loop.cli import COMMANDS, main
from dev import commands
from tests.helps import ROOT, examples, offices

COMMANDS_OF_ALL = dict(commands.leaves())
HEAVY = ("boto3", "botocore", "jsonschema", "rich", "yaml", "prometheus_client", "aws_lambda_powertools")
OURS = ("conductor_loop.config", "conductor_loop.validation", "conductor_loop.porch", "conductor_loop.storage")


def test_the_reference_is_that_of_the_commands() -> None:
    """After a change: `python -m dev.commands`."""
    assert commands.PATH.read_text() == commands.document()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_the_first_sentence_of_the_help(name: str) -> None:
    command = COMMANDS_OF_ALL[f"conductor-loop {name}"]
    assert COMMANDS[name][1] == command.get_short_help_str(limit=200)


@pytest.mark.parametrize("path", COMMANDS_OF_ALL)
def test_a_command_has_an_example_that_can_be_read(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(offices(tmp_path))
    own = [line for line in examples(path) if shlex.split(line)[: path.count(" ") + 1] == path.split()]
    assert own or path == "conductor-loop config", "no example of its own"
    for line in examples(path):
        words = shlex.split(line.partition("|")[2] or line)
        read(words)


def read(words: list[str]) -> None:
    """Read a command line, and run nothing. Raises UsageError."""
    path = max((path for path in COMMANDS_OF_ALL if words[: path.count(" ") + 1] == path.split()), key=len)
    command, rest = COMMANDS_OF_ALL[path], words[path.count(" ") + 1 :]
    command.make_context(path, list(rest))


def test_a_wrong_example_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(offices(tmp_path))
    with pytest.raises(click.UsageError):
        read(["conductor-loop", "list", "--no-such-option"])


@pytest.mark.parametrize("path", [path for path, one in COMMANDS_OF_ALL.items() if not isinstance(one, click.Group)])
def test_every_command_speaks_json(path: str) -> None:
    (output,) = [one for one in COMMANDS_OF_ALL[path].params if "--output" in one.opts]
    assert isinstance(output.type, click.Choice)
    assert list(output.type.choices) == ["text", "json"]


def loaded_by(*arguments: str) -> set[str]:
    """Name what a call of the program imports."""
    script = f"import sys\nfrom conductor_loop.cli import main\nmain({arguments!r}, standalone_mode=False)\n"
    script += "print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stderr.splitlines()[-1]))


def test_help_imports_nothing_that_takes_long() -> None:
    loaded = loaded_by("--help")
    assert "conductor_loop.cli" in loaded
    assert not {name for name in loaded if name.startswith((*HEAVY, *OURS))}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_does_not_wait_for_the_sdk(name: str) -> None:
    assert not {one for one in loaded_by(name, "--help") if one.startswith(("boto3", "botocore.client"))}


@pytest.mark.parametrize("shell", ["bash", *(pytest.param(one, marks=pytest.mark.long) for one in ("zsh", "fish"))])
def test_a_shell_completes_commands_and_options(shell: str) -> None:
    program = Path(sys.executable).with_name("conductor-loop")
    line = next(line for line in main.help.splitlines() if line.strip().startswith(shell)) if main.help else ""
    assert f"_CONDUCTOR_LOOP_COMPLETE={shell}_source conductor-loop" in line
    script = complete(program, f"{shell}_source", "")
    assert "_CONDUCTOR_LOOP_COMPLETE" in script
    assert re.search(r"\bsubmit\b", complete(program, f"{shell}_complete", "conductor-loop sub"))
    assert "--dry-run" in complete(program, f"{shell}_complete", "conductor-loop submit --dr")


def complete(program: Path, instruction: str, words: str) -> str:
    last = words.rpartition(" ")[2]
    cword = last if instruction.startswith("fish") else str(max(len(words.split()) - 1, 0))
    environment = os.environ | {"_CONDUCTOR_LOOP_COMPLETE": instruction, "COMP_WORDS": words, "COMP_CWORD": cword}
    return subprocess.run([program], env=environment, capture_output=True, text=True, check=False).stdout


def test_the_examples_are_there_to_be_run() -> None:
    assert (ROOT / "examples/intents/intent-scale-up-001.json").is_file()


def test_an_interrupted_command_is_no_failed_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS_OF_ALL["conductor-loop status"], "callback", interrupt)
    result = CliRunner().invoke(main, ["status", "intent-a.json"])
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("wait", ["-1", "nan", "86401", "2d", "soon"])
def test_no_time_to_wait_for_is_wrong_usage(wait: str) -> None:
    result = CliRunner().invoke(main, ["status", "intent-a.json", "--wait", wait])
    assert result.exit_code == 2
    assert wait in result.stderr
