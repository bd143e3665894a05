"""Business rules: what this installation allows (specification, "Business Logic Validation").

Whether a namespace or a Deployment exists is for porch to find out, which talks to the cluster.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from conductor_loop.validation.report import Finding, ThreatLevel, shown
from conductor_loop.validation.rules import Rules
from conductor_loop.validation.schema import compiled, errors, words

_TIMEOUT = re.compile(r"([0-9]+)([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 9  # digits of a timeout worth multiplying
# What another schema may not allow: these keywords of the packaged one, for these fields, and the rule that each is.
_KEYWORDS = {"pattern", "minLength", "maxLength", "enum", "minimum", "maximum"}
_FIELDS = {"target": "dns_1123", "namespace": "dns_1123", "replicas": "max_replicas", "priority": "priority"}


def findings(document: Any, rules: Rules) -> Iterator[Finding]:  # noqa: ANN401 - a document may be anything
    """Find every business rule that the document breaks; a field of the wrong type is the schema's to report."""
    if isinstance(document, dict):
        yield from _namespace(document.get("namespace"), rules)
        yield from _timeout(document.get("timeout"), rules)
    if rules.schema is not None:  # the packaged schema says these itself
        yield from _packaged(document, rules)


def _namespace(namespace: object, rules: Rules) -> Iterator[Finding]:
    patterns = ("kube-*", *rules.system_namespaces)
    if isinstance(namespace, str) and any(fnmatchcase(namespace, pattern) for pattern in patterns):
        problem = f"{shown(namespace)} is a system namespace"
        remedy = "name the namespace of your own workload"
        yield Finding(("namespace",), "system_namespaces", problem, remedy, ThreatLevel.MEDIUM)


def _timeout(timeout: object, rules: Rules) -> Iterator[Finding]:
    match = _TIMEOUT.fullmatch(timeout) if isinstance(timeout, str) else None
    if match is None:
        return
    digits, unit = match[1].lstrip("0") or "0", match[2]
    seconds = int(digits) * _SECONDS[unit] if len(digits) <= _LONGEST else rules.max_timeout_seconds + 1
    if not 0 < seconds <= rules.max_timeout_seconds:
        problem = f"{shown(timeout)} is not from 1 second to {rules.max_timeout_seconds:,} seconds"
        yield Finding(("timeout",), "timeout", problem, "write such as 30s, or leave it out")


def _packaged(document: Any, rules: Rules) -> Iterator[Finding]:  # noqa: ANN401 - see above
    if not isinstance(document, dict):
        yield Finding((), "type", f"{shown(document)} is no intent", "write one JSON object")
        return
    for error in errors(document, compiled(None, rules.max_replicas)):
        field = error.absolute_path[0]
        if field in _FIELDS and error.validator in _KEYWORDS:
            yield Finding((field,), _FIELDS[field], *words(error, shown(error.instance)))
