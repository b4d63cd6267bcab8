"""BGE-M3: a dense vector, lexical weights and token vectors of a text, all from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from rag_plugins.config import ComputeConfig
from rag_plugins.errors import BadInput
from rag_plugins.models.backend import Weights, find_weights, known_as
from rag_plugins.models.compute.rule import Choice, choose
from rag_plugins.models.m3_trunk import M3Trunk, Reading
from rag_plugins.models.presets import DENSE_PRESETS, find_preset
from rag_plugins.models.protocols import DENSE, Encoding, Representation, Span
from rag_plugins.models.sharing import Shared
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import FloatArray

__all__ = ["M3Encoder", "is_m3"]

_PRESETS = {name: preset for name, preset in DENSE_PRESETS.items() if preset.m3}
_HEADS = ("sparse_linear", "colbert_linear")
_PICKLES = ("pytorch_model.bin", *(f"{head}.pt" for head in _HEADS))
"""What FlagEmbedding writes and reads; safetensors of the same stems go before."""

_REMEMBERED = 16
"""Queries; the token vectors of a very long one take 32 MB."""


def is_m3(model: str) -> bool:
    """Whether a name is that of a BGE-M3: a preset that says so, or a folder that holds both heads."""
    if any(model in (preset.name, preset.hub_id) for preset in _PRESETS.values()):
        return True
    folder = Path(model).expanduser()
    return bool(model) and all(
        any((folder / f"{head}{suffix}").is_file() for suffix in (".pt", ".safetensors")) for head in _HEADS
    )


class M3Encoder:
    """A unit vector a text, a weight for each of its tokens, and a unit vector for each; loads on first use.

    `model` is a preset, a folder or a hub id. Dimensions of sparse vectors are ids of the vocabulary.
    Token vectors are FlagEmbedding's: of all tokens but the first, the end marker included; 4 KB a token
    for bge-m3. Packed (`pack_tokens`) their inner products are off by .011 (standard deviation) in passages
    of up to 191 tokens, by .024 up to 382, .033 at 512, .056 at 1024, .19 at 8192: late interaction is for
    passages, not for whole documents. Safe to share between threads.
    """

    produces: frozenset[Representation] = frozenset(Representation)
    matryoshka: tuple[int, ...] = ()

    def __init__(
        self,
        model: str,
        max_length: int | None = None,
        device: str | None = None,
        query_terms: int | None = None,
        document_terms: int | None = None,
        compute: ComputeConfig | None = None,
    ) -> None:
        """`…_terms` keeps the so many strongest weights of a text. Raises `UnknownPreset`; loads nothing."""
        self._model = model
        self._preset = find_preset(model, _PRESETS)
        self._max_length = max_length or (self._preset.max_length if self._preset else None)
        self._device = device
        self._compute = compute or ComputeConfig()
        self._query_terms = query_terms
        self._document_terms = document_terms
        # A search asks for its query's vectors, its reranker for the same query's tokens: one pass.
        self._query = lru_cache(maxsize=_REMEMBERED)(self._read_query)

    @property
    def source(self) -> str:
        """Where its weights come from: "folder …", "cache" or "hub". May download."""
        return self._weights.source

    @property
    def choice(self) -> Choice:
        """What it runs on, and why; loads it."""
        return self._trunk.choice

    @property
    def dim(self) -> int:
        """Width of its dense vectors, without loading where a preset declares it."""
        return self._preset.dim if self._preset else self._trunk.dim

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What stored vectors depend on; `query_terms` may change at any time."""
        return {
            "model": self._name,
            "dim": self.dim,
            "max_length": self._max_length or self._length,
            "document_terms": self._document_terms,
        }

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """Representations of queries; a `View` among them is a `SideError`."""
        texts, wanted = query_texts(queries), self._checked(want)
        readings = [self._query(texts[0])] if len(texts) == 1 else self._read(texts, wanted)
        return self._encoding(readings, self._query_terms, wanted)

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = DENSE) -> Encoding:
        """Representations of text views; what exceeds `max_length` is not read.

        Raises `SideError` for a `str`, `BadInput` for an image.
        """
        texts, wanted = view_texts(views), self._checked(want)
        return self._encoding(self._read(texts, wanted), self._document_terms, wanted)

    def query_spans(self, query: str) -> tuple[list[Span], list[Span]]:
        """Where in the query the tokens with a vector in `encode_queries` are, and those it cannot read.

        (0, 0) for a token that has a vector and is no word, the end marker for one: FlagEmbedding's score
        reads it, late interaction gives it no weight.
        """
        return self._trunk.spans(query_texts([query])[0], self._length)

    def unread(self, query: str) -> float:
        """The share of the query's tokens that it cannot read, 0 to 1."""
        return self._trunk.unread(query_texts([query])[0])

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many token vectors texts would have, were they read as a whole, however long."""
        return self._trunk.token_counts(texts)

    def terms(self, dimensions: Sequence[int]) -> list[str]:
        """The tokens of dimensions, as text."""
        return self._trunk.terms(dimensions)

    def literal(self, text: str) -> frozenset[int]:
        """The dimensions of a text's own tokens, however long it is: the model adds none to these."""
        return self._trunk.literal(query_texts([text])[0])

    def score_pairs(
        self, pairs: Sequence[tuple[str, View]], weights: tuple[float, float, float] = (0.4, 0.2, 0.4)
    ) -> FloatArray:
        """For each (query, passage) the mean, so weighted, of its dense, lexical and token score: (n,).

        dense: inner product. lexical: inner product of all weights, pruned or not elsewhere. token: for
        each token of the query its largest inner product with one of the passage, averaged. This is
        "colbert+sparse+dense" of FlagEmbedding's `compute_score`, for a pair on its own: among others of
        other lengths its padding counts as a token that is 0 to all. Each text is read once.
        """
        if len(weights) != 3 or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            raise BadInput(
                f"weights {weights}: expected three for dense, lexical and token scores, not all 0"
            )
        queries = query_texts([query for query, _ in pairs])
        passages: dict[str, list[int]] = {}
        for n, text in enumerate(view_texts([view for _, view in pairs])):
            passages.setdefault(text, []).append(n)
        asked = dict.fromkeys(queries)
        readings = dict(zip(asked, self._read(list(asked), self.produces), strict=True))
        scores = np.zeros(len(pairs), np.float32)
        texts = list(passages)
        # Passage after passage, so that the token vectors of all need not be held.
        for n, passage in self._trunk.read(texts, self._length, tokens=True):
            for pair in passages[texts[n]]:
                scores[pair] = np.average(_scores(readings[queries[pair]], passage), weights=weights)
        return scores

    def release(self) -> None:
        """Let go of the model: freed where no other encoder has it; asked again, this one loads again."""
        if "_shared" in vars(self):
            self._shared.release()

    def _read_query(self, query: str) -> Reading:
        return self._read([query], self.produces)[0]

    def _read(self, texts: Sequence[str], want: frozenset[Representation]) -> list[Reading]:
        wants_tokens = Representation.TOKENS in want
        read = dict(self._trunk.read(texts, self._length, tokens=wants_tokens))
        return [read[n] for n in range(len(texts))]

    def _encoding(
        self, readings: Sequence[Reading], most: int | None, want: frozenset[Representation]
    ) -> Encoding:
        dense = [reading.dense for reading in readings]
        return Encoding(
            dense=np.array(dense, np.float32).reshape(-1, self.dim) if Representation.DENSE in want else None,
            sparse=tuple(reading.lexical.strongest(most) for reading in readings)
            if Representation.SPARSE in want
            else None,
            tokens=tuple(reading.tokens for reading in readings) if Representation.TOKENS in want else None,
        )

    def _checked(self, want: frozenset[Representation]) -> frozenset[Representation]:
        if not want:
            raise BadInput("nothing is wanted: this model gives dense, sparse and tokens")
        return want

    @cached_property
    def _weights(self) -> Weights:
        if self._preset:
            return find_weights(self._preset.hub_id, self._preset.package, self._preset.pickles)
        return find_weights(self._model, pickles=_PICKLES)

    @property
    def _trunk(self) -> M3Trunk:
        return self._shared.get()

    @cached_property
    def _shared(self) -> Shared[M3Trunk]:
        what = (self._weights.path, choose(self._compute, self._device))
        return Shared(("m3", *what), partial(M3Trunk.load, *what))

    @cached_property
    def _length(self) -> int:
        return self._trunk.length(self._max_length)

    @property
    def _name(self) -> str:
        return self._preset.name if self._preset else known_as(self._model, _PICKLES)


def _scores(query: Reading, passage: Reading) -> tuple[float, float, float]:
    """Dense, lexical and token score."""
    best = (query.tokens @ passage.tokens.T).max(axis=1)
    return float(query.dense @ passage.dense), query.lexical.dot(passage.lexical), float(best.mean())
