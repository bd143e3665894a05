"""The state table in DynamoDB: conditional writes that say who may act on a handoff."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from conductor_loop.intent import Handoff
from conductor_loop.lifecycle import Applied, Claim, Outcome, Refusal, Row, State, Target, order

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import UpdateTypeDef

type Value = Mapping[str, Any]
type Values = dict[str, Value]

_ABSENT = "attribute_not_exists(pk)"
_AS_SEEN = "#state = :seen_state AND attempt = :seen_attempt AND lease_until <= :now"
_TARGET_FREE = "(attribute_not_exists(lease_until) OR lease_until <= :now)"
_NOTHING_NEWER_APPLIED = "(attribute_not_exists(last_order) OR last_order <= :order)"
_STILL_MINE = "#state = :processing AND #owner = :owner AND attempt = :attempt"
_TARGET_STILL_MINE = "lease_owner = :owner"
_RESERVED = {"#state": "state", "#owner": "owner"}  # words that DynamoDB's expressions keep for themselves


class StateTable:
    """Rows of handoffs (``intent#<file>``, version id) and of targets (``target#<namespace>/<name>``, ``-``)."""

    def __init__(self, client: "DynamoDBClient", table: str, keep_seconds: float) -> None:
        self._client = client
        self._table = table
        self._keep_seconds = keep_seconds

    def claim(self, claim: Claim, now: float, seen: Row | None = None) -> Refusal | None:
        """Take the handoff and its target, both or neither; ``None`` means taken.

        Conditional on the row being as ``seen`` (absent, or with a lease that has run out), on nobody holding the
        target, and on no newer intent having been applied to it.
        """
        lease: Values = {":owner": {"S": claim.owner}, ":until": _number(claim.lease_until)}
        put_in_order: Values = {":order": {"S": order(claim.handoff)}}
        row = self._update(
            _intent_key(claim.handoff),
            "SET #state = :processing, #owner = :owner, attempt = :attempt, lease_until = :until, "
            "target = :target, handoff_order = :order",
            _ABSENT if seen is None else _AS_SEEN,
            lease | put_in_order | _as_seen(seen, now) | _attempt(claim) | {":target": {"S": claim.target}},
        )
        target = self._update(
            _target_key(claim.target),
            "SET lease_owner = :owner, lease_until = :until",
            f"{_TARGET_FREE} AND {_NOTHING_NEWER_APPLIED}",
            lease | put_in_order | {":now": _number(now)},
        )
        return self._write_all([row, target])

    def decide(self, claim: Claim, outcome: Outcome, applied: Applied | None, now: float) -> Refusal | None:
        """Record the outcome and let go of the target, once and for all; ``None`` means recorded.

        Conditional on the claim being in force still: a worker that was thought dead changes nothing.
        """
        owner: Values = {":owner": {"S": claim.owner}}
        row = self._update(
            _intent_key(claim.handoff),
            "SET #state = :state, outcome = :outcome, decided_at = :now, expires_at = :expires "
            "REMOVE #owner, lease_until",
            _STILL_MINE,
            owner | _attempt(claim) | self._outcome(outcome, now),
        )
        release = "REMOVE lease_owner, lease_until"
        if applied is not None:
            release = f"SET last_order = :order, last_file = :file, replicas = :replicas, version = :version {release}"
        values = owner | (_applied(claim, applied) if applied is not None else {})
        return self._write_all([row, self._update(_target_key(claim.target), release, _TARGET_STILL_MINE, values)])

    def decide_unclaimed(
        self, handoff: Handoff, outcome: Outcome, now: float, seen: Row | None = None
    ) -> Refusal | None:
        """Record the outcome of a handoff that never gets to porch: rejected or superseded; ``None`` means recorded.

        Conditional on the row being as ``seen``: absent, or with a lease that has run out.
        """
        update = self._update(
            _intent_key(handoff),
            "SET #state = :state, outcome = :outcome, decided_at = :now, expires_at = :expires REMOVE lease_until",
            _ABSENT if seen is None else _AS_SEEN,
            self._outcome(outcome, now) | _as_seen(seen, now),
        )
        try:
            self._client.update_item(**update)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return _refusal([error.response.get("Item")])
        return None

    def mark_settled(self, handoff: Handoff, now: float) -> None:
        """Note that every effect of the outcome has been applied."""
        self._client.update_item(
            TableName=self._table,
            Key=_intent_key(handoff),
            UpdateExpression="SET settled_at = :now",
            ConditionExpression="attribute_exists(outcome)",
            ExpressionAttributeValues={":now": _number(now)},
        )

    def find(self, handoff: Handoff) -> Row | None:
        """Read the handoff's row."""
        item = self._get(_intent_key(handoff))
        return _row(item) if item else None

    def target(self, name: str) -> Target:
        """Read what is known of the target ``namespace/name``."""
        return _target(self._get(_target_key(name)))

    def _get(self, key: Values) -> Values:
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return dict(answer.get("Item", {}))

    def _outcome(self, outcome: Outcome, now: float) -> Values:
        document = {"status": outcome.status, "archive": outcome.archive}
        return {
            ":state": {"S": outcome.state},
            ":outcome": {"S": json.dumps(document, separators=(",", ":"))},
            ":now": _number(now),
            ":expires": {"N": str(int(now + self._keep_seconds))},
        }

    def _update(self, key: Values, expression: str, condition: str, values: Values) -> "UpdateTypeDef":
        names = {name: word for name, word in _RESERVED.items() if name in expression + condition}
        update: UpdateTypeDef = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if names:  # DynamoDB refuses an empty map
            update["ExpressionAttributeNames"] = names
        return update

    def _write_all(self, updates: Sequence["UpdateTypeDef"]) -> Refusal | None:
        try:
            self._client.transact_write_items(TransactItems=[{"Update": update} for update in updates])
        except self._client.exceptions.TransactionCanceledException as error:
            reasons = error.response.get("CancellationReasons", [])
            if not any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                raise  # throttled, or in conflict with another transaction beyond the SDK's retries
            return _refusal([reason.get("Item") for reason in reasons])
        return None


def _refusal(items: Sequence[Any]) -> Refusal:
    found = {item["pk"]["S"].partition("#")[0]: item for item in items if item}
    return Refusal(
        row=_row(found["intent"]) if "intent" in found else None,
        target=_target(found["target"]) if "target" in found else None,
    )


def _as_seen(seen: Row | None, now: float) -> Values:
    if seen is None:
        return {}
    return {":now": _number(now), ":seen_state": {"S": seen.state}, ":seen_attempt": _number(seen.attempt)}


def _attempt(claim: Claim) -> Values:
    return {":processing": {"S": State.PROCESSING}, ":attempt": _number(claim.attempt)}


def _applied(claim: Claim, applied: Applied) -> Values:
    return {
        ":order": {"S": order(claim.handoff)},
        ":file": {"S": claim.handoff.file},
        ":replicas": _number(applied.replicas),
        ":version": {"S": applied.version} if applied.version else {"NULL": True},
    }


def _intent_key(handoff: Handoff) -> Values:
    return {"pk": {"S": f"intent#{handoff.key}"}, "sk": {"S": handoff.version_id}}


def _target_key(name: str) -> Values:
    return {"pk": {"S": f"target#{name}"}, "sk": {"S": "-"}}


def _number(value: float) -> Value:
    return {"N": f"{value:.3f}" if isinstance(value, float) else str(value)}


def _row(item: Values) -> Row:
    state = State(item["state"]["S"])
    return Row(
        state=state,
        attempt=int(item.get("attempt", {"N": "0"})["N"]),
        owner=item.get("owner", {"S": ""})["S"],
        lease_until=float(item.get("lease_until", {"N": "0"})["N"]),
        outcome=_read_outcome(state, item["outcome"]["S"]) if "outcome" in item else None,
        settled="settled_at" in item,
    )


def _read_outcome(state: State, text: str) -> Outcome:
    document = json.loads(text)
    return Outcome(state, document["status"], document["archive"])


def _target(item: Values) -> Target:
    return Target(
        lease_owner=item.get("lease_owner", {"S": ""})["S"],
        lease_until=float(item.get("lease_until", {"N": "0"})["N"]),
        last_order=item.get("last_order", {"S": ""})["S"],
        last_file=item.get("last_file", {"S": ""})["S"],
        version=item.get("version", {}).get("S"),
        replicas=int(item["replicas"]["N"]) if "replicas" in item else None,
    )
