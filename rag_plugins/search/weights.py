"""How much each leg counts for one query, and why: the user's weights, or what collection and query say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_plugins.fusion import Learned, shares
from rag_plugins.lexical.rules import Query, has_rules, words
from rag_plugins.models.protocols import Leg, TokenModel

__all__ = ["LegWeight", "adapted", "fixed", "plain"]

_UNRULED = 0.5
"""Weight of legs that cannot look for what stands literally in a query with recall rules."""


@dataclass(frozen=True, slots=True)
class LegWeight:
    """A leg's weight for one query, 0 where it is not run, and the reason in words."""

    value: float
    why: str


def fixed(legs: Sequence[Leg]) -> bool:
    """Whether the user has weighed them: by any weight above 0, those without one counting as 1."""
    return any(leg.weight for leg in legs)


def plain(legs: Sequence[Leg]) -> dict[str, LegWeight]:
    """The user's weights as shares of their sum, equal ones by default."""
    why = "weight set in the configuration" if fixed(legs) else "equal weights"
    given = shares({leg.name: 1.0 if leg.weight is None else leg.weight for leg in legs})
    return {name: LegWeight(share, why) for name, share in given.items()}


def adapted(query: str | Query, leg: Leg, learned: Learned, literal: bool, named: bool) -> LegWeight:
    """What the collection has told of the leg, times how much of the query it can read.

    A `literal` leg looks for what stands in a query with recall rules. One that the user `named` is run
    whatever was learned.
    """
    worth = learned.legs[leg.name]
    weight = worth.weight or float(named)
    why = [f"finds {worth.alone:.2f} alone, the others {worth.without:.2f} ({learned.source})"]
    if has_rules(query) and not literal:
        weight *= _UNRULED
        why.append("cannot read the rules of the query")
    if weight and not literal and (unread := _unread(leg, words(query))):
        weight *= max(0.0, 1.0 - 2.0 * unread)
        why.append(f"{unread:.0%} of the query is unknown to its model")
    return LegWeight(weight, "; ".join(why))


def _unread(leg: Leg, text: str) -> float:
    """The share of the query's tokens that the leg's model has no entry for, 0 to 1.

    From half on its vector says nothing of the query: the weight is 0 there.
    """
    # Every vocabulary has these letters, and no query should wait for being cut into tokens twice.
    if text.isascii() or not isinstance(leg.encoder, TokenModel):
        return 0.0
    return leg.encoder.unread(text)
