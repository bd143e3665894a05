"""The state table in DynamoDB: conditional writes that say who may act on a handoff."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from conductor_loop.aws.rows import (
    Key,
    Values,
    failure_text,
    intent_key,
    last_of,
    number,
    outcome_text,
    reserved_value,
    target_key,
    text,
)
from conductor_loop.aws.upkeep import CLEAN_UP, Upkeep
from conductor_loop.aws.writing import Writing
from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Beside, Claim, Last, Outcome, Pause, Refusal, Row, State
from conductor_loop.order import earliest, latest, order

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

_ABSENT = "attribute_not_exists(pk)"
_AS_SEEN = (
    "#state = :seen_state AND attempt = :seen_attempt AND rev = :seen_rev AND held_until <= :now AND "
    "(attribute_not_exists(reserved) OR reserved = :seen_reserved)"
)
_ORDER_AS_SEEN, _NO_ORDER = "handoff_order = :seen_order", "attribute_not_exists(handoff_order)"
# In each write that has an entry in the audit trail: AuditFunction knows it by the revision.
_REVISE = "rev = if_not_exists(rev, :before_first) + :one_more, #last = :last, "
_TARGET_FREE = "(attribute_not_exists(held_until) OR held_until <= :now)"
# No attempt at the target began since it was read, and none was applied: the package's number is no other one's.
_TARGET_AS_READ = (
    "(attribute_not_exists(reserved) OR reserved = :number) AND "
    "(attribute_not_exists(generation) OR generation = :generation)"
)
_NOTHING_NEWER = "(attribute_not_exists(last_order) OR last_order <= :latest)"
# What was seen as the newest version of its name stays that, unless this one is certainly not older.
_NO_NEWER_VERSION = "attribute_not_exists(last_order) OR last_order <= :earliest OR last_version = :mine"
_STILL_MINE = "#state = :processing AND #owner = :owner AND attempt = :attempt"
_TARGET_STILL_MINE = "lease_owner = :owner"
_FAILURE = "failure = :failure, "
_MINE_OR_NOBODYS = "attribute_not_exists(pk) OR #file = :file OR expires_at < :now"  # DynamoDB deletes up to days late
# What the index of days reads, newest first: see aws.listing.
_LISTED_CHARACTERS = 200  # of a name: an index takes keys of 1,024 bytes, as long as a name in S3 alone
_LISTED = "arrival_day = if_not_exists(arrival_day, :day), arrived = if_not_exists(arrived, :arrived)"
# That rows outlive objects: a message that comes back after all must find that it was answered.
EXPIRES_AFTER_SECONDS = 30 * 86_400
_TRIES = 4  # of a name whose newest version changes meanwhile


class StateTable(Upkeep):
    """Rows of handoffs, targets, names and correlation ids; ``rows`` has their keys."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        keep_seconds: float,
        jitter: Callable[[], float],
        audit_seconds: float = 0.0,
    ) -> None:
        super().__init__(client, table, audit_seconds)
        self._keep_seconds = keep_seconds
        self._writing = Writing(client, table, jitter)

    def register(
        self, handoff: Handoff, state: State, now: float, seen: Row | None = None, *, beside: Beside | None = None
    ) -> Refusal | None:
        """Note that the handoff waits: in a queue, or handed over again; ``None`` means noted.

        Conditional on the row being as ``seen``: absent, or held by nobody. Where its place among the versions
        of its name is known, it is noted as the newest that was seen, conditional on no newer one having been.
        """
        beside = beside or Beside()
        priority = beside.priority
        swept = "if_not_exists(sweeps, :none) + :one" if seen is not None else ":none"
        sent = ", queued_at = :now" if state is State.QUEUED else ""
        sent += ", priority = :priority" if priority else ""
        row = self._writing.update(
            intent_key(handoff),
            f"SET {_REVISE}#state = :state, attempt = if_not_exists(attempt, :none), held_until = :none, "
            f"since = :now, sweeps = {swept}{sent}, handoff_order = :order, expires_at = :expires, {_LISTED} "
            "REMOVE active",
            _unchanged(seen),
            {":state": text(state), ":none": number(0), ":order": text(order(handoff))}
            | self._kept(now)
            | _revised(handoff, beside.last)
            | _as_seen(seen, now)
            | _listed(handoff, now)
            | ({":one": number(1)} if seen is not None else {})
            | ({":priority": text(priority)} if priority else {}),
        )
        return self._writing.write(row, *([self._name(handoff, handoff.version_id, now)] if handoff.sequencer else []))

    def learn(self, handoff: Handoff) -> None:
        """Keep the exact order of a handoff that waits, where only its second was known; else nothing happens."""
        mine = order(handoff)
        second = earliest(order(replace(handoff, sequencer="")))
        self._writing.write(
            self._writing.update(
                intent_key(handoff),
                "SET handoff_order = :order",
                "handoff_order IN (:earliest, :latest)",
                {":order": text(mine), ":earliest": text(second), ":latest": text(latest(second))},
            )
        )

    def outrank(self, handoff: Handoff, older: Collection[str], now: float) -> None:
        """Note a handoff as the newest version of its name, also above one that is known to be ``older``.

        Nothing happens where another one is noted, of which that is not known.
        """
        over = handoff.version_id
        for _ in range(_TRIES):
            refusal = self._writing.write(self._name(handoff, handoff.version_id, now, over=over))
            above = refusal.newer_version if refusal else None
            if above is None or above not in older:
                return
            over = above

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        """Take the handoff and its target, all or nothing; ``None`` means taken.

        Conditional on the row being as ``seen`` (absent, or held by nobody), on nobody holding the target, which is as
        it was read, on no newer version of the name having been seen, on no newer intent having been applied to the
        target, and on no other file using the correlation id.
        """
        lease = {":owner": text(claim.owner), ":until": number(claim.lease_until)}
        updates = [
            self._writing.update(
                intent_key(claim.handoff),
                f"SET {_REVISE}#state = :processing, #owner = :owner, attempt = :attempt, "
                "held_until = :until, since = :now, target = :target, handoff_order = :order, expires_at = :expires, "
                f"#namespace = :namespace, priority = :priority, active = :yes, reserved = :reserved, {_LISTED}",
                _unchanged(seen),
                lease
                | _revised(claim.handoff, claim.last)
                | self._kept(now)
                | _as_seen(seen, now)
                | _attempt(claim)
                | _about(claim)
                | {":reserved": reserved_value(claim.reserved)}
                | _listed(claim.handoff, now),
            ),
            self._writing.update(
                target_key(claim.target),
                "SET lease_owner = :owner, held_until = :until, reserved = :next",
                f"{_TARGET_FREE} AND {_TARGET_AS_READ}{f' AND {_NOTHING_NEWER}' if claim.supersedes else ''}",
                lease
                | _at(now)
                | {":number": number(claim.number), ":next": number(claim.number + 1)}
                | {":generation": number(claim.generation)}
                | ({":latest": text(latest(order(claim.handoff)))} if claim.supersedes else {}),
            ),
            self._name(claim.handoff, claim.handoff.version_id, now),
        ]
        if claim.correlation_id is not None:
            updates.append(
                self._writing.update(
                    Key("correlation", claim.correlation_id),
                    "SET #file = :file, expires_at = :expires",
                    _MINE_OR_NOBODYS,
                    {":file": text(claim.handoff.file)} | _at(now) | self._expires(now),
                )
            )
        refusal = self._writing.write(*updates)
        return replace(refusal, superseding=claim.supersedes) if refusal else None

    def postpone(self, claim: Claim, pause: Pause, now: float) -> Refusal | None:
        """Give the claim back until the next attempt is due; ``None`` means given back. Fenced as ``decide``."""
        row = self._writing.update(
            intent_key(claim.handoff),
            f"SET {_REVISE}#state = :state, held_until = :until, patience = :patience, since = :now, "
            f"{_FAILURE if pause.failure else ''}attempt = :made, reserved = :reserved, expires_at = :expires "
            "REMOVE #owner, active",
            _STILL_MINE,
            {":owner": text(claim.owner)}
            | _attempt(claim)
            | {":reserved": reserved_value(claim.reserved if pause.next_number else claim.earlier)}
            | ({":failure": text(failure_text(pause.failure))} if pause.failure else {})
            | self._kept(now)
            | {":state": text(State.RETRYING), ":until": number(pause.until), ":patience": number(pause.patience)}
            | {":made": number(claim.attempt - (not pause.counts))}
            | _revised(claim.handoff, pause.last),
        )
        return self._writing.write(row, self._release(claim, None, pause.next_number or claim.number))

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        """Record the outcome and let go of the target, once and for all; ``None`` means recorded.

        Conditional on the claim being in force still: a worker that was thought dead changes nothing.
        """
        row = self._writing.update(
            intent_key(claim.handoff),
            f"SET {_REVISE}#state = :state, outcome = :outcome, since = :now, held_until = :free, "
            f"reserved = :reserved, expires_at = :expires{_ended(outcome)}",
            _STILL_MINE,
            {":owner": text(claim.owner)}
            | _attempt(claim)
            | self._outcome(outcome, now)
            | {":reserved": reserved_value(claim.earlier)}
            | _revised(claim.handoff, outcome.last),
        )
        return self._writing.write(row, self._release(claim, applied, claim.number + (applied is not None)))

    def decide_unclaimed(
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None, *, newest: str = ""
    ) -> Refusal | None:
        """Record the outcome of a handoff that gets to porch no more; ``None`` means recorded.

        Conditional on the row being as ``seen``: absent, or held by nobody. ``newest`` is noted as the newest version
        of its name that was seen, itself or one that is newer; conditional on none that is newer than it having been.
        """
        row = self._writing.update(
            intent_key(handoff),
            f"SET {_REVISE}#state = :state, outcome = :outcome, since = :now, "
            "held_until = :free, expires_at = :expires, handoff_order = :order, "
            f"attempt = if_not_exists(attempt, :none), {_LISTED}{_ended(outcome)}",
            _unchanged(seen),
            self._outcome(outcome, now)
            | _as_seen(seen, now)
            | _listed(handoff, now)
            | _revised(handoff, outcome.last)
            | {":none": number(0), ":order": text(order(handoff))},
        )
        return self._writing.write(row, *([self._name(handoff, newest, now)] if newest else []))

    def _name(self, handoff: Handoff, newest: str, now: float, *, over: str = "") -> "UpdateTypeDef":
        """Note which version of a name was seen to be the newest, unless one that is newer than the handoff was.

        The version ``over`` is known not to be, whatever its order; by default, the handoff itself.
        """
        mine = order(handoff)
        return self._writing.update(
            Key("name", handoff.key),
            "SET last_order = :order, last_version = :version, expires_at = :expires",
            _NO_NEWER_VERSION,
            {":order": text(latest(mine)), ":earliest": text(earliest(mine)), ":version": text(newest)}
            | {":mine": text(over or handoff.version_id)}
            | self._expires(now),
        )

    def _release(self, claim: Claim, applied: Applied | None, following: int) -> "UpdateTypeDef":
        """Let go of the target, whose next attempt reserves the number ``following``."""
        values = {":owner": text(claim.owner), ":following": number(following)}
        update = "SET reserved = :following REMOVE lease_owner, held_until"
        if applied is not None:
            update = (
                "SET last_order = :order, last_file = :file, replicas = :replicas, version = :version, "
                f"generation = :generation, {update.removeprefix('SET ')}"
            )
            values |= {
                ":order": text(applied.order),
                ":file": text(claim.handoff.file),
                ":replicas": number(applied.replicas),
                ":generation": number(applied.generation),
                ":version": text(applied.version) if applied.version else {"NULL": True},
            }
        return self._writing.update(target_key(claim.target), update, _TARGET_STILL_MINE, values)

    def _outcome(self, outcome: Outcome, now: float) -> Values:
        given = {":state": text(outcome.state), ":outcome": text(outcome_text(outcome))}
        given |= {":free": number(outcome.clean_up_at or 0)} | ({":clean_up": CLEAN_UP} if outcome.clean_up_at else {})
        return given | self._kept(now)

    def _kept(self, now: float) -> Values:
        """Say until when a handoff's row is kept: as long as the log that tells of it. Each write puts that off."""
        expires = now + max(self._keep_seconds + EXPIRES_AFTER_SECONDS, self._audit_seconds)
        return _at(now) | {":expires": number(int(expires))}

    def _expires(self, now: float) -> Values:
        return {":expires": number(int(now + self._keep_seconds + EXPIRES_AFTER_SECONDS))}


def _unchanged(seen: Row | None) -> str:
    """Give the condition that a row is as it was seen, and held by nobody."""
    if seen is None:
        return _ABSENT
    return f"{_AS_SEEN} AND {_ORDER_AS_SEEN if seen.order else _NO_ORDER}"


def _ended(outcome: Outcome) -> str:
    """Give the clauses that let go of a row: no worker is at it any more, though the sweeper may have to clean up."""
    return ", active = :clean_up REMOVE #owner, failure" if outcome.clean_up_at else " REMOVE #owner, failure, active"


def _as_seen(seen: Row | None, now: float) -> Values:
    if seen is None:
        return {}
    as_seen = {":seen_state": text(seen.state), ":seen_attempt": number(seen.attempt), ":seen_rev": number(seen.rev)}
    as_seen |= {":seen_reserved": reserved_value(seen.reserved)}
    return _at(now) | as_seen | ({":seen_order": text(seen.order)} if seen.order else {})


def _revised(handoff: Handoff, last: Last) -> Values:
    return {":last": last_of(handoff, last), ":before_first": number(0), ":one_more": number(1)}


def _at(now: float) -> Values:
    return {":now": number(now)}


def _about(claim: Claim) -> Values:
    namespace = claim.target.partition("/")[0]
    return {
        ":target": text(claim.target),
        ":namespace": text(namespace),
        ":priority": text(claim.priority),
        ":yes": text("yes"),
        ":order": text(order(claim.handoff)),
    }


def _listed(handoff: Handoff, now: float) -> Values:
    arrived = handoff.event_time or datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return _at(now) | {":day": text(arrived[:10]), ":arrived": text(f"{arrived}#{handoff.file[:_LISTED_CHARACTERS]}")}


def _attempt(claim: Claim) -> Values:
    return {":processing": text(State.PROCESSING), ":attempt": number(claim.attempt)}
