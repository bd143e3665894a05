"""Every endpoint and status code of the API, through the deployed REST API with IAM enforced."""

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from dev.stack import ROOT
from tests.e2e.calling import SCOPES, Answer, Caller, make_token
from tests.e2e.conftest import Deployed

DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
_numbers = itertools.count(1)

type MakeCaller = Callable[..., Caller]


@pytest.fixture(scope="module")
def tokens(deployed: Deployed) -> dict[str, str]:
    """Make tokens for each need."""
    needs = {"all": SCOPES, "sender": ("intents:read", "intents:write"), "reader": ("intents:read",)}
    made = {f"{need}-{number}": make_token(deployed, need, *needs[need]) for need in needs for number in range(10)}
    deployed.restart()
    return made


@pytest.fixture
def make_caller(deployed: Deployed, tokens: dict[str, str]) -> MakeCaller:
    """Give callers whose buckets are full."""

    def make(need: str = "") -> Caller:
        token = tokens.pop(next(name for name in tokens if name.startswith(f"{need}-"))) if need else ""
        return Caller(deployed, f"203.0.113.{next(_numbers)}", token)

    return make


def intent(**fields: Any) -> bytes:
    document = {"intent_type": "scaling", "target": "over-https", "namespace": "e2e", "replicas": 2}
    return json.dumps(document | fields).encode()


def check(answer: Answer, schema: str) -> Answer:
    document = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    Draft202012Validator(document).validate(answer.body)
    return answer


@contextmanager
def idle(deployed: Deployed, queue: str) -> Iterator[None]:
    """Let a message wait in a queue, since no consumer takes any."""
    mappings = deployed.functions.list_event_source_mappings()["EventSourceMappings"]
    name = deployed.outputs[queue].rpartition("/")[2]
    (mapping,) = [one["UUID"] for one in mappings if one["EventSourceArn"].endswith(f":{name}")]
    deployed.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    deployed.sqs.send_message(QueueUrl=deployed.outputs[queue], MessageBody="{}")
    yield
    deployed.sqs.purge_queue(QueueUrl=deployed.outputs[queue])
    deployed.functions.update_event_source_mapping(UUID=mapping, Enabled=True)


def test_health_answers_without_a_token(make_caller: MakeCaller) -> None:
    caller = make_caller()
    for path, schema in (("/livez", "Liveness"), ("/readyz", "Readiness"), ("/healthz", "Health")):
        answer = check(caller.get(path), schema)
        assert answer.status == 200, answer.text
        assert {
            "ratelimit",
            "strict-transport-security",
            "x-content-type-options",
            "x-request-id",
        } <= answer.headers.keys()


def test_health_measures_the_stack(make_caller: MakeCaller, deployed: Deployed) -> None:
    ready = make_caller().get("/readyz").body
    assert set(ready["checks"].values()) == {"ok"}
    mappings = deployed.functions.list_event_source_mappings()["EventSourceMappings"]
    queues = [one for one in mappings if ":sqs:" in one["EventSourceArn"]]
    at_once = sum(one["ScalingConfig"]["MaximumConcurrency"] * one["BatchSize"] for one in queues)
    assert ready["max_workers"] == at_once
    assert make_caller().get("/healthz").body["security"]["encryption_status"] == "enabled"


def test_metrics_are_those_of_the_stack_and_prometheuss_format(make_caller: MakeCaller) -> None:
    answer = make_caller("all").get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"conductor_files_processed", "conductor_errors", "conductor_state_entries_total"} <= names


@pytest.mark.parametrize("path", ["/metrics", "/intents", "/intents/intent-a.json"])
def test_who_is_not_known_is_401_and_who_may_not_is_403(make_caller: MakeCaller, path: str) -> None:
    anonymous = make_caller()
    assert check(anonymous.get(path), "Error").status == 401
    assert anonymous.get(path, X_API_Key="clt_guessed").status == 401
    assert anonymous.get(path).headers["www-authenticate"].startswith("Bearer")


def test_a_scope_that_is_lacking_is_403(make_caller: MakeCaller) -> None:
    reader = make_caller("reader")
    assert check(reader.get("/metrics"), "Error").status == 403
    assert check(reader.ask("POST", "/intents", intent()), "Error").status == 403
    sender = make_caller("sender")
    assert check(sender.ask("POST", "/intents", intent(priority="critical")), "Error").status == 403


def test_an_intent_is_accepted_processed_and_reported(make_caller: MakeCaller, deployed: Deployed) -> None:
    caller = make_caller("sender")
    key = {"X_API_Key": caller.token, "Authorization": "none", "X_Intent_Name": "intent-https-a.json"}
    sent = check(caller.ask("POST", "/intents", intent(correlation_id="https-a"), **key), "Accepted")
    assert (sent.status, sent.headers["location"]) == (202, "intents/intent-https-a.json")
    assert check(caller.get("/intents/intent-https-a.json"), "IntentState").status == 200
    deployed.wait_for("intent-https-a.json")
    reported = check(caller.get("/intents/intent-https-a.json"), "IntentState").body
    assert (reported["state"], reported["attempts"], reported["status"]["status"]) == ("succeeded", 1, "success")
    assert set(reported["package_keys"]) <= set(deployed.keys("packages/e2e/over-https/"))
    again = check(caller.ask("POST", "/intents?name=intent-https-a.json", intent()), "Error")
    assert (again.status, again.code) == (409, "CONFLICT")
    listed = check(caller.get("/intents?state=succeeded&namespace=e2e&limit=1"), "IntentPage").body
    assert listed["intents"][0]["name"] == "intent-https-a.json"
    assert check(caller.get(f"/intents?limit=1&next={listed['next']}"), "IntentPage").status == 200


def test_of_many_who_send_one_name_at_once_one_is_taken(make_caller: MakeCaller, deployed: Deployed) -> None:
    name, callers = "intent-https-race.json", [make_caller("sender") for _ in range(2)]

    def ask(number: int) -> Answer:
        for _ in range(10):  # a slow machine answers 503: the caller asks again
            answer = callers[number % 2].ask("POST", f"/intents?name={name}", intent(replicas=number, target="race"))
            if answer.status != 503:
                break
        return answer

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    statuses = [answer.status for answer in answers]
    assert statuses.count(202) == 1
    assert set(statuses) == {202, 409}
    deployed.wait_for(name)
    (taken,) = [answer.body["version_id"] for answer in answers if answer.status == 202]
    assert callers[0].get(f"/intents/{name}").body["version_id"] == taken


def test_a_listing_stays_whole_while_intents_arrive(make_caller: MakeCaller, deployed: Deployed) -> None:
    names = [f"intent-https-page-{number}.json" for number in range(6)]
    for name in names:
        deployed.put(name, namespace="pages")
    deployed.wait_for(*names)
    caller, found, path = make_caller("reader"), [], "/intents?namespace=pages&limit=2"
    for _ in range(9):
        page = caller.get(path).body
        found += [one["name"] for one in page["intents"]]
        deployed.put(f"intent-https-page-later-{len(found)}.json", namespace="pages")
        if page["next"] is None:
            break
        path = f"/intents?namespace=pages&limit=2&next={page['next']}"
    assert sorted(found) == names


@pytest.mark.long
def test_a_critical_intent_keeps_its_priority_where_its_sender_may(make_caller: MakeCaller, deployed: Deployed) -> None:
    caller = make_caller("all")
    name = "intent-https-critical.json"
    assert caller.ask("POST", f"/intents?name={name}", intent(priority="critical", target="crit")).status == 202
    deployed.wait_for(name)
    reported = caller.get(f"/intents/{name}").body
    assert (reported["priority"], "treated as" in reported["status"]["message"]) == ("critical", False)


def test_what_is_wrong_with_an_intent_is_reported_at_once(make_caller: MakeCaller, deployed: Deployed) -> None:
    caller = make_caller("sender")
    answer = check(caller.ask("POST", "/intents?name=intent-wrong.json", b'{"replicas": -1}'), "Error")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert len(answer.body["error"]["details"]["validation_errors"]) == 4
    assert caller.ask("POST", "/intents", b"\xff\xfe{}").body["error"]["details"]["code"] == "E001"
    assert check(caller.ask("POST", "/intents", intent(), Content_Type="text/plain"), "Error").status == 415
    assert check(caller.get("/intents?limit=none"), "Error").status == 400
    assert deployed.keys("intent-wrong") == []


@pytest.mark.long
def test_a_body_that_is_too_large_is_413(make_caller: MakeCaller) -> None:
    with make_caller().deployed.variables(CONDUCTOR_SECURITY_VALIDATION_MAX_FILE_SIZE="1KB"):
        answer = check(make_caller("sender").ask("POST", "/intents", intent(reason="x" * 2000)), "Error")
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


def test_a_failed_intent_is_sent_again_over_https(make_caller: MakeCaller, deployed: Deployed) -> None:
    caller, name = make_caller("sender"), "intent-https-fails.json"
    deployed.put(name, replicas=101)
    deployed.put("intent-https-fine.json")
    deployed.wait_for(name, "intent-https-fine.json")
    assert check(caller.ask("POST", f"/intents/{name}/retry"), "Accepted").status == 202
    deployed.wait_for(name)
    assert caller.get(f"/intents/{name}").body["state"] == "failed"
    assert check(caller.ask("POST", "/intents/intent-none.json/retry"), "Error").status == 404
    assert check(caller.ask("POST", "/intents/intent-https-fine.json/retry"), "Error").status == 409


def test_what_is_not_there_is_404_or_405(make_caller: MakeCaller) -> None:
    caller = make_caller("reader")
    assert check(caller.get("/intents/intent-none.json"), "Error").status == 404
    assert check(caller.get("/nothing"), "Error").status == 404
    assert caller.token not in caller.get("/nothing").text
    refused = check(caller.ask("PUT", "/intents"), "Error")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert caller.get("/docs").status == 404


def test_the_document_is_the_published_one(make_caller: MakeCaller) -> None:
    assert make_caller().get("/openapi.json").body == DOCUMENT


def test_full_queues_are_503_with_a_time_to_come_again(make_caller: MakeCaller, deployed: Deployed) -> None:
    with idle(deployed, "LowQueue"), deployed.variables(CONDUCTOR_API_MAX_QUEUE_SIZE="1"):
        answer = check(make_caller("sender").ask("POST", "/intents", intent()), "Error")
        ready = check(make_caller().get("/readyz"), "Readiness")
    assert (answer.status, answer.body["error"]["retry_after"], answer.headers["retry-after"]) == (503, "30s", "30")
    assert {"queue_size", "max_queue_size", "active_workers", "max_workers"} <= answer.body["error"]["details"].keys()
    assert (ready.status, ready.body["checks"]["queue_capacity"]) == (503, "failed")


@pytest.mark.long
def test_a_missing_porch_is_not_ready(make_caller: MakeCaller, deployed: Deployed) -> None:
    with deployed.variables(CONDUCTOR_PORCH_PATH="/no/such/porch"):
        answer = check(make_caller().get("/readyz"), "Readiness")
    assert (answer.status, answer.body["checks"]["porch_available"]) == (503, "failed")


@pytest.mark.long
def test_health_needs_a_token_where_the_configuration_says_so(make_caller: MakeCaller, deployed: Deployed) -> None:
    with deployed.variables(CONDUCTOR_HEALTH_AUTHENTICATION_ENABLED="true"):
        statuses = [make_caller().get(path).status for path in ("/healthz", "/readyz", "/livez")]
        assert statuses == [401, 401, 200]
        assert make_caller("reader").get("/healthz").status == 403
        assert make_caller("all").get("/healthz").status == 200


@pytest.mark.long
def test_a_bug_is_500_with_an_id_and_nothing_else(make_caller: MakeCaller, deployed: Deployed) -> None:
    with deployed.variables(CHAOS_BUG="DescribeTable"):
        answer = check(make_caller("all").get("/metrics"), "Error")
    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert answer.body["error"]["details"]["error_id"].startswith("ERR-")
    assert "secret" not in answer.text


@pytest.mark.long
def test_a_caller_over_its_rate_is_429_with_a_time_to_retry(make_caller: MakeCaller, deployed: Deployed) -> None:
    with deployed.variables(CONDUCTOR_HEALTH_RATE_LIMITING_REQUESTS_PER_MINUTE="1"):
        caller, paths = make_caller(), ("/healthz", "/readyz")
        answers = [caller.get(paths[number % 2]) for number in range(12)]
    assert [answer.status for answer in answers] == [200] * 10 + [429] * 2
    for answer in answers[10:]:
        assert check(answer, "Error").code == "RATE_LIMITED"
        assert int(answer.headers["retry-after"]) > 1
        assert answer.headers["ratelimit"].startswith('"burst";r=0;')
