"""A local stack: the real template, built and deployed by `sam` onto an embedded AWS on loopback, IAM enforced."""

import argparse
import fcntl
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from dev.programs import link_programs
from dev.server import Server

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
STACK_NAME = "conductor-loop"
REGION = "us-east-1"
ARTIFACTS = "sam-artifacts"  # bucket of the embedded AWS that `sam deploy` uploads to
FUNCTIONS = ("ConductorFunction", "SweeperFunction", "ApiFunction", "AuditFunction")  # outputs name them
ZSH = '[ -z "${ZSH_VERSION:-}" ] || setopt interactive_comments'  # as the pages have comments behind their commands
_KEY = "test"  # the embedded AWS takes it for the account's root user, id and secret alike
_TAIL = 3000  # characters of a log that show why something failed
_LINUX_ONLY = (
    "the local stack needs Linux, or a container or virtual machine with it: its functions are processes here, and"
    " what confines porch reads /proc. `sam build`, `sam deploy` to AWS and the command line work on macOS too"
)
_MACHINES = {"aarch64": "arm64", "arm64": "arm64"}  # everything else is x86_64


@dataclass(frozen=True)
class Stack:
    """One embedded AWS and what is deployed on it; each has its port and its folder to itself."""

    port: int
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the template, over the local defaults
    configuration: Mapping[str, Any] = field(default_factory=dict)  # document, over the local one
    environment: Mapping[str, str] = field(default_factory=dict)  # of the embedded AWS and so of the functions
    porch: Path | None = None  # a program to run instead of the bundled porch, which it finds beside it

    @property
    def home(self) -> Path:
        """Folder of everything this stack writes."""
        return LOCAL / str(self.port)

    @property
    def endpoint(self) -> str:
        """URL of the embedded AWS."""
        return self._server.endpoint

    @property
    def aws_environment(self) -> dict[str, str]:
        """Environment of a program that talks to this stack."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))},
            "PATH": f"{LOCAL / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
            "TMPDIR": str(self.home / "tmp"),  # sam leaves folders there
            "SAM_CLI_TELEMETRY": "0",
        }

    def session(self) -> boto3.session.Session:
        """Give an SDK session for this stack; pass ``endpoint_url=stack.endpoint`` to its clients."""
        return boto3.session.Session(aws_access_key_id=_KEY, aws_secret_access_key=_KEY, region_name=REGION)

    @property
    def running(self) -> bool:
        """Whether its embedded AWS runs."""
        return self._server.running

    @property
    def _server(self) -> Server:
        return Server(LOCAL / "ministack/bin/python", self.port, self.home, self.environment)

    def up(self) -> dict[str, str]:
        """Start, build, deploy; give the stack's outputs. On a running stack: build and deploy again.

        What cannot be started, built or deployed leaves nothing behind; a stack that ran before keeps running.
        """
        if sys.platform != "linux":
            sys.exit(_LINUX_ONLY)
        again = self.running
        if not again and self._server.taken:
            sys.exit(f"port {self.port} is taken by another program: choose one with `make up PORT=…`")
        try:
            return self._up()
        except BaseException:
            if not again:
                self.down()
            raise

    def _up(self) -> dict[str, str]:
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        link_programs(LOCAL)
        if not self.running:
            _say(f"1/3 starting an embedded AWS on {self.endpoint} …")
            self._server.start()
        _say(f"2/3 building: sam build … ({'some seconds' if _built() else 'a minute for the first'})")
        self.build()
        self.session().client("s3", endpoint_url=self.endpoint).create_bucket(Bucket=ARTIFACTS)
        _say("3/3 deploying: sam deploy … (half a minute)")
        return self.deploy()

    def build(self) -> None:
        """Run `sam build` for this machine's processor.

        Stacks share its cache, so that each layer is built once; one at a time, and each takes a copy.
        """
        build = LOCAL / "sam/build"
        with _locked(LOCAL / "sam"):
            self._sam(
                "build", "--cached", "--cache-dir", str(LOCAL / "sam/cache"), "--build-dir", str(build),
                "--parameter-overrides", f"Architecture={_architecture()}",
            )  # fmt: skip
            shutil.rmtree(self.home / "build", ignore_errors=True)
            shutil.copytree(build, self.home / "build", symlinks=True)

    def deploy(self) -> dict[str, str]:
        """Run `sam deploy`; give the stack's outputs."""
        parameters = {
            "Architecture": _architecture(),
            "EndpointUrl": self.endpoint,
            "PorchPath": str(self._installed_porch()),  # the embedded AWS mounts no layers at /opt
            "StateDeletionProtection": "false",
            "HandoffBucketName": "conductor-loop-handoff",  # as events/*.json have it
            "CriticalPrincipals": "*",  # the embedded AWS knows one principal only
            "ConfigMaxAge": "5s",
            **self.parameters,
        }
        self._sam(
            "deploy", "--template-file", str(self.home / "build/template.yaml"), "--stack-name", STACK_NAME,
            "--region", REGION, "--s3-bucket", ARTIFACTS, "--capabilities", "CAPABILITY_IAM", "--no-resolve-s3",
            "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar",
            "--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items()),
        )  # fmt: skip
        self._make_numbers()
        outputs = self.outputs()
        self._configure(outputs["ConfigParameter"])
        return outputs

    def _installed_porch(self) -> Path:
        """Put the program of ``porch`` where functions find it, and the bundled one beside it."""
        bundled = self.home / "build/PorchLayer/bin/porch"
        if self.porch is None:
            return bundled
        folder = self.home / "porch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "bundled-porch").symlink_to(bundled)
        return Path(shutil.copy(self.porch, folder / "porch"))

    def _configure(self, parameter: str) -> None:
        """Push the local configuration; a stack that was configured by hand keeps what it has."""
        client = self.session().client("ssm", endpoint_url=self.endpoint)
        document = {"processing": {"sweep_after": "20s"}, **self.configuration}
        with suppress(client.exceptions.ParameterAlreadyExists):
            client.put_parameter(Name=parameter, Value=json.dumps(document), Type="String")

    def _make_numbers(self) -> None:
        """Set the numbers of the queue triggers again: the embedded AWS keeps a `!Ref` of a number as text."""
        client = self.session().client("lambda", endpoint_url=self.endpoint)
        mappings = client.list_event_source_mappings()["EventSourceMappings"]
        for mapping in (one for one in mappings if "ScalingConfig" in one):
            client.update_event_source_mapping(
                UUID=mapping["UUID"],
                BatchSize=int(mapping["BatchSize"]),
                ScalingConfig={"MaximumConcurrency": int(mapping["ScalingConfig"]["MaximumConcurrency"])},
            )

    def outputs(self) -> dict[str, str]:
        """Read the outputs of the deployed template."""
        cloudformation = self.session().client("cloudformation", endpoint_url=self.endpoint)
        outputs = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def down(self) -> None:
        """Stop the embedded AWS and its functions, and remove everything this stack wrote."""
        self._server.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _sam(self, *arguments: str) -> None:
        log = self.home / f"sam-{arguments[0]}.log"
        with log.open("wb") as output:
            command = [str(LOCAL / "bin/sam"), *arguments]
            done = subprocess.run(
                command, cwd=ROOT, env=self.aws_environment, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            sys.exit(f"`sam {arguments[0]}` failed:\n{log.read_text()[-_TAIL:]}")


def free_port() -> int:
    """Find a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder, and have it for this process alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _built() -> bool:
    """Say whether layers were built in this checkout before."""
    return (LOCAL / "sam/build.toml").exists()


def write_env(stack: Stack, outputs: Mapping[str, str], *folders: Path) -> Path:
    """Write env and env.local.json, for a shell and for `sam local`, into .local and the port's folder, or others."""
    container = json.dumps(_in_a_container(stack, outputs), indent=2) + "\n"
    for folder in folders or (stack.home, LOCAL):
        (folder / "env").write_text(env_text(stack, outputs))
        (folder / "env.local.json").write_text(container)
    return LOCAL / "env"


def env_text(stack: Stack, outputs: Mapping[str, str]) -> str:
    """Give the lines that bring a stack, and the programs for it, into a shell."""
    lines = [f"export {name}='{value}'" for name, value in _in_a_shell(stack, outputs).items()]
    lines.append(f'export PATH={shlex.quote(str(LOCAL / "bin"))}:"$PATH"')
    lines.append(ZSH)
    return "\n".join(lines) + "\n"


def forget_env(stack: Stack, others: Iterable[Stack] = ()) -> None:
    """Remove what ``write_env`` wrote into .local, unless it is about another stack: one that runs takes its place."""
    env = LOCAL / "env"
    if not env.exists() or f"{stack.endpoint}'" not in env.read_text():
        return
    other = next((one for one in others if (one.home / "env").exists()), None)
    for name in ("env", "env.local.json"):
        (LOCAL / name).unlink(missing_ok=True)
        if other is not None:
            shutil.copy(other.home / name, LOCAL / name)
    if other is not None:
        _say(f"{env.relative_to(ROOT)} is about the stack on port {other.port} now")


def running_stacks() -> list[Stack]:
    """Find the stacks of this clone that run."""
    stacks = [Stack(int(home.name)) for home in sorted(LOCAL.glob("*")) if home.name.isdecimal()]
    return [one for one in stacks if one.running]


def _in_a_shell(stack: Stack, outputs: Mapping[str, str]) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": stack.endpoint,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "HANDOFF_BUCKET": outputs["HandoffBucket"],
        "AUDIT_BUCKET": outputs.get("AuditBucket", ""),
        "API_URL": outputs.get("ApiUrl", ""),
        "STACK_NAME": STACK_NAME,
        "STATE_TABLE": outputs["StateTable"],
        "SAM_CLI_TELEMETRY": "0",
    }


def _in_a_container(stack: Stack, outputs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Give the variables of the deployed functions for `sam local --env-vars`, which knows no names of a deployment."""
    client = stack.session().client("lambda", endpoint_url=stack.endpoint)
    own = {
        "AWS_ENDPOINT_URL": stack.endpoint.replace("127.0.0.1", "host.docker.internal"),
        "CONDUCTOR_DEFAULTS": json.dumps({"processing": {"priority_queues": False}}),  # all of it in one invocation
        "CONDUCTOR_PORCH_PATH": "/opt/bin/porch",  # of the layer
    }
    deployed = {
        function: client.get_function_configuration(FunctionName=outputs[function])["Environment"]["Variables"]
        for function in FUNCTIONS
    }
    return {function: {name: own.get(name, value) for name, value in one.items()} for function, one in deployed.items()}


def _architecture() -> str:
    return _MACHINES.get(os.uname().machine, "x86_64")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read_port(text: str) -> int:
    """Read a port as it was given to make; end the program where it is none."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):  # noqa: PLR2004 - the last port
        sys.exit("PORT must be 1 to 65535")
    return int(text)


def main() -> None:
    """Run `make up` and `make down`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--port", default="4566")
    parser.add_argument("--porch", type=Path, help="a program to run instead of the bundled porch")
    arguments = parser.parse_args()
    stack = Stack(read_port(arguments.port), porch=arguments.porch)
    if arguments.command == "down":
        others = [one for one in running_stacks() if one.port != stack.port]
        if stack.running:
            _say(f"stopping the stack on port {stack.port}")
        else:
            running = "".join(f"; one runs on port {one.port}: make down PORT={one.port}" for one in others)
            _say(f"no stack runs on port {stack.port}{running}")
        stack.down()
        forget_env(stack, others)
        return
    if stack.porch is not None and not (stack.porch.is_file() and os.access(stack.porch, os.X_OK)):
        sys.exit(f"PORCH must be a program: {stack.porch} is none")
    env = write_env(stack, stack.up())
    print(f"ready on {stack.endpoint}\n\n  . {env.relative_to(ROOT)}\n  conductor-loop submit FILE --wait")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
