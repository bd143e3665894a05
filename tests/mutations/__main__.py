"""``python -m tests.mutations [WORD …]``: take out one safeguard after another; for each, a test must fail.

Each runs in a copy of the tree, and ends with the first test that fails. With words: those that have one of them.
First, all of these tests must pass in a copy without a mutation: else what fails says nothing about the safeguards.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.mutations.table import TABLE, Mutation

ROOT = Path(__file__).parents[2]
SOURCE = Path("src/conductor_loop")
_COPIED = ("src", "tests", "docs", "layers/porch/lib", "pyproject.toml")
_AT_ONCE = 2
_BROKEN = re.compile(
    "Invalid ConditionExpression|unused in expressions|SyntaxError|NameError|UnboundLocalError|ImportError"
)


def main(words: list[str]) -> int:
    """Try the mutations; 1 where a test is missing, or a mutation does nothing but break the program."""
    chosen = [one for one in TABLE if not words or any(word in one.what for word in words)]
    for one in chosen:
        one.applied((ROOT / SOURCE / one.file).read_text())  # or the table is out of date
    tests = tuple(dict.fromkeys(test for one in chosen for test in one.tests))
    with _copied() as tree:
        output = _run(tree, tests)
    if re.search(r"\d+ (failed|error)", output) or " passed" not in output:
        print(f"the tests do not pass without a mutation: {output[-2000:]}")
        return 1
    uncaught = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one, (is_caught, how) in zip(chosen, pool.map(tried, chosen), strict=True):
            print(f"{one.what:<70} {how}", flush=True)
            uncaught += not is_caught
    print(f"{len(chosen)} mutations, {uncaught} not caught")
    return 1 if uncaught else 0


def tried(mutation: Mutation) -> tuple[bool, str]:
    """Run the tests of a mutation; whether one noticed, and which, or what is wrong."""
    with _copied() as tree:
        path = tree / SOURCE / mutation.file
        path.write_text(mutation.applied(path.read_text()))
        return _classified(_run(tree, mutation.tests))


@contextmanager
def _copied() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, tree / name)
        yield tree


def _run(tree: Path, tests: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=short"]
    files = [f"tests/{name}" for name in tests]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "SEED": "0"}
    done = subprocess.run([*command, *files], cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _classified(output: str) -> tuple[bool, str]:
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+::[^\n]*?)(?: - .*)?$", output, re.MULTILINE)
    if failed is None:
        return False, "NOT CAUGHT" if " passed" in output else f"NOT RUN: {output[-300:]}"
    broken = _BROKEN.search(output)
    return broken is None, failed[1] if broken is None else f"MEANINGLESS ({broken[0]}): {failed[1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
