"""A whole pipeline tuned by judged queries: towards a measure, within a time, checked on queries held back.

Searches are recorded once; what another configuration would have ranked follows from that, so that hundreds
are tried in minutes (optuna's tree-structured Parzen estimator: Bergstra et al. 2011). Cross-validation over
the queries says what choosing among so many is worth; the part that was held back, searched for real before
and after, whether the gain is real. Where it is none, the configuration stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rag_plugins.config import Config, VectorLeg
from rag_plugins.errors import BadInput, require
from rag_plugins.evaluation.comparing import Difference, paired
from rag_plugins.evaluation.evaluating import Evaluation, evaluate
from rag_plugins.evaluation.judged import Judged
from rag_plugins.evaluation.measures import Measures, measure_each, named
from rag_plugins.evaluation.tuning.recordings import Recordings
from rag_plugins.evaluation.tuning.space import Setting, Space, changes, suggested
from rag_plugins.index import RagIndex
from rag_plugins.types import JsonValue

__all__ = ["Opener", "PipelineTuning", "Tried", "tune_pipeline"]

Opener: TypeAlias = Callable[[Config], AbstractContextManager[tuple[RagIndex, Judged]]]
"""What is tuned, opened under a configuration, with its judged queries: see `indexed`."""

FEWEST = 40
"""Judged queries, at least."""

_HELD_BACK = 0.3
_FOLDS = 5

_KEPT = 1.0
"""Standard errors below the best, within which the fusion that is set is kept."""

_ALIKE = 0.25
"""Standard errors below the best, within which the fastest is chosen.

With both, over 600 splits of cosqa-dev and squad-dev-A each, queries held back gain .008 and .010, at 1.2 and
1.4 times the time; the best alone, of trials that do not begin with the fusion that is set, .004 and .010 at
2.1 and 2.3 times.
"""

_FIRST = 3
"""One trial in so many begins with the fusion that is set."""

_AS_FAST = 1.1
"""Times the shortest: estimates are no more exact."""


Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tried:
    """A configuration that was tried: the measure on the queries tuned on, and milliseconds, estimated."""

    value: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class PipelineTuning:
    """What was found. `chosen` is the configuration to use, the one before where it was not `better`.

    `train` is of the queries that were tuned on, `held_back` of the others, both before and after;
    `cross_validated` is the gain that choosing has on queries that it has not seen. Milliseconds are medians
    of the queries held back.
    """

    measure: str
    before: Config
    chosen: Config
    found: tuple[Setting, ...]
    train: Difference
    cross_validated: float
    held_back: Difference
    ms_before: float
    ms_after: float
    budget_ms: float | None
    tried: tuple[Tried, ...]
    default: Tried
    why_not: str = ""

    @property
    def better(self) -> bool:
        """Whether what was found is used."""
        return not self.why_not

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "measure": self.measure,
            "better": self.better,
            "why_not": self.why_not,
            "found": {setting.name: [setting.before, setting.after] for setting in self.found},
            "train": self.train.to_json(),
            "cross_validated_gain": round(self.cross_validated, 6),
            "held_back": self.held_back.to_json(),
            "ms_before": round(self.ms_before, 2),
            "ms_after": round(self.ms_after, 2),
            "budget_ms": self.budget_ms,
            "tried": len(self.tried),
        }


def tune_pipeline(
    opened: Opener,
    config: Config,
    *,
    measure: str = "nDCG@10",
    budget_ms: float | None = None,
    trials: int = 200,
    bm25: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> PipelineTuning:
    """Look for settings under which a measure is better, within a time for a query where one is given.

    `bm25`: k1 and b, too, which a collection is made with. Raises `BadInput` below 40 judged queries, and
    `MissingExtra`.
    """
    measures = named([measure])
    (measure,) = measures
    require("optuna", "evaluation")
    with opened(config) as (index, judged):
        train, held = _split(judged, seed)
        recordings = Recordings(index, train, progress=progress)
        search = _Search(recordings, config, train, measures, budget_ms, bm25)
        search.run(trials, seed, progress)
        best, cross_validated = search.chosen(seed)
        before = evaluate(index, held, measures=measures, progress=progress)
        prefixes = {
            leg.name: index.store.prefixes(leg.name) for leg in config.legs if isinstance(leg, VectorLeg)
        }
    found = changes(config, best)
    if not found:
        return search.result(best, (), cross_validated, before, before, search.nothing)
    with opened(best) as (index, judged):
        _, held = _split(judged, seed)
        try:
            after = evaluate(index, held, measures=measures, progress=progress)
        finally:  # The configuration says how it is searched, once it is written.
            for leg, kept in prefixes.items():
                index.store.set_prefixes(leg, kept)
    return search.result(best, found, cross_validated, before, after)


def _split(judged: Judged, seed: int) -> tuple[Judged, Judged]:
    """Queries to tune on, and those that are held back."""
    ids = sorted(judged.qrels)
    if len(ids) < FEWEST:
        raise BadInput(f"{len(ids)} judged queries: a pipeline is tuned on {FEWEST} at least. Judge more")
    Random(seed).shuffle(ids)
    held = set(ids[: round(_HELD_BACK * len(ids))])
    return _part(judged, [id for id in judged.qrels if id not in held]), _part(judged, sorted(held))


def _part(judged: Judged, ids: Sequence[str]) -> Judged:
    # No answers: what becomes of them is not what is tuned.
    return replace(judged, qrels={id: judged.qrels[id] for id in ids}, answers={}, unheard=())


class _Search:
    """Trials, and the values of each query under them."""

    def __init__(
        self,
        recordings: Recordings,
        config: Config,
        judged: Judged,
        measures: Measures,
        budget_ms: float | None,
        bm25: bool,
    ) -> None:
        self._recordings = recordings
        self._config = config
        self._judged = judged
        self._measures = measures
        self._budget = budget_ms
        self._space = Space(recordings.learned is not None, bm25, recordings.funnels)
        self._configs: list[Config] = [config]
        self._values: list[Values] = [self._measured(config)]
        self._times: list[float] = [recordings.milliseconds(config)]

    def run(self, trials: int, seed: int, progress: bool) -> None:
        """Let the optimiser choose so many configurations."""
        optuna: Any = require("optuna", "evaluation")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        if self._config.fusion.method in self._space.methods:
            for _ in range(trials // _FIRST):
                study.enqueue_trial({"fusion": self._config.fusion.method})
        for _ in tqdm(range(trials), desc="Trying", disable=not progress):
            trial = study.ask()
            study.tell(trial, self._value(trial))

    def _value(self, trial: Any) -> float:
        config = suggested(trial, self._config, self._space)
        took = self._recordings.milliseconds(config)
        if self._budget and self._late(took):
            return -took / self._budget  # The longer, the worse; all worse than what keeps to it.
        values = self._measured(config)
        self._configs.append(config)
        self._values.append(values)
        self._times.append(took)
        return float(values.mean())

    def chosen(self, seed: int) -> tuple[Config, float]:
        """What to use by all queries tuned on; and what choosing gains on queries it has not seen."""
        values, queries = np.stack(self._values), len(self._values[0])
        fold = np.random.default_rng(seed).permutation(queries) % _FOLDS
        gains = np.zeros(queries)
        for number in range(_FOLDS):
            best = values[self._choice(values[:, fold != number])]
            gains[fold == number] = best[fold == number] - values[0, fold == number]
        self._best = self._choice(values)
        return self._configs[self._best], float(gains.mean())

    def _choice(self, values: Values) -> int:
        """Of those that hardly differ from the best: with the fusion that is set, then the fastest.

        What is set is no choice where it takes longer than allowed.
        """
        late = self._late(self._times[0]) and len(values) > 1
        means, times = values.mean(axis=1), np.array(self._times)
        same = np.array([config.fusion.method == self._config.fusion.method for config in self._configs])
        open = np.full(len(values), True)
        open[0] = not late
        better = open if late else means > means[0]
        best = int(np.where(open, means, -np.inf).argmax())
        if not better[best]:
            return best
        if len(kept := np.flatnonzero(same & better & _near(values, best, _KEPT))):
            best = int(kept[means[kept].argmax()])
            better &= same
        near = np.flatnonzero(better & _near(values, best, _ALIKE))
        fast = near[times[near] <= _AS_FAST * times[near].min()]
        return int(fast[means[fast].argmax()])

    @property
    def nothing(self) -> str:
        """Why there is nothing else to use."""
        late = self._late(self._times[0])
        return f"nothing takes {self._budget:g} ms or less" if late else "nothing better was found"

    def _late(self, milliseconds: float) -> bool:
        return self._budget is not None and milliseconds > self._budget

    def result(
        self,
        best: Config,
        found: tuple[Setting, ...],
        cross_validated: float,
        before: Evaluation,
        after: Evaluation,
        why_not: str = "",
    ) -> PipelineTuning:
        (name,) = self._measures
        queries = list(before.judged.qrels)
        held = paired(*([run.stages.final.each[name][id] for id in queries] for run in (before, after)))
        took_before, took = before.ms_per_query["total"], after.ms_per_query["total"]
        cheaper = self._late(self._times[0]) and took < took_before
        if found and (held.gain < 0 or (held.gain == 0 and not cheaper)):
            why_not = f"on the queries held back {name} is {held.after:.4f}, before {held.before:.4f}"
        elif self._late(took) and not cheaper:
            why_not = f"a query takes {took:.1f} ms, allowed are {self._budget:g}"
        tried = tuple(
            Tried(float(values.mean()), took) for values, took in zip(self._values, self._times, strict=True)
        )
        return PipelineTuning(
            measure=name,
            before=self._config,
            chosen=self._config if why_not else best,
            found=found,
            train=paired(self._values[0].tolist(), self._values[self._best].tolist()),
            cross_validated=cross_validated,
            held_back=held,
            ms_before=took_before,
            ms_after=took,
            budget_ms=self._budget,
            tried=tried,
            default=tried[0],
            why_not=why_not,
        )

    def _measured(self, config: Config) -> Values:
        run = self._recordings.run(config, self._recordings.queries)
        qrels: Mapping[str, Mapping[str, int]] = self._judged.qrels
        (each,) = measure_each(run, qrels, self._measures).values()
        return np.array([each[id] for id in self._recordings.queries])


def _near(values: Values, best: int, errors: float) -> NDArray[np.bool_]:
    """Which are at most so many standard errors, of the difference, below the best."""
    behind = values[best] - values
    error = behind.std(axis=1, ddof=1) / math.sqrt(values.shape[1])
    return behind.mean(axis=1) <= errors * error
