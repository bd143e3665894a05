"""Untrusted bytes to an intent, or every reason why not.

porch checks for itself what it relies on, by the rules of ``intent.schema.json``: it may be run without conductor-loop.
Two rules are the world's, not the schema's: replicas fit Kubernetes' int32, and a reason holds no character that
``kustomize build`` refuses or alters on its way through.
"""

import json
import re
from collections.abc import Callable

from porch.errors import INVALID_INTENT, PorchError
from porch.inputs import read

MAX_BYTES = 10 * 1024 * 1024  # the specification's max_file_size
_MAX_REPLICAS = 2**31 - 1
_MAX_COMPLAINTS = 20  # a hostile file must not turn into megabytes of complaints
_MAX_SHOWN = 60  # characters of a wrong value
_WORD = "[a-zA-Z0-9_-]+"
_DNS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class Intent:
    """A checked intent. ``id`` is "" when the file's name has none, and so is each optional text that is missing."""

    def __init__(self, fields: dict[str, object], intent_id: str) -> None:
        self.id = intent_id
        self.target, self.namespace = str(fields["target"]), str(fields["namespace"])
        self.replicas = int(str(fields["replicas"]))
        optional = (str(fields.get(name, "")) for name in ("reason", "source", "correlation_id"))
        self.reason, self.source, self.correlation_id = optional


def load(path: str) -> Intent:
    """Return the intent in the file at ``path``; a wrong one raises ``PorchError`` with every broken rule."""
    try:
        content = read(path, MAX_BYTES)
    except ValueError as error:
        raise _invalid(f"{path!a} {error}") from None
    fields = _parse(content, path)
    complaints = [f"$.{name} is required: add it, {_RULES[name][1]}" for name in _REQUIRED if name not in fields]
    for name, value in fields.items():
        if name not in _RULES:
            complaints.append(f"{_show(name)} is no field of an intent: remove it, or use {', '.join(_RULES)}")
        elif not _RULES[name][0](value):
            complaints.append(f"$.{name} is {_show(value)}: make it {_RULES[name][1]}")
    if complaints:
        raise PorchError(INVALID_INTENT, *complaints[:_MAX_COMPLAINTS])
    named = re.fullmatch(rf"intent-({_WORD})\.json", path.rpartition("/")[2])
    return Intent(fields, named[1] if named else "")


def _parse(content: bytes, path: str) -> dict[str, object]:
    """Read RFC 8259, with 3.0 as the integer 3 (as JSON Schema has it), without NaN and without a key twice."""
    try:
        text = content.decode().removeprefix("\ufeff")  # RFC 8259 lets a reader pass over a byte order mark
        document = json.loads(text, object_pairs_hook=_fields, parse_float=_number, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _invalid(f"{path!a} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise _invalid(f"{path!a} is not JSON ({why}): send one JSON object") from None
    if not isinstance(document, dict):
        raise _invalid("$ must be an object: put the fields of the intent between { and }")
    return document


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):  # {"replicas": 1, "replicas": 9}: readers differ in which one counts
        raise ValueError("a key occurs twice in one object")
    return fields


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _invalid(message: str) -> PorchError:
    return PorchError(INVALID_INTENT, message)


def _show(value: object) -> str:
    match value:
        case dict():
            return "an object"  # not printed: one nested deeply enough cannot be
        case list():
            return "an array"
        case None | True | False:
            return json.dumps(value)
    shown = ascii(value)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def _text(pattern: str, longest: int = MAX_BYTES) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and len(value) <= longest and bool(re.fullmatch(pattern, value))


def _is_replicas(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_REPLICAS


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 512 and not any(map(_is_lost, value))  # noqa: PLR2004 - the schema's


def _is_lost(character: str) -> bool:
    # kustomize 5 fails on DEL and C1 controls, U+FFFE and U+FFFF, and turns U+0085 into a space; half surrogates are
    # no UTF-8 at all.
    return "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff" or character in "\ufffe\uffff"


_REQUIRED = ("intent_type", "target", "namespace", "replicas")
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "intent_type": (_text("scaling"), 'the text "scaling"'),
    "target": (_text(_DNS, 253), "a Deployment's name: 1 to 253 of a-z, 0-9 and -, no - at either end"),
    "namespace": (_text(_DNS, 63), "a namespace: 1 to 63 of a-z, 0-9 and -, no - at either end"),
    "replicas": (_is_replicas, f"an integer from 0 to {_MAX_REPLICAS}"),
    "reason": (
        _is_reason,
        "a text of at most 512 characters without U+007F to U+009F, U+FFFE, U+FFFF or half surrogates",
    ),
    "source": (_text("user|planner|test|automation"), "user, planner, test or automation"),
    "correlation_id": (_text(_WORD, 64), "a text of 1 to 64 of a-z, A-Z, 0-9, - and _"),
    "priority": (_text("low|normal|high|critical"), "low, normal, high or critical"),
    "timeout": (_text("[0-9]+[smh]"), "a number of seconds, minutes or hours such as 30s, 5m or 1h"),
    "metadata": (lambda value: isinstance(value, dict), "an object"),
}
