"""What prefixes of a model's vectors find: cut as they are, rotated by what the package carries, and by PCA.

    python -m benchmarks.prefixes FOLDER… [--cache FOLDER] [--widths 12 24 48 96 192]

nDCG@10 of exact search on folders in BEIR's format, as a table in Markdown. PCA is fitted on the passages
that are searched: what a collection has from 500 passages on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.peers.vectors import Remembering
from rag_plugins.config import DenseLeg
from rag_plugins.evaluation.beir import read_folder
from rag_plugins.funnel import Rotation
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.types import EmbedText
from rag_plugins.vectors import Matrix, truncate

_WIDTHS = (12, 24, 48, 96, 192)
_BEST = 10


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--cache", type=Path, help="keep vectors of passages here")
    parser.add_argument("--widths", nargs="+", type=int, default=_WIDTHS)
    given = parser.parse_args()
    encoder = DenseEncoder(DenseLeg(model=given.model))
    print("| set | prefixes |", *(f"{width} |" for width in (*given.widths, encoder.dim)))
    print("|---|---|" + "---|" * (len(given.widths) + 1))
    with TemporaryDirectory() as folder:
        model = Remembering(encoder, given.cache or Path(folder))
        for path in given.folders:
            _print(path, encoder, model, given.widths)


def _print(path: Path, encoder: DenseEncoder, model: Remembering, widths: Sequence[int]) -> None:
    tests = read_folder(path)
    asked = list(tests.qrels)
    places = {id: n for n, id in enumerate(tests.corpus)}
    relevant = [
        {places[id]: grade for id, grade in tests.qrels[query].items() if id in places} for query in asked
    ]
    passages = model.encode_documents([EmbedText(text) for text in tests.corpus.values()]).dense
    queries = encoder.encode_queries([tests.queries[query] for query in asked]).dense
    assert passages is not None and queries is not None  # noqa: S101
    turns = {"as they are": np.eye(encoder.dim, dtype=np.float32), "PCA here": Rotation.fit(passages).columns}
    if shipped := encoder.rotation:
        turns["shipped rotation"] = shipped.rotation.columns
    for name, turn in turns.items():
        turned = queries @ turn, passages @ turn
        scores = [_ndcg(truncate(turned[0], width), truncate(turned[1], width), relevant) for width in widths]
        whole = _ndcg(queries, passages, relevant)
        print(f"| {path.name} | {name} |", *(f"{score:.3f} |" for score in (*scores, whole)), flush=True)


def _ndcg(queries: Matrix, passages: Matrix, relevant: Sequence[Mapping[int, int]]) -> float:
    gains = 1 / np.log2(np.arange(_BEST) + 2)
    found: list[float] = []
    for query, grades in zip(queries, relevant, strict=True):
        best = np.argsort(-(passages @ query), kind="stable")[:_BEST]
        ideal = np.array(sorted(grades.values(), reverse=True)[:_BEST], np.float64)
        gained = np.array([grades.get(int(place), 0) for place in best]) @ gains[: len(best)]
        found.append(float(gained / (ideal @ gains[: len(ideal)])) if len(ideal) else 0.0)
    return float(np.mean(found))


if __name__ == "__main__":
    main()
