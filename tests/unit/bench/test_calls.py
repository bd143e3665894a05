from bench.calls import Call, chain, counted
from bench.cost import S3_READS, S3_WRITES
from bench.function import intent
from bench.lines import bounded, markdown, skipped, text
from dev import cost


def call(begun: float, ended: float) -> Call:
    return Call("s3", "PutObject", "", begun, ended)


def test_calls_side_by_side_count_once() -> None:
    assert chain([call(0, 1), call(1, 2), call(1.1, 2.2), call(1.2, 2.1), call(2.3, 3)]) == 3


def test_the_longest_chain_goes_around_a_slow_call() -> None:
    assert chain([call(0, 9), call(0, 1), call(2, 3), call(4, 5)]) == 3


def test_a_table_says_what_is_met_and_what_is_not() -> None:
    lines = [bounded("a", "b", 2, 3), bounded("a", "c", 4, 3), skipped("d", "e", "why")]
    assert [line.result for line in lines] == ["met", "MISSED", ""]
    assert "| a | c | ≤ 3 | 4 | MISSED |  |" in markdown(lines)
    assert "why" in text(lines)


def test_what_another_intent_has_printed_before_is_not_counted() -> None:
    path = counted("rejected", b"{")
    assert sum(call.audit_bytes for call in path.calls) > 200  # "rejected", and by whom
    assert 1000 < path.printed_bytes < 2500  # of log lines and metrics; the intent that warms up prints 2,100 before


def test_the_live_tree_costs_the_calls_that_the_page_of_costs_says() -> None:
    with_it = counted("inline", intent(priority="critical")).kinds
    without = counted("inline", intent(priority="critical"), CONDUCTOR_PROCESSING_LIVE_TREE="false").kinds
    more = with_it - without
    assert not without - with_it
    assert sum(more[kind] for kind in S3_READS) == cost.LIVE.s3_reads
    assert sum(more[kind] for kind in S3_WRITES) == cost.LIVE.s3_writes
    assert more.total() == cost.LIVE.s3_reads + cost.LIVE.s3_writes
