"""Rerankers that read the image of a page against the query: what sentence-transformers makes of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rag_plugins.errors import QueryTooLong
from rag_plugins.models.protocols import Candidate, Scores
from rag_plugins.models.rerank.candidates import text_view
from rag_plugins.models.rerank.pair_model import PairModel
from rag_plugins.models.sides import view_texts
from rag_plugins.pictures import page_image
from rag_plugins.types import embed_text
from rag_plugins.vectors import FloatArray

__all__ = ["score_pages"]

_WHOLE = {"text": {"truncation": False}}
"""A cut would leave an image with fewer tokens than it has."""


def score_pages(
    model: PairModel, query: str, candidates: Sequence[Candidate], instruction: str | None, *, windows: bool
) -> Scores:
    """Candidates that have an image are read by it, one at a time, the others by their text.

    One whose image does not decode is read by its text too, and scores lowest if it has none; notices say
    how many. Raises `QueryTooLong`.
    """
    by_text: list[int] = []
    broken = 0
    values = np.full(len(candidates), np.nan, np.float32)
    for n, candidate in enumerate(candidates):
        page = None if candidate.image is None else page_image(candidate.image)
        broken += candidate.image is not None and page is None
        if page is not None:
            values[n] = _page_score(model, query, page, instruction)
        elif candidate.image is None or embed_text(candidate.views):
            by_text.append(n)
    passages = view_texts([text_view(candidates[n]) for n in by_text])
    read = model.score([(query, passage) for passage in passages], windows=windows)
    values[by_text] = read.values
    return _told(values, by_text, read, broken)


def _page_score(model: PairModel, query: str, page: Any, instruction: str | None) -> float:
    import torch

    encoder = model.model
    features = _features(model, query, page, instruction or encoder.prompts.get(encoder.default_prompt_name))
    placed = {
        key: value.to(encoder.device) if torch.is_tensor(value) else value for key, value in features.items()
    }
    with torch.inference_mode():
        return encoder.activation_fn(encoder(placed)["scores"].float()).item()


def _features(model: PairModel, query: str, page: Any, prompt: str | None) -> Mapping[str, Any]:
    """What sentence-transformers makes of a query and a page, as messages, whose text it takes for text."""
    messages = [
        {"role": "query", "content": [{"type": "text", "text": query}]},
        {"role": "document", "content": [{"type": "image", "image": page}]},
    ]
    with model.tokenizer.lock:
        features = model.model.preprocess([messages], prompt=prompt, processing_kwargs=_WHOLE)
    tokens = features["input_ids"].shape[1]
    if tokens > model.max_length:
        raise QueryTooLong(
            f"query and page have {tokens} tokens, and the model reads {model.max_length} at once: shorten "
            "the query, or raise max_length if the model allows it"
        )
    return features


def _told(values: FloatArray, by_text: Sequence[int], read: Scores, broken: int) -> Scores:
    """All scores finite, with what was read less than whole, did not decode, or has no score."""
    finite = np.isfinite(values)
    lowest = values[finite].min() if finite.any() else np.float32(0.0)
    notices = [*read.notices]
    if broken:
        notices.append(f"images that do not decode, read by their text where they have some: {broken}")
    if not finite.all():
        notices.append(f"pages that have no score, and count as the lowest: {int((~finite).sum())}")
    where = {by_text[n]: part for n, part in read.read.items()}
    return Scores(np.where(finite, values, lowest), where, tuple(notices))
