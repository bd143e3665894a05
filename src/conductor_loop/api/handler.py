"""The Lambda entry point of the API."""

import logging
import os
import time
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import counting, metrics
from conductor_loop.api import bootstrap
from conductor_loop.api.dispatch import answer, unable
from conductor_loop.api.parts import Parts
from conductor_loop.config import Config, InvalidConfig, Live
from conductor_loop.counting import Counted
from conductor_loop.intent import Intent

SERVICE = "conductor-loop"


def api(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request. /livez calls no service, not even for the configuration."""
    del context
    try:
        parts = _built(_live().known() if event.get("resource") == "/livez" else _live().config())
    except Exception:  # noqa: BLE001 - else API Gateway answers 502, and callers cannot know whether to retry
        _logger().exception("no configuration: nothing can be answered")
        metrics.emit(Counted({counting.API_FAILURES: 1}), _live().metering, time.time())
        return unable(event, time.time())
    try:
        return answer(parts, event)
    finally:
        _logger().thread_safe_clear_keys()


@cache
def _live() -> Live:
    return bootstrap.live(os.environ, _refused)


@lru_cache(maxsize=2)  # of the configuration in force, and of that of the environment alone
def _built(config: Config) -> Parts:
    _logger().append_keys(config_version=config.version)
    logging.getLogger(SERVICE).setLevel(config.log_level)
    return bootstrap.build(config, lambda counted: metrics.emit(counted, config.metering, time.time()), _trace)


def _trace(intent: Intent) -> None:
    if intent.correlation_id is not None:
        _logger().thread_safe_append_keys(correlation_id=intent.correlation_id)


@cache
def _logger() -> Logger:
    return Logger(service=SERVICE, level="INFO", utc=True, serialize_stacktrace=False)


def _refused(error: InvalidConfig) -> None:
    _logger().error("a new configuration is refused: the last good one stays in force", problems=error.problems)
    metrics.emit(Counted({counting.CONFIG_REFUSED: 1}), _live().metering, time.time())
