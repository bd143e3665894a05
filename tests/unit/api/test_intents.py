import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft202012Validator

from conductor_loop.api.dispatch import answer
from conductor_loop.counting import refused
from conductor_loop.errors import Cause
from conductor_loop.storage.listing import Answered, Listed, Page
from conductor_loop.tokens import Scope
from conductor_loop.validation import Rules
from tests.factories import intent
from tests.serving import SENDER, Api, body, hangs, request, schema

ARRIVED = "2026-11-23T03:00:00.000Z"
POSITION = {
    "arrival_day": "2026-11-23",
    "arrived": f"{ARRIVED}#intent-a.json",
    "pk": "intent#intent-a.json",
    "sk": "v1",
}


def place(**changes: str) -> str:
    """Write a place in the listing, as a page gives it."""
    return base64.urlsafe_b64encode(json.dumps(POSITION | changes).encode()).decode().rstrip("=")


def known(api: Api, state: str = "succeeded", **changes: Any) -> Answered:
    listed = Listed("intent-a.json", "v1", state, ARRIVED, 1, "normal", "ns", POSITION)
    status = {"status": "success", "version_id": "v1", "package": {"prefix": "packages/ns/a/", "files": ["Kptfile"]}}
    answered = replace(Answered(listed, status, frozenset({"v1"})), **changes)
    api.intents.known["intent-a.json"] = answered
    return answered


def send(api: Api, content: bytes | str, path: str = "/intents?name=intent-a.json", **event: Any) -> dict[str, Any]:
    token = event.pop("token", None) or api.client(scopes=event.pop("scopes", SENDER))
    return api.ask("POST", path, token=token, body=content, **event)


def test_an_intent_that_is_good_is_put_as_it_is() -> None:
    api = Api()
    response = send(api, intent(reason="über"))
    assert response["statusCode"] == 202
    assert body(response) == {"name": "intent-a.json", "version_id": "v1", "status_url": "intents/intent-a.json"}
    assert response["headers"]["Location"] == "intents/intent-a.json"
    assert api.intents.root == {"intent-a.json": intent(reason="über")}


def test_a_name_comes_from_the_header_the_query_or_is_made_up() -> None:
    api = Api()
    assert body(send(api, intent(), "/intents"))["name"] == "intent-01jd.json"
    assert body(send(api, intent(), "/intents", headers={"X-Intent-Name": "intent-b.json"}))["name"] == "intent-b.json"
    assert send(api, intent(), headers={"X-Intent-Name": "intent-b.json"})["statusCode"] == 400
    assert send(api, intent(), "/intents?name=")["statusCode"] == 400


def test_everything_that_is_wrong_is_reported_at_once_and_counted() -> None:
    api = Api()
    response = send(api, b'{"replicas": -1}', "/intents?name=stray.json")
    assert response["statusCode"] == 400
    error = body(response)["error"]
    assert (error["code"], error["message"]) == ("INVALID_REQUEST", "Invalid intent file name")
    assert len(error["details"]["validation_errors"]) == 5
    assert api.noted == [refused(Cause.INVALID_FORMAT)]
    assert api.intents.root == {}


def test_a_parameter_that_is_not_known_is_no_way_to_name_an_intent() -> None:
    api = Api()
    response = send(api, intent(), "/intents?nam=intent-a.json")
    assert (response["statusCode"], api.intents.root) == (400, {})
    assert body(response)["error"]["details"]["validation_errors"] == ["The parameter nam is not known"]


def test_what_looks_like_an_attack_is_noted() -> None:
    api = Api()
    assert send(api, intent(reason="$(rm)"))["statusCode"] == 400
    rules = ["blocked_characters", "blocked_keywords"]
    assert api.noted == [refused(Cause.SECURITY_VIOLATION, rules)]
    entry = api.recorded[-1]
    assert (entry["code"], entry["error_code"], entry["rules"]) == ("E003", "SECURITY_VIOLATION", rules), (
        "counted by that"
    )


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"", b"[" * 5000])
def test_bytes_that_are_no_intent_are_refused_as_in_the_bucket(content: bytes) -> None:
    api = Api()
    response = send(api, content)
    assert (response["statusCode"], body(response)["error"]["details"]["code"]) == (400, "E001")


def test_a_name_that_waits_or_was_answered_is_taken_unless_it_is_replaced() -> None:
    api = Api()
    send(api, intent())
    assert send(api, intent(replicas=4))["statusCode"] == 409
    known(api)
    api.intents.root.clear()
    assert body(send(api, intent()))["error"]["code"] == "CONFLICT"
    assert send(api, intent(replicas=5), "/intents?name=intent-a.json&replace=true")["statusCode"] == 202
    assert send(api, intent(), "/intents?name=intent-a.json&replace=yes")["statusCode"] == 400


def test_critical_needs_its_scope() -> None:
    api = Api()
    response = send(api, intent(priority="critical"))
    assert (response["statusCode"], body(response)["error"]["details"]["required_scope"]) == (403, "priority:critical")
    assert api.intents.root == {}
    assert send(api, intent(priority="critical"), scopes=SENDER | {Scope.PRIORITY_CRITICAL})["statusCode"] == 202


def test_a_body_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    api = Api()
    api.config = replace(api.config, rules=Rules(max_file_bytes=100))
    assert send(api, b"x" * 101)["statusCode"] == 413
    assert send(api, "x" * 101)["statusCode"] == 413
    assert send(api, "ü" * 60)["statusCode"] == 413  # by its bytes
    assert send(api, b"x" * 99)["statusCode"] == 400
    details = body(send(api, b"x" * 101))["error"]["details"]
    assert (details["error_code"], details["code"]) == ("FILE_TOO_LARGE", "E002")
    assert api.noted[-1] == refused(Cause.FILE_TOO_LARGE)


def test_a_name_is_free_once_its_owner_has_removed_what_waited() -> None:
    api = Api()
    known(api, "queued", status=None)
    assert send(api, intent())["statusCode"] == 202, "nothing lies under the name"
    assert send(api, intent())["statusCode"] == 409, "now something does"


def test_a_name_is_free_once_its_intent_has_ended_as_withdrawn() -> None:
    api = Api()
    known(api, "skipped", status={"status": "skipped"})
    assert send(api, intent())["statusCode"] == 409
    known(api, "skipped", status={"status": "skipped"}, withdrawn=True)
    assert send(api, intent())["statusCode"] == 202


def test_only_json_is_taken() -> None:
    api = Api()
    assert send(api, intent(), headers={"Content-Type": "text/plain"})["statusCode"] == 415
    assert send(api, intent(), headers={"content-type": "Application/JSON; charset=utf-8"})["statusCode"] == 202


def test_a_body_that_is_not_the_base64_it_is_said_to_be_is_refused() -> None:
    api = Api()
    api.client()
    broken = request("POST", "/intents", token="token", body=b"") | {"body": "%%%", "isBase64Encoded": True}
    assert answer(api.services, broken)["statusCode"] == 400


def test_full_queues_take_no_more() -> None:
    api = Api(queue_size=lambda: 100)
    api.serve(max_queue_size=100, max_workers=4)
    response = send(api, intent())
    assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "30")
    error = body(response)["error"]
    assert (error["message"], error["retry_after"]) == ("Worker pool is at capacity", "30s")
    counted = {"queue_size": 100, "max_queue_size": 100, "active_workers": 1, "max_workers": 4}
    assert counted.items() <= error["details"].items()


def test_full_queues_take_no_more_even_where_the_workers_cannot_be_counted() -> None:
    response = send(Api(queue_size=lambda: 10_000, active_workers=hangs), intent())
    assert (response["statusCode"], body(response)["error"]["details"]["active_workers"]) == (503, None)
    Draft202012Validator(schema("Error")).validate(body(response))


def test_where_the_queues_cannot_be_measured_the_bucket_takes_it() -> None:
    assert send(Api(queue_size=hangs), intent())["statusCode"] == 202


def test_the_state_of_an_intent_has_its_status_and_the_keys_of_its_package() -> None:
    api = Api()
    answered = known(api)
    found = body(api.ask("GET", "/intents/intent-a.json", token=api.client()))
    assert (found["state"], found["attempts"], found["status"]) == ("succeeded", 1, answered.status)
    assert found["package_keys"] == ["packages/ns/a/Kptfile"]


def test_what_was_just_put_is_received_even_beside_an_older_answer() -> None:
    api = Api()
    send(api, intent())
    assert body(api.ask("GET", "/intents/intent-a.json", token="token"))["state"] == "received"
    answered = known(api)
    known(api, listed=replace(answered.listed, version_id="v0"))
    assert body(api.ask("GET", "/intents/intent-a.json", token="token"))["status"] is None


def test_an_attempt_that_is_made_again_has_its_status_from_the_bucket() -> None:
    api = Api()
    known(api, "retrying", status=None)
    api.intents.statuses["intent-a.json"] = {"status": "failed", "version_id": "v1", "next_retry": "soon"}
    found = body(api.ask("GET", "/intents/intent-a.json", token=api.client()))
    assert found["status"]["next_retry"] == "soon"
    api.intents.statuses["intent-a.json"] = {"status": "failed", "version_id": "v0"}
    assert body(api.ask("GET", "/intents/intent-a.json", token="token"))["status"] is None


@pytest.mark.parametrize("name", ["intent-none.json", "nothing", "intent-a.json.status"])
def test_what_is_not_there_is_not_found(name: str) -> None:
    api = Api()
    for method, path in (("GET", f"/intents/{name}"), ("POST", f"/intents/{name}/retry")):
        assert api.ask(method, path, token=api.client())["statusCode"] == 404


def test_a_list_is_filtered_and_goes_on_where_it_ended() -> None:
    api = Api()
    api.intents.listing = Page((known(api).listed,), POSITION)
    path = "/intents?state=succeeded&priority=low&namespace=ns&limit=1"
    found = body(api.ask("GET", path, token=api.client()))
    assert [one["name"] for one in found["intents"]] == ["intent-a.json"]
    assert "position" not in found["intents"][0]
    api.ask("GET", f"{path}&next={found['next']}", token="token")
    first, second = api.intents.asked
    assert first.filters == {"state": "succeeded", "priority": "low", "namespace": "ns"}
    assert (first.limit, first.position, second.position) == (1, None, POSITION)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("success", "succeeded"), ("succeeded", "succeeded"), ("timeout", "timed_out"), ("timed_out", "timed_out")],
)
def test_a_state_is_taken_as_a_status_spells_it_too(asked: str, meant: str) -> None:
    api = Api()
    api.intents.listing = Page((), None)
    assert body(api.ask("GET", f"/intents?state={asked}", token=api.client()))["intents"] == []
    assert api.intents.asked[0].filters == {"state": meant}


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "priority=urgent",
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=99999999999",
        "limit=0001999",
        "limit=",
        "sort=name",
        "next=%%%",
        "next=e30",
        "next=bnVsbA",
        "next=W10",
        f"next={place(pk='intent#' + 'a' * 2000)}",
        f"next={place(sk=chr(0xD800))}",
        f"namespace={'n' * 64}",
    ],
)
def test_a_wrong_query_is_reported_as_such(query: str) -> None:
    api = Api()
    response = api.ask("GET", f"/intents?{query}", token=api.client())
    assert (response["statusCode"], len(body(response)["error"]["details"]["validation_errors"])) == (400, 1)


@pytest.mark.parametrize("state", ["failed", "timed_out"])
def test_a_failed_intent_is_sent_again_as_it_was(state: str) -> None:
    api = Api()
    known(api, listed=replace(known(api).listed, state=state))
    api.intents.failed_inputs["intent-a.json"] = b"as it was"
    response = api.ask("POST", "/intents/intent-a.json/retry", token=api.client())
    assert (response["statusCode"], api.intents.root) == (202, {"intent-a.json": b"as it was"})
    again = api.ask("POST", "/intents/intent-a.json/retry", token="token")
    assert (again["statusCode"], body(again)["error"]["details"]["state"]) == (409, "received")


def test_what_waits_cannot_be_sent_again() -> None:
    api = Api()
    api.intents.root["intent-a.json"] = intent()
    response = api.ask("POST", "/intents/intent-a.json/retry", token=api.client())
    assert (response["statusCode"], body(response)["error"]["details"]["state"]) == (409, "received")


def test_the_url_of_the_state_is_relative_to_the_requests() -> None:
    api = Api()
    known(api, listed=replace(known(api).listed, state="failed"))
    api.intents.failed_inputs["intent-a.json"] = intent()
    sent = send(api, intent(), "/intents?name=intent-b.json")
    retried = api.ask("POST", "/intents/intent-a.json/retry", token="token")
    for path, response in (("intents", sent), ("intents/intent-a.json/retry", retried)):
        assert body(response)["status_url"] == response["headers"]["Location"]
        url = urljoin(f"https://api.example/v1/{path}", response["headers"]["Location"])
        assert url == f"https://api.example/v1/intents/{body(response)['name']}"


@pytest.mark.parametrize("state", ["succeeded", "skipped", "queued", "processing", "retrying"])
def test_only_a_failed_intent_is_sent_again(state: str) -> None:
    api = Api()
    known(api, listed=replace(known(api).listed, state=state))
    response = api.ask("POST", "/intents/intent-a.json/retry", token=api.client())
    assert (response["statusCode"], body(response)["error"]["details"]["state"]) == (409, state)


def test_sending_again_is_no_way_around_the_scope_for_critical() -> None:
    api = Api()
    known(api, listed=replace(known(api).listed, state="failed"))
    api.intents.failed_inputs["intent-a.json"] = json.dumps({"priority": "critical"}).encode()
    response = api.ask("POST", "/intents/intent-a.json/retry", token=api.client(scopes=SENDER))
    assert (response["statusCode"], api.intents.root) == (403, {})


def test_an_input_that_is_kept_no_longer_cannot_be_sent_again() -> None:
    api = Api()
    known(api, listed=replace(known(api).listed, state="failed"))
    assert api.ask("POST", "/intents/intent-a.json/retry", token=api.client())["statusCode"] == 409
