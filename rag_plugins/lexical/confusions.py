"""What looks alike in print: how far a surface is from a word when look-alikes count as less than an edit.

A skeleton is a word with one letter for all that look alike (after Unicode's UTS 39). The table is of letter
shapes in common typefaces, as anyone sees them; it was measured on no text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

from rag_plugins.resident.lists import IntArray

__all__ = ["reading_costs", "skeleton"]

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


def reading_costs(word: str, surfaces: Sequence[str], edits: IntArray) -> NDArray[np.float64]:
    """Edits from a word to surfaces, of which those between look-alikes count .4; `edits` are their numbers.

    Shape (n,), as `edits`.
    """
    apart = cdist([skeleton(word)], list(map(skeleton, surfaces)), scorer=OSA.distance, dtype=np.int32)
    return (1.0 - _LOOKS) * edits + _LOOKS * np.minimum(apart.ravel(), edits)
