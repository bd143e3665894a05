"""The Lambda entry points."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from typing import Any

import boto3  # noqa: F401 - while the function starts: with its first event, it would take a second
from aws_lambda_powertools.utilities.typing import LambdaContext

from conductor_loop import bootstrap, metrics
from conductor_loop.app import App, Message
from conductor_loop.config import Config, Live
from conductor_loop.counting import Counted
from conductor_loop.errors import Throttled
from conductor_loop.intent import Handoff
from conductor_loop.intents import admit
from conductor_loop.intents.model import Deferred

_RENEWED_AFTER = 10  # receives of a message that only waits; fewer than any MaxReceives
_LONGEST_BACKOFF_SECONDS = 900.0  # before a message that fails is delivered again

type BatchResponse = dict[str, list[dict[str, str]]]


def conductor(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer S3's events and the messages of our queues: one function for both, so that there is one way to process.

    An event with ``plan`` is the command line's: what an intent would change is looked at, and nothing is changed.
    """
    started, deadline = time.time(), _deadline(context)
    records = event.get("Records", [])
    is_batch = bool(records) and records[0].get("eventSource") == "aws:sqs"
    try:
        app = _app(context.log_stream_name)
    except Throttled:
        if not is_batch:
            raise
        return _put_back(records)
    if "plan" in event:
        from conductor_loop import planning  # noqa: PLC0415 - what has an intent to answer starts faster without

        draft = planning.draft(event["plan"])
        metrics.logger().info("planned", handoff=draft.file, principal=draft.principal or None)
        return planning.plan(app, draft, deadline)
    return _work_batch(app, records, started, deadline) if is_batch else _answer_event(app, event, started, deadline)


def sweeper(event: Mapping[str, Any], context: LambdaContext) -> dict[str, int]:
    """Sweep one stretch of the bucket; the next call goes on behind it. Returns what it did."""
    from conductor_loop import housekeeping  # noqa: PLC0415 - the conductor does without, and starts faster

    del event
    deadline = _deadline(context)
    return housekeeping.run(_app(context.log_stream_name), os.environ, deadline)


def _answer_event(app: App, event: Mapping[str, Any], started: float, deadline: float) -> dict[str, str]:
    """Answer every handoff of an S3 event; the result of each, by its URL.

    Raises ExceptionGroup: some have no answer yet; S3's delivery is made again, and the others stay as they are.
    """
    answers, failures = {}, []
    for handoff in admit.handoffs(event):
        try:
            answer = _logged(app, handoff, partial(admit.answer, app, handoff, deadline, started=started))
            answers[str(handoff)] = answer.value
        except Exception as error:  # noqa: BLE001 - one handoff must not keep its neighbours from their answers
            failures.append(error)
    if failures:
        raise ExceptionGroup("handoffs without an answer yet", failures)
    return answers


def _put_back(records: list[dict[str, Any]]) -> BatchResponse:
    """Have a batch delivered again, at first within seconds: the queue's own timeout is for workers that died.

    Raises InvalidConfig: the environment does not say which queues there are.
    """
    metrics.logger().warning("the configuration is throttled: the batch is delivered again", messages=len(records))
    queues = bootstrap.queues(_live().known())
    for record in records:
        queues.extend_visibility(record, _backoff(record, bootstrap.jitter()))
    return _again(records)


def _work_batch(app: App, records: list[dict[str, Any]], started: float, deadline: float) -> BatchResponse:
    """Work on a batch of messages side by side; those that come again are reported as failures."""
    work = partial(_work_one, app, started, deadline)
    if len(records) == 1:  # as most are: a thread for it would cost more than its claim
        done = [work(records[0])]
    else:
        with ThreadPoolExecutor(max_workers=len(records)) as pool:
            done = list(pool.map(work, records))
    return _again([record for record, is_done in zip(records, done, strict=True) if not is_done])


def _again(records: list[dict[str, Any]]) -> BatchResponse:
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}


def _work_one(app: App, started: float, deadline: float, record: Mapping[str, Any]) -> bool:
    """Work on one message; whether it is done with. Whatever happens to it, its neighbours never notice."""
    received = _received(record)
    try:
        message = Message.parse(record["body"])
        result = _logged(app, message.handoff, partial(admit.work, app, message, deadline, started=started))
        if not isinstance(result, Deferred):
            return True
        seconds = result.seconds
        if received >= _RENEWED_AFTER:  # its queue counts, and would take a message that only waits for one that fails
            app.queues.send(message, record["attributes"].get("MessageGroupId", "waiting"), seconds)
            return True
    except Exception:  # noqa: BLE001 - a bug, or a service that is down: the queue's count decides when it is enough
        metrics.logger().exception("message failed", message_id=record["messageId"], received=received)
        seconds = _backoff(record, app.jitter())
    app.queues.extend_visibility(record, seconds)
    return False


def _received(record: Mapping[str, Any]) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])


def _backoff(record: Mapping[str, Any], jitter: float) -> float:
    """Give the seconds until a message that has failed is delivered again."""
    return min(2.0 ** min(_received(record), 10), _LONGEST_BACKOFF_SECONDS) * (0.5 + jitter / 2)


def _logged[T](app: App, handoff: Handoff, step: Callable[[], T]) -> T:
    """Do a step for a handoff, with its name on every log line."""
    logger = metrics.logger()
    logger.thread_safe_append_keys(handoff=handoff.key, version_id=handoff.version_id, worker_id=app.worker_id)
    try:
        result = step()
    except Exception:
        logger.exception("no answer")
        raise
    else:
        logger.info("answered", answer=str(result))
        return result
    finally:
        logger.thread_safe_clear_keys()


def _deadline(context: LambdaContext) -> float:
    """Say when this invocation ends, in epoch seconds; no call to AWS is begun just before that."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    bootstrap.end_at(deadline)
    return deadline


def _app(worker: str) -> App:
    return _built(_live().config(), worker)


@cache
def _live() -> Live:
    return bootstrap.live(os.environ, lambda error: metrics.report_refused(error, _live().metering))


@lru_cache(maxsize=1)  # until another version of the configuration is in force
def _built(config: Config, worker: str) -> App:
    logger = metrics.logger()
    logging.getLogger(metrics.SERVICE).setLevel(config.log_level)  # the library's own method lets Lambda's level win
    logger.append_keys(config_version=config.version)

    def note(counted: Counted) -> None:
        metrics.emit(counted, config.metering, time.time())

    return bootstrap.build(config, partial(metrics.report, note), note, metrics.trace, worker)
