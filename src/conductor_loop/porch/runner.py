"""Runs the program that makes a package of an intent, and reads the package back.

Porch is any program that keeps the contract: ``porch -intent FILE -out DIRECTORY [-structured]``, its exit codes, its
output and the files it leaves (specification, "Porch Integration Interface").
"""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from conductor_loop.errors import Cause, NoCredentials
from conductor_loop.intent import FILE_NAME
from conductor_loop.porch import report as reports
from conductor_loop.porch.kubeconfig import Credentials, Kubeconfig
from conductor_loop.porch.process import Command, Ended, Limits, Stop, execute
from conductor_loop.porch.report import SCALE, Delivered, Mask
from conductor_loop.porch.workspace import Package, Unusable, Workspace, build_package, clean_up, workspace

# Names in porch's environment that are ours: `porch.environment` cannot change them.
RESERVED = frozenset(
    {"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG", "KUBECONFIG"}
    | {"PORCH_PREVIOUS_VERSION", "PORCH_PREVIOUS_REPLICAS", "PORCH_DELIVERY", "PORCH_DEADLINE"}
)
# The interpreter that runs us first: on Lambda it is /var/lang/bin, and a porch in Python finds no other.
_PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/opt/bin"
_LIBRARIES = f"{sys.base_prefix}/lib"  # without it the interpreter of Lambda (/var/lang) does not find its own library
_STALE = {Cause.INSUFFICIENT_PERMISSIONS, Cause.NETWORK_ERROR}  # what credentials that are too old look like
_DRY_RUN = "-dry-run"


class Mode(StrEnum):
    """How porch reports: the specification's "direct" text or its "structured" JSON."""

    DIRECT = "direct"
    STRUCTURED = "structured"


@dataclass(frozen=True, slots=True)
class PorchRequest:
    """What one run is to do."""

    file: str  # the intent's file name, "intent-a.json"
    document: Mapping[str, Any] = field(repr=False)  # the validated intent
    timeout_seconds: float
    previous_version: str | None = None  # of the target's last package, "v1.0.3"
    previous_replicas: int | None = None  # of the target's last package
    not_after: float = math.inf  # epoch seconds: the end of the lease
    dry_run: bool = False  # make the package, and change nothing anywhere


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as it may be shown: bounded, without secrets or control characters but newline and tab."""

    exit_code: int | None  # None: never started; -1: ended by us for time; otherwise negative: the signal
    stdout: str
    stderr: str
    duration_seconds: float


_NOT_STARTED = Run(None, "", "", 0.0)


@dataclass(frozen=True, slots=True)
class Result:
    """A successful run: the package, and porch's document in structured mode."""

    package: Package
    run: Run
    report: Mapping[str, Any] | None = None
    delivered: Delivered = field(default_factory=Delivered)


class PorchFailed(Exception):  # noqa: N818 - reads as what happened
    """A run without a package: what happened, what to do next, and how far it got before, where porch reports it."""

    def __init__(self, cause: Cause, run: Run, message: str, delivered: Delivered | None = None) -> None:
        super().__init__(message)
        self.cause, self.run, self.delivered = cause, run, delivered


class NoDryRun(PorchFailed):
    """A dry run that was not started: this porch knows none, and would change something."""


@dataclass(frozen=True, slots=True)
class Porch:
    """Which program, and how it is run. May be used by several threads at once."""

    path: str  # absolute, relative to our directory, or a name to be found on the fixed PATH
    mode: Mode = Mode.DIRECT
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets; see RESERVED
    work_root: Path = Path("/tmp/conductor-loop")  # noqa: S108 - all that Lambda lets us write; its owner is checked
    limits: Limits = field(default_factory=Limits)
    cleans: Path | None = None  # where this user runs nothing else: what runs leave is killed and removed
    credentials: Credentials[Any] | None = field(default=None, repr=False)  # for a cluster; None: porch works offline
    delivery: str = ""  # how the package is delivered; empty: porch decides

    def run(self, request: PorchRequest) -> Result:
        """Run porch on an intent, to its end or to its timeout; afterwards nothing of the run is left.

        Raises `PorchFailed` for any failure of porch, its package or the system, and `ValueError` for a file name that
        is no intent's.
        """
        if not FILE_NAME.fullmatch(request.file):
            raise ValueError(f"not an intent's file name: {request.file!r}")
        deadline = time.monotonic() + request.timeout_seconds  # the credentials and the directory take of it, too
        try:
            kubeconfig = self.credentials.kubeconfig(request.timeout_seconds) if self.credentials else None
        except NoCredentials as error:
            raise PorchFailed(error.cause, _NOT_STARTED, f"porch was not started: {error}.") from None
        with clean_up(self.cleans, self.work_root.absolute()):
            return self._run(request, kubeconfig, deadline)

    def command(self, request: PorchRequest, space: Workspace) -> Command:
        """Return what is started for a request: the arguments, and the whole of the environment."""
        path = str(Path(self.path).absolute()) if os.sep in self.path else self.path
        flags = ("-structured",) if self.mode is Mode.STRUCTURED else ()
        dry_run = (_DRY_RUN,) if request.dry_run else ()
        argv = (path, *dry_run, "-intent", str(space.intent), "-out", str(space.out), *flags)
        return Command(argv, space.path, self._environment(request, space), request.timeout_seconds)

    def _run(self, request: PorchRequest, kubeconfig: Kubeconfig | None, deadline: float) -> Result:
        run, mask = _NOT_STARTED, reports.build_mask(kubeconfig.secrets if kubeconfig else ())
        files = (json.dumps(dict(request.document), indent=2).encode(), kubeconfig.content if kubeconfig else None)
        try:
            if request.dry_run:
                self._check_dry_run(request, deadline)
            with workspace(self.work_root.absolute(), request.file, *files) as space:
                ended = self._execute(request, space, deadline)
                kept = self.limits.kept_output_bytes
                stdout, stderr = (reports.sanitize(stream, kept, mask) for stream in (ended.stdout, ended.stderr))
                exit_code = -1 if ended.stopped is Stop.TIME else ended.exit_code  # -1: as the specification has it
                run = Run(exit_code, stdout, stderr, ended.duration_seconds)
                reports.check_exit(ended, self.limits)
                package, report = self._read(request, space, ended, mask)
        except Unusable as problem:
            if self.credentials and problem.cause in _STALE:
                self.credentials.forget()
            # Not chained: the problem may quote a name that porch chose.
            message = mask.text(reports.explain(problem, run.stderr))
            raise PorchFailed(problem.cause, run, message, self._so_far(run)) from None
        document = report if self.mode is Mode.STRUCTURED else None
        return Result(package, run, document, reports.delivered(report, run.stderr))

    def _check_dry_run(self, request: PorchRequest, deadline: float) -> None:
        """Look for the flag in porch's help, without intent or kubeconfig: a porch may ignore unknown flags."""
        with workspace(self.work_root.absolute(), request.file, b"") as space:
            helped = self._execute(request, space, deadline, "-help")
        if _DRY_RUN.encode() not in helped.stdout + helped.stderr:
            text = f"this porch knows no dry run: its -help does not name {_DRY_RUN}"
            raise NoDryRun(Cause.PORCH_FAILED, Run(None, "", "", helped.duration_seconds), text)

    def _so_far(self, run: Run) -> Delivered | None:
        """Read how far a run got that failed; nothing that it printed is relied on."""
        try:
            report = reports.parse_text(run.stdout) if self.mode is Mode.DIRECT else json.loads(run.stdout)
        except (ValueError, RecursionError):
            return None
        found = reports.delivered(report if isinstance(report, dict) else {}, run.stderr)
        return found if found.delivery == SCALE or found.observed_replicas is not None else None

    def _execute(self, request: PorchRequest, space: Workspace, deadline: float, *arguments: str) -> Ended:
        request = replace(request, timeout_seconds=max(deadline - time.monotonic(), 0.0))
        command = self.command(request, space)
        try:
            return execute(replace(command, argv=(command.argv[0], *(arguments or command.argv[1:]))), self.limits)
        except (OSError, ValueError) as error:  # the latter for arguments and variables with a null byte
            raise reports.start_failure(error) from error

    def _environment(self, request: PorchRequest, space: Workspace) -> dict[str, str]:
        ours = {
            "PATH": _PATH,
            "LD_LIBRARY_PATH": _LIBRARIES,
            "HOME": space.home,
            "TMPDIR": space.tmp,
            "LANG": "C.UTF-8",
            "KUBECONFIG": space.kubeconfig,
            "PORCH_PREVIOUS_VERSION": request.previous_version,
            "PORCH_PREVIOUS_REPLICAS": request.previous_replicas,
            "PORCH_DELIVERY": self.delivery or None,
            "PORCH_DEADLINE": f"{min(time.time() + request.timeout_seconds, request.not_after):.3f}",
        }
        theirs = {name: value for name, value in self.environment.items() if name not in RESERVED}
        return theirs | {name: str(value) for name, value in ours.items() if value is not None}

    def _read(
        self, request: PorchRequest, space: Workspace, ended: Ended, mask: Mask
    ) -> tuple[Package, Mapping[str, Any]]:
        files = space.read(self.limits)
        if any(mask.is_in(each) for path, content in files.items() for each in (path.encode(), content)):
            raise Unusable(Cause.PACKAGE_UNSAFE, "the package holds a secret of the kubeconfig")
        is_document, text = self.mode is Mode.STRUCTURED, reports.strip_controls(ended.stdout)
        report = reports.parse_document(ended.stdout, request.document) if is_document else reports.parse_text(text)
        name = report["package_name"]
        # A short password may be a word of the intent, so of a name only long secrets are masked.
        package = build_package(files, mask.text(name) if name and mask.is_in(name.encode(errors="replace")) else name)
        return package, mask.document(report)


class Slots:
    """Lets attempts run porch side by side, but those whose worker has died before: they have the process exclusively.

    The intents of a batch share a process: one that kills it takes the others along, unless it is alone.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0  # -1: one, exclusively

    @contextmanager
    def slot(self, exclusive: bool) -> Iterator[None]:  # noqa: FBT001 - one of two kinds
        """Wait for a slot, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0 if exclusive else self._running >= 0)
            self._running += -1 if exclusive else 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= -1 if exclusive else 1
                self._changed.notify_all()
