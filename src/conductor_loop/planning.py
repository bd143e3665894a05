"""Planning: what an intent would change, looked at without changing anything: no row, no package, no status."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from conductor_loop.app import App
from conductor_loop.errors import Cause, Rejected
from conductor_loop.intent import Handoff, Intent
from conductor_loop.intents.admit import route
from conductor_loop.intents.attempt import used_already
from conductor_loop.intents.model import Target
from conductor_loop.porch import NoDryRun, Package, PorchFailed, PorchRequest
from conductor_loop.validation import validate

_ANSWER_SECONDS = 5.0  # of the invocation, kept for the answer
_MOST_BYTES = 4 * 1024**2  # of a package's files: an answer of Lambda has 6 MB, and these grow by a third


@dataclass(frozen=True, slots=True)
class Draft:
    """An intent that is not sent."""

    file: str
    body: bytes
    principal: str = ""  # of its sender, as S3's event would name it


def draft(asked: Mapping[str, Any]) -> Draft:
    """Read what the command line asks for: ``file``, ``body`` (base64) and ``principal``."""
    return Draft(asked["file"], b64decode(asked["body"]), asked.get("principal", ""))


def plan(app: App, draft: Draft, deadline: float) -> dict[str, Any]:
    """Say what an intent would change, as a JSON document; the invocation ends at the deadline (epoch seconds).

    Of an intent that breaks a rule ``refused``: cause, code, message and violations. Else what is known of its target,
    the priority that it would get, and either ``package`` and ``delivered`` (what porch makes of it in a dry run),
    ``failed`` (what porch would fail for), or ``untried`` (why porch was not run).

    Raises Unreadable: the target's row is corrupt; the next intent for it resets it.
    """
    try:
        intent = validate(draft.body, app.config.rules, draft.file)
        _check_id(app, draft, intent)
    except Rejected as error:
        return {
            "refused": _failure(error.cause, str(error)) | {"violations": [asdict(one) for one in error.violations]}
        }
    target = app.state.target(intent.namespaced_name)
    return {
        "target": intent.namespaced_name,
        "replicas": intent.replicas,
        "applied": {"file": target.last_file, "replicas": target.replicas} if target.last_file else None,
        "busy": target.lease_expires_at > app.clock(),
        "priority": _priority(app, draft, intent),
        "delivery": app.config.delivery,
        "config_version": app.config.version,
        **_tried(app, _request(app, draft, intent, target, deadline)),
    }


def _check_id(app: App, draft: Draft, intent: Intent) -> None:
    if intent.correlation_id is None or not app.config.unique_correlation_ids:
        return
    user = app.state.correlated(intent.correlation_id, app.clock())
    if user not in {None, draft.file}:
        raise used_already(str(user), intent)


def _priority(app: App, draft: Draft, intent: Intent) -> dict[str, str]:
    sent = Handoff(app.config.handoff_bucket, draft.file, "", principal=draft.principal)
    message = route(app, sent, intent, app.peek)
    return {"asked": intent.priority, "granted": message.priority, "note": message.note.strip(" ()")}


def _request(app: App, draft: Draft, intent: Intent, target: Target, deadline: float) -> PorchRequest:
    wanted = intent.timeout_seconds or app.config.processing_timeout_seconds
    left = deadline - app.clock() - _ANSWER_SECONDS
    return PorchRequest(
        file=draft.file,
        document=intent.document,
        timeout_seconds=min(wanted, app.config.porch_timeout_seconds, left),
        previous_version=target.version,
        previous_replicas=target.replicas,
        dry_run=True,
    )


def _tried(app: App, request: PorchRequest) -> dict[str, Any]:
    try:
        result = app.run_porch(request)
    except NoDryRun as error:
        return {"untried": str(error)}
    except PorchFailed as failure:
        return {"failed": _failure(failure.cause, str(failure)) | {"retried": failure.cause.is_retried}}
    notes, replicas = list(result.delivered.notes), result.delivered.previous_replicas
    delivered = {"delivery": result.delivered.delivery, "previous_replicas": replicas, "notes": notes}
    return {"package": _packed(result.package), "delivered": delivered}


def _failure(cause: Cause, message: str) -> dict[str, Any]:
    return {"error_code": cause.value, "code": cause.code, "message": message}


def _packed(package: Package) -> dict[str, Any]:
    """Give the package; ``files``, path to content (base64), is ``None`` where they are too many bytes to answer."""
    size = sum(map(len, package.files.values()))
    files = {path: b64encode(body).decode() for path, body in package.files.items()} if size <= _MOST_BYTES else None
    return {"name": package.name, "files": files}
