"""What keeping identifiers whole, as well as in parts, is worth: nDCG@10 of a BM25 leg, with and without.

    python -m benchmarks.identifiers --data ../shared/data/cosqa-dev ../shared/data/tldr-en

Everything else is the same, and by default: each set's language is found, and its words are stemmed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rag_plugins.config import Bm25Leg, Config
from rag_plugins.evaluation import evaluate_folder

ANALYSES = {"plain": Bm25Leg(identifiers=False), "aware": Bm25Leg(identifiers=True)}


def main() -> None:
    """Index each set twice, search, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="folders in BEIR format")
    folders: list[Path] = options.parse_args().data
    figures = {
        f"{name}_{folder.name.replace('-', '_')}": _ndcg(folder, leg)
        for folder in folders
        for name, leg in ANALYSES.items()
    }
    table = Table("set", *ANALYSES, "gain", title="nDCG@10 of BM25")
    for folder in folders:
        plain, aware = (figures[f"{name}_{folder.name.replace('-', '_')}"] for name in ANALYSES)
        table.add_row(folder.name, f"{plain:.4f}", f"{aware:.4f}", f"{aware - plain:+.4f}")
    Console().print(table)
    print(json.dumps(figures))


def _ndcg(folder: Path, leg: Bm25Leg) -> float:
    evaluation = evaluate_folder(folder, Config(legs=(leg,), rerank=()), progress=sys.stderr.isatty())
    return round(evaluation.stages.legs[leg.name]["nDCG@10"], 4)


if __name__ == "__main__":
    main()
