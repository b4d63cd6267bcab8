"""How much each prefix of a model's vectors keeps, and whether the model was trained for prefixes at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

import numpy as np

from rag_plugins.errors import BadInput
from rag_plugins.funnel import Rotation
from rag_plugins.funnel.ranks import Ranks, blocks_of, exact_best, prefix_ranks
from rag_plugins.funnel.trials import candidate_widths
from rag_plugins.ingest.prefixes import declared
from rag_plugins.ingest.sampling import sentence
from rag_plugins.models.protocols import DenseModel
from rag_plugins.types import EmbedText, JsonValue
from rag_plugins.vectors import Matrix

__all__ = ["PrefixQuality", "Probe", "probe"]

_K = 10
_DEPTH = 200
"""A shortlist as a funnel's first stage keeps one."""

_FEWEST = 200
"""Texts below which the best ten are too large a part of them all."""

_QUERIES = 200
_SUBSETS = 8
_MARGIN = 0.05
_DEVIATIONS = 4.0


@dataclass(frozen=True, slots=True)
class PrefixQuality:
    """Recall@10 of one width against the exact search: raw prefix, as many random numbers, rotated prefix.

    `spread` is the standard deviation of `random` over several draws. The last two say what share of the
    best ten is among the 200 best by raw and by rotated prefix.
    """

    width: int
    raw: float
    random: float
    spread: float
    rotated: float
    raw_inside: float
    rotated_inside: float

    @property
    def trained(self) -> bool:
        """Whether the leading numbers keep clearly more than others do: by .05 and by 4 deviations."""
        return self.raw - self.random > max(_MARGIN, _DEVIATIONS * self.spread)


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured of a model; `declared` are the prefixes it says it was trained for."""

    dim: int
    declared: tuple[int, ...]
    prefixes: tuple[PrefixQuality, ...]
    texts: int
    queries: int

    @property
    def trained(self) -> tuple[int, ...]:
        """Widths whose leading numbers keep clearly more than random ones."""
        return tuple(prefix.width for prefix in self.prefixes if prefix.trained)

    @property
    def matryoshka(self) -> bool:
        """Whether any are: the numbers of other models are alike, wherever they stand."""
        return bool(self.trained)

    @property
    def advice(self) -> str:
        """What to set, in one line."""
        if self.matryoshka and self.declared:
            return "Its declared prefixes are used as they are: nothing to set."
        if self.matryoshka:
            return f"Its prefixes can be used as they are, once its leg has matryoshka = {[*self.trained]}"
        if self.declared:
            return "Its declared prefixes keep no more than random numbers: rotate them, by matryoshka = []"
        return 'Its prefixes are of use only when rotated, as they are by default: leave rotation = "auto".'

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values; shares rounded to four digits."""
        prefixes: list[JsonValue] = [
            {name: round(value, 4) for name, value in asdict(prefix).items()} for prefix in self.prefixes
        ]
        return {
            "dim": self.dim,
            "declared": list(self.declared),
            "matryoshka": self.matryoshka,
            "trained": list(self.trained),
            "advice": self.advice,
            "texts": self.texts,
            "queries": self.queries,
            "prefixes": prefixes,
        }


def probe(encoder: DenseModel, texts: Sequence[str], queries: Sequence[str] | None = None) -> Probe:
    """Measure prefixes of an encoder's vectors on texts, at least 200 different ones.

    `queries` are by default sentences of 200 of the texts. The rotation is fitted on the texts, as it would
    be on a collection of them. A model trained for prefixes has its meaning in the leading numbers; whether
    these keep more than as many drawn at random tells. Raises `BadInput`.
    """
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(texts) < _FEWEST:
        raise BadInput(f"{len(texts)} different texts: a model is measured on {_FEWEST} or more")
    asked = list(queries) if queries is not None else _sentences(texts)
    matrix = encoder.encode_documents([EmbedText(text) for text in texts]).dense
    vectors = encoder.encode_queries(asked).dense if asked else None
    if matrix is None or vectors is None:
        raise BadInput(f"{len(asked)} queries: expected some, and an encoder that gives dense vectors")
    prefixes = _measured(matrix, vectors, sorted({*declared(encoder), *candidate_widths(encoder.dim)}))
    return Probe(encoder.dim, declared(encoder), prefixes, len(texts), len(asked))


def _measured(matrix: Matrix, queries: Matrix, widths: Sequence[int]) -> tuple[PrefixQuality, ...]:
    dim = matrix.shape[1]
    blocks = blocks_of(matrix)
    best, _ = exact_best(blocks, queries, _K)

    def ranks(rotation: Rotation | None) -> Ranks:
        return prefix_ranks(blocks, queries, best, rotation, widths)

    shuffle = np.random.default_rng(0)
    # Axes in another order are a rotation whose prefixes are random parts of the vector.
    axes = [np.eye(dim, dtype=np.float32)[:, shuffle.permutation(dim)] for _ in range(_SUBSETS)]
    shuffled = [ranks(Rotation(columns)) for columns in axes]
    raw, rotated = ranks(None), ranks(Rotation.fit(matrix))
    return tuple(
        PrefixQuality(
            width,
            _inside(raw, width, _K),
            float(np.mean([_inside(one, width, _K) for one in shuffled])),
            float(np.std([_inside(one, width, _K) for one in shuffled])),
            _inside(rotated, width, _K),
            _inside(raw, width, _DEPTH),
            _inside(rotated, width, _DEPTH),
        )
        for width in widths
    )


def _inside(ranks: Ranks, width: int, depth: int) -> float:
    return float((ranks[width] < depth).mean())


def _sentences(texts: Sequence[str]) -> list[str]:
    random = Random(0)
    return [sentence(text, random) for text in random.sample(list(texts), min(_QUERIES, len(texts)))]
