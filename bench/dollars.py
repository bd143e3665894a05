"""Counted calls and measured CPU → lines of dollars, by the model in ``cost``."""

from bench.calls import WITHOUT_LIVE_TREE, Call, Way, chain
from bench.cost import (
    ANSWER_SECONDS,
    AUDIT_CALLS,
    DEFAULT_MEMORY,
    DYNAMODB_READS,
    MEMORY_SIZES,
    MOST_DOLLARS,
    PLATFORM_LOG_BYTES,
    POLLER_REQUESTS,
    S3_READS,
    S3_WRITES,
    Fargate,
    Prices,
    Usage,
    dollars_per_million,
    parts,
    seconds,
    step_functions_express,
    step_functions_standard,
)
from bench.lines import Line, bounded, reported

_TRANSITIONS = 8  # read, claim, porch, publish, decide, settle; start and end
_FIRST_ATTEMPT = 2  # the invocation behind the one that admits; later ones wait for their backoff
_MONTHLY = 1_000_000  # intents a month that Fargate is compared at


def usage(path: Way, cpu_seconds_a_call: float, porch_cpu_seconds: float) -> Usage:
    """Make what an intent uses of its counted calls; the function's CPU goes with their number.

    AuditFunction waits five seconds for more of the stream: what admits an intent comes with its first attempt.
    """
    audits = len({max(call.invocation, _FIRST_ATTEMPT) for call in path.calls if call.audit_bytes})
    runs = sum(call.operation == "GetItem" for call in path.calls)  # porch runs behind each claim
    return Usage(
        s3_writes=sum(call.operation in S3_WRITES for call in path.calls),
        s3_reads=sum(call.operation in S3_READS for call in path.calls),
        write_units=sum(call.units for call in path.calls if call.operation not in DYNAMODB_READS),
        read_units=sum(call.units for call in path.calls if call.operation in DYNAMODB_READS),
        sqs=sum(call.service == "sqs" for call in path.calls) + POLLER_REQUESTS * (path.invocations - 1),
        invocations=path.invocations,
        log_bytes=path.printed_bytes + PLATFORM_LOG_BYTES * path.invocations,
        waiting_seconds=_waiting(path),
        cpu_seconds=cpu_seconds_a_call * len(path.calls) + porch_cpu_seconds * runs,
        audits=audits,
        audit_bytes=sum(call.audit_bytes for call in path.calls),
        audit_cpu_seconds=cpu_seconds_a_call * audits * len(AUDIT_CALLS),
    )


def _waiting(path: Way) -> float:
    """Add up how long AWS takes to answer along the chains of all invocations."""
    total = 0.0
    for number in range(1, path.invocations + 1):
        mine = [call for call in path.calls if call.invocation == number]
        total += chain(mine) * (sum(map(_answer_seconds, mine)) / len(mine) if mine else 0.0)
    return total


def _answer_seconds(call: Call) -> float:
    return ANSWER_SECONDS[call.service]


def run(paths: dict[str, Way], handler_cpu_seconds: float, porch_cpu_seconds: float) -> list[Line]:
    """Price every path, and the other ways for the queued one."""
    each_call = handler_cpu_seconds / len(paths["queued"].calls)  # it was measured on that path
    used = {name: usage(path, each_call, porch_cpu_seconds) for name, path in paths.items()}
    queued, prices = used["queued"], Prices()
    what = f"a million intents, {WITHOUT_LIVE_TREE}, {DEFAULT_MEMORY} MB"
    least = round(dollars_per_million(_floor(paths[WITHOUT_LIVE_TREE].files)), 2)
    lines = [
        bounded("dollars", what, round(dollars_per_million(used[WITHOUT_LIVE_TREE]), 2), MOST_DOLLARS, " $"),
        reported("dollars", "of that what the specification demands", f"{least} $", least),
    ]
    for name, each in used.items():
        sizes = " / ".join(f"{dollars_per_million(each, memory):.2f}" for memory in MEMORY_SIZES)
        split = ", ".join(f"{part} {dollars:.2f}" for part, dollars in parts(each, DEFAULT_MEMORY, prices).items())
        what = f"{name}, at {' / '.join(map(str, MEMORY_SIZES))} MB"
        lines.append(reported("dollars", what, f"{sizes} $", note=f"at {DEFAULT_MEMORY} MB: {split}"))
    timing = " / ".join(f"{seconds(queued, memory):.2f}" for memory in MEMORY_SIZES)
    lines.append(reported("dollars", "seconds of Lambda for a queued one, likewise", timing))
    return lines + _others(queued, prices)


def _floor(files: int) -> Usage:
    """Give the writes that no design is without: files, status, archive, message, one claim and one decision."""
    return Usage(s3_writes=files + 2, s3_reads=1, write_units=2 * 4, sqs=1 + POLLER_REQUESTS)


def _others(queued: Usage, prices: Prices) -> list[Line]:
    fargate = Fargate()
    standard = step_functions_standard(queued, _TRANSITIONS, DEFAULT_MEMORY, prices)
    express = step_functions_express(queued, DEFAULT_MEMORY, prices)
    always = fargate.dollars_per_million(queued, _MONTHLY, prices)
    even = fargate.break_even(queued, prices)
    return [
        reported("dollars", f"with Step Functions Standard, {_TRANSITIONS} transitions", f"{standard:.2f} $", standard),
        reported("dollars", "with Step Functions Express", f"{express:.2f} $", express),
        reported("dollars", "with two Fargate tasks, a million a month", f"{always:.2f} $", always),
        reported("dollars", "intents a month from which Fargate is cheaper", f"{even / 1e6:.1f} million", even),
    ]
