"""A turn of the sweeper, and what it does beside: files and workers are counted, versions of the configuration noted.

Apart from ``bootstrap``, so that the function that intents wait for does not import it as it starts.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from conductor_loop import counting, metrics
from conductor_loop.app import App
from conductor_loop.audit.events import Configurations
from conductor_loop.config import Config
from conductor_loop.counting import Counted
from conductor_loop.intents.reconcile import take_turn
from conductor_loop.storage.measures import DIRECTORIES, Counters
from conductor_loop.storage.parameters import ConfigParameter
from conductor_loop.storage.rows import number, text
from conductor_loop.storage.sdk import client
from conductor_loop.storage.table import Table

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PREFIXES = {"handoff": "intent-", "processed": "processed/", "failed": "failed/intent-"}
_noted: dict[str, str] = {}  # the version of a parameter that is noted for certain
_LAST = "\U0010ffff"  # sorts after whatever a folder holds: a page that ends with one goes on after all of it


def run(app: App, environment: Mapping[str, str], deadline: float) -> dict[str, int]:
    """Take a turn, and return what it did. What fails beside it is logged, and retried by the next one."""
    try:
        note_configuration(app.config, environment)
    except Exception:  # noqa: BLE001 - no reason to sweep nothing
        app.note(Counted({counting.AUDIT_FAILURES: 1}))
        metrics.logger().exception("a version of the configuration is not noted")
    swept = take_turn(app, deadline)
    counts = {name: count for name, count in asdict(swept).items() if name not in {"cursor", "oldest"}}
    metrics.logger().info("swept", extra=counts)
    tally: dict[str, float] = {f"{counting.SWEPT}{name}": count for name, count in counts.items()}
    tally |= {f"{counting.OLDEST}{priority}": seconds for priority, seconds in swept.oldest.items()}
    try:
        tally |= measure(app.config, tally) if app.config.metering.enabled else {}
    except Exception:  # noqa: BLE001 - likewise
        metrics.logger().exception("files and workers are not counted")
    app.note(Counted(tally))
    return counts


class ObjectCounts(Table):
    """Counts the files of the root, ``processed/`` and ``failed/`` into the row ``gauge#directories``.

    The row has the last whole count of each directory, ``directory_…``, and how far the next one is: ``counted_…``
    files up to the key ``behind_…`` (empty: none are). Beside them is what the last sweep has measured. Two at once may
    count a page twice, or one of them not at all, which the next count corrects.
    """

    def count_page(self, s3: "S3Client", bucket: str, gauges: Mapping[str, float]) -> None:
        """Count one page more of each directory, and note what a sweep has measured: values by attribute."""
        measured = {name: number(value) for name, value in gauges.items()}
        row = {**DIRECTORIES.item, **self.get(DIRECTORIES), **measured}
        for name, prefix in _PREFIXES.items():
            behind = row.get(f"behind_{name}", {}).get("S", "")
            page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", StartAfter=behind)
            keys = [one["Key"] for one in page.get("Contents", [])]
            files = number(len(keys) + (int(row[f"counted_{name}"]["N"]) if behind else 0))
            keys += [one["Prefix"] + _LAST for one in page.get("CommonPrefixes", [])]
            row[f"behind_{name}"] = text(max(keys) if page["IsTruncated"] else "")
            row[f"counted_{name}" if page["IsTruncated"] else f"directory_{name}"] = files
        self._client.put_item(TableName=self._table, Item=row)


def measure(config: Config, found: Mapping[str, float]) -> Mapping[str, float]:
    """Count a page more of each directory, and the workers; what /metrics reads of a sweep (``found``) is kept."""
    gauges = {name: value for name, value in found.items() if name.startswith((counting.OVERDUE, counting.OLDEST))}
    counts = ObjectCounts(client("dynamodb"), config.state_table)
    counts.count_page(client("s3"), config.handoff_bucket, gauges | {counting.SWEPT_AT: time.time()})
    active = Counters(client("dynamodb"), config.state_table).active_workers()
    most = config.serving.max_workers
    return {counting.ACTIVE_WORKERS: active} | ({} if most is None else {counting.MAX_WORKERS: most})


def note_configuration(config: Config, environment: Mapping[str, str]) -> None:
    """Note new versions of the configuration in the audit trail, whatever has written them."""
    parameter = ConfigParameter(partial(client, "ssm"), environment.get("CONDUCTOR_CONFIG_PARAMETER", ""))
    if parameter.name and (newest := parameter.newest().version) != _noted.get(parameter.name):
        Configurations(client("dynamodb"), config.state_table).note(parameter.revisions(), environment, time.time())
        _noted[parameter.name] = newest
