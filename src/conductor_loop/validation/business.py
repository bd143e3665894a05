"""Business rules: what this installation allows (specification, "Business Logic Validation").

Whether a namespace or a Deployment exists is for porch to find out, which talks to the cluster.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from conductor_loop.intent import Priority
from conductor_loop.validation.report import Finding, ThreatLevel, shown
from conductor_loop.validation.rules import Rules

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_TIMEOUT = re.compile(r"([0-9]+)([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 9  # digits of a timeout worth multiplying
_NAME_LENGTHS = {"target": 253, "namespace": 63}  # Kubernetes: a DNS subdomain, a DNS label


def findings(document: Any, rules: Rules) -> Iterator[Finding]:  # noqa: ANN401 - a document may be anything
    """Find every business rule that the document breaks; a field of the wrong type is the schema's to report."""
    if not isinstance(document, dict):
        if rules.schema is not None:
            yield Finding((), "type", f"{shown(document)} is no intent", "write one JSON object")
        return
    yield from _namespace(document.get("namespace"), rules)
    yield from _timeout(document.get("timeout"), rules)
    if rules.schema is not None:  # the packaged schema says these itself
        yield from _replicas(document.get("replicas"), rules)
        yield from _priority(document.get("priority"))
        for name, length in _NAME_LENGTHS.items():
            yield from _dns_1123(name, document.get(name), length)


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


def _replicas(replicas: object, rules: Rules) -> Iterator[Finding]:
    if isinstance(replicas, int | float) and not 0 <= replicas <= rules.max_replicas:
        problem = f"{shown(replicas)} is not from 0 to {rules.max_replicas}"
        yield Finding(("replicas",), "max_replicas", problem, "lower it, or have max_replicas raised")


def _priority(priority: object) -> Iterator[Finding]:
    if isinstance(priority, str) and priority not in set(Priority):
        problem = f"{shown(priority)} is no priority"
        yield Finding(("priority",), "priority", problem, f"write one of {', '.join(Priority)}")


def _dns_1123(name: str, value: object, length: int) -> Iterator[Finding]:
    if isinstance(value, str) and not (len(value) <= length and _LABEL.fullmatch(value)):
        problem = f"{shown(value)} is no DNS-1123 name of at most {length} characters"
        yield Finding((name,), "dns_1123", problem, "use lower-case letters, digits and inner hyphens")
