"""Every example in the help of the commands, run as it stands against the deployed template, by an operator.

docs/permissions.md: its policies are enough for the commands, and its table has the calls that they make.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from conductor_loop.app import Message
from conductor_loop.intent import Handoff, Priority
from dev.commands import leaves
from dev.stack import LOCAL, REGION, ROOT
from tests import transcripts
from tests.e2e.conftest import Deployed
from tests.helps import examples, offices

TEXT = (ROOT / "docs/permissions.md").read_text()
SENDER, OPERATOR = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
ACCOUNT = "000000000000"
EMULATED = "sqs:ChangeMessageVisibilityBatch"  # AWS asks for the action without Batch
READS = {"s3:GetObject", "s3:ListBucket"}  # without the latter what is not there is 403
NEEDED = {  # where an operation's permission is not called as it is
    "s3 GetObject": READS,
    "s3 HeadObject": READS,
    "s3 GetObject version": READS | {"s3:GetObjectVersion"},
    "s3 HeadObject version": READS | {"s3:GetObjectVersion"},
    "s3 CopyObject": READS | {"s3:PutObject"},
    "s3 CopyObject version": READS | {"s3:GetObjectVersion", "s3:PutObject"},
    "s3 ListObjectsV2": {"s3:ListBucket"},
    "s3 ListObjectVersions": {"s3:ListBucketVersions"},
    "sqs ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "sts GetCallerIdentity": set(),  # which IAM cannot deny
    "lambda Invoke": {"lambda:InvokeFunction"},
    "s3 GetBucketEncryption": {"s3:GetEncryptionConfiguration"},
}
MORE = {  # command lines beside the examples, for calls that those do not come to
    "conductor-loop": "conductor-loop --config=config.json --validate-config --stack conductor-loop",
    "conductor-loop audit verify": "conductor-loop audit verify --since 1h --grace 0s",
    "conductor-loop config push": "conductor-loop config push examples/config.json",
    "conductor-loop submit": "conductor-loop submit examples/intents/intent-cleanup.json --wait",
    "conductor-loop undo": (
        "sed -e 's/: 3/: 4/' -e '/correlation_id/d' -e 's/hours\",/hours\"/' -e '/source/d' "
        "examples/intents/intent-scale-up-001.json >intent-more.json; "
        "conductor-loop submit intent-more.json --wait; conductor-loop undo intent-more.json --wait"
    ),
    "conductor-loop token revoke": (
        "conductor-loop token revoke $(conductor-loop token create --scope metrics | cut -d_ -f2)"
    ),
}
OTHERWISE = {  # the exit code of examples that cannot end well here
    "conductor-loop watch": 2,  # no terminal
    "conductor-loop watch --interval 5": 2,
    "conductor-loop token revoke 9f2c4d1e8a7b6c50": 2,  # there is no such token
    "conductor-loop undo intent-scale-up-001.json": 1,  # sent twice, it left the replicas as they were
    "conductor-loop undo intent-scale-up-001.json --wait": 1,
}
SENDERS = ("submit", "status", "package")


@dataclass
class User:
    """A caller with one policy and no other permissions."""

    environment: dict[str, str]
    folder: Path

    def runs(self, line: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
        """Run a command line; what came, and the actions that its calls need."""
        calls = self.folder / "calls"
        calls.write_text("")
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment | {"CALLS": str(calls)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done, {action for call in calls.read_text().splitlines() for action in needed(call)}


def needed(call: str) -> set[str]:
    service, operation, *_ = call.split(" ")
    return NEEDED.get(call, {f"{service}:{operation}"})


def user(deployed: Deployed, name: str, policy: str, folder: Path) -> User:
    """Make a user of the embedded AWS, which enforces IAM."""
    own = policy.replace("eu-central-1:111122223333", f"{REGION}:{ACCOUNT}")
    deployed.iam.create_user(UserName=name)
    deployed.iam.put_user_policy(UserName=name, PolicyName="docs", PolicyDocument=own)
    if EMULATED.removesuffix("Batch") in granted(policy):
        any_resource = [{"Effect": "Allow", "Action": EMULATED, "Resource": "*"}]
        document = json.dumps({"Version": "2012-10-17", "Statement": any_resource})
        deployed.iam.put_user_policy(UserName=name, PolicyName="emulator", PolicyDocument=document)
    key = deployed.iam.create_access_key(UserName=name)["AccessKey"]
    environment = deployed.stack.aws_environment | {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "STACK_NAME": "conductor-loop",
        "PYTHONPATH": str(ROOT / "tests/e2e/recorder"),
    }
    environment["PATH"] = f"{LOCAL / 'bin'}{os.pathsep}{environment['PATH']}"
    return User(environment, offices(folder))


def granted(policy: str) -> set[str]:
    statements: list[dict[str, Any]] = json.loads(policy)["Statement"]
    actions = [statement["Action"] for statement in statements]
    return {name for one in actions for name in ([one] if isinstance(one, str) else one)}


def rows() -> dict[str, set[str]]:
    """Give the table: the actions of each command."""
    found = re.findall(r"^\| (`conductor-loop.*?) \| (.*) \|$", TEXT, re.MULTILINE)
    return {
        command: set(re.findall(r"`(\w+:\w+)`", actions))
        for commands, actions in found
        for command in re.findall(r"`(conductor-loop[^`]*)`", commands)
    }


@pytest.fixture
def settings(deployed: Deployed) -> Iterator[None]:
    """Put the configuration back that the examples change."""
    ssm = deployed.stack.session().client("ssm", endpoint_url=deployed.stack.endpoint)
    parameter = deployed.outputs["ConfigParameter"]
    before = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    yield
    ssm.put_parameter(Name=parameter, Value=before, Overwrite=True)


@pytest.mark.long  # some eighty command lines
@pytest.mark.usefixtures("settings")
def test_an_operator_needs_what_the_table_says_and_no_more(deployed: Deployed, tmp_path: Path) -> None:
    deployed.s3.put_object(Bucket=deployed.bucket, Key="intent-no-such-deployment.json", Body=b"not JSON")
    deployed.wait_for("intent-no-such-deployment.json")
    letter = Message(Handoff(deployed.bucket, "intent-withdrawn.json", "v1"), Priority.NORMAL).body
    sqs = deployed.stack.session().client("sqs", endpoint_url=deployed.stack.endpoint)
    sqs.send_message(QueueUrl=deployed.outputs["DeadLetterQueue"], MessageBody=letter)
    operator = user(deployed, "operator", OPERATOR, tmp_path)
    found: dict[str, set[str]] = {}
    wrong = []
    for path, command in leaves():
        if isinstance(command, click.Group) and path not in MORE:
            continue
        own = [] if isinstance(command, click.Group) else examples(path)
        found[path] = set()
        for line in (*own, *filter(None, [MORE.get(path)])):
            done, actions = operator.runs(line)
            found[path] |= actions
            as_expected = done.returncode == OTHERWISE.get(line, 0) if line in own else done.returncode != 4
            if not as_expected or "not auth" in done.stderr:
                wrong.append(f"{line}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    assert wrong == []
    assert found == rows(), "\n".join(f"| `{path}` | {_shown(actions)} |" for path, actions in found.items())
    assert set().union(*found.values()) == granted(OPERATOR)


def _shown(actions: set[str]) -> str:
    return ", ".join(f"`{one}`" for one in sorted(actions)) or "none"


def test_a_sender_can_do_what_the_page_for_senders_shows(deployed: Deployed, tmp_path: Path) -> None:
    sender = user(deployed, "guest", SENDER, tmp_path)
    sender.environment["CONDUCTOR_STACK"] = sender.environment.pop("STACK_NAME")
    steps = [
        step.command
        for block in transcripts.blocks(ROOT / "docs/use-a-stack.md")
        if block.reason is None
        for step in block.steps
    ]
    assert len(steps) == 4
    for line in steps:
        done, _ = sender.runs(line)
        assert done.returncode == 0, (line, done.stderr)


@pytest.mark.long  # a dozen more
def test_a_sender_can_send_and_read_and_nothing_else(deployed: Deployed, tmp_path: Path) -> None:
    sender = user(deployed, "sender", SENDER, tmp_path)
    needs = set().union(*(rows()[f"conductor-loop {name}"] for name in SENDERS))
    assert granted(SENDER) == needs
    intent = {"intent_type": "scaling", "target": "sender", "namespace": "e2e", "replicas": 2}
    for line in (
        f"echo '{json.dumps(intent)}' | aws s3 cp - s3://{deployed.bucket}/intent-of-a-sender.json",
        "conductor-loop submit examples/intents/intent-scale-up-001.json --wait",
        "conductor-loop status intent-of-a-sender.json --wait 60",
        "conductor-loop package intent-scale-up-001.json",
    ):
        done, _ = sender.runs(line)
        assert done.returncode == 0, (line, done.stderr)
    for line in (
        "conductor-loop config push examples/config.json",
        "conductor-loop token list",
        "conductor-loop retry intent-scale-up-001.json",
        "conductor-loop redrive",
        "conductor-loop logs intent-scale-up-001.json",
    ):
        done, _ = sender.runs(line)
        assert done.returncode == 4, (line, done.stdout, done.stderr)
    for key in ("packages/x/y/z/Kptfile", "status/intent-a.json.status", "processed/intent-a.json"):
        done, _ = sender.runs(f"aws s3 cp config.json s3://{deployed.bucket}/{key}")
        assert "AccessDenied" in done.stderr
