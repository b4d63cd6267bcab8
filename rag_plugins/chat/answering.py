"""A question to an answer with its evidence: standing alone, found, relevant, written or quoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag_plugins.chat.extractive import best_quotes
from rag_plugins.chat.messages import End, Event, Evidence, Message, Piece, Talk
from rag_plugins.chat.prompts import NOTHING, answering, standing_alone
from rag_plugins.chat.relevance import relevant
from rag_plugins.chat.sources import Source, sources_of
from rag_plugins.config import ChatConfig
from rag_plugins.faces.legs import dense_leg
from rag_plugins.filters import Filter
from rag_plugins.index import RagIndex
from rag_plugins.types import Hit

__all__ = ["Chat"]

_QUOTED = "No language model is set up: these are the sentences of the documents that fit best."
_ELSEWHERE = "What was found is shown beside this, but it hardly bears on the question."


class Chat:
    """Answers questions from a collection. Safe to share between threads; a conversation is the caller's."""

    def __init__(self, index: RagIndex, talk: Talk | None = None, config: ChatConfig | None = None) -> None:
        """Without `talk` the best sentences are quoted."""
        self.index = index
        self.config = config or index.config.chat
        self._talk = talk

    @property
    def quotes(self) -> bool:
        """Whether answers are quotes, no model's."""
        return self._talk is None

    def ask(
        self, question: str, history: Sequence[Message] = (), filter: Filter | None = None
    ) -> Iterator[Event]:
        """The evidence, the answer in pieces as they come, the end. Raises what search and model raise."""
        asked = self._standing_alone(question, history)
        hits = self.index.search(asked, self.config.k, filter=filter)
        context = self.index.context(hits, budget=self.config.budget)
        sources = sources_of(context, hits)
        yield Evidence(asked, sources, (*hits.notices, *context.notices))
        if not sources or not self._relevant(asked, hits):
            yield Piece(NOTHING)
            yield End("nothing", _ELSEWHERE if sources else "")
        elif self._talk is None:
            yield from self._quoted(asked, sources)
        else:
            for text in self._talk(answering(question, history, context)):
                yield Piece(text)
            yield End("answer")

    def _relevant(self, question: str, hits: Sequence[Hit]) -> bool:
        leg = dense_leg(self.index)
        least, rows = self.config.least_evidence, self.index.count()
        return relevant(question, hits, least, rows, [leg.name] if leg else [])

    def _standing_alone(self, question: str, history: Sequence[Message]) -> str:
        if not history or self._talk is None:
            return question
        return "".join(self._talk(standing_alone(question, history))).strip() or question

    def _quoted(self, question: str, sources: Sequence[Source]) -> Iterator[Event]:
        for quote in best_quotes(question, sources, self.index):
            yield Piece(f"> {quote.text} [{quote.number}]\n\n")
        yield End("quotes", _QUOTED)
