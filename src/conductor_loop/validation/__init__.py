"""Untrusted bytes → an Intent, or every reason why they are none (specification, "Validation Rules").

    parsing    bytes → a JSON document: E001, E002
    schema     the published contract, and what this installation allows: E003
    security   the specification's list, on every string: E003

Parsing comes first; whatever parses is then held to all the other stages, so that one run reports everything.
"""

from collections.abc import Iterable, Iterator
from threading import Lock

from conductor_loop.errors import Cause, Rejected
from conductor_loop.intent import FILE_NAME, Intent
from conductor_loop.validation import parsing, schema, security
from conductor_loop.validation.rules import DEFAULT_RULES, Finding, Report, Rules, shown, summarize
from conductor_loop.validation.schema import BrokenSchema

_ONE_AT_A_TIME = Lock()  # a batch's files are no faster side by side, and would need the memory of each at once
MAX_NAME_BYTES = 200
"""The longest file name: file systems end at 255, and the names of statuses and of kept inputs add to it."""


def validate(body: bytes, rules: Rules = DEFAULT_RULES, name: str | None = None) -> Intent:
    """Return the intent that a file holds, with every string in NFC and ``replicas`` an int.

    Raises Rejected with every violation, of a wrong name, too: INVALID_NAME (E001), FILE_TOO_LARGE (E002),
    INVALID_FORMAT (E001), SCHEMA_VIOLATION, SECURITY_VIOLATION or POLICY_VIOLATION (E003), after the first stage that
    found one. Raises BrokenSchema if ``rules.schema`` cannot be used.
    """
    report = inspect(body, rules, name)
    if report.intent is None:
        raise Rejected(report.cause or Cause.INVALID_FORMAT, report.violations)
    return report.intent


def inspect(body: bytes, rules: Rules = DEFAULT_RULES, name: str | None = None) -> Report:
    """Report everything that a file breaks, and its name if it has one. Raises BrokenSchema, as ``validate`` does."""
    with _ONE_AT_A_TIME:
        named: tuple[Cause, Iterable[Finding]] = (Cause.INVALID_NAME, () if name is None else _misnamed(name))
        if oversize := list(parsing.oversize(len(body), rules)):
            return summarize([named, (Cause.FILE_TOO_LARGE, oversize)], ran=())
        try:
            parsed = parsing.parse(body, rules)
        except parsing.Unparsable as error:
            ran = {"require_utf8"} if error.finding.rule == "json" else ()
            return summarize([named, (Cause.INVALID_FORMAT, [error.finding])], ran)
        document = parsed.document
        stages = [
            named,
            (Cause.INVALID_FORMAT, parsed.findings),
            (Cause.SCHEMA_VIOLATION, schema.findings(document, rules)),
            (Cause.SECURITY_VIOLATION, security.findings(parsed.inspected, rules)),
            (Cause.POLICY_VIOLATION, schema.policy_findings(document, rules)),
        ]
        replicas = document.get("replicas") if isinstance(document, dict) else None
        if isinstance(replicas, float) and replicas.is_integer():  # to a JSON Schema 1e1 is an integer, not to porch
            document = {**document, "replicas": int(replicas)}
        return summarize(stages, intent=Intent(document))


def check_size(size_bytes: int, rules: Rules = DEFAULT_RULES) -> None:
    """Refuse an object by its size, before it is read. Raises Rejected (FILE_TOO_LARGE, E002)."""
    for finding in parsing.oversize(size_bytes, rules):
        raise Rejected(Cause.FILE_TOO_LARGE, (finding.violation(),))


def check_name(key: str) -> None:
    """Refuse an object by its key (specification, "Naming Convention"). Raises Rejected (INVALID_NAME, E001)."""
    for finding in _misnamed(key):
        raise Rejected(Cause.INVALID_NAME, (finding.violation(),))


def _misnamed(name: str) -> Iterator[Finding]:
    problem, remedy = f"the file's name {shown(name)} ", "shorten the identifier"
    if not FILE_NAME.fullmatch(name):
        remedy = "use letters, digits, hyphens and underscores for the identifier, and no folder"
        yield Finding((), "name", f"{problem}is not intent-<identifier>.json", remedy)
    elif len(name) > MAX_NAME_BYTES:  # it is ASCII by now
        yield Finding((), "name", f"{problem}has {len(name)} bytes, more than {MAX_NAME_BYTES}", remedy)
