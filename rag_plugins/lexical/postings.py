"""An index of passages in memory: put, remove and search without ever building it anew.

Passages lie in a few segments, each several times as large as the next: what is put makes a new one, and
the smallest are joined as they grow alike. Counts are kept, not weights: scores are exact for whatever
statistics the plan and the saturation were made with.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, count, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag_plugins.lexical.plan import Plan
from rag_plugins.lexical.ranking import SymbolPlan, best, scores
from rag_plugins.lexical.segment import Saturation, Segment, joined
from rag_plugins.resident.lists import IntArray, union
from rag_plugins.resident.selection import Mask, prepare
from rag_plugins.resident.strings import packed, unpacked

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
    def add(self, surfaces: Iterable[str]) -> None: ...
    def discard(self, surfaces: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class _State:
    """What a search sees. The dictionaries only ever grow: a symbol that is not in its segments does no harm.

    `symbols` number names as they are asked for, `names` are the same by number; `forms`: the surfaces of
    a term but for the term itself. `frequencies`: passages by surface.
    """

    symbols: defaultdict[str, int] = field(default_factory=lambda: _numbered([]))
    names: list[str] = field(default_factory=list[str])
    forms: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    frequencies: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    segments: tuple[Segment, ...] = ()


class Postings:
    """Passages by their terms. One writer at a time; any number may search meanwhile, and never wait."""

    def __init__(self, term: Callable[[str], str], vocabulary: _Surfaces) -> None:
        """`vocabulary` is kept true: it has the surfaces of the passages that there are."""
        self._term = term
        self._vocabulary = vocabulary
        self._state = _State()

    @classmethod
    def of(
        cls, arrays: Mapping[str, NDArray[Any]], term: Callable[[str], str], vocabulary: _Surfaces
    ) -> Postings:
        """What `arrays` gave, under the same `term`; `vocabulary` learns the surfaces."""
        postings = cls(term, vocabulary)
        postings._state = state = _loaded(arrays)
        prepare(len(postings))
        vocabulary.add(compress(state.names, state.frequencies.tolist()))
        return postings

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is, by name: for `of`. It may be called while another thread writes."""
        return _dumped(self._state)

    @property
    def ids(self) -> set[str]:
        """Of all passages."""
        segments = self._state.segments
        return {id for segment in segments for id in compress(segment.ids, segment.alive.tolist())}

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
        self,
        plan: Plan,
        limit: int,
        saturation: Saturation,
        allowed: Callable[[Segment], Mask] | None = None,
    ) -> list[tuple[str, float]]:
        """(id, score) of the best passages that score above 0, ties by id; of `allowed` rows only."""
        state = self._state
        looked_up = SymbolPlan.of(plan, state.symbols, lambda word: self._surfaces(state, word))
        found: list[tuple[str, float]] = []
        for segment in state.segments:
            mask = segment.alive if allowed is None else allowed(segment)
            found += best(segment.ids, scores(segment, looked_up, saturation), limit, mask)
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:limit]

    def locate(self, places: Mapping[str, int], holds: Mask) -> None:
        """Remember places (see `Segment.holding`) before the first search by a filter looks for them."""
        for segment in self._state.segments:
            segment.holding(places, holds)

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
        self._state = dataclasses.replace(state, frequencies=self._counted(changes), segments=segments)
        self._forget_names()
        prepare(len(self))

    def _counted(self, changes: NDArray[np.int32]) -> NDArray[np.int32]:
        """The frequencies as they are now; vocabulary and forms are kept true."""
        before = np.pad(self._state.frequencies, (0, len(changes) - len(self._state.frequencies)))
        after = before + changes
        names = self._state.names
        fresh = {names[symbol]: symbol for symbol in np.flatnonzero((before == 0) & (after > 0)).tolist()}
        for surface, symbol in fresh.items():
            self._learn_form(self._term(surface), surface, symbol)
        self._vocabulary.add(fresh)
        self._vocabulary.discard(
            names[symbol] for symbol in np.flatnonzero((before > 0) & (after == 0)).tolist()
        )
        return after

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
        self._state = _State(
            _numbered(names),
            names,
            {term: symbols for term, symbols in forms.items() if symbols},
            state.frequencies[living],
            tuple(segment.renamed(living) for segment in state.segments),
        )


def _dumped(state: _State) -> dict[str, NDArray[Any]]:
    count = len(state.frequencies)  # A writer may have got further with names and forms.
    forms = {
        term: [symbol for symbol in symbols if symbol < count] for term, symbols in [*state.forms.items()]
    }
    arrays = {"frequencies": state.frequencies, "segments": np.array([len(state.segments)])}
    arrays["names"], arrays["names/ends"] = packed(state.names[:count])
    arrays["forms"], arrays["forms/ends"] = packed(forms)
    arrays["forms/sizes"] = np.fromiter(map(len, forms.values()), np.int32, len(forms))
    arrays["forms/symbols"] = np.fromiter(chain.from_iterable(forms.values()), np.int32)
    for number, segment in enumerate(state.segments):
        arrays |= {f"{number}/{name}": array for name, array in segment.arrays().items()}
    return arrays


def _loaded(arrays: Mapping[str, NDArray[Any]]) -> _State:
    names = unpacked(arrays["names"], arrays["names/ends"])
    symbols, sizes = iter(arrays["forms/symbols"].tolist()), arrays["forms/sizes"].tolist()
    forms = unpacked(arrays["forms"], arrays["forms/ends"])
    return _State(
        _numbered(names),
        names,
        {term: tuple(islice(symbols, size)) for term, size in zip(forms, sizes, strict=True)},
        arrays["frequencies"],
        tuple(Segment.loaded(arrays, f"{number}/") for number in range(int(arrays["segments"][0]))),
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
