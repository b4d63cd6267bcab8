"""What is tuned of a configuration, and between what bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from rag_plugins.config import Bm25Leg, Config, VectorLeg
from rag_plugins.funnel import Funnel

__all__ = ["FunnelSetting", "Setting", "Space", "changes", "suggested"]

Value: TypeAlias = str | int | float | None
FunnelSetting: TypeAlias = Funnel | Literal["auto", "halving", "off"]

_METHODS = ("minmax", "zscore", "dbsf", "rrf")
_DEPTHS = (30, 50, 100, 200)
_RRF = (10, 20, 40, 60, 100)
_RERANKED = (10, 15, 25, 40, 60, 100)


class _Trial(Protocol):
    """An optuna trial."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...

    def suggest_float(self, name: str, low: float, high: float, *, step: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a configuration, before and after."""

    name: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class Space:
    """What may be tuned beside weights, depths and blends.

    `adaptive`: the collection has learned how its legs are fused. `bm25`: k1 and b may be changed, which are
    part of the rows. `funnels`: those that a leg may be searched by.
    """

    adaptive: bool
    bm25: bool
    funnels: Mapping[str, Sequence[FunnelSetting]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Of fusion."""
        return ("adaptive", *_METHODS) if self.adaptive else _METHODS


def suggested(trial: _Trial, config: Config, space: Space) -> Config:
    """A configuration of a trial: fusion, legs, and rerank stages."""
    several = sum(leg.weight != 0 for leg in config.legs) > 1
    method = config.fusion.method
    if several:
        method = trial.suggest_categorical("fusion", space.methods)
    fusion: dict[str, Any] = {"method": method}
    if method == "rrf":
        fusion["rrf_k"] = trial.suggest_categorical("rrf_k", _RRF)
    legs = [dict(_leg(trial, leg, several and method != "adaptive", space)) for leg in config.legs]
    largest = max((change["weight"] or 1.0 for change in legs if change), default=1.0)
    changed = [
        leg.model_copy(update=change | {"weight": change["weight"] and round(change["weight"] / largest, 2)})
        if change
        else leg
        for leg, change in zip(config.legs, legs, strict=True)
    ]
    return config.model_copy(
        update={
            "fusion": config.fusion.model_copy(update=fusion),
            "legs": tuple(changed),
            "rerank": tuple(_stages(trial, config)),
        }
    )


def _leg(trial: _Trial, leg: Any, weighed: bool, space: Space) -> Iterator[tuple[str, Any]]:
    if leg.weight == 0:
        return
    yield "depth", trial.suggest_categorical(f"{leg.name}.depth", _DEPTHS)
    # Weights of which one is set are those of plain methods; none are set where the collection weighs.
    yield "weight", trial.suggest_float(f"{leg.name}.weight", 0.05, 1.0, step=0.05) if weighed else None
    if funnels := space.funnels.get(leg.name):
        number = trial.suggest_categorical(f"{leg.name}.funnel", range(len(funnels)))
        yield "funnel", funnels[number]
    if space.bm25 and isinstance(leg, Bm25Leg):
        yield "k1", round(trial.suggest_float(f"{leg.name}.k1", 0.4, 2.4, step=0.1), 2)
        yield "b", round(trial.suggest_float(f"{leg.name}.b", 0.0, 1.0, step=0.05), 2)


def _stages(trial: _Trial, config: Config) -> Iterator[Any]:
    """Each reads no more than the one before; one that counts for nothing is left out."""
    most = _RERANKED[-1]
    for number, stage in enumerate(config.rerank, 1):
        depth = min(trial.suggest_categorical(f"rerank {number}.depth", _RERANKED), most)
        blend = trial.suggest_float(f"rerank {number}.blend", 0.0, 1.0, step=0.05)
        if blend > 0:
            most = depth
            yield stage.model_copy(update={"depth": depth, "blend": round(blend, 2)})


def changes(before: Config, after: Config) -> tuple[Setting, ...]:
    """The settings that differ, as they are called in a configuration's file."""
    old, new = dict(_named(before)), dict(_named(after))
    names = dict.fromkeys([*old, *new])
    return tuple(
        Setting(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    )


def _named(config: Config) -> Iterator[tuple[str, Value]]:
    yield "fusion.method", config.fusion.method
    if config.fusion.method == "rrf":
        yield "fusion.rrf_k", config.fusion.rrf_k
    for leg in config.legs:
        named: Mapping[str, Value] = {"weight": leg.weight, "depth": leg.depth or config.fusion.depth or 100}
        if isinstance(leg, Bm25Leg):
            named = {**named, "k1": leg.k1, "b": leg.b}
        if isinstance(leg, VectorLeg):
            funnel = leg.funnel
            named = {**named, "funnel": str(funnel.to_json()) if isinstance(funnel, Funnel) else funnel}
        yield from ((f"{leg.name}.{key}", value) for key, value in named.items())
    for stage in config.rerank:
        name = getattr(stage, "model", None) or getattr(stage, "name", None) or stage.kind
        yield f"{name}.depth", stage.depth
        yield f"{name}.blend", stage.blend
