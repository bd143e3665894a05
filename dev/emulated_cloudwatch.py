"""CloudWatch of the embedded AWS, as far as MiniStack leaves it out.

MiniStack stores metrics and alarms. Closed here, so that alarms can be seen to work from a failure to a notification:

* metric lines of functions (EMF) become metrics, and every invocation counts in AWS/Lambda, those by queues and S3 too;
* queues have AWS/SQS metrics, measured each second;
* alarms are evaluated each second, by their own dimensions, periods and missing data. To wait for no
  period, let time pass: a datum of N for `SecondsPassed` in `EmulatedTime` makes every other datum N seconds older;
* CloudFormation makes composite alarms.

Runs in MiniStack's own environment (.local/ministack), as `emulator` does.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from emulated_chains import let_messages_wait  # type: ignore[import-not-found]  # beside this module
from ministack.services import cloudwatch, lambda_svc, sqs
from ministack.services.cloudformation import provisioners

_TIME = "EmulatedTime"  # a namespace
_KEPT = 3600  # points of a queue's metric: an hour
_COMPARES: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_write_logs = lambda_svc._emit_lambda_logs
_logger = logging.getLogger("alarms")
_count_invocation = lambda_svc._emit_lambda_metrics
_store = cloudwatch._store_datum
_evaluating = threading.Lock()  # also while time passes: no alarm sees half of the data older


def install() -> None:
    """Close the gaps; once, before MiniStack starts."""
    lambda_svc._emit_lambda_logs = _write_logs_and_metrics
    lambda_svc._emit_lambda_metrics = _count_throttle
    cloudwatch._evaluate_alarm = _evaluate
    cloudwatch._store_datum = _store_or_let_time_pass
    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": _put_composite,
        "update": lambda name, _, properties, __: _put(name, properties),
        "delete": lambda name, _: cloudwatch._composite_alarms.pop(name, None),
    }
    threading.Thread(target=_watch, daemon=True).start()


def _write_logs_and_metrics(*arguments: Any, **named: Any) -> None:  # noqa: ANN401 - whatever MiniStack gives it
    function, _, text, failed, milliseconds = arguments[:5]
    _write_logs(*arguments, **named)
    name = (function.get("config") or function).get("FunctionName", "")
    _count_invocation(name, float(milliseconds), error=bool(failed), throttle=False)
    for line in (text or "").splitlines():
        if '"_aws"' in line:
            with suppress(ValueError, KeyError, TypeError):  # a line that CloudWatch would pass over, too
                _record(json.loads(line))


def _count_throttle(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:  # noqa: FBT001
    """Leave out what MiniStack counts of calls alone: the log counts it. What is throttled is no invocation."""
    del duration_ms, error
    if throttle:
        cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", {"FunctionName": function_name})


def _record(line: Mapping[str, Any]) -> None:
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: line[name] for name in names}
            for metric in directive["Metrics"]:
                key = (directive["Namespace"], metric["Name"], cloudwatch._dims_key(dimensions))
                point = {"Timestamp": line["_aws"]["Timestamp"] / 1000, "Value": float(line[metric["Name"]])}
                cloudwatch._metric_bucket(key).append(point | {"Unit": metric["Unit"], "Dimensions": dimensions})


def _store_or_let_time_pass(namespace: str, *datum: Any) -> None:  # noqa: ANN401 - whatever MiniStack gives it
    if namespace != _TIME:
        _store(namespace, *datum)
        return
    seconds = float(datum[4])
    if datum[0] == "SecondsPassedInQueues":
        let_messages_wait(seconds)
        return
    with _evaluating:
        for points in list(cloudwatch._metrics.values()):
            for point in list(points):
                point["Timestamp"] -= seconds


def _watch() -> None:
    while True:
        time.sleep(1)
        try:
            _measure_queues(time.time())
            for alarm in list(cloudwatch._alarms.values()):
                _evaluate(alarm)
        except RuntimeError:  # something changed meanwhile: the next second will do
            continue
        except Exception:
            _logger.exception("alarms are not evaluated")


def _measure_queues(now: float) -> None:
    for queue in list(sqs._queues.values()):
        messages = list(queue["messages"])
        dimensions = {"QueueName": queue["name"]}
        name, visible = "ApproximateNumberOfMessagesVisible", sum(one["visible_at"] <= now for one in messages)
        cloudwatch.record_metric("AWS/SQS", name, float(visible), "None", dimensions)
        points = cloudwatch._metric_bucket(("AWS/SQS", name, cloudwatch._dims_key(dimensions)))
        del points[:-_KEPT]


def _evaluate(alarm: dict[str, Any]) -> None:
    with _evaluating:
        found = list(_periods(alarm, time.time()))
        state = _state(alarm, found)
        if state == alarm["StateValue"]:
            return
        before, alarm["StateValue"] = alarm["StateValue"], state
        alarm["StateReason"] = f"{alarm['MetricName']}, period by period, newest first: {found}"
        alarm["StateUpdatedTimestamp"] = int(time.time())
        cloudwatch._record_history(alarm["AlarmName"], before, state, alarm["StateReason"])
        cloudwatch._dispatch_alarm_actions(alarm, before, state, alarm["StateReason"])
        cloudwatch._evaluate_parent_alarms(alarm)


def _periods(alarm: Mapping[str, Any], now: float) -> Iterator[float | None]:
    """Give the statistic of each period, newest first; ``None`` where there is no data."""
    wanted = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
    points = list(cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], wanted)) or [])
    seconds = alarm["Period"]
    for number in range(alarm["EvaluationPeriods"]):
        some = [one for one in points if now - seconds * (number + 1) < one["Timestamp"] <= now - seconds * number]
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        yield cloudwatch._stat_value(cloudwatch._calc_stats(some), statistic, some) if some else None


def _state(alarm: Mapping[str, Any], found: list[float | None]) -> str:
    missing = alarm.get("TreatMissingData", "missing")
    if all(value is None for value in found) and missing in {"missing", "ignore"}:
        return "INSUFFICIENT_DATA" if missing == "missing" else str(alarm["StateValue"])
    compare = _COMPARES[alarm["ComparisonOperator"]]
    breaching = [missing == "breaching" if value is None else compare(value, alarm["Threshold"]) for value in found]
    return "ALARM" if sum(breaching) >= alarm.get("DatapointsToAlarm", len(found)) else "OK"


def _put_composite(logical_id: str, properties: Mapping[str, Any], stack: str) -> tuple[str, dict[str, str]]:
    return _put(provisioners._physical_name(stack, logical_id, max_len=255), properties)


def _put(name: str, properties: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    given = {key: value for key, value in properties.items() if value is not None} | {"AlarmName": name}
    status, _, body = cloudwatch._put_composite_alarm({}, given, is_cbor=False, is_json=True)
    if status >= 400:  # noqa: PLR2004 - of HTTP
        raise ValueError(f"AWS::CloudWatch::CompositeAlarm: {body!r}")
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}
