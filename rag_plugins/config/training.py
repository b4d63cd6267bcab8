"""How models are trained: what `rag-plugins train` takes from a configuration, beside a leg."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from rag_plugins.config.frozen import Frozen, Share

__all__ = ["DenseTraining", "Precision", "RerankTraining", "SparseTraining", "TrainConfig"]

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
"""Of training; auto: bf16 where the processor or GPU computes in it."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Training(Frozen):
    """What every training has. Pairs are shuffled, split and drawn by `seed`."""

    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    batch: Annotated[int, Field(ge=2, le=4096, description="pairs a step")] = 32
    learning_rate: Annotated[
        Positive | None, Field(description="default: 2e-5; of low-rank adapters, 1e-3")
    ] = None
    warmup: Annotated[Share, Field(description="share of the steps until the full learning rate")] = 0.1
    max_length: Annotated[int, Field(ge=8, description="tokens of a passage that are read")] = 256
    negatives: Annotated[int, Field(ge=0, le=32, description="hard ones a query, where some are known")] = 1
    dev: Annotated[float, Field(gt=0, lt=1, description="share of the queries that is not trained on")] = 0.1
    evaluations: Annotated[int, Field(ge=1, description="on the dev part, evenly over the training")] = 5
    patience: Annotated[int, Field(ge=1, description="evaluations without a gain after which it ends")] = 3
    teacher: Annotated[
        str | None,
        Field(description="a cross-encoder whose margins are learned; default: the pipeline that mines"),
    ] = None
    precision: Precision = "auto"
    seed: int = 0
    device: str | None = None

    @property
    def rate(self) -> float:
        """The learning rate: as given, or what is usual."""
        return self.learning_rate or 2e-5


class DenseTraining(_Training):
    """A bi-encoder whose prefixes are good vectors themselves: Matryoshka (arXiv:2205.13147)."""

    loss: Annotated[
        Literal["ranking", "cosent", "margin-mse"],
        Field(description="in-batch negatives; graded similarity; a teacher's margins"),
    ] = "ranking"
    widths: Annotated[
        Literal["halving"] | tuple[Annotated[int, Field(ge=1)], ...],
        Field(description="prefixes trained; default: those of the leg's funnel, else d to d/32 by halves"),
    ] = "halving"
    layers: Annotated[bool, Field(description="early layers too: 2D Matryoshka (arXiv:2402.14776)")] = False
    scale: Annotated[
        Positive,
        Field(description="cosines are multiplied by it, before a softmax, or for a teacher's margins"),
    ] = 20.0


class SparseTraining(_Training):
    """A learned sparse model: SPLADE (arXiv:2109.10086), inference-free, or lexical weights by token."""

    form: Annotated[
        Literal["splade", "inference-free", "lexical"],
        Field(description="a masked LM's logits; queries without a model; a weight a token, trunk frozen"),
    ] = "splade"
    loss: Literal["ranking", "margin-mse"] = "ranking"
    regulariser: Annotated[
        Literal["flops", "l1-product"],
        Field(description="squared mean weights (arXiv:2004.05665), or the product of both sides' sums"),
    ] = "flops"
    query_weight: Annotated[float, Field(ge=0, description="of the queries' regulariser")] = 5e-5
    document_weight: Annotated[float, Field(ge=0, description="of the documents', or of the product")] = 3e-5
    regulariser_warmup: Annotated[
        Share, Field(description="share of the steps until its full weight, which grows by squares")
    ] = 1 / 3


class RerankTraining(_Training):
    """A cross-encoder."""

    loss: Annotated[
        Literal["bce", "listwise", "margin-mse"],
        Field(description="each pair by itself; a query's passages together; a teacher's margins"),
    ] = "bce"
    negatives: Annotated[int, Field(ge=1, le=32)] = 4
    lora: Annotated[
        int | None, Field(ge=1, le=256, description="rank of low-rank adapters; default: all weights")
    ] = None

    @property
    def rate(self) -> float:
        """Adapters begin at nothing: an epoch of a thousand pairs at the rate of all weights teaches none."""
        return self.learning_rate or (1e-3 if self.lora else super().rate)


class TrainConfig(Frozen):
    """One training for each kind of model."""

    dense: DenseTraining = DenseTraining()
    sparse: SparseTraining = SparseTraining()
    reranker: RerankTraining = RerankTraining()
