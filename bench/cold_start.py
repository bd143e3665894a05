"""What a function's cold start costs in CPU, as it is deployed, against a handler written without a thought for it.

Both import what they need, make the clients, the logger and the metrics, and admit, log and count a first intent; none
calls AWS. Ours is what `sam build` makes; the other has the same libraries as they are installed, compiled ahead. A
third one shows it as SAM's own builder packs it: without byte code, so that Lambda, where it can be kept nowhere,
compiles it at every start. Each start is an interpreter of its own, alternately.
"""

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from bench.function import ROOT, environment
from bench.lines import Line, bounded, reported

MOST_TIMES = 1.15
ROUNDS = 12
_BYTE_CODE = ROOT / ".local/bench/byte-code"
_INTENT = json.dumps({"intent_type": "scaling", "target": "a", "namespace": "b", "replicas": 3})
_NAIVE = f"""
import json
import boto3
import jsonschema
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
s3, dynamodb, sqs, ssm = (boto3.client(name) for name in ("s3", "dynamodb", "sqs", "ssm"))
logger, metrics = Logger(service="naive"), Metrics(namespace="Naive", service="naive")
with open({str(ROOT / "schemas/intent.schema.json")!r}) as file:
    schema = json.load(file)
def handler(body):
    jsonschema.validate(json.loads(body), schema)
    logger.info("answered")
    metrics.add_metric("FilesProcessed", MetricUnit.Count, 1)
    metrics.flush_metrics()
handler({_INTENT!r})
"""
OURS = f"""
import time
from conductor_loop import handlers
from conductor_loop import bootstrap, metrics
from conductor_loop.counting import OVERDUE, REDELIVERED, UNSETTLED, Counted
from conductor_loop.validation import validate
app = handlers._app("bench")
bootstrap.client("ssm")
validate({_INTENT.encode()!r}, app.config.rules, "intent-a.json")
metrics.logger().info("answered")
metrics.emit(Counted({{UNSETTLED: 1, OVERDUE: 0, REDELIVERED: 0}}), app.config.metering, time.time())
"""
_TIMED = """
import sys, time
begun, wall = time.process_time(), time.perf_counter()
sys.path[:0] = {paths!r}
{code}
print(f"\\n{{(time.process_time() - begun) * 1e3}} {{(time.perf_counter() - wall) * 1e3}}")
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One way to start: the code, where its libraries are, and where their byte code is if not beside them."""

    code: str
    paths: tuple[Path, ...]
    byte_code: Path | None = None
    keeps_byte_code: bool = True

    def milliseconds(self) -> float:
        """Start it once; the CPU that it takes."""
        cache = ["-X", f"pycache_prefix={self.byte_code}"] if self.byte_code else []
        cache += [] if self.keeps_byte_code else ["-B"]
        done = subprocess.run(
            [str(Path(sys.executable).resolve()), "-I", "-S", *cache, "-c", self._program()],
            env={"PATH": "/usr/bin:/bin"} | environment("https://sqs.us-east-1.amazonaws.com/123456789012/normal"),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return float(done.stdout.split()[-2])

    def _program(self) -> str:
        return _TIMED.format(paths=[str(path) for path in self.paths], code=self.code)


def run(build: Path) -> list[Line]:
    """Start both alternately. ``build`` is what `sam build` made."""
    site = Path(sysconfig.get_paths()["purelib"])
    deployed = (build / "ConductorFunction", build / "LibraryLayer/python")
    starts = {
        "naive": Start(_NAIVE, (site,), _BYTE_CODE),
        "naive, uncompiled": Start(_NAIVE, (site,), _BYTE_CODE.with_name("none"), keeps_byte_code=False),
        "ours": Start(OURS, deployed),
        "ours, libraries as installed": Start(OURS, (build / "ConductorFunction", site), _BYTE_CODE),
        "sweeper": Start(OURS.replace('bootstrap.client("ssm")', ""), (build / "SweeperFunction", deployed[1])),
    }
    times: dict[str, list[float]] = {name: [] for name in starts}
    for start in starts.values():
        start.milliseconds()  # compiles what is not yet
    for _ in range(ROUNDS):
        for name, start in starts.items():
            times[name].append(start.milliseconds())
    return _lines(times)


def _lines(times: dict[str, list[float]]) -> list[Line]:
    least = {name: min(each) for name, each in times.items()}
    ratio = least["ours"] / least["naive"]  # what disturbs only adds
    note = f"{least['ours']:.0f} ms of CPU against {least['naive']:.0f} ms"
    lines = [bounded("cold start", "the conductor, of a naive handler", ratio, MOST_TIMES, " x", note)]
    for what, one, base in (
        ("the conductor, of a naive handler as SAM packs it, without byte code", "ours", "naive, uncompiled"),
        ("the conductor with libraries as installed, of a naive handler", "ours, libraries as installed", "naive"),
        ("the sweeper, of a naive handler", "sweeper", "naive"),
    ):
        ratio = least[one] / least[base]
        lines.append(
            reported("cold start", what, f"{ratio:.2f} x", ratio, f"{least[one]:.0f} against {least[base]:.0f} ms")
        )
    return lines
