"""What a search asks for, beside its queries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeAlias, get_args

from rag_plugins.config import FusionConfig, Mode
from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.legs.given import Given
from rag_plugins.lexical.rules import Query, has_rules
from rag_plugins.models.protocols import Leg
from rag_plugins.store.schema import MAX_HITS

__all__ = ["LegChoice", "Wanted", "chosen", "depth_of"]

LegChoice: TypeAlias = Sequence[str] | Mapping[str, float]
"""Legs by name; a mapping has their weights too, which are those of min-max scores."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many hits, of what, found by which legs: see `RagIndex.search`.

    `weights` are of the queries. `depth` is the hits a leg may give, by default what the configuration says.
    `exact` searches dense legs without their funnel.
    """

    k: int = 5
    filter: Filter | None = None
    legs: LegChoice | None = None
    mode: Mode | None = None
    vectors: Given = field(default_factory=dict[str, Any])
    group_by: str | None = None
    weights: Sequence[float] | None = None
    depth: int | None = None
    exact: bool = False


def depth_of(wanted: Wanted, config: FusionConfig) -> int:
    """Hits a leg. Raises `BadInput` for a k that no engine gives."""
    if not 1 <= wanted.k <= MAX_HITS:
        raise BadInput(f"k is {wanted.k}: expected 1 to {MAX_HITS}")
    return wanted.depth or config.depth or min(max(4 * wanted.k, 100), MAX_HITS)


def chosen(
    known: Mapping[str, Leg],
    given: LegChoice | None,
    mode: Mode,
    literal: Collection[str],
    queries: Sequence[str | Query],
) -> list[Leg]:
    """The legs to run, all of `known` by default. Raises `BadInput` where these cannot be run.

    `literal` names the legs that look for what stands in a query with recall rules.
    """
    unknown = [name for name in given or () if name not in known]
    if unknown:
        raise BadInput(f"unknown legs {unknown}: this collection has {list(known)}")
    if given is not None and not given:
        raise BadInput(f"legs is empty: name some of {list(known)}, or pass None for all")
    legs = _of_mode(mode, [known[name] for name in dict.fromkeys(given or known)])
    if isinstance(given, Mapping):
        legs = [replace(leg, weight=_weight(leg.name, given)) for leg in legs]
    if not any(leg.name in literal for leg in legs) and any(map(has_rules, queries)):
        raise BadInput(
            f"the query has recall rules, and none of the legs {[leg.name for leg in legs]} is BM25"
        )
    # A leg with weight zero cannot change the ranking, so it is not run.
    return [leg for leg in legs if leg.weight != 0] or legs


def _weight(leg: str, weights: Mapping[str, float]) -> float:
    if not 0.0 <= weights[leg] < inf:
        raise BadInput(f"weight {weights[leg]} of leg {leg}: expected a number of at least 0")
    return weights[leg]


def _of_mode(mode: Mode, legs: Sequence[Leg]) -> list[Leg]:
    """Those of the legs that the mode runs. Raises `BadInput` where it asks for one that is not there."""
    if mode not in get_args(Mode):
        raise BadInput(f"mode {mode!r}: expected one of {list(get_args(Mode))}")
    kept = [leg for leg in legs if mode != "text" or leg.reads == "text"]
    if not kept or (mode == "dual" and all(leg.reads == "text" for leg in kept)):
        reads = {leg.name: leg.reads for leg in legs}
        wanted = "a leg that reads images" if mode == "dual" else "a leg that reads text"
        raise BadInput(f"mode {mode!r} needs {wanted}, and the legs read {reads}")
    return kept
