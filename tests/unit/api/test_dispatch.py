import json
import logging
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from conductor_loop.api import routes
from conductor_loop.api.http import SECURE_HEADERS
from conductor_loop.api.intents import DEFAULT_LIMIT, MAX_LIMIT
from conductor_loop.counting import API_FAILURES, Counted
from conductor_loop.intent import FILE_NAME, Priority
from conductor_loop.intents.model import BY_STATUS, Phase
from conductor_loop.storage.listing import RECEIVED
from conductor_loop.validation import MAX_NAME_BYTES
from tests.serving import Api, body, schema
from tests.unit.test_template import RESOURCES

ROOT = Path(__file__).parents[3]


def test_the_published_document_is_the_one_that_is_served() -> None:
    """After a change: `python -m dev.openapi`."""
    assert json.loads((ROOT / "docs/openapi.json").read_text()) == routes.document()


def test_the_document_describes_every_route_with_its_scope() -> None:
    described = {
        (method.upper(), path): (
            operation.get("description"),
            {scheme for one in operation.get("security", []) for scheme in one},
        )
        for path, operations in routes.document()["paths"].items()
        for method, operation in operations.items()
    }
    assert described == {
        (route.method, route.resource): (f"Scope: {route.scope}.", {"bearer", "key", "certificate"})
        if route.scope
        else (None, set())
        for route in routes.ROUTES
    }


def test_the_document_has_the_values_that_parameters_take() -> None:
    operations = routes.document()["paths"]["/intents"]
    search = {one["name"]: one["schema"] for one in operations["get"]["parameters"]}
    assert set(search["state"]["enum"]) == {*Phase, *BY_STATUS}
    assert set(search["priority"]["enum"]) == {*Priority}
    assert (search["limit"]["default"], search["limit"]["maximum"]) == (DEFAULT_LIMIT, MAX_LIMIT)
    for name in operations["post"]["parameters"][:2]:
        assert name["schema"] == {"type": "string", "pattern": f"^{FILE_NAME.pattern}$", "maxLength": MAX_NAME_BYTES}
    states = routes.document()["components"]["schemas"]["IntentSummary"]["properties"]["state"]["enum"]
    assert set(states) == {RECEIVED, *Phase}


def test_the_template_leads_every_route_to_the_function() -> None:
    events = RESOURCES["ApiFunction"]["Properties"]["Events"].values()
    assert {event["Properties"]["Path"] for event in events} == {route.resource for route in routes.ROUTES}
    assert {event["Properties"]["Method"] for event in events} == {"ANY"}


def test_every_answer_has_secure_headers_and_the_requests_id() -> None:
    for path in ("/livez", "/intents", "/nothing"):
        headers = Api().ask("GET", path)["headers"]
        assert SECURE_HEADERS.items() <= headers.items()
        assert headers["X-Request-Id"] == "0f1e2d3c-request"


def test_a_missing_method_is_answered_with_those_that_exist() -> None:
    response = Api().ask("DELETE", "/intents")
    assert (response["statusCode"], response["headers"]["Allow"]) == (405, "GET, HEAD, POST")
    assert body(response)["error"]["code"] == "METHOD_NOT_ALLOWED"


def test_a_service_that_does_not_answer_is_counted_for_an_alarm() -> None:
    api = Api(limiter_down=True)
    assert api.ask("POST", "/intents", token=api.client(), body="{}")["statusCode"] == 503
    assert api.noted == [Counted({API_FAILURES: 1})]


def test_head_is_answered_without_a_body() -> None:
    response = Api().ask("HEAD", "/livez")
    assert (response["statusCode"], response["body"]) == (200, "")


def test_a_bug_is_a_500_that_says_only_where_to_look(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(queue_size=lambda: 1 // 0)
    with caplog.at_level(logging.ERROR):
        response = api.ask("GET", "/metrics", token=api.client())
    error = body(response)["error"]
    assert (response["statusCode"], error["code"]) == (500, "INTERNAL_ERROR")
    assert error["details"]["error_id"] == "ERR-2027-01-15-0f1e2d3c"
    assert "ZeroDivisionError" in caplog.text
    assert api.noted == [Counted({API_FAILURES: 1})]
    assert "Zero" not in response["body"]
    Draft202012Validator(schema("Error")).validate(body(response))


def test_no_log_line_has_a_credential(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    with caplog.at_level(logging.DEBUG):
        api.ask("GET", "/intents", token=api.client("sesame"))
        api.ask("GET", "/intents", headers={"X-API-Key": "wrong-sesame"})
    assert [record.getMessage() for record in caplog.records] == ["GET /intents 200", "GET /intents 401"]
    assert "wrong-sesame" not in str([vars(record) for record in caplog.records])


def test_what_a_caller_made_up_can_be_encoded_in_utf_8() -> None:
    api = Api()
    response = api.ask("GET", "/intents?\ud800=1", token=api.client())
    assert response["body"].encode().isascii()


def test_the_page_is_there_only_if_it_is_asked_for() -> None:
    api = Api()
    assert api.ask("GET", "/docs")["statusCode"] == 404
    api.serve(docs=True)
    response = api.ask("GET", "/docs")
    assert response["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "/intents/{name}/retry" in response["body"]
    assert "<script" not in response["body"]


@pytest.mark.parametrize("name", ["health", "readiness", "liveness", "error-400", "error-503", "error-500"])
def test_the_examples_of_the_specification_keep_our_schemas(name: str) -> None:
    examples = json.loads((ROOT / "tests/data/spec/http.json").read_text())
    Draft202012Validator(schema(examples[name]["schema"])).validate(examples[name]["body"])
