"""The API server's error statuses, as k8s.io/apimachinery/pkg/api/errors/errors.go makes them."""

from dataclasses import dataclass
from typing import Any

type Document = dict[str, Any]
type Answer = tuple[int, Document]

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Refused(Exception):  # noqa: N818 - reads as what happened
    """Ends the handling of a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as RBAC sees it."""

    verb: str
    group: str
    kind: str
    name: str = ""
    namespace: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        return f"{self.kind}/{self.subresource}" if self.subresource else self.kind


def status(code: int, reason: str, message: str, **details: Any) -> Refused:
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {name: detail for name, detail in details.items() if detail},
        "code": code,
    }
    if not document["details"]:
        del document["details"]
    return Refused((code, document))


def qualified(kind: str, group: str) -> str:
    return f"{kind}.{group}" if group else kind


def not_found(kind: str, name: str, group: str = "") -> Refused:
    return status(404, "NotFound", f'{qualified(kind, group)} "{name}" not found', name=name, group=group, kind=kind)


def conflict(kind: str, name: str, why: str, group: str = "") -> Refused:
    message = f'Operation cannot be fulfilled on {qualified(kind, group)} "{name}": {why}'
    return status(409, "Conflict", message, name=name, group=group, kind=kind)


def invalid(kind: str, name: str, field: str, why: str) -> Refused:
    return status(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {why}', name=name, kind=kind)


def invalid_fields(kind: str, group: str, name: str, causes: list[tuple[str, str, str]]) -> Refused:
    """Refuse an object for several fields at once: reason, field and message of each."""
    reported = [f"{field}: {message}" for _, field, message in causes]
    what = reported[0] if len(reported) == 1 else f"[{', '.join(reported)}]"
    listed = [{"reason": reason, "message": message, "field": field} for reason, field, message in causes]
    message = f'{kind}.{group} "{name}" is invalid: {what}'
    return status(422, "Invalid", message, name=name, group=group, kind=kind, causes=listed)


def internal(why: str) -> Refused:
    message = f"Internal error occurred: {why}"
    return status(500, "InternalError", message, causes=[{"message": why}])


def forbidden(asked: Asked, user: str) -> Refused:
    what = qualified(asked.kind, asked.group) + (f' "{asked.name}"' if asked.name else "")
    group = f'API group "{asked.group}"'
    message = (
        f'{what} is forbidden: User "{user}" cannot {asked.verb} resource "{asked.resource}" in {group} '
        f'in the namespace "{asked.namespace}"'
    )
    return status(403, "Forbidden", message, name=asked.name, group=asked.group, kind=asked.kind)


def unauthorized() -> Refused:
    return status(401, "Unauthorized", "Unauthorized")
