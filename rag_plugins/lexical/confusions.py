"""What looks alike in print: how far a surface is from a word when look-alikes count as less than an edit.

A skeleton is a word with one letter for all that look alike (after Unicode's UTS 39). The table is of letter
shapes in common typefaces, as anyone sees them; it was measured on no text.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rapidfuzz.distance import OSA

__all__ = ["reading_cost", "skeleton"]

_JOINED = {"rn": "m", "nn": "m", "vv": "w", "uu": "w", "cl": "d", "ii": "u", "li": "h", "ri": "n"}
"""Letters that touch, and the one that they look like then."""

_ALIKE = ("ceo0", "il1j", "nu", "s5", "bh86", "g9q", "z2", "vy", "tf")
"""Letters and digits, folded, each of which is taken for the others of its class."""

_SHAPES = str.maketrans({other: group[0] for group in _ALIKE for other in group[1:]})

_LOOKS = 0.6
"""How much of an edit is forgiven where it joins or exchanges look-alikes."""


@lru_cache(maxsize=2**16)
def skeleton(word: str) -> str:
    """The same for folded words that look alike: `modern` and `modem`, `clay` and `day`, `o0` and `00`."""
    if not word.isascii():
        letters = unicodedata.normalize("NFKD", word)
        word = "".join(letter for letter in letters if not unicodedata.combining(letter))
    for letters, looks in _JOINED.items():
        word = word.replace(letters, looks)
    return word.translate(_SHAPES)


def reading_cost(word: str, surface: str, edits: int) -> float:
    """Edits from word to surface, of which those between look-alikes count .4; `edits` is their number."""
    apart = min(OSA.distance(skeleton(word), skeleton(surface)), edits)
    return (1.0 - _LOOKS) * edits + _LOOKS * apart
