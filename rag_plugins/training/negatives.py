"""Hard negatives: what the collection's own retriever takes for an answer, and is none.

What it ranks high may be an answer that nobody has marked. Guards leave out what is likely to be one:
passages of the positive's own document, the nearly same text, and what scores nearly as well as the positive
(positive-aware mining, arXiv:2407.15831).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rapidfuzz import fuzz
from tqdm import tqdm

from rag_plugins.index import RagIndex
from rag_plugins.training.pairs import Pair
from rag_plugins.types import Hit, embed_text

__all__ = ["Guards", "Mined", "mine"]


@dataclass(frozen=True, slots=True)
class Guards:
    """What keeps answers out of the negatives.

    `margin`: a negative scores at most this share of what the positive does. `alike`: texts that have this
    share of their characters in common are the same. `skip`: so many of the best are passed over; `depth`: so
    many are looked at.
    """

    margin: float = 0.95
    alike: float = 0.9
    skip: int = 0
    depth: int = 50


@dataclass(frozen=True, slots=True)
class Mined:
    """Pairs with their negatives, and how many candidates each guard left out."""

    pairs: tuple[Pair, ...]
    of_the_document: int
    the_same: int
    too_good: int
    without: int


def mine(
    index: RagIndex, pairs: Sequence[Pair], count: int, guards: Guards = Guards(), *, progress: bool = False
) -> Mined:
    """`count` negatives for each pair at most, hardest first, then those that it has.

    Where the positive and all of these were found, `taught` has their scores: the pipeline's, fused and
    reranked as it is configured. Of a query's positives the best is the measure of what is too good, and
    where none was found, the best hit.
    """
    left = Counter[str]()
    of_query: dict[str, list[Pair]] = {}
    for pair in pairs:
        of_query.setdefault(pair.query, []).append(pair)
    mined: list[Pair] = []
    for query, known in tqdm(of_query.items(), desc="Mining negatives", disable=not progress):
        found = [
            (hit, view.text)
            for hit in index.search(query, guards.depth)
            if (view := embed_text(hit.passage.views))
        ]
        mined += _mined(found, known, count, guards, left)
    return Mined(
        tuple(mined), left["document"], left["same"], left["good"], sum(not pair.negatives for pair in mined)
    )


def _mined(
    found: Sequence[tuple[Hit, str]], known: Sequence[Pair], count: int, guards: Guards, left: Counter[str]
) -> list[Pair]:
    """The pairs of one query with their negatives."""
    groups = {pair.group for pair in known if pair.group}
    score_of = {pair: _score(found, pair, guards) for pair in known}
    best = max((score for score in score_of.values() if score is not None), default=None)
    best = max((hit.score for hit, _ in found), default=0.0) if best is None else best
    limit = best - (1 - guards.margin) * abs(best)  # Rerankers score below 0, too.
    negatives: dict[str, float] = {}
    for place, (hit, text) in enumerate(found):
        if any(_alike(text, pair.positive, guards.alike) for pair in known):
            left["same"] += 1
        elif groups & {hit.passage.doc_id, hit.passage.caller_id or ""}:
            left["document"] += 1
        elif hit.score > limit:
            left["good"] += 1
        elif place >= guards.skip and len(negatives) < count:
            negatives.setdefault(text, hit.score)
    return [_joined(pair, negatives, score_of[pair], count) for pair in known]


def _score(found: Sequence[tuple[Hit, str]], pair: Pair, guards: Guards) -> float | None:
    return next((hit.score for hit, text in found if _alike(text, pair.positive, guards.alike)), None)


def _joined(pair: Pair, negatives: Mapping[str, float], score: float | None, count: int) -> Pair:
    texts = tuple(dict.fromkeys([*negatives, *pair.negatives]))[:count]
    if not negatives:
        return replace(pair, negatives=texts, taught=pair.taught[: len(texts) + 1])
    scores = (score, *(negatives.get(text) for text in texts))
    taught = tuple(each for each in scores if each is not None)
    return replace(pair, negatives=texts, taught=taught if len(taught) == len(scores) else ())


def _alike(one: str, other: str, share: float) -> bool:
    return one == other or fuzz.ratio(one, other, score_cutoff=100 * share) > 0
