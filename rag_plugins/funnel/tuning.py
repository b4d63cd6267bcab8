"""Which funnel is the cheapest that finds what the exact search finds: measured on the vectors themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag_plugins.errors import BadInput
from rag_plugins.funnel.ranks import Blocks, blocks_of, exact_best, prefix_ranks
from rag_plugins.funnel.rotation import Rotation
from rag_plugins.funnel.stages import Funnel
from rag_plugins.funnel.trials import Measured, PrefixAlone, Trial, candidate_widths, cost
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix

__all__ = ["Tuning", "tune"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured, and the funnel chosen; None where none is cheaper than the exact search or will do.

    `trials` has every funnel of two stages that was tried, the cheapest of three, and the classic halving
    schedule where its widths were tried.
    """

    funnel: Funnel | None
    trials: tuple[Trial, ...]
    alone: tuple[PrefixAlone, ...]
    target: float
    k: int
    rows: int
    queries: int
    dim: int

    @property
    def exact_cost(self) -> float:
        """Microseconds of the exact search."""
        return cost(Funnel([(self.dim,)]), self.rows, self.dim)

    @property
    def chosen(self) -> Trial | None:
        """The trial of the funnel chosen."""
        return next((trial for trial in self.trials if trial.funnel == self.funnel), None)

    @property
    def table(self) -> tuple[Trial, ...]:
        """For each schedule of widths the cheapest trial that meets the target, or else the best there is."""
        shapes: dict[tuple[int, ...], Trial] = {}
        for trial in self.trials:
            widths = tuple(stage.width for stage in trial.funnel.stages)
            shapes[widths] = min(shapes.get(widths, trial), trial, key=self._order)
        return tuple(shapes.values())

    def _order(self, trial: Trial) -> tuple[bool, float]:
        meets = trial.floor >= self.target
        return not meets, trial.cost if meets else -trial.floor

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values: the table, not every trial."""
        rows: list[JsonValue] = [
            {
                "funnel": [list[JsonValue](stage) for stage in trial.funnel.to_json()],
                "recall": round(trial.recall, 4),
                "microseconds": round(trial.cost, 1),
                "chosen": trial.funnel == self.funnel,
            }
            for trial in self.table
        ]
        alone: list[JsonValue] = [
            {"width": one.width, "recall": round(one.recall, 4), "bytes_stored": one.bytes_stored}
            for one in self.alone
        ]
        return {
            "funnel": [list[JsonValue](stage) for stage in self.funnel.to_json()] if self.funnel else "off",
            "target": self.target,
            "k": self.k,
            "rows": self.rows,
            "queries": self.queries,
            "dim": self.dim,
            "exact_microseconds": round(self.exact_cost, 1),
            "trials": rows,
            "prefix_alone": alone,
        }


def tune(
    vectors: Matrix | Blocks,
    queries: Matrix,
    *,
    k: int = 10,
    recall: float = 0.99,
    rotation: Rotation | None = None,
    widths: Sequence[int] | None = None,
    growth: float = 1.0,
) -> Tuning:
    """The cheapest funnel that finds `recall` of the exact search's best `k`, for unit rows (n, dim).

    Prefixes have the `widths` given, by default `candidate_widths`, and are of rotated vectors where there
    is a rotation. It will still do when there are `growth` times as many rows: until then no passage has
    more than so many times as many before it, by its prefix. Vectors that come in blocks are read twice,
    and never in memory all at once. Raises `BadInput` for nothing to measure, and for widths that prefixes
    cannot have.
    """
    blocks = vectors if callable(vectors) else blocks_of(vectors)
    dim = queries.shape[-1]
    widths = _checked(dim, widths, rotation)
    if not len(queries) or k < 1 or not 0.0 < recall <= 1.0 or growth < 1.0:
        raise BadInput(
            f"{len(queries)} queries, k {k}, recall {recall}, growth {growth}: expected some queries, k and "
            "growth from 1, recall above 0 and up to 1"
        )
    best, rows = exact_best(blocks, queries, k)
    if not rows:
        raise BadInput("there are no vectors to tune a funnel on")
    measured = Measured(prefix_ranks(blocks, queries, best, rotation, widths), rows, dim, k, growth)
    trials = (*measured.pairs(), *measured.triples(recall), *measured.halving())
    tuning = Tuning(None, trials, tuple(measured.alone()), recall, k, rows, len(queries), dim)
    good = [trial for trial in trials if trial.floor >= recall and trial.cost < tuning.exact_cost]
    chosen = min(good, key=lambda trial: trial.cost, default=None)
    return replace(tuning, funnel=chosen.funnel) if chosen else tuning


def _checked(dim: int, widths: Sequence[int] | None, rotation: Rotation | None) -> list[int]:
    most = dim - 1 if rotation is None else min(rotation.width, dim - 1)
    if rotation is not None and rotation.dim != dim:
        raise BadInput(f"a rotation of vectors of {rotation.dim} numbers, but queries have {dim}")
    if widths is None:
        return [width for width in candidate_widths(dim) if width <= most]
    wrong = [width for width in widths if not 1 <= width <= most]
    if wrong:
        raise BadInput(f"widths {wrong}: prefixes of these vectors have 1 to {most}")
    return sorted(set(widths))
