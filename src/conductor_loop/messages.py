"""What a queue's message says: ``Message`` ⇄ its body."""

import json
from dataclasses import asdict

from conductor_loop.app import Message
from conductor_loop.intent import Handoff, Priority


def write(message: Message) -> str:
    """Write the body of a message."""
    return json.dumps(asdict(message))


def read(body: str) -> Message:
    """Read the body of a message.

    Raises:
        ValueError: it is none of ours.

    """
    try:
        document = json.loads(body)
        swept = document.get("swept", False)  # which messages of older releases do not have
        return Message(Handoff(**document["handoff"]), Priority(document["priority"]), document["note"], swept)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a message of ours: {body[:200]!r}") from error
