"""A domain dictionary made from a corpus alone: what words weigh, which pairs belong together, abbreviations.

Words of the subject come back within a passage, words of style and template stand in many passages once:

    weight(t) = sqrt( (cf(t) + m g) / (df(t) + m) / g )

cf(t) is how often t stands in the corpus, df(t) in how many passages, g = sum of cf / sum of df, and m
passages of the usual kind temper what is rare. Burstiness cf / df: Church and Gale 1995; query terms weighed
by their mean frequency in a passage: Kwok 1996; root and tempering are ours. Two words that come back side by
side within passages are kept whole (technical terms are repeated in full: Justeson and Katz 1995), well below
the weight of a word, for each counts by itself already. Abbreviations: Schwartz and Hearst 2003.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput
from rag_plugins.lexical.abbreviations import Abbreviations
from rag_plugins.models.analysis import Analyser, detect_language
from rag_plugins.models.languages import FUNCTION_WORDS
from rag_plugins.models.lexicon import DictionaryTerm, DomainDictionary
from rag_plugins.models.words import LETTER
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import embed_text

__all__ = ["mine", "stored_texts"]

_BATCH = 512
"""Passages read at once."""

_SAMPLE = 1000
"""Texts from which the language is told."""
_TEMPER = 10
"""m above."""
_NOTABLE = 0.1
"""A weight nearer to 1 is left out."""
_REPEATS = 2
"""How often a pair must come back in a passage that has it, all passages together."""
_MOST_PAIRS = 50_000
"""Those that come back most: each makes the index larger."""
_PAIR = 0.2
"""The weight of a pair kept whole."""
_ABBREVIATED = 0.4
"""The weight of the words that an abbreviation stands for, kept whole; a synonym counts half of it."""

_LATIN = re.compile(LETTER)


def stored_texts(store: MilvusStore) -> Iterator[str]:
    """What retrieval reads of each passage."""
    ids = store.ids()
    for start in range(0, len(ids), _BATCH):
        views = store.views(ids[start : start + _BATCH]).values()
        yield from (text.text for of_passage in views if (text := embed_text(of_passage)))


def mine(texts: Iterable[str], leg: Bm25Leg | None = None) -> DomainDictionary:
    """The dictionary of a corpus, read once, for a leg that cuts texts as `leg` does; by default a plain one.

    The same texts give the same dictionary. Raises `BadInput` for a leg whose terms are not words.
    """
    leg = leg or Bm25Leg()
    if leg.analysis != "words":
        raise BadInput(f"a dictionary is made of words, the leg {leg.name!r} has analysis {leg.analysis!r}")
    remaining = iter(texts)
    sample = list(islice(remaining, _SAMPLE))
    language = _language(sample, leg)
    analyser = Analyser(leg, language)
    words, pairs = _Words(analyser, FUNCTION_WORDS.get(language, ())), _Pairs(analyser)
    abbreviations = Abbreviations(lambda text: " ".join(analyser.units(text)))
    for text in chain(sample, remaining):
        words.read(text)
        pairs.read(text)
        abbreviations.read(text)
    whole = pairs.entries()
    for long, shorts in abbreviations.by_words(words.occurrences).items():
        whole[tuple(analyser.stems(long))] = long, _term(_ABBREVIATED, shorts)
    return DomainDictionary(terms=dict(chain(words.entries(), sorted(whole.values(), key=_first))))


def _language(sample: Iterable[str], leg: Bm25Leg) -> str:
    if leg.language != "auto":
        return leg.language
    unstemmed = Analyser(leg)
    frequencies = Counter(word for text in sample for word in set(unstemmed.surfaces(text)))
    return detect_language(frequencies) or "none"


def _term(weight: float, synonyms: Iterable[str] = ()) -> DictionaryTerm:
    return DictionaryTerm(weight=round(weight, 2), synonyms=tuple(synonyms))


class _Words:
    """How often each term stands in the corpus, and in how many texts."""

    def __init__(self, analyser: Analyser, function_words: Iterable[str]) -> None:
        self._analyser = analyser
        self._function_words = frozenset(map(analyser.term, function_words))
        self._counts, self._texts = Counter[str](), Counter[str]()
        self._surfaces = set[str]()

    def read(self, text: str) -> None:
        surfaces = self._analyser.surfaces(text)
        counts = Counter(map(self._analyser.term, surfaces))
        self._surfaces.update(surfaces)
        self._counts.update(counts)
        self._texts.update(counts.keys())

    def occurrences(self, word: str) -> int:
        """Of the word in any inflection."""
        return self._counts[self._analyser.term(word)]

    def entries(self) -> Iterator[tuple[str, DictionaryTerm]]:
        """Those that weigh more or less than most, each by its first surface in the alphabet."""
        surfaces = {self._analyser.term(surface): surface for surface in sorted(self._surfaces, reverse=True)}
        usual = self._counts.total() / max(self._texts.total(), 1)
        for term, surface in sorted(surfaces.items(), key=lambda item: item[1]):
            mean = (self._counts[term] + _TEMPER * usual) / (self._texts[term] + _TEMPER)
            weight = math.sqrt(mean / usual)
            if term in self._function_words:  # The longer a text, the more of them: no sign of its subject.
                weight = min(weight, 1.0)
            if abs(weight - 1.0) >= _NOTABLE:
                yield surface, _term(weight)


class _Pairs:
    """How often two words come back side by side in a text."""

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        self._repeats = Counter[tuple[str, ...]]()
        self._written: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, text: str) -> None:
        units = self._analyser.units(text)
        stems = list(map(self._analyser.term, units))
        repeats = Counter({pair: count - 1 for pair, count in Counter(pairwise(stems)).items() if count > 1})
        self._repeats.update(repeats)
        for pair, written in zip(pairwise(stems), pairwise(units), strict=True) if repeats else ():
            if pair in repeats:
                self._written[pair] = min(written, self._written.get(pair, written))

    def entries(self) -> dict[tuple[str, ...], tuple[str, DictionaryTerm]]:
        """Those that come back most, by their stems; of CJK, every two characters are a term already."""
        enough = ((-count, pair) for pair, count in self._repeats.items() if count >= _REPEATS)
        spaced = (item for item in enough if all(map(_LATIN.match, item[1])))
        most = sorted(spaced)[:_MOST_PAIRS]
        return {pair: (" ".join(self._written[pair]), _term(_PAIR)) for _, pair in most}


def _first(entry: tuple[str, DictionaryTerm]) -> str:
    return entry[0]
