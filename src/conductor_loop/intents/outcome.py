"""Outcomes: the status document that the sender reads, and the effects of a decision.

An outcome is decided once, and then applied, by any worker and any number of times, with the same result:

    status/<file>.status ─▶ live/… (of an applied intent) ─▶ processed/ or failed/ ─▶ the input is removed, last

So an input that is in the root of the bucket has no outcome yet, or one that is not applied.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from conductor_loop.app import App, Delivery
from conductor_loop.errors import Cause, Gone, Illegible, Rejected
from conductor_loop.intent import Handoff, Intent
from conductor_loop.intents.model import Failure, Outcome, Row
from conductor_loop.porch import COMPONENT, REPOSITORY, SCALE, Delivered, Package, PorchFailed

logger = logging.getLogger("conductor-loop")

_LONGEST_NAME = 900  # bytes of a name that fit into all of our keys; a key has at most 1,024


class Answer(StrEnum):
    """What a delivery of a handoff led to."""

    SETTLED = "settled"  # decided, by this or an earlier delivery, and applied
    QUEUED = "queued"  # a message for it waits in a queue
    DUPLICATE = "duplicate"  # decided before, and its input is gone; its effects are made sure of
    LEFT = "left"  # decided, and its status written, but S3 does not move the input: it stays where it is
    GONE = "gone"  # the object was removed before it was read: there is nothing to answer


# -- applying


def apply_outcome(app: App, handoff: Handoff, outcome: Outcome, component: bytes | None = None) -> Answer:
    """Write the status object and the live tree, archive the input, and remove it last. Idempotent.

    The handoff has the order of its row (``model.known``), by which the newest status is kept. The ``component`` of an
    applied intent is read from its package, unless given.
    """
    name = app.bucket.put_status(handoff, fitting(handoff.file), outcome.document, final=True)
    _write_live(app, handoff, outcome, component)
    try:
        app.bucket.archive(handoff, f"{outcome.archive}/{name}")
    except Gone:
        return Answer.SETTLED  # it is removed last: another worker has applied it meanwhile
    except Illegible:
        return Answer.LEFT  # as its status says: nothing is lost
    app.bucket.remove(handoff)
    return Answer.SETTLED


def fitting(name: str) -> str:
    """Shorten a name that is too long for a key of ours; what makes it unique stays."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    return f"{encoded[:800].decode(errors='ignore')}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def _write_live(app: App, handoff: Handoff, outcome: Outcome, component: bytes | None) -> None:
    """Write the Component of an applied intent to a key that never changes, unless a newer one's is there."""
    if not (outcome.live_generation and app.config.live_tree):
        return
    prefix: str = outcome.status["package"]["prefix"]
    if component is None:
        component = app.bucket.published(handoff, prefix + COMPONENT)
    if component is None:
        logger.error("not written to the live tree: the package was deleted", extra={"package": prefix})
        return
    _, namespace, target, *_ = prefix.split("/")
    generation = outcome.live_generation
    end = b"" if component.endswith(b"\n") else b"\n"
    unique = b"%b%b# generation %d\n" % (component, end, generation)  # whatever porch has written
    app.bucket.put_live(handoff, f"live/{namespace}/{target}/{COMPONENT}", generation, unique)


# -- the status document (specification, "Status File Format")


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes a status, and about which attempt: the last one of the row."""

    app: App
    delivery: Delivery
    row: Row


def succeeded(author: Author, package: Package, prefix: str, delivered: Delivered, note: str = "") -> Outcome:
    """Report a package, published under ``prefix``, and what porch did with it; ``note``: done otherwise than asked."""
    message = "; ".join((_done(author.delivery.intent, package, delivered), *delivered.notes)) + note
    details = {"name": package.name, "prefix": prefix, "files": sorted(package.files)}
    return _outcome(author, "success", message, **_delivered(delivered), package=details)


def _done(intent: Intent, package: Package, delivered: Delivered) -> str:
    """Say what was really done: a package alone scales nothing."""
    wanted = f"{intent.target} to {intent.replicas} replicas"
    if delivered.delivery == SCALE and delivered.observed_replicas == intent.replicas:
        return f"Successfully scaled {wanted}"
    if delivered.delivery == SCALE:
        return f"Set {wanted}"
    created = f"Created package {package.name} to scale {wanted}"
    if delivered.delivery == REPOSITORY and (revision := delivered.package_revision):
        return f"{created}, as package revision {revision.namespace}/{revision.name} ({revision.lifecycle})"
    return created


def describe(row: Row, failed: PorchFailed, most: int | None = None) -> Failure:
    """Give what a status says of the row's last attempt: of each text the first ``most`` characters, or all."""
    run, said, what = failed.run, str(failed)[:most], "Failed to process intent"
    if failed.cause is Cause.PROCESSING_TIMEOUT:
        what = f"Processing timed out after {run.duration_seconds:.0f}s"
    printed = {"porch_stdout": run.stdout[:most], "porch_stderr": run.stderr[:most]}
    error = _given(error_message=said, porch_exit_code=run.exit_code, **printed)
    earlier = {name: value for name, value in _kept(row).items() if name != "observed_replicas"}  # it stays set
    return Failure(row.attempt, failed.cause, f"{what}: {said}", error, earlier | _delivered(failed.delivered))


def failed(author: Author, failure: Failure, next_retry: float | None, note: str = "") -> Outcome:
    """Report a failed attempt; ``next_retry`` (epoch seconds) if it is made again."""
    status = "timeout" if failure.cause is Cause.PROCESSING_TIMEOUT else "failed"
    goes_on = _goes_on(author, failure.cause, next_retry)
    is_followed = goes_on or note or author.delivery.message.note
    said = failure.text.removesuffix(".") if is_followed else failure.text
    details = {**failure.delivered, "error_details": _error(failure.cause, **failure.error)}
    due = None if next_retry is None else timestamp(next_retry)
    return _outcome(author, status, f"{said}{note}{goes_on}", **details, next_retry=due)


def _goes_on(author: Author, cause: Cause, next_retry: float | None) -> str:
    if next_retry is not None:
        return "; it is retried"
    if not cause.is_retried:
        return ""
    again = f"conductor-loop retry {author.delivery.handoff.file}"
    return f"; no attempt is left, of {author.row.attempt}: {again}, once that is fixed"


def exhausted(author: Author) -> Outcome:
    """Report that no attempt is left: how the last one failed, or that none of them reported anything."""
    attempts, last = author.row.attempt, author.row.failure
    if last is None:
        text = (
            f"none of {attempts} attempts reported a result, most often because memory ran out; give the function more "
            "memory, and send the intent again"
        )
        error = _error(Cause.WORKERS_DIED, text)
        return _outcome(author, "failed", f"Failed to process intent: {text}", error_details=error)
    later = attempts - last.attempt
    note = f" (the {later if later > 1 else 'one'} after that reported no result)" if later else ""
    return failed(author, last, None, note)


def rejected(author: Author, rejection: Rejected) -> Outcome:
    """Report an input that is wrong: every broken rule, with its JSON path."""
    first, *others = rejection.violations
    summary = first.message + (f" (and {len(others)} more: see validation_errors)" if others else "")
    error = _error(rejection.cause, summary, validation_errors=[asdict(one) for one in rejection.violations])
    return _outcome(author, "failed", f"Rejected: {summary}", error_details=error)


def superseded(author: Author, by: str) -> Outcome:
    """Report an intent that came too late: a newer one replaces it."""
    return _outcome(author, "skipped", f"Superseded by {by}", **_kept(author.row))


def withdrawn(author: Author) -> Outcome:
    """Report an intent that its owner removed before it was decided; it can be read no more."""
    when = "while it was being retried" if author.row.attempt else "before it was processed"
    left = _kept(author.row)
    stays = "; replicas that an attempt has set in the cluster stay set" if left.get("delivery") == SCALE else ""
    message = f"Withdrawn: the file was removed from the bucket {when}{stays}"
    return replace(_outcome(author, "skipped", message, **left), withdrawn=True)


def _kept(row: Row) -> Mapping[str, Any]:
    """Give what failed attempts have done in a cluster."""
    return row.failure.delivered if row.failure else {}


def _delivered(delivered: Delivered | None) -> dict[str, Any]:
    return _given(**asdict(delivered) | {"notes": None}) if delivered else {}  # they are in the message


def _error(cause: Cause, error_message: str = "", **details: object) -> dict[str, Any]:
    return _given(error_code=cause.value, code=cause.code, error_message=error_message, **details)


def _given(**fields: object) -> dict[str, Any]:
    """Leave out what is unknown."""
    return {name: value for name, value in fields.items() if value is not None}


def timestamp(epoch_seconds: float) -> str:
    """Write a time as the specification's examples do: ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _outcome(author: Author, status: str, message: str, **details: object) -> Outcome:
    """Make an outcome with its status document; ``None`` is left out."""
    app, delivery, attempt, now = author.app, author.delivery, author.row.attempt, author.app.clock()
    document = _given(
        intent_file=delivery.handoff.file,
        status=status,
        message=message + delivery.message.note,
        timestamp=timestamp(now),
        processed_by="conductor-loop",
        worker_id=app.worker_id,
        processing_duration=f"{max(now - delivery.started, 0):.2f}s",
        mode=app.config.mode.value,
        porch_path=app.config.porch_path,
        retry_count=max(attempt - 1, 0),
        version_id=delivery.handoff.version_id,
        attempt=attempt,
        config_version=app.config.version or None,
        correlation_id=delivery.intent.correlation_id,
        **details,
    )
    return Outcome(document, archive="processed" if status in {"success", "skipped"} else "failed")
