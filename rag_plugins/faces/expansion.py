"""A question and what an expander makes of it: other wordings, or parts, to be searched with it."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from rag_plugins.errors import BadInput, BadQuery, ConfigError
from rag_plugins.lexical.rules import Query, parse_query

__all__ = ["PROMPT", "Wish", "expanding", "to_search"]

_TEXTS = TypeAdapter(list[str])

PROMPT = """\
Write {n} search queries that together find what answers the question below: other wordings of it or, where \
it asks for several things, one query for each. Keep its language. Write each on a line of its own, and \
nothing else.

Question: {question}"""
"""What an LLM is asked by default."""

_ITEM = re.compile(r"\s*(?:[-*+•‣–—]|\(?\d{1,3}[.):])(?:\s+|$)")
"""What stands before an item of a list."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an LLM is asked to make of a question, and how its answer is read.

    `prompt` has {question} where the question goes, and may have {n}; no other braces mean anything. Raises
    `ConfigError` for a prompt without it, and for `n` below 1.
    """

    prompt: str = PROMPT
    n: int = 3

    def __post_init__(self) -> None:
        if "{question}" not in self.prompt:
            raise ConfigError("prompt: expected {question} in it, where the question goes")
        if self.n < 1:
            raise ConfigError(f"n is {self.n}: expected how many queries to ask for, at least 1")

    def asked(self, question: str) -> str:
        """The prompt for a question, whatever braces that has."""
        return self.prompt.replace("{n}", str(self.n)).replace("{question}", question)

    def read(self, answer: str, question: str) -> list[str]:
        """At most `n` queries: the items of a list where the answer has one, else its lines.

        Blank lines, repetitions and the question itself are left out, whatever their case.
        """
        lines = [(_plain(_ITEM.sub("", line, count=1)), _ITEM.match(line)) for line in answer.splitlines()]
        items = [text for text, item in lines if item and text]
        distinct: dict[str, str] = {}
        for text in items or [text for text, _ in lines]:
            distinct.setdefault(text.casefold(), text)
        given = ("", _plain(question).casefold())
        return [text for folded, text in distinct.items() if folded not in given][: self.n]


def _plain(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def expanding(logger: logging.Logger) -> Generator[None]:
    """Let an expander fail within: it is often an LLM, and the question can be searched without it."""
    try:
        yield
    except Exception:
        logger.warning("expand failed, the question is searched alone", exc_info=True)


def to_search(question: str, expanded: object, rules: bool, logger: logging.Logger) -> list[str | Query]:
    """The question and what it was expanded to, all of it parsed where `rules` are on.

    An expansion with a rule that cannot be read is logged and left out; such a question raises `BadQuery`.
    """
    queries: list[str | Query] = [parse_query(question) if rules else question]
    with expanding(logger):
        for text in _texts(expanded):
            try:
                queries.append(parse_query(text) if rules else text)
            except BadQuery as error:
                logger.warning("left out of what expand gave, which DEBUG shows: %s", error.reason)
                logger.debug("%s", error)
    return queries


def _texts(expanded: object) -> list[str]:
    """Raises `BadInput` for what is no list of texts, a single text included."""
    try:
        return _TEXTS.validate_python(expanded)
    except ValidationError:
        kind = type(expanded).__name__  # What it gave are queries, and this is logged.
        raise BadInput(f"expand gave {kind}, expected a list of further queries, each a str") from None
