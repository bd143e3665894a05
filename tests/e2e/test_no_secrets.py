"""No secret in any log, status, error, output or variable: everything that a run produced is searched for them."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from conductor_loop.tokens import Tokens
from conductor_loop.tokens.stores import TokensSecret
from dev.stack import STACK_NAME
from tests.e2e.calling import Answer, Caller, make_token
from tests.e2e.conftest import Deployed, until

CLEAR = re.compile(r"clt_[0-9a-f]{16}_[0-9a-f]{64}")
KUBECONFIG = "e2e/kubeconfig"


def tokens(deployed: Deployed) -> TokensSecret:
    client = deployed.stack.session().client("secretsmanager", endpoint_url=deployed.stack.endpoint)
    return TokensSecret(lambda: client, deployed.outputs["TokensSecret"])


@pytest.fixture(scope="module")
def secrets(deployed: Deployed) -> list[str]:
    """Make a token and revoke another, with everything that can go wrong; the clear texts, and the digests."""
    made = [make_token(deployed, "unnamed", "metrics", "intents:read", "intents:write") for _ in range(2)]
    digests = [token.digest for token in tokens(deployed).read().tokens()]
    assert deployed.cli("token", "revoke", made[1].split("_")[1]).exit_code == 0
    assert deployed.cli("token", "revoke", made[1]).exit_code == 2
    deployed.restart()
    return made + digests


@pytest.fixture(scope="module")
def answers(deployed: Deployed, secrets: list[str]) -> list[Answer]:
    """Ask the API with a good token, a revoked one, a wrong one and a mutilated one, wherever a caller may put it."""
    good, revoked = secrets[:2]
    anonymous = Caller(deployed, "203.0.113.77")
    wrong = (
        revoked,
        f"{good[:-4]}{'0000' if good[-4:] != '0000' else '1111'}",
        f"clt_{'0' * 16}_{'f' * 64}",
        good[:-1],
    )
    body = json.dumps({"intent_type": "scaling", "target": "printed", "namespace": "e2e", "replicas": 2}).encode()
    found = [anonymous.ask("POST", "/intents", body, Authorization=f"Bearer {good}")]
    for token in (good, *wrong):
        found += [anonymous.get("/intents?limit=1", **{name: f"{before}{token}"}) for name, before in _PLACES]
        found += [
            anonymous.get(f"/intents/{token}", X_API_Key=good),
            anonymous.get(f"/intents?cursor={token}", X_API_Key=good),
        ]
    secrets += [*wrong, good.rpartition("_")[2]]
    assert {200, 202, 401} <= {answer.status for answer in found}
    return found


_PLACES = (("Authorization", "Bearer "), ("Authorization", "Basic "), ("X_API_Key", ""), ("X_Request_Id", ""))


@dataclass(frozen=True)
class Leak:
    """A porch that prints its kubeconfig, and what must not be seen of what it was given."""

    status: dict[str, Any]
    secrets: tuple[str, ...]
    note: str  # value of a variable of porch, which is no secret, but is private


@pytest.fixture(scope="module")
def leak(deployed: Deployed) -> Iterator[Leak]:
    client = deployed.stack.session().client("secretsmanager", endpoint_url=deployed.stack.endpoint)
    token, password, note = (f"{name}-{uuid.uuid4().hex}" for name in ("kube", "pass", "note"))
    client.create_secret(Name=KUBECONFIG, SecretString=json.dumps(_kubeconfig(token, password)))
    deployed.grant("kubeconfig", {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"})
    cluster = {"kubeconfig_secret": KUBECONFIG, "delivery": "check"}
    try:
        deployed.configure(porch={"environment": {"PORCH_NOTE": note}, "cluster": cluster})
        yield Leak(_leaky(deployed), (token, password), note)
    finally:
        deployed.grant("kubeconfig")
        deployed.configure()


def _kubeconfig(token: str, password: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [
            {"name": "u", "user": {"token": token}},
            {"name": "other", "user": {"username": "admin", "password": password}},
        ],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def _leaky(deployed: Deployed) -> dict[str, Any]:
    name = f"leaky-{uuid.uuid4().hex}"
    deployed.put(f"intent-{name}.json", target=name, priority="critical")
    deployed.wait_for(f"intent-{name}.json")
    return deployed.status(f"intent-{name}.json")


def test_tokens_of_the_command_line_are_good_on_the_stack_until_revoked(deployed: Deployed, secrets: list[str]) -> None:
    verifying = Tokens(tokens(deployed).read, lambda: 0.0)
    good, revoked = secrets[:2]
    assert CLEAR.fullmatch(good)
    assert verifying.verify(good, now=0)
    assert verifying.verify(revoked, now=0) is None


def test_nothing_that_a_run_produced_holds_a_secret(
    deployed: Deployed, secrets: list[str], answers: list[Answer], leak: Leak
) -> None:
    name = f"secrets-{uuid.uuid4().hex}"
    deployed.put(f"intent-{name}.json")
    deployed.put(f"intent-{name}-bad.json", replicas=-1)
    deployed.wait_for(f"intent-{name}.json", f"intent-{name}-bad.json")
    until(lambda: deployed.logged("answered", about=name), seconds=30)
    everything = [*produced(deployed), *_reported(answers)]
    searched = (*secrets, *leak.secrets)
    assert not {place for place, text in everything if any(secret in text for secret in searched)}
    assert {place.partition(" ")[0] for place, text in everything if leak.note in text} == {"configuration"}
    places = {place.partition(" ")[0] for place, _ in everything}
    assert places == {"log", "object", "row", "outputs", "template", "function", "configuration", "server", "answer"}


def test_what_a_porch_says_of_its_kubeconfig_is_masked_and_the_rest_is_shown(leak: Leak) -> None:
    shown = json.dumps(leak.status)
    assert "https://127.0.0.1:1" in shown
    assert "[secret]" in shown
    assert not any(secret in shown for secret in leak.secrets)


def test_the_tokens_command_shows_a_secret_where_it_is_made_and_nowhere_else(
    deployed: Deployed, secrets: list[str]
) -> None:
    printed = [deployed.cli("token", "list", *more) for more in ((), ("--output", "json"))]
    printed.append(deployed.cli("config", "show"))
    printed.append(deployed.cli("token", "revoke", secrets[0]))  # the whole token instead of its id
    said = "".join(one.stdout + one.stderr for one in printed)
    assert secrets[0].split("_")[1] in said
    assert not any(secret in said for secret in secrets)


def test_what_the_stack_really_encrypts_is_reported(
    deployed: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = tmp_path_factory.mktemp("config") / "config.json"
    document.write_text("{}")
    report = deployed.cli(f"--config={document}", "--validate-config", "--stack", STACK_NAME).stdout
    printed = r"- State encryption: true \(2 buckets, 1 table, \d queues, 1 secret, 1 parameter: encrypted"
    assert re.search(printed, report), report
    assert re.search(r"- Log encryption: true \(\d log groups: encrypted with keys of AWS\)", report), report
    assert re.search(r"- Porch path: \S+ \(.*: executable, says http://", report), report


def produced(deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Give everything that the stack has written or shows, but the secret itself: where it is, and its text."""
    yield from _logs(deployed)
    for versions in deployed.s3.get_paginator("list_object_versions").paginate(Bucket=deployed.bucket):
        for one in versions.get("Versions", []):
            body = deployed.s3.get_object(Bucket=deployed.bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"]
            yield f"object {one['Key']}", body.read().decode(errors="replace")
    for rows in deployed.dynamodb.get_paginator("scan").paginate(TableName=deployed.outputs["StateTable"]):
        yield from ((f"row {row['pk']}", json.dumps(row, default=str)) for row in rows["Items"])
    yield from _shown(deployed)
    yield "server log", (deployed.stack.home / "aws.log").read_text(errors="replace")


def _logs(deployed: Deployed) -> Iterator[tuple[str, str]]:
    for groups in deployed.logs.get_paginator("describe_log_groups").paginate():
        for group in groups["logGroups"]:
            pages = deployed.logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            text = "\n".join(event["message"] for page in pages for event in page["events"])
            yield f"log {group['logGroupName']}", text


def _shown(deployed: Deployed) -> Iterator[tuple[str, str]]:
    session, endpoint = deployed.stack.session(), deployed.stack.endpoint
    cloudformation = session.client("cloudformation", endpoint_url=endpoint)
    yield "outputs and parameters", json.dumps(cloudformation.describe_stacks(StackName=STACK_NAME), default=str)
    yield "template", json.dumps(cloudformation.get_template(StackName=STACK_NAME), default=str)
    for functions in deployed.functions.get_paginator("list_functions").paginate():
        for function in functions["Functions"]:
            yield f"function {function['FunctionName']}", json.dumps(function, default=str)
    client = session.client("ssm", endpoint_url=endpoint)
    for page in client.get_paginator("get_parameter_history").paginate(Name=deployed.outputs["ConfigParameter"]):
        yield from (("configuration", parameter["Value"]) for parameter in page["Parameters"])


def _reported(answers: list[Answer]) -> Iterator[tuple[str, str]]:
    yield from ((f"answer {answer.status}", f"{dict(answer.headers)} {answer.text}") for answer in answers)
