"""What the rows of the state table look like: our nouns ⇄ DynamoDB's attribute values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conductor_loop.errors import Unreadable
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Outcome, Refusal, Row, State, Target

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
    document = {"status": outcome.status, "archive": outcome.archive, "retract": outcome.retract}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def read_row(item: Mapping[str, Any]) -> Row:
    """Read a handoff's row.

    Raises:
        Unreadable: it makes no sense; the exception has it as it is.

    """
    try:
        state = State(item["state"]["S"])
        outcome = _outcome(state, item["outcome"]["S"]) if state.decided else None
        return Row(
            state=state,
            attempt=int(item["attempt"]["N"]),
            owner=_text(item, "owner") or "",
            held_until=float(item["held_until"]["N"]),
            patience=int(item.get("patience", {"N": "1"})["N"]),
            outcome=outcome,
            since=float(item["since"]["N"]),
            sweeps=int(item.get("sweeps", {"N": "0"})["N"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Unreadable(json.dumps(item, default=str)) from error


def read_target(item: Mapping[str, Any]) -> Target:
    """Read a target's row; an absent one is a target nothing is known of."""
    return Target(
        lease_owner=_text(item, "lease_owner") or "",
        held_until=float(item.get("held_until", {"N": "0"})["N"]),
        last_order=_text(item, "last_order") or "",
        last_file=_text(item, "last_file") or "",
        version=_text(item, "version"),
        replicas=int(item["replicas"]["N"]) if "replicas" in item else None,
        unclean=item.get("unclean_before", {}).get("BOOL", False),
    )


def read_refusal(items: Sequence[Any]) -> Refusal:
    """Read the rows whose conditions failed."""
    found = {item["pk"]["S"].partition("#")[0]: item for item in items if item}
    return Refusal(
        row=read_row(found["intent"]) if "intent" in found else None,
        target=read_target(found["target"]) if "target" in found else None,
        newer_version=_text(found.get("name", {}), "last_version"),
        correlated_file=_text(found.get("correlation", {}), "file"),
    )


def _outcome(state: State, written: str) -> Outcome:
    document = json.loads(written)
    return Outcome(state, document["status"], document["archive"], document.get("retract", ""))


def _text(item: Mapping[str, Value], name: str) -> str | None:
    value: str | None = item.get(name, {}).get("S")
    return value
