"""Intents in the state table: by name, and by the day they arrived on, newest first. No scans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from conductor_loop.errors import Unreadable
from conductor_loop.intents.model import Phase
from conductor_loop.storage import translated
from conductor_loop.storage.rows import key_of, read_row, text
from conductor_loop.storage.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MAX_QUERIES = 48  # of one page: as many days without an intent are passed over
_EVALUATED = 100  # rows of one query, before the filter
_MOST_VERSIONS = 10_000  # of one name that are looked at
_SKEW_SECONDS = 300  # that S3's clock may be ahead of ours
_POSITION = ("arrival_day", "arrived", "pk", "sk")
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


class Listing(Table):
    """Reads rows of intents, which live for ``keep_seconds``: no day before that is looked at."""

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float) -> None:
        super().__init__(client, table)
        self._keep_seconds = keep_seconds

    @translated("DynamoDB")
    def newest(self, name: str) -> Answered | None:
        """Look up the newest version of a name. Raises NotAnswering."""
        items = list(islice(self.query("intent", name), _MOST_VERSIONS))  # one or a few
        if not items:
            return None
        # By when they were put: their order, which only a corrupt row may lack.
        newest = max(items, key=lambda item: item.get("order", item.get("arrived", {})).get("S", ""))
        versions = frozenset(item["sk"]["S"] for item in items)
        try:
            outcome = read_row(newest).outcome
        except Unreadable:
            outcome = None
        status = outcome.status if outcome else None
        return Answered(_listed(newest), status, versions, withdrawn=bool(outcome and outcome.withdrawn))

    def page(self, wanted: Wanted, now: float) -> Page:
        """List intents, newest first.

        A page makes at most so many queries, and each evaluates at most so many rows: whatever its filters leave out,
        it has a price. The next one goes on behind it. Raises NotAnswering.
        """
        newest, oldest = (
            datetime.fromtimestamp(at, UTC).date().isoformat() for at in (now + _SKEW_SECONDS, now - self._keep_seconds)
        )
        after: Mapping[str, str] = {"arrival_day": newest}
        if wanted.position and wanted.position["arrival_day"] <= newest:
            after = wanted.position
        found: list[Listed] = []
        for _ in range(_MAX_QUERIES):
            if after["arrival_day"] < oldest:
                return Page(tuple(found), None)
            listed, after = self._stretch(wanted, after)
            found += listed
            if len(found) >= wanted.limit:
                return Page(tuple(found[: wanted.limit]), found[wanted.limit - 1].position)
        return Page(tuple(found), after)

    @translated("DynamoDB")
    def _stretch(self, wanted: Wanted, position: Mapping[str, str]) -> tuple[list[Listed], Mapping[str, str]]:
        """Read a stretch of a day, without what the filters leave out; and where the next one begins."""
        day = position["arrival_day"]
        query: Any = {
            "TableName": self._table,
            "IndexName": "by-day",
            "KeyConditionExpression": "arrival_day = :day",
            "ExpressionAttributeValues": {":day": text(day)},
            "ScanIndexForward": False,
            "Limit": _EVALUATED if wanted.filters else min(_EVALUATED, wanted.limit),
        }
        if "pk" in position:  # or from the day's beginning
            query["ExclusiveStartKey"] = {name: text(position[name]) for name in _POSITION}
        answer = self._client.query(**query)
        keys = [*map(key_of, answer["Items"])]
        rows = {key_of(row): row for row in self.get_some(keys)}
        listed = [_listed(rows[key]) for key in keys if key in rows]  # others have expired meanwhile
        kept = [one for one in listed if all(getattr(one, name) == value for name, value in wanted.filters.items())]
        if after := answer.get("LastEvaluatedKey"):
            return kept, _position(after)
        return kept, {"arrival_day": (date.fromisoformat(day) - timedelta(days=1)).isoformat()}


def _listed(item: Item) -> Listed:
    texts: dict[str, str] = {name: value["S"] for name, value in item.items() if "S" in value}
    attempts = item.get("attempt", {}).get("N", "")
    return Listed(
        name=texts["pk"].partition("#")[2],
        version_id=texts["sk"],
        state=texts.get("phase", ""),
        arrived=texts.get("arrived", "").partition("#")[0],
        attempts=int(attempts) if attempts.isdecimal() else 0,  # a row that makes no sense hides no other
        priority=texts.get("priority"),
        namespace=texts.get("namespace"),
        position=_position(item),
    )


def _position(item: Item) -> dict[str, str]:
    return {name: item[name]["S"] for name in _POSITION if name in item}
