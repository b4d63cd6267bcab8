"""One frozen configuration, read from TOML or built in code; unknown keys are refused; no global state."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from rag_plugins.config.chat import ChatConfig, LlmConfig
from rag_plugins.config.compute import ComputeConfig
from rag_plugins.config.frozen import Frozen
from rag_plugins.config.legs import (
    Bm25Leg,
    DenseLeg,
    ImageLeg,
    Language,
    LegConfig,
    PageTokensLeg,
    RobustLeg,
    SparseLeg,
    VectorLeg,
)
from rag_plugins.config.reading import ChunkingConfig, IngestConfig, OcrConfig
from rag_plugins.config.rerank import (
    CrossEncoderConfig,
    GivenRerankerConfig,
    LateInteractionConfig,
    RerankerConfig,
)
from rag_plugins.config.store import IndexConfig, StoreConfig, TlsConfig
from rag_plugins.config.training import DenseTraining, RerankTraining, SparseTraining, TrainConfig
from rag_plugins.errors import ConfigError, UnknownPreset

__all__ = [
    "PIPELINES",
    "Bm25Leg",
    "ChatConfig",
    "ChunkingConfig",
    "ComputeConfig",
    "Config",
    "CrossEncoderConfig",
    "DenseLeg",
    "DenseTraining",
    "FusionConfig",
    "GivenRerankerConfig",
    "ImageLeg",
    "IndexConfig",
    "IngestConfig",
    "Language",
    "LateInteractionConfig",
    "LegConfig",
    "LlmConfig",
    "Mode",
    "OcrConfig",
    "PageTokensLeg",
    "RerankTraining",
    "RerankerConfig",
    "RobustLeg",
    "SparseLeg",
    "SparseTraining",
    "StoreConfig",
    "TlsConfig",
    "TrainConfig",
    "VectorLeg",
]


Mode: TypeAlias = Literal["text", "dual", "auto"]
"""Which side of a page a search reads: its text, both, or whatever its legs can."""


class FusionConfig(Frozen):
    """How the legs become one ranking.

    `adaptive` weighs legs by what the collection tells of them. Weights set on legs go before it: they are
    those of min-max scores then, and legs without one count as 1. A leg of weight 0 is not run.
    """

    method: Literal["adaptive", "minmax", "zscore", "dbsf", "rrf"] = "adaptive"
    rrf_k: Annotated[int, Field(ge=1)] = 60
    depth: Annotated[int | None, Field(ge=1, description="hits a leg; default max(4k, 100)")] = None


class Config(Frozen):
    """Everything that can be set. The defaults are the `local` preset."""

    store: StoreConfig = StoreConfig()
    legs: Annotated[tuple[LegConfig, ...], Field(min_length=1)] = (DenseLeg(), Bm25Leg())
    fusion: FusionConfig = FusionConfig()
    rerank: Annotated[
        tuple[RerankerConfig, ...], Field(description="stages, each reads the best of the one before")
    ] = (LateInteractionConfig(),)
    compute: ComputeConfig = ComputeConfig()
    mode: Annotated[
        Mode, Field(description="text: no image leg runs; dual: one must; auto: those that there are")
    ] = "auto"
    ingest: IngestConfig = IngestConfig()
    ocr: OcrConfig = OcrConfig()
    chunking: ChunkingConfig = ChunkingConfig()
    chat: ChatConfig = ChatConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        names = [leg.name for leg in self.legs]
        if len(set(names)) != len(names):
            raise ValueError(f"legs need distinct names, got {names}")
        late = any(stage.kind == "late-interaction" for stage in self.rerank)
        if late and not any(leg.kind == "dense" for leg in self.legs):
            raise ValueError("late interaction needs a dense leg: it reads that model's token vectors")
        depths = [stage.depth for stage in self.rerank]
        if depths != sorted(depths, reverse=True):
            raise ValueError(f"each rerank stage reads the best of the one before, got depths {depths}")
        if self.mode == "dual" and not any(leg.kind in ("image", "page-tokens") for leg in self.legs):
            raise ValueError("mode is dual, and no leg reads images: add one of kind image or page-tokens")
        if self.ingest.text == "none" and not any(leg.kind in ("image", "page-tokens") for leg in self.legs):
            raise ValueError("ingest.text is none, and no leg reads images: nothing could be found")
        return self

    @classmethod
    def make(cls, values: dict[str, Any]) -> Config:
        """Build from plain values; raises `ConfigError` that names each key and what is wrong with it."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'config'}: {problem['msg']}"
                for problem in error.errors()
            )
            del values  # It may have secrets, and tracebacks may show variables.
            raise ConfigError(problems) from None

    @classmethod
    def from_toml(cls, path: str | Path) -> Config:
        """Read a TOML file; a dictionary's path counts from the file's folder. Raises `ConfigError`."""
        try:
            return _based(cls.make(tomllib.loads(Path(path).read_text(encoding="utf-8"))), Path(path).parent)
        except (OSError, ValueError, RuntimeError) as error:  # No TOML, nested too deep, no such home.
            raise ConfigError(f"{path}: {error}") from None  # What reads TOML has the text in its variables.
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def preset(cls, name: str) -> Config:
        """A named pipeline; raises `UnknownPreset` with the known names."""
        if name not in PIPELINES:
            raise UnknownPreset(f"pipeline {name!r}: known are {', '.join(PIPELINES)}")
        return PIPELINES[name]


def _based(config: Config, folder: Path) -> Config:
    legs = tuple(
        leg.model_copy(update={"dictionary": folder / leg.dictionary.expanduser()})
        if isinstance(leg, Bm25Leg) and leg.dictionary
        else leg
        for leg in config.legs
    )
    return config.model_copy(update={"legs": legs})


_MULTI_QA = DenseLeg(model="multi-qa-MiniLM-L6-cos-v1")

PIPELINES: dict[str, Config] = {
    "local": Config(),
    "local-qa": Config(legs=(_MULTI_QA, Bm25Leg())),
    "local-sparse": Config(legs=(DenseLeg(), Bm25Leg(), Bm25Leg(name="wordpiece", analysis="wordpiece"))),
    "splade": Config(legs=(DenseLeg(), Bm25Leg(), SparseLeg(model="granite-embedding-30m-sparse"))),
    "scans": Config(legs=(DenseLeg(), Bm25Leg(), RobustLeg(weight=4.0))),
    "bge-m3": Config(legs=(DenseLeg(model="bge-m3"), SparseLeg(model="bge-m3"), Bm25Leg())),
    "cascade": Config(rerank=(LateInteractionConfig(depth=100), CrossEncoderConfig(depth=30))),
    "lexical": Config(legs=(Bm25Leg(),), rerank=()),
}
"""Whole pipelines by name: which legs, how they are fused, what reranks."""
