"""What to say of an intent: from where its name stands, the words and the exit code."""

import shlex
from collections.abc import Mapping
from enum import Enum
from typing import Any

import click

from conductor_loop.cli import bucket
from conductor_loop.cli.bucket import Standing
from conductor_loop.cli.common import NOT_YET, WrongUsage, suggest
from conductor_loop.errors import Cause, Reaction
from conductor_loop.intent import FILE_NAME

GOOD = {"success", "skipped"}


class Stage(Enum):
    """Where a name stands, as its sender sees it."""

    ABSENT = "neither an input nor a status"
    STRAY = "in the root, under a name that is no intent's"
    WAITING = "in the root, without any status"
    REPLACED = "in the root, and the newest status is about another version"
    RETRYING = "in the root; an attempt failed, and another is due"
    WITHDRAWN = "no longer in the root, although another attempt was due"
    ANSWERED = "the newest status is final"

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self in {Stage.WITHDRAWN, Stage.ANSWERED}


def stage(name: str, found: Standing) -> Stage:
    """Derive where a name stands."""
    status, waiting = found.document, None if found.older else found.waiting
    if waiting is not None and waiting == status.get("version_id"):
        return Stage.RETRYING if "next_retry" in status else Stage.ANSWERED
    if waiting is not None and not FILE_NAME.fullmatch(name):
        return Stage.STRAY
    if waiting is not None:
        return Stage.REPLACED if status else Stage.WAITING
    if not status:
        return Stage.ABSENT
    return Stage.WITHDRAWN if "next_retry" in status else Stage.ANSWERED


def remark(name: str, place: str, found: Standing) -> str:
    """Say what the status alone does not, and the next step; nothing beside a final answer. ``place`` is the bucket."""
    match stage(name, found):
        case Stage.ABSENT:
            nothing = f"{name} is not in {place}, and nothing of that name was answered: copy it there first"
            return nothing + correction(name)
        case Stage.STRAY:
            moved = "once it has lain there for processing.sweep_after (5m by default), a sweep moves it to failed/"
            return f"{name} lies in {place}, but is not an intent's name; {moved}"
        case Stage.WAITING:
            more = f"wait longer with --wait, or see: {suggest('logs', name)}"
            return f"{name} waits in {place} and has no answer yet: {more}"
        case Stage.REPLACED:
            about = found.document.get("version_id")
            return f"{name} was sent again (version {found.waiting}) and waits; the status is about version {about}"
        case Stage.RETRYING:
            return f"{_failure(found)}; the next one is due at {found.document['next_retry']}"
        case Stage.WITHDRAWN:
            return f"{_failure(found)}, and {name} was withdrawn since: it is not tried again"
        case Stage.ANSWERED:
            return ""


def _failure(found: Standing) -> str:
    status = found.document
    details = status.get("error_details", {})
    return f"attempt {status.get('attempt')} failed ({details.get('code')} {details.get('error_code')})"


def final(name: str, place: str) -> Mapping[str, Any]:
    """Read the final status of an intent; end the command where there is none. ``place`` is the bucket."""
    found = bucket.standing(place, name)
    if stage(name, found).over:
        return found.document
    if found.waiting is None:
        raise WrongUsage(remark(name, place, found))
    click.echo(remark(name, place, found), err=True)
    raise click.exceptions.Exit(NOT_YET)


def correction(name: str) -> str:
    """Give the end of a message about a name of which nothing is known: the intent's name that may be meant."""
    bare = name.removesuffix(".status").removesuffix(".json").removesuffix(".")
    meant = next((one for one in (f"{bare}.json", f"intent-{bare}.json") if FILE_NAME.fullmatch(one)), name)
    return f"; did you mean {meant}?" if meant != name else ""


# -- why a name is not sent again


def misnamed(name: str, place: str, kept: str | None) -> str:
    """Refuse a name that no intent can have; ``kept`` is the key of its input, if there is one."""
    rule = f"{name} is no intent's name"
    if kept is None:
        return f"{rule}, and nothing of it is kept in {place}: see {suggest('list --state failed')}{correction(name)}"
    renamed = f"{_copy(place, kept)} s3://{place}/intent-<letters, digits, - or _>.json"
    return f"{rule}, and would be rejected again; send it under another: {renamed}"


def refusal(name: str, place: str, found: Standing, kept: str | None) -> str:
    """Refuse a name; nothing where its newest answer is a failure that is over.

    ``kept`` is the key of an input that could be sent again on purpose.
    """
    follow = f"follow it with: {suggest('status', name, '--wait', 30)}"
    purpose = f"; to send an input again on purpose: {_copy(place, kept)} s3://{place}/{name}" if kept else ""
    status = found.document
    match stage(name, found):
        case Stage.ABSENT:
            return f"{name} never failed: nothing of that name is in {place}, and nothing of it was answered"
        case Stage.STRAY | Stage.WAITING | Stage.REPLACED:
            return f"{name} waits in the root already; {follow}"
        case Stage.RETRYING:
            return f"{name} is tried again by itself at {status['next_retry']}; {follow}"
        case Stage.WITHDRAWN:
            return f"{name} was withdrawn while it was being retried: copy the file to s3://{place}/ again"
        case Stage.ANSWERED if status["status"] in GOOD:
            newest = f"{status['status']} at {status['timestamp']} ({status['message']})"
            return f"the newest answer to {name} is {newest}: there is nothing to retry{purpose}"
        case Stage.ANSWERED if found.older:
            left = f"an older {name} lies in the root still, and would be in the way"
            return f"{left}: wait until it is gone, or remove it: aws s3 rm s3://{place}/{name}"
        case Stage.ANSWERED if found.waiting is not None:
            return f"{name} has failed just now, or cannot be read: its input still lies in the root; see its status"
        case _:
            return ""


def _copy(place: str, key: str) -> str:
    return shlex.join(["aws", "s3", "cp", f"s3://{place}/{key}"])


def warning(found: Standing) -> str:
    """Say that a failure will recur as long as the file is the same; nothing where it may pass."""
    details = found.document.get("error_details", {})
    if details.get("error_code") not in {cause for cause in Cause if cause.reaction is Reaction.REJECT}:
        return ""
    return (
        f"it was rejected ({details['code']} {details['error_code']}), and will be again unless the file is corrected"
    )
