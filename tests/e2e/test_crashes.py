from pathlib import Path

import pytest

from tests.e2e.conftest import Deployed

# The calls of a clean run: read, target, claim, two files, decide, status, look at the live tree, write it, copy,
# remove. tests/integration kills at each of them, before and after; here the deployed function dies after each step.
STEPS = {
    "claim": "after-3",
    "porch": "before-4",
    "half the upload": "after-4",
    "upload": "before-6",
    "decide": "after-6",
    "status": "after-7",
    "live tree": "after-9",
    "copy": "after-10",
    "remove": "after-11",
}


@pytest.mark.long  # tests/explorer kills a worker before and after each of its calls, in memory
def test_a_function_killed_after_any_step_is_finished_by_the_redelivery(deployed: Deployed) -> None:
    files = {step: f"intent-kill-{point}.json" for step, point in STEPS.items()}
    for file in files.values():
        # Critical: in the invocation of its event, which Lambda makes again. Short, so that the lease runs out soon.
        deployed.put(file, priority="critical", timeout="6s")
    deployed.wait_for(*files.values(), seconds=180)
    killed = {path.name for path in Path(deployed.stack.environment["CHAOS_MARKERS"]).iterdir()}
    for step, file in files.items():
        assert file in killed, step
        assert deployed.status(file)["status"] == "success", step
        assert f"processed/{file}" in deployed.keys("processed/"), step
        package = deployed.status(file)["package"]
        assert deployed.keys(package["prefix"]) == [f"{package['prefix']}{path}" for path in package["files"]], step
