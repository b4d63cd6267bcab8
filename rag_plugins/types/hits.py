"""What a search gives: passages that were found, and how they came there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.types.passages import Passage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Assets", "Hit", "Hits", "StageScore", "TermMatch"]


@dataclass(frozen=True, slots=True)
class StageScore:
    """What one stage of the search made of a hit.

    A leg that searches in two passes has a "shortlist", its first pass, beside its "leg", the last.
    `rank` counts from 1 within the stage, `score` is the stage's own (higher is better). `weight` is a leg's
    weight in fusion or a reranker's share of the blend, `part` what it added to the score of fusion or blend.
    A reranker's `probability` is its score calibrated. Where it did not read a passage as a whole at once, it
    read `read` of its `tokens`, in so many `windows`.

    Where several queries were searched, `query` is the one that the stage read, "queries" the fusion of what
    they found, and the `weight` and `part` of a query's own "fusion" are those that it had in that.

    `why` is the reason for a leg's weight. A leg that was not worth running is "left out": rank, score and
    weight 0.
    """

    stage: str
    kind: Literal["shortlist", "leg", "left out", "fusion", "queries", "rerank"]
    rank: int
    score: float
    weight: float | None = None
    part: float | None = None
    probability: float | None = None
    read: int | None = None
    tokens: int | None = None
    windows: int | None = None
    query: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class TermMatch:
    """A term that query and passage share in a sparse leg; its part of the leg's score is the product.

    `expanded`: the model added it, to the query or to the passage; it stands in neither literally.
    `rule`: the recall rule that it matched, as written; None for a plain word. `query`: the one that has it,
    where several were searched.
    """

    term: str
    query_weight: float
    document_weight: float
    expanded: bool = False
    rule: str | None = None
    query: str | None = None

    @property
    def score(self) -> float:
        """Query weight x document weight."""
        return self.query_weight * self.document_weight


class Assets(Protocol):
    """Where images are kept, by content id."""

    def get(self, asset: str) -> bytes:
        """The bytes of an id. Raises `BadInput` for what is no id, `StoreError` where absent or damaged."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found, its final score (higher is better), and how it came there.

    `terms` has, for every sparse leg, what query and passage share, strongest first: filled where the
    search was asked to explain itself. `assets` is where the page's image is.
    """

    passage: Passage
    score: float
    trace: tuple[StageScore, ...] = ()
    terms: Mapping[str, tuple[TermMatch, ...]] = field(default_factory=dict[str, "tuple[TermMatch, ...]"])
    assets: Assets | None = field(default=None, repr=False, compare=False)

    def page_image(self) -> Image | None:
        """The image of the page by Pillow, RGB, upright; None where there is none.

        Raises `BadInput` for a hit that no index gave, `StoreError` where the image is absent or damaged.
        """
        from rag_plugins.pictures import page_image

        asset = self.passage.cite(0, 0).page_image
        if asset is None:
            return None
        if self.assets is None:
            raise BadInput("got a hit without its assets, expected one of RagIndex.search: search again")
        image = page_image(self.assets.get(asset))
        if image is None:
            raise StoreError(f"asset {asset} is no image that can be decoded: ingest its document again")
        return image


class Hits(list[Hit]):
    """Hits, best first, and what the search has to say about itself: a rule that was cut short, for one."""

    def __init__(self, hits: Iterable[Hit] = (), notices: Iterable[str] = ()) -> None:
        super().__init__(hits)
        self.notices: tuple[str, ...] = tuple(notices)
