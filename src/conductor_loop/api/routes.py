"""Everything that can be asked for, in one table: what is answered, and what the OpenAPI document tells."""

from http import HTTPMethod, HTTPStatus

from conductor_loop.api import openapi
from conductor_loop.api.exposition import metrics
from conductor_loop.api.health import healthy, live, ready
from conductor_loop.api.http import Response
from conductor_loop.api.parts import Parts
from conductor_loop.api.problem import Problem
from conductor_loop.api.read_intents import DEFAULT_LIMIT, MOST, look, search
from conductor_loop.api.route import Call, Parameter, Route, Scope
from conductor_loop.api.submit_intent import retry, send
from conductor_loop.config.serving import Serving
from conductor_loop.intent import FILE_NAME, Priority
from conductor_loop.intents.model import SPELLINGS, Phase
from conductor_loop.validation import MAX_NAME_BYTES

_ANY: dict[int, str | tuple[str, ...]] = {429: "Error", 500: "Error", 503: "Error"}
_KNOWN: dict[int, str | tuple[str, ...]] = _ANY | {401: "Error", 403: "Error"}
_STRING = {"type": "string"}
_FILE = {"type": "string", "pattern": f"^{FILE_NAME.pattern}$", "maxLength": MAX_NAME_BYTES}
_NAME = Parameter("name", "path", "The intent's name, e.g. intent-a.json", _STRING)


def _document(parts: Parts, call: Call) -> Response:
    del parts, call
    return Response(HTTPStatus.OK, openapi.document(ROUTES))


def _page(parts: Parts, call: Call) -> Response:
    del parts, call
    return openapi.page(ROUTES)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/healthz",
        Scope.HEALTH,
        "Whether everything is as it should be, security included",
        {200: "Health"} | _KNOWN | {404: "Error", 503: ("Health", "Error")},
        healthy,
        asks=lambda serving: serving.health_authenticated,
        exists=lambda serving: serving.health_enabled,
        is_health=True,
    ),
    Route(
        "GET",
        "/readyz",
        Scope.HEALTH,
        "Whether work can be taken",
        {200: "Readiness"} | _KNOWN | {404: "Error", 503: ("Readiness", "Error")},
        ready,
        asks=lambda serving: serving.health_authenticated,
        exists=lambda serving: serving.health_enabled,
        is_health=True,
    ),
    Route(
        "GET",
        "/livez",
        Scope.HEALTH,
        "Whether the process lives",
        {200: "Liveness"} | _KNOWN | {404: "Error"},
        live,
        asks=lambda serving: serving.health_authenticated and not serving.liveness_exempt,
        exists=lambda serving: serving.health_enabled,
        is_local=True,
        is_health=True,
    ),
    Route(
        "GET",
        "/metrics",
        Scope.METRICS,
        "Metrics in Prometheus's text format",
        {200: "text"} | _KNOWN | {404: "Error"},
        metrics,
        asks=lambda serving: serving.metrics_authenticated,
        exists=lambda serving: serving.metrics_enabled,
    ),
    Route(
        "POST",
        "/intents",
        Scope.INTENTS_WRITE,
        "Send an intent",
        {202: "Accepted", 400: "Error", 409: "Error", 413: "Error", 415: "Error"} | _KNOWN,
        send,
        takes_intent=True,
        parameters=(
            Parameter("X-Intent-Name", "header", "Its name; made up where it is left out", _FILE),
            Parameter("name", "query", "Likewise", _FILE),
            Parameter("replace", "query", "Whether it may take the place of one of that name", {"type": "boolean"}),
        ),
    ),
    Route(
        "GET",
        "/intents",
        Scope.INTENTS_READ,
        "List intents, newest first",
        {200: "IntentPage", 400: "Error"} | _KNOWN,
        search,
        parameters=(
            Parameter("state", "query", "Only these", {"type": "string", "enum": sorted({*Phase, *SPELLINGS})}),
            Parameter("priority", "query", "Only these", {"type": "string", "enum": sorted(Priority)}),
            Parameter("namespace", "query", "Only these", {"type": "string", "maxLength": 63}),
            Parameter(
                "limit",
                "query",
                "The most in a page",
                {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
            ),
            Parameter("next", "query", "Where an earlier page said that the next one begins", _STRING),
        ),
    ),
    Route(
        "GET",
        "/intents/{name}",
        Scope.INTENTS_READ,
        "What became of an intent",
        {200: "IntentState", 404: "Error"} | _KNOWN,
        look,
        parameters=(_NAME,),
    ),
    Route(
        "POST",
        "/intents/{name}/retry",
        Scope.INTENTS_WRITE,
        "Send an intent that failed again, as it is",
        {202: "Accepted", 404: "Error", 409: "Error"} | _KNOWN,
        retry,
        parameters=(_NAME,),
    ),
    Route("GET", "/openapi.json", None, "This document", {200: "json"} | _ANY, _document),
    Route(
        "GET",
        "/docs",
        None,
        "This document, for people",
        {200: "html", 404: "Error"} | _ANY,
        _page,
        exists=lambda serving: serving.docs,
    ),
)


def find(resource: str, method: str, serving: Serving) -> Route:
    """Find the route of a request; HEAD is asked of what answers GET.

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
    def answer(parts: Parts, call: Call) -> Response:
        del parts, call
        raise problem

    return Route("", "", None, problem.message, {}, answer)
