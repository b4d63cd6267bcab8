"""What a sparse leg adds to the `local` preset as a third: nDCG@10, fused and reranked, and alone.

    python -m benchmarks.sparse_leg --data FOLDER…
    python -m benchmarks.sparse_leg --data FOLDER… --model all-MiniLM-L6-v2-lexical

The leg is BM25 on the tokens of the dense leg's model (WordPiece), the preset `local-sparse`, or a learned
sparse model. Fusion weighs the legs by what the collection tells, and leaves out one that adds nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rag_plugins import Config, RagIndex
from rag_plugins.config import SparseLeg
from rag_plugins.evaluation import measure
from rag_plugins.evaluation.beir import TestSet, read_folder

SYSTEMS = ("two_legs", "three_legs", "third_alone")
STAGES = {"": "fused", "_reranked": "reranked"}
"""What follows the name in the JSON, and the stage."""


def main() -> None:
    """Index each set once, search it with two legs and with three, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="folders in BEIR format")
    options.add_argument("--queries", type=int, help="at most so many of each set")
    options.add_argument("--model", help="of a learned sparse leg, in place of BM25 on WordPiece")
    given = options.parse_args()
    scores = {
        folder.name: _measure(read_folder(folder).sample(given.queries), given.model) for folder in given.data
    }
    _print(scores, given.model or "BM25 on WordPiece")
    figures = {
        f"{system}_{name.replace('-', '_')}{suffix}": round(score, 4)
        for name, systems in scores.items()
        for system, stages in systems.items()
        for suffix, score in stages.items()
    }
    print(json.dumps(figures))


def _measure(tests: TestSet, model: str | None) -> dict[str, dict[str, float]]:
    config = _config(model)
    *two, third = [leg.name for leg in config.legs]
    legs = {"two_legs": two, "three_legs": None, "third_alone": [third]}
    with TemporaryDirectory() as folder, RagIndex.open(Path(folder) / "set.db", config=config) as index:
        index.add(index.passage(text, doc_id=id, caller_id=id) for id, text in tests.corpus.items())
        return {system: _ndcg(index, tests, system, legs[system]) for system in SYSTEMS}


def _config(model: str | None) -> Config:
    """The legs of `local`, then the third."""
    if model is None:
        return Config.preset("local-sparse")
    config = Config.preset("local")
    return config.model_copy(update={"legs": (*config.legs, SparseLeg(model=model))})


def _ndcg(index: RagIndex, tests: TestSet, system: str, legs: Sequence[str] | None) -> dict[str, float]:
    """nDCG@10 by what follows the name in the JSON."""
    document = {passage.id: passage.doc_id for batch in index.store.scan() for passage in batch}
    runs: dict[str, dict[str, dict[str, float]]] = {suffix: {} for suffix in STAGES}
    for id, text in track(tests.queries.items(), system, disable=not sys.stderr.isatty()):
        outcome = index.run(text, 100, depth=100, legs=legs)
        runs[""][id] = {document[item.id]: item.score for item in outcome.fused}
        runs["_reranked"][id] = {document[passage]: score for passage, score in outcome.final}
    return {suffix: measure(run, tests.qrels)["nDCG@10"] for suffix, run in runs.items()}


def _print(scores: Mapping[str, Mapping[str, Mapping[str, float]]], third: str) -> None:
    table = Table("set", "stage", "two legs", f"with {third}", "gain", "that alone", title="nDCG@10")
    for name, systems in scores.items():
        for suffix, stage in STAGES.items():
            two, three, alone = (systems[system][suffix] for system in SYSTEMS)
            table.add_row(name, stage, f"{two:.4f}", f"{three:.4f}", f"{three - two:+.4f}", f"{alone:.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
