"""What `make up` does when it cannot: says why, and leaves nothing."""

import os
import shutil
import socket
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from dev import bridge, demo, stack
from dev.programs import link_programs
from dev.stack import LOCAL, ROOT, Stack, free_port
from tests.unit.machines import program

SERVER = """\
import http.server, os
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["GATEWAY_PORT"])), Healthy).serve_forever()
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty .local, where programs can be put."""
    monkeypatch.setattr(stack, "LOCAL", tmp_path)
    return tmp_path


@pytest.mark.parametrize("module", [stack, demo, bridge])
@pytest.mark.parametrize("port", ["0", "65536", "abc", "-1", "4566 "])
def test_what_is_no_port_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, module: ModuleType, port: str) -> None:
    monkeypatch.setattr("sys.argv", ["make", *(["up"] if module is stack else []), f"--port={port}"])
    with pytest.raises(SystemExit, match=r"^PORT must be 1 to 65535$"):
        module.main()


@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [
        ("dev.stack", ["up"], 1),
        ("dev.demo", [], 1),
        ("dev.bridge", [], 1),
        ("conductor_loop.cli", ["porch-check", str(ROOT / "layers/porch/bin/porch")], 2),
    ],
)
def test_what_is_for_linux_only_says_so_in_one_line(module: str, arguments: list[str], code: int) -> None:
    port = [f"--port={free_port()}"] if module.startswith("dev.") else []
    # urllib.request is loaded before: on a real mac, it would find what it asks the system for.
    on_a_mac = f"import sys, urllib.request, {module} as it; sys.platform = 'darwin'"
    on_a_mac += f"; sys.argv[1:] = {[*arguments, *port]}; it.main()"
    done = subprocess.run([sys.executable, "-c", on_a_mac], cwd=ROOT, capture_output=True, text=True, check=False)
    assert len([line for line in done.stderr.splitlines() if "needs Linux" in line]) == 1
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_server_that_dies_is_reported_with_the_end_of_its_log(local: Path) -> None:
    program(local / "ministack/bin/python", "echo no such module: ministack; exit 1")
    failed = Stack(free_port())
    with pytest.raises(SystemExit, match="does not start:\nno such module: ministack"):
        failed.up()
    assert not failed.home.exists()


def test_a_build_that_fails_is_reported_with_the_end_of_its_log_and_leaves_no_server(
    local: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (local / "server.py").write_text(SERVER)
    program(local / "ministack/bin/python", f"exec {sys.executable} {local}/server.py ministack")
    program(local / "tools/bin/sam", "echo no such runtime; exit 1")
    failed = Stack(free_port())
    with pytest.raises(SystemExit, match="`sam build` failed:\nno such runtime"):
        failed.up()
    steps = [line.partition(" …")[0] for line in capsys.readouterr().err.splitlines()]
    assert steps == [f"1/3 starting an embedded AWS on {failed.endpoint}", "2/3 building: sam build"]
    assert not failed.running
    assert not failed._server.taken
    assert not failed.home.exists()


def test_a_stack_that_ran_before_survives_a_build_that_fails(local: Path) -> None:
    (local / "server.py").write_text(SERVER)
    program(local / "ministack/bin/python", f"exec {sys.executable} {local}/server.py ministack")
    program(local / "tools/bin/sam", "exit 1")
    running = Stack(free_port())
    running.home.mkdir()
    running._server.start()
    try:
        with pytest.raises(SystemExit, match="`sam build` failed"):
            running.up()
        assert running.running
    finally:
        running.down()
    assert not running.running


@pytest.mark.usefixtures("local")
def test_a_port_that_is_taken_is_left_alone() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        refused = Stack(other.getsockname()[1])
        with pytest.raises(SystemExit, match="is taken by another program"):
            refused.up()
    assert not refused.home.exists()


SAM = """\
#!{python}
import os, pathlib, sys, time
arguments = sys.argv[1:]
build, cache = (pathlib.Path(arguments[arguments.index(name) + 1]) for name in ("--build-dir", "--cache-dir"))
cache.mkdir(parents=True, exist_ok=True)
(cache / "in use").mkdir()  # fails where another build is
time.sleep(0.2)
layer = cache / "layer"
if not layer.exists():
    layer.write_text(str(os.getpid()))
(build / "PorchLayer").mkdir(parents=True, exist_ok=True)
(build / "PorchLayer/porch").write_text(layer.read_text())
(cache / "in use").rmdir()
"""


def test_stacks_that_are_built_at_a_time_share_one_build_of_each_layer(local: Path) -> None:
    """SAM's cache is not made for two at a time, and a layer takes half a minute to build."""
    program(local / "bin/sam", SAM.format(python=sys.executable))
    stacks = [Stack(port) for port in (4601, 4602, 4603)]
    for one in stacks:
        one.home.mkdir()
    with ThreadPoolExecutor() as threads:
        list(threads.map(Stack.build, stacks))
    built = [one.home / "build/PorchLayer/porch" for one in stacks]
    assert len({path.read_text() for path in built}) == 1
    assert len({path.stat().st_ino for path in built}) == 3, "a running stack keeps what it was built with"


def test_a_shell_that_takes_the_variables_has_sam_without_telemetry(local: Path) -> None:
    (local / "env").write_text(stack.env_text(Stack(4601), defaultdict(str)))
    script = f". '{local / 'env'}'; echo $SAM_CLI_TELEMETRY; echo \"${{PATH%%:*}}\""
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == f"0\n{local / 'bin'}\n"


@pytest.mark.long  # starts SAM
def test_programs_run_where_the_home_may_not_be_written_to(tmp_path: Path) -> None:
    """And write to .local alone, in a path that a shell splits unless it is quoted."""
    local = tmp_path / "a clone's $HOME/.local"
    (local / "tools").mkdir(parents=True)
    (local / "tools/bin").symlink_to(LOCAL / "tools/bin")
    programs = link_programs(local)
    (tmp_path / "template.yaml").write_text("Resources: {Topic: {Type: AWS::SNS::Topic}}\n")
    environment = {"PATH": f"{programs}:{os.defpath}", "HOME": "/dev/null/home", "AWS_DEFAULT_REGION": "us-east-1"}
    for command in (["sam", "build"], ["aws", "--version"], ["python3.13", "-m", "pip", "--version"]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (local / "cache/sam").is_dir()


def test_the_flaky_porch_succeeds_at_the_third_attempt(tmp_path: Path) -> None:
    flaky = tmp_path / "porch"
    flaky.write_bytes((ROOT / "examples/flaky-porch/porch").read_bytes())
    flaky.chmod(0o755)
    program(tmp_path / "bundled/porch", "exit 0")
    (tmp_path / "bundled-porch").symlink_to(tmp_path / "bundled/porch")

    def attempt(intent: str) -> int:
        command = [str(flaky), "-intent", intent, "-out", "out"]
        return subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, check=False).returncode

    assert [attempt("/some/intent-a.json") for _ in range(3)] == [4, 4, 0]
    assert [attempt(f"/some/intent-{name}.json") for name in "ba"] == [4, 4], "each intent, and each time anew"


def test_the_aws_of_a_stack_asks_that_stack_for_every_service(local: Path) -> None:
    """Version 1 of the program has an endpoint of its own for SQS, whatever the environment says."""
    program(local / "tools/bin/aws", 'echo "$@"')
    link_programs(local)
    command = [str(local / "bin/aws"), "sqs", "list-queues"]
    asked = subprocess.run(command, env={"AWS_ENDPOINT_URL": "http://here"}, capture_output=True, text=True, check=True)
    assert asked.stdout == "--endpoint-url http://here sqs list-queues\n"
    asked = subprocess.run(command, env={}, capture_output=True, text=True, check=True)
    assert asked.stdout == "sqs list-queues\n"


def test_what_make_up_wrote_for_shells_and_containers_goes_with_its_stack_alone(local: Path) -> None:
    here, other = Stack(free_port()), Stack(1)
    written = [local / "env", local / "env.local.json"]
    for path in written:
        path.write_text(f"export AWS_ENDPOINT_URL='{here.endpoint}'\n")
    stack.forget_env(other)
    assert all(path.exists() for path in written)
    stack.forget_env(here)
    assert not any(path.exists() for path in written)


def test_a_stack_that_still_runs_takes_the_place_of_one_that_is_stopped(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "ROOT", local.parent)
    here, other = Stack(free_port()), Stack(free_port())
    other.home.mkdir()
    for name in ("env", "env.local.json"):
        (local / name).write_text(f"export AWS_ENDPOINT_URL='{here.endpoint}'\n")
        (other.home / name).write_text(f"export AWS_ENDPOINT_URL='{other.endpoint}'\n")
    stack.forget_env(here, [other])
    assert {other.endpoint in (local / name).read_text() for name in ("env", "env.local.json")} == {True}


INTERACTIVE = {"bash": ["bash", "--norc", "-i", "-s"], "zsh": ["zsh", "-f", "-i", "-s"]}


@pytest.mark.parametrize("shell", [name for name in INTERACTIVE if shutil.which(name)])
def test_a_command_of_the_pages_can_be_typed_with_the_comment_behind_it(shell: str) -> None:
    typed = f"{stack.ZSH}\necho one  # of the commands\n"
    done = subprocess.run(INTERACTIVE[shell], input=typed, capture_output=True, text=True, check=True)
    assert done.stdout == "one\n"
