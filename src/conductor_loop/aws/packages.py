"""Packages as they lie in the bucket: that of an intent, and the one before it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

from conductor_loop.aws.refusals import NotThere

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Stored:
    """A package: where it lies, and its files, path to content."""

    name: str
    prefix: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of one object."""

    key: str
    version: str
    at: datetime
    handoff: str = ""  # version id of the intent that it was made for


class Shelf:
    """The packages of a bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @cached_property
    def _s3(self) -> "S3Client":
        return boto3.client("s3")

    def of(self, status: Mapping[str, Any]) -> Stored:
        """Read the package that a status tells of, as that intent made it. Raises NotThere."""
        return self._stored(status["package"]["prefix"], list(self._written(status)))

    def before(self, status: Mapping[str, Any]) -> Stored | None:
        """Read what was the target's package before the one that a status tells of; ``None`` where it is the first.

        That is the newest other package of the target that was complete by then; where a porch uses one name again and
        again, what lay there before. Raises NotThere.
        """
        prefix, mine = status["package"]["prefix"], list(self._written(status))
        if replaced := self._replaced(prefix, mine):
            return self._stored(prefix, replaced)
        older = self._older(prefix, min(one.at for one in mine))
        return self._whole(older) if older else None

    def _whole(self, prefix: str) -> Stored:
        return self._stored(prefix, [_Version(key, "", at) for key, at in self._keys(prefix)])

    def newest(self, target: str) -> Stored | None:
        """Read the newest package of a target ``namespace/name``; ``None`` where it has none."""
        packages = self._packages(f"packages/{target}/")
        newest = max(((at, _natural(prefix), prefix) for prefix, at in packages.items()), default=None)
        return self._whole(newest[-1]) if newest else None

    def _written(self, status: Mapping[str, Any]) -> Iterator[_Version]:
        prefix, handoff = status["package"]["prefix"], status["version_id"]
        for path in status["package"]["files"]:
            versions = (self._looked_at(one) for one in self._versions(prefix + path) if one.key == prefix + path)
            found = next((one for one in versions if one.handoff == handoff), None)
            if found is None:
                raise NotThere(f"s3://{self._bucket}/{prefix}{path} is gone, or somebody else has replaced it")
            yield found

    def _replaced(self, prefix: str, mine: list[_Version]) -> list[_Version]:
        """Give the versions that lay under the same name before: the newest of each file, all of one intent."""
        older = [self._looked_at(one) for one in self._beneath(prefix, mine)]
        if not older:
            return []
        newest = max(older, key=lambda one: one.at)
        found: dict[str, _Version] = {}
        for one in older:  # newest first, for each key
            if one.handoff == newest.handoff:
                found.setdefault(one.key, one)
        return list(found.values())

    def _beneath(self, prefix: str, mine: list[_Version]) -> Iterator[_Version]:
        """Give the versions that ours have replaced: S3 lists those of a key newest first, and times are in seconds."""
        versions, keys, met = {one.version for one in mine}, {one.key for one in mine}, set[str]()
        began = min(one.at for one in mine)
        for one in self._versions(prefix):
            if one.version in versions:
                met.add(one.key)
            elif one.key in met or (one.key not in keys and one.at <= began):
                yield one

    def _older(self, prefix: str, began: datetime) -> str | None:
        """Give the prefix of the newest other package of the target."""
        packages = self._packages(prefix.rstrip("/").rpartition("/")[0] + "/")
        mine = (began, _natural(prefix))
        others = [((at, _natural(name)), name) for name, at in packages.items() if name != prefix]
        return max((one for one in others if one[0] < mine), default=(None, None))[1]

    def _packages(self, target: str) -> dict[str, datetime]:
        """Give the prefixes of a target's packages, and since when each is complete."""
        done: dict[str, datetime] = {}
        for key, at in self._keys(target):
            package = target + key.removeprefix(target).partition("/")[0] + "/"
            done[package] = max(at, done.get(package, at))
        return done

    def _keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in pages:
            yield from ((found["Key"], found["LastModified"]) for found in page.get("Contents", []))

    def _versions(self, prefix: str) -> Iterator[_Version]:
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        for page in pages:
            for found in page.get("Versions", []):
                yield _Version(found["Key"], found["VersionId"], found["LastModified"])

    def _looked_at(self, one: _Version) -> _Version:
        head = self._s3.head_object(Bucket=self._bucket, Key=one.key, VersionId=one.version)
        return _Version(one.key, one.version, one.at, head["Metadata"].get("handoff", ""))

    def _stored(self, prefix: str, versions: list[_Version]) -> Stored:
        files = {}
        for one in versions:
            which: Any = {"VersionId": one.version} if one.version else {}
            found = self._s3.get_object(Bucket=self._bucket, Key=one.key, **which)
            files[one.key.removeprefix(prefix)] = found["Body"].read()
        return Stored(prefix.rstrip("/").rpartition("/")[2], prefix, files)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort v1.0.10 behind v1.0.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(text)]
