"""Sets the replicas of a Deployment by its scale, and waits for the cluster's result.

``scale`` works for every Deployment, where most refuse a partial apply. A scale beyond a quota is accepted: some time
later, the Deployment's condition ReplicaFailure has the reason that keeps the pods out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from porch.cluster.client import Client, Refusal
from porch.cluster.deadline import Deadline
from porch.cluster.deployment import FIELD_MANAGER, Deployment, find, missing, path_of
from porch.cluster.documents import Fields
from porch.delivery import SCALE
from porch.errors import NOT_FOUND, QUOTA, REFUSED, TIMED_OUT, UNREACHABLE, PorchError
from porch.intent import Intent
from porch.report import DeliveryError, Outcome

_CONFLICT, _TOO_MANY = 409, 429
_CONFLICT_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before the next try
_POLL_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.0)  # the last one again and again
_LAST_SECONDS = 0.5  # before the deadline, to report what was seen
# Admission's words: plugin/pkg/admission/resourcequota, .../limitranger, .../namespace/lifecycle. A quota whose status
# is unknown is so new that nothing has been counted yet.
_NO_ROOM = (
    *("exceeded quota:", "failed quota:", "insufficient quota to ", "status unknown for quota:"),
    *(" usage per ", " ratio per "),
)
_DYING = "because it is being terminated"
# Of the API server and of those that it asks. Many pods at once may meet each other at the same quota.
_BUSY = (
    *("Internal error occurred:", "failed calling webhook", "Operation cannot be fulfilled on resourcequotas"),
    *("Timeout: ", "timed out", "context deadline exceeded", "connection refused", "etcdserver:"),
    *("the server is currently unable to handle the request", "Too many requests"),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long to wait, and for what."""

    deadline: Deadline
    observe_seconds: float = 10
    ready: bool = False  # wait for available pods, until the deadline
    pause: Callable[[float], None] = time.sleep


def scale(client: Client, intent: Intent, before: Deployment, terms: Terms) -> Outcome:
    """Set the replicas, unless they are as wanted, and return how many pods there are then.

    Raises ``PorchError``: 2 gone or going, 3 no permission, 4 others change it, 124 past the deadline; `DeliveryError`:
    4 no answer to the patch or afterwards, 5 and 76 the cluster makes no such pods, 124 they do not become available.
    """
    _set(client, intent, before, terms)
    try:
        return _watch(client, intent, before, terms)
    except DeliveryError:
        raise
    except PorchError as error:
        message = f"{intent.replicas} replicas are set, and the cluster's result is unknown: {error}"
        raise DeliveryError(error.exit_code, message, Outcome(SCALE)) from None


def would_scale(client: Client, intent: Intent, before: Deployment) -> tuple[str, ...]:
    """Ask the cluster whether it takes the replicas, by a dry run, and return notes.

    Raises ``PorchError``: 2 gone or going, 3 no permission, 76 admission refuses them.
    """
    if before.replicas != intent.replicas:
        try:
            _merge(client, intent, {"spec": {"replicas": intent.replicas}}, dryRun="All")
        except Refusal as refusal:
            raise missing(intent, refusal) from None
    if before.replicas >= intent.replicas:
        return ()
    return ("a dry run makes no pods: whether quotas and limits leave room for them, only the real one tells",)


def _set(client: Client, intent: Intent, before: Deployment, terms: Terms) -> None:
    seen, name = before, f"Deployment {intent.namespace}/{intent.target}"
    for seconds in _CONFLICT_PAUSES:
        if seen.replicas == intent.replicas or _patched(client, intent, seen, terms.deadline):
            return
        terms.pause(seconds)
        seen = find(client, intent)
        if seen.generation != before.generation:  # not a status alone
            raise PorchError(UNREACHABLE, f"{name} was changed by others meanwhile: try again later")
    raise PorchError(UNREACHABLE, f"the status of {name} keeps changing: try again later")


def _patched(client: Client, intent: Intent, seen: Deployment, deadline: Deadline) -> bool:
    """Set the replicas of what was seen; False where it has changed since."""
    change = {"metadata": {"resourceVersion": seen.version}, "spec": {"replicas": intent.replicas}}
    deadline.check()  # last thing before: a worker that was frozen must not undo a newer intent when it thaws
    try:
        _merge(client, intent, change)
    except PorchError as error:
        if isinstance(error, Refusal):
            if error.status == _CONFLICT:
                return False
            if error.exit_code != UNREACHABLE or error.status == _TOO_MANY:
                raise missing(intent, error) from None
        # It may have arrived: the next attempt finds out.
        message = f"whether {intent.replicas} replicas are set is unknown: {error}"
        raise DeliveryError(error.exit_code, message, Outcome(SCALE)) from None
    return True


def _merge(client: Client, intent: Intent, change: Fields, **query: str) -> None:
    client.merge(f"{path_of(intent)}/scale", change, fieldManager=FIELD_MANAGER, **query)


def _watch(client: Client, intent: Intent, before: Deployment, terms: Terms) -> Outcome:
    """Poll the Deployment until the cluster's result is known."""
    left = terms.deadline.seconds_left - _LAST_SECONDS
    observe = min(terms.observe_seconds, left)
    until = left if terms.ready else observe
    began, waited, polls = terms.deadline.clock(), 0.0, iter(_POLL_SECONDS)
    while True:
        seen = find(client, intent)
        if done := _done(seen, intent.replicas, terms):
            return done
        # A failure from before may be of the replicas before. One that ends the intent is to be sure: in a new
        # namespace, pods are refused until there is a service account. Quotas and the like are tried again anyway.
        may_pass = waited < observe and (before.failure or _meaning(seen.failure)[0] in {NOT_FOUND, REFUSED})
        if seen.is_observed and seen.failure and not may_pass:
            code, advice = _meaning(seen.failure)
            there = f"{seen.pods} of {intent.replicas} pods are there, and the cluster goes on trying"
            message = f"{there}: {client.transport.shown(seen.failure)}: {advice}"
            raise DeliveryError(code, message, Outcome(SCALE, seen.pods))
        if waited >= until:
            return _unknown(seen, intent.replicas, terms, f"after {max(observe, 0):.3g} s")
        terms.pause(min(next(polls, _POLL_SECONDS[-1]), max(until - waited, 0.01)))
        waited = terms.deadline.clock() - began


def _done(seen: Deployment, wanted: int, terms: Terms) -> Outcome | None:
    if seen.replicas != wanted:
        return Outcome(
            SCALE, seen.observed_pods, f"{wanted} replicas were set, and others have set {seen.replicas} since"
        )
    is_ready = not terms.ready or seen.available == wanted
    return Outcome(SCALE, seen.pods) if seen.is_observed and seen.pods == wanted and is_ready else None


def _unknown(seen: Deployment, wanted: int, terms: Terms, after: str) -> Outcome:
    if terms.ready:
        message = f"{seen.available} of {wanted} pods are available so far: give the intent more time"
        raise DeliveryError(TIMED_OUT, message, Outcome(SCALE, seen.observed_pods))
    if not seen.is_observed:
        return Outcome(SCALE, None, f"no controller has looked at the Deployment {after}")
    there = f"{seen.pods} of {wanted} pods are" if seen.pods < wanted else f"{seen.pods} pods, not {wanted}, are still"
    return Outcome(SCALE, seen.pods, f"{there} there {after}, and the cluster gives no reason")


def _meaning(words: str) -> tuple[int, str]:
    if _DYING in words:
        return NOT_FOUND, "send the intent again once there is a new namespace"
    if any(each in words for each in _NO_ROOM):
        return QUOTA, "raise the quota or limit, or ask for fewer replicas"
    if any(each in words for each in _BUSY):
        return UNREACHABLE, "try again later"
    return REFUSED, "correct the Deployment's pods, or what refuses them"
