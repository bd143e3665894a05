import pytest

from conductor_loop.config import InvalidConfig, from_environment
from conductor_loop.porch import Mode

TABLE = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal"}


def test_only_the_table_has_no_default() -> None:
    config = from_environment({"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_PROCESSING_PRIORITY_QUEUES": "false"})
    assert (config.porch_path, config.mode, config.processing_timeout_seconds) == (
        "/opt/bin/porch",
        Mode.STRUCTURED,
        30,
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("168h", 604_800), ("7d", 604_800)]
)
def test_durations_are_read_with_their_units(text: str, seconds: float) -> None:
    assert from_environment(TABLE | {"CONDUCTOR_PROCESSING_TIMEOUT": text}).processing_timeout_seconds == seconds


def test_every_problem_is_reported_at_once_with_what_to_write() -> None:
    with pytest.raises(InvalidConfig) as caught:
        from_environment(
            {
                "CONDUCTOR_MODE": "fast",
                "CONDUCTOR_PROCESSING_TIMEOUT": "soon",
                "CONDUCTOR_PROCESSING_RETRY_ATTEMPTS": "99",
            }
        )
    assert caught.value.problems == (
        "CONDUCTOR_STATE_TABLE is not set: give it a value",
        "CONDUCTOR_MODE is 'fast': use one of direct, structured",
        "CONDUCTOR_PROCESSING_TIMEOUT is 'soon': write a duration such as 500ms, 30s, 5m, 168h or 7d",
        "CONDUCTOR_PROCESSING_RETRY_ATTEMPTS is '99': write a whole number from 0 to 10",
        "CONDUCTOR_QUEUE_NORMAL is not set: name the queue, or set CONDUCTOR_PROCESSING_PRIORITY_QUEUES to false",
    )


def test_the_queues_and_principals_are_read() -> None:
    config = from_environment(
        TABLE | {"CONDUCTOR_CRITICAL_PRINCIPALS": "AWS:A*, AWS:B", "CONDUCTOR_QUEUE_HIGH": "https://sqs/high"}
    )
    assert config.critical_principals == ("AWS:A*", "AWS:B")
    assert config.queues == {"normal": "https://sqs/normal", "high": "https://sqs/high"}


def test_the_limits_of_validation_come_from_the_configuration() -> None:
    given = {"CONDUCTOR_VALIDATION_MAX_REPLICAS": "500", "CONDUCTOR_SECURITY_MODE": "standard"}
    rules = from_environment(TABLE | given).rules
    assert (rules.max_replicas, rules.mode, rules.max_nesting_depth) == (500, "standard", 10)
    with pytest.raises(InvalidConfig, match=r"CONDUCTOR_VALIDATION_MAX_REPLICAS is '1001': .* from 0 to 1000"):
        from_environment(TABLE | {"CONDUCTOR_VALIDATION_MAX_REPLICAS": "1001"})
