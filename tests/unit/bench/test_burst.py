from bench.burst import critical_places


def test_critical_ones_are_last_of_those_that_are_answered_in_the_same_second() -> None:
    first, second = "2026-11-23T03:00:00Z", "2026-11-23T03:00:01Z"
    answered = {"intent-critical-3": first, "intent-normal-1": first, "intent-normal-2": second}
    assert critical_places(answered) == [2]
