"""What the functions of a stack have logged."""

from collections.abc import Iterator
from dataclasses import dataclass

import boto3

from conductor_loop.aws.refusals import WrongPlace

_FUNCTIONS = ("conductor", "sweeper", "api")


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a log group."""

    at: float  # epoch seconds
    text: str


def lines(stack: str, word: str | None, since: float) -> list[Line]:
    """Read what the functions have logged since (epoch seconds), oldest first; with ``word``, what may hold it.

    Raises:
        WrongPlace: there are no such log groups.

    """
    found = (line for function in _FUNCTIONS for line in group(f"/conductor-loop/{stack}/{function}", word, since))
    return sorted(found, key=lambda line: line.at)


def group(name: str, word: str | None, since: float) -> Iterator[Line]:
    """Read a log group since (epoch seconds), oldest first; with ``word``, what may hold it. Raises WrongPlace."""
    client = boto3.client("logs")
    pattern = {"filterPattern": f'"{word}"'} if word else {}
    pages = client.get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=name, startTime=int(since * 1000), **pattern):  # type: ignore[arg-type]
            for event in page["events"]:
                yield Line(event["timestamp"] / 1000, event["message"])
    except client.exceptions.ResourceNotFoundException:
        wrong = f"there is no log group {name} in {client.meta.region_name}"
        raise WrongPlace(f"{wrong}: name another stack with --stack, or another region with AWS_REGION") from None
