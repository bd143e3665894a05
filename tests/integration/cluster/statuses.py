"""The API server's refusals, as k8s.io/apimachinery/pkg/api/errors/errors.go makes them."""

from typing import Any

type Document = dict[str, Any]
type Answer = tuple[int, Document]


class Refused(Exception):  # noqa: N818 - reads as what happened
    """Ends the handling of a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def status(code: int, reason: str, message: str, **details: Any) -> Refused:
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
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


def internal(why: str) -> Refused:
    message = f"Internal error occurred: {why}"
    return status(500, "InternalError", message, causes=[{"message": why}])


def forbidden(kind: str, name: str, namespace: str) -> Refused:
    message = (
        f'{kind} "{name}" is forbidden: User "system:serviceaccount:oran-sim:porch" cannot get resource "{kind}" '
        f'in the namespace "{namespace}"'
    )
    return status(403, "Forbidden", message, name=name, kind=kind)


def unauthorized() -> Refused:
    return status(401, "Unauthorized", "Unauthorized")
