"""Does a program keep the contract of a porch? ``docs/porch-contract.md`` states it, `RULES` check it."""

import json
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from conductor_loop.errors import Cause
from conductor_loop.porch import Credentials, Kubeconfig, Limits, Mode, Porch, PorchFailed, PorchRequest, Result
from conductor_loop.porch.process import Ended, Stop, execute
from conductor_loop.porch.workspace import Workspace, workspace

INTENT: Mapping[str, Any] = {
    "intent_type": "scaling",
    "target": "cnf-simulator",
    "namespace": "oran-sim",
    "replicas": 3,
    "reason": "porch-check",
}
_FILE = "intent-porch-check.json"
_INVALID_INTENTS: dict[str, bytes] = {
    "an empty file": b"",
    "text that is not JSON": b"replicas: 3\n",
    "JSON that is cut off": b'{"intent_type": "scaling", "target": "cnf-simulator"',
    "an array": b"[]",
    "an object without fields": b"{}",
    "replicas below zero": b'{"intent_type": "scaling", "target": "a", "namespace": "b", "replicas": -1}',
    "replicas in words": b'{"intent_type": "scaling", "target": "a", "namespace": "b", "replicas": "three"}',
    "no target": b'{"intent_type": "scaling", "namespace": "b", "replicas": 1}',
    "a target that is no name": b'{"intent_type": "scaling", "target": "../a", "namespace": "b", "replicas": 1}',
}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"\d+(\.\d+)?s")
_TRIES = 2  # of what may happen once by bad luck


class Broken(Exception):  # noqa: N818 - reads as what happened
    """A rule is not kept; the message is what the program did, a clause."""


@dataclass(frozen=True)
class Subject:
    """The program under test and its environment. It runs as the function runs it, under the same limits."""

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
    def first_result(self) -> Result:
        """The first run, which succeeded: no rule that asks for it is checked otherwise."""
        assert isinstance(self.first, Result)  # noqa: S101 - `check` has made sure
        return self.first

    def run(self, mode: Mode = Mode.DIRECT, *previous: Any, **changes: object) -> Result:  # noqa: ANN401 - two types
        """Run it as the function does, on the intent with changes and its ``previous`` version and replicas."""
        request = PorchRequest(_FILE, {**self.intent, **changes}, self.timeout_seconds, *previous)
        return self._porch(mode).run(request)

    @contextmanager
    def run_raw(
        self, content: bytes | None = None, timeout_seconds: float | None = None, *, is_elsewhere: bool = False
    ) -> Iterator[tuple[Ended, Workspace]]:
        """Run it, on other content if that is given, in another directory if ``is_elsewhere``; yield how it ended."""
        content = json.dumps(dict(self.intent), indent=2).encode() if content is None else content
        kubeconfig = self.kubeconfig.content if self.kubeconfig else None
        with workspace(self.work_root, _FILE, content, kubeconfig) as space:
            request = PorchRequest(_FILE, {}, timeout_seconds or self.timeout_seconds)
            command = self._porch(Mode.DIRECT).command(request, space)
            yield execute(replace(command, directory=space.home) if is_elsewhere else command, self.limits), space

    def _porch(self, mode: Mode) -> Porch:
        kubeconfig = self.kubeconfig
        credentials = Credentials(lambda: kubeconfig, lambda found: found) if kubeconfig else None
        return Porch(self.path, mode, self.environment, self.work_root, self.limits, credentials=credentials)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a porch promises. Its check raises `Broken` or `PorchFailed` for a program that does not keep it."""

    name: str
    promise: str
    next_step: str
    check: Callable[[Subject], None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """The result for one rule. ``kept`` is None if it was not checked; ``what`` says why not, or what happened."""

    rule: Rule
    kept: bool | None
    what: str = ""

    @property
    def line(self) -> str:
        """The finding, for people."""
        name = f"{self.rule.name:12}"
        if self.kept is None:
            return f"-       {name} {self.what}"
        if self.kept:
            return f"ok      {name} {self.rule.promise}"
        return f"BROKEN  {name} {self.what}. Rule: {self.rule.promise}. Next: {self.rule.next_step}."


def check(subject: Subject, only: Collection[str] = ()) -> Iterator[CheckFinding]:
    """Check the rules, or only those of these names and those they rest on, and yield each finding at once."""
    rests_on = {"modes": "repeatable"}  # a rule, and the one without which it cannot be checked
    names = {*only, *_FIRST, *(rests_on.get(name) for name in only)}
    broken: list[str] = []
    for rule in RULES:
        if only and rule.name not in names:
            continue
        obstacle = next((name for name in broken if name in _FIRST or name == rests_on.get(rule.name)), None)
        if obstacle:
            yield CheckFinding(rule, None, f"not checked while {obstacle!a} is broken")
            continue
        try:
            rule.check(subject)
        except (Broken, PorchFailed) as failed:
            what = str(failed).rpartition("; ")[0] if isinstance(failed, PorchFailed) else ""
            broken.append(rule.name)
            yield CheckFinding(rule, kept=False, what=what or str(failed))
        else:
            yield CheckFinding(rule, kept=True)


def _check_first(rule: str, subject: Subject) -> None:
    failed = subject.first
    if isinstance(failed, PorchFailed):
        named = (name for name, (_, _, *causes) in _FIRST.items() if failed.cause in causes)
        if rule == ("inside" if "outside its directory" in str(failed) else next(named, "succeeds")):
            raise failed


# Rules of the first run, in the order of the runner, with the causes of its failure that break them (others break
# "succeeds"); after one that is broken, no other can be checked.
_FIRST: dict[str, tuple[str, str, *tuple[Cause, ...]]] = {
    "time": ("ends within its time", "make it faster, or give it more with --timeout", Cause.PROCESSING_TIMEOUT),
    "output": ("prints no more than 1 MiB", "print less", Cause.PORCH_OUTPUT_TOO_LARGE),
    "succeeds": (
        "exit code 0 for a valid intent, with the documented environment, an empty stdin and no terminal",
        "run it by hand as the contract shows; give it what it needs with --env, and a fitting --intent",
    ),
    "inside": ("writes below -out, HOME and TMPDIR only, and leaves the intent as it is", "write nowhere else"),
    "package": (
        "leaves a package below -out: plain files with plain names, within the bounds",
        "write regular files, no links, and no more than the contract allows",
        *(Cause.PACKAGE_MISSING, Cause.PACKAGE_UNSAFE),
    ),
    "name": (
        "says the package's name, or puts all of it into one directory of that name",
        'print "Package successfully created: <name>", with a name that Kubernetes allows',
        Cause.PORCH_OUTPUT_INVALID,
    ),
}
RULES = [Rule(name, *texts[:2], partial(_check_first, name)) for name, texts in _FIRST.items()]


def _rule(promise: str, next_step: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    def add(check: Callable[[Subject], None]) -> Callable[[Subject], None]:
        RULES.append(Rule(check.__name__.strip("_").replace("_", "-"), promise, next_step, check))
        return check

    return add


@_rule(
    "with -structured, stdout is the documented JSON document about this intent, and nothing else",
    "print the document of the contract; notes belong on stderr",
)
def _structured(subject: Subject) -> None:
    report = subject.run(Mode.STRUCTURED).report or {}
    deployment: dict[str, Any] = report["deployment"]
    for key, otherwise in (("previous_replicas", "missing"), ("observed_replicas", None)):
        replicas = deployment.get(key, otherwise)
        if not (replicas is None or (isinstance(replicas, int) and not isinstance(replicas, bool) and replicas >= 0)):
            raise Broken(f'"{key}" is {replicas!a}')
    for key, form in (("timestamp", _TIMESTAMP), ("duration", _DURATION)):
        if not (isinstance(report.get(key), str) and form.fullmatch(report[key])):
            raise Broken(f'"{key}" is {report.get(key, "missing")!a}')


@_rule(
    "makes the same bytes of the same intent",
    "leave times, random numbers and the work directory's path out of the package",
)
def _repeatable(subject: Subject) -> None:
    subject.wait(1.1)  # seconds: two runs so far apart have different times, however coarse the clock
    _compare(subject.first_result, subject.run(), "in a later run")


@_rule("makes the same package with and without -structured", "let the flag change stdout only")
def _modes(subject: Subject) -> None:
    with suppress(PorchFailed):  # which breaks `structured`
        _compare(subject.first_result, subject.run(Mode.STRUCTURED), "with -structured")


def _compare(one: Result, other: Result, when: str) -> None:
    if one.package.name != other.package.name:
        raise Broken(f"the package is called {one.package.name}, and {other.package.name} {when}")
    files, others = one.package.files, other.package.files
    differing = sorted(path for path in files.keys() | others.keys() if files.get(path) != others.get(path))
    if differing:
        raise Broken(f"{differing[0]!a} differs {when}")


@_rule("takes PORCH_PREVIOUS_VERSION and PORCH_PREVIOUS_REPLICAS", "use them or ignore them, but do not fail for them")
def _previous(subject: Subject) -> None:
    subject.run(Mode.DIRECT, "v1.0.3", 2)


@_rule("depends on no current directory", "use -intent and -out as they are given")
def _paths(subject: Subject) -> None:
    with subject.run_raw(is_elsewhere=True) as (ended, space):
        if ended.exit_code != 0:
            raise Broken(f"exit code {ended.exit_code} in another directory than the intent's")
        if not any(path.is_file() for path in space.out.rglob("*")):
            raise Broken("no package in -out, run in another directory than the intent's")


@_rule("does not write beside itself: a layer is read-only", "write to HOME or TMPDIR")
def _layer(subject: Subject) -> None:
    home, changed = Path(subject.path).absolute().parent, []
    for _ in range(_TRIES):  # others may write there as well
        before = _files(home)
        subject.run()
        changed.append({name for name, _, _ in before ^ _files(home)})
    if both := set.intersection(*changed):
        raise Broken(f"{min(both)!a} beside the program was written")


def _files(directory: Path) -> set[tuple[str, int, int]]:
    found = {path.name: path.lstat() for path in directory.iterdir() if path.is_file()}
    return {(name, status.st_mtime_ns, status.st_size) for name, status in found.items()}


@_rule("exit code 1 for what is no intent", "check every field before anything is written")
def _refuses(subject: Subject) -> None:
    others = []
    for what, content in _INVALID_INTENTS.items():
        with subject.run_raw(content) as (ended, _):
            if ended.exit_code != 1:
                others.append(f"exit code {ended.exit_code} for {what}")
    if others:
        raise Broken("; ".join(others))


@_rule("says on stderr why it failed", "print the reason and the next step to stderr")
def _reason(subject: Subject) -> None:
    with subject.run_raw(b"[]") as (ended, _):
        if not ended.stderr.strip():
            raise Broken(f"exit code {ended.exit_code} and nothing on stderr")


@_rule("scales to zero replicas as to any other number", "tell 0 from a number that is missing")
def _zero(subject: Subject) -> None:
    replicas = subject.intent["replicas"]
    other = 0 if replicas else 1
    if subject.run(replicas=other).package.files == subject.first_result.package.files:
        raise Broken(f"the package for {other} replicas is that for {replicas}")


@_rule("gives a target of 253 characters a package of a usable name", "shorten the target's part of the package's name")
def _long_target(subject: Subject) -> None:
    try:
        subject.run(target="a" * 253)  # the longest name of a Deployment
    except PorchFailed as failed:
        if failed.cause is not Cause.DEPLOYMENT_NOT_FOUND:  # it asks a cluster, and is right
            raise


@_rule(
    "shows nothing of its environment in output or package: both are public to all readers of the bucket",
    "print no environment, and no commands with their values (set -x)",
)
def _secrets(subject: Subject) -> None:
    secret = secrets.token_hex(16)
    subject = replace(subject, environment={**subject.environment, "PORCH_CHECK_SECRET": secret})
    result = subject.run()
    with subject.run_raw(b"[]") as (ended, _):
        stdout, stderr = result.run.stdout.encode() + ended.stdout, result.run.stderr.encode() + ended.stderr
    for where, content in {"stdout": stdout, "stderr": stderr, **result.package.files}.items():
        if secret.encode() in content:
            raise Broken(f"{where} shows the value of a variable it does not know")


@_rule("ends within the grace after SIGTERM", "end on SIGTERM, and pass it on to what you wait for")
def _sigterm(subject: Subject) -> None:
    for part in (0.3, 0.6):
        timeout = part * subject.first_result.run.duration_seconds
        with subject.run_raw(timeout_seconds=timeout) as (ended, _):
            if ended.stopped is Stop.TIME and ended.duration_seconds > timeout + subject.limits.grace_seconds:
                raise Broken(f"still running {subject.limits.grace_seconds} s after SIGTERM")


@_rule("leaves nothing running when it has ended", "wait for what you start, or end it")
def _alone(subject: Subject) -> None:
    for _ in range(_TRIES):
        with subject.run_raw() as (ended, _):
            if not ended.survivors:
                return
    raise Broken(f"{ended.survivors[0]!a} was still running when it had ended")


@_rule(
    "does its work even if an earlier run was killed midway",
    "leave no lock behind outside the work directory, and continue what you find begun",
)
def _killed(subject: Subject) -> None:
    ungraceful = replace(subject, limits=replace(subject.limits, grace_seconds=0.0))
    for part in (0.3, 0.6, 0.9):
        with ungraceful.run_raw(timeout_seconds=part * subject.first_result.run.duration_seconds):
            pass
    subject.run()
