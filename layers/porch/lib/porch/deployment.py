"""The Deployment that an intent names: looked at, scaled, and watched until the cluster's result is known.

``scale`` works for every Deployment, where most refuse a partial apply. A scale beyond a quota is accepted: some time
later, the Deployment's condition ReplicaFailure has the reason that keeps the pods out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from porch.client import Client, Deadline, StatusError
from porch.documents import Fields, at, mapping, sequence, text, whole
from porch.errors import NOT_FOUND, QUOTA, REFUSED, TIMED_OUT, UNREACHABLE, PorchError
from porch.intent import Intent
from porch.report import SCALE, DeliveryError, Outcome

FIELD_MANAGER = "conductor-loop"
_ABSENT_OR_HIDDEN = {403, 404}
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
class Deployment:
    """One read of it."""

    version: str  # changes with every write, of the status as well; that of its scale is the same
    generation: int  # changes with what is wanted
    replicas: int  # wanted
    pods: int
    observed_pods: int | None  # None: the status is of another generation
    available: int  # pods that are ready, and of the newest template
    is_observed: bool  # by its controller; before, the status is of another generation
    failure: str  # why there are no more pods, in the cluster's words; "" where it gives no reason
    is_scaled_by_us: bool  # whether porch set the replicas last, in this or an earlier run


def _read(document: Fields) -> Deployment:
    metadata, status = mapping(document.get("metadata")), mapping(document.get("status"))
    generation, pods = whole(metadata.get("generation"), 0), whole(status.get("replicas"), 0)
    is_observed = whole(status.get("observedGeneration"), 0) >= generation
    return Deployment(
        version=text(metadata.get("resourceVersion")),
        generation=generation,
        replicas=whole(at(document, "spec", "replicas"), 1),
        pods=pods,
        observed_pods=pods if is_observed else None,
        available=min(whole(status.get(name), 0) for name in ("availableReplicas", "updatedReplicas")),
        is_observed=is_observed,
        failure=_failure(status),
        is_scaled_by_us=any(
            at(entry, "manager") == FIELD_MANAGER and at(entry, "fieldsV1", "f:spec", "f:replicas") is not None
            for entry in sequence(metadata.get("managedFields"))
        ),
    )


def _failure(status: Fields) -> str:
    for condition in map(mapping, sequence(status.get("conditions"))):
        if (condition.get("type"), condition.get("status")) == ("ReplicaFailure", "True"):
            return text(condition.get("message")) or text(condition.get("reason")) or "ReplicaFailure"
    return ""


def path_of(intent: Intent) -> str:
    """Return the path of the intent's Deployment."""
    return f"/apis/apps/v1/namespaces/{intent.namespace}/deployments/{intent.target}"


def find(client: Client, intent: Intent) -> Deployment:
    """Return the intent's Deployment.

    Raises ``PorchError``: 2 where it or its namespace is missing or being deleted, 3 without the right to look, 4
    without a usable answer.
    """
    try:
        document = client.get(path_of(intent))
    except StatusError as error:
        # A role in a namespace that is missing grants nothing: "forbidden" may mean "no such namespace".
        if error.status in _ABSENT_OR_HIDDEN and not _has_namespace(client, intent.namespace):
            message = f"namespace {intent.namespace} is not found: create it, or correct $.namespace"
            raise PorchError(NOT_FOUND, message) from None
        raise missing(intent, error) from None
    if at(document, "metadata", "deletionTimestamp"):
        what = f"Deployment {intent.namespace}/{intent.target} is being deleted"
        raise PorchError(NOT_FOUND, f"{what}: send the intent again once there is a new one")
    return _read(document)


def missing(intent: Intent, error: StatusError) -> PorchError:
    """Return the error of an answer that may be due to the lack of the Deployment."""
    if error.missing != "deployments":
        return error
    what = f"Deployment {intent.namespace}/{intent.target} is not found"
    return PorchError(NOT_FOUND, f"{what}: create it, or correct $.target")


def _has_namespace(client: Client, namespace: str) -> bool:
    try:
        client.get(f"/api/v1/namespaces/{namespace}")
    except StatusError as error:
        return error.missing != "namespaces"  # without the right to look, it may be there
    return True


def check_autoscalers(client: Client, intent: Intent) -> tuple[str, ...]:
    """Return notes; raise ``PorchError`` (5) with a sentence for each autoscaler that would undo the replicas."""
    path = f"/apis/autoscaling/v2/namespaces/{intent.namespace}/horizontalpodautoscalers"
    problems, notes = [], []
    for autoscaler in client.items(path):
        if not _targets(autoscaler, intent.target):
            continue
        name = f"HorizontalPodAutoscaler {text(at(autoscaler, 'metadata', 'name'))}"
        least, most = (whole(at(autoscaler, "spec", field), 1) for field in ("minReplicas", "maxReplicas"))
        if not intent.replicas:  # which turns it off (kubernetes, pkg/controller/podautoscaler/horizontal.go)
            notes.append(f"{name} is off while there are 0 replicas")
        elif least <= intent.replicas <= most:
            notes.append(f"{name} may change the replicas again, within {least} to {most}")
        else:
            is_low = intent.replicas < least
            field, value, change = ("minReplicas", least, "lower") if is_low else ("maxReplicas", most, "raise")
            problems.append(
                f"{name} would undo {intent.replicas} replicas, its spec.{field} is {value}: "
                f"{change} spec.{field}, or ask for {least} to {most} replicas"
            )
    if problems:
        raise PorchError(QUOTA, *problems)
    return tuple(notes)


def _targets(autoscaler: Fields, deployment: str) -> bool:
    kind, name, version = (at(autoscaler, "spec", "scaleTargetRef", key) for key in ("kind", "name", "apiVersion"))
    return (text(version).partition("/")[0], kind, name) == ("apps", "Deployment", deployment)


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
        except StatusError as error:
            raise missing(intent, error) from None
    if before.replicas >= intent.replicas:
        return ()
    return ("a dry run makes no pods: whether quotas and limits leave room for them, only the real one tells",)


def _set(client: Client, intent: Intent, before: Deployment, terms: Terms) -> None:
    seen, name = before, f"Deployment {intent.namespace}/{intent.target}"
    for seconds in _CONFLICT_PAUSES:
        if seen.replicas == intent.replicas or _try_patch(client, intent, seen, terms.deadline):
            return
        terms.pause(seconds)
        seen = find(client, intent)
        if seen.generation != before.generation:  # not a status alone
            raise PorchError(UNREACHABLE, f"{name} was changed by others meanwhile: try again later")
    raise PorchError(UNREACHABLE, f"the status of {name} keeps changing: try again later")


def _try_patch(client: Client, intent: Intent, seen: Deployment, deadline: Deadline) -> bool:
    """Set the replicas of what was seen; False where it has changed since."""
    change = {"metadata": {"resourceVersion": seen.version}, "spec": {"replicas": intent.replicas}}
    deadline.check()  # last thing before: a worker that was frozen must not undo a newer intent when it thaws
    try:
        _merge(client, intent, change)
    except PorchError as error:
        if isinstance(error, StatusError):
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
        may_pass = waited < observe and (before.failure or _classify_failure(seen.failure)[0] in {NOT_FOUND, REFUSED})
        if seen.is_observed and seen.failure and not may_pass:
            code, advice = _classify_failure(seen.failure)
            there = f"{seen.pods} of {intent.replicas} pods are there, and the cluster goes on trying"
            message = f"{there}: {client.sanitize(seen.failure)}: {advice}"
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


def _classify_failure(words: str) -> tuple[int, str]:
    if _DYING in words:
        return NOT_FOUND, "send the intent again once there is a new namespace"
    if any(each in words for each in _NO_ROOM):
        return QUOTA, "raise the quota or limit, or ask for fewer replicas"
    if any(each in words for each in _BUSY):
        return UNREACHABLE, "try again later"
    return REFUSED, "correct the Deployment's pods, or what refuses them"
