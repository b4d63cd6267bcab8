"""Funnels that a dense leg could be searched by: what each finds for judged queries, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from rag_plugins.config import LegConfig, VectorLeg
from rag_plugins.evaluation.funnels import FunnelRankings, measured_funnels
from rag_plugins.evaluation.tuning.space import FunnelSetting
from rag_plugins.funnel import Funnel
from rag_plugins.funnel.trials import cost
from rag_plugins.fusion import Ranking
from rag_plugins.index import RagIndex

__all__ = ["LegFunnels", "leg_funnels"]

_RECALLS = (0.9, 0.95, 0.99, 0.999)
"""The cheapest funnel that finds such a share of the exact search's best 10 is one to choose from."""


class LegFunnels:
    """One leg's. `choices` begin with what is set; the exact search is one, and a few funnels."""

    def __init__(self, index: RagIndex, leg: VectorLeg, queries: Mapping[str, str]) -> None:
        """Measure funnels on the queries, by id. The collection has one, or `leg_funnels` had none."""
        prefixes = index.store.prefixes(leg.name)
        assert prefixes is not None  # noqa: S101
        tuning = measured_funnels(index, leg.name, prefixes.rotation, list(queries.values()))
        self._present = leg.funnel
        self._exact = Funnel([(tuning.dim,)])
        self._shape = (tuning.rows, tuning.dim)
        self._in_use = cost(prefixes.funnel, *self._shape)
        self._rankings = FunnelRankings(index, leg.name, prefixes.rotation, list(queries.values()))
        self._numbers = {id: number for number, id in enumerate(queries)}
        self._found: dict[tuple[Funnel, int], list[Ranking]] = {}
        good = [[trial for trial in tuning.trials if trial.recall >= recall] for recall in _RECALLS]
        cheapest = [min(trials, key=lambda trial: trial.cost).funnel for trials in good if trials]
        others = [funnel for funnel in cheapest if funnel != prefixes.funnel]
        self.choices: tuple[FunnelSetting, ...] = tuple(dict.fromkeys([leg.funnel, "off", *others]))

    def ranking(self, setting: FunnelSetting, query: str, depth: int) -> Ranking | None:
        """What it finds for a query; None where it is the setting that is recorded anyhow."""
        if setting == self._present:
            return None
        key = (self._funnel(setting), depth)
        if key not in self._found:
            self._found[key] = self._rankings.by_stage(*key)[-1]
        return self._found[key][self._numbers[query]]

    def share(self, setting: FunnelSetting) -> float:
        """What a search costs, as a share of what one costs now."""
        if setting == self._present:
            return 1.0
        return cost(self._funnel(setting), *self._shape) / self._in_use

    def _funnel(self, setting: FunnelSetting) -> Funnel:
        return setting if isinstance(setting, Funnel) else self._exact


def leg_funnels(index: RagIndex, leg: LegConfig, queries: Mapping[str, str]) -> LegFunnels | None:
    """None where there is nothing to choose: no funnel is in use, or a server has settled its widths."""
    if not isinstance(leg, VectorLeg) or index.store.prefix_fields.widths(leg.name) is not None:
        return None
    return LegFunnels(index, leg, queries) if index.store.prefixes(leg.name) else None
