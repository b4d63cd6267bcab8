"""A rerank stage tuned to a collection by judged queries: its probabilities, and how much it counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rag_plugins.config import Config, CrossEncoderConfig, RerankerConfig
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.evaluation.measures import measure_each
from rag_plugins.evaluation.tuning.blending import SHARES, Blend
from rag_plugins.evaluation.tuning.calibration import Calibration, calibration
from rag_plugins.evaluation.tuning.readings import Counts, Readings, read_stage
from rag_plugins.index import RagIndex
from rag_plugins.models.protocols import Encoder
from rag_plugins.models.rerank.calibration import calibrate as calibrated
from rag_plugins.types import JsonValue

__all__ = ["RerankTuning", "tune_reranking"]


@dataclass(frozen=True, slots=True)
class RerankTuning:
    """What was found out about a rerank stage; `stage` counts from 1, `name` is its model, or kind."""

    stage: int
    name: str
    queries: Counts
    calibration: Calibration | None
    blend: Blend | None

    def applied(self, stage: RerankerConfig) -> RerankerConfig:
        """The stage as it was tuned; a `min_score` on its own scale is put on that of probabilities.

        Raises `ConfigError` for a stage of another model.
        """
        if _name(stage) != self.name:
            raise ConfigError(f"rerank stage {self.stage} is {_name(stage)}, the one tuned is {self.name}")
        changes: dict[str, object] = {}
        if fitted := self.calibration:
            changes |= {"calibration": "isotonic", "isotonic": fitted.curve}
            if stage.min_score is not None and stage.calibration is None:
                bound = np.array([stage.min_score], np.float32)
                (sure,) = calibrated(bound, "similarity", "isotonic", fitted.curve).tolist()
                changes["min_score"] = math.floor(sure * 1e4) / 1e4  # Down: what was kept is kept.
        if self.blend:
            changes["blend"] = self.blend.chosen
        return stage.model_copy(update=changes)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "stage": self.stage,
            "name": self.name,
            "queries": asdict(self.queries),
            "calibration": self.calibration and self.calibration.to_json(),
            "blend": self.blend and self.blend.to_json(),
        }


def tune_reranking(
    uri: str | Path,
    qrels: str | Path,
    *,
    stage: int | str | None = None,
    calibrate: bool = True,
    blend: bool = False,
    preset: str = "local",
    config: Config | None = None,
    collection: str = "passages",
    tenant: str = "",
    encoders: Mapping[str, Encoder] = MappingProxyType({}),
    progress: bool = False,
) -> RerankTuning:
    """Calibrate a rerank stage of a collection, or choose its blend, by a folder's queries and qrels.

    The folder has queries.jsonl and qrels.tsv, which name doc_ids of the collection: a passage is as relevant
    as its document. `stage` is a number, from 1, a model or a kind; by default the last. Nothing is written:
    see `RerankTuning.applied` and `settings.write_stage`. The rest is as in `RagIndex.open`. Raises
    `BadDocument`, and `BadInput` where the judgements do not suffice.
    """
    if not calibrate and not blend:
        raise BadInput("nothing to tune: ask for calibrate, for blend or for both")
    config = config or Config.preset(preset)
    number = _find(config.rerank, stage)
    settings = config.rerank[number - 1]
    tests = read_folder(qrels, corpus=False)
    with RagIndex.open(
        uri, config=_raw(config, number), collection=collection, tenant=tenant, encoders=encoders
    ) as index:
        read = read_stage(index, tests, progress=progress)
    return RerankTuning(
        stage=number,
        name=_name(settings),
        queries=read.counts,
        calibration=calibration(read.pairs()) if calibrate else None,
        blend=_blend(read, settings) if blend else None,
    )


def _find(stages: Sequence[RerankerConfig], wanted: int | str | None) -> int:
    """The number of a stage, from 1."""
    names = [_name(stage) for stage in stages]
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1)) or "none"
    if wanted is None and stages:
        return len(stages)
    if str(wanted).isdecimal() and 1 <= int(str(wanted)) <= len(stages):
        return int(str(wanted))
    found = [n for n, stage in enumerate(stages, 1) if wanted in (_name(stage), stage.kind)]
    if len(found) != 1:
        got = "nothing to tune" if wanted is None else f"stage {wanted!r}: {len(found)} match"
        raise BadInput(f"{got}; the configuration's rerank stages are: {listed}")
    return found[0]


def _name(stage: RerankerConfig) -> str:
    return stage.model if isinstance(stage, CrossEncoderConfig) else stage.kind


def _raw(config: Config, number: int) -> Config:
    """The pipeline up to a stage, which drops nothing and says what its scores mean by themselves."""
    *before, stage = config.rerank[:number]
    plain = "sigmoid" if isinstance(stage, CrossEncoderConfig) else None
    changes = {"calibration": plain, "isotonic": (), "min_score": None}
    return config.model_copy(update={"rerank": (*before, stage.model_copy(update=changes))})


def _blend(read: Readings, settings: RerankerConfig) -> Blend:
    settings = settings.model_copy(update={"calibration": None})
    shares = tuple(sorted({*SHARES, settings.blend}))
    values: list[list[float]] = []
    for share in shares:
        each = measure_each(read.run(settings.model_copy(update={"blend": share})), read.qrels)["nDCG@10"]
        values.append([each[query] for query in read.qrels])
    return Blend.of(shares, np.array(values), settings.blend)
