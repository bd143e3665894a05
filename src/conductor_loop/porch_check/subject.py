"""The program under test, and the two ways to run it: as conductor-loop does, and with its directory kept open."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from conductor_loop.porch import Credentials, Kubeconfig, Limits, Mode, Porch, PorchFailed, Request, Result
from conductor_loop.porch.process import Ended, execute
from conductor_loop.porch.workspace import Workspace, workspace

FILE = "intent-porch-check.json"
INTENT: Mapping[str, Any] = {
    "intent_type": "scaling",
    "target": "cnf-simulator",
    "namespace": "oran-sim",
    "replicas": 3,
    "reason": "porch-check",
}


class Broken(Exception):  # noqa: N818 - reads as what happened
    """A rule is not kept; the message is what the program did, a clause."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What is unusual about a run: by default, nothing."""

    content: bytes | None = None  # of the intent's file
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None
    grace_seconds: float = Limits().grace_seconds
    elsewhere: bool = False  # run in another directory than the intent's


@dataclass(frozen=True)
class Subject:
    """A program and its environment. It runs through the runner that the function uses, with its limits."""

    path: str
    work_root: Path  # private to us; runs are made and removed below it
    intent: Mapping[str, Any] = field(default_factory=lambda: INTENT)  # a valid one that the program can fulfil
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    kubeconfig: Kubeconfig | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)
    wait: Callable[[float], None] = time.sleep

    @cached_property
    def first(self) -> Result | PorchFailed:
        """The first run, on the intent as it is."""
        try:
            return self.run()
        except PorchFailed as failed:
            return failed

    @property
    def good(self) -> Result:
        """The first run, which succeeded: no rule that asks for it is checked otherwise."""
        assert isinstance(self.first, Result)  # noqa: S101 - the suite has checked it
        return self.first

    def run(
        self, mode: Mode = Mode.DIRECT, *, environment: Mapping[str, str] | None = None, **changes: object
    ) -> Result:
        """Run it as the function does, on the intent with some fields changed. Raises `PorchFailed`."""
        porch = replace(self._porch(mode), environment={**self.environment, **(environment or {})})
        return porch.run(Request(FILE, {**self.intent, **changes}, self.timeout_seconds))

    def after(self, version: str, replicas: int) -> Result:
        """Run it as for a target that has a package already. Raises `PorchFailed`."""
        return self._porch(Mode.DIRECT).run(Request(FILE, self.intent, self.timeout_seconds, version, replicas))

    @contextmanager
    def left(self, raw: Raw | None = None) -> Iterator[tuple[Ended, Workspace]]:
        """Run it once, and yield how it ended and the directory it ran in, before that is removed."""
        raw = raw or Raw()
        content = json.dumps(dict(self.intent), indent=2).encode() if raw.content is None else raw.content
        porch = replace(self._porch(Mode.DIRECT), environment={**self.environment, **raw.environment})
        given = self.kubeconfig.content if self.kubeconfig else None
        with workspace(self.work_root, FILE, content, given) as space:
            command = porch.command(Request(FILE, {}, raw.timeout_seconds or self.timeout_seconds), space)
            if raw.elsewhere:
                command = replace(command, directory=space.home)
            yield execute(command, replace(self.limits, grace_seconds=raw.grace_seconds)), space

    def _porch(self, mode: Mode) -> Porch:
        given = self.kubeconfig
        credentials = Credentials(lambda: given, lambda found: found) if given else None
        return Porch(self.path, mode, self.environment, self.work_root, self.limits, credentials=credentials)
