"""What is in a package: the promises to Kubernetes, kustomize, kpt and the people who read it."""

import re
from pathlib import Path

import pytest

from tests.unit.porch_program.packages import build, contents, load, patch


def test_a_package_is_a_kptfile_and_a_component(tmp_path: Path) -> None:
    assert sorted(contents(build(tmp_path))) == ["Kptfile", "kustomization.yaml"]


def test_the_kptfile_is_kpts_and_stays_out_of_the_cluster(tmp_path: Path) -> None:
    assert load(build(tmp_path) / "Kptfile") == {
        "apiVersion": "kpt.dev/v1",
        "kind": "Kptfile",
        "metadata": {
            "name": "cnf-simulator-v1.0.0",
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "info": {"description": "Sets spec.replicas of Deployment oran-sim/cnf-simulator to 3"},
    }


def test_the_component_patches_the_deployment_of_this_name_in_whatever_namespace(tmp_path: Path) -> None:
    component = load(build(tmp_path) / "kustomization.yaml")
    (only,) = component.pop("patches")
    assert component == {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": "cnf-simulator-v1.0.0",
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
    }
    assert only["target"] == {"group": "apps", "kind": "Deployment", "name": "cnf-simulator"}
    assert only.keys() == {"target", "patch"}


def test_the_patch_can_be_read_by_people_too(tmp_path: Path) -> None:
    text = (build(tmp_path) / "kustomization.yaml").read_text()
    assert text.endswith("      spec:\n        replicas: 3\n")


def test_an_annotation_is_written_only_for_what_was_given(tmp_path: Path) -> None:
    metadata = patch(build(tmp_path, source="planner"))["metadata"]
    assert metadata["annotations"] == {"nephoran.com/intent-id": "daily-001", "nephoran.com/source": "planner"}


def test_a_file_name_without_an_id_gives_no_annotation_at_all(tmp_path: Path) -> None:
    metadata = patch(build(tmp_path, name="intent.json"))["metadata"]
    assert metadata == {"name": "cnf-simulator"}


def test_scaling_to_zero_is_a_wish_like_any_other(tmp_path: Path) -> None:
    assert patch(build(tmp_path, replicas=0))["spec"] == {"replicas": 0}


def test_three_point_zero_replicas_are_three_as_json_schema_has_it(tmp_path: Path) -> None:
    assert patch(build(tmp_path, replicas=3.0))["spec"] == {"replicas": 3}


@pytest.mark.parametrize(
    ("previous", "expected"),
    [("", "v1.0.0"), ("v1.0.3", "v1.0.4"), ("v1.2.9", "v1.2.10"), ("v0.0.0", "v0.0.1"), ("v10.20.999", "v10.20.1000")],
)
def test_the_version_is_one_patch_above_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, previous: str, expected: str
) -> None:
    monkeypatch.setenv("PORCH_PREVIOUS_VERSION", previous)
    assert build(tmp_path).name == f"cnf-simulator-{expected}"


@pytest.mark.parametrize("length", [1, 63, 245, 246, 247, 253])
def test_the_package_name_is_legal_for_targets_of_any_length(tmp_path: Path, length: int) -> None:
    package = build(tmp_path, target="a" * length)
    assert len(package.name) <= 253
    assert re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", package.name)
    assert package.name.endswith("-v1.0.0")
    assert patch(package)["metadata"]["name"] == "a" * length


def test_two_long_targets_with_the_same_beginning_get_two_packages(tmp_path: Path) -> None:
    one, other = "a" * 252 + "b", "a" * 252 + "c"
    assert build(tmp_path / "one", target=one).name != build(tmp_path / "other", target=other).name


def test_a_cut_target_does_not_leave_a_double_dash(tmp_path: Path) -> None:
    assert "--" not in build(tmp_path, target="a" * 200 + "-" * 52 + "b").name


def test_the_senders_words_stay_on_one_line(tmp_path: Path) -> None:
    reason = "<script>x</script>\n\n# Heading\n\n[a](javascript:x) ``` {package} {0} \u2028 \x0b end"
    package = build(tmp_path, reason=reason)
    text = (package / "kustomization.yaml").read_text()
    assert len([line for line in text.splitlines() if "script" in line or "Heading" in line]) == 1
    assert patch(package)["metadata"]["annotations"]["nephoran.com/reason"] == reason


def test_the_senders_words_reach_no_other_file_than_the_component(tmp_path: Path) -> None:
    package = build(tmp_path, reason="marker-of-the-sender", metadata={"note": "another marker-of-the-sender"})
    holding = [name for name, content in contents(package).items() if b"marker-of-the-sender" in content]
    assert holding == ["kustomization.yaml"]
    assert all(content.count(b"marker") <= 1 for content in contents(package).values())
