"""What stands in a trained model's folder: from what, how and how well it was trained."""

from __future__ import annotations

import json
from pathlib import Path

from rag_plugins.config.training import DenseTraining, SparseTraining
from rag_plugins.training.trained import Trained

__all__ = ["write_card"]

_TEXT = """\
---
license: {license}
library_name: sentence-transformers
tags: [sentence-transformers, {kind}]
---

# {name}

{what}

| | |
|---|---|
| from | {base} |
| pairs | {pairs} to learn from, {dev} to measure by; no query and no passage that answers is in both |
| data | {data} |
| licence of the data | {data_licence} |
| loss | {loss} |
| steps | {steps}, in {minutes:.1f} minutes |
| learning rate | {rate:g} |
| seed | {seed} |

On the part that was not trained on, {measure} among its own texts: {before:.4f} before, {after:.4f} after.
The whole pipeline is searched among {passages} passages.

{tables}

## Settings

```json
{settings}
```
"""

_WHAT = {
    "dense": "A bi-encoder for texts, whose vectors may be cut to the widths below.",
    "sparse": "A learned sparse encoder: weights over the terms of its vocabulary.",
    "reranker": "A cross-encoder that scores a query with a passage.",
}


def write_card(trained: Trained, data: str, licence: str) -> Path:
    """README.md in the model's folder. `data` and its `licence` are as whoever trains calls them."""
    task, settings, outcome = trained.task, trained.task.settings, trained.outcome
    text = _TEXT.format(
        license=licence or "other",
        kind=task.kind,
        name=trained.folder.name,
        what=_WHAT[task.kind],
        base=task.model,
        pairs=trained.pairs,
        dev=trained.dev,
        data=data or "given by whoever trained it",
        data_licence=licence or "not given",
        loss=_loss(trained),
        steps=outcome.steps,
        minutes=outcome.seconds / 60,
        rate=settings.rate,
        seed=settings.seed,
        measure=outcome.measure,
        before=outcome.before,
        after=outcome.after,
        passages=trained.records[0].about["evaluation"]["passages"],
        tables="\n\n".join(_tables(trained)),
        settings=json.dumps(settings.model_dump(mode="json"), indent=1),
    )
    path = trained.folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def _loss(trained: Trained) -> str:
    settings = trained.task.settings
    if isinstance(settings, DenseTraining):
        return f"{settings.loss}, Matryoshka at {', '.join(map(str, trained.widths))}, weight 1 each"
    if isinstance(settings, SparseTraining):
        return f"{settings.loss}, and {settings.regulariser} to keep texts sparse"
    return f"{settings.loss}, {'all weights' if settings.lora is None else f'LoRA of rank {settings.lora}'}"


def _tables(trained: Trained) -> list[str]:
    """Figures in Markdown."""
    tables: list[str] = []
    if trained.widths:
        rows = [f"| {w} | {before:.4f} | {after:.4f} |" for w, (before, after) in trained.widths.items()]
        tables.append("\n".join(["| width | before | after |", "|---:|---:|---:|", *rows]))
    if trained.sparsity:
        rows = [
            f"| {when} | {each.query:.1f} | {each.document:.1f} | {each.postings_bytes / 1e6:.0f} MB |"
            for when, each in zip(("before", "after"), trained.sparsity, strict=True)
        ]
        head = "| | non-zeros of a query | of a passage | postings of a million passages |"
        tables.append("\n".join([head, "|---|---:|---:|---:|", *rows]))
    rows = [
        f"| {name} | {each.before:.4f} | {each.after:.4f} | {each.gain:+.4f} |"
        for name, each in trained.comparison.differences.items()
    ]
    head = "| the whole pipeline | before | after | gain |"
    tables.append("\n".join([head, "|---|---:|---:|---:|", *rows]))
    return tables
