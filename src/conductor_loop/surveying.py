"""What only the sweeper does beside sweeping: files and workers are counted, versions of the configuration noted.

Apart from ``bootstrap``, so that the function that intents wait for does not import it as it starts.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial

from conductor_loop.aws.census import Census
from conductor_loop.aws.measuring import StateMeasures
from conductor_loop.aws.parameters import ConfigParameter
from conductor_loop.aws.sdk import client
from conductor_loop.aws.trails import Trails
from conductor_loop.config import Config, InvalidConfig, changes, load
from conductor_loop.config.sources import parsed
from conductor_loop.counting import ACTIVE_WORKERS, MAX_WORKERS


def measure(config: Config, gauges: Mapping[str, float]) -> Mapping[str, float]:
    """Count on the files of the directories, a page of each, and say how busy the workers are.

    Args:
        config: The configuration in force.
        gauges: What a sweep has just measured, by name; kept beside the files.

    """
    Census(client("s3"), client("dynamodb"), config.state_table).go_on(config.handoff_bucket, gauges)
    active = StateMeasures(client("dynamodb"), config.state_table).active_workers()
    most = config.serving.max_workers
    return {ACTIVE_WORKERS: active} | ({} if most is None else {MAX_WORKERS: most})


def config_trail(environment: Mapping[str, str]) -> Callable[[Config], None]:
    """Give what notes new versions of the configuration in the audit trail, whatever has written them."""
    parameter = ConfigParameter(partial(client, "ssm"), environment.get("CONDUCTOR_CONFIG_PARAMETER", ""))
    last: list[str | None] = [None]  # version that is noted for certain

    def good(text: str) -> bool:
        try:
            load(parsed(text), environment)
        except InvalidConfig:
            return False
        return True

    def note(config: Config) -> None:
        if not parameter.name or (newest := parameter.newest().version) == last[0]:
            return
        trails = Trails(client("dynamodb"), config.state_table, config.audit_seconds)
        trail = changes.ConfigTrail(good, trails.note_config, time.time)
        if trail.note(parameter.revisions(), trails.config()):
            last[0] = newest

    return note
