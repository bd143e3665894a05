"""Characters that do not show, and where honest text needs them: by Unicode's own data, which ``regex`` carries.

Names, ids and keys need none. Prose does: a joiner between the letters of a script that joins (Persian, Hindi), a
directional mark beside letters that are written from right to left, and what emoji and ideographs are made of.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from conductor_loop.validation.text import bare

if TYPE_CHECKING:
    import regex

_BLANK = "\u2800"  # BRAILLE PATTERN BLANK: a sign of category So that shows nothing
_SPACES = dict.fromkeys(
    map(ord, "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
)
# Format, private-use and unassigned characters, separators of lines and paragraphs, and what programs may ignore. The
# marks over numbers that Arabic and Syriac write (U+0600) are of category Cf, too, but show.
_HIDDEN = (
    r"[[\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]--[\p{Prepended_Concatenation_Mark}]]"
)
# Unassigned by now. Emoji of tomorrow have their code points set aside already, and are emoji today.
_UNASSIGNED = r"[\p{Cn}--[\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}]]"
# A letter or sign of a script whose letters take another form beside each other: Arabic, Mongolian, the Indic scripts.
_JOINING = r"[\p{jt=D}\p{jt=L}\p{jt=R}[[\p{L}\p{M}]--[\p{InSC=Other}]]]"
_RIGHT_TO_LEFT = r"[[\p{bc=R}\p{bc=AL}]&&\p{L}]"
_PICTOGRAPH = r"\p{Extended_Pictographic}"
_HONEST = rf"""
    # a joiner, and no second one, beside a letter that joins; no word of another script is parted by it
    (?: (?<= {_JOINING} \p{{Mn}}{{0,4}}) | (?<= [\p{{L}}\p{{N}}\p{{Pe}}\p{{Pf}}]) (?= [\u200c\u200d] {_JOINING}) )
    [\u200c\u200d] (?! [\u200c\u200d])
    # a directional mark, and no second one, whose nearest letter is written from right to left
  | (?<! [\u200e\u200f\u061c]) [\u200e\u200f\u061c] (?! [\u200e\u200f\u061c])
    (?: (?<= {_RIGHT_TO_LEFT} \P{{L}}{{1,16}}) | (?= \P{{L}}{{0,16}} {_RIGHT_TO_LEFT}) )
    # the text or the emoji form of a sign, and the keys of a telephone
  | (?<= [[\p{{Emoji}}\p{{So}}]--[0-9\#*]]) [\ufe0e\ufe0f]
  | (?<= [0-9\#*]) \ufe0f (?= \u20e3)
    # several emoji as one, such as an astronaut or a rainbow flag
  | (?<= {_PICTOGRAPH} [\ufe0f\p{{Emoji_Modifier}}]{{0,2}}) \u200d (?= {_PICTOGRAPH})
    # the flags of England, Scotland and Wales
  | (?<= \U0001f3f4) \U000e0067\U000e0062 (?: \U000e0065\U000e006e\U000e0067 | \U000e0073\U000e0063\U000e0074
      | \U000e0077\U000e006c\U000e0073 ) \U000e007f
    # one form of an ideograph, or of a Mongolian letter
  | (?<= \p{{Unified_Ideograph}}) [\ufe00-\ufe02\U000e0100-\U000e01ef]
  | (?<= \p{{Script=Mongolian}}) [\u180b-\u180f] (?! [\u180b-\u180f])
    # the emoji of tomorrow
  | [{_PICTOGRAPH}&&\p{{Cn}}]
"""


@dataclass(frozen=True, slots=True)
class _Patterns:
    hidden: "regex.Pattern[str]"
    unassigned: "regex.Pattern[str]"
    honest: "regex.Pattern[str]"


@cache
def _patterns() -> _Patterns:
    import regex  # noqa: PLC0415 - 3 % of a start, and most text has no such character

    return _Patterns(
        hidden=regex.compile(_HIDDEN, regex.V1),
        unassigned=regex.compile(_UNASSIGNED, regex.V1),
        honest=regex.compile(_HONEST, regex.V1 | regex.VERBOSE),
    )


def hidden_characters(text: str, *, prose: bool) -> list[str]:
    """List the characters that do not show, reorder what is shown, or have no agreed meaning; each once.

    In ``prose`` those count that are where no honest text has them. Surrogates are the parser's.
    """
    if _shows(text):
        return []
    if prose:
        text = _patterns().honest.sub("", text)
    return sorted(set(_patterns().hidden.findall(text)))


def is_unassigned(char: str) -> bool:
    """Whether Unicode has given a code point no character yet: newer text may have one there."""
    return bool(_patterns().unassigned.match(char))


def _shows(text: str) -> bool:
    """Say at a glance that every character shows, as nearly always; Python's own data is older, and says so less."""
    return text.isascii() or (
        text.translate(_SPACES).isprintable() and _BLANK not in text and len(bare(text)) == len(text)
    )
