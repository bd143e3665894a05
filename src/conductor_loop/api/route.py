"""What one route is; ``routes`` has them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conductor_loop.api.http import Request, Response
from conductor_loop.api.parts import Known, Parts
from conductor_loop.config.serving import Serving
from conductor_loop.tokens.token import Scope

__all__ = ["Call", "Parameter", "Route", "Scope"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be answered, and whose it is; ``None`` if no caller is known."""

    request: Request
    client: Known | None = None

    def has(self, scope: Scope) -> bool:
        """Say whether the caller may do that."""
        return self.client is not None and scope in self.client.scopes


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, as the OpenAPI document tells it."""

    name: str
    place: str  # query, header or path
    description: str
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for."""

    method: str
    resource: str
    scope: Scope | None  # None: open to everybody
    summary: str
    responses: Mapping[int, str | tuple[str, ...]]  # status to the names of its body's schemas: it keeps one of them
    answer: Callable[[Parts, Call], Response]
    asks: Callable[[Serving], bool] = lambda _: True  # whether it asks for its scope
    exists: Callable[[Serving], bool] = lambda _: True  # whether it is there at all
    is_local: bool = False  # asks no service, unless it asks for its scope
    is_health: bool = False  # answers although it is unknown whether the caller asks too often
    takes_intent: bool = False
    parameters: tuple[Parameter, ...] = field(default=())
