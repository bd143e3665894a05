"""Health: whether the process lives, whether work can be taken, whether everything is as it should be."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from conductor_loop import __version__
from conductor_loop.api.http import Request, Response
from conductor_loop.api.services import Services
from conductor_loop.intents.outcome import timestamp
from conductor_loop.validation import Rules, inspect

logger = logging.getLogger("conductor-loop")

BUDGET_SECONDS = 1.5  # for everything from the request's beginning on
_MIN_SECONDS = 0.1  # that the checks have, however long the beginning took
_ELEVATED_SECONDS = 900.0  # that an intent which looked like an attack raises the threat level for
_GOOD = b'{"intent_type": "scaling", "target": "a", "namespace": "b", "replicas": 1}'
_BAD = b'{"intent_type": "scaling", "target": "../../etc", "namespace": "b", "replicas": 1}'
_MEGABYTE = 1024 * 1024


def liveness(services: Services, request: Request) -> Response:
    """Say that the process lives; asks no service."""
    del request
    vitals = services.local.vitals()
    body = {
        "status": "live",
        "timestamp": timestamp(services.clock()),
        "pid": os.getpid(),
        "memory_usage": f"{vitals['memory_bytes'] / _MEGABYTE:.1f}MB",
        "goroutines": vitals["threads"],
    }
    return Response(HTTPStatus.OK, body)


def readiness(services: Services, request: Request) -> Response:
    """Say whether work can be taken: every check side by side, and one that hangs has failed."""
    serving, now = services.config.serving, services.clock()
    found = _run(
        services,
        request,
        {
            "writable": services.local.writable,
            "porch": lambda: services.local.executable(services.config.porch_path),
            "workers": services.state.active_workers,
            "queue": services.queues.size,
        },
    )
    queue = found["queue"]
    checks = {
        "filesystem_writable": found["writable"] is True,
        "porch_available": found["porch"] is True,
        "worker_pool": found["workers"] is not None,
        "queue_capacity": queue is not None and queue < serving.max_queue_size,
    }
    good = all(checks.values())
    body = {
        "status": "ready" if good else "not_ready",
        "timestamp": timestamp(now),
        "checks": {name: "ok" if passed else "failed" for name, passed in checks.items()},
        "queue_size": queue,
        "active_workers": found["workers"],
        "max_workers": serving.max_workers,
        "config_version": services.config.version,
    }
    return Response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body)


def health(services: Services, request: Request) -> Response:
    """Say whether everything is as it should be, security included."""
    now = services.clock()
    checks = {"counts": lambda: services.state.counts(now), "encryption": services.state.encryption_status}
    found = _run(services, request, checks)
    counts, validating = found["counts"], _validates(services.config.rules)
    elevated = counts is not None and now - counts.security_at < _ELEVATED_SECONDS
    encryption = found["encryption"] or "unknown"
    good = counts is not None and encryption == "enabled" and validating
    body = {
        "status": "healthy" if good else "unhealthy",
        "timestamp": timestamp(now),
        "version": __version__,
        "uptime": duration(services.local.vitals()["uptime_seconds"]),
        "security": {
            "encryption_status": str(encryption),
            "validation_status": "active" if validating else "inactive",
            "threat_level": "unknown" if counts is None else "elevated" if elevated else "normal",
        },
    }
    return Response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body)


def duration(seconds: float) -> str:
    """Write a time as the specification's example does: 2h15m30s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{rest}s"


def _run(services: Services, request: Request, checks: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run all checks side by side within the budget; ``None`` for what failed or hangs.

    A check that hangs is left behind: its call has a timeout of its own, and ends soon after.
    """
    pool = ThreadPoolExecutor(max_workers=len(checks))
    running = {name: pool.submit(check) for name, check in checks.items()}
    left = BUDGET_SECONDS - (services.timer() - request.started)
    wait(running.values(), timeout=max(left, _MIN_SECONDS))
    pool.shutdown(wait=False, cancel_futures=True)
    return {name: _result(name, future) for name, future in running.items()}


def _result(name: str, future: Future[Any]) -> Any:  # noqa: ANN401 - whatever was asked for
    try:
        return future.result(timeout=0)
    except (TimeoutError, CancelledError):
        logger.warning("check %s hangs", name)
    except Exception:
        logger.warning("check %s failed", name, exc_info=True)
    return None


@lru_cache(maxsize=1)  # until other rules are in force
def _validates(rules: Rules) -> bool:
    return inspect(_GOOD, rules).valid and not inspect(_BAD, rules).valid
