import pytest

from conductor_loop.tokens import Scope
from tests.serving import Api, body


@pytest.mark.parametrize("path", ["/metrics", "/intents", "/intents/intent-a.json"])
def test_a_request_without_a_token_is_unauthorized(path: str) -> None:
    response = Api().ask("GET", path)
    assert response["statusCode"] == 401
    assert response["headers"]["WWW-Authenticate"] == 'Bearer realm="conductor-loop"'
    assert body(response)["error"]["code"] == "UNAUTHORIZED"


def test_a_wrong_token_is_reported_as_such() -> None:
    response = Api().ask("GET", "/intents", token="wrong")
    assert response["headers"]["WWW-Authenticate"] == 'Bearer realm="conductor-loop", error="invalid_token"'


@pytest.mark.parametrize("header", ["Authorization", "authorization", "X-API-Key", "x-api-key"])
def test_a_token_is_a_bearer_token_and_an_api_key(header: str) -> None:
    api = Api()
    value = api.client() if "key" in header.lower() else f"bearer {api.client()}"
    assert api.ask("GET", "/intents", headers={header: value})["statusCode"] == 200


def test_a_scope_that_is_lacking_is_named() -> None:
    api = Api()
    response = api.ask("GET", "/metrics", token=api.client(scopes=frozenset({Scope.INTENTS_READ})))
    assert response["statusCode"] == 403
    assert body(response)["error"]["details"]["required_scope"] == "metrics"
    assert 'error="insufficient_scope", scope="metrics"' in response["headers"]["WWW-Authenticate"]


def test_a_known_client_certificate_has_its_scopes() -> None:
    api = Api()
    api.serve(certificates={"CN=scraper": frozenset({"metrics"})})
    certificate = {"clientCert": {"subjectDN": "CN=scraper"}}
    assert api.ask("GET", "/metrics", identity=certificate)["statusCode"] == 200
    assert api.ask("GET", "/intents", identity=certificate)["statusCode"] == 403
    assert api.ask("GET", "/metrics", identity={"clientCert": {"subjectDN": "CN=else"}})["statusCode"] == 401


def test_health_needs_no_token_unless_configured() -> None:
    api = Api()
    assert api.ask("GET", "/healthz")["statusCode"] == 200
    api.serve(health_authenticated=True)
    assert api.ask("GET", "/healthz")["statusCode"] == 401
    assert api.ask("GET", "/livez")["statusCode"] == 200
    api.serve(liveness_exempt=False)
    assert api.ask("GET", "/livez")["statusCode"] == 401
    assert api.ask("GET", "/livez", token=api.client(scopes=frozenset({Scope.HEALTH})))["statusCode"] == 200


def test_metrics_can_be_open() -> None:
    api = Api()
    api.serve(metrics_authenticated=False)
    assert api.ask("GET", "/metrics")["statusCode"] == 200


def test_where_the_tokens_cannot_be_read_only_what_needs_them_fails() -> None:
    api = Api(tokens_down=True)
    assert api.ask("GET", "/intents", token="token")["statusCode"] == 503
    assert api.ask("GET", "/readyz", token="token")["statusCode"] == 200
