"""Text to index terms, the same for documents and queries.

A surface is a word as written, folded: what recall rules match. A term is its stem: what is counted and
scored. A unit is a word or a CJK character: what phrases are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, takewhile
from typing import Any, Protocol

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import require
from rag_plugins.models.identifiers import cut_identifiers
from rag_plugins.models.languages import detect_language, stemmer
from rag_plugins.models.lexicon import DomainDictionary
from rag_plugins.models.wordpieces import WordPieces
from rag_plugins.models.words import bigrams, characters, compose, fold, is_han, plain_words, word_spans

__all__ = ["Analyser", "Analysis", "Phrases", "bigrams", "detect_language", "word_spans"]

_SHORT = 40
"""Characters up to which what stands between spaces is remembered with its words; Chinese is longer."""


class Phrases:
    """Finds known sequences in a sequence."""

    def __init__(self, phrases: Iterable[tuple[Sequence[str], str]]) -> None:
        """Each phrase with its name."""
        self._names: dict[tuple[str, ...], list[str]] = {}
        self._lengths: dict[str, list[int]] = {}
        for phrase, name in phrases:
            self._names.setdefault(tuple(phrase), []).append(name)
            self._lengths[phrase[0]] = sorted({*self._lengths.get(phrase[0], ()), len(phrase)})

    def __bool__(self) -> bool:
        return bool(self._names)

    def find(self, sequence: Sequence[str]) -> Iterator[str]:
        """The names of the phrases in it, in the order of their beginnings, repeats and overlaps kept."""
        for start, first in enumerate(sequence):
            left = len(sequence) - start
            for length in takewhile(left.__ge__, self._lengths.get(first, ())):
                yield from self._names.get(tuple(sequence[start : start + length]), ())


class Analysis(Protocol):
    """How a leg cuts texts; see the module's head for what the words mean."""

    def surfaces(self, text: str) -> list[str]:
        """Index tokens, repeats kept; BM25's |d| is their number."""
        ...

    def term(self, surface: str) -> str:
        """What a surface counts as."""
        ...

    def terms(self, text: str) -> list[str]:
        """The terms of the surfaces, in their order."""
        ...

    def units(self, text: str) -> list[str]:
        """What phrases are made of, in reading order."""
        ...


class Analyser:
    """Cuts texts as a BM25 leg, the language of its collection and its dictionary say; thread-safe."""

    def __init__(
        self, leg: Bm25Leg, language: str = "none", dictionary: DomainDictionary | None = None
    ) -> None:
        """`language` is a key of `FUNCTION_WORDS`, or "none"; tokens of a model are never stemmed."""
        dictionary = dictionary or DomainDictionary()
        self._cut = _cutter(leg, dictionary)
        self._stem = stemmer(language if leg.analysis == "words" else "none")
        self._whole = Phrases(
            (self.stems(entry), entry) for entry in sorted(dictionary.whole) if entry not in self._cut(entry)
        )

    def surfaces(self, text: str) -> list[str]:
        """Index tokens in reading order, repeats kept; BM25's |d| is their number.

        An identifier comes whole, then in parts; what a dictionary keeps whole comes last, as the dictionary
        writes it, wherever its words stand in this order, inflected or not.
        """
        found = self._cut(text)
        return [*found, *self._whole.find(self.stems(text))] if self._whole else found

    def term(self, surface: str) -> str:
        """What a surface counts as: its stem."""
        return self._stem(surface)

    def terms(self, text: str) -> list[str]:
        """The terms of the surfaces, in their order."""
        return list(map(self._stem, self.surfaces(text)))

    def units(self, text: str) -> list[str]:
        """Folded words and CJK characters in reading order, for phrases; capitals cut nothing here."""
        return _word_cutter(False, characters)(text)

    def stems(self, text: str) -> list[str]:
        """The units, stemmed: what `Phrases` of words in any inflection are made of, and found in."""
        return list(map(self._stem, self.units(text)))


def _cutter(leg: Bm25Leg, dictionary: DomainDictionary) -> Callable[[str], list[str]]:
    if leg.analysis == "wordpiece":
        return WordPieces(leg.model)
    if leg.cjk == "jieba":
        return _word_cutter(leg.identifiers, _jieba(frozenset(filter(is_han, dictionary.whole))))
    return _word_cutter(leg.identifiers, bigrams)


@lru_cache(maxsize=16)
def _word_cutter(identifiers: bool, cjk: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    words = partial(plain_words, cjk=cjk)

    def cut(chunk: str) -> list[str]:
        return cut_identifiers(compose(chunk), words) if identifiers else words(fold(chunk))

    # No word has a space in it, and what stands between spaces repeats: most of a text is looked up.
    known = lru_cache(maxsize=2**16)(cut)

    def cut_all(text: str) -> list[str]:
        parts = (known(chunk) if len(chunk) < _SHORT else cut(chunk) for chunk in text.split())
        return list(chain.from_iterable(parts))

    return cut_all


@lru_cache(maxsize=8)
def _jieba(own_words: frozenset[str]) -> Callable[[str], list[str]]:
    """Bigrams, and the words of Chinese text that are none: better than either alone on both test sets."""
    jieba: Any = require("jieba", extra="chinese")
    jieba.setLogLevel("WARNING")
    tokenizer = jieba.Tokenizer()  # Words that a program adds to the global one change nothing here.
    for word in sorted(own_words):
        tokenizer.add_word(word)

    def cut(run: str) -> list[str]:
        # Japanese words run from Han into kana, so only a run that stays Han is Chinese.
        words = tokenizer.lcut(run, HMM=False) if len(run) > 1 and is_han(run) else []
        return bigrams(run) + [word for word in words if len(word) != 2]

    return cut
