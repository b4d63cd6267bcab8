"""What a configuration can name."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from rag_plugins.config import PIPELINES, Bm25Leg, Config, CrossEncoderConfig, RobustLeg
from rag_plugins.models.presets import DENSE_PRESETS, IMAGE_PRESETS, RERANKER_PRESETS, SPARSE_PRESETS
from rag_plugins.show.tables import listing

__all__ = ["show_presets"]

_RERANKERS: dict[str, str] = {
    "classifier": "Rerankers, classifiers",
    "causal": "Rerankers, causal language models",
    "multimodal": "Rerankers of page images",
}


def show_presets() -> None:
    """Pipelines, models and rerankers that a configuration can name."""
    console = Console()
    rerankers = [_rerankers(kind, title) for kind, title in _RERANKERS.items()]
    for table in (_pipelines(), _dense_models(), _sparse_models(), _image_models(), *rerankers):
        console.print(table)


def _pipelines() -> Table:
    table = listing("Pipelines: --preset NAME", "name", "legs", "fusion", "reranker")
    for name, config in PIPELINES.items():
        table.add_row(name, _legs(config), config.fusion.method, _rerank(config))
    return table


def _legs(config: Config) -> str:
    return ", ".join(leg.kind if isinstance(leg, Bm25Leg | RobustLeg) else leg.model for leg in config.legs)


def _rerank(config: Config) -> str:
    names = (stage.model if isinstance(stage, CrossEncoderConfig) else stage.kind for stage in config.rerank)
    return ", then ".join(names) or "none"


def _dense_models() -> Table:
    table = listing(
        "Dense models: [[legs]] model = NAME", "name", "licence", "dims", "trained prefixes", "tokens"
    )
    for name, model in DENSE_PRESETS.items():
        table.add_row(name, model.licence, str(model.dim), _prefixes(model.matryoshka), str(model.max_length))
    return table


def _image_models() -> Table:
    title = 'Models of page images: [[legs]] kind = "image", model = NAME'
    table = listing(title, "name", "licence", "dims", "trained prefixes")
    for name, model in IMAGE_PRESETS.items():
        table.add_row(name, model.licence, str(model.dim), _prefixes(model.matryoshka))
    return table


def _prefixes(widths: Sequence[int]) -> str:
    return ", ".join(map(str, widths)) or "–"


def _sparse_models() -> Table:
    table = listing("Sparse models: [[legs]] model = NAME", "name", "licence", "kind", "terms", "tokens")
    for name, model in SPARSE_PRESETS.items():
        licence = f"{model.licence} (gated)" if model.gated else model.licence
        kind = model.kind.replace("-", " ")  # Breaks where there is no room.
        table.add_row(name, licence, kind, str(model.dim), str(model.max_length))
    return table


def _rerankers(kind: str, title: str) -> Table:
    table = listing(f"{title}: [[rerank]] model = NAME", "name", "licence", "tokens", "scores")
    for name, model in RERANKER_PRESETS.items():
        if model.kind == kind:
            table.add_row(name, model.licence, str(model.max_length), model.scale)
    return table
