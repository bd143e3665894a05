"""Status documents, held against their schema: the functions leave that to their types."""

import json
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft7Validator, FormatChecker


def read_status(document: bytes) -> dict[str, Any]:
    """Read a status document that is as its schema says: also its times, and without fields that are not in there."""
    status: dict[str, Any] = json.loads(document)
    assert (problem := _problem(document)) is None, problem
    return status


def said(message: str) -> bytes:
    """Give a status document that says this, and no more than it must."""
    document = {"intent_file": "intent-a.json", "status": "success", "timestamp": "2026-11-23T03:00:00Z"}
    return json.dumps(document | {"processed_by": "a test", "message": message}).encode()


@lru_cache(maxsize=10_000)  # the explorer plays the same histories again and again
def _problem(document: bytes) -> str | None:
    return next((error.message for error in _validator().iter_errors(json.loads(document))), None)


@cache
def _validator() -> Draft7Validator:
    schema = json.loads(files("conductor_loop").joinpath("schemas", "status.schema.json").read_text())
    for each in (schema, schema["properties"]["error_details"]):
        each["additionalProperties"] = False  # to readers, others may be added
    checker = FormatChecker(formats=())
    checker.checks("date-time", raises=ValueError)(_is_time)
    return Draft7Validator(schema, format_checker=checker)


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None
