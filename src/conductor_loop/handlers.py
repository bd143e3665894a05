"""The Lambda entry points."""

import logging
import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import bootstrap, metrics, pipeline
from conductor_loop.app import App, Measured
from conductor_loop.config import Config, from_environment
from conductor_loop.errors import Overtaken, StillHeld
from conductor_loop.events import handoffs
from conductor_loop.intent import Handoff

SERVICE = "conductor-loop"
_SDK_LOGGERS = ("boto3", "botocore", "urllib3")  # at DEBUG they print requests, which carry intents


def conductor(event: Mapping[str, Any], context: LambdaContext) -> dict[str, str]:
    """Answer every handoff of an S3 event.

    Returns:
        What became of each, by its ``s3://`` address with the version.

    Raises:
        ExceptionGroup: some handoffs have no answer yet; S3's delivery is made again, and the others stay as they are.

    """
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    app = _app(context.log_stream_name)
    answers, failures = {}, []
    for handoff in handoffs(event):
        try:
            answers[str(handoff)] = _answer(app, handoff, deadline).value
        except Exception as error:  # noqa: BLE001 - one handoff must not keep its neighbours from their answers
            failures.append(error)
    if failures:
        raise ExceptionGroup("handoffs without an answer yet", failures)
    return answers


def _answer(app: App, handoff: Handoff, deadline: float) -> pipeline.Answer:
    logger = _logger(app.config.log_level)
    with logger.append_context_keys(handoff=handoff.key, version_id=handoff.version_id, worker_id=app.worker_id):
        try:
            answer = pipeline.answer(app, handoff, deadline)
        except (StillHeld, Overtaken) as error:
            logger.warning("left to a later delivery", reason=type(error).__name__)
            raise
        except Exception:
            logger.exception("no answer")
            raise
        logger.info("answered", answer=answer.value)
    return answer


@cache
def _app(worker: str) -> App:
    config = from_environment(os.environ)
    for name in _SDK_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return bootstrap.build(config, lambda measured: _observe(config, measured), worker)


def _observe(config: Config, measured: Measured) -> None:
    document = measured.outcome.status
    _logger(config.log_level).info(
        "decided",
        correlation_id=document.get("correlation_id"),
        status=document["status"],
        status_message=document["message"],
        attempt=document["attempt"],
        seconds=round(measured.seconds, 3),
        porch_seconds=measured.porch_seconds,
    )
    metrics.emit(measured, SERVICE)


@cache
def _logger(level: str) -> Logger:
    return Logger(service=SERVICE, level=level, utc=True, serialize_stacktrace=False)  # the text says it all
