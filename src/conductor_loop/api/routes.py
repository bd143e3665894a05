"""Every route, and what answers it; ``schemas/openapi.json`` describes them to callers."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from operator import attrgetter

from conductor_loop.api import openapi, read_intents, submit_intent
from conductor_loop.api.exposition import metrics
from conductor_loop.api.health import health, liveness, readiness
from conductor_loop.api.http import Problem, Request, Response
from conductor_loop.api.services import Services
from conductor_loop.config.typed import Serving
from conductor_loop.tokens import Scope


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for."""

    method: str
    resource: str
    scope: Scope | None  # None: open to everybody
    answer: Callable[[Services, Request], Response]
    asks: Callable[[Serving], bool] = lambda _: True  # whether it asks for its scope
    exists: Callable[[Serving], bool] = lambda _: True
    is_local: bool = False  # asks no service, unless it asks for its scope
    is_health: bool = False  # answers although it is unknown whether the caller asks too often


_has_health, _asks_for_health = attrgetter("health_enabled"), attrgetter("health_authenticated")


def _asks_for_liveness(serving: Serving) -> bool:
    return serving.health_authenticated and not serving.liveness_exempt


ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", Scope.HEALTH, health, _asks_for_health, _has_health, is_health=True),
    Route("GET", "/readyz", Scope.HEALTH, readiness, _asks_for_health, _has_health, is_health=True),
    Route("GET", "/livez", Scope.HEALTH, liveness, _asks_for_liveness, _has_health, is_local=True, is_health=True),
    Route(
        "GET",
        "/metrics",
        Scope.METRICS,
        metrics,
        attrgetter("metrics_authenticated"),
        attrgetter("metrics_enabled"),
    ),
    Route("POST", "/intents", Scope.INTENTS_WRITE, submit_intent.submit),
    Route("GET", "/intents", Scope.INTENTS_READ, read_intents.list_intents),
    Route("GET", "/intents/{name}", Scope.INTENTS_READ, read_intents.read_intent),
    Route("POST", "/intents/{name}/retry", Scope.INTENTS_WRITE, submit_intent.retry),
    Route("GET", "/openapi.json", None, lambda *_: Response(HTTPStatus.OK, openapi.document())),
    Route("GET", "/docs", None, lambda *_: openapi.page(), exists=attrgetter("docs")),
)


def find(resource: str, method: str, serving: Serving) -> Route:
    """Find the route of a request; HEAD is that of GET.

    Returns:
        The route; for what does not exist one that answers 404 or 405, so that it is limited like every other.

    """
    there = {route.method: route for route in ROUTES if route.resource == resource}
    wanted = HTTPMethod.GET if method == HTTPMethod.HEAD else method
    if not there or (wanted in there and not there[wanted].exists(serving)):
        return _refusing(Problem(HTTPStatus.NOT_FOUND, "There is nothing here"))
    if wanted in there:
        return there[wanted]
    allowed = sorted(there.keys() | ({"HEAD"} if HTTPMethod.GET in there else set()))
    message = "There is no such method here; Allow names those there are"
    return _refusing(Problem(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": ", ".join(allowed)}))


def _refusing(problem: Problem) -> Route:
    def answer(*_: object) -> Response:
        raise problem

    return Route("", "", None, answer)
