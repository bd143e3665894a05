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
        document = dict(json.loads(body))
        return Message(
            **document | {"handoff": Handoff(**document["handoff"]), "priority": Priority(document["priority"])}
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a message of ours: {body[:200]!r}") from error
