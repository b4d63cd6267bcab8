"""How relevant hits are, on a scale from 0 to 1 that holds from one query to the next."""

from __future__ import annotations

from collections.abc import Sequence

from rag_plugins.errors import BadInput
from rag_plugins.faces.legs import dense_leg
from rag_plugins.filters import where
from rag_plugins.index import RagIndex
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.types import Hit

__all__ = ["cosine_leg", "leg_score", "relevance"]


def relevance(index: RagIndex, query: str, hits: Sequence[Hit]) -> list[float]:
    """Of each hit, 0 to 1: fused scores say only which of one search is the best, so they are none of it.

    The probability of the last rerank stage where that is calibrated, 0 for what it did not read. Else the
    cosine of query and passage by the first dense leg, at least 0, also for what other legs have found.
    Their order need not be that of the hits. Raises `BadInput` where there is neither.
    """
    stages = index.config.rerank
    if stages and stages[-1].calibration:
        return [_probability(hit) for hit in hits]
    leg = cosine_leg(index)
    cosines = {hit.passage.id: cosine for hit in hits if (cosine := leg_score(hit, leg)) is not None}
    if unknown := [hit.passage.doc_id for hit in hits if hit.passage.id not in cosines]:
        cosines = _cosines(index, query, leg, unknown) | cosines
    return [min(max(cosines.get(hit.passage.id, 0.0), 0.0), 1.0) for hit in hits]


def cosine_leg(index: RagIndex) -> str:
    """The name of the first dense leg of texts. Raises `BadInput` where there is none."""
    leg = dense_leg(index)
    if leg is None:
        raise BadInput(
            f"the legs are {list(index.legs)}: this needs a dense one, which gives cosines; relevance from 0 "
            "to 1 may also be that of a last rerank stage with `calibration`"
        )
    return leg.name


def leg_score(hit: Hit, leg: str) -> float | None:
    """What a leg itself gave to a hit; None where it did not find it."""
    return next((each.score for each in hit.trace if each.kind == "leg" and each.stage == leg), None)


def _probability(hit: Hit) -> float:
    stage = hit.trace[-1] if hit.trace else None
    return stage.probability or 0.0 if stage and stage.kind == "rerank" else 0.0


def _cosines(index: RagIndex, query: str, leg: str, documents: Sequence[str]) -> dict[str, float]:
    """By passage id, of all passages of these documents that have a vector."""
    within = where("doc_id").is_in(list(dict.fromkeys(documents)))
    return dict(index.run(query, 1, filter=within, legs=[leg], depth=MAX_HITS, exact=True).rankings[leg])
