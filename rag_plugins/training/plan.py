"""What a training will do and how long it takes on this machine, measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

from rag_plugins.errors import BadInput
from rag_plugins.index import RagIndex
from rag_plugins.training.judging import among
from rag_plugins.training.pairs import Pair, Pairs, split
from rag_plugins.training.running import seconds_a_step, steps
from rag_plugins.training.task import Task
from rag_plugins.types import JsonValue

__all__ = ["Plan", "mines", "parts", "plan"]

_DEV = 1000
"""Pairs that are kept from training at most: each evaluation on the way reads them all."""

_TIMED = 16
"""Texts that are encoded to see how long one takes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training will do. `negatives` are hard ones a query; `mined`: they are looked for first.

    Seconds are measured: a few steps forwards and backwards, a few texts encoded. Mining is not in them.
    """

    task: Task
    train: int
    dev: int
    negatives: float
    mined: bool
    widths: tuple[int, ...]
    steps: int
    step_seconds: float
    measuring_seconds: float
    bad: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Of the training, with what is measured before, on the way and after."""
        return self.steps * self.step_seconds + self.measuring_seconds

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "kind": self.task.kind,
            "from": self.task.model,
            "settings": self.task.settings.model_dump(mode="json"),
            "pairs": {"train": self.train, "dev": self.dev, "unread": len(self.bad)},
            "negatives": round(self.negatives, 2),
            "mined": self.mined,
            "widths": list(self.widths),
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
        }


def plan(task: Task, pairs: Pairs, index: RagIndex | None = None) -> Plan:
    """Open the model, time it, and say what `train` would do. Raises as `train` does; writes nothing."""
    settings = task.settings
    learned, dev = parts(task, pairs)
    mined = mines(task, pairs, index)
    if mined or settings.teacher:  # What is not known yet takes as long as anything else.
        texts = [pair.positive for pair in pairs.items]
        learned, dev = (_stood_in(part, texts, settings.negatives) for part in (learned, dev))
    model = task.open()
    job = task.job(model, learned, dev)
    texts = [pair.positive for pair in dev]
    read = sum(1 + len(pair.negatives) for pair in dev) * (settings.evaluations + 1)
    read += 2 * len(among(dev, pairs.corpus).corpus)
    return Plan(
        task=task,
        train=len(learned),
        dev=len(dev),
        negatives=sum(len(pair.negatives) for pair in learned) / len(learned),
        mined=mined,
        widths=task.widths(model) if task.kind == "dense" else (),
        steps=steps(settings, len(next(iter(job.rows.values())))),
        step_seconds=seconds_a_step(job, settings),
        measuring_seconds=read * _seconds_a_text(task, model, texts),
        bad=pairs.bad,
    )


def parts(task: Task, pairs: Pairs) -> tuple[list[Pair], list[Pair]]:
    """What is learned, and what is measured by, whose passages are in no way learned."""
    share = min(task.settings.dev, _DEV / len(pairs.items))
    learned, dev = split(pairs.items, share, task.settings.seed)
    if not learned or not dev:
        raise BadInput(
            f"{len(pairs.items)} pairs cannot be parted in some to learn from and some to measure by: "
            "expected two at least that share no query, passage or document"
        )
    kept = {pair.positive for pair in dev}
    return [_without(pair, kept) for pair in learned], dev


def _without(pair: Pair, texts: set[str]) -> Pair:
    if texts.isdisjoint(pair.negatives):
        return pair
    rest = [n for n, text in enumerate(pair.negatives) if text not in texts]
    scores = (pair.taught[0], *(pair.taught[n + 1] for n in rest)) if pair.taught else ()
    return replace(pair, negatives=tuple(pair.negatives[n] for n in rest), taught=scores)


def mines(task: Task, pairs: Pairs, index: RagIndex | None) -> bool:
    """Whether negatives are looked for: where there is a collection, or the loss cannot do without."""
    settings = task.settings
    if settings.loss == "cosent" or not settings.negatives:
        return False
    needed = task.kind == "reranker" or settings.loss == "margin-mse"
    return index is not None or (needed and not any(pair.negatives for pair in pairs.items))


def _stood_in(pairs: Sequence[Pair], texts: Sequence[str], count: int) -> list[Pair]:
    """With texts for negatives that are not known yet, and scores for them."""
    others = cycle(texts)
    return [
        replace(
            pair,
            negatives=tuple(next(others) for _ in range(count)),
            taught=(1.0, *[0.0] * count),
        )
        for pair in pairs
    ]


def _seconds_a_text(task: Task, model: Any, texts: Sequence[str]) -> float:
    texts = [*texts[:_TIMED]]
    start = time.perf_counter()
    if task.kind == "reranker":
        model.predict([(text, text) for text in texts], show_progress_bar=False)
    else:
        model.encode(texts, show_progress_bar=False)
    return (time.perf_counter() - start) / len(texts)
