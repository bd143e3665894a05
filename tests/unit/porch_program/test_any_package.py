"""What holds for the package of any valid intent: 25 of them, the same ones in every run."""

import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings

from tests.unit.porch_program.packages import INTENTS, build, contents, load, patch

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


@settings(max_examples=25, deadline=None, derandomize=True)
@given(fields=INTENTS)
def test_a_package_is_the_one_meant_by_the_schemas_of_kpt_and_kubernetes_and_both_versions_of_yaml(
    fields: dict[str, Any],
) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as another:
        package = build(Path(folder), **fields)
        again = build(Path(another), **fields)
        assert (package.name, contents(package)) == (again.name, contents(again))
        wanted, component, kptfile = patch(package), load(package / "kustomization.yaml"), load(package / "Kptfile")
    local = {"name": package.name, "annotations": {"config.kubernetes.io/local-config": "true"}}
    assert wanted == expected_patch(fields, "daily-001")
    assert component.keys() == {"apiVersion", "kind", "metadata", "patches"}
    assert component["metadata"] == kptfile["metadata"] == local
    assert [each["target"]["name"] for each in component["patches"]] == [fields["target"]]
    assert sorted(kptfile) == ["apiVersion", "info", "kind", "metadata"]
    jsonschema.validate(kptfile, KPTFILE, jsonschema.Draft202012Validator)
    applied = wanted | {"spec": COMPLETE | wanted["spec"]}
    validated = [kubernetes_validate.validate(applied, version, strict=True) for version in (OLDEST, NEWEST)]
    assert validated == [OLDEST, ".".join(NEWEST.split(".")[:2])]


def test_the_schemas_of_kubernetes_refuse_a_key_that_is_not_meant(tmp_path: Path) -> None:
    wanted = patch(build(tmp_path))
    applied = wanted | {"spec": COMPLETE | wanted["spec"] | {"replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(applied, NEWEST, strict=True)
