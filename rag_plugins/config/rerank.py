"""Rerank stages: which model, how deep it reads, how its scores count."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from rag_plugins.config.frozen import Frozen, Share

__all__ = [
    "Calibration",
    "CrossEncoderConfig",
    "GivenRerankerConfig",
    "LateInteractionConfig",
    "RerankerConfig",
]

Calibration: TypeAlias = Literal["sigmoid", "isotonic"]
"""How a model's scores become probabilities."""

_Point = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(ge=0.0, le=1.0)]]


class _Stage(Frozen):
    """What every rerank stage has: `min_score` counts on the calibrated scale where there is one."""

    depth: Annotated[int, Field(ge=1, description="how many of the stage before it reads")] = 25
    blend: Annotated[Share, Field(description="share of the rerank score")]
    calibration: Annotated[Calibration | None, Field(description="scores to probabilities")] = None
    isotonic: Annotated[
        tuple[_Point, ...], Field(description="score and probability, both rising: `tune --calibrate`")
    ] = ()
    min_score: Annotated[
        float | None, Field(allow_inf_nan=False, description="below it a passage is no answer")
    ] = None

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        if (self.calibration == "isotonic") != bool(self.isotonic):
            raise ValueError('calibration = "isotonic" and its points `isotonic` belong together')
        for axis in zip(*self.isotonic, strict=True):
            if list(axis) != sorted(axis):
                raise ValueError("isotonic: scores and probabilities must both rise")
        return self


class LateInteractionConfig(_Stage):
    """Rerank by idf-weighted MaxSim over token vectors of the first dense leg's model."""

    kind: Literal["late-interaction"] = "late-interaction"
    blend: Annotated[Share, Field(description="share of the rerank score")] = 0.5
    head: Annotated[
        bool, Field(description="weigh matches as learned, where weights for the model are shipped")
    ] = True

    @model_validator(mode="after")
    def _no_logits(self) -> Self:
        if self.calibration == "sigmoid":
            raise ValueError('late interaction gives similarities, not logits: calibration = "isotonic"')
        return self


class CrossEncoderConfig(_Stage):
    """Rerank by a cross-encoder: a preset, a folder or a hub id."""

    kind: Literal["cross-encoder"] = "cross-encoder"
    model: str = "cross-encoder/ms-marco-MiniLM-L-6-v2"
    blend: Annotated[Share, Field(description="share of the rerank score")] = 1.0
    max_length: Annotated[int | None, Field(gt=0, description="tokens, query and template included")] = None
    long: Annotated[
        Literal["cut", "windows"], Field(description="a passage too long: its beginning, or the best window")
    ] = "cut"
    instruction: Annotated[str | None, Field(description="the task, for models that are told one")] = None
    device: str | None = None


class GivenRerankerConfig(_Stage):
    """Rerank by an object that the caller gives under this name: `RagIndex.open(…, rerankers=[…])`."""

    kind: Literal["given"] = "given"
    name: Annotated[str, Field(min_length=1)]
    blend: Annotated[Share, Field(description="share of the rerank score")] = 1.0


RerankerConfig = Annotated[
    LateInteractionConfig | CrossEncoderConfig | GivenRerankerConfig, Field(discriminator="kind")
]
