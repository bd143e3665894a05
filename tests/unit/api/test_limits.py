import pytest

from conductor_loop.rates import Memory, Rate, outcome
from tests.serving import Api, body

MINUTE = Rate(100, 60, 10)


def test_a_burst_passes_and_then_one_each_interval() -> None:
    bucket = Memory()
    assert [bucket.take("a", MINUTE, 0.0).allowed for _ in range(12)] == [True] * 10 + [False] * 2
    assert not bucket.take("a", MINUTE, 0.59).allowed
    assert bucket.take("a", MINUTE, 0.61).allowed
    assert not bucket.take("a", MINUTE, 0.62).allowed


def test_what_is_left_is_counted_down() -> None:
    bucket = Memory()
    assert [bucket.take("a", MINUTE, 5.0).remaining for _ in range(10)] == list(range(9, -1, -1))


def test_a_refused_request_says_when_to_retry() -> None:
    hour = Rate(1000, 3600, 10)
    refused = outcome(hour, free_at=100 + 36, now=100, allowed=False)
    assert (refused.remaining, refused.retry_after_seconds, refused.reset_seconds) == (0, 4, 36)


def test_a_full_bucket_is_forgotten() -> None:
    bucket = Memory()
    bucket.take("a", MINUTE, 0.0)
    bucket.take("b", MINUTE, 100.0)
    assert bucket.free_at.keys() == {"b"}


def test_the_eleventh_request_of_an_address_is_one_too_many() -> None:
    api = Api()
    responses = [api.ask("GET", "/healthz") for _ in range(11)]
    assert [response["statusCode"] for response in responses] == [200] * 10 + [429]
    refused = responses[-1]
    assert refused["headers"]["Retry-After"] == "1"
    assert refused["headers"]["RateLimit"] == '"burst";r=0;t=6'
    assert refused["headers"]["RateLimit-Policy"] == '"address";q=100;w=60, "burst";q=10'
    assert (body(refused)["error"]["code"], body(refused)["error"]["retry_after"]) == ("RATE_LIMITED", "1s")


def test_an_address_is_the_one_that_api_gateway_saw() -> None:
    api = Api()
    forged = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"]
    statuses = [
        api.ask("GET", "/readyz", headers=dict.fromkeys(forged, f"203.0.113.{number}"))["statusCode"]
        for number in range(11)
    ]
    assert statuses == [200] * 10 + [429]


def test_clients_and_addresses_do_not_disturb_each_other() -> None:
    api = Api()
    one, two = api.client("one"), api.client("two")
    assert [api.ask("GET", "/intents", token=one)["statusCode"] for _ in range(12)][-2:] == [429, 429]
    assert api.ask("GET", "/intents", token=two)["statusCode"] == 200
    assert api.ask("GET", "/healthz")["statusCode"] == 200


def test_guessing_tokens_uses_up_the_addresss_bucket() -> None:
    api = Api()
    tried = [api.ask("GET", "/intents", token=f"guess-{number}")["statusCode"] for number in range(11)]
    assert tried == [401] * 10 + [429]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_subscriber_has_one_bucket(one: str, other: str, *, shared: bool) -> None:
    api = Api()
    for _ in range(10):
        api.ask("GET", "/healthz", address=one)
    assert (api.ask("GET", "/healthz", address=other)["statusCode"] == 429) is shared


def test_health_answers_although_the_limiter_does_not() -> None:
    api = Api(limiter_down=True)
    assert api.ask("GET", "/readyz")["statusCode"] == 200
    assert api.ask("GET", "/openapi.json")["statusCode"] == 503
    assert api.ask("GET", "/intents", token=api.client())["headers"]["Retry-After"] == "30"


def test_limits_can_be_switched_off_for_health_and_for_the_rest() -> None:
    api = Api()
    api.serve(health_limited=False)
    assert {api.ask("GET", "/healthz")["statusCode"] for _ in range(20)} == {200}
    assert [api.ask("GET", "/openapi.json")["statusCode"] for _ in range(11)][-1] == 429
    api.serve(limited=False)
    assert api.ask("GET", "/openapi.json")["statusCode"] == 200


UNANSWERED = [
    ("DELETE", "/intents", {}),
    ("PUT", "/healthz", {}),
    ("POST", "/livez", {}),
    ("GET", "/nothing", {}),
    ("GET", "/docs", {}),
    ("DELETE", "/intents/intent-a.json", {"token": "guess"}),
    ("GET", "/intents", {}),
    ("POST", "/intents", {"token": "guess"}),
]


@pytest.mark.parametrize("tokens_down", [False, True])
@pytest.mark.parametrize(("method", "path", "event"), UNANSWERED)
def test_no_anonymous_request_passes_the_limit(
    method: str, path: str, event: dict[str, str], *, tokens_down: bool
) -> None:
    api = Api(tokens_down=tokens_down)
    statuses = [api.ask(method, path, **event)["statusCode"] for _ in range(12)]
    assert statuses[-2:] == [429, 429]
    assert 429 not in statuses[:10]


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("down", [{}, {"tokens_down": True}, {"limiter_down": True}])
def test_no_flood_of_anonymous_requests_fills_the_audit_trail(down: dict[str, bool], *, limited: bool) -> None:
    """From two hundred addresses, within a minute; ten refused requests are logged, and nothing else is."""
    api = Api(**down)  # type: ignore[arg-type]
    api.serve(limited=limited, health_limited=limited, health_authenticated=True)
    for number in range(200):
        api.clock.wait(0.25)
        for method, path, event in [*UNANSWERED, ("GET", "/healthz", {})]:
            api.ask(method, path, address=f"192.0.2.{number}", **event)
    assert len(api.recorded) <= 20
    assert {one["status"] for one in api.recorded} <= {401}


def test_what_clients_do_is_noted_beside_such_a_flood() -> None:
    api = Api()
    for number in range(200):
        api.ask("GET", "/intents", address=f"192.0.2.{number}")
    api.ask("DELETE", "/intents", token=api.client())
    assert [one["status"] for one in api.recorded[-2:]] == [401, 405]
