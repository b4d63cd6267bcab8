"""Learned sparse vectors, weights over the tokens of a vocabulary, through sentence-transformers.

SPLADE (arXiv:2109.10086): w_j = max over the text's tokens i of log(1 + ReLU(w_ij)), w_ij the logit that the
masked-LM head gives token j at position i. Inference-free models (arXiv:2411.04403) encode documents so, or
with a second logarithm, and a query as its own tokens, each with a fixed weight. Lexical heads weigh the
tokens of a text and add none: see `LexicalHead`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rag_plugins.config import ComputeConfig, SparseLeg
from rag_plugins.errors import BadInput, ConfigError, require
from rag_plugins.models.backend import Weights, digest, find_weights, known_as, quiet, readable_length
from rag_plugins.models.compute.rule import CPU_BUDGET, Choice, choose
from rag_plugins.models.presets import SPARSE_PRESETS, find_preset
from rag_plugins.models.protocols import SPARSE, Encoding, Representation
from rag_plugins.models.sharing import Shared
from rag_plugins.models.shipped import FOLDER
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.models.trunk import SharedModel, as_array, explained
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["SparseEncoder"]

_CELLS = 2**23
"""Logits a batch on a CPU, tokens x vocabulary: 32 MB. Larger ones are no faster."""

_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""Under which names a model keeps the prompt of each side, the same as for its own `encode_…` methods."""


class SparseEncoder:
    """Weighted terms of a text from a SPLADE, inference-free or lexical model that loads on first use.

    `leg.model` is a preset, a hub id or a folder: a saved `sentence_transformers.SparseEncoder`, or a plain
    masked-LM. Dimensions are token ids. Safe to share between threads.
    """

    produces = SPARSE

    def __init__(self, leg: SparseLeg, compute: ComputeConfig | None = None) -> None:
        """Raises `UnknownPreset`, or `ConfigError` for a BGE-M3; loads nothing."""
        self._leg = leg
        self._compute = compute or ComputeConfig()
        self._preset = find_preset(leg.model, SPARSE_PRESETS)
        if self._preset and self._preset.kind == "m3":
            raise ConfigError(f"{leg.model} is no SPLADE model: its lexical weights come from M3Encoder")
        # A search asks for its query's vector, an explanation of its hits asks again: one pass.
        self._query = lru_cache(maxsize=64)(self._encode_query)

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
        """Size of its vocabulary, without loading where a preset declares it."""
        return self._preset.dim if self._preset else self._trunk.dim

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What stored vectors depend on; `query_terms` may change at any time."""
        return {
            "model": self._preset.name if self._preset else known_as(self._leg.model),
            "dim": self.dim,
            "max_length": self._max_length or self._trunk.max_length,
            "document_terms": self._leg.document_terms,
            **({"head": digest(self._head)} if self._head else {}),
        }

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = SPARSE) -> Encoding:
        """The strongest `query_terms` weights of each query; a `View` among them is a `SideError`."""
        texts = query_texts(queries)
        _check(want)
        if len(texts) == 1:
            return Encoding(sparse=(_copy(self._query(texts[0])),))
        return Encoding(sparse=self._trunk.encode(texts, "query", self._leg.query_terms))

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = SPARSE) -> Encoding:
        """The strongest `document_terms` weights of text views; what exceeds `max_length` is not read.

        Raises `SideError` for a `str`, `BadInput` for an image.
        """
        texts = view_texts(views)
        _check(want)
        return Encoding(sparse=self._trunk.encode(texts, "document", self._leg.document_terms))

    def terms(self, dimensions: Sequence[int]) -> list[str]:
        """The tokens of dimensions, as text."""
        return self._trunk.tokenizer.terms(dimensions)

    def literal(self, text: str) -> frozenset[int]:
        """The dimensions of a text's own tokens, however long it is: any other was added by the model."""
        return self._trunk.tokenizer.literal(query_texts([text])[0])

    def release(self) -> None:
        """Let go of the model: freed where no other encoder has it; asked again, this one loads again."""
        if "_shared" in vars(self):
            self._shared.release()

    def _encode_query(self, query: str) -> SparseVector:
        return self._trunk.encode([query], "query", self._leg.query_terms)[0]

    @property
    def _max_length(self) -> int | None:
        return self._leg.max_length or (self._preset.max_length if self._preset else None)

    @cached_property
    def _weights(self) -> Weights:
        if self._preset:
            return find_weights(self._preset.hub_id, self._preset.package, self._preset.pickles)
        return find_weights(self._leg.model)

    @property
    def _head(self) -> Path | None:
        """The folder of what the package carries of it."""
        return FOLDER / self._preset.head if self._preset and self._preset.head else None

    @property
    def _trunk(self) -> _Trunk:
        return self._shared.get()

    @cached_property
    def _shared(self) -> Shared[_Trunk]:
        choice = choose(self._compute, self._leg.device)
        what = (self._weights.path, self._max_length, choice, self._head)
        return Shared(("sparse", *what), partial(_Trunk.load, *what))


class _Trunk:
    """A `sentence_transformers.SparseEncoder`. May be used by several threads at once."""

    def __init__(self, model: Any, choice: Choice, budget: int) -> None:
        self._shared = SharedModel(model, choice)
        self.dim = int(model.transformers_model.config.vocab_size)
        self._budget = budget

    @classmethod
    def load(cls, path: Path, max_length: int | None, choice: Choice, head: Path | None = None) -> _Trunk:
        if head or _is_lexical(path):
            return cls(_load_lexical(path, max_length, choice, head), choice, choice.budget)
        model = _load(path, max_length, choice)
        return cls(model, choice, _budget(model, choice))

    @property
    def choice(self) -> Choice:
        return self._shared.choice

    @property
    def tokenizer(self) -> SafeTokenizer:
        return self._shared.tokenizer

    @property
    def max_length(self) -> int:
        return self._shared.max_length

    def encode(
        self, texts: Sequence[str], side: Literal["query", "document"], most: int | None
    ) -> tuple[SparseVector, ...]:
        """The `most` largest of each text's weights; made sparse batch by batch, so no dense row stays."""
        vectors = [SparseVector.of({})] * len(texts)
        prompt = next((found for name in _PROMPTS[side] if (found := self._shared.prompts.get(name))), "")
        for batch, out in self._shared.outputs(texts, prompt, self._budget, task=side):
            rows = as_array(out["sentence_embedding"])
            del out  # With the logits of the whole batch.
            for n, row in zip(batch, rows, strict=True):
                vectors[n] = _positive(row).strongest(most)
        return tuple(vectors)


def _is_lexical(path: Path) -> bool:
    heads: Any = require("rag_plugins.models.lexical_head", extra="models")
    return heads.has_lexical_head(path)


def _load_lexical(path: Path, max_length: int | None, choice: Choice, head: Path | None) -> Any:
    """A saved trunk with its head, or a trunk and a head from elsewhere. Raises `ConfigError`."""
    heads: Any = require("rag_plugins.models.lexical_head", extra="models")
    with quiet(), explained(path, None):
        model = (
            heads.lexical_model(path, heads.LexicalHead.load(str(head)), choice.device)
            if head
            else heads.load_lexical(path, choice.device)
        )
    model.max_seq_length = readable_length(model.transformers_model, max_length, model.max_seq_length)
    return model


def _load(path: Path, max_length: int | None, choice: Choice) -> Any:
    """Raises `ConfigError` for a folder whose model gives no weights over a vocabulary."""
    library: Any = require("sentence_transformers", extra="models")
    parts: Any = require("sentence_transformers.sparse_encoder.modules", extra="models")
    # Where there are none, a preset has said which pickles there are.
    options = {"use_safetensors": any(path.rglob("*.safetensors")), "weights_only": True}
    try:
        with quiet():
            model = library.SparseEncoder(
                str(path), device=choice.device, local_files_only=True, model_kwargs=options
            )
    except Exception as error:  # A damaged folder raises whatever its files come to.
        raise ConfigError(f"{path} is no model that can be loaded: {error}") from error
    poolings = _instances(model, parts.SpladePooling)
    # It would make an autoencoder, random at first, of anything else.
    if not poolings or _instances(model, parts.SparseAutoEncoder) or not _has_head(model, path):
        raise ConfigError(
            f"{path} gives no weights over a vocabulary: expected a saved SparseEncoder with SpladePooling, "
            "or a masked-LM with its head (a config.json whose architectures end in ForMaskedLM). A model "
            "of dense vectors belongs in a dense leg"
        )
    model.max_seq_length = readable_length(model.transformers_model, max_length, model.max_seq_length)
    for pooling in poolings:  # A text longer than a batch is pooled in parts: that copies its logits.
        pooling.chunk_size = _budget(model, choice)
    for static in _instances(model, parts.SparseStaticEmbedding):
        static.tokenizer.model_max_length = model.max_seq_length  # It cuts by this alone.
    return model


def _instances(model: Any, kind: Any) -> list[Any]:
    return [part for part in model.modules() if isinstance(part, kind)]


def _has_head(model: Any, path: Path) -> bool:
    """Whether the folder has weights of the masked-LM head: without, they would start at random."""
    safetensors: Any = require("safetensors", extra="models")
    saved: set[str] = set()
    for file in path.rglob("*.safetensors"):
        with safetensors.safe_open(file, "pt") as tensors:
            saved.update(tensors.keys())
    transformer = model.transformers_model
    trunk = f"{transformer.base_model_prefix}."
    head = {name for name in transformer.state_dict() if not name.startswith(trunk)}
    head -= set(transformer.all_tied_weights_keys)  # These are the trunk's own.
    return not saved or not head or not saved.isdisjoint(head)


def _budget(model: Any, choice: Choice) -> int:
    """Tokens a batch of a masked LM: their logits, not they, are what memory is for."""
    return max(_CELLS * choice.budget // CPU_BUDGET // model.transformers_model.config.vocab_size, 1)


def _positive(row: FloatArray) -> SparseVector:
    kept = np.flatnonzero(np.isfinite(row) & (row > 0))
    return SparseVector(kept.astype(np.uint32), row[kept])


def _copy(vector: SparseVector) -> SparseVector:
    """In arrays of the caller's own."""
    return SparseVector(vector.indices.copy(), vector.values.copy())


def _check(want: frozenset[Representation]) -> None:
    if want != SPARSE:
        raise BadInput(f"{sorted(kind.value for kind in want)} are wanted: this model gives sparse")
