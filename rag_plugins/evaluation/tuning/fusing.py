"""How legs are fused, learned from what there is of queries: none, a log, judgements, or what was clicked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rag_plugins.config import Config
from rag_plugins.errors import ConfigError
from rag_plugins.evaluation.beir import TestSet, read_lines
from rag_plugins.fusion import Learned
from rag_plugins.index import RagIndex
from rag_plugins.models.protocols import Encoder

__all__ = ["read_pairs", "settled", "tune_fusion"]


def tune_fusion(
    uri: str | Path,
    *,
    log: Sequence[str] = (),
    judged: TestSet | None = None,
    preset: str = "local",
    config: Config | None = None,
    collection: str = "passages",
    tenant: str = "",
    encoders: Mapping[str, Encoder] = MappingProxyType({}),
) -> Learned:
    """Learn how the legs of a collection are fused, which it keeps: from judged queries, where there are any.

    Their qrels name doc_ids of the collection. Without, queries are made of the passages, to resemble those
    of a `log`. The rest is as in `RagIndex.open`. Raises `ConfigError` where the configuration settles fusion
    by itself, and `BadInput` where there is too little to learn from.
    """
    config = config or Config.preset(preset)
    if why := settled(config):
        raise ConfigError(f"{why}: what is learned would not be used")
    with RagIndex.open(uri, config=config, collection=collection, tenant=tenant, encoders=encoders) as index:
        return index.learn_from(judged.queries, judged.qrels) if judged else index.learn(log)


def settled(config: Config) -> str:
    """Why fusion does not ask what was learned, "" where it does."""
    weights = [f"{leg.name} {leg.weight:g}" for leg in config.legs if leg.weight]
    if config.fusion.method != "adaptive":
        return f"the configuration says fusion.method = {config.fusion.method!r}"
    if weights:
        return f"weights are set in the configuration ({', '.join(weights)})"
    if sum(leg.weight is None for leg in config.legs) < 2:
        return "one leg alone is run"
    return ""


def read_pairs(path: Path) -> TestSet:
    """Queries and documents that were chosen for them: JSON lines of {"query": …, "doc_id": …}.

    Lines of one query count together, and a line given twice counts once. Raises `BadDocument`.
    """
    qrels: dict[str, dict[str, int]] = {}
    for line in read_lines(path, "query", "doc_id"):
        qrels.setdefault(str(line["query"]), {})[str(line["doc_id"])] = 1
    return TestSet({}, {query: query for query in qrels}, qrels)
