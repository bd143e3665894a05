"""Who owns which field of a Deployment, and server-side apply of a partial one, as Kubernetes 1.36 was recorded."""

from typing import Any

from tests.integration.cluster.statuses import Document, Refused, invalid_fields, status

REPLICAS: Document = {"f:spec": {"f:replicas": {}}}
TIME = "2026-11-23T03:00:00Z"
_SELECTOR = ("FieldValueRequired", "spec.selector", "Required value")
_LABELS = (
    "FieldValueInvalid",
    "spec.template.metadata.labels",
    "Invalid value: null: `selector` does not match template `labels`",
)
_CONTAINERS = ("FieldValueRequired", "spec.template.spec.containers", "Required value")
_IMMUTABLE = ("FieldValueInvalid", "spec.selector", "Invalid value: null: field is immutable")


def entry(manager: str, operation: str, fields: Document, subresource: str = "") -> Document:
    """Make an entry of managedFields."""
    made = {
        "manager": manager,
        "operation": operation,
        "apiVersion": "apps/v1",
        "time": TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return made | ({"subresource": subresource} if subresource else {})


def own_replicas(deployment: Document, owner: Document) -> None:
    """Give ``spec.replicas`` to this entry's manager alone."""
    entries = deployment["metadata"].setdefault("managedFields", [])
    for each in entries:
        each["fieldsV1"].get("f:spec", {}).pop("f:replicas", None)
    kept = [each for each in entries if each["fieldsV1"] not in ({}, {"f:spec": {}})]
    deployment["metadata"]["managedFields"] = [*_applied(kept), owner, *_updated(kept)]


def refuse_partial(deployment: Document, manager: str, replicas: int, *, force: bool) -> None:
    """Refuse to apply ``spec.replicas`` alone: where others own it, or where the manager would drop all the rest."""
    name = deployment["metadata"]["name"]
    entries = deployment["metadata"].get("managedFields", [])
    if any(each["manager"] == manager and "f:selector" in each["fieldsV1"].get("f:spec", {}) for each in entries):
        raise invalid_fields("Deployment", "apps", name, [_SELECTOR, _LABELS, _CONTAINERS, _IMMUTABLE])
    others = [each for each in entries if each["manager"] != manager and "f:replicas" in _spec(each)]
    if others and not force and deployment["spec"].get("replicas") != replicas:
        raise _conflicts(others)


def refuse_creation(name: str) -> Refused:
    """Refuse to create a Deployment of ``spec.replicas`` alone."""
    return invalid_fields("Deployment", "apps", name, [_SELECTOR, _LABELS, _CONTAINERS])


def _conflicts(others: list[Document]) -> Refused:
    using = [
        f'conflict with "{each["manager"]}"' + (" using apps/v1" if each["operation"] == "Update" else "")
        for each in others
    ]
    causes = [{"reason": "FieldManagerConflict", "message": each, "field": ".spec.replicas"} for each in using]
    reported = "; ".join(f"{each}: .spec.replicas" for each in using)
    return status(409, "Conflict", f"Apply failed with {len(using)} conflict: {reported}", causes=causes)


def _spec(each: Document) -> Any:
    return each["fieldsV1"].get("f:spec", {})


def _applied(entries: list[Document]) -> list[Document]:
    return [each for each in entries if each["operation"] == "Apply"]


def _updated(entries: list[Document]) -> list[Document]:
    return [each for each in entries if each["operation"] != "Apply"]
