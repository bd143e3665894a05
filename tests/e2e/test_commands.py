"""The examples in the help of every command, run as they stand against the deployed template."""

import os
import subprocess
from pathlib import Path

from dev.commands import leaves
from dev.stack import LOCAL
from tests.e2e.conftest import Deployed
from tests.helps import examples, offices

OTHERWISE = {  # the exit code of those that cannot end well here
    "conductor-loop watch": 2,  # no terminal
    "conductor-loop watch --interval 5": 2,
    "conductor-loop token revoke 9f2c4d1e8a7b6c50": 2,  # nobody has this token
    "conductor-loop undo intent-scale-up-001.json": 1,  # sent twice, it left the replicas as they were
    "conductor-loop undo intent-scale-up-001.json --wait": 1,
}


def test_every_example_runs(deployed: Deployed, tmp_path: Path) -> None:
    folder = offices(tmp_path)
    body = b"not JSON"
    deployed.s3.put_object(Bucket=deployed.bucket, Key="intent-no-such-deployment.json", Body=body)
    deployed.wait_for("intent-no-such-deployment.json")
    environment = deployed.stack.aws_environment | {"STACK_NAME": "conductor-loop"}
    environment["PATH"] = f"{LOCAL / 'bin'}{os.pathsep}{environment['PATH']}"
    wrong = []
    for line in (line for path, _ in leaves() for line in examples(path)):
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != OTHERWISE.get(line, 0):
            wrong.append(f"{line}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    assert wrong == []
