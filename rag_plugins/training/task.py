"""Which part of a configuration is trained, and what the configuration is with the model that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from rag_plugins.config import Config, CrossEncoderConfig, DenseLeg, LegConfig, SparseLeg
from rag_plugins.config.training import DenseTraining, SparseTraining
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.models.backend import find_weights
from rag_plugins.models.presets import DENSE_PRESETS, RERANKER_PRESETS, SPARSE_PRESETS, find_preset
from rag_plugins.training.dense import dense_job, open_dense, trained_widths
from rag_plugins.training.pairs import Pair
from rag_plugins.training.rerankers import open_reranker, reranker_job
from rag_plugins.training.running import Job, Settings
from rag_plugins.training.sparse import open_sparse, sparse_job

__all__ = ["KINDS", "Kind", "Part", "Task"]

Kind: TypeAlias = Literal["dense", "sparse", "reranker"]
Part: TypeAlias = DenseLeg | SparseLeg | CrossEncoderConfig

KINDS: tuple[Kind, ...] = ("dense", "sparse", "reranker")

_PRESETS: dict[Kind, Any] = {
    "dense": DENSE_PRESETS,
    "sparse": SPARSE_PRESETS,
    "reranker": RERANKER_PRESETS,
}


@dataclass(frozen=True, slots=True)
class Task:
    """A leg or rerank stage of `config`, trained as `config.train` says, from the weights of `model`.

    `part` is what the configuration has, None where the trained model will be its first of this kind.
    """

    kind: Kind
    config: Config
    model: str
    part: Part | None

    @classmethod
    def of(cls, kind: Kind, config: Config, *, model: str | None = None, leg: str | None = None) -> Task:
        """The first of this kind, or the leg of this name; `model` is what to start from in place of its own.

        Raises `BadInput` where there is no such leg, and `ConfigError` where nothing says what to start from.
        """
        part = _part(kind, config, leg)
        start = model or (part.model if part else _usual(kind, config))
        if start is None:
            raise ConfigError(
                "no sparse leg in the configuration says which model to train: add one, name a model to "
                'start from (--model), or set form = "lexical" in train.sparse'
            )
        return cls(kind, config, start, part)

    @property
    def settings(self) -> Settings:
        """Of this kind of training."""
        return cast("Settings", getattr(self.config.train, self.kind))

    @property
    def name(self) -> str:
        """Of the leg or the stage."""
        if self.kind == "reranker":
            return "cross-encoder"
        return SparseLeg(model="").name if self.part is None else cast("DenseLeg | SparseLeg", self.part).name

    @property
    def kept(self) -> int | None:
        """The strongest so many terms of a passage are stored by a sparse leg; None: all."""
        return self._sparse_leg.document_terms

    @property
    def _sparse_leg(self) -> SparseLeg:
        return self.part if isinstance(self.part, SparseLeg) else SparseLeg(model=self.model)

    def path(self) -> Path:
        """The folder of the weights to start from. Raises `UnknownPreset`, `ModelNotFound`; may download."""
        presets = _PRESETS[self.kind]
        if self.kind != "dense" and self.model in DENSE_PRESETS:  # A head of another kind for a known trunk.
            presets = DENSE_PRESETS
        preset = find_preset(self.model, presets)
        if preset is None:
            return find_weights(self.model).path
        return find_weights(preset.hub_id, getattr(preset, "package", None)).path

    def open(self) -> Any:
        """The model to train, with the prompts it is served with."""
        settings, path = self.settings, self.path()
        if isinstance(settings, DenseTraining):
            model = open_dense(path, settings)
            query, document = self._prompts(model)
            model.prompts = {**model.prompts, "query": query, "document": document}
            return model
        if isinstance(settings, SparseTraining):
            return open_sparse(path, settings)
        return open_reranker(path, settings)

    def job(self, model: Any, train: Sequence[Pair], dev: Sequence[Pair]) -> Job:
        """Raises `BadInput` for a loss that these pairs do not go with."""
        settings = self.settings
        if isinstance(settings, DenseTraining):
            return dense_job(model, settings, self.widths(model), train, dev)
        if isinstance(settings, SparseTraining):
            return sparse_job(model, settings, train, dev, self._sparse_leg)
        return reranker_job(model, settings, train, dev)

    def widths(self, model: Any) -> tuple[int, ...]:
        """Prefixes that a dense model is trained for, longest first."""
        assert isinstance(self.settings, DenseTraining)  # noqa: S101
        leg = self.part if isinstance(self.part, DenseLeg) else None
        return trained_widths(self.settings, leg, model.get_embedding_dimension())

    def served(self, folder: Path, widths: Sequence[int] = ()) -> Config:
        """The configuration with the trained model of this folder in its place; `widths` of a dense one."""
        changes: dict[str, Any] = {"model": str(folder.resolve())}
        if self.kind == "dense":
            # Prompts, pooling and length are in the folder now.
            changes |= {"matryoshka": tuple(sorted(widths)), "pooling": None, "query_prompt": None}
            changes |= {"document_prompt": None}
        if self.kind != "reranker":
            leg = cast("LegConfig", (self.part or self._sparse_leg).model_copy(update=changes))
            legs = [leg if each is self.part else each for each in self.config.legs]
            return self.config.model_copy(update={"legs": tuple(legs if self.part else [*legs, leg])})
        stages = list(self.config.rerank)
        if isinstance(self.part, CrossEncoderConfig):
            stages[stages.index(self.part)] = self.part.model_copy(update=changes)
        else:
            depth = stages[-1].depth if stages else CrossEncoderConfig().depth
            stages.append(CrossEncoderConfig(depth=depth).model_copy(update=changes))
        return self.config.model_copy(update={"rerank": tuple(stages)})

    def _prompts(self, model: Any) -> tuple[str, str]:
        """Before queries and documents: as the leg says, else the preset, else the model."""
        leg = self.part if isinstance(self.part, DenseLeg) else None
        preset = find_preset(self.model, DENSE_PRESETS)
        own: dict[str, str] = model.prompts
        query = leg.query_prompt if leg and self.model == leg.model else None
        document = leg.document_prompt if leg and self.model == leg.model else None
        if query is None:
            query = preset.query_prompt if preset else own.get("query", "")
        if document is None:
            document = preset.document_prompt if preset else own.get("document") or own.get("passage", "")
        return query, document


def _part(kind: Kind, config: Config, leg: str | None) -> Part | None:
    if kind == "reranker":
        if leg:
            raise BadInput(f"leg {leg!r}: a reranker is no leg")
        return next((stage for stage in config.rerank if isinstance(stage, CrossEncoderConfig)), None)
    legs = [each for each in config.legs if isinstance(each, DenseLeg if kind == "dense" else SparseLeg)]
    if leg:
        legs = [each for each in legs if each.name == leg]
        if not legs:
            raise BadInput(f"no {kind} leg {leg!r}: there are {', '.join(each.name for each in config.legs)}")
    if kind == "dense" and not legs:
        raise BadInput("the configuration has no dense leg to train a model for")
    return legs[0] if legs else None


def _usual(kind: Kind, config: Config) -> str | None:
    """What to start from where there is no such part yet."""
    if kind == "reranker":
        return CrossEncoderConfig().model
    # Lexical weights are of a bi-encoder's own tokens.
    dense = next((leg for leg in config.legs if isinstance(leg, DenseLeg)), None)
    return dense.model if dense and config.train.sparse.form == "lexical" else None
