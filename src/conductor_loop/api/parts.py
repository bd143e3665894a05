"""The adapters of the API, and what it needs of each; ``api.bootstrap`` makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent
from conductor_loop.intents.model import Phase
from conductor_loop.rates import Take


class Known(Protocol):
    """Who a good credential belongs to; ``tokens.Client`` is one."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scopes(self) -> frozenset[Any]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Counts:
    """Every counter since the stack was made, and the last census of the directories."""

    counters: Mapping[str, float] = field(default_factory=dict)  # by the names of ``counting``
    directories: Mapping[str, float] = field(default_factory=dict)  # files, by directory
    overdue: float | None = None  # inputs that had waited for too long at the last sweep; None: there was none
    oldest: Mapping[str, float] = field(default_factory=dict)  # as ``counting`` names them, of the last sweep; seconds
    lag: float = 0.0  # seconds that the counters are behind what happens
    security_at: float = 0.0  # when an intent was last rejected for what looks like an attack; epoch seconds


@dataclass(frozen=True, slots=True)
class TableSize:
    """How large the state table is."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the process is like, now."""

    pid: int
    memory_bytes: int
    threads: int
    heap_bytes: int
    stack_bytes: int
    uptime_seconds: float


_WAITING = frozenset(state.value for state in Phase if not state.done)
RECEIVED = "received"  # the state of what lies in the bucket, and is not in the state table yet


@dataclass(frozen=True, slots=True)
class Listed:
    """One intent of a list. ``position`` is where a listing goes on behind it."""

    name: str
    version_id: str
    state: str
    arrived: str  # ISO 8601
    attempts: int = 0
    priority: str | None = None  # None: it never got that far
    namespace: str | None = None
    position: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a listing; ``position`` is where it goes on, ``None`` at the end."""

    intents: tuple[Listed, ...]
    position: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing is to hold."""

    limit: int
    filters: Mapping[str, str] = field(default_factory=dict)  # state, priority, namespace
    position: Mapping[str, str] | None = None  # None: from the newest on


@dataclass(frozen=True, slots=True)
class Answered:
    """What the state table says of the newest version of a name."""

    listed: Listed
    status: Mapping[str, Any] | None  # the status document, once it is decided
    versions: frozenset[str]  # of the name, that the table knows: this one and older ones
    withdrawn: bool = False  # its owner removed it before it was decided

    @property
    def takes_name(self) -> bool:
        """Whether its answer holds the name. What waits holds it with its input alone, as long as that lies there."""
        return not self.withdrawn and self.listed.state not in _WAITING


class Intents(Protocol):
    """Intents as the API sees them; ``aws.inbox`` and ``aws.listing`` say what each method does."""

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
