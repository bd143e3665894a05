"""Schemas of what the API answers, derived from the specification's examples; for the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

type Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MAYBE_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0, "description": "null: it cannot be known now"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_CHECK: Schema = {"type": "string", "enum": ["ok", "failed"]}


def _object(properties: Mapping[str, Schema], optional: tuple[str, ...] = (), *, closed: bool = True) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": not closed}


def reference(name: str) -> Schema:
    """Refer to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


_SUMMARY: Mapping[str, Schema] = {
    "name": _TEXT,
    "version_id": _TEXT,
    "state": {
        "type": "string",
        "description": "received: not read yet; the others: docs/architecture.md, State",
        "enum": [
            *("received", "admitted", "queued", "processing", "retrying"),
            *("succeeded", "failed", "timed_out", "skipped"),
        ],
    },
    "arrived": _TEXT,
    "attempts": _COUNT,
    "priority": _MAYBE_TEXT,
    "namespace": _MAYBE_TEXT,
}

SCHEMAS: Mapping[str, Schema] = {
    "Health": _object(
        {
            "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
            "timestamp": _TIME,
            "version": _TEXT,
            "uptime": {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?[0-9]+s$"},
            "security": _object(
                {
                    "encryption_status": {"type": "string", "enum": ["enabled", "impaired", "unknown"]},
                    "validation_status": {"type": "string", "enum": ["active", "inactive"]},
                    "threat_level": {"type": "string", "enum": ["normal", "elevated", "unknown"]},
                }
            ),
        }
    ),
    "Readiness": _object(
        {
            "status": {"type": "string", "enum": ["ready", "not_ready"]},
            "timestamp": _TIME,
            "checks": _object(
                {
                    "filesystem_writable": _CHECK,
                    "porch_available": _CHECK,
                    "worker_pool": _CHECK,
                    "queue_capacity": _CHECK,
                }
            ),
            "queue_size": _MAYBE_COUNT,
            "active_workers": _MAYBE_COUNT,
            "max_workers": {
                "type": ["integer", "null"],
                "description": "null: without queues Lambda alone limits them",
            },
            "config_version": {"type": "string", "description": "Of the configuration in force; empty without one"},
        },
        optional=("config_version",),  # ours: the specification's example has none
    ),
    "Liveness": _object(
        {
            "status": {"const": "live"},
            "timestamp": _TIME,
            "pid": _COUNT,
            "memory_usage": {"type": "string", "pattern": r"^[0-9]+\.[0-9]MB$"},
            "goroutines": {"type": "integer", "minimum": 1, "description": "Threads; the specification's name"},
        }
    ),
    "Accepted": _object(
        {
            "name": _TEXT,
            "version_id": _TEXT,
            "status_url": {"type": "string", "description": "Where its state is, relative to the URL of the request"},
        }
    ),
    "IntentSummary": _object(_SUMMARY),
    "IntentState": _object(
        {
            **_SUMMARY,
            "status": {"oneOf": [{"type": "null"}, reference("Status")]},
            "package_keys": {"type": "array", "items": _TEXT, "description": "Keys of the package in the bucket"},
        }
    ),
    "IntentPage": _object({"intents": {"type": "array", "items": reference("IntentSummary")}, "next": _MAYBE_TEXT}),
    "Error": _object(
        {
            "error": _object(
                {
                    "code": {"type": "string", "pattern": "^[A-Z_]+$"},
                    "message": _TEXT,
                    "details": _object(
                        {
                            "request_id": _TEXT,
                            "validation_errors": {"type": "array", "items": _TEXT},
                            "queue_size": _COUNT,
                            "max_queue_size": _COUNT,
                            "active_workers": _MAYBE_COUNT,
                            "max_workers": _MAYBE_COUNT,
                            "error_id": _TEXT,
                        },
                        optional=(
                            *("request_id", "validation_errors", "queue_size", "max_queue_size"),
                            *("active_workers", "max_workers", "error_id"),
                        ),
                        closed=False,
                    ),
                    "timestamp": _TEXT,
                    "retry_after": {"type": "string", "pattern": "^[0-9]+s$"},
                },
                optional=("retry_after",),
            )
        }
    ),
}
