"""Packages as they lie in the bucket: that of an intent, and the one before it."""

import re
from collections.abc import Iterable, Iterator, Mapping
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
class _File:
    """One file of a package."""

    key: str
    body: bytes
    at: datetime
    handoff: str  # version id of the intent that it was made for


class Shelf:
    """The packages of a bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @cached_property
    def _s3(self) -> "S3Client":
        return boto3.client("s3")

    def of(self, status: Mapping[str, Any]) -> Stored:
        """Read the package that a status names. Raises NotThere."""
        return _stored(status["package"]["prefix"], list(self._written(status)))

    def before(self, status: Mapping[str, Any]) -> Stored | None:
        """Read what was the target's package before the one that a status names; ``None`` where it is the first.

        That is the newest one that was complete by then, and that no other attempt at the same intent has left. Raises
        NotThere.
        """
        prefix: str = status["package"]["prefix"]
        mine = (min(file.at for file in self._written(status)), _natural(prefix))
        packages = self._packages(prefix.rstrip("/").rpartition("/")[0] + "/")
        older = [(place, name) for name, at in packages.items() if (place := (at, _natural(name))) < mine]
        for _, name in sorted(older, reverse=True):
            files = self._whole(name)
            if all(file.handoff != status["version_id"] for file in files):
                return _stored(name, files)
        return None

    def newest(self, target: str) -> Stored | None:
        """Read the newest package of a target ``namespace/name``; ``None`` where it has none."""
        packages = self._packages(f"packages/{target}/")
        newest = max(((at, _natural(prefix), prefix) for prefix, at in packages.items()), default=None)
        return _stored(newest[-1], self._whole(newest[-1])) if newest else None

    def _written(self, status: Mapping[str, Any]) -> Iterator[_File]:
        for path in status["package"]["files"]:
            file = self._file(status["package"]["prefix"] + path)
            if file.handoff != status["version_id"]:
                raise NotThere(f"s3://{self._bucket}/{file.key} was replaced by another program")
            yield file

    def _whole(self, prefix: str) -> list[_File]:
        return [self._file(key) for key, _ in self._keys(prefix)]

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

    def _file(self, key: str) -> _File:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            raise NotThere(f"s3://{self._bucket}/{key} is gone") from None
        return _File(key, found["Body"].read(), found["LastModified"], found["Metadata"].get("handoff", ""))


def _stored(prefix: str, files: Iterable[_File]) -> Stored:
    contents = {file.key.removeprefix(prefix): file.body for file in files}
    return Stored(prefix.rstrip("/").rpartition("/")[2], prefix, contents)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort v1.0.10 behind v1.0.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(text)]
