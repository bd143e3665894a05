"""What a stage of validation found, and how it is put into words that are safe to log and to print."""

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from conductor_loop.errors import Violation

type Path = tuple[str | int, ...]

_SHOWN = 48  # characters of an offending value in a message: enough to recognise it
_SHOWN_PATH = 160
_SHOWN_MESSAGE = 800
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")


class ThreatLevel(IntEnum):
    """How much a violation looks like an attack; a report carries the highest of its violations."""

    NONE = 0  # a mistake: grammar, schema, a business limit
    LOW = 1  # what honest prose or data may hold: a listed character in a reason, a field that is a little too long
    MEDIUM = 2  # what a careless sender may do and an attacker would: exhaust memory, reach for a system namespace
    HIGH = 3  # what has no honest use here: path traversal, control or hidden characters, commands in a name


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: where, which, what is wrong and what to do; put into words only when it is reported."""

    path: Path
    rule: str
    problem: str
    remedy: str
    threat: ThreatLevel = ThreatLevel.NONE

    def violation(self) -> Violation:
        """Word the finding for a report, in printable characters only and within a bounded length."""
        path = shown_path(self.path)
        message = f"{path} breaks {self.rule}: {self.problem}; {self.remedy}"
        return Violation(path, self.rule, shortened(message, _SHOWN_MESSAGE))


def shown(value: Any) -> str:  # noqa: ANN401 - a value of a JSON document may be anything
    """Word an offending value: shortened, quoted, and every character that does not print as an escape."""
    match value:
        case str():
            return f'"{_escaped(value[:_SHOWN])}{"..." if len(value) > _SHOWN else ""}"'
        case dict():
            return f"an object of {len(value)}"
        case list():
            return f"an array of {len(value)}"
    return shortened(json.dumps(value), _SHOWN)


def shown_path(path: Path) -> str:
    """Word a JSON path such as ``$.metadata.alert_id`` or ``$.metadata["two words"][0]``."""
    text = "$" + "".join(_step(step) for step in path)
    return text if len(text) <= _SHOWN_PATH else f"{text[: _SHOWN_PATH // 2]}...{text[-_SHOWN_PATH // 2 :]}"


def shortened(text: str, length: int) -> str:
    """Cut a text after ``length`` characters, with three dots if there were more."""
    return text if len(text) <= length else text[:length] + "..."


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else f"[{shown(step)}]"


def _escaped(text: str) -> str:
    """Escape as JSON does, but only what does not print: an umlaut stays readable, a terminal sequence is inert."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1] for char in text)
