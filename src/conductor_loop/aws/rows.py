"""What the rows of the state table look like: our nouns ⇄ DynamoDB's attribute values."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Failure, Last, Outcome, Refusal, Row, State, Target

type Value = Mapping[str, Any]
type Values = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Key:
    """A row's key: ``kind#name`` and, for handoffs, the version."""

    kind: str
    name: str
    version: str = "-"

    @property
    def pk(self) -> str:
        """The partition key."""
        return f"{self.kind}#{self.name}"

    @property
    def item(self) -> Values:
        """The key as DynamoDB takes it."""
        return {"pk": text(self.pk), "sk": text(self.version)}


def intent_key(handoff: Handoff) -> Key:
    """Key of a handoff's row."""
    return Key("intent", handoff.key, handoff.version_id)


def target_key(name: str) -> Key:
    """Key of a target's row; ``name`` is ``namespace/name``."""
    return Key("target", name)


def text(value: str) -> Value:
    """Make a string attribute."""
    return {"S": value}


def number(value: float) -> Value:
    """Make a number attribute; times keep milliseconds."""
    return {"N": f"{value:.3f}" if isinstance(value, float) else str(value)}


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome as its row holds it, beside the state."""
    document = {
        "status": outcome.status,
        "archive": outcome.archive,
        "withdrawn": outcome.withdrawn,
        "live_generation": outcome.live_generation,
    }
    return _written(document)


def last_of(handoff: Handoff, last: Last) -> Value:
    """Give the facts about a write, and who put the handoff, as its row holds them."""
    return last_value({"by": handoff.principal, "address": handoff.address, "bytes": handoff.size, **last})


def last_value(last: Last) -> Value:
    """Give the facts about a write as its row holds them; empty ones say nothing."""
    return text(_written({name: value for name, value in last.items() if value not in (None, "", [])}))


def event_item(name: str, last: Last) -> Values:
    """Give what a row says that is there for the audit trail alone, under ``audit#<name>``; ``last`` has its time."""
    at = str(last["at"])
    return {
        "last": last_value(last),
        "arrival_day": text(f"audit#{at[:10]}"),  # a day of its own in the index, beside that of the intents
        "arrived": text(f"{at}#{name}"),
    }


def failure_text(failure: Failure) -> str:
    """Write what an attempt came to as its row holds it."""
    return _written(asdict(failure))


def _written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def read_row(item: Mapping[str, Any]) -> Row:
    """Read a handoff's row.

    Raises:
        Unreadable: it makes no sense; the exception has it as it is.

    """
    try:
        state = State(item["state"]["S"])
        put = item.get("handoff_order", {"S": ""})["S"]
        outcome = _outcome(state, item["outcome"]["S"], put) if state.decided else None
        return Row(
            state=state,
            attempt=int(item["attempt"]["N"]),
            owner=_text(item, "owner") or "",
            held_until=float(item["held_until"]["N"]),
            patience=int(item.get("patience", {"N": "1"})["N"]),
            outcome=outcome,
            since=float(item["since"]["N"]),
            sweeps=int(item.get("sweeps", {"N": "0"})["N"]),
            swept_at=float(item.get("swept_at", {"N": "0"})["N"]),
            queued_at=float(item.get("queued_at", {"N": "0"})["N"]),
            priority=_text(item, "priority") or "",
            target=_text(item, "target") or "",
            reserved=read_reserved(item),
            order=str(put),
            failure=_failure(item["failure"]["S"]) if "failure" in item else None,
            rev=int(item["rev"]["N"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Unreadable(_path(item), item) from error


def read_reserved(item: Mapping[str, Any]) -> tuple[int, ...]:
    """Read the numbers of packages that a handoff's row has."""
    return tuple(int(one["N"]) for one in item.get("reserved", {"L": []})["L"])


def reserved_value(numbers: Sequence[int]) -> Value:
    """Write them."""
    return {"L": [number(one) for one in numbers]}


def read_target(item: Mapping[str, Any]) -> Target:
    """Read a target's row; an absent one is a target nothing is known of.

    Raises:
        Unreadable: some of its fields make no sense.

    """
    _check(item)
    return Target(
        lease_owner=_text(item, "lease_owner") or "",
        held_until=float(item.get("held_until", {"N": "0"})["N"]),
        last_order=_text(item, "last_order") or "",
        last_file=_text(item, "last_file") or "",
        generation=_optional_count(item.get("generation")),
        version=_text(item, "version"),
        replicas=int(item["replicas"]["N"]) if "replicas" in item else None,
        reserved=_optional_count(item.get("reserved")),
    )


def read_refusal(items: Sequence[Any]) -> Refusal:
    """Read the rows whose conditions failed.

    Raises:
        Unreadable: one of them makes no sense, and so its condition may never hold.

    """
    found = {_kind(item): item for item in items if item}
    for item in found.values():
        _check(item)
    return Refusal(
        row=read_row(found["intent"]) if "intent" in found else None,
        target=read_target(found["target"]) if "target" in found else None,
        newer_version=_text(found.get("name", {}), "last_version"),
        correlated_file=_text(found.get("correlation", {}), "file"),
    )


def _check(item: Mapping[str, Any]) -> None:
    """Hold the fields of a row against what they must be; a handoff's row is held by ``read_row``."""
    kind = _kind(item) if item else ""
    wrong = tuple(name for name, sound in _SOUND.get(kind, {}).items() if not _is(sound, item.get(name)))
    if wrong:
        raise Unreadable(_path(item), item, wrong if kind == "target" else ())


def _is(sound: "Callable[[Value | None], object]", value: Value | None) -> bool:
    try:
        return sound(value) is not None
    except (KeyError, ValueError, TypeError):
        return False


def _required_text(value: Any) -> str:  # noqa: ANN401 - an attribute as it is
    return str(value["S"])


def _required_number(value: Any) -> float:  # noqa: ANN401 - likewise
    return float(value["N"])


def _optional_text(value: Any) -> str:  # noqa: ANN401 - likewise
    return str(value["S"]) if value else ""


def _optional_number(value: Any) -> float:  # noqa: ANN401 - likewise
    return float(value["N"]) if value else 0.0


def _optional_count(value: Any) -> int:  # noqa: ANN401 - likewise
    return int(value["N"]) if value else 0


def _version(value: Any) -> str:  # noqa: ANN401 - likewise
    return "" if value == {"NULL": True} else _optional_text(value)


# What conditions compare and readers read. A target's row is kept field by field; of the others, nothing is left when
# one field is wrong.
_SOUND: Mapping[str, Mapping[str, Callable[[Any], object]]] = {
    "target": {
        "held_until": _optional_number,
        "last_order": _optional_text,
        "last_file": _optional_text,
        "version": _version,
        "replicas": _optional_count,
        "generation": _optional_count,
        "reserved": _optional_count,
    },
    "name": {"last_order": _required_text, "last_version": _required_text},
    "correlation": {"file": _required_text},
}
_INTENT_FIELDS = (
    "state",
    "attempt",
    "held_until",
    "since",
    "outcome",
    "owner",
    "patience",
    "sweeps",
    "swept_at",
    "queued_at",
    "handoff_order",
    "failure",
    "rev",
    "target",
    "reserved",
)


def fields_read(error: Unreadable) -> tuple[str, ...]:
    """Name the fields of a row by which it was found unreadable."""
    return error.fields or tuple(_SOUND.get(error.name.partition("/")[0], _INTENT_FIELDS))


def _kind(item: Mapping[str, Any]) -> str:
    return str(item["pk"]["S"]).partition("#")[0]


def _path(item: Mapping[str, Any]) -> str:
    """Give a row's key as a path."""
    path = item["pk"]["S"].replace("#", "/", 1)
    return path if item["sk"]["S"] == "-" else f"{path}/{item['sk']['S']}"


def _outcome(state: State, written: str, put: str) -> Outcome:
    document = json.loads(written)
    return Outcome(
        state,
        document["status"],
        document["archive"],
        order=put,
        withdrawn=document.get("withdrawn", False),
        live_generation=document.get("live_generation", 0),
    )


def _failure(written: str) -> Failure:
    document = json.loads(written)
    return Failure(**{**document, "cause": Cause(document["cause"])})


def _text(item: Mapping[str, Value], name: str) -> str | None:
    value: str | None = item.get(name, {}).get("S")
    return value
