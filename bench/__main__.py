"""Every figure of the project in one run: `make bench`.

Prints a table with target, figure, met or not; writes it as JSON, into docs/performance.md, and so docs/cost.md. A
target that is missed is a figure like any other: the exit code is 1 only where an intent was lost or done twice.
"""

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import batch, burst, calls, cold_start, cpu, dollars, history, memory, peer, porch
from bench.cost import PRICES_OF, SOURCES
from bench.function import ROOT, say
from bench.lines import Line, markdown, text
from dev import cost as cost_page

DOCUMENT = ROOT / "docs/performance.md"
JSON = ROOT / ".local/bench/results.json"
_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


@dataclass
class Run:
    """One run of everything, and what later parts need of earlier ones."""

    peer: str | None
    lines: list[Line] = field(default_factory=list)

    def everything(self) -> None:
        """Run every part. The stack is started last: nothing else runs while the others are timed."""
        found = self._timed("calls", calls.paths)
        self.lines += calls.run(found)
        spent = self._timed("CPU", cpu.measure)
        self.lines += cpu.run(spent)
        self.lines += self._timed("memory", memory.run)
        lines, porch_seconds = self._timed("porch", porch.run)
        self.lines += lines
        self.lines += dollars.run(found, spent.whole / 1e3, porch_seconds)
        self.lines += self._timed("batch", batch.run)
        self.lines += self._timed("history", history.run)
        with ExitStack() as stack:
            target = self._timed("stack", lambda: stack.enter_context(burst.started()))
            self.lines += self._timed("cold start", lambda: cold_start.run(target.build))
            for count in (1000, 5000):
                self.lines += self._timed(f"burst of {count}", partial(burst.run, target, count))
        self.lines += self._timed("peer", lambda: peer.run(self.peer, 1000))

    def _timed[T](self, part: str, action: Callable[[], T]) -> T:
        begun = time.monotonic()
        result = action()
        say(f"{part:14}{time.monotonic() - begun:6.0f} s")
        return result


def machine() -> str:
    """Say what this ran on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", facts.read_text(), re.MULTILINE) if facts.exists() else None
    model = f", {found[1]}" if found else ""
    return f"{platform.system()} {platform.machine()}{model}, {cores} cores, Python {platform.python_version()}"


def write_document(lines: list[Line], seconds: float) -> None:
    """Put the figures between the marks of the document."""
    sources = ", ".join(f"[{service}]({url})" for service, url in SOURCES.items())
    header = f"Measured on {datetime.now(UTC):%Y-%m-%d}, on {machine()}, in {seconds / 60:.0f} minutes.\n"
    footer = f"\nPrices: us-east-1, {PRICES_OF}; {sources}."
    body = "\n".join((_BEGIN, header, markdown(lines), footer, _END))
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(_BEGIN)
    DOCUMENT.write_text(before + body + rest.partition(_END)[2])


def main() -> int:
    """Run it; 1 where an intent was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PATH", help="another conductor-loop, to be run on the same intents")
    parser.add_argument(
        "--no-document", action="store_true", help="leave docs/performance.md and docs/cost.md as they are"
    )
    arguments = parser.parse_args()
    begun = time.monotonic()
    run = Run(arguments.peer)
    run.everything()
    seconds = time.monotonic() - begun
    JSON.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "seconds": round(seconds), "lines": [asdict(line) for line in run.lines]}
    JSON.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if not arguments.no_document:
        write_document(run.lines, seconds)
        cost_page.main()
    print(text(run.lines))
    say(f"{seconds:.0f} s in all; as JSON: {JSON.relative_to(ROOT)}")
    return 1 if any(line.section == "scale" and line.met is False for line in run.lines) else 0


if __name__ == "__main__":
    sys.exit(main())
