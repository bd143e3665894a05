from conductor_loop.errors import Cause


def test_every_cause_has_a_published_code_and_a_reaction() -> None:
    for cause in Cause:
        assert cause.code.startswith("E0")
        assert cause.reaction.value
