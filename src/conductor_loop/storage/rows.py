"""What the rows of the state table look like: our nouns ⇄ DynamoDB's attribute values."""

import json
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

from conductor_loop.audit.entries import NONSENSE, path, plain, timestamp
from conductor_loop.errors import Cause, Unreadable
from conductor_loop.intent import Handoff, Priority
from conductor_loop.intents.model import Failure, Outcome, Row, State, Target, Write

type Value = Mapping[str, Any]
type Values = dict[str, Value]
type Parser = Callable[[Any], Any]
"""Makes a field of an attribute's value, or raises."""

CLEAN_UP = "yes"  # in the index of rows to clean up after: decided, and due at ``due_at``
_LATEST_SECONDS = 1e11  # epoch: a time that is later is none of ours
_MOST = 10**15  # of a number that counts, or is a time in milliseconds
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


def key_of(item: Mapping[str, Any]) -> Key:
    """Give the key of a row."""
    kind, _, name = item["pk"]["S"].partition("#")
    return Key(kind, name, item["sk"]["S"])


def text(value: str) -> Value:
    """Make a string attribute."""
    return {"S": value}


def number(value: float) -> Value:
    """Make a number attribute; times keep milliseconds."""
    return {"N": f"{value:.3f}" if isinstance(value, float) else str(value)}


def expires(at: float) -> Values:
    """Make the attribute that says when DynamoDB deletes the row (epoch seconds)."""
    return {"expires_at": number(int(at))}


# -- our nouns → attributes


def attributes(record: Row | Target) -> Values:
    """Write a row: all of its fields, but for those that say nothing. Without a revision, it has none."""
    if not record.rev:
        return {}
    given = ((one, getattr(record, one.name)) for one in fields(record))
    written = {one.name: _attribute(value) for one, value in given if one.name in _ALWAYS or value != one.default}
    if isinstance(record, Row):
        written["phase"] = text(record.phase)
        written |= {"namespace": text(record.target.partition("/")[0])} if record.target else {}
        written |= {"clean_up": text(CLEAN_UP)} if record.state is State.DONE and record.due_at else {}
    return written


def _attribute(value: Any) -> Value:  # noqa: ANN401 - of a field of any type
    match value:
        case bool():
            return {"BOOL": value}
        case int() | float():
            return number(value)
        case tuple():
            return {"L": [number(one) for one in value]}
        case Failure() | Outcome():
            return text(_json(asdict(value)))
    return text(value)


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


def last_value(last: Mapping[str, Any]) -> Value:
    """Give facts for the audit trail as a row keeps them; empty ones say nothing."""
    return text(_json({name: value for name, value in last.items() if value not in (None, "", [])}))


def event_item(name: str, last: Mapping[str, Any]) -> Values:
    """Give a row that is there for the audit trail alone, under ``audit#<name>``; ``last`` has its time."""
    at = str(last["at"])
    return {
        "entries": number(1),
        "last": last_value(last),
        "arrival_day": text(f"audit#{at[:10]}"),  # a day of its own in the index, beside that of the intents
        "arrived": text(f"{at}#{name[:_LISTED_CHARACTERS]}"),
    }


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


# -- attributes → our nouns


def read_row(item: Mapping[str, Any]) -> Row:
    """Read a handoff's row; an empty one where there is none. Raises Unreadable, which has it as it is."""
    row = Row(**_read(item, _ROW, _ALWAYS - {"number"})) if item else Row()
    if (row.outcome is None) is (row.state is State.DONE):
        raise Unreadable(path(item), item)
    return row


def read_target(item: Mapping[str, Any]) -> Target:
    """Read a target's row; without one, nothing is known of it. Raises Unreadable."""
    return Target(**_read(item, _TARGET, {"rev", "number"})) if item else Target()


def read_text(item: Mapping[str, Any], name: str) -> str:
    """Read a text attribute that a row must have. Raises Unreadable."""
    return str(_read(item, {name: _order if name == "last_order" else _text}, {name})[name])


def anew(item: Mapping[str, Any], now: float) -> Row:
    """Make the next row of a corrupt one, with what makes sense of it: one that is decided, or one that waits.

    A number that it does not say is the time in milliseconds. No revision is 1, which a message expects of the row that
    its admission has left.
    """
    kept: dict[str, Any] = dict.fromkeys(("rev", "entries"), int(now * 1000))
    for name in ("rev", "entries", "order", "due_at", "target", "packages", "outcome"):
        with suppress(*NONSENSE):
            kept[name] = _ROW[name](plain(item[name]))
    kept |= {name: max(kept[name] + 1, 2) for name in ("rev", "entries")}
    return Row(State.DONE, **kept) if "outcome" in kept else Row(**kept | {"due_at": 0.0})


def _read(item: Mapping[str, Any], parsers: Mapping[str, Parser], required: AbstractSet[str]) -> dict[str, Any]:
    """Parse the attributes of a row that have a parser."""
    try:
        if not required <= item.keys():
            raise KeyError
        return {name: parse(plain(item[name])) for name, parse in parsers.items() if name in item}
    except NONSENSE as error:
        raise Unreadable(path(item), item) from error


def _count(value: Any, least: int = 0) -> int:  # noqa: ANN401 - whatever an attribute holds
    """Parse a whole number that can be true: what comes of others would fail again and again, or never."""
    if type(value) is not int or not least <= value <= _MOST:
        raise ValueError
    return value


def _moment(value: Any) -> float:  # noqa: ANN401 - likewise
    if not 0 <= value <= _LATEST_SECONDS:
        raise ValueError
    return float(value)


def _matching(pattern: re.Pattern[str], value: Any) -> str:  # noqa: ANN401 - likewise
    if not pattern.match(value):
        raise ValueError
    return str(value)


def _failure(written: str) -> Failure:
    given = json.loads(written)
    error, delivered = _details(given["error"]), _details(given["delivered"])
    return Failure(_count(given["attempt"]), Cause(given["cause"]), _text(given["text"]), error, delivered)


def _details(document: Mapping[str, Any]) -> dict[str, Any]:
    """Parse fields of a status; leave out what a later release has added, of a stack that is rolled back."""
    return {name: _DETAILS[name](value) for name, value in document.items() if name in _DETAILS}


def _outcome(written: str) -> Outcome:
    document = json.loads(written)  # likewise
    outcome = Outcome(**{one.name: document[one.name] for one in fields(Outcome) if one.name in document})
    _ = outcome.phase, outcome.document
    known = outcome.archive in _ARCHIVES and type(outcome.withdrawn) is bool and type(outcome.live_generation) is int
    if not known or (outcome.live_generation and not outcome.status["package"]["prefix"].startswith("packages/")):
        raise ValueError
    return outcome


_ARCHIVES = {"processed", "failed"}
_positive = partial(_count, least=1)
_text = partial(_matching, re.compile(r"[^\ud800-\udfff]*\Z"))  # any text that can be written, and nothing else
# An order that does not begin with a time would stand behind all others, for ever.
_order = partial(_matching, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"))
_ALWAYS = {"state", "rev", "entries", "attempt", "due_at", "reconcile_at", "number"}  # written, whatever they say
_ROW: Mapping[str, Parser] = {
    "state": State,
    "rev": _positive,
    "entries": _count,
    "due_at": _moment,
    "reconcile_at": _moment,
    "queued": bool,
    "attempt": _count,
    "timeout_multiplier": _positive,
    "priority": Priority,
    "target": _text,
    "packages": lambda ones: tuple(map(_count, ones)),
    "order": _order,
    "failure": _failure,
    "outcome": _outcome,
}
_DETAILS: Mapping[str, Parser] = {  # of a failure
    **dict.fromkeys(("error_message", "porch_stdout", "porch_stderr", "delivery"), _text),
    **dict.fromkeys(("previous_replicas", "observed_replicas"), _count),
    "porch_exit_code": int,
    "package_revision": lambda one: {name: _text(one[name]) for name in ("namespace", "name", "lifecycle")},
}
_TARGET: Mapping[str, Parser] = {
    "rev": _positive,
    "lease_expires_at": _moment,
    "number": _count,
    "last_order": _order,
    "last_file": _text,
    "version": partial(_matching, re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+\Z")),
    "replicas": _count,
}
