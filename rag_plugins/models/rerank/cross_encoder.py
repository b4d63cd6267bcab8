"""Cross-encoders: query and passage read as one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import BadInput
from rag_plugins.models.backend import Weights, find_weights
from rag_plugins.models.compute.rule import Choice, choose
from rag_plugins.models.presets import RERANKER_PRESETS, find_preset
from rag_plugins.models.protocols import Candidate, Scale, Scores
from rag_plugins.models.rerank.candidates import text_view
from rag_plugins.models.rerank.load import Source, load_pair_model
from rag_plugins.models.rerank.multimodal import score_pages
from rag_plugins.models.rerank.pair_model import PairModel
from rag_plugins.models.sharing import Shared
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.models.visual.images import reads_images
from rag_plugins.vectors import FloatArray

__all__ = ["CrossEncoderReranker", "Ranked"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A text in a ranking: its place among those given, its score, itself."""

    index: int
    score: float
    text: str


class CrossEncoderReranker:
    """A cross-encoder that reads query and passage as one text; loads on first use, shared between threads.

    `CrossEncoderReranker("ms-marco-MiniLM-L-6-v2").rank(query, texts, k=5)`

    The model is a preset, a folder or a hub id: a sequence classifier with one label, a causal language model
    whose answer is the score, or one that reads pages. Scores are the model's own, as `CrossEncoder.predict`
    gives them. Only passages are ever cut, at their end, or read in windows with `long = "windows"`.
    """

    reads_tokens = False

    def __init__(self, config: CrossEncoderConfig | str, compute: ComputeConfig | None = None) -> None:
        """Take a model's name or all its settings. Raises `UnknownPreset`; loads nothing."""
        self._config = CrossEncoderConfig(model=config) if isinstance(config, str) else config
        self._compute = compute or ComputeConfig()
        self._preset = find_preset(self._config.model, RERANKER_PRESETS)

    @property
    def name(self) -> str:
        """The preset's name, the folder's name or the hub id."""
        if self._preset:
            return self._preset.name
        path = Path(self._config.model).expanduser()
        return path.resolve().name if path.is_dir() else self._config.model

    @property
    def scale(self) -> Scale:
        """What its scores are; loads the model where no preset says it."""
        return self._preset.scale if self._preset else self._model.scale

    @property
    def reads_images(self) -> bool:
        """Whether it reads pages by their images; where no preset says it, its folder does. May download."""
        return self._preset.images if self._preset else reads_images(self._weights.path)

    @property
    def source(self) -> str:
        """Where its weights come from: "folder …", "cache" or "hub". May download."""
        return self._weights.source

    @property
    def choice(self) -> Choice:
        """What it runs on, and why; loads the model, which may not run on what the rule says."""
        return self._model.choice

    def score(self, query: str, candidates: Sequence[Candidate]) -> Scores:
        """A text model reads a candidate that has only images as empty; what is not finite scores lowest.

        Raises `QueryTooLong` where fewer than 32 tokens, or than the whole passage, are left for it.
        """
        [text] = query_texts([query])
        if any(candidate.image is not None for candidate in candidates) and self.reads_images:
            told = self._config.instruction
            return score_pages(self._model, text, candidates, told, windows=self._windows)
        passages = view_texts([text_view(candidate) for candidate in candidates])
        return self._scores([(text, passage) for passage in passages])

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> FloatArray:
        """A score for each pair of texts, shape (n,): of two sentences, say, how alike they are.

        The second text is cut where both do not fit. Raises as `score` does.
        """
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        return self._scores(list(zip(query_texts(first), query_texts(second), strict=True))).values

    def rank(self, query: str, texts: Sequence[str], k: int | None = None) -> list[Ranked]:
        """The `k` best texts, or all, best first; equal scores keep their order. Raises as `score` does."""
        if k is not None and k < 1:
            raise BadInput(f"k is {k}: expected how many texts to give back, at least 1")
        [asked] = query_texts([query])
        scores = self._scores([(asked, text) for text in query_texts(texts)]).values
        best: list[int] = np.argsort(-scores, kind="stable")[:k].tolist()
        return [Ranked(n, float(scores[n]), texts[n]) for n in best]

    def release(self) -> None:
        """Let go of the model, which is freed once nobody else holds it; the next score loads it again."""
        if "_shared" in vars(self):
            self._shared.release()

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> Scores:
        if not pairs:
            return Scores(np.zeros(0, np.float32))
        return self._model.score(pairs, windows=self._windows)

    @property
    def _windows(self) -> bool:
        return self._config.long == "windows"

    @property
    def _model(self) -> PairModel:
        return self._shared.get()

    @cached_property
    def _shared(self) -> Shared[PairModel]:
        source = Source(
            self._weights.path,
            self._preset,
            self._max_length,
            self._config.instruction,
            choose(self._compute, self._config.device),
        )
        return Shared(("cross-encoder", source), partial(load_pair_model, source))

    @cached_property
    def _weights(self) -> Weights:
        return find_weights(self._preset.hub_id if self._preset else self._config.model)

    @property
    def _max_length(self) -> int | None:
        return self._config.max_length or (self._preset.max_length if self._preset else None)
