"""Writes the little YAML that a package needs, so that YAML 1.1 and YAML 1.2 readers see the same.

Every string is a double-quoted scalar on one line: "yes", "1e3" and "---" stay strings, and no text can end its own
scalar. Keys are written as they are, because they are constants of this program.
"""


class Block:
    """A document of `dump`'s inside another, readable: its lines are printable, and the first has no indentation."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


type Node = str | int | Block | list[Node] | dict[str, Node]

_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}  # alike in 1.1 and 1.2, unlike "\/"


def dump(fields: dict[str, Node]) -> str:
    """Return the document with these fields, in this order."""
    return "".join(f"{line}\n" for line in _lines(fields))


def quote(text: str) -> str:
    """Return ``text`` as a double-quoted scalar; half surrogates, which no YAML can hold, raise ``ValueError``."""
    return '"' + "".join(_SHORT.get(character) or _escape(character) for character in text) + '"'


def _lines(fields: dict[str, Node]) -> list[str]:
    return [line for key, value in fields.items() for line in _field(key, value)]


def _field(key: str, value: Node) -> list[str]:
    match value:
        case dict():
            return [f"{key}:", *(f"  {line}" for line in _lines(value))]
        case list():
            return [f"{key}:", *(f"  {line}" for item in value for line in _item(item))]
        case Block():
            return [f"{key}: |", *(f"  {line}" for line in value.text.splitlines())]
        case str():
            return [f"{key}: {quote(value)}"]
        case int():
            return [f"{key}: {value}"]


def _item(value: Node) -> list[str]:
    first, *others = _lines(value) if isinstance(value, dict) else [quote(str(value))]
    return [f"- {first}", *(f"  {line}" for line in others)]


def _escape(character: str) -> str:
    # Unprintable is more than the control characters: line and paragraph separators, the byte order mark and the marks
    # that reorder or hide text on a reviewer's screen are all written out.
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - the bounds are Unicode's
        raise ValueError(f"half a surrogate pair: U+{code:04X}")
    if code <= 0xFF:  # noqa: PLR2004 - what \x can hold
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"  # noqa: PLR2004 - what \u can hold
