"""What the end of a run means: exit code, signal and output in; a cause, a sentence and how far it got out. No I/O.

Porch's output is made fit to be shown: bounded, without secrets, and without characters that a terminal obeys.
"""

import errno
import json
import re
import signal
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final
from urllib.parse import quote

from conductor_loop.errors import Cause
from conductor_loop.porch.process import Ended, Limits, Stop
from conductor_loop.porch.workspace import Unusable, is_name

PACKAGE, CHECK, SCALE, REPOSITORY = "package", "check", "scale", "repository"
DELIVERIES: Final = (PACKAGE, CHECK, SCALE, REPOSITORY)
_LINES = {  # of direct mode, by what they are in the document of structured mode
    "package_name": re.compile(r"^Package successfully created:(.*)$", re.MULTILINE),
    "delivery": re.compile(rf"^Delivery: ({'|'.join(DELIVERIES)})$", re.MULTILINE),
    "previous_replicas": re.compile(r"^Replicas (?:updated|wanted): (\d{1,10}) -> \d+$", re.MULTILINE),
    "observed_replicas": re.compile(r"^Replicas observed: (\d{1,10})$", re.MULTILINE),
}
_REVISION = re.compile(r"^Package revision: (?P<namespace>[^/\s]+)/(?P<name>\S+) \((?P<lifecycle>\w+)\)$", re.MULTILINE)
_NOTE = re.compile(r"^Note: (.+)$", re.MULTILINE)
_MOST_NOTES, _NOTE_LENGTH = 5, 300
_NAME_LENGTH = 253
_MOST_REPLICAS = 10**10  # as many as ten digits of direct mode say
# The specification's "Porch Error Codes"; 137 and 153 are how a shell passes on the two signals that name a resource.
_EXITS: dict[int, tuple[Cause, str]] = {
    1: (Cause.INVALID_INTENT, "porch calls the intent invalid"),
    2: (Cause.DEPLOYMENT_NOT_FOUND, "porch did not find the Deployment"),
    3: (Cause.INSUFFICIENT_PERMISSIONS, "porch has not the permissions it needs"),
    4: (Cause.NETWORK_ERROR, "what porch needs could not be reached, or was busy"),
    5: (Cause.QUOTA_EXCEEDED, "a quota or limit leaves no room"),
    124: (Cause.PROCESSING_TIMEOUT, "porch gave up waiting"),
    125: (Cause.PORCH_NOT_FOUND, "porch, or a program it needs, was not found"),
    126: (Cause.PORCH_PERMISSION_DENIED, "porch, or a program it needs, may not be executed"),
    127: (Cause.PORCH_NOT_FOUND, "porch, or a program it needs, was not found"),
    137: (Cause.MEMORY_LIMIT, "a program of porch's was killed, most often for want of memory"),
    153: (Cause.DISK_FULL, "a program of porch's wrote a larger file than it may"),
    -signal.SIGKILL: (Cause.MEMORY_LIMIT, "porch was killed, most often for want of memory"),
    -signal.SIGXFSZ: (Cause.DISK_FULL, "porch wrote a larger file than it may"),
}
# Most programs do not die of a bound, they are refused something, say so and choose an exit code: 1 for Python, 2 for
# Go, SIGABRT for C++. These words tell such an end from what the code says, so that it is tried again.
_REFUSED = (
    (
        r"^(?:object type name: )?MemoryError\b|^fatal error: .*memory|cannot allocate memory|bad_alloc",
        (Cause.MEMORY_LIMIT, "porch ran out of memory"),
    ),
    (  # not memory, but alike: the platform's bound on processes, which a runaway forker beside it may have reached
        r"cannot fork|fork[^\n]*temporarily unavailable|can't start new thread|^BlockingIOError: \[Errno 11\]",
        (Cause.MEMORY_LIMIT, "the system had no room for another process of porch's"),
    ),
    (
        "no space left on device|file too large|disk quota exceeded|file size limit",
        (Cause.DISK_FULL, "porch ran out of disk space, or wrote a larger file than it may"),
    ),
)
_MEANT = {3, 4, 5, 124, 125, 126, 127}  # no runtime ends with these by itself

_STOPS: dict[Stop, tuple[Cause, str]] = {  # what porch did, beyond which of the limits
    Stop.OUTPUT: (Cause.PORCH_OUTPUT_TOO_LARGE, "printed more than {0.output_bytes} bytes"),
    Stop.DISK: (Cause.DISK_FULL, "wrote more than {0.disk_bytes} bytes or {0.disk_entries} files"),
    Stop.TASKS: (Cause.PORCH_KILLED, "started more than {0.tasks} processes and threads"),
}

_NOT_FOUND = (Cause.PORCH_NOT_FOUND, "porch, or the interpreter it names, was not found")
_NO_ROOM = (Cause.MEMORY_LIMIT, "the system had no room to start porch")
_START: dict[int, tuple[Cause, str]] = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG), _NOT_FOUND),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE), _NO_ROOM),
    **dict.fromkeys((errno.ECHILD, errno.ESRCH), (Cause.PORCH_KILLED, "how porch ended was lost")),
}

_NEXT: dict[Cause, str] = {
    Cause.INVALID_INTENT: "correct the intent and send it again",
    Cause.DEPLOYMENT_NOT_FOUND: "create the Deployment or correct the intent, and send it again",
    Cause.INSUFFICIENT_PERMISSIONS: "grant them to porch's cluster credentials",
    Cause.NETWORK_ERROR: "see whether what it talks to can be reached",
    Cause.QUOTA_EXCEEDED: "raise the limit, or ask for fewer replicas",
    Cause.PROCESSING_TIMEOUT: "it may need more: timeout of the intent, or processing.timeout of the configuration",
    Cause.PORCH_NOT_FOUND: "check the porch layer and the configured path",
    Cause.PORCH_PERMISSION_DENIED: "check the permissions of the porch layer and of the work directory",
    Cause.PORCH_KILLED: "see what porch printed last",
    Cause.MEMORY_LIMIT: "if that goes on, give the function or porch more memory",
    Cause.DISK_FULL: "if that goes on, give the function more ephemeral storage, or porch a larger file bound",
    Cause.PORCH_FAILED: "see what porch printed, and send the intent again once that is put right",
}

# Of 2 to 5 the bundled porch says the next step itself, and better: "Error: what is wrong: what to do".
_MAY_ADVISE = {_EXITS[code][0] for code in range(2, 6)}
_ADVICE = re.compile(r"Error: .+: .+")

_QUOTED_LENGTH = 500  # characters of porch's last words in a message

SHORTEST = 8  # characters of a secret; masking less would mask honest words
_SHORTEST_IN_FILES = 16  # likewise of one that a file is refused for: a package is made of words
_SHORTEST_LINE = 16  # characters of a secret's line that count by themselves
_MASKED = "[secret]"
# What a terminal or a log viewer would obey instead of showing: control characters (not \n, \t), line and paragraph
# separators, and the marks that reorder text.
_CONTROLS = (*range(9), *range(11, 32), *range(127, 160))
_OBEYED = dict.fromkeys((*_CONTROLS, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)))


def check_exit(ended: Ended, limits: Limits) -> None:
    """Return if porch succeeded by its exit code; raise `Unusable` with the cause otherwise."""
    if ended.stopped is Stop.TIME:
        raise Unusable(Cause.PROCESSING_TIMEOUT, f"porch was ended after {ended.duration_seconds:.1f} s")
    if ended.stopped is not None:
        cause, did = _STOPS[ended.stopped]
        raise Unusable(cause, f"porch {did.format(limits)} and was ended")
    if ended.exit_code != 0:
        cause, what = _cause_of_exit(ended.exit_code, ended.stderr.decode(errors="replace"))
        names = {each.value: each.name for each in signal.Signals}
        number = -ended.exit_code
        how = names.get(number, f"signal {number}") if number > 0 else f"exit code {ended.exit_code}"
        raise Unusable(cause, f"{what} ({how})")


def _cause_of_exit(exit_code: int, stderr: str) -> tuple[Cause, str]:
    for words, meaning in _REFUSED:
        if exit_code not in _MEANT and re.search(words, stderr, re.IGNORECASE | re.MULTILINE):
            return meaning
    if exit_code in _EXITS:
        return _EXITS[exit_code]
    return (Cause.PORCH_KILLED, "porch was killed") if exit_code < 0 else (Cause.PORCH_FAILED, "porch failed")


def start_failure(error: OSError | ValueError) -> Unusable:
    """Name the cause of a failure to start porch."""
    if not isinstance(error, OSError):  # whose words may quote an argument or a variable
        what = "porch could not be started: a name or a value of its environment is none that a program can be given"
        return Unusable(Cause.PORCH_PERMISSION_DENIED, what)
    otherwise = (Cause.PORCH_PERMISSION_DENIED, "porch could not be executed")
    cause, what = _START.get(error.errno or 0, otherwise)
    return Unusable(cause, f"{what} ({error.strerror or error})")


def explain(problem: Unusable, stderr: str) -> str:
    """Say what happened, what porch said last, and what to do next, in one line."""
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    quoted = f", it said last: {last[:_QUOTED_LENGTH]!r}" if last else ""
    if problem.cause in _MAY_ADVISE and len(last) <= _QUOTED_LENGTH and _ADVICE.fullmatch(last):
        return f"{problem}{quoted}."
    step = _NEXT.get(problem.cause, "porch has to be corrected before the intent is sent again")
    return f"{problem}{quoted}; {step}."


@dataclass(frozen=True, slots=True)
class PackageRevision:
    """A PackageRevision of Porch."""

    namespace: str
    name: str
    lifecycle: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """How far a package was delivered. Where porch reports nothing of that, it has written a package."""

    delivery: str = PACKAGE
    previous_replicas: int | None = None  # before this intent; None: unknown
    observed_replicas: int | None = None  # pods that there were at the end; None: not counted
    package_revision: PackageRevision | None = None
    notes: tuple[str, ...] = ()  # worth knowing, no failure


def parse_text(stdout: str) -> dict[str, Any]:
    """Return what the text of direct mode says as the document of structured mode has it."""
    found = {name: line[1].strip() for name, pattern in _LINES.items() if (line := pattern.search(stdout))}
    replicas = {name: int(found[name]) for name in ("previous_replicas", "observed_replicas") if name in found}
    revision = _REVISION.search(stdout)
    revised = revision and revision.groupdict()
    return {"package_name": None, **found, "deployment": replicas, "package_revision": revised}


def parse_document(stdout: bytes, intent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document that a successful porch prints in structured mode.

    Raises `Unusable` (PORCH_OUTPUT_INVALID) unless it is the specification's document about this intent.
    """
    try:
        report = json.loads(stdout.decode())
        Mask().document(report)  # which goes less deep than the parser
    except (ValueError, RecursionError) as error:
        raise _invalid("is not JSON, or nested too deep") from error
    if not isinstance(report, dict) or report.get("status") != "success":
        raise _invalid('is not an object whose "status" is "success"')
    if not is_name(report.get("package_name")):
        raise _invalid('has no usable "package_name"')
    deployment = report.get("deployment")
    wanted = {"namespace": intent["namespace"], "name": intent["target"], "new_replicas": intent["replicas"]}
    named = {key: deployment.get(key) for key in wanted} if isinstance(deployment, dict) else {}
    if named != wanted or isinstance(named["new_replicas"], bool):  # True equals 1 in Python, but not in JSON
        raise _invalid('has a "deployment" that is not the one of the intent')
    if report.get("delivery", PACKAGE) not in DELIVERIES:
        raise _invalid(f'has a "delivery" that is none of {", ".join(DELIVERIES)}')
    return report


def _invalid(what: str) -> Unusable:
    return Unusable(Cause.PORCH_OUTPUT_INVALID, f"porch ended well, but its structured output {what}")


def delivered(report: Mapping[str, Any], stderr: str) -> Delivered:
    """Read how far a document says that the package was delivered; what is not of the contract's form is left out."""
    delivery, deployment, revision = (report.get(name) for name in ("delivery", "deployment", "package_revision"))
    replicas = deployment if isinstance(deployment, dict) else {}
    names = [revision.get(key) for key in ("namespace", "name", "lifecycle")] if isinstance(revision, dict) else []
    texts = [name[:_NAME_LENGTH] for name in names if isinstance(name, str) and name.isprintable()]
    return Delivered(
        delivery if delivery in DELIVERIES else PACKAGE,
        _count(replicas.get("previous_replicas")),
        _count(replicas.get("observed_replicas")),
        PackageRevision(*texts) if len(texts) == len(fields(PackageRevision)) else None,
        tuple(note.strip()[:_NOTE_LENGTH] for note in _NOTE.findall(stderr)[:_MOST_NOTES]),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_REPLICAS else None


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """Secrets in every form that a program prints by mistake: a traceback, a dumped environment, a logged request.

    A program that means to publish one finds a form that is not here.
    """

    forms: tuple[str, ...] = ()  # longest first: a whole goes before its parts

    def text(self, text: str) -> str:
        """Return the text with every secret masked, and with it the beginning of one that was cut off at the end."""
        for form in self.forms:
            text = text.replace(form, _MASKED)
        cut = max((_cut_off(text, form) for form in self.forms), default=0)
        return text[: len(text) - cut] + _MASKED if cut else text

    def document(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON value with every secret masked, in keys as well."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self.document(inner) for key, inner in value.items()}
            case list():
                return [self.document(inner) for inner in value]
        return value

    def is_in(self, content: bytes) -> bool:
        """Whether a secret is in there, leaving out those that a word may be by chance."""
        forms = (form for form in self.forms if len(form) >= _SHORTEST_IN_FILES)
        return any(form.encode(errors="replace") in content for form in forms)


def build_mask(secrets: Iterable[str]) -> Mask:
    """Make a mask of secrets; those of fewer than eight characters are left out."""
    forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
    return Mask(tuple(sorted(forms, key=lambda form: (-len(form), form))))


def strip_controls(data: bytes) -> str:
    """Return all of the text, without what a terminal would obey."""
    return data.decode(errors="replace").translate(_OBEYED)


def sanitize(data: bytes, bound: int, mask: Mask) -> str:
    """Return the text that people may be shown: the beginning and the end if it is longer than ``bound`` bytes."""
    # Secrets last: characters that are taken out may have stood between the parts of one. And before the cut, which may
    # leave a part of one.
    text = mask.text(strip_controls(data))
    shown = text.encode()
    if len(shown) <= bound:
        return text
    half = bound // 2
    gap = f"\n[{len(shown) - 2 * half} bytes left out]\n"
    return shown[:half].decode(errors="replace") + gap + shown[len(shown) - half :].decode(errors="replace")


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield secret.strip()
    yield secret.translate(_OBEYED)
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield b64encode(secret.encode(errors="replace")).decode()
    # A key in PEM is known by each of its lines: programs print them one by one.
    yield from (line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE and not line.startswith("-----"))


def _cut_off(text: str, form: str) -> int:
    """How many characters at the end of the text begin a form; 0 where they are too few to tell."""
    if text[-SHORTEST:] not in form:
        return 0
    sizes = range(min(len(text), len(form) - 1), SHORTEST - 1, -1)
    return next((size for size in sizes if text.endswith(form[:size])), 0)
