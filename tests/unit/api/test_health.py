import os
import threading
import time
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from conductor_loop.api.dispatch import answer
from conductor_loop.api.health import duration
from conductor_loop.storage.measures import Counts
from tests.serving import Api, body, hangs, request, schema


def test_the_answers_are_the_specifications() -> None:
    api = Api()
    api.serve(max_workers=4)
    assert body(api.ask("GET", "/livez")) == {
        "status": "live",
        "timestamp": "2027-01-15T08:00:00Z",
        "pid": os.getpid(),
        "memory_usage": "45.2MB",
        "goroutines": 15,
    }
    assert body(api.ask("GET", "/readyz")) == {
        "status": "ready",
        "timestamp": "2027-01-15T08:00:00Z",
        "checks": {
            "filesystem_writable": "ok",
            "porch_available": "ok",
            "worker_pool": "ok",
            "queue_capacity": "ok",
        },
        "queue_size": 2,
        "active_workers": 1,
        "max_workers": 4,
        "config_version": "",
    }
    health = body(api.ask("GET", "/healthz"))
    assert health["uptime"] == "2h15m30s"
    assert health["security"] == {
        "encryption_status": "enabled",
        "validation_status": "active",
        "threat_level": "normal",
    }


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        ({"writable": False}, "filesystem_writable"),
        ({"porch": False}, "porch_available"),
        ({"active_workers": hangs}, "worker_pool"),
        ({"queue_size": hangs}, "queue_capacity"),
        ({"queue_size": lambda: 10_000}, "queue_capacity"),
    ],
)
def test_one_check_that_fails_is_not_ready(broken: dict[str, object], check: str) -> None:
    response = Api(**broken).ask("GET", "/readyz")  # type: ignore[arg-type]
    assert response["statusCode"] == 503
    assert [name for name, found in body(response)["checks"].items() if found == "failed"] == [check]
    Draft202012Validator(schema("Readiness")).validate(body(response))


def test_a_check_that_hangs_has_failed_once_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conductor_loop.api.health.BUDGET_SECONDS", 0.1)
    api = Api(active_workers=lambda: threading.Event().wait(0.5))
    began = time.monotonic()
    response = api.ask("GET", "/readyz")
    assert time.monotonic() - began < 0.4
    assert (response["statusCode"], body(response)["checks"]["worker_pool"]) == (503, "failed")
    assert body(response)["active_workers"] is None


def test_liveness_asks_no_service() -> None:
    api = Api(active_workers=hangs, queue_size=hangs, encryption=hangs, limiter_down=True, tokens_down=True)
    assert api.ask("GET", "/livez", token="any")["statusCode"] == 200


def test_liveness_looks_up_no_token() -> None:
    services = replace(Api().services, verify=lambda *_: pytest.fail("it asks for the tokens"))
    assert answer(services, request("GET", "/livez", token="any"))["statusCode"] == 200


def test_an_intent_that_looked_like_an_attack_raises_the_threat_level_for_a_quarter_of_an_hour() -> None:
    api = Api()
    api.counts = Counts(security_at=api.clock.now)
    assert body(api.ask("GET", "/healthz"))["security"]["threat_level"] == "elevated"
    api.clock.wait(901)
    assert body(api.ask("GET", "/healthz"))["security"]["threat_level"] == "normal"


@pytest.mark.parametrize(("encryption", "says"), [(lambda: "impaired", "impaired"), (hangs, "unknown")])
def test_what_is_not_encrypted_as_it_should_be_is_not_healthy(encryption: object, says: str) -> None:
    response = Api(encryption=encryption).ask("GET", "/healthz")  # type: ignore[arg-type]
    assert (response["statusCode"], body(response)["security"]["encryption_status"]) == (503, says)


def test_health_can_be_switched_off() -> None:
    api = Api()
    api.serve(health_enabled=False)
    assert [api.ask("GET", path)["statusCode"] for path in ("/healthz", "/readyz", "/livez")] == [404] * 3


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (61, "1m1s"), (3600, "1h0m0s")])
def test_uptimes_are_written_as_the_specification_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
