"""What a dictionary mined from the corpus alone is worth: nDCG@10 of BM25 without and with it.

    python -m benchmarks.dictionary --data ../shared/data/medquad-eval ../shared/data/tldr-en

The mining reads no query and no relevance judgement, and its constants are the same for every corpus. Beside
them, learned sparse: no such model runs here without a download, so BM25 on the tokens of a model (WordPiece)
stands in. Like one, it knows parts of words; unlike one, it has no learned weights and adds no words.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rag_plugins.config import Bm25Leg, Config
from rag_plugins.evaluation import evaluate_folder
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.lexical.mining import mine

SYSTEMS = {"plain": "BM25", "dictionary": "dictionary", "sparse": "WordPiece"}
CAPTION = "WordPiece: BM25 on a model's tokens, in place of learned sparse."


def main() -> None:
    """Mine, index and search each set; print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, nargs="+", required=True, help="folders in BEIR format")
    folders: list[Path] = options.parse_args().data
    rows = {folder.name: _measure(folder) for folder in track(folders, disable=not sys.stderr.isatty())}
    table = Table("set", *SYSTEMS.values(), "gain", "terms", "mined", title="nDCG@10", caption=CAPTION)
    for name, row in rows.items():
        scores = [f"{row[system]:.4f}" for system in SYSTEMS]
        table.add_row(
            name, *scores, f"{row['gain']:+.4f}", f"{row['terms']:,}", f"{row['mining_seconds']:.1f} s"
        )
    Console().print(table)
    print(
        json.dumps({f"{key}_{name.replace('-', '_')}": row[key] for name, row in rows.items() for key in row})
    )


def _measure(folder: Path) -> dict[str, float]:
    texts = read_folder(folder).corpus.values()
    start = time.process_time()
    mined = mine(texts)
    seconds = time.process_time() - start
    with TemporaryDirectory() as directory:
        path = Path(directory) / "terms.toml"
        path.write_text(mined.to_toml(), encoding="utf-8")
        plain, dictionary = _ndcg(folder, Bm25Leg()), _ndcg(folder, Bm25Leg(dictionary=path))
    return {
        "plain": plain,
        "dictionary": dictionary,
        "sparse": _ndcg(folder, Bm25Leg(analysis="wordpiece")),
        "gain": round(dictionary - plain, 4),
        "terms": len(mined.terms),
        "whole": len(mined.whole),
        "mining_seconds": round(seconds, 1),
    }


def _ndcg(folder: Path, leg: Bm25Leg) -> float:
    evaluation = evaluate_folder(folder, Config(legs=(leg,), rerank=()), progress=sys.stderr.isatty())
    return round(evaluation.stages.legs[leg.name]["nDCG@10"], 4)


if __name__ == "__main__":
    main()
