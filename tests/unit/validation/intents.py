"""A valid intent, of which a test changes only what matters to it."""

import json
from typing import Any

from conductor_loop.errors import Rejected
from conductor_loop.validation import DEFAULT_RULES, Rules, validate
from conductor_loop.validation.rules import SecurityMode

STANDARD = Rules(mode=SecurityMode.STANDARD)


def an_intent(**fields: Any) -> dict[str, Any]:
    return {"intent_type": "scaling", "target": "web", "namespace": "shop", "replicas": 3, **fields}


def body(**fields: Any) -> bytes:
    return json.dumps(an_intent(**fields)).encode()


def broken_rules(content: bytes, rules: Rules = DEFAULT_RULES) -> set[tuple[str, str]]:
    """The (path, rule) pairs that a file breaks; none if it is valid."""
    try:
        validate(content, rules)
    except Rejected as error:
        return {(violation.path, violation.rule) for violation in error.violations}
    return set()
