"""Every variable that the template gives a function is one that the configuration reads, and the other way about."""

from conductor_loop.config import from_environment
from tests.unit.test_template import RESOURCES

SHARED = {"CONDUCTOR_STATE_TABLE": "state", "CONDUCTOR_QUEUE_NORMAL": "https://sqs/normal"}


class _Watched(dict[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__(SHARED)
        self.asked: set[str] = set()

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.asked.add(key)
        return super().get(key, default)


def test_the_template_and_the_configuration_name_the_same_variables() -> None:
    given = {
        name
        for function in ("ConductorFunction", "SweeperFunction")
        for name in RESOURCES[function]["Properties"]["Environment"]["Variables"]
        if name.startswith("CONDUCTOR_")
    }
    environment = _Watched()
    from_environment(environment)
    assert given <= environment.asked
    assert environment.asked - given == {"CONDUCTOR_QUEUE_CRITICAL"}, "critical intents have no queue"
