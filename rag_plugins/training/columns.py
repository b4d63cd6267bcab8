"""Pairs as the columns that sentence-transformers' losses read, and as what its evaluators search."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from rag_plugins.errors import BadInput, require
from rag_plugins.training.pairs import Pair

__all__ = ["Teacher", "columns", "filled", "information_retrieval", "labelled", "listed", "margins", "taught"]

Columns = dict[str, list[Any]]

Teacher: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""Scores of passages for a query, the higher the better."""


def columns(pairs: Sequence[Pair], loss: str, negatives: int) -> Columns:
    """Of a loss over vectors: `query`, `positive`, `negative_1` … and, where one is learned, `label`.

    Queries without enough negatives of their own take passages of others; where not even these are enough, a
    pair is left out. Raises `BadInput` where the loss needs scores or negatives that the pairs have not.
    """
    if loss == "margin-mse":
        return margins(pairs, max(negatives, 1))
    if loss == "cosent":
        if any(pair.score is None for pair in pairs):
            raise BadInput("loss cosent: expected a score, how similar its two texts are, with every pair")
        return {
            "query": [pair.query for pair in pairs],
            "positive": [pair.positive for pair in pairs],
            "label": [float(pair.score or 0.0) for pair in pairs],
        }
    count = negatives if any(pair.negatives for pair in pairs) else 0
    enough = [pair for pair in filled(pairs, count) if len(pair.negatives) >= count]
    if not enough:
        raise BadInput(f"no pair has {count} negatives, and the others' passages do not do: lower negatives")
    return _columns(enough, count)


def _columns(pairs: Sequence[Pair], negatives: int) -> Columns:
    made: Columns = {"query": [pair.query for pair in pairs], "positive": [pair.positive for pair in pairs]}
    for place in range(negatives):
        made[f"negative_{place + 1}"] = [pair.negatives[place] for pair in pairs]
    return made


def margins(pairs: Sequence[Pair], negatives: int) -> Columns:
    """Of a loss over a teacher's margins: the columns, and `label`, (negatives,) margins a query.

    Pairs with fewer negatives are left out. Raises `BadInput` where none is left, or a teacher has not
    scored one.
    """
    enough = [pair for pair in pairs if len(pair.negatives) >= negatives]
    if not enough:
        raise BadInput(f"loss margin-mse: expected {negatives} negatives of a query, no pair has so many")
    if untaught := [pair.query for pair in enough if len(pair.taught) <= negatives]:
        raise BadInput(
            f"loss margin-mse: expected a teacher's scores of each passage; {len(untaught)} queries have "
            f"none, such as {untaught[0]!r:.80}: name a teacher, or mine negatives, which scores them"
        )
    made = _columns(enough, negatives)
    made["label"] = [[pair.taught[0] - score for score in pair.taught[1 : negatives + 1]] for pair in enough]
    return made


def taught(pairs: Sequence[Pair], teacher: Teacher) -> list[Pair]:
    """With the teacher's scores in place of those that there are."""
    return [
        replace(pair, taught=tuple(teacher(pair.query, [pair.positive, *pair.negatives]))) for pair in pairs
    ]


_DRAWN = 32
"""Passages of others, at least, among which a pair's missing negatives are looked for."""


def filled(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """With `count` negatives each where it can be: what lacks is drawn from other pairs' passages.

    None answers the query as far as is known, or is of a pair of its group.
    """
    draw = random.Random(0)
    pool = list(dict.fromkeys((p.group, text) for p in pairs for text in (p.positive, *p.negatives)))
    answers: dict[str, set[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.query, set()).add(pair.positive)
    return [
        pair
        if len(pair.negatives) >= count
        else _filled(pair, count, answers[pair.query], draw.sample(pool, min(len(pool), _DRAWN + count)))
        for pair in pairs
    ]


def _filled(pair: Pair, count: int, answers: set[str], drawn: Sequence[tuple[str, str]]) -> Pair:
    others = [
        text
        for group, text in drawn
        if text not in answers and text not in pair.negatives and not (group and group == pair.group)
    ]
    missing = list(dict.fromkeys(others))[: count - len(pair.negatives)]
    return replace(pair, negatives=(*pair.negatives, *missing), taught=())


def labelled(pairs: Sequence[Pair], negatives: int) -> Columns:
    """Of a loss over single pairs: `query`, `passage`, `label` 1 or 0."""
    rows = [(pair.query, text, label) for pair in pairs for text, label in _passages(pair, negatives)]
    return {name: [row[n] for row in rows] for n, name in enumerate(("query", "passage", "label"))}


def listed(pairs: Sequence[Pair], negatives: int, sure: float) -> Columns:
    """Of a loss over a query's passages together: `query`, `passages`, `labels` `sure` or 0."""
    lists = [_passages(pair, negatives) for pair in pairs]
    return {
        "query": [pair.query for pair in pairs],
        "passages": [[text for text, _ in passages] for passages in lists],
        "labels": [[sure * label for _, label in passages] for passages in lists],
    }


def _passages(pair: Pair, negatives: int) -> list[tuple[str, float]]:
    return [(pair.positive, 1.0), *((text, 0.0) for text in pair.negatives[:negatives])]


def information_retrieval(dev: Sequence[Pair]) -> Any:
    """Queries of the dev part over its passages, positives and negatives: nDCG@10."""
    texts = dict.fromkeys(text for pair in dev for text in (pair.positive, *pair.negatives))
    number = {text: f"d{n}" for n, text in enumerate(texts)}
    queries: dict[str, str] = {}
    relevant: dict[str, set[str]] = {}
    ids: Mapping[str, str] = {query: f"q{n}" for n, query in enumerate(dict.fromkeys(p.query for p in dev))}
    for pair in dev:
        queries[ids[pair.query]] = pair.query
        relevant.setdefault(ids[pair.query], set()).add(number[pair.positive])
    corpus = {id: text for text, id in number.items()}
    evaluation: Any = require("sentence_transformers.sparse_encoder.evaluation", "training")
    made = evaluation.SparseInformationRetrievalEvaluator
    return made(queries, corpus, relevant, name="dev", ndcg_at_k=[10], show_progress_bar=False)
