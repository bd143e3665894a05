"""The adapters of the API, and what it needs of each; ``api.bootstrap`` makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent
from conductor_loop.rates import Take
from conductor_loop.storage.listing import Answered, Listed, Page, Wanted
from conductor_loop.storage.measures import Counts, TableSize


class Known(Protocol):
    """Who a good credential belongs to; ``tokens.Client`` is one."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scopes(self) -> frozenset[Any]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the process is like, now."""

    pid: int
    memory_bytes: int
    threads: int
    heap_bytes: int
    stack_bytes: int
    uptime_seconds: float


class Intents(Protocol):
    """Intents as the API sees them; ``aws.inbox`` and ``storage.listing`` say what each method does."""

    def put(self, name: str, body: bytes, *, replace: bool) -> str: ...  # noqa: D102
    def waiting(self, name: str) -> Listed | None: ...  # noqa: D102
    def failed(self, name: str, max_bytes: int) -> bytes | None: ...  # noqa: D102
    def status(self, name: str) -> Mapping[str, Any] | None: ...  # noqa: D102
    def newest(self, name: str) -> Answered | None: ...  # noqa: D102
    def page(self, wanted: Wanted, now: float) -> Page: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Measures:
    """What can be measured; all of them may raise NotAnswering."""

    queue_size: Callable[[], int]  # messages that wait
    queue_depths: Callable[[], Mapping[str, int]]  # of each queue, by priority, and of the dead letters, as "dead"
    active_workers: Callable[[], int]  # claims that are not released
    counts: Callable[[float], Counts]  # at a time (epoch seconds)
    table_size: Callable[[], TableSize]
    encryption: Callable[[], str]  # enabled, impaired or unknown


@dataclass(frozen=True, slots=True)
class Local:
    """What needs no service."""

    writable: Callable[[], bool]  # whether /tmp takes a file
    executable: Callable[[str], bool]  # whether there is a program of that path
    vitals: Callable[[], Vitals]
    take: Take  # a token of a bucket of this process


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything with an effect, passed in."""

    config: Config
    verify: Callable[[str, float], Known | None]  # a token, epoch seconds; may raise NotAnswering
    take: Take
    intents: Intents
    measures: Measures
    local: Local
    note: Callable[[Counted], None]  # of what the API itself counts in CloudWatch
    record: Callable[[str, Mapping[str, object], float], None]  # an audit entry: request id, fields, epoch seconds
    trace: Callable[[Intent], None]  # called with each intent that is read, for the log lines that follow
    clock: Callable[[], float]  # epoch seconds
    timer: Callable[[], float]  # seconds that never go back
    new_id: Callable[[], str]  # that sorts by time, of letters and digits
