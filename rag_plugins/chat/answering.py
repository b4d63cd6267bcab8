"""A question to an answer with its evidence: standing alone, found, relevant, written or quoted."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from rag_plugins.chat.citing import checked, invented
from rag_plugins.chat.extractive import best_quotes
from rag_plugins.chat.failing import guarded
from rag_plugins.chat.messages import End, Event, Evidence, Message, Piece, Talk
from rag_plugins.chat.prompts import NOTHING, answering, is_nothing, standing_alone
from rag_plugins.chat.relevance import relevant
from rag_plugins.chat.sources import Source, sources_of
from rag_plugins.config import ChatConfig
from rag_plugins.faces.legs import dense_leg
from rag_plugins.filters import Filter
from rag_plugins.index import RagIndex
from rag_plugins.ingest.sentences import count_words
from rag_plugins.types import Hits

__all__ = ["Chat"]

_QUOTED = "No language model is set up: these are the sentences of the documents that fit best."
_ELSEWHERE = "What was found is shown beside this, but it hardly bears on the question."
_FOLLOWS = "alone the question found nothing relevant: it was searched together with the one before it"
_INVENTED = "The answer cites what is no source here: {}."

_SHORT = 4
"""Words of a question that may lean on the one before it: a longer one says itself what it is about."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What was searched, and whether what was found bears on it."""

    asked: str
    hits: Hits
    fits: bool
    notices: tuple[str, ...]


class Chat:
    """Answers questions from a collection. Safe to share between threads; a conversation is the caller's."""

    def __init__(self, index: RagIndex, talk: Talk | None = None, config: ChatConfig | None = None) -> None:
        """Without `talk` the best sentences are quoted."""
        self.index = index
        self.config = config or index.config.chat
        self._talk = talk and guarded(talk)

    @property
    def quotes(self) -> bool:
        """Whether answers are quotes, no model's."""
        return self._talk is None

    def ask(
        self, question: str, history: Sequence[Message] = (), filter: Filter | None = None
    ) -> Generator[Event, None, None]:
        """The evidence, the answer in pieces as they come, the end. Raises what a search does, `ModelFailed`.

        Closing it stops the model.
        """
        found = self._found(question, history, filter)
        context = self.index.context(found.hits, budget=self.config.budget)
        sources = sources_of(context, found.hits)
        yield Evidence(found.asked, sources, (*found.notices, *found.hits.notices, *context.notices))
        if not sources or not found.fits:
            yield Piece(NOTHING)
            yield End("nothing", _ELSEWHERE if sources else "")
        elif self._talk is None:
            yield from self._quoted(found.asked, sources)
        else:
            yield from self._written(self._talk(answering(question, history, context)), len(sources))

    def _found(self, question: str, history: Sequence[Message], filter: Filter | None) -> _Found:
        alone = self._searched(self._standing_alone(question, history), filter)
        before = next((message.text for message in reversed(history) if message.role == "user"), "")
        if alone.fits or self._talk or not before or count_words(question) > _SHORT:
            return alone
        together = self._searched(f"{before} {question}", filter, (_FOLLOWS,))
        return together if together.fits else alone

    def _searched(self, asked: str, filter: Filter | None, notices: tuple[str, ...] = ()) -> _Found:
        hits = self.index.search(asked, self.config.k, filter=filter)
        leg = dense_leg(self.index)
        least, rows = self.config.least_evidence, self.index.count()
        fits = relevant(asked, hits, least, rows, [leg.name] if leg else [])
        return _Found(asked, hits, fits, notices)

    def _standing_alone(self, question: str, history: Sequence[Message]) -> str:
        if not history or self._talk is None:
            return question
        return "".join(self._talk(standing_alone(question, history))).strip() or question

    def _written(self, pieces: Iterator[str], sources: int) -> Iterator[Event]:
        answer = ""
        with closing(cast("Generator[str, None, None]", pieces)):
            for text in checked(pieces, sources):
                answer += text
                yield Piece(text)
        if is_nothing(answer):
            yield End("nothing", _ELSEWHERE)
        else:
            yield End("answer", _INVENTED.format(made_up) if (made_up := invented(answer)) else "")

    def _quoted(self, question: str, sources: Sequence[Source]) -> Iterator[Event]:
        for quote in best_quotes(question, sources, self.index):
            yield Piece(f"> {quote.text} [{quote.number}]\n\n")
        yield End("quotes", _QUOTED)
