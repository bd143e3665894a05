"""examples/: its table, its porch, its manifests."""

import re
from pathlib import Path

from click.testing import CliRunner

from conductor_loop.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_every_example_is_in_the_table_and_is_there() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text())
    assert all((EXAMPLES / link).exists() for link in linked)
    there = {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
    assert {link.partition("/")[0] for link in linked} == there


def test_the_porch_of_ones_own_keeps_every_rule() -> None:
    result = CliRunner().invoke(main, ["porch-check", str(EXAMPLES / "patch-porch/bin/porch"), "--timeout", "60"])
    assert result.exit_code == 0, result.output


def test_the_manifests_are_those_that_the_documentation_explains() -> None:
    documented = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/gitops.md").read_text(), re.DOTALL)
    for name in ("flux.yaml", "argo-cd.yaml"):
        comment, _, manifests = (EXAMPLES / "gitops" / name).read_text().partition("\n")
        assert comment.startswith("# ")
        assert manifests in documented
