"""Settings of reranking, the same in both frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SkipValidation,
    field_serializer,
)

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.config.rerank import Calibration
from rag_plugins.errors import ConfigError
from rag_plugins.faces import checked
from rag_plugins.faces.reranking import ranked
from rag_plugins.models.protocols import Candidate, Reranker
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.types import StageScore

__all__ = ["RerankSettings"]

_DEFAULT = CrossEncoderConfig().model

_SCORES = ("min_score", "calibration", "isotonic")
_MODEL = ("max_length", "long", "instruction", "device")


class RerankSettings(BaseModel):
    """Which reranker, how many it keeps, and the settings of a `CrossEncoderConfig` and a `ComputeConfig`.

    `model` is a preset, a folder, a hub id, or a reranker object. An object has the settings from
    `max_length` on itself, and stands by its name in what is serialised. `min_score` is on the calibrated
    scale where there is one. Weights load on first use.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        arbitrary_types_allowed=True, protected_namespaces=(), extra="forbid"
    )

    model: Annotated[SkipValidation[str | Reranker], Field(frozen=True)]
    top_n: Annotated[int, Field(ge=1)] = 5
    min_score: float | None = None
    calibration: Calibration | None = None
    isotonic: tuple[tuple[float, float], ...] = ()
    max_length: Annotated[int | None, Field(frozen=True)] = None
    long: Annotated[Literal["cut", "windows"], Field(frozen=True)] = "cut"
    instruction: Annotated[str | None, Field(frozen=True)] = None
    device: Annotated[str | None, Field(frozen=True)] = None
    compute: Annotated[ComputeConfig, Field(frozen=True)] = ComputeConfig()
    _reranker: Reranker = PrivateAttr()

    def __init__(self, model: str | Path | Reranker = _DEFAULT, top_n: int = 5, **settings: Any) -> None:
        """Raises `ConfigError` for settings that cannot be used."""
        model = str(model) if isinstance(model, Path) else model
        with checked():
            super().__init__(model=model, top_n=top_n, **settings)
            self._reranker = _reranker(self, _config(self))

    @field_serializer("model")
    def _by_name(self, model: str | Reranker) -> str:
        return model if isinstance(model, str) else model.name

    def _ranked(self, query: str, candidates: Sequence[Candidate]) -> list[tuple[int, StageScore | None]]:
        """See `ranked`."""
        return ranked(self._reranker, _config(self), query, candidates, self.top_n)


def _config(settings: RerankSettings) -> CrossEncoderConfig:
    named = {"model": settings.model} if isinstance(settings.model, str) else {}
    return CrossEncoderConfig(**named, **{name: getattr(settings, name) for name in (*_SCORES, *_MODEL)})


def _reranker(settings: RerankSettings, config: CrossEncoderConfig) -> Reranker:
    model = settings.model
    if isinstance(model, str):
        return CrossEncoderReranker(config, settings.compute)
    if not hasattr(model, "score"):
        raise ConfigError(
            f"model: got {type(model).__name__}, expected a preset, a folder, a hub id or a reranker object"
        )
    fields = RerankSettings.model_fields
    own = [name for name in (*_MODEL, "compute") if getattr(settings, name) != fields[name].default]
    if own:
        raise ConfigError(f"{', '.join(own)}: given with a reranker object, which has settings of its own")
    return model
