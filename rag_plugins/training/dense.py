"""Bi-encoders whose prefixes are good vectors: Matryoshka representation learning (arXiv:2205.13147).

    L = sum over widths w of  L_w,   L_w the loss of the vectors' first w numbers, normalised

with weight 1 a width. Of pairs with graded similarity L_w is CoSENT's:

    log(1 + sum over i, j with s_i > s_j of  exp(scale (cos_j - cos_i)))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag_plugins.config import DenseLeg
from rag_plugins.config.training import DenseTraining
from rag_plugins.errors import BadInput, require
from rag_plugins.models.backend import quiet
from rag_plugins.training.columns import columns
from rag_plugins.training.figures import Widths
from rag_plugins.training.pairs import Pair, answering
from rag_plugins.training.running import Job, begin

__all__ = ["dense_job", "halvings", "open_dense", "trained_widths"]

_LEAST = 32
"""The shortest prefix is this part of the whole."""


def halvings(dim: int) -> tuple[int, ...]:
    """d, d/2, … d/32, as far as these are whole; longest first."""
    widths = [dim // part for part in (1, 2, 4, 8, 16, _LEAST) if dim % part == 0]
    return tuple(widths)


def trained_widths(settings: DenseTraining, leg: DenseLeg | None, dim: int) -> tuple[int, ...]:
    """Those set, else those of the leg's funnel, else halvings; with the whole, longest first."""
    if settings.widths != "halving":
        chosen = set(settings.widths)
    elif leg is not None and not isinstance(leg.funnel, str):
        chosen = {stage.width for stage in leg.funnel.stages}
    else:
        chosen = set(halvings(dim))
    if too_long := [width for width in chosen if width > dim]:
        raise BadInput(f"widths {too_long}: the model's vectors have {dim} numbers")
    return tuple(sorted(chosen | {dim}, reverse=True))


def open_dense(path: Path, settings: DenseTraining) -> Any:
    """A bi-encoder of a folder; a plain masked LM gets mean pooling."""
    library: Any = require("sentence_transformers", "training")
    begin(settings)
    with quiet():
        return library.SentenceTransformer(str(path), device=settings.device or "cpu", local_files_only=True)


def dense_job(
    model: Any, settings: DenseTraining, widths: Sequence[int], train: Sequence[Pair], dev: Sequence[Pair]
) -> Job:
    """Raises `BadInput` for a loss that these pairs do not go with."""
    library: Any = require("sentence_transformers", "training")
    losses: Any = require("sentence_transformers.sentence_transformer.losses", "training")
    inner = {
        "ranking": lambda: losses.MultipleNegativesRankingLoss(model, scale=settings.scale),
        "cosent": lambda: losses.CoSENTLoss(model, scale=settings.scale),
        "margin-mse": lambda: losses.MarginMSELoss(model, similarity_fct=_scaled(settings.scale)),
    }[settings.loss]()
    wrapped = losses.Matryoshka2dLoss if settings.layers else losses.MatryoshkaLoss
    loss = wrapped(model, inner, list(widths), matryoshka_weights=[1.0] * len(widths))
    graded = settings.loss == "cosent"
    if not graded:
        train, dev = answering(train), answering(dev)
    elif len({pair.score for pair in dev}) < 2:  # noqa: PLR2004
        raise BadInput("loss cosent: expected two different scores at least in the part that is measured by")
    evaluator = Widths(dev, widths, graded)
    rows = columns(train, settings.loss, settings.negatives)
    sides = {name: "query" if name == "query" else "document" for name in rows if name != "label"}
    prompts = {name: prompt for name, side in sides.items() if (prompt := model.prompts.get(side))}
    return Job(
        model=model,
        trainer=library.SentenceTransformerTrainer,
        arguments=library.SentenceTransformerTrainingArguments,
        rows=rows,
        loss=loss,
        evaluator=evaluator,
        measure=evaluator.measure,
        options={"prompts": prompts} if graded else {"prompts": prompts, "batch_sampler": "no_duplicates"},
    )


def _scaled(scale: float) -> Callable[[Any, Any], Any]:
    """Cosines of pairs, by row, times `scale`: they differ by 2 at most, a teacher's scores by more."""
    util: Any = require("sentence_transformers.util", "training")

    def similarity(queries: Any, documents: Any) -> Any:
        return scale * util.pairwise_cos_sim(queries, documents)

    return similarity
