"""While an entry point is imported the garbage collector waits; then it works, and passes over what is there."""

import json
import subprocess
import sys

import pytest

from tests.unit.test_template import RESOURCES

MODULES = sorted(
    {
        one["Properties"]["Handler"].rpartition(".")[0]
        for one in RESOURCES.values()
        if one["Type"] == "AWS::Serverless::Function"
    }
)
PROGRAM = """
import gc, importlib, json, sys
def collections(): return sum(one["collections"] for one in gc.get_stats())
before = collections()
importlib.import_module(sys.argv[1])
print(json.dumps([collections() - before, gc.isenabled(), gc.get_freeze_count()]))
"""


@pytest.mark.parametrize("module", MODULES)
def test_an_import_collects_no_garbage(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, module], capture_output=True, text=True, check=True)
    collections, works, kept = json.loads(done.stdout)
    assert collections <= 1, "before the first line of ours"
    assert works
    assert kept > 10_000
