"""Pairs made as short as a model needs them: of a passage its beginning, or overlapping windows over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_plugins.models.protocols import Read
from rag_plugins.models.rerank.pairs import Ids, Pair
from rag_plugins.models.tokenizer import SafeTokenizer

__all__ = ["Limit", "Piece", "Pieces", "cut", "cut_by_tokenizer"]

_LEAST = 32
"""Tokens of a passage without which reading it says nothing; a shorter one has to fit as a whole."""

_OVERLAP = 4
"""Two windows share a quarter: a sentence that one of them cuts, the other has whole."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tokens a model reads at once, and whether a longer passage is read in windows."""

    tokens: int
    windows: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """What a model reads at once: tokens, and their types where it has them."""

    ids: NDArray[np.int32]
    types: NDArray[np.int32] | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """A pair as the model reads it; `read` where that is not the whole passage at once."""

    pieces: Sequence[Piece]
    read: Read | None = None


def cut(pair: Pair, limit: Limit) -> Pieces | None:
    """As many tokens of the passage as there is room for; None where that is too few for a score."""
    total = len(pair.passage)
    room = _room(len(pair.before) + len(pair.after), total, limit)
    if room is None:
        return None
    if total <= room:
        return Pieces([_piece(pair, pair.passage)])
    if not limit.windows:
        return Pieces([_piece(pair, pair.passage[:room])], Read(room, total))
    starts = _starts(total, room)
    pieces = [_piece(pair, pair.passage[start : start + room]) for start in starts]
    return Pieces(pieces, Read(total, total, len(pieces)))


def cut_by_tokenizer(tokenizer: SafeTokenizer, query: str, passage: str, limit: Limit) -> Pieces | None:
    """The same for a tokenizer with a layout that is its own affair: it joins and cuts by itself."""
    fixed = len(tokenizer([query], text_pair=[""])["input_ids"][0])
    total = len(tokenizer([query], text_pair=[passage])["input_ids"][0]) - fixed
    room = _room(fixed, total, limit)
    if room is None:
        return None
    encoded = tokenizer(
        [query],
        text_pair=[passage],
        truncation="only_second",
        max_length=limit.tokens,
        stride=room // _OVERLAP if limit.windows and total > room else 0,
        return_overflowing_tokens=limit.windows and total > room,
    )
    types = encoded.get("token_type_ids") or [None] * len(encoded["input_ids"])
    pieces = [_as_piece(*both) for both in zip(encoded["input_ids"], types, strict=True)]
    read = Read(total if len(pieces) > 1 else room, total, len(pieces)) if total > room else None
    return Pieces(pieces, read)


def _room(fixed: int, passage: int, limit: Limit) -> int | None:
    room = limit.tokens - fixed
    return None if room < min(_LEAST, passage) else room


def _starts(total: int, room: int) -> list[int]:
    """Where windows begin: the last one ends with the passage."""
    step = room - room // _OVERLAP
    return [*range(0, total - room, step), total - room]


def _piece(pair: Pair, passage: Ids) -> Piece:
    parts = (pair.before, passage, pair.after)
    ids = np.concatenate([np.asarray(part, np.int32) for part in parts])
    types = None if pair.types is None else np.repeat(np.array(pair.types, np.int32), [len(p) for p in parts])
    return Piece(ids, types)


def _as_piece(ids: Sequence[int], types: Sequence[int] | None) -> Piece:
    return Piece(np.array(ids, np.int32), None if types is None else np.array(types, np.int32))
