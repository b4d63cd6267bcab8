"""What came of a training: a model, figures before and after, and whether it is worth using."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rag_plugins.config import Config
from rag_plugins.evaluation import Comparison, Record
from rag_plugins.training.figures import Sparsity
from rag_plugins.training.negatives import Mined
from rag_plugins.training.running import Outcome
from rag_plugins.training.task import Task
from rag_plugins.types import JsonValue

__all__ = ["Trained"]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model in `folder`, what it came to on the dev part, and the pipeline before and after.

    `config` names it; use it where it is `better`. `widths` has a dense model's nDCG@10 by prefix, before
    and after; `sparsity` a sparse one's.
    """

    task: Task
    folder: Path
    outcome: Outcome
    pairs: int
    dev: int
    comparison: Comparison
    records: tuple[Record, Record]
    config: Config
    mined: Mined | None = None
    widths: Mapping[int, tuple[float, float]] = field(default_factory=dict[int, tuple[float, float]])
    sparsity: tuple[Sparsity, Sparsity] | None = None

    @property
    def better(self) -> bool:
        """Whether the whole pipeline is not worse by the first measure, nDCG@10."""
        return next(iter(self.comparison.differences.values())).gain >= 0

    @property
    def compare_with(self) -> str:
        """The folders of both runs, as `rag-plugins evaluate --compare` takes them."""
        return " ".join(str(self.folder / "evaluation" / name) for name in ("before", "after"))

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        outcome = self.outcome
        return {
            "kind": self.task.kind,
            "from": self.task.model,
            "folder": str(self.folder),
            "pairs": {"train": self.pairs, "dev": self.dev},
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 1),
            "measure": outcome.measure,
            "before": round(outcome.before, 4),
            "after": round(outcome.after, 4),
            "history": [
                {"step": at.step, "loss": at.loss, "value": round(at.value, 4)} for at in outcome.history
            ],
            "widths": {str(w): [round(b, 4), round(a, 4)] for w, (b, a) in self.widths.items()},
            "sparsity": [each.to_json() for each in self.sparsity] if self.sparsity else None,
            "compared": self.comparison.to_json(),
            "better": self.better,
        }
