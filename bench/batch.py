"""Ten intents in one batch of a queue against one alone, and against ten singles, with a porch that takes 200 ms.

Every call to AWS takes CALL_SECONDS, and costs its CPU; porch waits in a process of its own on Lambda, here in none.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.cpu import canned_porch, with_porch
from bench.function import clients, environment, function, intent, invoke, message_body, put_record, queue_record
from bench.lines import Line, bounded, reported
from bench.wire import VERSION, Wire
from conductor_loop import handlers

PORCH_SECONDS, CALL_SECONDS = 0.2, 0.01
MOST_TIMES = 3.0
ROUNDS = 7
_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/normal"


def run() -> list[Line]:
    """Measure both, alternately."""
    built = handlers._built  # noqa: SLF001 - put back below
    try:
        with function(environment(_QUEUE)):
            with_porch(canned_porch(PORCH_SECONDS))
            return _compared()
    finally:
        handlers._built = built  # noqa: SLF001


def _compared() -> list[Line]:
    Wire(lambda key: intent(target=key.removesuffix(".json")), CALL_SECONDS).under(clients())
    records = [_record(number) for number in range(10)]
    one, ten = [], []
    for _ in range(ROUNDS):
        one.append(_seconds(lambda: invoke(records[0])))
        ten.append(_seconds(lambda: invoke(*records)))
    ratio = statistics.median(many / single for many, single in zip(ten, one, strict=True))
    alone = statistics.median(one)
    note = f"{statistics.median(ten) * 1e3:.0f} ms against {alone * 1e3:.0f} ms; porch takes 200, each call 10"
    saved = f"{alone * 10 / statistics.median(ten):.1f} x as fast"
    return [
        bounded("batch", "a batch of ten, of the time of one", ratio, MOST_TIMES, " x", note),
        reported("batch", "a batch of ten, against ten singles one after the other", saved),
    ]


def _record(number: int) -> dict[str, Any]:
    event = put_record(f"intent-{number}.json", VERSION, 1000)
    return queue_record(message_body(event), number)


def _seconds(action: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    answer = action()
    assert not answer["batchItemFailures"]
    return time.perf_counter() - begun
