"""What somebody judged of the documents of a collection."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rag_plugins.errors import BadInput
from rag_plugins.fusion import FEWEST

__all__ = ["judgements"]


def judgements(
    queries: Mapping[str, str], relevant: Mapping[str, Mapping[str, int]], documents: Collection[str]
) -> dict[str, dict[str, int]]:
    """By query the grades of relevant documents that there are; queries without one are left out.

    Raises `BadInput` where too few are left to learn from.
    """
    asked = {id: grades for id, grades in relevant.items() if queries.get(id, "").strip()}
    here = {id: _grades(grades, documents) for id, grades in asked.items()}
    judged = {id: grades for id, grades in here.items() if grades}
    if len(judged) < FEWEST:
        raise BadInput(
            f"queries with a relevant document in the collection: {len(judged)}; weights are learned from "
            f"{FEWEST} at least. Give more judged queries{_missed(asked, documents)}"
        )
    return judged


def _grades(grades: Mapping[str, int], documents: Collection[str]) -> dict[str, int]:
    return {document: grade for document, grade in grades.items() if grade > 0 and document in documents}


def _missed(asked: Mapping[str, Mapping[str, int]], documents: Collection[str]) -> str:
    """Where documents are named that there are not, one of each: they may be named otherwise."""
    absent = sorted({document for grades in asked.values() for document in grades}.difference(documents))
    if not absent or not documents:
        return ""
    return f"; {len(absent)} documents are not there, such as {absent[0]!r}: it has {min(documents)!r}"
