from dataclasses import asdict, replace

import pytest

from bench import units
from bench.calls import Call, Way
from bench.cost import Fargate, Prices, Usage, dollars_per_million, seconds, step_functions_standard
from bench.dollars import usage

# One intent: 6 PUTs, 2 GETs, 18 write units, 1 read unit, 3 requests of SQS, 2 invocations, 2,000 bytes of log; 0.2 s
# of waiting and 0.1 s of CPU at a full processor.
HAND = Usage(6, 2, 18, 1, 3, 2, 2000, waiting_seconds=0.2, cpu_seconds=0.1)


def test_a_case_computed_by_hand_comes_to_the_same() -> None:
    # S3 6·5 + 2·0.4 = 30.80; DynamoDB 18·0.625 + 0.125 = 11.375; SQS 3·0.4 = 1.20; logs 2·0.5 = 1.00
    # Lambda 2·0.2 + (0.2 + 0.1·1769/1024 = 0.372754 s)·1 GB·13.3334 = 0.40 + 4.97008 = 5.37008
    assert dollars_per_million(HAND, 1024) == pytest.approx(30.80 + 11.375 + 1.20 + 1.00 + 5.37008, abs=1e-4)


def test_the_audit_trail_costs_its_function_its_log_and_the_row_of_its_shard() -> None:
    # 2·0.2 + (2·0.036 + 0.001·1769/512 = 0.0754551 s)·0.5 GB·13.3334 + 1,113 bytes·0.0005 = 0.40 + 0.503037 + 0.5565
    # 2·(0.125 + 2·0.625) = 2.75
    audited = replace(HAND, audits=2, audit_bytes=1113, audit_cpu_seconds=0.001)
    assert dollars_per_million(audited) - dollars_per_million(HAND) == pytest.approx(4.209537, abs=1e-5)


def test_what_an_intent_uses_is_added_up_of_its_calls() -> None:
    calls = (
        Call("s3", "GetObject", "intent-a.json", 0, 1, invocation=1),
        Call("sqs", "SendMessage", "", 1, 2, invocation=1),
        Call("dynamodb", "UpdateItem", "", 2, 3, 2, 1, audit_bytes=300),
        Call("dynamodb", "TransactWriteItems", "", 3, 4, 10, 2, audit_bytes=400),
        Call("dynamodb", "GetItem", "", 4, 5, 1, 2),
        Call("dynamodb", "BatchGetItem", "", 5, 6, 2, 2),
        Call("s3", "PutObject", "status/a", 6, 7, invocation=2),
        Call("s3", "DeleteObject", "intent-a.json", 7, 8, invocation=2),
    )
    expected = Usage(
        s3_writes=1, s3_reads=1, write_units=12, read_units=3, sqs=3, invocations=2, log_bytes=1000 + 2 * 900,
        waiting_seconds=0.043 + 0.074, cpu_seconds=0.008 + 0.04, audits=1, audit_bytes=700, audit_cpu_seconds=0.003,
    )  # fmt: skip
    assert asdict(usage(Way("queued", calls, 8, 2, 1000), 0.001, 0.04)) == pytest.approx(asdict(expected))


def test_more_memory_than_a_processor_needs_makes_nothing_faster() -> None:
    assert seconds(HAND, 1769) == seconds(HAND, 3008) == pytest.approx(0.3)


def test_a_state_machine_costs_its_transitions_and_no_queue() -> None:
    ours = dollars_per_million(HAND, 1024)
    assert step_functions_standard(HAND, 8, 1024, Prices()) == pytest.approx(ours - 1.20 + 8 * 25)


def test_a_task_that_always_runs_costs_the_month() -> None:
    # 2 tasks · 730 h · (0.5·0.03238 + 1·0.00356) = 28.8350
    assert Fargate().dollars_per_month(Prices()) == pytest.approx(28.8350, abs=1e-3)
    assert Fargate().break_even(HAND, Prices()) == pytest.approx(28.8350 / (5.37008 / 1e6), rel=1e-4)


def item(**values: str) -> dict[str, dict[str, str]]:
    return {name: {"S": value} for name, value in values.items()}


def test_a_write_is_billed_by_the_kilobyte_and_twice_in_a_transaction() -> None:
    small, large = item(pk="a", sk="-"), item(pk="a", sk="-", body="x" * 1500)
    assert units.writes({}, small, transaction=False) == 1
    assert units.writes(small, large, transaction=False) == 2
    assert units.writes(large, small, transaction=True) == 4


def test_an_index_is_billed_where_its_keys_change() -> None:
    queued = item(pk="a", sk="v", arrival_day="d", arrived="t", phase="queued")
    decided = queued | item(phase="failed", clean_up="yes", due_at="9")
    assert units.writes({}, queued, transaction=False) == 2
    assert units.writes(queued, queued | item(phase="processing"), transaction=False) == 1
    assert units.writes(queued, decided, transaction=False) == 2
    assert units.writes(decided, decided | item(due_at="10"), transaction=False) == 3  # taken out, and put in
