"""Ours in a process of its own: indexed with a preset, asked, measured; its vectors are what the peers get.

    python -m benchmarks.peers.ours FOLDER PRESET K CACHE

The folder has texts.json and questions.json; vectors.npy and question_vectors.npy are written beside them.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
from tqdm import tqdm

from benchmarks.peers.vectors import Remembering
from rag_plugins import Config, RagIndex
from rag_plugins.config import DenseLeg
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import DENSE, Representation
from rag_plugins.types import EmbedText
from rag_plugins.vectors import Matrix

__all__ = ["main"]

_BATCH = 256
_DENSE = "dense"
_BOTH = DENSE | {Representation.TOKENS}


def main(folder: Path, preset: str, k: int, cache: Path) -> None:
    """Print {"build_seconds", "build_cpu", "ms", "rerank_ms", "mb", "found", "reranked"}: see `worker`."""
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    config = Config.preset(preset)
    model = _model(config)
    model.encode_queries(["what is loaded at first use"])
    encoder = Remembering(model, cache)
    vectors = _vectors(encoder, texts)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "question_vectors.npy", model.encode_queries(list(questions.values())).dense)
    with (
        TemporaryDirectory() as scratch,
        RagIndex.open(Path(scratch) / "ours.db", config=config, encoders={_DENSE: encoder}) as index,
    ):
        before = _peak()
        start, used = perf_counter(), process_time()
        passages = [index.passage(text, caller_id=str(row)) for row, text in enumerate(texts)]
        for first in range(0, len(passages), _BATCH):
            index.add(passages[first : first + _BATCH])
        built, cpu = perf_counter() - start, process_time() - used
        row = {passage.id: number for number, passage in enumerate(passages)}
        index.run(next(iter(questions.values())), k)
        fused: dict[str, list[int]] = {}
        reranked: dict[str, list[int]] = {}
        milliseconds: list[float] = []
        rerank: list[float] = []
        for id, text in questions.items():
            start = perf_counter()
            outcome = index.run(text, k, depth=k)
            wall = perf_counter() - start
            later = sum(
                took for stage, took in outcome.seconds.items() if stage.startswith(("rerank", "fetch"))
            )
            milliseconds.append(1000 * (wall - outcome.seconds.get("encode", 0.0) - later))
            rerank.append(1000 * later)
            fused[id] = [row[item.id] for item in outcome.fused[:k]]
            reranked[id] = [row[passage] for passage, _ in outcome.final[:k]]
        figures = {"build_seconds": built, "build_cpu": cpu, "ms": milliseconds, "rerank_ms": rerank}
        print(json.dumps({**figures, "mb": _peak() - before, "found": fused, "reranked": reranked}))


def _model(config: Config) -> DenseEncoder:
    """The preset's bi-encoder, whose vectors the peers get."""
    leg = next(leg for leg in config.legs if isinstance(leg, DenseLeg))
    return DenseEncoder(leg, config.compute)


def _vectors(encoder: Remembering, texts: Sequence[str]) -> Matrix:
    """Of all texts, (n, dim), with their token vectors kept for the index: encoding is not its time."""
    parts = [
        encoder.encode_documents([EmbedText(text) for text in texts[first : first + _BATCH]], _BOTH).dense
        for first in tqdm(range(0, len(texts), _BATCH), disable=not sys.stderr.isatty(), desc="Encoding")
    ]
    return np.concatenate([part for part in parts if part is not None])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
