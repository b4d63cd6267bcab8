r"""Recall rules: phrases, prefixes, wildcards and edit distance, combined freely with plain words.

    filter change       plain words: stemmed, scored by BM25, none of them required
    "filter change"     the words in this order, next to each other; curly quotes will do
    "filter change"~3   the same, moved by at most 3 positions in all
    pump*               terms that begin so
    wild*c?rd           terms that match as a whole: * any characters, none included; ? any one
    fuzzy~2             terms at most 2 edits away (insert, delete, substitute, swap neighbours)
    fuzzy~              the same as fuzzy~1
    5\"  \*  \~  \\     a backslash makes the mark after it a plain character

White space ends a word, in Chinese too. A rule looks at words as they are written, not at their stems;
capitals do not matter. A question mark is a wildcard only where a letter, a digit or a * follows in the
same word: "how often is the filter changed?" is a plain question, `AQ-3?0` a rule, and `AQ-31?*` finds what
has one more character or several. Between quotes `*`, `?` and `~` are plain characters. Brackets and
punctuation around a rule are left out: `(pump*),` is `pump*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rag_plugins.errors import BadInput, BadQuery
from rag_plugins.lexical.notation import (
    TOKEN,
    Mark,
    escape,
    has_letter,
    join,
    marks,
    star_once,
    trim,
    unescape,
)

__all__ = [
    "Fuzzy",
    "Phrase",
    "Plain",
    "Prefix",
    "Query",
    "Rule",
    "Wildcard",
    "has_rules",
    "parse_query",
    "words",
]

_MAX_SLOP = 1000
_MAX_DISTANCE = 2


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain word, or several."""

    text: str

    def __str__(self) -> str:
        # Punctuation behind the last letter is plain as it stands.
        return re.sub(r"\\\?(?!.*[^\W_])", "?", escape(self.text, "*?~"), flags=re.DOTALL)

    @property
    def plain(self) -> str:
        """What a reader who knows no rules reads."""
        return self.text


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in this order, moved by at most `slop` positions in all; 0 is the exact phrase."""

    text: str
    slop: int = 0

    def __post_init__(self) -> None:
        if not has_letter(self.text):
            raise BadQuery(self.text, 0, "an empty phrase: write words between the quotes")
        if not 0 <= self.slop <= _MAX_SLOP:
            raise BadQuery(self.text, 0, f"slop {self.slop}: expected 0 to {_MAX_SLOP}")

    def __str__(self) -> str:
        return f'"{escape(self.text, "")}"' + (f"~{self.slop}" if self.slop else "")

    @property
    def plain(self) -> str:
        """The words."""
        return self.text


@dataclass(frozen=True, slots=True)
class Prefix:
    """Terms that begin so."""

    start: str

    def __post_init__(self) -> None:
        _check_word(self.start)

    def __str__(self) -> str:
        return f"{escape(self.start, '*?~', opening=True)}*"

    @property
    def plain(self) -> str:
        """The beginning."""
        return self.start


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Terms that match as a whole: `*` is any run of characters, `?` any one; neither can be escaped."""

    pattern: str

    def __post_init__(self) -> None:
        _check_word(self.pattern)
        if not re.search(r"[*?]", self.pattern):
            raise BadQuery(self.pattern, 0, "no * or ? in the pattern: use Plain")

    def __str__(self) -> str:
        return escape(self.pattern, "~", opening=True, closing=True)

    @property
    def plain(self) -> str:
        """The literal pieces, apart."""
        return " ".join(re.split(r"[*?]+", self.pattern)).strip()


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """Terms at most `distance` edits away: insert, delete, substitute, or swap two neighbours."""

    word: str
    distance: int = 1

    def __post_init__(self) -> None:
        _check_word(self.word)
        if not 1 <= self.distance <= _MAX_DISTANCE:
            raise BadQuery(self.word, 0, f"distance {self.distance}: expected 1 or {_MAX_DISTANCE}")

    def __str__(self) -> str:
        return f"{escape(self.word, '*?~', opening=True)}~{self.distance}"

    @property
    def plain(self) -> str:
        """The word."""
        return self.word


Rule: TypeAlias = Plain | Phrase | Prefix | Wildcard | Fuzzy


@dataclass(frozen=True, slots=True)
class Query:
    """Plain words and rules in reading order; `str` writes them as `parse_query` reads them."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        for rule in self.rules:
            if not isinstance(rule, Rule):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise BadInput(
                    f"a query is made of rules, got {rule!r}: wrap it in Plain, or use parse_query"
                )

    def __str__(self) -> str:
        return " ".join(map(str, self.rules))

    @property
    def text(self) -> str:
        """The query without its operators: what dense legs and rerankers read."""
        return " ".join(rule.plain for rule in self.rules)


def parse_query(text: str) -> Query:
    """Read the syntax at the module's head; raises `BadQuery` for a rule that cannot be read."""
    return Query(tuple(_Reader(text).rules()))


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def rules(self) -> Iterator[Rule]:
        position = 0
        while position < len(self._text):
            token = TOKEN.match(self._text, position)
            if token is None:
                raise self._unreadable(position)
            if not token["space"]:
                yield self._rule(token)
            position = token.end()

    def _rule(self, token: re.Match[str]) -> Rule:
        try:
            return (
                self._phrase(token) if token["word"] is None else self._word(marks(token[0], token.start()))
            )
        except BadQuery as error:
            if error.query == self._text:
                raise
            # A rule that refuses its text knows neither the query nor its place in it.
            raise self._bad(token.start(), error.reason) from None

    def _phrase(self, token: re.Match[str]) -> Phrase:
        slop = re.sub(r"[\W_]+\Z", "", token["slop"] or "~0") or "~"
        if not re.fullmatch(r"~[0-9]{1,4}", slop):
            raise self._bad(token.start("slop"), f"{slop} after a phrase: expected ~ and a number, as in ~3")
        return Phrase(unescape(token["phrase"]), int(slop[1:]))

    def _word(self, word: Sequence[Mark]) -> Rule:
        if not any(mark.operator for mark in word):
            return Plain(join(word))
        word = trim(word)
        for index, mark in enumerate(word):
            if mark.operator and mark.character == "~":
                return self._fuzzy(word[:index], mark, join(word[index + 1 :]))
        return self._pattern(word)

    def _fuzzy(self, word: Sequence[Mark], tilde: Mark, edits: str) -> Fuzzy:
        if not word:
            raise self._bad(tilde.position, r"no word before the ~: write \~ for the character itself")
        for mark in word:
            if mark.operator:
                raise self._bad(mark.position, "a word has wildcards or edits (~), not both")
        if edits not in ("", "1", "2"):
            raise self._bad(
                tilde.position,
                f"~{edits} after a word: expected ~1 or ~2 edits; only a phrase in quotes allows more",
            )
        return Fuzzy(join(word), int(edits or 1))

    def _pattern(self, word: Sequence[Mark]) -> Prefix | Wildcard:
        *start, last = star_once(word)
        if last.character == "*" and not any(mark.operator for mark in start):
            return Prefix(join(start))
        for mark in word:
            if mark.character in "*?" and not mark.operator:
                raise self._bad(mark.position, f"a plain {mark.character} among wildcards: no term has one")
        return Wildcard(join([*start, last]))

    def _unreadable(self, position: int) -> BadQuery:
        if self._text[position] == "\\":
            return self._bad(
                position, r"a backslash with nothing after it: write \\ for the character itself"
            )
        return self._bad(position, r"a quote that is not closed: close it, or write \" for the mark itself")

    def _bad(self, position: int, reason: str) -> BadQuery:
        return BadQuery(self._text, position, reason)


def _check_word(text: str) -> None:
    if not has_letter(text):
        raise BadQuery(text, 0, "no letter or digit beside the operator: a backslash makes it a plain mark")
    if re.search(r"\s", text):
        raise BadQuery(text, 0, "expected one word, without white space")


def has_rules(query: str | Query) -> bool:
    """Whether only a BM25 leg can read all of it."""
    return not isinstance(query, str) and any(not isinstance(rule, Plain) for rule in query.rules)


def words(query: str | Query) -> str:
    """What legs without rules and rerankers read; blank for a query that finds nothing."""
    return query if isinstance(query, str) else query.text.strip()
