"""Rerank stages in turn, each over the head of the ranking that the one before it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag_plugins.errors import BadInput, QueryTooLong, StoreError
from rag_plugins.fusion import Ranking
from rag_plugins.models.protocols import Candidate
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.reranking import Reranked, Reranking, RerankStage, below, pruned, reranked
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import EmbedImage, View, embed_text

__all__ = ["Cascade", "Shortlist"]


class Cascade:
    """Any number of rerank stages over one store; with none, the ranking stays as it is."""

    def __init__(self, store: MilvusStore, stages: Sequence[RerankStage]) -> None:
        """Stages of one name are numbered, so that traces tell them apart."""
        self._store = store
        self._stages = dict(zip(_distinct([stage.reranker.name for stage in stages]), stages, strict=True))

    def run(self, query: str, k: int, outcome: Outcome) -> None:
        """Add to `outcome` the ranking after each stage, for a search that is to give `k` hits.

        A stage for which the query is too long leaves the ranking as it is, and a notice.
        """
        shortlist = Shortlist(self._store)
        for name, stage in self._stages.items():
            before, depth = outcome.final, stage.settings.depth
            with outcome.timed("fetch"):
                candidates = shortlist.read([id for id, _ in before[:depth]], stage)
            # A passage deleted by someone else since the legs ran is no longer a hit.
            head = [(id, score) for id, score in before[:depth] if id in candidates]
            about = {"rag_plugins.reranker": name, "rag_plugins.candidates": len(head)}
            try:
                with outcome.timed(self._clock(name), "rerank", about):
                    read = _read(stage, query, head, candidates, outcome)
            except QueryTooLong as error:
                items = [Reranked(id, score) for id, score in before]
                unjudged = "" if stage.settings.min_score is None else ", and its min_score with it"
                outcome.notices.append(f"{name} was skipped{unjudged}: {error}")
            else:
                items = _judged(name, stage, read + below(before[depth:]), k, outcome.notices)
            outcome.rerankings.append(Reranking(name, items))
        if shortlist.lost:
            first, count = next(iter(shortlist.lost.values())), len(shortlist.lost)
            outcome.notices.append(f"images that were not to be had: {count}; the first: {first}")

    def _clock(self, name: str) -> str:
        return "rerank" if len(self._stages) == 1 else f"rerank {name}"


def _distinct(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        same = sum(other == name for other in names[: len(made)])
        made.append(f"{name} #{same + 1}" if same else name)
    return made


def _read(
    stage: RerankStage,
    query: str,
    head: Ranking,
    candidates: Mapping[str, Candidate],
    outcome: Outcome,
) -> list[Reranked]:
    """The head after a stage; what it cannot read, as a page without text, it leaves where it is."""
    read = [id for id, _ in head if candidates[id].image or embed_text(candidates[id].views)]
    if not read:
        return [Reranked(id, score) for id, score in head]
    scores = stage.reranker.score(query, [candidates[id] for id in read])
    outcome.notices += scores.notices
    # Who reads images does not depend on the words.
    doubts = {} if stage.reranker.reads_images else outcome.confidences
    return reranked(head, scores, stage.settings, stage.reranker.scale, read, doubts)


def _judged(
    name: str, stage: RerankStage, items: list[Reranked], k: int, notices: list[str]
) -> list[Reranked]:
    if stage.settings.min_score is None:
        return items
    kept, said = pruned(items, stage.settings.min_score, name, k)
    notices += said
    return kept


def _nothing(_: str) -> None:
    """The image of a passage, for a reranker that reads none."""


class Shortlist:
    """What rerankers may read of passages; what several stages read is fetched once."""

    def __init__(self, store: MilvusStore) -> None:
        self._store = store
        self._views: dict[str, tuple[View, ...]] = {}
        self._tokens: dict[str, bytes] = {}
        self.lost: dict[str, str] = {}

    def read(self, ids: Sequence[str], stage: RerankStage) -> dict[str, Candidate]:
        """The candidates that are still stored."""
        self._views |= self._store.views([id for id in ids if id not in self._views])
        if stage.tokens:
            missing = [id for id in ids if id not in self._tokens]
            self._tokens |= self._store.fetch_tokens(stage.tokens, missing)
        image = self._image if stage.reranker.reads_images else _nothing
        return {
            id: Candidate(self._views[id], self._tokens.get(id), image(id)) for id in ids if id in self._views
        }

    def _image(self, id: str) -> bytes | None:
        """Of the first view that is an image; one that is lost is noted, and the passage read without it."""
        asset = next((view.asset for view in self._views[id] if isinstance(view, EmbedImage)), None)
        try:
            return self._store.assets.get(asset) if asset else None
        except (BadInput, StoreError) as error:
            self.lost[id] = str(error)
            return None
