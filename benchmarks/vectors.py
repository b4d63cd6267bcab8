"""Vectors for measurements of dense search: any number of them, alike those of real models.

MiniLM's: vectors that the bundled model gives to sentences (Python's own reference manual, which every
installation has, or the passages of folders in BEIR format), drawn at random, plus noise of their own
spectrum. How much noise, and that it differs from row to row, is chosen so that rotated prefixes find what
they find among 7,000 paragraphs of SQuAD (`MEASURED`).

Matryoshka: normal numbers that fall in size by a power law.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from rag_plugins.config import DenseLeg
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.funnel import Rotation
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.types import EmbedText
from rag_plugins.vectors import Matrix, normalise, truncate

__all__ = [
    "BEST",
    "MEASURED",
    "MINILM",
    "Truth",
    "like_matryoshka",
    "like_minilm",
    "prefix_recalls",
    "sentences",
]

MEASURED = {12: 0.243, 24: 0.431, 48: 0.606, 96: 0.769, 192: 0.909}
"""Recall@10 of rotated MiniLM prefixes by width, measured on SQuAD."""

MINILM = 384
BEST = 10

_NOISE, _SPREAD, _FLATTER = 1.1, 1.0, 0.7
"""Length of the noise beside a unit vector, the deviation of its logarithm, the power of its spectrum."""

_FALL = 0.45
"""Numbers of Matryoshka-like vectors fall by this power: the best 500 by 1/16 of the width have .998 of the
best ten among 100,000."""

_CHUNK = 8192


def sentences(most: int, folders: Sequence[Path] = ()) -> list[str]:
    """So many different texts: passages of folders in turn, else sentences of the reference manual."""
    if folders:
        sets = [list(read_folder(folder).corpus.values()) for folder in folders]
        return [text for together in zip(*sets, strict=False) for text in together][:most]
    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    parts = (
        part for text in paragraphs for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(text.split()))
    )
    return list(dict.fromkeys(part for part in parts if 40 < len(part) < 400 and part[0].isalpha()))[:most]


def like_minilm(count: int, texts: Iterable[str], draw: np.random.Generator) -> Matrix:
    """(count, 384), unit rows."""
    real = DenseEncoder(DenseLeg()).encode_documents([EmbedText(text) for text in texts]).dense
    assert real is not None  # noqa: S101
    rotation = Rotation.fit(real)
    turned = rotation(real)
    spectrum = np.sqrt((turned**2).mean(axis=0)) ** _FLATTER
    spectrum *= _NOISE / np.linalg.norm(spectrum)
    out = np.empty((count, turned.shape[1]), np.float32)
    for start in range(0, count, _CHUNK):
        part = out[start : start + _CHUNK]
        lengths = np.exp(_SPREAD * draw.standard_normal((len(part), 1), np.float32))
        noise = draw.standard_normal(part.shape, np.float32) * spectrum
        some = turned[draw.integers(0, len(turned), len(part))] + lengths * noise
        part[:] = normalise(some) @ rotation.columns.T
    return out


def like_matryoshka(count: int, dim: int, draw: np.random.Generator) -> Matrix:
    """(count, dim), unit rows."""
    spectrum = (np.arange(1, dim + 1) ** -_FALL).astype(np.float32)
    out = np.empty((count, dim), np.float32)
    for start in range(0, count, _CHUNK):
        part = out[start : start + _CHUNK]
        part[:] = normalise(draw.standard_normal(part.shape, np.float32) * spectrum)
    return out


class Truth:
    """What the exact search finds of each query. Rows that score as well as the tenth all count."""

    def __init__(self, vectors: Matrix, queries: Matrix) -> None:
        best = np.full((len(queries), 0), -np.inf, np.float32)
        for start in range(0, len(vectors), _CHUNK):
            best = np.concatenate([best, queries @ vectors[start : start + _CHUNK].T], axis=1)
            best = _largest(best)
        self._vectors, self._queries = vectors, queries
        self._bars = best.min(axis=1) - 1e-6

    def recall(self, number: int, rows: Iterable[int]) -> float:
        """The share of the best ten of a query that is among ten rows."""
        found = self._vectors[list(rows)[:BEST]] @ self._queries[number]
        return float((found >= self._bars[number]).sum()) / min(BEST, len(self._vectors))


def prefix_recalls(vectors: Matrix, queries: Matrix, rotation: Rotation) -> dict[int, float]:
    """Recall@10 of the rankings by rotated prefixes alone, of the widths in `MEASURED`."""
    truth, turned, asked = Truth(vectors, queries), rotation(vectors), rotation(queries)
    return {
        width: float(np.mean([truth.recall(n, rows) for n, rows in enumerate(_ranked(turned, asked, width))]))
        for width in MEASURED
    }


def _ranked(vectors: Matrix, queries: Matrix, width: int) -> Iterable[list[int]]:
    short = truncate(vectors, width)
    for query in truncate(queries, width):
        yield np.argpartition(-(short @ query), min(BEST, len(short)) - 1)[:BEST].tolist()


def _largest(scores: Matrix) -> Matrix:
    return scores if scores.shape[1] <= BEST else np.partition(scores, -BEST, axis=1)[:, -BEST:]
