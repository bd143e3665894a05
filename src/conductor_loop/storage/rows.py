"""What the rows of the state table look like: our nouns ⇄ DynamoDB's attribute values."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from conductor_loop.audit.entries import timestamp
from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents.model import Failure, Last, Outcome, Row, State, Target, Write

type Value = Mapping[str, Any]
type Values = dict[str, Value]

CLEAN_UP = "yes"  # in the index of rows to clean up after: decided, and due at ``due_at``
_ARCHIVES = {"processed", "failed"}
_NONSENSE = (KeyError, ValueError, TypeError, AttributeError, RecursionError)  # what reading it raises
_LATEST_SECONDS = 1e11  # epoch: a time that is later is none of ours
_MOST = 10**15  # of a number that counts, or is a time in milliseconds
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")  # that an order begins with
_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")
_LISTED_CHARACTERS = 200  # of a name: an index takes keys of 1,024 bytes, as long as a name in S3 alone


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


# -- a handoff's row


def row_values(row: Row) -> Values:
    """Write a row: all of its attributes, but for those that say nothing. Without a revision, it has none."""
    if not row.rev:
        return {}
    optional: dict[str, tuple[object, Value]] = {
        "reconciled": (row.reconciled, number(row.reconciled)),
        "queued": (row.queued, {"BOOL": True}),
        "timeout_multiplier": (row.timeout_multiplier > 1, number(row.timeout_multiplier)),
        "priority": (row.priority, text(row.priority)),
        "target": (row.target, text(row.target)),
        "namespace": (row.target, text(row.target.partition("/")[0])),
        "packages": (row.packages, {"L": [number(one) for one in row.packages]}),
        "handoff_order": (row.order, text(row.order)),
        "clean_up": (row.state is State.DONE and row.due_at, text(CLEAN_UP)),
    }
    values: Values = {
        "state": text(row.state),
        "phase": text(row.phase),
        "rev": number(row.rev),
        "entries": number(row.entries),
        "attempt": number(row.attempt),
        "due_at": number(float(row.due_at)),
        "reconcile_at": number(float(row.reconcile_at)),
        **{name: value for name, (says, value) in optional.items() if says},
    }
    if row.failure is not None:
        values["failure"] = text(_json(asdict(row.failure)))
    if row.outcome is not None:
        values["outcome"] = text(_json(asdict(row.outcome)))
    return values


def read_row(item: Mapping[str, Any]) -> Row:
    """Read a handoff's row.

    Raises:
        Unreadable: it is corrupt; the exception has it as it is.

    """
    try:
        state = State(item["state"]["S"])
        row = Row(
            state=state,
            rev=_whole(item, "rev", least=1),
            entries=_whole(item, "entries"),
            due_at=_moment(item, "due_at"),
            reconcile_at=_moment(item, "reconcile_at"),
            reconciled=_whole(item, "reconciled", "0"),
            queued=bool(_get(item, "queued", "BOOL", default=False)),
            attempt=_whole(item, "attempt"),
            timeout_multiplier=_whole(item, "timeout_multiplier", "1", least=1),
            priority=Priority(item["priority"]["S"]) if "priority" in item else "",
            target=str(_get(item, "target", "S", "")),
            packages=tuple(_whole({"package": one}, "package") for one in _get(item, "packages", "L", [])),
            order=_order(item, "handoff_order"),
            failure=_failure(item["failure"]["S"]) if "failure" in item else None,
            outcome=_outcome(item["outcome"]["S"]) if state is State.DONE else None,
        )
    except _NONSENSE as error:
        raise Unreadable(path(item), item) from error
    return row


def _failure(written: str) -> Failure:
    document = json.loads(written)
    failure = Failure(**{**document, "cause": Cause(document["cause"]), "seconds": float(document["seconds"])})
    if not all(isinstance(getattr(failure, one.name), one.type) for one in fields(failure)):  # type: ignore[arg-type]
        raise TypeError
    return failure


def _outcome(written: str) -> Outcome:
    outcome = Outcome(**json.loads(written))
    _ = outcome.phase, outcome.document
    known = outcome.archive in _ARCHIVES and type(outcome.withdrawn) is bool and type(outcome.live_generation) is int
    if not known or (outcome.live_generation and not outcome.status["package"]["prefix"].startswith("packages/")):
        raise ValueError
    return outcome


def listed_values(handoff: Handoff, now: float) -> Values:
    """Give what the index of days reads of a row, newest first: see storage.listing."""
    arrived = handoff.event_time or timestamp(now)
    return {"arrival_day": text(arrived[:10]), "arrived": text(f"{arrived}#{handoff.file[:_LISTED_CHARACTERS]}")}


def last_of(write: Write) -> Value:
    """Give the facts about a write, and who put the handoff, as its row keeps them for the audit trail."""
    handoff, facts = write.handoff, write.last or {}
    who: dict[str, Any] = {"by": handoff.principal, "address": handoff.address}
    if not write.before.rev:
        who |= {"put": handoff.event_time or timestamp(write.at), "bytes": handoff.size}
    return last_value({"at": timestamp(write.at), **who, **facts})


def last_value(last: Last) -> Value:
    """Give facts for the audit trail as a row keeps them; empty ones say nothing."""
    return text(_json({name: value for name, value in last.items() if value not in (None, "", [])}))


def event_item(name: str, last: Last, entries: int = 1) -> Values:
    """Give a row that is there for the audit trail alone, under ``audit#<name>``; ``last`` has its time."""
    at = str(last["at"])
    return {
        "rev": number(entries),
        "entries": number(entries),
        "last": last_value(last),
        "arrival_day": text(f"audit#{at[:10]}"),  # a day of its own in the index, beside that of the intents
        "arrived": text(f"{at}#{name}"),
    }


# -- a target's row, and others


def target_values(target: Target) -> Values:
    """Write a target's row: all of its attributes, but for those that say nothing."""
    if not target.rev:
        return {}
    optional: dict[str, tuple[object, Value]] = {
        "lease_expires_at": (target.lease_expires_at, number(float(target.lease_expires_at))),
        "last_order": (target.last_order, text(target.last_order)),
        "last_file": (target.last_file, text(target.last_file)),
        "version": (target.version, text(target.version or "")),
        "replicas": (target.replicas is not None, number(target.replicas or 0)),
    }
    values: Values = {"rev": number(target.rev), "number": number(target.number)}
    return values | {name: value for name, (says, value) in optional.items() if says}


def read_target(item: Mapping[str, Any]) -> Target:
    """Read a target's row; without one, nothing is known of it. Raises Unreadable."""
    if not item:
        return Target()
    try:
        return Target(
            rev=_whole(item, "rev", least=1),
            lease_expires_at=_moment(item, "lease_expires_at", "0"),
            number=_whole(item, "number"),
            last_order=_order(item, "last_order"),
            last_file=str(_get(item, "last_file", "S", "")),
            version=_version(item["version"]["S"]) if "version" in item else None,
            replicas=_whole(item, "replicas") if "replicas" in item else None,
        )
    except _NONSENSE as error:
        raise Unreadable(path(item), item) from error


def _version(written: str) -> str:
    if not _VERSION.fullmatch(written):
        raise ValueError
    return written


def read_text(item: Mapping[str, Any], name: str) -> str:
    """Read a text attribute that a row must have. Raises Unreadable."""
    try:
        return str(item[name]["S"])
    except (KeyError, TypeError) as error:
        raise Unreadable(path(item), item) from error


def read_order(item: Mapping[str, Any], name: str) -> str:
    """Read an order that a row must have. Raises Unreadable."""
    if not _TIME.match(written := read_text(item, name)):
        raise Unreadable(path(item), item)
    return written


def path(item: Mapping[str, Any]) -> str:
    """Give a row's key as a path."""
    name = item["pk"]["S"].replace("#", "/", 1)
    return name if item["sk"]["S"] == "-" else f"{name}/{item['sk']['S']}"


def _whole(item: Mapping[str, Any], name: str, default: str | None = None, *, least: int = 0) -> int:
    """Read a whole number that can be true: what comes of others would fail again and again, or never."""
    found = int(item[name]["N"] if default is None else _get(item, name, "N", default))
    if not least <= found <= _MOST:
        raise ValueError
    return found


def _moment(item: Mapping[str, Any], name: str, default: str | None = None) -> float:
    found = float(item[name]["N"] if default is None else _get(item, name, "N", default))
    if not 0 <= found <= _LATEST_SECONDS:
        raise ValueError
    return found


def _order(item: Mapping[str, Any], name: str) -> str:
    """Read an order; one that begins with no time would stand behind all others, for ever."""
    found = str(_get(item, name, "S", ""))
    if found and not _TIME.match(found):
        raise ValueError
    return found


def _get(item: Mapping[str, Any], name: str, kind: str, default: Any) -> Any:  # noqa: ANN401 - an attribute as it is
    return item[name][kind] if name in item else default


def _json(document: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
