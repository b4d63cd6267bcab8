"""Pairs out of a collection: its users' questions, each with the passage that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from rag_plugins.errors import BadInput
from rag_plugins.evaluation import Judged, Question, judge
from rag_plugins.evaluation.judged import unit_of
from rag_plugins.filters import all_of
from rag_plugins.index import RagIndex
from rag_plugins.training.pairs import Pair, Pairs
from rag_plugins.types import Passage, embed_text

__all__ = ["pairs_of_log"]

_DEPTH = 50


def pairs_of_log(index: RagIndex, log: Sequence[Question], *, progress: bool = False) -> Pairs:
    """Of questions or clicks, each with the document, page, passage or answer that it led to.

    The positive of a document or page is its passage that the pipeline finds best for the query. What is not
    in the collection is told in `bad`. Raises `BadInput` where nothing is left.
    """
    judged = judge(index, log)
    items: list[Pair] = []
    bad = [f"{judged.queries[id]!r:.80}: {why}" for id, why in judged.absent.items()]
    for id, grades in tqdm(judged.qrels.items(), desc="Reading the log", disable=not progress):
        wanted = {unit for unit, grade in grades.items() if grade > 0}
        found = _best(index, judged, id, wanted)
        if found is None:
            bad.append(f"{judged.queries[id]!r:.80}: no text of what answers it is found")
        else:
            items += [Pair(judged.queries[id], text, group=passage.doc_id) for passage, text in found]
    if not items:
        raise BadInput(
            f"no question of the log leads to a passage of the collection: {bad[0] if bad else ''}"
        )
    return Pairs(tuple(dict.fromkeys(items)), _texts(index), tuple(bad))


def _best(index: RagIndex, judged: Judged, id: str, wanted: set[str]) -> list[tuple[Passage, str]] | None:
    """The best passage of each thing that answers the query, by the pipeline; None without one."""
    query, unit = judged.queries[id], judged.unit[id]
    ranked = [hit.passage for hit in index.search(query, _DEPTH)]
    best: dict[str, tuple[Passage, str]] = {}
    for passage in ranked:
        if (it := unit_of(passage, unit)) in wanted and (view := embed_text(passage.views)):
            best.setdefault(it, (passage, view.text))
    for it in sorted(wanted - best.keys()):
        for passage in _inside(index, query, it, unit):
            if unit_of(passage, unit) == it and (view := embed_text(passage.views)):
                best.setdefault(it, (passage, view.text))
    return list(best.values()) or None


def _inside(index: RagIndex, query: str, it: str, unit: str) -> list[Passage]:
    if unit == "passage":
        return index.get([it])
    document = it.rpartition("#page=")[0] if unit == "page" and "#page=" in it else it
    return [hit.passage for hit in index.search(query, _DEPTH, filter=all_of({"doc_id": document}))]


def _texts(index: RagIndex) -> dict[str, str]:
    """By document and number: negatives and what the dev part is searched among."""
    found: dict[str, str] = {}
    for batch in index.store.scan():
        found |= {passage.id: view.text for passage in batch if (view := embed_text(passage.views))}
    return found
