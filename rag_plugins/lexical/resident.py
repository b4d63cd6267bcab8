"""The term index of a database file: postings in memory, from a snapshot or from the rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from threading import RLock
from time import perf_counter
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from rag_plugins.filters import Filter
from rag_plugins.lexical.plan import Plan, TermDictionary
from rag_plugins.lexical.postings import Analysed, Postings
from rag_plugins.lexical.segment import Segment
from rag_plugins.lexical.vocabulary import Vocabulary
from rag_plugins.models.analysis import Analysis
from rag_plugins.models.bm25 import Bm25Encoder, Bm25Statistics
from rag_plugins.resident.selection import Mask
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.types import JsonValue, Passage, View, embed_text

__all__ = ["ResidentTerms"]

_BATCH = 2048
"""Rows read at once."""

_FORMAT = 1
"""Of the arrays in a snapshot; another one is not read."""

_ANY_TEXT = "any-text 1.2"

_logger = logging.getLogger(__name__)

_Content = tuple[Mapping[str, NDArray[Any]], JsonValue]


@dataclass(frozen=True, slots=True)
class _Built:
    """Postings, and what they depend on besides the rows: settings and language."""

    analyser: Analysis
    analysis: tuple[JsonValue, str]
    vocabulary: Vocabulary
    postings: Postings

    def put(self, passages: Iterable[tuple[str, Sequence[View]]]) -> None:
        """Take in passages by their ids and views."""
        self.postings.put([self._analysed(id, views) for id, views in passages])

    def _analysed(self, id: str, views: Sequence[View]) -> Analysed:
        view = embed_text(views)
        text = view.text if view else ""
        return Analysed(id, self.analyser.surfaces(text), self.analyser.units(text))


@dataclass(slots=True, eq=False)
class _Shared:
    """What all indexes on one collection have in common. Whoever changes it holds the lock."""

    built: _Built | None = None
    opened: bool = False
    lock: RLock = field(default_factory=RLock)

    def dump(self) -> _Content:
        """For the snapshot. It waits for nobody: who holds the lock may wait for who writes the snapshot."""
        built = self.built
        if built is None:
            return {}, None
        settings, language = built.analysis
        return built.postings.arrays(), {"format": _FORMAT, "settings": settings, "language": language}


class ResidentTerms:
    """A `TermIndex` in memory. Searches see one state of it, and wait for nobody.

    Where the store's snapshot has it, it is there at once; else it is built after the next run of writes, or
    at the next search. It is shared by all indexes of this process on the collection; a file admits no other
    process. It holds counts, so each index scores them by its own encoder's statistics.
    """

    def __init__(self, store: ResidentStore, leg: str, encoder: Bm25Encoder) -> None:
        """`leg` names the leg that the postings are of."""
        self._store = store
        self._leg = leg
        self._encoder = encoder
        self._settings: JsonValue = dict(encoder.fingerprint)
        self._section = f"terms/{leg}"
        self._shared = store.shared(self._section, _Shared)
        with self._shared.lock:
            if not self._shared.opened:
                self._shared.built = self._opened()
            self._shared.opened = True

    @property
    def dictionary(self) -> TermDictionary:
        """The surfaces there are."""
        return self._ready().vocabulary

    def put(self, passages: Sequence[Passage]) -> None:
        """Take in passages that have just been stored, in place of those of the same ids."""
        with self._shared.lock:  # Who reads all rows now may have read the old ones.
            if self._shared.built:
                self._shared.built.put((passage.id, passage.views) for passage in passages)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget passages that have just been deleted."""
        with self._shared.lock:
            if self._shared.built:
                self._shared.built.postings.remove(ids)

    def reset(self) -> None:
        """Read the rows again before the next search."""
        with self._shared.lock:
            self._shared.built = None

    def prepare(self) -> None:
        """Read the rows, unless that is done."""
        self._ready()

    def search(self, plan: Plan, limit: int, filter: Filter | None = None) -> list[tuple[str, float]]:
        """See `TermIndex.search`."""
        postings = self._ready().postings
        allowed = None if filter is None else self._allowed(filter)
        return postings.search(plan, limit, self._encoder.saturation, allowed)

    def scored_by(self, encoder: Bm25Encoder) -> ResidentTerms:
        """The same postings under another encoder's k1 and b; the analysis must be the same."""
        other = copy(self)
        other._encoder = encoder
        return other

    def _allowed(self, filter: Filter) -> Callable[[Segment], Mask]:
        places, holds = self._store.located(filter)
        return lambda segment: segment.holding(places, holds)

    def _ready(self) -> _Built:
        """The postings under this encoder's analysis, which changes once: when the language is decided."""
        self._store.rows.engine.check()
        analysis = (self._settings, self._encoder.statistics.language)
        built = self._shared.built
        if built and built.analysis == analysis:
            return built
        with self._shared.lock:
            if not (self._shared.built and self._shared.built.analysis == analysis):
                self._shared.built = self._build(analysis)
                self._store.keep(self._section, self._shared.dump)
            return self._shared.built

    def _opened(self) -> _Built | None:
        """What the snapshot has, with what has changed since; None where it does not fit."""
        self._store.keep(self._section, self._shared.dump)
        changed = self._store.changed()
        arrays, about = self._store.kept(self._section) or ({}, None)
        expected = {"format": _FORMAT, "settings": self._settings}
        if not isinstance(about, dict) or {**about, "language": ""} != {**expected, "language": ""}:
            return None
        try:
            built = self._empty(str(about["language"]), arrays)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            _logger.warning(
                "%s: the snapshot of the terms is damaged, they are read anew: %r", self._leg, error
            )
            return None
        there = set(self._store.ids())
        built.postings.remove(built.postings.ids - there)
        self._read(built, list(dict.fromkeys([*changed, *(there - built.postings.ids)])))
        built.postings.locate(*self._store.located())
        return built

    def _build(self, analysis: tuple[JsonValue, str]) -> _Built:
        started = perf_counter()
        built = self._empty(analysis[1])
        ids = self._store.ids()
        self._read(built, ids)
        _logger.info(
            "%s: the terms of %d passages read in %.1f s", self._leg, len(ids), perf_counter() - started
        )
        return built

    def _empty(self, language: str, arrays: Mapping[str, NDArray[Any]] | None = None) -> _Built:
        """Without passages, or with those in arrays."""
        analyser, vocabulary = self._analyser(language), Vocabulary()
        if arrays is None:
            postings = Postings(analyser.term, vocabulary)
        else:
            postings = Postings.of(arrays, analyser.term, vocabulary)
            analyser.terms(_ANY_TEXT)  # What it makes at first use no search should wait for.
        return _Built(analyser, (self._settings, language), vocabulary, postings)

    def _analyser(self, language: str) -> Analysis:
        encoder = copy(self._encoder)
        encoder.statistics = Bm25Statistics(language=language)
        return encoder.analyser

    def _read(self, built: _Built, ids: Sequence[str]) -> None:
        """Read these rows; those that are not there any more go."""
        with tqdm(total=len(ids), unit=" passages", desc="reading terms", leave=False, disable=None) as bar:
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                views = self._store.views(batch)
                built.put(views.items())
                built.postings.remove([id for id in batch if id not in views])
                bar.update(len(batch))
