"""What a training changed: ranking by the width of the prefix, and how sparse texts are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from rag_plugins.errors import require
from rag_plugins.evaluation import measure, named
from rag_plugins.training.pairs import Pair, relevant
from rag_plugins.types import JsonValue
from rag_plugins.vectors import FloatArray, Matrix, truncate

__all__ = ["Sparsity", "Widths", "by_width", "sparsity"]

POSTING = 8
"""Bytes: the number of the passage and its weight, four each."""

_BEST = 10
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Mean non-zeros of queries and of passages, and those of a passage that the leg stores."""

    query: float
    document: float
    stored: float

    @property
    def postings_bytes(self) -> int:
        """Of the postings of a million such passages."""
        return round(self.stored * POSTING * _MILLION)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "query": round(self.query, 1),
            "document": round(self.document, 1),
            "stored": round(self.stored, 1),
            "bytes_a_million_passages": self.postings_bytes,
        }


@dataclass(frozen=True, slots=True)
class Widths:
    """An evaluator: the mean of `by_width`, so that no width is bought with another."""

    dev: Sequence[Pair]
    widths: Sequence[int]
    graded: bool = False

    def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
        """As sentence-transformers' trainers ask it."""
        found = by_width(model, self.dev, self.widths, self.graded)
        each = {f"dev_{self.measure} at {width}": value for width, value in found.items()}
        return {**each, f"dev_{self.measure}": fmean(found.values())}

    @property
    def measure(self) -> str:
        """Of which the mean is."""
        return "spearman" if self.graded else "nDCG@10"


def by_width(
    model: Any, dev: Sequence[Pair], widths: Sequence[int], graded: bool = False
) -> dict[int, float]:
    """nDCG@10 of the dev queries over the dev texts, by the first so many numbers of each vector.

    Of `graded` pairs Spearman's correlation of cosine and grade.
    """
    queries = list(dict.fromkeys(pair.query for pair in dev))
    texts = list(dict.fromkeys(text for pair in dev for text in (pair.positive, *pair.negatives)))
    encoded = {"show_progress_bar": False, "convert_to_numpy": True}
    q: Matrix = model.encode_query(queries, **encoded).astype(np.float32)
    d: Matrix = model.encode_document(texts, **encoded).astype(np.float32)
    qrels = relevant(dev)
    found: dict[int, float] = {}
    for width in widths:
        cosines = truncate(q, width) @ truncate(d, width).T
        if graded:
            found[width] = _correlation(cosines, queries, texts, dev)
        else:
            run = {
                query: {texts[n]: float(row[n]) for n in np.argsort(-row, kind="stable")[:_BEST]}
                for query, row in zip(queries, cosines, strict=True)
            }
            found[width] = measure(run, qrels, named(["nDCG@10"]))["nDCG@10"]
    return found


def _correlation(
    cosines: FloatArray, queries: Sequence[str], texts: Sequence[str], dev: Sequence[Pair]
) -> float:
    row: Mapping[str, int] = {query: n for n, query in enumerate(queries)}
    column: Mapping[str, int] = {text: n for n, text in enumerate(texts)}
    values = [float(cosines[row[pair.query], column[pair.positive]]) for pair in dev]
    grades = [pair.score for pair in dev]
    if len(set(values)) < 2 or len(set(grades)) < 2:  # noqa: PLR2004
        return 0.0  # Nothing goes along with what does not vary.
    stats: Any = require("scipy.stats", "training")
    return float(stats.spearmanr(values, grades).statistic)


def sparsity(model: Any, dev: Sequence[Pair], kept: int | None) -> Sparsity:
    """Of the texts of the dev part; a leg stores the `kept` strongest terms of a passage, None: all."""
    queries = list(dict.fromkeys(pair.query for pair in dev))
    texts = list(dict.fromkeys(pair.positive for pair in dev))
    quietly = {"show_progress_bar": False, "convert_to_sparse_tensor": False}
    query = (model.encode_query(queries, **quietly) > 0).sum(dim=1).float()
    document = (model.encode_document(texts, **quietly) > 0).sum(dim=1).float()
    stored = document if kept is None else document.clamp(max=kept)
    return Sparsity(float(query.mean()), float(document.mean()), float(stored.mean()))
