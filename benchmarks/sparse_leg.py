"""What a learned sparse leg adds to the `local` preset as a third: nDCG@10, fused and reranked.

    python -m benchmarks.sparse_leg --data ../shared/data/{squad-dev-A,tldr-en,cosqa-dev}

No learned sparse model runs here without a download, so BM25 on the tokens of the dense leg's model
(WordPiece) stands in for one: the preset `local-sparse`. Its weights were chosen on these three sets.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rag_plugins import Config, RagIndex
from rag_plugins.evaluation import measure
from rag_plugins.evaluation.beir import TestSet, read_folder

SYSTEMS = ("two_legs", "three_legs")
STAGES = {"": "fused", "_reranked": "reranked"}
"""What follows the name in the JSON, and the stage."""


def main() -> None:
    """Index each set once, search it with two legs and with three, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="folders in BEIR format")
    options.add_argument("--queries", type=int, help="at most so many of each set")
    given = options.parse_args()
    scores = {folder.name: _measure(read_folder(folder).sample(given.queries)) for folder in given.data}
    _print(scores)
    figures = {
        f"{system}_{name.replace('-', '_')}{suffix}": round(score, 4)
        for name, systems in scores.items()
        for system, stages in systems.items()
        for suffix, score in stages.items()
    }
    print(json.dumps(figures))


def _measure(tests: TestSet) -> dict[str, dict[str, float]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "set.db"
        with RagIndex.open(path, config=_config("three_legs")) as index:
            index.add(index.passage(text, doc_id=id, caller_id=id) for id, text in tests.corpus.items())
        measured: dict[str, dict[str, float]] = {}
        for system in SYSTEMS:
            with RagIndex.open(path, config=_config(system)) as index:
                measured[system] = _ndcg(index, tests, system)
        return measured


def _config(system: str) -> Config:
    """Of three legs in the collection, two_legs searches those of `local`, with its weights."""
    config = Config.preset("local-sparse")
    if system == "three_legs":
        return config
    weights = {leg.name: leg.weight for leg in Config.preset("local").legs}
    legs = [leg.model_copy(update={"weight": weights.get(leg.name, 0.0)}) for leg in config.legs]
    return config.model_copy(update={"legs": tuple(legs)})


def _ndcg(index: RagIndex, tests: TestSet, system: str) -> dict[str, float]:
    """nDCG@10 by what follows the name in the JSON."""
    document = {passage.id: passage.doc_id for batch in index.store.scan() for passage in batch}
    runs: dict[str, dict[str, dict[str, float]]] = {suffix: {} for suffix in STAGES}
    for id, text in track(tests.queries.items(), system, disable=not sys.stderr.isatty()):
        outcome = index.run(text, 100, depth=100)
        runs[""][id] = {document[item.id]: item.score for item in outcome.fused}
        runs["_reranked"][id] = {document[passage]: score for passage, score in outcome.final}
    return {suffix: measure(run, tests.qrels)["nDCG@10"] for suffix, run in runs.items()}


def _print(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    table = Table(
        "set", "stage", "two legs", "three legs (the third: BM25 on WordPiece)", "gain", title="nDCG@10"
    )
    for name, systems in scores.items():
        for suffix, stage in STAGES.items():
            two, three = (systems[system][suffix] for system in SYSTEMS)
            table.add_row(name, stage, f"{two:.4f}", f"{three:.4f}", f"{three - two:+.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
