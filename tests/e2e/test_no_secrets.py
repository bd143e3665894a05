"""No secret in any log, status, error, output or variable: everything that a run produced is searched for them."""

import json
import re
import uuid
from collections.abc import Iterator

import pytest

from conductor_loop.aws.secretsmanager import TokensSecret
from conductor_loop.tokens import Tokens
from dev.stack import STACK_NAME
from tests.e2e.conftest import Deployed, until

CLEAR = re.compile(r"clt_[0-9a-f]{16}_[0-9a-f]{64}")


def tokens(deployed: Deployed) -> TokensSecret:
    client = deployed.stack.session().client("secretsmanager", endpoint_url=deployed.stack.endpoint)
    return TokensSecret(lambda: client, deployed.outputs["TokensSecret"])


@pytest.fixture(scope="module")
def secrets(deployed: Deployed) -> list[str]:
    """Make a token and revoke another, with everything that can go wrong; the clear texts, and the digests."""
    made = [deployed.run("conductor-loop", "token", "create", "--scope", "metrics").stdout.strip() for _ in range(2)]
    digests = [token.digest for token in tokens(deployed).read().tokens()]
    assert deployed.run("conductor-loop", "token", "revoke", made[1].split("_")[1]).returncode == 0
    assert deployed.run("conductor-loop", "token", "revoke", made[1]).returncode == 1
    return made + digests


def test_tokens_of_the_command_line_are_good_on_the_stack_until_revoked(deployed: Deployed, secrets: list[str]) -> None:
    verifying = Tokens(tokens(deployed).read, lambda: 0.0)
    good, revoked = secrets[:2]
    assert CLEAR.fullmatch(good)
    assert verifying.verify(good, now=0)
    assert verifying.verify(revoked, now=0) is None


def test_nothing_that_a_run_produced_holds_a_secret(deployed: Deployed, secrets: list[str]) -> None:
    name = f"secrets-{uuid.uuid4().hex}"
    deployed.put(f"intent-{name}.json")
    deployed.put(f"intent-{name}-bad.json", replicas=-1)
    deployed.wait_for(f"intent-{name}.json", f"intent-{name}-bad.json")
    until(lambda: deployed.logged("answered", about=name), seconds=30)
    found = {place: text for place, text in produced(deployed) if any(secret in text for secret in secrets)}
    assert not found
    places = {place.partition(" ")[0] for place, _ in produced(deployed)}
    assert places == {"log", "object", "row", "outputs", "function", "configuration", "server"}, "all were looked at"


def test_the_tokens_command_shows_a_secret_where_it_is_made_and_nowhere_else(
    deployed: Deployed, secrets: list[str]
) -> None:
    told = [deployed.run("conductor-loop", "token", "list", *more) for more in ((), ("--output", "json"))]
    told.append(deployed.run("conductor-loop", "config", "show"))
    told.append(deployed.run("conductor-loop", "token", "revoke", secrets[0]))  # the whole token instead of its id
    said = "".join(one.stdout + one.stderr for one in told)
    assert secrets[0].split("_")[1] in said
    assert not any(secret in said for secret in secrets)


def test_what_the_stack_really_encrypts_is_reported(
    deployed: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = tmp_path_factory.mktemp("config") / "config.json"
    document.write_text("{}")
    report = deployed.run("conductor-loop", f"--config={document}", "--validate-config", "--stack", STACK_NAME).stdout
    assert re.search(r"- State encryption: true \(1 bucket, 1 table, \d queues, 1 secret: encrypted", report), report
    assert re.search(r"- Log encryption: true \(\d log groups: encrypted with keys of AWS\)", report), report


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
    stack = session.client("cloudformation", endpoint_url=endpoint).describe_stacks(StackName=STACK_NAME)
    yield "outputs and parameters", json.dumps(stack, default=str)
    for functions in deployed.functions.get_paginator("list_functions").paginate():
        for function in functions["Functions"]:
            yield f"function {function['FunctionName']}", json.dumps(function, default=str)
    parameter = session.client("ssm", endpoint_url=endpoint).get_parameter(Name=deployed.outputs["ConfigParameter"])
    yield "configuration", parameter["Parameter"]["Value"]
