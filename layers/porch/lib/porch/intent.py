"""Untrusted fields to an intent, or every reason why not.

porch checks for itself what it relies on, by the rules of ``intent.schema.json``: it may be run without conductor-loop.
Two rules are the world's, not the schema's: replicas fit Kubernetes' int32, and a reason holds no character that
``kustomize build`` refuses or alters on its way through.
"""

from porch.document import read
from porch.errors import INVALID_INTENT, PorchError

_MAX_REPLICAS = 2**31 - 1
_MAX_COMPLAINTS = 20  # a hostile file must not turn into megabytes of complaints
_MAX_SHOWN = 60  # characters of a wrong value
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")
_DIGITS = frozenset("0123456789")


class Intent:
    """A checked intent. ``id`` is "" when the file's name has none, and so is each optional text that was not given."""

    __slots__ = ("correlation_id", "id", "namespace", "reason", "replicas", "source", "target")

    def __init__(self, fields: dict[str, object], intent_id: str) -> None:
        self.id = intent_id
        self.target = str(fields["target"])
        self.namespace = str(fields["namespace"])
        self.replicas = int(str(fields["replicas"]))
        self.reason = str(fields.get("reason", ""))
        self.source = str(fields.get("source", ""))
        self.correlation_id = str(fields.get("correlation_id", ""))


def load(path: str) -> Intent:
    """Return the intent in the file at ``path``; a wrong one raises ``PorchError`` with every broken rule."""
    fields = read(path)
    complaints = [*_missing(fields), *_unknown(fields), *_broken(fields)]
    if complaints:
        raise PorchError(INVALID_INTENT, *complaints[:_MAX_COMPLAINTS])
    return Intent(fields, _intent_id(path))


def _missing(fields: dict[str, object]) -> list[str]:
    return [f"$.{name} is required: add it, {_RULES[name][1]}" for name in _REQUIRED if name not in fields]


def _unknown(fields: dict[str, object]) -> list[str]:
    known = ", ".join(_RULES)
    return [
        f"{_show(name)} is no field of an intent: remove it, or use {known}" for name in fields if name not in _RULES
    ]


def _broken(fields: dict[str, object]) -> list[str]:
    return [
        f"$.{name} is {_show(fields[name])}: make it {rule}"
        for name, (holds, rule) in _RULES.items()
        if name in fields and not holds(fields[name])
    ]


def _show(value: object) -> str:
    match value:
        case dict():
            return "an object"  # not printed: one nested deeply enough cannot be
        case list():
            return "an array"
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
    shown = ascii(value)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def _intent_id(path: str) -> str:
    name = path.rpartition("/")[2]
    intent_id = name.removeprefix("intent-").removesuffix(".json")
    return intent_id if name == f"intent-{intent_id}.json" and _is_word(intent_id) else ""


def _is_scaling(value: object) -> bool:
    return value == "scaling"


def _is_source(value: object) -> bool:
    return value in ("user", "planner", "test", "automation")


def _is_priority(value: object) -> bool:
    return value in ("low", "normal", "high", "critical")


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_dns(value: object, longest: int) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        return False
    return _LOWER.issuperset(value.replace("-", "")) and value[0] != "-" != value[-1]


def _is_target(value: object) -> bool:
    return _is_dns(value, 253)


def _is_namespace(value: object) -> bool:
    return _is_dns(value, 63)


def _is_replicas(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_REPLICAS


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 512 and not any(map(_is_lost, value))  # noqa: PLR2004 - the schema's


def _is_lost(character: str) -> bool:
    # kustomize 5 fails on DEL and C1 controls, U+FFFE and U+FFFF, and turns U+0085 into a space; half surrogates are
    # no UTF-8 at all.
    return "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff" or character in "\ufffe\uffff"


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value != "" and _WORD.issuperset(value)


def _is_correlation_id(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 64 and _is_word(value)  # noqa: PLR2004 - the schema's


def _is_timeout(value: object) -> bool:
    return (
        isinstance(value, str) and value[-1:] in {"s", "m", "h"} and value[:-1] != "" and _DIGITS.issuperset(value[:-1])
    )


_REQUIRED = ("intent_type", "target", "namespace", "replicas")
_RULES = {
    "intent_type": (_is_scaling, 'the text "scaling"'),
    "target": (_is_target, "a Deployment's name: 1 to 253 of a-z, 0-9 and -, no - at either end"),
    "namespace": (_is_namespace, "a namespace: 1 to 63 of a-z, 0-9 and -, no - at either end"),
    "replicas": (_is_replicas, f"an integer from 0 to {_MAX_REPLICAS}"),
    "reason": (
        _is_reason,
        "a text of at most 512 characters without U+007F to U+009F, U+FFFE, U+FFFF or half surrogates",
    ),
    "source": (_is_source, "user, planner, test or automation"),
    "correlation_id": (_is_correlation_id, "a text of 1 to 64 of a-z, A-Z, 0-9, - and _"),
    "priority": (_is_priority, "low, normal, high or critical"),
    "timeout": (_is_timeout, "a number of seconds, minutes or hours such as 30s, 5m or 1h"),
    "metadata": (_is_object, "an object"),
}
