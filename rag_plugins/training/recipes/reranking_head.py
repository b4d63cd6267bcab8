"""The head of late interaction over token vectors of all-MiniLM-L6-v2: how much each kind of match counts.

    python -m rag_plugins.training.recipes.reranking_head --data FOLDER --into FOLDER

Stories, commands and medical answers (`train-pairs`: FairytaleQA, tldr-pages, MedQuAD) are indexed by the
preset `local`, and asked questions of theirs: none that is one of an evaluation set. What fusion finds is
learned from. The collections stay in FOLDER, so that a second run has only to ask.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag_plugins.config import Config, LateInteractionConfig
from rag_plugins.errors import require
from rag_plugins.evaluation.filling import fill
from rag_plugins.index import RagIndex
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.rerank.matching import FEATURES, MatchHead
from rag_plugins.search.cascade import Shortlist
from rag_plugins.training.recipes.listwise import Candidates, fit
from rag_plugins.training.recipes.open_pairs import measured_on, plain, read_lines

__all__ = ["DOMAINS", "NAME", "Questions", "asked", "main", "questions", "written"]

NAME = "all-MiniLM-L6-v2-matching"

DOMAINS: Mapping[str, int] = {"fairytale": 1, "tldr-en": 3, "medquad": 2}
"""The beginning of a source's name, and of how many blocks of its passages one is taken."""

_BLOCK = 100
_ASKED = 1000
_DEPTH = 25


@dataclass(frozen=True, slots=True)
class Questions:
    """Passages by id, and for each question the ids of those that answer it."""

    passages: dict[str, str]
    answers: dict[str, set[str]]


def questions(lines: Sequence[Mapping[str, str]], every: int, without: set[str]) -> Questions:
    """Of one domain, drawn with a fixed seed; one passage an id, and the questions that have this very one.

    Passages come in blocks of neighbours, every so-manieth: what is near stays together, and is hard to tell
    apart. `without`: plain questions that are left out.
    """
    ids = sorted({line["doc_id"] for line in lines})
    kept = {id for n, id in enumerate(ids) if n // _BLOCK % every == 0}
    drawn = [line for line in lines if line["doc_id"] in kept]
    random.Random(0).shuffle(drawn)
    passages: dict[str, str] = {}
    answers: dict[str, set[str]] = {}
    for line in drawn:
        text = passages.setdefault(line["doc_id"], line["positive"])
        if text == line["positive"] and plain(line["query"]) not in without:
            answers.setdefault(line["query"], set()).add(line["doc_id"])
    return Questions(passages, dict(list(answers.items())[:_ASKED]))


def asked(domain: Questions, path: Path) -> list[Candidates]:
    """The domain as a collection at `path`, and what each question finds there."""
    config = Config(rerank=(LateInteractionConfig(head=False, depth=_DEPTH),))
    with RagIndex.open(path, config=config) as index:
        if index.store.count() < len(domain.passages):
            fill(index, domain.passages, chunked=False, progress=True)
        return [
            found
            for query, answers in domain.answers.items()
            if (found := _candidates(index, query, answers)) is not None
        ]


def _candidates(index: RagIndex, query: str, answers: set[str]) -> Candidates | None:
    (stage,) = index.parts.stages
    reranker = stage.reranker
    assert isinstance(reranker, LateInteractionReranker)  # noqa: S101
    head = [(item.id, item.score) for item in index.run(query, 100, depth=100).fused[:_DEPTH]]
    if not head:
        return None
    ids = [id for id, _ in head]
    read = Shortlist(index.store).read(ids, stage)
    documents = {id: passage.caller_id for id, passage in index.store.fetch(ids).items()}
    return Candidates(
        np.array([score for _, score in head], np.float32),
        reranker.features(query, [read[id] for id in ids]),
        np.array([documents[id] in answers for id in ids], np.float32),
    )


def written(head: MatchHead, into: Path) -> Path:
    """The folder with the weights, in single precision."""
    safetensors = require("safetensors.numpy", "training")
    folder = into / NAME
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"weights": head.weights, "bias": np.array(head.bias, np.float32)}
    about = {"features": "; ".join(FEATURES), "base_model": "all-MiniLM-L6-v2", "license": "CC-BY-4.0"}
    safetensors.save_file(tensors, folder / "model.safetensors", metadata=about)
    return folder


def main(arguments: Sequence[str] | None = None) -> Path:
    """Learn and write the head; see the module's head for how to call it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="has train-pairs and the evaluation sets")
    parser.add_argument("--into", type=Path, required=True)
    options = parser.parse_args(arguments)
    lines = list(read_lines(options.data))
    measured = measured_on(options.data)
    options.into.mkdir(parents=True, exist_ok=True)
    lists = [
        asked(
            questions([line for line in lines if line["source"].startswith(source)], every, measured),
            options.into / f"{source}.db",
        )
        for source, every in DOMAINS.items()
    ]
    return written(fit(lists), options.into)


if __name__ == "__main__":
    main()
