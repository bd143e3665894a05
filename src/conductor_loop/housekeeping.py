"""What only the sweeper does beside sweeping: files and workers are counted, versions of the configuration noted.

Apart from ``bootstrap``, so that the function that intents wait for does not import it as it starts.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from conductor_loop import counting
from conductor_loop.audit.events import Configurations
from conductor_loop.config import Config, InvalidConfig, load
from conductor_loop.config.schema import parse
from conductor_loop.intents.reconcile import Swept
from conductor_loop.storage.measures import DIRECTORIES, StateMeasures
from conductor_loop.storage.parameters import ConfigParameter
from conductor_loop.storage.rows import Values, number, text
from conductor_loop.storage.sdk import client
from conductor_loop.storage.table import Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_PREFIXES = {"handoff": "intent-", "processed": "processed/", "failed": "failed/intent-"}
_noted: dict[str, str] = {}  # the version of a parameter that is noted for certain
_LAST = "\U0010ffff"  # sorts after whatever a folder holds: a page that ends with one goes on after all of it


class ObjectCounts(Table):
    """Counts the files of the root, ``processed/`` and ``failed/`` into the row ``gauge#directories``.

    The row has the last whole count of each directory, ``directory_…``, and how far the next one is: ``counted_…``
    files up to the key ``behind_…`` (empty: none are). Beside them is what the last sweep has measured. Two at once may
    count a page twice, which the next count corrects.
    """

    def __init__(self, s3: "S3Client", dynamodb: "DynamoDBClient", table: str) -> None:
        super().__init__(dynamodb, table)
        self._s3 = s3

    def count_page(self, bucket: str, gauges: Mapping[str, float]) -> None:
        """Count one page more of each directory, and note what a sweep has measured: values by attribute."""
        row = self.get(DIRECTORIES)
        values: Values = {name: number(value) for name, value in gauges.items()}
        for name, prefix in _PREFIXES.items():
            values |= self._count(bucket, name, prefix, row)
        self._client.update_item(
            TableName=self._table,
            Key=DIRECTORIES.item,
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in values),
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )

    def _count(self, bucket: str, name: str, prefix: str, row: Item) -> Values:
        """Count a page; the attributes that change."""
        behind = row.get(f"behind_{name}", {}).get("S", "")
        page = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", StartAfter=behind)
        keys = [one["Key"] for one in page.get("Contents", [])]
        files = number(len(keys) + (int(row[f"counted_{name}"]["N"]) if behind else 0))
        if not page["IsTruncated"]:
            return {f"directory_{name}": files, f"behind_{name}": text("")}
        keys += [one["Prefix"] + _LAST for one in page.get("CommonPrefixes", [])]
        return {f"counted_{name}": files, f"behind_{name}": text(max(keys))}


def tally(swept: Swept) -> dict[str, float]:
    """Count what a sweep found."""
    return {
        counting.UNSETTLED: swept.seen,
        counting.OVERDUE: swept.overdue,
        counting.REDELIVERED: swept.redelivered,
        counting.SWEEP_FAILURES: swept.failed,
        **{f"{counting.OLDEST}{priority}": seconds for priority, seconds in swept.oldest.items()},
    }


def measure(config: Config, found: Mapping[str, float]) -> Mapping[str, float]:
    """Count a page more of each directory, and the workers; what /metrics reads of a sweep (``found``) is kept."""
    gauges = {name: value for name, value in found.items() if name.startswith((counting.OVERDUE, counting.OLDEST))}
    counts = ObjectCounts(client("s3"), client("dynamodb"), config.state_table)
    counts.count_page(config.handoff_bucket, gauges | {counting.SWEPT_AT: time.time()})
    active = StateMeasures(client("dynamodb"), config.state_table).active_workers()
    most = config.serving.max_workers
    return {counting.ACTIVE_WORKERS: active} | ({} if most is None else {counting.MAX_WORKERS: most})


def note_configuration(config: Config, environment: Mapping[str, str]) -> None:
    """Note new versions of the configuration in the audit trail, whatever has written them."""
    parameter = ConfigParameter(partial(client, "ssm"), environment.get("CONDUCTOR_CONFIG_PARAMETER", ""))

    def good(written: str) -> bool:
        try:
            load(parse(written), environment)
        except InvalidConfig:
            return False
        return True

    if parameter.name and (newest := parameter.newest().version) != _noted.get(parameter.name):
        Configurations(client("dynamodb"), config.state_table, good).note(parameter.revisions(), time.time())
        _noted[parameter.name] = newest
