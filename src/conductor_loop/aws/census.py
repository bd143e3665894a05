"""How many files lie where: counted a page a minute, so that it costs the same however many there are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conductor_loop.storage.rows import Key, number, text

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_ROW = Key("gauge", "directories")
_PREFIXES = {"handoff": "intent-", "processed": "processed/", "failed": "failed/intent-"}
_LAST = "\U0010ffff"  # sorts after whatever a folder holds: a page that ends with one goes on after all of it


class Census:
    """Counts the files of the root, ``processed/`` and ``failed/`` into the row ``gauge#directories``.

    The row has the last whole count of each directory, ``files_…``, and how far the next one is: ``counted_…`` files up
    to the key ``behind_…``; and what the last sweep has measured. Two at once may count a page twice, which the next
    count mends.
    """

    def __init__(self, s3: "S3Client", dynamodb: "DynamoDBClient", table: str) -> None:
        self._s3, self._dynamodb, self._table = s3, dynamodb, table

    def go_on(self, bucket: str, gauges: Mapping[str, float]) -> None:
        """Count one page more of each directory, and note what a sweep has measured: values by attribute."""
        seen = self._row()
        if gauges:
            values = {f":{name}": number(value) for name, value in gauges.items()}
            self._write(f"SET {', '.join(f'{name} = :{name}' for name in gauges)}", values)
        for name, prefix in _PREFIXES.items():
            self._count(bucket, name, prefix, seen)

    def _count(self, bucket: str, name: str, prefix: str, seen: Mapping[str, Any]) -> None:
        behind = seen.get(f"behind_{name}", {}).get("S", "")
        page = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", StartAfter=behind)
        found = [one["Key"] for one in page.get("Contents", [])]
        files = len(found) + (int(seen[f"counted_{name}"]["N"]) if behind else 0)
        if page["IsTruncated"]:
            folders = [one["Prefix"] + _LAST for one in page.get("CommonPrefixes", [])]
            last = max(found + folders)
            self._write(
                f"SET counted_{name} = :files, behind_{name} = :last", {":files": number(files), ":last": text(last)}
            )
        else:
            self._write(f"SET files_{name} = :files REMOVE counted_{name}, behind_{name}", {":files": number(files)})

    def _row(self) -> Mapping[str, Any]:
        wanted: Any = {self._table: {"Keys": [_ROW.item], "ConsistentRead": True}}
        answer = self._dynamodb.batch_get_item(RequestItems=wanted)
        return next(iter(answer["Responses"].get(self._table, [])), {})

    def _write(self, expression: str, values: Mapping[str, Any]) -> None:
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_ROW.item,
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
        )
