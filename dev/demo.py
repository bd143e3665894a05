"""From intents to packages in one command: deploy onto an embedded AWS, drop samples, compare their statuses."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dev.stack import ROOT, Stack, free_port, read_port

INTENTS = ROOT / "examples/intents"
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Sample:
    """A file to drop, and what must come of it."""

    file: str
    why: str
    expected: str  # "<status> [<code>] → <folder of the input>"


SAMPLES = (
    Sample("intent-scale-up-001.json", "a basic intent", "success → processed/"),
    Sample("intent-emergency-scale-up.json", "an emergency", "success → processed/"),
    Sample("intent-cleanup.json", "scale to zero", "success → processed/"),
    Sample("intent-too-many.json", "breaks the schema", "failed E003 → failed/"),
    Sample("intent-not-json.json", "is not JSON", "failed E001 → failed/"),
    Sample("intent-no-such-deployment.json", "porch fails", "failed E013 → failed/"),
)


class Demo:
    """A deployed stack, used through the SDK: the aws command line takes a second to start."""

    def __init__(self, stack: Stack, outputs: Mapping[str, str]) -> None:
        session = stack.session()
        self._s3 = session.client("s3", endpoint_url=stack.endpoint)
        self._functions = session.client("lambda", endpoint_url=stack.endpoint)
        self._bucket = outputs["HandoffBucket"]
        self._function = outputs["ConductorFunction"]

    def drop(self, sample: Sample) -> None:
        """Copy a sample into the bucket."""
        self._s3.upload_file(str(INTENTS / sample.file), self._bucket, sample.file)

    def outcome(self, sample: Sample) -> str:
        """Wait for a sample's status; what came of it, in the words of ``Sample.expected``."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            keys = self.keys()
            folder = next((key.partition("/")[0] for key in keys if key in _moved(sample.file)), None)
            if f"status/{sample.file}.status" in keys and folder and sample.file not in keys:
                status = self.status(sample.file)
                code = status.get("error_details", {}).get("code", "")
                return " ".join(filter(None, [status["status"], code, "→", f"{folder}/"]))
            time.sleep(0.2)
        return "no answer"

    def status(self, file: str) -> dict[str, Any]:
        """Read a status object."""
        return dict(json.load(self._s3.get_object(Bucket=self._bucket, Key=f"status/{file}.status")["Body"]))

    def keys(self) -> list[str]:
        """List the whole bucket."""
        return [one["Key"] for one in self._s3.list_objects_v2(Bucket=self._bucket).get("Contents", [])]

    def deliver_again(self, file: str) -> str:
        """Hand the function the event of a settled intent once more; what it answers."""
        put = {"key": file, "versionId": self.status(file)["version_id"]}
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self._bucket}, "object": put}}
        event = json.dumps({"Records": [record]})
        return ", ".join(
            json.load(self._functions.invoke(FunctionName=self._function, Payload=event)["Payload"]).values()
        )


def main() -> None:
    """Run the demo; exit 1 if any outcome is not the expected one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", help="of the embedded AWS; a free one by default")
    given = parser.parse_args().port
    with _deployed(read_port(given) if given else free_port()) as demo:
        for sample in SAMPLES:
            demo.drop(sample)
        print(f"{'sample':32}{'what it is':20}{'expected':26}{'actual':26}")
        good = [_report(sample.file, sample.why, sample.expected, demo.outcome(sample)) for sample in SAMPLES]
        before = demo.keys(), demo.status(SAMPLES[0].file)
        again = demo.deliver_again(SAMPLES[0].file)
        good.append(_report(SAMPLES[0].file, "delivered twice", "duplicate", again))
        good.append((demo.keys(), demo.status(SAMPLES[0].file)) == before)
        print("\nin the bucket now:", *demo.keys(), sep="\n  ")
    if not all(good):
        sys.exit("\nsome outcomes are not the expected ones")
    print("\nevery outcome is the expected one; the stack is gone again")


@contextmanager
def _deployed(port: int) -> Iterator[Demo]:
    stack = Stack(port, porch=ROOT / "examples/own-porch/porch")
    if stack.running:
        sys.exit(f"a stack runs on port {port}, and the demo would end it: choose another port, or none")
    try:
        outputs = stack.up()
        print()
        yield Demo(stack, outputs)
    finally:
        stack.down()


def _moved(file: str) -> set[str]:
    return {f"processed/{file}", f"failed/{file}"}


def _report(file: str, why: str, expected: str, actual: str) -> bool:
    good = actual == expected
    print(f"{file:32}{why:20}{expected:26}{actual:26}{'ok' if good else 'NOT AS EXPECTED'}", flush=True)
    return good


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; the stack is gone again")
