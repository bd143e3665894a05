"""Which stack a command is about, where no option says so."""

import os
import subprocess
from collections import defaultdict
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conductor_loop.cli import common
from conductor_loop.cli.aws import local_variables
from conductor_loop.cli.common import stack_option
from dev.stack import Stack, env_text

WRITTEN = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4600",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "STACK_NAME": "local-stack",
}
NAMES = (*WRITTEN, "AWS_PROFILE", "HANDOFF_BUCKET", "CONDUCTOR_STACK")


@click.command()
@stack_option
def reported(stack: str) -> None:
    click.echo(f"{stack} {os.environ.get('AWS_ENDPOINT_URL', '-')}")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of a checkout in which `make up` has run."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the command sets
        monkeypatch.delenv(name)
    write(tmp_path)
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path / "examples")
    return tmp_path


def write(folder: Path, **changes: str) -> None:
    (folder / ".local").mkdir(exist_ok=True)
    lines = [f"export {name}='{value}'" for name, value in (WRITTEN | changes).items() if value]
    (folder / ".local/env").write_text("\n".join([*lines, "export PATH='/somewhere':\"$PATH\"", ""]))


def stack(*arguments: str) -> str:
    result = CliRunner().invoke(reported, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.mark.usefixtures("checkout")
def test_the_local_stack_is_the_default_and_that_is_reported() -> None:
    result = CliRunner().invoke(reported)
    assert result.stdout == "local-stack http://127.0.0.1:4600\n"
    assert result.stderr == "the local stack on http://127.0.0.1:4600 (.local/env)\n"


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "HANDOFF_BUCKET"])
def test_who_has_chosen_a_place_is_not_led_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mine")
    assert stack() == "conductor-loop -"


@pytest.mark.usefixtures("checkout")
def test_a_stack_that_is_named_is_taken_before_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack("--stack", "typed") == "typed -"
    monkeypatch.setenv("CONDUCTOR_STACK", "said")
    assert stack() == "said -"
    assert stack("--stack", "typed") == "typed -"


@pytest.mark.usefixtures("checkout")
def test_a_region_that_is_named_stays_and_the_local_stack_is_looked_for_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert stack() == "local-stack http://127.0.0.1:4600"
    assert os.environ["AWS_REGION"] == "eu-west-1"


def test_a_shell_with_a_region_of_its_own_is_led_to_the_local_stack(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(env_text(Stack(4600), defaultdict(str)))
    asked = f". {tmp_path}/env && echo $AWS_REGION $AWS_DEFAULT_REGION"
    environment = {"AWS_REGION": "eu-west-1", "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "us-east-1 us-east-1\n"


@pytest.mark.parametrize(
    "changes", [{"AWS_ENDPOINT_URL": "http://example.com:80"}, {"STACK_NAME": ""}, {"AWS_ENDPOINT_URL": ""}]
)
def test_a_file_that_leads_away_from_this_machine_is_none_of_ours(checkout: Path, changes: dict[str, str]) -> None:
    write(checkout, **changes)
    assert local_variables(checkout) == {}
    assert stack() == "conductor-loop -"


def test_what_others_wrote_moves_no_cursor() -> None:
    assert common.printable("a\x1b[2Jb\u202ec\nd") == "a�[2Jb�c d"
