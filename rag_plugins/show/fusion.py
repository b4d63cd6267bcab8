"""How a collection's legs are fused, and what it has told of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag_plugins.config import Config
from rag_plugins.errors import CollectionMismatch
from rag_plugins.evaluation.tuning.fusing import settled
from rag_plugins.fusion import FEWEST, Learned, LegWorth, NormalTail, Scale, shares
from rag_plugins.ingest.weighing import ENOUGH
from rag_plugins.show.tables import listing
from rag_plugins.store.kept import Kept, read_kept
from rag_plugins.types import JsonValue

__all__ = ["FusionUse", "fusion_use", "show_fusion", "show_learned"]


@dataclass(frozen=True, slots=True)
class FusionUse:
    """How a configuration fuses the legs of a collection, and why so.

    `weights` are by leg, 0 for one that is not run. `learned` is what the collection has told of these legs.
    """

    db: str
    passages: int
    method: str
    why: str
    weights: Mapping[str, float]
    learned: Learned | None

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "db": self.db,
            "passages": self.passages,
            "method": self.method,
            "why": self.why,
            "weights": dict(self.weights),
            "learned": self.learned and self.learned.to_json(),
        }


def fusion_use(db: str, config: Config, collection: str, tenant: str) -> FusionUse:
    """Look into a collection: no model is loaded.

    Raises as `read_kept` does, and `CollectionMismatch` where the configuration has other legs.
    """
    kept = read_kept(db, config.store, collection, tenant)
    _check(config, kept)
    learned = _of_legs(config, kept.learned)
    why = settled(config) or ("" if learned else _untold(kept))
    if learned and not why:
        weights = {leg.name: 0.0 if leg.weight == 0 else learned.legs[leg.name].weight for leg in config.legs}
        return FusionUse(db, kept.rows, "adaptive", _told(learned), weights, learned)
    method = "minmax" if config.fusion.method == "adaptive" else config.fusion.method
    weights = shares({leg.name: 1.0 if leg.weight is None else leg.weight for leg in config.legs})
    return FusionUse(db, kept.rows, method, why, weights, learned)


def _check(config: Config, kept: Kept) -> None:
    legs = [leg.name for leg in config.legs]
    if set(legs) != set(kept.legs):
        raise CollectionMismatch(
            f"the collection has the legs {', '.join(kept.legs)}, the configuration {', '.join(legs)}: give "
            "the --preset or --config that it was made with"
        )


def _of_legs(config: Config, learned: Learned | None) -> Learned | None:
    """What was learned, where it speaks of every leg that is run."""
    run = [leg.name for leg in config.legs if leg.weight != 0]
    return learned if learned and learned.fits(run) else None


def _untold(kept: Kept) -> str:
    if kept.rows < ENOUGH:
        return f"the collection has {kept.rows} passages, and tells something of its legs from {ENOUGH} on"
    return "the collection has told nothing of these legs yet: rag-plugins tune DB --fusion asks it"


def _told(learned: Learned) -> str:
    asked = "judged queries" if learned.source == "labels" else "queries made of the passages"
    return f"learned from {learned.queries} {asked}, when there were {learned.rows} passages"


def show_fusion(use: FusionUse) -> None:
    """The method and why, then the legs."""
    console = Console()
    console.print(Text(f"Fusion of {use.db}", style="bold"))
    console.print(Text(f"  {use.method}: {use.why}"))
    console.print(_legs(use.weights, use.learned))
    if use.learned and use.method == "adaptive":
        for line in _verdict(use.learned):
            console.print(line, highlight=False)


def show_learned(learned: Learned) -> None:
    """What a collection has just told of its legs, and what that is worth."""
    console = Console()
    console.print(Text(_told(learned).capitalize(), style="bold"))
    console.print(_legs({name: worth.weight for name, worth in learned.legs.items()}, learned))
    for line in _verdict(learned):
        console.print(line, highlight=False)


def _legs(weights: Mapping[str, float], learned: Learned | None) -> Table:
    columns = ("alone", "without it", "a score says") if learned else ()
    table = listing("nDCG@10 of known answers" if learned else "", "leg", "weight", *columns)
    for name, weight in weights.items():
        worth = learned.legs.get(name) if learned else None
        table.add_row(Text(name), f"{weight:.3g}" if weight else "0: not run", *_cells(worth))
    return table


def _cells(worth: LegWorth | None) -> tuple[str, ...]:
    return (f"{worth.alone:.3f}", f"{worth.without:.3f}", _scale(worth.scale)) if worth else ()


def _scale(scale: Scale) -> str:
    if isinstance(scale, NormalTail):
        return f"how rare it is among {scale.mean:.2f} ± {scale.deviation:.2f}"
    return f"{scale.per_point:.3g} nats a point" if scale.per_point else "nothing: all are alike"


def _verdict(learned: Learned) -> Iterator[str]:
    best = max(worth.alone for worth in learned.legs.values())
    yield f"Together {learned.together:.3f}, {learned.together - best:+.3f} over the best leg alone."
    if learned.gain is not None:
        yield (
            f"Weights learned from one half of the queries, measured on the other: {learned.gain:+.4f} over "
            "unlearned ones."
        )
    elif learned.source == "labels":
        yield f"With {2 * FEWEST} judged queries or more, half of them can tell what the weights gain."
