"""Query and passage as one sequence of tokens, of which only the passage may be cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.models.tokenizer import SafeTokenizer

__all__ = ["Ids", "Pair", "SequenceLayout"]

Ids: TypeAlias = Sequence[int] | NDArray[np.int32]
"""Tokens."""

_PROBES = (
    ("which pump 12", "the red valve, changed."),
    ("", ""),
    ("水 a", ""),
    ("", "b c"),
    (" is ", "\n It's a\t ﬁlter  "),
)
"""What a layout is found by, the first, and verified with."""

_AT_ONCE = 64
"""Texts a call of the tokenizer: what it makes of them besides ids takes 20 times the memory."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a passage as token ids.

    `before`: all that stands before the passage (markers, template, query). `passage`: whole, never cut yet.
    `after`: markers or template after it, never cut. `types`: token types of the three, None where the model
    has none.
    """

    before: Ids
    passage: Ids
    after: Ids
    types: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class SequenceLayout:
    """Where a tokenizer puts its markers around two texts, so that each text is tokenised but once."""

    first: Sequence[int]
    between: Sequence[int]
    last: Sequence[int]
    types: tuple[int, int, int] | None

    @classmethod
    def of(cls, tokenizer: SafeTokenizer) -> SequenceLayout | None:
        """The layout that gives what the tokenizer itself gives for pairs; None where there is none."""
        layout = cls._found(tokenizer)
        return layout if layout and all(layout._gives(tokenizer, *probe) for probe in _PROBES) else None

    def pairs(self, tokenizer: SafeTokenizer, texts: Sequence[tuple[str, str]]) -> list[Pair]:
        """Pairs of texts as tokens; a text that occurs more than once is tokenised once."""
        tokens = _tokenised(tokenizer, list(dict.fromkeys(text for pair in texts for text in pair)))
        before = {query: [*self.first, *tokens[query].tolist(), *self.between] for query, _ in texts}
        return [Pair(before[query], tokens[passage], self.last, self.types) for query, passage in texts]

    @classmethod
    def _found(cls, tokenizer: SafeTokenizer) -> SequenceLayout | None:
        query, passage = (tokenizer([text], add_special_tokens=False)["input_ids"][0] for text in _PROBES[0])
        ids, types = _joined(tokenizer, *_PROBES[0])
        start = _place(query, ids, 0)
        middle = _place(passage, ids, start + len(query))
        if start < 0 or middle < 0:
            return None
        end, after = start + len(query), middle + len(passage)
        kinds = (types[0], types[middle], types[-1]) if types else None
        return cls(ids[:start], ids[end:middle], ids[after:], kinds)

    def _gives(self, tokenizer: SafeTokenizer, query: str, passage: str) -> bool:
        [pair] = self.pairs(tokenizer, [(query, passage)])
        ids, types = _joined(tokenizer, query, passage)
        parts = (pair.before, pair.passage, pair.after)
        kinds = pair.types and [kind for kind, part in zip(pair.types, parts, strict=True) for _ in part]
        return [*pair.before, *pair.passage, *pair.after] == ids and kinds == types


def _joined(tokenizer: SafeTokenizer, query: str, passage: str) -> tuple[list[int], list[int] | None]:
    """What the tokenizer itself makes of a pair: ids and types, the latter only where it has them."""
    encoded: Mapping[str, list[list[int]]] = tokenizer([query], text_pair=[passage])
    types = encoded.get("token_type_ids")
    return encoded["input_ids"][0], types[0] if types else None


def _tokenised(tokenizer: SafeTokenizer, texts: Sequence[str]) -> dict[str, NDArray[np.int32]]:
    tokens: dict[str, NDArray[np.int32]] = {}
    for start in range(0, len(texts), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        encoded = tokenizer(
            some, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
        )
        for text, ids in zip(some, encoded["input_ids"], strict=True):
            tokens[text] = np.array(ids, np.int32)
    return tokens


def _place(part: Sequence[int], whole: Sequence[int], start: int) -> int:
    """Where `part` begins in `whole`, from `start` on; -1 where it does not."""
    places = range(start, len(whole) - len(part) + 1) if start >= 0 else ()
    return next((n for n in places if whole[n : n + len(part)] == part), -1)
