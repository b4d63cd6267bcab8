"""An index of passages in memory: put, remove and search without ever building it anew.

Passages lie in a few segments, each several times as large as the next: what is put makes a new one, and
the smallest are joined as they grow alike. Counts are kept, not weights: scores are exact for whatever
statistics the plan and the saturation were made with.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_plugins.lexical.plan import Plan
from rag_plugins.lexical.ranking import SymbolPlan, best, scores
from rag_plugins.lexical.segment import Saturation, Segment, joined
from rag_plugins.resident.lists import IntArray, union

__all__ = ["Analysed", "Postings"]

_RATIO = 4
"""A segment is joined with the one before it unless that one is this many times as large."""

_DEAD = 0.2
"""A segment is written again when this share of its rows has been removed."""

_SPARE = 4
"""Symbols are numbered anew when there are this many times as many as are in use."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """A passage as its surfaces and its units, both in reading order."""

    id: str
    surfaces: Sequence[str]
    units: Sequence[str]


class _Surfaces(Protocol):
    def add(self, surface: str) -> None: ...
    def discard(self, surface: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _State:
    """What a search sees. The dictionaries only ever grow: a symbol that is not in its segments does no harm.

    `symbols` number names as they are asked for, `names` are the same by number; `forms`: the surfaces of
    a term but for the term itself.
    """

    symbols: defaultdict[str, int] = field(default_factory=lambda: _numbered([]))
    names: list[str] = field(default_factory=list[str])
    forms: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    segments: tuple[Segment, ...] = ()


class Postings:
    """Passages by their terms. One writer at a time; any number may search meanwhile, and never wait."""

    def __init__(self, term: Callable[[str], str], vocabulary: _Surfaces) -> None:
        """`vocabulary` is kept true: it has the surfaces of the passages that there are."""
        self._term = term
        self._vocabulary = vocabulary
        self._state = _State()
        self._frequencies: NDArray[np.int32] = np.zeros(0, np.int32)  # Passages by surface.

    def __len__(self) -> int:
        return sum(int(segment.alive.sum()) for segment in self._state.segments)

    def put(self, passages: Sequence[Analysed]) -> None:
        """Take in passages, in place of those of the same ids."""
        if not passages:
            return
        fresh = {passage.id: passage for passage in passages}
        segment = Segment.of(
            list(fresh),
            [self._symbols(passage.surfaces) for passage in fresh.values()],
            [self._symbols(passage.units) for passage in fresh.values()],
        )
        self._replace(fresh, [segment])

    def remove(self, ids: Collection[str]) -> None:
        """Forget passages; unknown ids are no error."""
        self._replace(ids, [])

    def search(
        self, plan: Plan, limit: int, saturation: Saturation, allowed: Collection[str] | None = None
    ) -> list[tuple[str, float]]:
        """(id, score) of the best passages that score above 0, ties by id; of `allowed` ones only."""
        state = self._state
        looked_up = SymbolPlan.of(plan, state.symbols, lambda word: self._surfaces(state, word))
        found: list[tuple[str, float]] = []
        for segment in state.segments:
            mask = segment.alive if allowed is None else segment.mask(allowed)
            found += best(segment.ids, scores(segment, looked_up, saturation), limit, mask)
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:limit]

    def _surfaces(self, state: _State, word: str) -> list[int]:
        """The surfaces whose term is this."""
        itself = [state.symbols[word]] if word in state.symbols and self._term(word) == word else []
        return [*itself, *state.forms.get(word, ())]

    def _symbols(self, words: Sequence[str]) -> IntArray:
        return np.fromiter(map(self._state.symbols.__getitem__, words), np.int32, len(words))

    def _replace(self, ids: Collection[str], fresh: Sequence[Segment]) -> None:
        """Remove passages and add segments, which a search sees together or not at all."""
        state = self._state
        state.names.extend(islice(state.symbols, len(state.names), None))
        changes = np.zeros(len(state.names), np.int32)
        left: list[Segment] = []
        for segment in state.segments:
            mask = segment.mask(ids)
            if mask.any():
                gone, counts = segment.surfaces.within(mask)
                changes[gone] -= counts
                segment = segment.without(mask)
            left.append(segment)
        for segment in fresh:
            changes[segment.surfaces.symbols] += segment.surfaces.sizes
        segments = _tidied([*left, *fresh])
        self._count(changes)
        self._state = dataclasses.replace(state, segments=segments)
        self._forget_names()

    def _count(self, changes: NDArray[np.int32]) -> None:
        """Keep frequencies, vocabulary and forms true."""
        before = np.pad(self._frequencies, (0, len(changes) - len(self._frequencies)))
        self._frequencies = before + changes
        for symbol in np.flatnonzero((before == 0) & (self._frequencies > 0)).tolist():
            surface = self._state.names[symbol]
            self._vocabulary.add(surface)
            self._learn_form(self._term(surface), surface, symbol)
        for symbol in np.flatnonzero((before > 0) & (self._frequencies == 0)).tolist():
            self._vocabulary.discard(self._state.names[symbol])

    def _learn_form(self, term: str, surface: str, symbol: int) -> None:
        known = self._state.forms.get(term, ())
        if term != surface and symbol not in known:
            self._state.forms[term] = (*known, symbol)

    def _forget_names(self) -> None:
        """Number the symbols anew once most of them are in no segment any more."""
        state = self._state
        living = union([np.empty(0, np.int32), *(segment.symbols for segment in state.segments)])
        if len(state.names) < _SPARE * (1 + len(living)):
            return
        names = [state.names[symbol] for symbol in living]
        new = dict(zip(living.tolist(), range(len(names)), strict=True))
        forms = {
            term: tuple(new[symbol] for symbol in symbols if symbol in new)
            for term, symbols in state.forms.items()
        }
        self._frequencies = self._frequencies[living]
        self._state = _State(
            _numbered(names),
            names,
            {term: symbols for term, symbols in forms.items() if symbols},
            tuple(segment.renamed(living) for segment in state.segments),
        )


def _numbered(names: Sequence[str]) -> defaultdict[str, int]:
    """The names' places, and for each name that is looked up and not there the next number."""
    return defaultdict(count(len(names)).__next__, zip(names, range(len(names)), strict=True))


def _tidied(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Few segments, from large to small, and few removed rows in them."""
    tidy: list[Segment] = []
    for segment in segments:
        dead = len(segment.ids) - int(segment.alive.sum())
        if dead < len(segment.ids):
            tidy.append(joined([segment]) if dead > _DEAD * len(segment.ids) else segment)
        while len(tidy) > 1 and len(tidy[-2].ids) < _RATIO * len(tidy[-1].ids):
            tidy[-2:] = [joined(tidy[-2:])]
    return tuple(tidy)
