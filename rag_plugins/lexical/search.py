"""A BM25 or robust leg's search: query -> plan -> term index, and why a hit was found."""

from __future__ import annotations

from collections.abc import Sequence

from rag_plugins.config import Bm25Leg, RobustLeg
from rag_plugins.filters import Filter
from rag_plugins.lexical.compile import compile_plan
from rag_plugins.lexical.plan import Plan, TermIndex
from rag_plugins.lexical.resident import ResidentTerms
from rag_plugins.lexical.robust import ngrams_as_one, robust_plan
from rag_plugins.lexical.rules import Query
from rag_plugins.lexical.scoring import contributions
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.types import EmbedText, TermMatch, View, embed_text

__all__ = ["LexicalSearch"]


class LexicalSearch:
    """Searches one leg by words and recall rules; the statistics are the encoder's."""

    def __init__(self, encoder: Bm25Encoder, leg: Bm25Leg | RobustLeg, index: TermIndex) -> None:
        """`index` has the passages that `encoder` has counted."""
        self.encoder = encoder
        self.index = index
        self._leg = leg

    def with_saturation(self, k1: float, b: float) -> LexicalSearch | None:
        """The same search under another k1 and b; None where stored weights have them in them."""
        if not isinstance(self.index, ResidentTerms) or not isinstance(self._leg, Bm25Leg):
            return None
        encoder = self.encoder.with_saturation(k1, b)
        leg = self._leg.model_copy(update={"k1": k1, "b": b})
        return LexicalSearch(encoder, leg, self.index.scored_by(encoder))

    def search(
        self, query: Query | str, limit: int, filter: Filter | None = None
    ) -> tuple[list[tuple[str, float]], tuple[str, ...]]:
        """((id, score), best first), and what the user should know of the rules. A `str` is plain words."""
        plan = self._plan(query)
        return self.index.search(plan, limit, filter), plan.notices

    def explain(self, query: Query | str, documents: Sequence[Sequence[View]]) -> list[tuple[TermMatch, ...]]:
        """For passages with these views what each term and rule adds to the score, strongest first."""
        plan = self._plan(query)
        return [self._matches(plan, embed_text(views)) for views in documents]

    def _matches(self, plan: Plan, view: EmbedText | None) -> tuple[TermMatch, ...]:
        if view is None:
            return ()
        analyser = self.encoder.analyser
        surfaces = analyser.surfaces(view.text)
        damping = float(self.encoder.saturation(len(surfaces)))
        matches = contributions(plan, surfaces, analyser.units(view.text), analyser.term, damping)
        return tuple(ngrams_as_one(matches) if isinstance(self._leg, RobustLeg) else matches)

    def _plan(self, query: Query | str) -> Plan:
        words = query if isinstance(query, str) else query.text
        if isinstance(self._leg, RobustLeg):
            return robust_plan(words, self.encoder.statistics, lambda: self.index.dictionary)
        # Rules speak of words, not of their pieces.
        asked = words if self._leg.analysis == "wordpiece" else query
        return compile_plan(asked, self.encoder, self._leg, lambda: self.index.dictionary)
