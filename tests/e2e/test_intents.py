from pathlib import Path

import pytest

from dev.stack import ROOT
from tests.e2e.conftest import Deployed

EXAMPLES = ROOT / "examples/intents"
GOOD = ("intent-scale-up-001.json", "intent-emergency-scale-up.json", "intent-cleanup.json")
PACKAGE = {"Kptfile", "kustomization.yaml"}


def test_examples_that_are_copied_in_become_packages(deployed: Deployed) -> None:
    deployed.copy(*(EXAMPLES / file for file in GOOD))
    deployed.wait_for(*GOOD)
    for file in GOOD:
        status = deployed.status(file)
        assert status["status"] == "success"
        keys = deployed.keys(status["package"]["prefix"])
        assert {key.removeprefix(status["package"]["prefix"]) for key in keys} == PACKAGE
        assert deployed.read(f"processed/{file}") == (EXAMPLES / file).read_bytes()


@pytest.mark.parametrize(("file", "code"), [("intent-too-many.json", "E003"), ("intent-not-json.json", "E001")])
def test_a_wrong_example_fails_and_is_kept(deployed: Deployed, file: str, code: str) -> None:
    deployed.copy(EXAMPLES / file)
    deployed.wait_for(file)
    assert deployed.status(file)["error_details"]["code"] == code
    assert deployed.read(f"failed/{file}") == (EXAMPLES / file).read_bytes()


def test_a_wrong_name_is_answered_too(deployed: Deployed, tmp_path: Path) -> None:
    file = tmp_path / "intent-with space+plus.json"
    file.write_text("{}")
    deployed.copy(file)
    deployed.wait_for(file.name)
    assert deployed.status(file.name)["error_details"]["error_code"] == "INVALID_NAME"
    assert f"failed/{file.name}" in deployed.keys("failed/")


def test_an_input_over_the_size_limit_is_refused_and_kept(deployed: Deployed, tmp_path: Path) -> None:
    file = tmp_path / "intent-large.json"
    file.write_bytes(b" " * 11_000_000)
    deployed.copy(file)
    deployed.wait_for(file.name)
    assert deployed.status(file.name)["error_details"]["code"] == "E002"
    assert len(deployed.read(f"failed/{file.name}")) == 11_000_000


def test_the_event_delivered_again_has_no_second_effect(deployed: Deployed) -> None:
    deployed.put("intent-twice.json")
    deployed.wait_for("intent-twice.json")
    answer = deployed.invoke("intent-twice.json", deployed.status("intent-twice.json")["version_id"])
    assert list(answer.values()) == ["duplicate"]
    assert len(deployed.keys("packages/e2e/intent-twice/")) == len(PACKAGE)


def test_a_name_sent_again_is_a_new_intent_with_a_new_status(deployed: Deployed) -> None:
    deployed.put("intent-again.json", target="again", replicas=1)
    deployed.wait_for("intent-again.json")
    first = deployed.status("intent-again.json")
    deployed.put("intent-again.json", target="again", replicas=2)
    deployed.wait_for("intent-again.json")
    second = deployed.status("intent-again.json")
    assert (first["package"]["name"], second["package"]["name"]) == ("again-v1.0.0", "again-v1.0.1")
    assert b"replicas: 2" in deployed.read(f"{second['package']['prefix']}kustomization.yaml")


def test_many_intents_for_one_target_leave_the_newest_applied(deployed: Deployed) -> None:
    files = [f"intent-pile-{number}.json" for number in range(8)]
    for number, file in enumerate(files):
        deployed.put(file, target="pile", replicas=number)
    deployed.wait_for(*files)
    statuses = {deployed.status(file)["status"] for file in files}
    assert statuses <= {"success", "skipped"}
    assert deployed.status(files[-1])["status"] == "success"
    item = deployed.dynamodb.get_item(
        TableName=deployed.outputs["StateTable"], Key={"pk": {"S": "target#e2e/pile"}, "sk": {"S": "-"}}
    )["Item"]
    assert item["replicas"] == {"N": "7"}
