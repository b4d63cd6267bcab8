"""BM25 over words and n-grams, for text that was recognised badly."""

from __future__ import annotations

from collections.abc import Mapping

from rag_plugins.config import Bm25Leg, RobustLeg
from rag_plugins.models.bm25 import Bm25Encoder, Bm25Statistics
from rag_plugins.models.ngrams import NgramAnalyser
from rag_plugins.types import JsonValue

__all__ = ["RobustEncoder"]

_K1 = 0.9
"""Lower than for clean text: where words are lost at random, how often one is left tells less."""


class RobustEncoder(Bm25Encoder):
    """`Bm25Encoder` of `NgramAnalyser`'s terms: no language, no dictionary."""

    def __init__(self, leg: RobustLeg, statistics: Bm25Statistics | None = None) -> None:
        """`statistics` are shared with whoever else holds them, and empty by default."""
        super().__init__(Bm25Leg(name=leg.name, k1=_K1, language="none", identifiers=False), statistics)

    @property
    def analyser(self) -> NgramAnalyser:
        """Cuts texts into words and n-grams."""
        return NgramAnalyser()

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What stored weights depend on, but for the reference length."""
        return {"model": "robust", "k1": self._leg.k1, "b": self._leg.b, "analysis": 1}
