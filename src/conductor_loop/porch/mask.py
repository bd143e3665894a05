"""Porch's output, made fit to be shown: bounded, without secrets, and without characters that a terminal obeys."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

SHORTEST = 8  # characters of a secret; masking less would mask honest words
_SHORTEST_IN_FILES = 16  # likewise of one that a file is refused for: a package is made of words
_SHORTEST_LINE = 16  # characters of a secret's line that count by themselves
_MASKED = "[secret]"
# What a terminal or a log viewer would obey instead of showing: control characters (not \n, \t), line and paragraph
# separators, and the marks that reorder text.
_CONTROLS = (*range(9), *range(11, 32), *range(127, 160))
_OBEYED = dict.fromkeys((*_CONTROLS, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)))


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """Secrets in every form that a program prints by mistake: a traceback, a dumped environment, a logged request.

    A program that means to publish one finds a form that is not here.
    """

    forms: tuple[str, ...] = ()  # longest first: a whole goes before its parts

    def text(self, text: str) -> str:
        """Return the text with every secret masked, and with it the beginning of one that was cut off at the end."""
        for form in self.forms:
            text = text.replace(form, _MASKED)
        cut = max((_cut_off(text, form) for form in self.forms), default=0)
        return text[: len(text) - cut] + _MASKED if cut else text

    def document(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON value with every secret masked, in keys as well."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self.document(inner) for key, inner in value.items()}
            case list():
                return [self.document(inner) for inner in value]
        return value

    def is_in(self, content: bytes) -> bool:
        """Whether a secret is in there, leaving out those that a word may be by chance."""
        forms = (form for form in self.forms if len(form) >= _SHORTEST_IN_FILES)
        return any(form.encode(errors="replace") in content for form in forms)


def build_mask(secrets: Iterable[str]) -> Mask:
    """Make a mask of secrets; those of fewer than eight characters are left out."""
    forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
    return Mask(tuple(sorted(forms, key=lambda form: (-len(form), form))))


def strip_controls(data: bytes) -> str:
    """Return all of the text, without what a terminal would obey."""
    return data.decode(errors="replace").translate(_OBEYED)


def sanitize(data: bytes, bound: int, mask: Mask) -> str:
    """Return the text that people may be shown: the beginning and the end if it is longer than ``bound`` bytes."""
    # Secrets last: characters that are taken out may have stood between the parts of one. And before the cut, which may
    # leave a part of one.
    text = mask.text(strip_controls(data))
    shown = text.encode()
    if len(shown) <= bound:
        return text
    half = bound // 2
    gap = f"\n[{len(shown) - 2 * half} bytes left out]\n"
    return shown[:half].decode(errors="replace") + gap + shown[len(shown) - half :].decode(errors="replace")


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield secret.strip()
    yield secret.translate(_OBEYED)
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield b64encode(secret.encode(errors="replace")).decode()
    # A key in PEM is known by each of its lines: programs print them one by one.
    yield from (line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE and not line.startswith("-----"))


def _cut_off(text: str, form: str) -> int:
    """How many characters at the end of the text begin a form; 0 where they are too few to tell."""
    if text[-SHORTEST:] not in form:
        return 0
    sizes = range(min(len(text), len(form) - 1), SHORTEST - 1, -1)
    return next((size for size in sizes if text.endswith(form[:size])), 0)
