"""A load that shows everything: each outcome, retries, timeouts, demotions, a broken configuration."""

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import boto3

_WAVES, _SECONDS = 8, 9.0  # between two waves
_WAIT_SECONDS = 300
_WAVE: tuple[tuple[str, int, Mapping[str, Any]], ...] = (  # kinds of intents: tests/e2e/porch/porch goes by them
    ("low", 3, {"priority": "low"}),
    ("high", 4, {"priority": "high"}),
    ("critical", 1, {"priority": "critical"}),  # which no principal may use here
    ("flaky", 2, {}),  # fails twice
    ("slow", 1, {"timeout": "3s"}),  # times out once
    ("stuck", 1, {"timeout": "1s"}),  # times out always
    ("broken", 1, {}),
    ("full", 1, {}),  # finds no space
    ("many", 1, {"replicas": 100_000}),
    ("attack", 1, {"reason": "$(reboot)"}),
)


class Load:
    """Sends it.

    Args:
        session: Of the SDK.
        endpoint: Of the embedded AWS.
        outputs: Of the stack.

    """

    def __init__(self, session: boto3.session.Session, endpoint: str, outputs: Mapping[str, str]) -> None:
        self._s3 = session.client("s3", endpoint_url=endpoint)
        self._functions = session.client("lambda", endpoint_url=endpoint)
        self._ssm = session.client("ssm", endpoint_url=endpoint)
        self._outputs, self._sent = outputs, 0

    def run(self) -> int:
        """Send wave after wave, and wait for the last answer; how many intents that were."""
        for wave in range(_WAVES):
            until = time.monotonic() + _SECONDS
            self._send(wave)
            if wave == _WAVES - 2:
                self._break_configuration()
                self._crash()
            self._sweep()
            self._withdraw(wave)
            self._sweep()
            time.sleep(max(0.0, until - time.monotonic()))
        deadline = time.monotonic() + _WAIT_SECONDS
        while self._waiting():
            if time.monotonic() > deadline:
                raise TimeoutError(f"intents have no answer after {_WAIT_SECONDS} s; look at them with `make up`")
            self._sweep()
            time.sleep(2)
        self._sweep()
        return self._sent

    def _send(self, wave: int) -> None:
        for kind, number, fields in (("good", 5 + 3 * (wave % 4), {}), *_WAVE):
            for one in range(number):
                self._put(f"{kind}-{wave}-{one}", fields)
        self._s3.put_object(Bucket=self._outputs["HandoffBucket"], Key=f"intent-text-{wave}.json", Body=b"no json")
        self._sent += 1

    def _put(self, name: str, fields: Mapping[str, Any]) -> None:
        intent = {"intent_type": "scaling", "target": name, "namespace": "load", "replicas": 2, **fields}
        self._s3.put_object(
            Bucket=self._outputs["HandoffBucket"], Key=f"intent-{name}.json", Body=json.dumps(intent).encode()
        )
        self._sent += 1

    def _withdraw(self, wave: int) -> None:
        """Remove an input that is being tried again: it is skipped then."""
        time.sleep(1)
        self._s3.delete_object(Bucket=self._outputs["HandoffBucket"], Key=f"intent-broken-{wave}-0.json")

    def _break_configuration(self) -> None:
        name = self._outputs["ConfigParameter"]
        good = self._ssm.get_parameter(Name=name)["Parameter"]["Value"]
        self._ssm.put_parameter(Name=name, Value='{"mode": "fast"}', Overwrite=True)
        time.sleep(6)  # longer than a configuration is kept
        self._sweep()
        self._ssm.put_parameter(Name=name, Value=good, Overwrite=True)

    def _crash(self) -> None:
        """Hand the function an event that no service sends."""
        event = b'{"Records": [{"eventSource": "aws:s3"}]}'
        self._functions.invoke(FunctionName=self._outputs["ConductorFunction"], Payload=event)

    def _sweep(self) -> None:
        self._functions.invoke(FunctionName=self._outputs["SweeperFunction"])
        with urllib.request.urlopen(f"{self._outputs['ApiUrl']}/livez", timeout=60):  # noqa: S310 - of this machine
            pass

    def _waiting(self) -> bool:
        found = self._s3.list_objects_v2(Bucket=self._outputs["HandoffBucket"], Prefix="intent-", MaxKeys=1)
        return bool(found.get("Contents"))
