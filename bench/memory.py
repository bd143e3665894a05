"""The peak of the function's memory, for an input of a kilobyte and for one of ten megabytes.

Each in a process of its own, warm, with AWS as canned answers: what is counted is the whole process, libraries and all.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

from bench.cpu import canned_porch, queued_records, with_porch
from bench.function import ROOT, clients, environment, function, intent, invoke
from bench.lines import Line, bounded, reported
from bench.wire import Wire

MEGABYTE = 1024 * 1024
SMALLEST_FUNCTION = 768  # MB: the template's least MemorySize
_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/normal"


def large_intent(size: int) -> bytes:
    """Write a valid intent of nearly so many bytes: thousands of notes of a thousand letters each."""
    few = {f"group-{group}": ["a" * 1000] * 100 for group in range((size - 2000) // (100 * 1004 + 20))}
    return intent(metadata=few)


def peak_megabytes(size: int) -> float:
    """Run the queued path once for an input of this size, in another process; its peak."""
    command = [sys.executable, "-m", "bench.memory", str(size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def run() -> list[Line]:
    """Measure both."""
    small, large = peak_megabytes(1024), peak_megabytes(10 * MEGABYTE)
    grown = (large - small) / 10
    return [
        reported("memory", "peak for an input of 1 KB", f"{small:.0f} MB", small),
        bounded("memory", "peak for an input of 10 MB", large, SMALLEST_FUNCTION, " MB", f"{grown:.1f} x the input"),
    ]


def main() -> None:
    """Print the peak of this process in megabytes, once the function has done an input of the size given."""
    size = int(sys.argv[1])
    body = large_intent(size) if size > MEGABYTE else intent()
    with function(environment(_QUEUE)):
        with_porch(canned_porch())
        wire = Wire(lambda _: body)
        wire.under(clients())
        event, message = queued_records(body=body)
        assert "queued" in invoke(event).values()
        assert not invoke(message)["batchItemFailures"]
    print(peak_kilobytes() / 1024)


def peak_kilobytes() -> int:
    """Read the peak since this program began; ``ru_maxrss`` would count its parent, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))
    unit = 1024 if sys.platform == "darwin" else 1  # bytes there
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


if __name__ == "__main__":
    main()
