"""The rules of the contract, each with its check and the next step for a program that breaks it."""

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor_loop.errors import Cause
from conductor_loop.porch import Mode, PorchFailed, Result
from conductor_loop.porch.limits import Stop
from conductor_loop.porch_check.subject import Broken, Raw, Subject

_NO_INTENTS: dict[str, bytes] = {
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
_LONGEST = 253  # of a Deployment's name
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"\d+(\.\d+)?s")
_TICK_SECONDS = 1.1  # two runs so far apart have different times, however coarse the clock
_TRIES = 2  # of what may happen once by bad luck


@dataclass(frozen=True, slots=True)
class Rule:
    """What a porch promises. Its check raises `Broken` or `PorchFailed` for a program that does not keep it."""

    name: str
    promise: str
    next_step: str
    check: Callable[[Subject], None] = field(repr=False)
    rests_on: str = ""  # another rule, without which this one cannot be checked


def _first_run(*causes: Cause, outside: bool = False) -> Callable[[Subject], None]:
    """Check that the first run did not fail for one of these causes; without any, for one that no other rule names."""

    def check(subject: Subject) -> None:
        failed = subject.first
        if isinstance(failed, Result):
            return
        is_outside = "outside its directory" in str(failed)
        blamed = failed.cause in causes if causes else failed.cause not in _NAMED
        if blamed and is_outside is outside:
            raise failed

    return check


_NAMED = {
    Cause.PROCESSING_TIMEOUT,
    Cause.PORCH_OUTPUT_TOO_LARGE,
    Cause.PACKAGE_MISSING,
    Cause.PACKAGE_UNSAFE,
    Cause.PORCH_OUTPUT_INVALID,
}


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


def _modes_agree(subject: Subject) -> None:
    with suppress(PorchFailed):  # which breaks `structured`
        _same(subject.good, subject.run(Mode.STRUCTURED), "with -structured")


def _previous(subject: Subject) -> None:
    subject.after("v1.0.3", 2)


def _repeatable(subject: Subject) -> None:
    subject.wait(_TICK_SECONDS)
    _same(subject.good, subject.run(), "in a later run")


def _after_a_kill(subject: Subject) -> None:
    for part in (0.3, 0.6, 0.9):
        with subject.left(Raw(timeout_seconds=part * subject.good.run.duration_seconds, grace_seconds=0.0)):
            pass
    subject.run()


def _same(one: Result, other: Result, when: str) -> None:
    if one.package.name != other.package.name:
        raise Broken(f"the package is called {one.package.name}, and {other.package.name} {when}")
    files, others = one.package.files, other.package.files
    differing = sorted(path for path in files.keys() | others.keys() if files.get(path) != others.get(path))
    if differing:
        raise Broken(f"{differing[0]!a} differs {when}")


def _elsewhere(subject: Subject) -> None:
    with subject.left(Raw(elsewhere=True)) as (ended, space):
        if ended.exit_code != 0:
            raise Broken(f"exit code {ended.exit_code} in another directory than the intent's")
        if not any(path.is_file() for path in space.out.rglob("*")):
            raise Broken("no package in -out, run in another directory than the intent's")


def _own_directory(subject: Subject) -> None:
    home = Path(subject.path).absolute().parent
    changed = set.intersection(*(_changed(home, subject) for _ in range(_TRIES)))  # others may write there as well
    if changed:
        raise Broken(f"{min(changed)!a} beside the program was written")


def _changed(directory: Path, subject: Subject) -> set[str]:
    before = _files(directory)
    subject.run()
    return {name for name, _, _ in before ^ _files(directory)}


def _files(directory: Path) -> set[tuple[str, int, int]]:
    found = {path.name: path.lstat() for path in directory.iterdir() if path.is_file()}
    return {(name, status.st_mtime_ns, status.st_size) for name, status in found.items()}


def _refuses(subject: Subject) -> None:
    others = []
    for what, content in _NO_INTENTS.items():
        with subject.left(Raw(content)) as (ended, _):
            if ended.exit_code != 1:
                others.append(f"exit code {ended.exit_code} for {what}")
    if others:
        raise Broken("; ".join(others))


def _says_why(subject: Subject) -> None:
    with subject.left(Raw(b"[]")) as (ended, _):
        if not ended.stderr.strip():
            raise Broken(f"exit code {ended.exit_code} and nothing on stderr")


def _zero(subject: Subject) -> None:
    replicas = subject.intent["replicas"]
    other = 0 if replicas else 1
    if subject.run(replicas=other).package.files == subject.good.package.files:
        raise Broken(f"the package for {other} replicas is that for {replicas}")


def _long_target(subject: Subject) -> None:
    try:
        subject.run(target="a" * _LONGEST)
    except PorchFailed as failed:
        if failed.cause is not Cause.DEPLOYMENT_NOT_FOUND:  # it asks a cluster, and is right
            raise


def _keeps_secrets(subject: Subject) -> None:
    secret = secrets.token_hex(16)
    environment = {"PORCH_CHECK_SECRET": secret}
    result = subject.run(environment=environment)
    with subject.left(Raw(b"[]", environment)) as (ended, _):
        printed = {
            "stdout": result.run.stdout.encode() + ended.stdout,
            "stderr": result.run.stderr.encode() + ended.stderr,
        }
    for where, content in (printed | dict(result.package.files)).items():
        if secret.encode() in content:
            raise Broken(f"{where} shows the value of a variable it does not know")


def _ends_on_sigterm(subject: Subject) -> None:
    for part in (0.3, 0.6):
        timeout = part * subject.good.run.duration_seconds
        with subject.left(Raw(timeout_seconds=timeout)) as (ended, _):
            if ended.stopped is Stop.TIME and ended.duration_seconds > timeout + subject.limits.grace_seconds:
                raise Broken(f"still running {subject.limits.grace_seconds} s after SIGTERM")


def _leaves_no_process(subject: Subject) -> None:
    for _ in range(_TRIES):
        with subject.left() as (ended, _):
            if not ended.left:
                return
    raise Broken(f"{ended.left[0]!a} was still running when it had ended")


# Each checks another aspect of the same first run, in the order of the runner; after the first that is broken, the
# others cannot be checked.
FIRST = (
    Rule(
        "time",
        "ends within its time",
        "make it faster, or give it more with --timeout",
        _first_run(Cause.PROCESSING_TIMEOUT),
    ),
    Rule("output", "prints no more than 1 MiB", "print less", _first_run(Cause.PORCH_OUTPUT_TOO_LARGE)),
    Rule(
        "succeeds",
        "exit code 0 for a valid intent, with the documented environment, an empty stdin and no terminal",
        "run it by hand as the contract shows; give it what it needs with --env, and a fitting --intent",
        _first_run(),
    ),
    Rule(
        "inside",
        "writes below -out, HOME and TMPDIR only, and leaves the intent as it is",
        "write nowhere else",
        _first_run(Cause.PACKAGE_UNSAFE, outside=True),
    ),
    Rule(
        "package",
        "leaves a package below -out: plain files with plain names, within the bounds",
        "write regular files, no links, and no more than the contract allows",
        _first_run(Cause.PACKAGE_MISSING, Cause.PACKAGE_UNSAFE),
    ),
    Rule(
        "name",
        "says the package's name, or puts all of it into one directory of that name",
        'print "Package successfully created: <name>", with a name that Kubernetes allows',
        _first_run(Cause.PORCH_OUTPUT_INVALID),
    ),
)

RULES = (
    *FIRST,
    Rule(
        "structured",
        "with -structured, stdout is the documented JSON document about this intent, and nothing else",
        "print the document of the contract; notes belong on stderr",
        _structured,
    ),
    Rule(
        "repeatable",
        "makes the same bytes of the same intent",
        "leave times, random numbers and the work directory's path out of the package",
        _repeatable,
    ),
    Rule(
        "modes",
        "makes the same package with and without -structured",
        "let the flag change stdout only",
        _modes_agree,
        rests_on="repeatable",
    ),
    Rule(
        "previous",
        "takes PORCH_PREVIOUS_VERSION and PORCH_PREVIOUS_REPLICAS",
        "use them or ignore them, but do not fail for them",
        _previous,
    ),
    Rule("paths", "depends on no current directory", "use -intent and -out as they are given", _elsewhere),
    Rule("layer", "does not write beside itself: a layer is read-only", "write to HOME or TMPDIR", _own_directory),
    Rule("refuses", "exit code 1 for what is no intent", "check every field before anything is written", _refuses),
    Rule("reason", "says on stderr why it failed", "print the reason and the next step to stderr", _says_why),
    Rule("zero", "scales to zero replicas as to any other number", "tell 0 from a number that is missing", _zero),
    Rule(
        "long-target",
        "gives a target of 253 characters a package of a usable name",
        "shorten the target's part of the package's name",
        _long_target,
    ),
    Rule(
        "secrets",
        "shows nothing of its environment in output or package: both are public to all readers of the bucket",
        "print no environment, and no commands with their values (set -x)",
        _keeps_secrets,
    ),
    Rule(
        "sigterm",
        "ends within the grace after SIGTERM",
        "end on SIGTERM, and pass it on to what you wait for",
        _ends_on_sigterm,
    ),
    Rule("alone", "leaves nothing running when it has ended", "wait for what you start, or end it", _leaves_no_process),
    Rule(
        "killed",
        "does its work even if an earlier run was killed midway",
        "leave no lock behind outside the work directory, and continue what you find begun",
        _after_a_kill,
    ),
)
