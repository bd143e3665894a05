from bench.calls import Call, chain, counted
from bench.lines import bounded, markdown, skipped, text


def call(begun: float, ended: float) -> Call:
    return Call("s3", "PutObject", "", begun, ended)


def test_calls_side_by_side_count_once() -> None:
    assert chain([call(0, 1), call(1, 2), call(1.1, 2.2), call(1.2, 2.1), call(2.3, 3)]) == 3


def test_the_longest_chain_goes_around_a_slow_call() -> None:
    assert chain([call(0, 9), call(0, 1), call(2, 3), call(4, 5)]) == 3


def test_a_table_says_what_is_met_and_what_is_not() -> None:
    lines = [bounded("a", "b", 2, 3), bounded("a", "c", 4, 3), skipped("d", "e", "why")]
    assert [line.verdict for line in lines] == ["met", "MISSED", ""]
    assert "| a | c | ≤ 3 | 4 | MISSED |  |" in markdown(lines)
    assert "why" in text(lines)


def test_what_another_intent_has_printed_before_is_not_counted() -> None:
    path = counted("rejected", b"{")
    assert sum(call.audit_bytes for call in path.calls) > 200  # "rejected", and by whom
    assert 1000 < path.printed_bytes < 2500  # of log lines and metrics; the intent that warms up prints 2,100 before
