"""What a learned sparse leg adds to the `local` preset as a third: nDCG@10, fused and reranked.

    python -m benchmarks.sparse_leg --data ../shared/data/{squad-dev-A,tldr-en,cosqa-dev}

No learned sparse model runs here without a download, so BM25 on the tokens of the dense leg's model
(WordPiece) stands in for one: the preset `local-sparse`, which weighs dense, words and tokens .4, .4 and .2.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rag_plugins.config import PIPELINES
from rag_plugins.evaluation import evaluate_folder

SYSTEMS = {"two_legs": "local", "three_legs": "local-sparse"}
"""Our names, and the presets'."""
STAGES = {"": "fused", "_reranked": "reranked"}
"""What follows the name in the JSON, and the stage."""


def main() -> None:
    """Index each set twice, search, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="folders in BEIR format")
    options.add_argument("--queries", type=int, help="at most so many of each set")
    given = options.parse_args()
    scores = {
        (folder.name, system): _ndcg(folder, preset, given.queries)
        for folder in given.data
        for system, preset in SYSTEMS.items()
    }
    table = Table(
        "set", "stage", "two legs", "three legs (the third: BM25 on WordPiece)", "gain", title="nDCG@10"
    )
    for folder in given.data:
        for suffix, stage in STAGES.items():
            two, three = (scores[folder.name, system][suffix] for system in SYSTEMS)
            table.add_row(folder.name, stage, f"{two:.4f}", f"{three:.4f}", f"{three - two:+.4f}")
    Console().print(table)
    figures = {
        f"{system}_{name.replace('-', '_')}{suffix}": score
        for (name, system), stages in scores.items()
        for suffix, score in stages.items()
    }
    print(json.dumps(figures))


def _ndcg(folder: Path, preset: str, queries: int | None) -> dict[str, float]:
    """nDCG@10 by what follows the name in the JSON."""
    found = evaluate_folder(folder, PIPELINES[preset], queries=queries, progress=sys.stderr.isatty())
    stages = {"": found.fused, "_reranked": found.reranked or found.fused}
    return {suffix: round(measures["nDCG@10"], 4) for suffix, measures in stages.items()}


if __name__ == "__main__":
    main()
