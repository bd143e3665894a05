"""Prometheus's own opinion on what is made for it; ``make setup`` fetches the program."""

import os
import subprocess
from pathlib import Path

import pytest

from dev.stack import ROOT

PROMTOOL = ROOT / ".local/promtool/promtool"

REASON = "promtool is not here: install Prometheus, then `make setup`"
needs_promtool = pytest.mark.skipif(not PROMTOOL.exists() and "CI" not in os.environ, reason=REASON)


def findings(*arguments: str | Path, text: str = "") -> str:
    """Run ``promtool`` with ``text`` as its input; what it says if it is not content, else nothing."""
    assert PROMTOOL.exists(), REASON  # in CI, where a check that is skipped would find nothing
    done = subprocess.run([PROMTOOL, *arguments], input=text, capture_output=True, text=True, check=False, timeout=120)
    return (done.stdout + done.stderr or f"exit code {done.returncode}") if done.returncode else ""
