"""How much a rerank stage should count beside the ranking before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import BadInput
from rag_plugins.types import JsonValue

__all__ = ["SHARES", "Blend", "choose"]

SHARES = tuple(n / 10 for n in range(11))
"""The shares of the rerank score that are tried, beside the present one."""

_NOISE = 2.0
"""Standard errors that a gain has to exceed."""

_QUERIES = 20
"""The fewest queries that a share is chosen from."""

Values = NDArray[np.float64]
"""nDCG@10, shape (shares, queries)."""


@dataclass(frozen=True, slots=True)
class Blend:
    """nDCG@10 by share of the rerank score, and the share to take.

    `errors`: the standard error of each share's gain over the present one, query by query. `fresh_gain`: what
    choosing gains over staying on queries that were not chosen on, each half at the share of the other.
    """

    shares: tuple[float, ...]
    ndcg: tuple[float, ...]
    errors: tuple[float, ...]
    present: float
    chosen: float
    fresh_gain: float
    queries: int

    @classmethod
    def of(cls, shares: tuple[float, ...], values: Values, present: float) -> Blend:
        """Of values for each share and query; `present` is one of `shares`. Raises `BadInput`: too few."""
        queries = values.shape[1]
        if queries < _QUERIES:
            raise BadInput(
                f"queries with a relevant document in the collection: {queries}; a blend is chosen from "
                f"{_QUERIES} at least. Give more judged queries"
            )
        now = shares.index(present)
        return cls(
            shares=shares,
            ndcg=tuple(values.mean(1).tolist()),
            errors=tuple(_error(row - values[now]) for row in values),
            present=present,
            chosen=shares[choose(values, now)],
            fresh_gain=_fresh_gain(values, now),
            queries=queries,
        )

    def at(self, share: float) -> float:
        """nDCG@10 at one of the shares."""
        return self.ndcg[self.shares.index(share)]

    @property
    def gain(self) -> float:
        """Of the chosen share over the present one, on the queries that it was chosen on."""
        return self.at(self.chosen) - self.at(self.present)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        return {
            "queries": self.queries,
            "ndcg": {
                f"{share:g}": round(value, 4) for share, value in zip(self.shares, self.ndcg, strict=True)
            },
            "present": self.present,
            "chosen": self.chosen,
            "gain": round(self.gain, 4),
            "fresh_gain": round(self.fresh_gain, 4),
        }


def choose(values: Values, present: int) -> int:
    """The best row by its mean, where it is better than the present one by more than noise; else that one.

    Noise is two standard errors of the gain, query by query: a change has to be worth its risk.
    """
    best = int(values.mean(1).argmax())
    gain = values[best] - values[present]
    return best if gain.mean() > _NOISE * _error(gain) else present


def _error(gains: NDArray[np.float64]) -> float:
    return float(gains.std(ddof=1) / np.sqrt(len(gains)))


def _fresh_gain(values: Values, present: int) -> float:
    """The mean over all queries, those of each half at the share that the other half chose."""
    order = np.random.default_rng(0).permutation(values.shape[1])
    halves = order[::2], order[1::2]
    gains = [
        values[choose(values[:, chosen_on], present), other] - values[present, other]
        for chosen_on, other in (halves, halves[::-1])
    ]
    return float(np.concatenate(gains).mean())
