import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from conductor_loop.config import InvalidConfig, Live, Stored

ENVIRONMENT = {
    "CONDUCTOR_STATE_TABLE": "state",
    "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal",
    "CONDUCTOR_CONFIG_PARAMETER": "/stack/config",
    "CONDUCTOR_CONFIG_MAX_AGE": "60s",
}
DIRECT, STRUCTURED, BROKEN = '{"mode": "direct"}', '{"mode": "structured"}', '{"mode": "fast"}'


@dataclass
class Parameter:
    """A parameter with a history, a clock, and what was counted."""

    texts: list[str]
    now: float = 0
    reads: int = 0
    refused: list[InvalidConfig] = field(default_factory=list)
    down: bool = False

    def newest(self) -> Stored:
        self.reads += 1
        if self.down:
            raise OSError("SSM is down")
        return Stored(self.texts[-1], str(len(self.texts)))

    def earlier(self) -> Iterable[Stored]:
        return [Stored(text, str(number)) for number, text in reversed([*enumerate(self.texts, 1)][:-1])]

    def live(self) -> Live:
        return Live(ENVIRONMENT, self.newest, self.earlier, self.refused.append, lambda: self.now)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def test_a_change_is_in_force_when_the_copy_is_too_old() -> None:
    parameter = Parameter([STRUCTURED])
    live = parameter.live()
    assert (live.config().mode, live.config().version) == ("structured", "1")
    parameter.texts.append(DIRECT)
    parameter.now = 59
    assert live.config().mode == "structured"
    parameter.now = 60
    assert (live.config().mode, live.config().version) == ("direct", "2")


def test_an_unchanged_document_costs_one_call_and_is_the_same_configuration() -> None:
    parameter = Parameter([DIRECT])
    live = parameter.live()
    first = live.config()
    parameter.now = 60
    assert live.config() is first
    assert parameter.reads == 2


def test_a_broken_version_is_looked_at_each_minute_so_that_its_alarm_stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CONDUCTOR_CONFIG_MAX_AGE", "1h")
    parameter = Parameter([DIRECT])
    live = parameter.live()
    live.config()
    parameter.texts.append(BROKEN)
    for parameter.now in (3600, 3659, 3660, 3720):
        live.config()
    assert len(parameter.refused) == 3
    parameter.texts.append(STRUCTURED)
    parameter.now = 3780
    assert live.config().mode == "structured"
    parameter.now = 3900
    live.config()
    assert parameter.reads == 5


def test_behind_a_broken_version_the_last_good_one_is_in_force_even_if_never_read() -> None:
    parameter = Parameter([DIRECT])
    live = parameter.live()
    live.config()
    parameter.texts += [STRUCTURED, BROKEN]
    parameter.now = 60
    config = live.config()
    assert (config.mode, config.version) == ("structured", "2")
    parameter.now = 120
    assert live.config() is config


def test_where_earlier_versions_cannot_be_read_the_one_in_force_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    parameter = Parameter([DIRECT])
    live = parameter.live()
    first = live.config()
    parameter.texts += [STRUCTURED, BROKEN]
    parameter.now = 60

    def fail() -> Iterable[Stored]:
        raise OSError("SSM is down")

    monkeypatch.setattr(live, "_earlier", fail)
    assert live.config() is first


def test_a_broken_version_is_refused_as_long_as_it_stands_and_the_last_good_one_stays() -> None:
    parameter = Parameter([DIRECT])
    live = parameter.live()
    first = live.config()
    parameter.texts.append(BROKEN)
    for parameter.now in (60, 120, 180):
        assert live.config() is first
    assert len(parameter.refused) == 3, "the alarm stays on"
    parameter.texts.append(STRUCTURED)
    parameter.now = 240
    assert live.config().version == "3"


def test_a_new_environment_finds_the_last_good_version_behind_a_broken_one() -> None:
    parameter = Parameter([STRUCTURED, DIRECT, BROKEN, "not JSON"])
    config = parameter.live().config()
    assert (config.mode, config.version) == ("direct", "2")
    assert len(parameter.refused) == 1


def test_without_any_good_version_the_defaults_are_in_force() -> None:
    config = Parameter([BROKEN]).live().config()
    assert (config.mode, config.version) == ("structured", "")


def test_a_function_does_not_start_without_what_it_is_to_go_by() -> None:
    parameter = Parameter([DIRECT], down=True)
    live = parameter.live()
    with pytest.raises(OSError, match="SSM is down"):
        live.config()
    parameter.down = False
    assert live.config().version == "1"


def test_a_function_that_runs_keeps_what_it_goes_by_while_that_cannot_be_read() -> None:
    parameter = Parameter([DIRECT])
    live = parameter.live()
    first = live.config()
    parameter.down, parameter.now = True, 60
    assert live.config() is first


def test_a_stack_without_a_document_reads_none() -> None:
    parameter = Parameter([])
    environment = {name: value for name, value in ENVIRONMENT.items() if "CONFIG" not in name}
    live = Live(environment, parameter.newest, parameter.earlier, parameter.refused.append, lambda: parameter.now)
    live.config()
    parameter.now = 1e9
    live.config()
    assert parameter.reads == 0


def test_a_wrong_environment_is_no_fault_of_the_document() -> None:
    parameter = Parameter([DIRECT])
    refuse: Callable[[InvalidConfig], None] = parameter.refused.append
    live = Live(ENVIRONMENT | {"CONDUCTOR_MODE": "fast"}, parameter.newest, parameter.earlier, refuse, lambda: 0)
    with pytest.raises(InvalidConfig, match="environment"):
        live.config()
    assert parameter.refused == []


def test_what_is_known_is_returned_without_a_request() -> None:
    parameter = Parameter([DIRECT], down=True)
    live = parameter.live()
    assert (live.known().mode, parameter.reads) == ("structured", 0)
    parameter.down = False
    live.config()
    assert (live.known().mode, parameter.reads) == ("direct", 1)


def test_a_parameter_that_was_deleted_and_made_again_is_noticed_although_it_counts_from_one() -> None:
    parameter = Parameter([DIRECT])
    live = parameter.live()
    assert (live.config().mode, live.config().version) == ("direct", "1")
    parameter.texts, parameter.now = [STRUCTURED], 60
    assert (live.config().mode, live.config().version) == ("structured", "1")
    parameter.texts, parameter.now = [BROKEN], 120
    assert live.config().mode == "structured"
    assert len(parameter.refused) == 1


@pytest.mark.parametrize(("name", "value"), [("CONFIG_MAX_AGE", "abc"), ("WORKERS", "many"), ("WORKERS", "2 4")])
def test_invalid_wiring_is_reported_with_all_the_rest(name: str, value: str) -> None:
    parameter = Parameter([BROKEN])
    environment = ENVIRONMENT | {f"CONDUCTOR_{name}": value, "CONDUCTOR_MODE": "fast"}
    live = Live(environment, parameter.newest, parameter.earlier, parameter.refused.append, lambda: 0)
    with pytest.raises(InvalidConfig, match=rf"CONDUCTOR_{name}: .{value}. does not fit; .*environment: \$\.mode"):
        live.config()


@pytest.mark.parametrize("broken", [BROKEN, "{}"])
def test_a_document_without_what_the_environment_needs_is_refused_and_stops_no_worker(broken: str) -> None:
    parameter = Parameter(['{"secrets": {"vault": {"address": "https://vault.example"}}}'])
    environment = ENVIRONMENT | {"CONDUCTOR_SECRETS_VAULT_ENABLED": "true"}
    live = Live(environment, parameter.newest, parameter.earlier, parameter.refused.append, lambda: parameter.now)
    first = live.config()
    parameter.texts.append(broken)
    parameter.now = 60
    assert live.config() is first
    later = Live(environment, parameter.newest, parameter.earlier, parameter.refused.append, lambda: parameter.now)
    assert later.config().version == "1"
    assert len(parameter.refused) == 2
