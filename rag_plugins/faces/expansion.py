"""A question and what an expander makes of it: other wordings, or parts, to be searched with it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import TypeAdapter, ValidationError

from rag_plugins.errors import BadInput, BadQuery
from rag_plugins.lexical.rules import Query, parse_query

__all__ = ["expanding", "to_search"]

_TEXTS = TypeAdapter(list[str])


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
                logger.warning("left out of what expand gave: %s", error)
    return queries


def _texts(expanded: object) -> list[str]:
    """Raises `BadInput` for what is no list of texts, a single text included."""
    try:
        return _TEXTS.validate_python(expanded)
    except ValidationError:
        raise BadInput(f"expand gave {expanded!r}, expected a list of further queries, each a str") from None
