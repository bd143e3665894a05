"""What the entries about a handoff say. No secrets: names, codes, rules and places, never what porch printed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from conductor_loop.audit.chain import Entry, Head, link
from conductor_loop.intent import Handoff, Intent
from conductor_loop.lifecycle import Outcome, State

_MOST_RULES = 20  # of a rejection that are named


def waits(handoff: Handoff, head: Head, now: float, state: State, **details: object) -> Entry:
    """Note that a handoff waits: by which priority, and why not by the one it asked for."""
    return _entry(handoff, head, now, state, details)


def claimed(handoff: Handoff, head: Head, now: float, intent: Intent, **details: object) -> Entry:
    """Note that an attempt begins: what it is to do."""
    wanted = {"namespace": intent.namespace, "target": intent.target, "replicas": intent.replicas}
    return _entry(handoff, head, now, State.PROCESSING, wanted | {"correlation_id": intent.correlation_id} | details)


def priority(asked: str, given: str, note: str) -> dict[str, object]:
    """Say by which priority an intent goes; where it asked for another one, which, and the rule that refused that."""
    return {"priority": given, "asked_for": asked if asked != given else None, "rule": note.strip(" ()")}


def given_back(handoff: Handoff, head: Head, now: float, attempt: int) -> Entry:
    """Note that an attempt was cut short by no fault of the intent."""
    return _entry(handoff, head, now, State.RETRYING, {"attempt": attempt, "because": "the attempt was given back"})


def told(handoff: Handoff, head: Head, now: float, outcome: Outcome) -> tuple[Entry, Outcome]:
    """Note what an attempt came to; the outcome with the chain's head in its status, and the entry that it is."""
    status = outcome.status
    again = "next_retry" in status
    details = {
        "attempt": status["attempt"] or None,
        "next_retry": status.get("next_retry"),
        "because": status["message"] if outcome.state is State.SKIPPED else None,
        "moved_to": None if again else outcome.archive,
        "package": status.get("package", {}).get("prefix"),
        "config_version": status.get("config_version"),
        **_errors(status.get("error_details", {})),
    }
    entry = _entry(handoff, head, now, State.RETRYING if again else outcome.state, details)
    seal = {"chain": entry.document["chain"], "entries": entry.head.seq, "sha256": entry.head.digest}
    return entry, replace(outcome, status={**status, "audit": seal}, entry=None if again else entry)


def mended(handoff: Handoff, head: Head, now: float, aside: str) -> Entry:
    """Note that the handoff's row made no sense (E009), and was made anew."""
    return _entry(handoff, head, now, State.ADMITTED, {"because": "E009: its row made no sense", "set_aside": aside})


def timestamp(now: float) -> str:
    """Write a time (epoch seconds) to the millisecond: ISO 8601 in UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def given(fields: Mapping[str, object]) -> dict[str, object]:
    """Leave out what says nothing."""
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _entry(handoff: Handoff, head: Head, now: float, state: State, details: dict[str, object]) -> Entry:
    who = {"by": handoff.principal, "address": handoff.address}
    first: dict[str, Any] = {} if head.seq else {"put": handoff.event_time, "bytes": handoff.size}
    fields = {"at": timestamp(now), "event": state.value, **given(who | first | details)}
    return link(f"intent/{handoff.key}/{handoff.version_id}", head, fields)


def _errors(details: Mapping[str, Any]) -> dict[str, object]:
    rules = dict.fromkeys(one["rule"] for one in details.get("validation_errors", []))
    return {"code": details.get("code"), "error_code": details.get("error_code"), "rules": [*rules][:_MOST_RULES]}
