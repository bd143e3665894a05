"""What is in a package: the promises to Kubernetes, kustomize, kpt and the people who read it."""

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.porch_program.packages import build, contents, load

FILES = ["Kptfile", "README.md", "deployment-patch.yaml", "kustomization.yaml"]


def test_a_package_is_a_kptfile_a_kustomization_a_patch_and_a_readme(tmp_path: Path) -> None:
    assert sorted(contents(build(tmp_path))) == FILES


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


def test_the_kustomization_uses_todays_fields_only(tmp_path: Path) -> None:
    assert load(build(tmp_path) / "kustomization.yaml") == {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "metadata": {
            "name": "cnf-simulator-v1.0.0",
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "resources": ["deployment-patch.yaml"],
    }


def test_an_annotation_is_written_only_for_what_was_given(tmp_path: Path) -> None:
    metadata = load(build(tmp_path, source="planner") / "deployment-patch.yaml")["metadata"]
    assert metadata["annotations"] == {"nephoran.com/intent-id": "daily-001", "nephoran.com/source": "planner"}


def test_a_file_name_without_an_id_gives_no_annotation_at_all(tmp_path: Path) -> None:
    metadata = load(build(tmp_path, name="intent.json") / "deployment-patch.yaml")["metadata"]
    assert metadata == {"name": "cnf-simulator", "namespace": "oran-sim"}


def test_scaling_to_zero_is_a_wish_like_any_other(tmp_path: Path) -> None:
    assert load(build(tmp_path, replicas=0) / "deployment-patch.yaml")["spec"] == {"replicas": 0}


def test_three_point_zero_replicas_are_three_as_json_schema_has_it(tmp_path: Path) -> None:
    assert load(build(tmp_path, replicas=3.0) / "deployment-patch.yaml")["spec"] == {"replicas": 3}


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
    assert load(package / "deployment-patch.yaml")["metadata"]["name"] == "a" * length


def test_two_long_targets_with_the_same_beginning_get_two_packages(tmp_path: Path) -> None:
    one, other = "a" * 252 + "b", "a" * 252 + "c"
    assert build(tmp_path / "one", target=one).name != build(tmp_path / "other", target=other).name


def test_a_cut_target_does_not_leave_a_double_dash(tmp_path: Path) -> None:
    assert "--" not in build(tmp_path, target="a" * 200 + "-" * 52 + "b").name


def test_the_readme_shows_the_senders_words_on_one_indented_line(tmp_path: Path) -> None:
    reason = "<script>x</script>\n\n# Heading\n\n[a](javascript:x) ``` {package} {0} \u2028 \x0b end"
    readme = (build(tmp_path, reason=reason) / "README.md").read_text()
    lines = [line for line in readme.splitlines() if "script" in line or "Heading" in line]
    assert len(lines) == 1
    assert lines[0].startswith("    nephoran.com/reason: ")
    assert yaml.safe_load(lines[0].strip()) == {"nephoran.com/reason": reason}


def test_the_senders_words_reach_no_other_file_than_the_patch_and_the_readme(tmp_path: Path) -> None:
    package = build(tmp_path, reason="marker-of-the-sender", metadata={"note": "another marker-of-the-sender"})
    holding = [name for name, content in contents(package).items() if b"marker-of-the-sender" in content]
    assert sorted(holding) == ["README.md", "deployment-patch.yaml"]
    assert all(content.count(b"marker") <= 1 for content in contents(package).values())


def test_the_readme_says_unknown_when_nobody_knows_the_replicas(tmp_path: Path) -> None:
    assert "Replicas: unknown -> 3." in (build(tmp_path) / "README.md").read_text()
