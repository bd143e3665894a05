"""What holds for the package of any valid intent: some of them, the same ones in every run."""

import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings

from tests.unit.porch_program.packages import INTENTS, build, contents, load, patch

any_intent = settings(max_examples=40, deadline=None, derandomize=True)
OLDEST, NEWEST = "1.25", kubernetes_validate.latest_version()  # of Kubernetes, whose schemas there are
COMPLETE: dict[str, Any] = {  # what runs already, and the patch is laid over
    "selector": {"matchLabels": {"app": "cnf"}},
    "template": {"metadata": {"labels": {"app": "cnf"}}, "spec": {"containers": [{"name": "cnf", "image": "cnf"}]}},
}
# The fields of kpt's Kptfile v1 (kptdev/kpt, site/reference/schema/kptfile) that a package without upstream may have.
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
LIST = {"type": "array", "items": TEXT}
KPTFILE = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "kpt.dev/v1"},
        "kind": {"const": "Kptfile"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": TEXT, "namespace": TEXT, "labels": TEXTS, "annotations": TEXTS},
        },
        "info": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                **dict.fromkeys(("site", "description", "license", "licenseFile", "man"), TEXT),
                **dict.fromkeys(("emails", "keywords"), LIST),
            },
        },
        "pipeline": {"type": "object"},
    },
}


def expected_patch(fields: dict[str, Any], intent_id: str) -> dict[str, Any]:
    given = {"intent-id": intent_id}
    given |= {key.replace("_", "-"): fields[key] for key in ("reason", "source", "correlation_id") if fields.get(key)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": fields["target"],
            "annotations": {f"nephoran.com/{key}": value for key, value in given.items()},
        },
        "spec": {"replicas": fields["replicas"]},
    }


@any_intent
@given(fields=INTENTS)
def test_both_versions_of_yaml_read_exactly_the_keys_meant(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        package = build(Path(folder), **fields)
        assert patch(package) == expected_patch(fields, "daily-001")
        local = {"name": package.name, "annotations": {"config.kubernetes.io/local-config": "true"}}
        component = load(package / "kustomization.yaml")
        assert component.keys() == {"apiVersion", "kind", "metadata", "patches"}
        assert component["metadata"] == local
        assert [each["target"]["name"] for each in component["patches"]] == [fields["target"]]
        kptfile = load(package / "Kptfile")
        assert sorted(kptfile) == ["apiVersion", "info", "kind", "metadata"]
        assert kptfile["metadata"] == local
        assert sorted(kptfile["info"]) == ["description"]


@any_intent
@given(fields=INTENTS)
def test_the_same_intent_gives_the_same_bytes_again(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        package, again = build(Path(first), **fields), build(Path(second), **fields)
        assert (package.name, contents(package)) == (again.name, contents(again))


@any_intent
@given(fields=INTENTS)
def test_the_deployment_is_one_by_the_schemas_of_kubernetes_once_applied(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = patch(build(Path(folder), **fields))
    applied = wanted | {"spec": COMPLETE | wanted["spec"]}
    validated = [kubernetes_validate.validate(applied, version, strict=True) for version in (OLDEST, NEWEST)]
    assert validated == [OLDEST, ".".join(NEWEST.split(".")[:2])]


@any_intent
@given(fields=INTENTS)
def test_the_kptfile_is_one_by_the_schema_of_kpt(fields: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        errors = list(
            jsonschema.Draft202012Validator(KPTFILE).iter_errors(load(build(Path(folder), **fields) / "Kptfile"))
        )
    assert errors == []


def test_the_schemas_of_kubernetes_refuse_a_key_that_is_not_meant(tmp_path: Path) -> None:
    wanted = patch(build(tmp_path))
    applied = wanted | {"spec": COMPLETE | wanted["spec"] | {"replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(applied, NEWEST, strict=True)
