"""The status document: what the sender of an intent is told (specification, "Status File Format")."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from conductor_loop.contract import Check, keeps
from conductor_loop.errors import Cause, Rejected
from conductor_loop.intent import Handoff, Intent
from conductor_loop.lifecycle import Failure, Outcome, State
from conductor_loop.porch import REPOSITORY, SCALE, Delivered, Mode, PorchFailed, Run

_MOST_BYTES = 200_000  # of a document: a row of DynamoDB takes 400 KB, all in all
_CUTS = 30  # by half: enough for anything
_PRINTED = ("porch_stdout", "porch_stderr", "error_message")
PROCESSED, FAILED = "processed", "failed"
_STATUS = {
    State.SUCCEEDED: "success",
    State.FAILED: "failed",
    State.TIMED_OUT: "timeout",
    State.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes a status, and about which attempt."""

    handoff: Handoff
    worker_id: int
    mode: Mode
    porch_path: str
    started: float  # epoch seconds
    now: float  # epoch seconds
    config_version: str = ""
    attempt: int = 0
    note: str = ""  # clauses for the message: what is done otherwise than the sender asked
    failure: Failure | None = None  # what the last attempt that said anything came to


@dataclass(frozen=True, slots=True)
class Published:
    """A package as it lies in the bucket."""

    name: str
    prefix: str
    files: tuple[str, ...]  # paths below the prefix


def succeeded(
    author: Author, intent: Intent, package: Published, delivered: Delivered | None = None, note: str = ""
) -> Outcome:
    """Tell of a published package, and of what porch did with it; ``note`` says what was done otherwise than asked."""
    delivered = delivered or Delivered()
    message = "; ".join((_done(intent, package, delivered), *delivered.notes)) + note
    package_details = {"name": package.name, "prefix": package.prefix, "files": list(package.files)}
    document = _document(author, State.SUCCEEDED, message, intent) | _delivered(delivered)
    return _outcome(State.SUCCEEDED, PROCESSED, document | {"package": package_details})


def _done(intent: Intent, package: Published, delivered: Delivered) -> str:
    """Say what was really done: a package alone scales nothing."""
    wanted = f"{intent.target} to {intent.replicas} replicas"
    if delivered.is_scaled_to(intent.replicas):
        return f"Successfully scaled {wanted}"
    if delivered.delivery == SCALE:
        return f"Set {wanted}"
    created = f"Created package {package.name} to scale {wanted}"
    if delivered.delivery == REPOSITORY and delivered.revision:
        revision = delivered.revision
        return f"{created}, as package revision {revision.namespace}/{revision.name} ({revision.lifecycle})"
    return created


def _delivered(delivered: Delivered) -> dict[str, Any]:
    revision = asdict(delivered.revision) if delivered.revision else None
    fields = {
        "delivery": delivered.delivery,
        "previous_replicas": delivered.previous_replicas,
        "observed_replicas": delivered.observed_replicas,
        "package_revision": revision,
    }
    return {name: value for name, value in fields.items() if value is not None}


def failed(author: Author, intent: Intent, failure: PorchFailed, next_retry: float | None, note: str = "") -> Outcome:
    """Tell of a porch that failed or ran out of time; ``next_retry`` (epoch seconds) if it is tried again."""
    timed_out = failure.cause is Cause.PROCESSING_TIMEOUT
    state = State.TIMED_OUT if timed_out else State.FAILED
    late = f"Processing timed out after {failure.run.duration_seconds:.0f}s"
    goes_on = _goes_on(author, next_retry)
    said = str(failure).removesuffix(".") if goes_on else str(failure)
    message = f"{late if timed_out else 'Failed to process intent'}: {said}{goes_on}{note}"
    document = _document(author, state, message, intent)
    document |= _delivered(failure.delivered) if failure.delivered else {}
    document["error_details"] = _error(failure.cause, str(failure)) | _porch_details(failure.run)
    if next_retry is not None:
        document["next_retry"] = timestamp(next_retry)
    return _outcome(state, FAILED, document)


def _goes_on(author: Author, next_retry: float | None) -> str:
    if next_retry is not None:
        return "; it is tried again"
    if author.attempt == 1:
        return ""  # nothing to try again for
    return f"; no attempt is left, of {author.attempt}: conductor-loop retry {author.handoff.file}, once that is fixed"


def exhausted(author: Author, intent: Intent) -> Outcome:
    """Tell of an intent whose attempts are used up: what the last one said, or that none of them said anything."""
    last = author.failure
    if last is None:
        return _never_told(author, intent)
    run = Run(exit_code=last.exit_code, stdout=last.stdout, stderr=last.stderr, duration_seconds=last.seconds)
    later = author.attempt - last.attempt
    note = f" (of the {later} after that, nothing was heard)" if later else ""
    return failed(author, intent, PorchFailed(last.cause, run, last.text, _kept_delivered(last)), None, note)


def _kept_delivered(last: Failure | None) -> Delivered | None:
    if last is None or last.delivery is None:
        return None
    return Delivered(last.delivery, last.previous_replicas, last.observed_replicas)


def _never_told(author: Author, intent: Intent) -> Outcome:
    text = (
        f"none of {author.attempt} attempts lived to tell what happened, most often because memory ran out; give the "
        "function more memory, and send the intent again"
    )
    document = _document(author, State.FAILED, f"Failed to process intent: {text}", intent)
    return _outcome(State.FAILED, FAILED, document | {"error_details": _error(Cause.WORKERS_DIED, text)})


def rejected(author: Author, rejection: Rejected, intent: Intent | None = None) -> Outcome:
    """Tell of an input that is wrong: every broken rule, with its JSON path."""
    first, *others = rejection.violations
    summary = first.message + (f" (and {len(others)} more: see validation_errors)" if others else "")
    message = f"Rejected: {summary}"
    details = _error(rejection.cause, summary) | {
        "validation_errors": [
            {"path": violation.path, "rule": violation.rule, "message": violation.message}
            for violation in rejection.violations
        ]
    }
    return _outcome(State.FAILED, FAILED, _document(author, State.FAILED, message, intent) | {"error_details": details})


def superseded(author: Author, by: str, intent: Intent | None) -> Outcome:
    """Tell of an intent that came too late: a newer one stands in its place."""
    document = _document(author, State.SKIPPED, f"Superseded by {by}", intent) | _left(author)
    return _outcome(State.SKIPPED, PROCESSED, document)


def withdrawn(author: Author) -> Outcome:
    """Tell of an intent that its owner removed before it was decided; nobody can read it any more."""
    when = "while it was being retried" if author.attempt else "before it was processed"
    left = _left(author)
    stays = "; replicas that an attempt has set in the cluster stay set" if left.get("delivery") == SCALE else ""
    document = _document(author, State.SKIPPED, f"Withdrawn: the file was removed from the bucket {when}{stays}")
    document |= left
    return replace(_outcome(State.SKIPPED, PROCESSED, document), withdrawn=True)


def _left(author: Author) -> dict[str, Any]:
    """Give the fields that say what attempts have done elsewhere, of an intent that gets no further one."""
    delivered = _kept_delivered(author.failure)
    return _delivered(delivered) if delivered else {}


def timestamp(epoch_seconds: float) -> str:
    """Write a time as the specification's examples do: ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _document(author: Author, state: State, message: str, intent: Intent | None = None) -> dict[str, Any]:
    document = {
        "intent_file": author.handoff.file,
        "status": _STATUS[state],
        "message": message + author.note,
        "timestamp": timestamp(author.now),
        "processed_by": "conductor-loop",
        "worker_id": author.worker_id,
        "processing_duration": f"{max(author.now - author.started, 0):.2f}s",
        "mode": author.mode.value,
        "porch_path": author.porch_path,
        "retry_count": max(author.attempt - 1, 0),
        "version_id": author.handoff.version_id,
        "attempt": author.attempt,
    }
    if author.config_version:
        document["config_version"] = author.config_version
    if intent is not None and intent.correlation_id is not None:
        document["correlation_id"] = intent.correlation_id
    return document


def _error(cause: Cause, message: str) -> dict[str, Any]:
    return {"error_code": cause.value, "code": cause.code, "error_message": message}


def _porch_details(run: Run) -> dict[str, Any]:
    output = {"porch_stdout": run.stdout, "porch_stderr": run.stderr}
    return output if run.exit_code is None else {"porch_exit_code": run.exit_code, **output}


def _outcome(state: State, archive: str, document: Mapping[str, Any]) -> Outcome:
    """Hold a document against its schema before anybody sees it; a violation is a bug, and escapes."""
    document = _bounded(document)
    if not _kept()(document):
        _validator().validate(document)
    return Outcome(state, document, archive)


def _bounded(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Cut a document that would not fit into a row: fewer violations, then less of what porch printed."""
    details = dict(document.get("error_details", {}))
    for _ in range(_CUTS):
        if len(json.dumps(document, ensure_ascii=False).encode()) <= _MOST_BYTES:
            break
        if len(details.get("validation_errors", [])) > 1:
            details["validation_errors"] = details["validation_errors"][: len(details["validation_errors"]) // 2]
        else:
            details |= {name: details[name][: len(details[name]) // 2] for name in _PRINTED if name in details}
        document = {**document, "error_details": details}
    return document


@cache
def _schema() -> dict[str, Any]:
    text = files("conductor_loop").joinpath("schemas", "status.schema.json").read_text()
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _kept() -> Check:
    return keeps(_schema(), {"format": _format})


def _format(name: str, _: object) -> Check:
    def check(value: object) -> bool:
        try:
            return name == "date-time" and _is_time(value)
        except ValueError:
            return False

    return check


@cache
def _validator() -> Any:  # noqa: ANN401 - jsonschema's, which is imported on first use
    from jsonschema import Draft7Validator, FormatChecker  # noqa: PLC0415 - see contract

    checker = FormatChecker(formats=())
    checker.checks("date-time", raises=ValueError)(_is_time)
    return Draft7Validator(_schema(), format_checker=checker)


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None
