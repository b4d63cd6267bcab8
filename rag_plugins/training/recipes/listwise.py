"""A match head learned from lists of candidates: listwise, through the very blend that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag_plugins.errors import require
from rag_plugins.models.rerank.matching import FEATURES, MatchHead
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["Candidates", "fit"]

_BLEND = 0.5
_NEARNESS = 10.0
_SHRINKAGE = 1e-3
_STEP = 0.08
"""About how far MaxSim spreads over a list: a weight of 1 moves a score by so much."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What fusion found for a query: scores, `features` of each, shape (n, features), and which answer it."""

    fused: FloatArray
    features: Matrix
    relevant: FloatArray


def fit(domains: Sequence[Sequence[Candidates]], nearness: float = _NEARNESS) -> MatchHead:
    """Softmax cross-entropy over each list, every domain counting alike, plus what keeps to late interaction.

    `nearness` times the mean square of how far the min-max scaled scores go from MaxSim's: without it a head
    learns its domains by heart and loses in others. Lists without an answer teach nothing.
    The head is then moved and stretched to MaxSim's own scale.
    """
    torch: Any = require("torch", "training")
    told = [[one for one in lists if 0 < one.relevant.sum() < len(one.relevant)] for lists in domains]
    rows = np.concatenate([one.features - one.features.mean(0) for lists in told for one in lists])
    scales = rows.std(axis=0) + 1e-6
    parts = [_tensors(torch, lists, scales) for lists in told]
    weights = torch.zeros(len(FEATURES), requires_grad=True)
    sharpness = torch.tensor(np.log(8.0), dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, sharpness], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        losses = [_loss(torch, part, weights, sharpness, nearness) for part in parts]
        loss = torch.stack(losses).mean() + _SHRINKAGE * (weights**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    learned = _STEP * weights.detach().numpy() / scales
    learned[0] += 1.0
    return _on_the_scale_of_maxsim(learned, np.concatenate([one.features for lists in told for one in lists]))


def _tensors(torch: Any, lists: Sequence[Candidates], scales: FloatArray) -> dict[str, Any]:
    """Lists of a domain side by side, the shorter ones masked."""
    shape = (len(lists), max(len(one.fused) for one in lists))
    made = {name: np.zeros(shape, np.float32) for name in ("fused", "maxsim", "relevant", "there")}
    features = np.zeros((*shape, len(FEATURES)), np.float32)
    for n, one in enumerate(lists):
        head = slice(0, len(one.fused))
        made["fused"][n, head], made["maxsim"][n, head] = one.fused, one.features[:, 0]
        made["relevant"][n, head], made["there"][n, head] = one.relevant / one.relevant.sum(), 1.0
        features[n, head] = (one.features - one.features.mean(axis=0)) / scales
    tensors = {name: torch.tensor(values) for name, values in made.items()}
    there = tensors["there"].bool()
    scaled = {f"{name} scaled": _minmax(tensors[name], there) for name in ("fused", "maxsim")}
    return tensors | scaled | {"features": torch.tensor(features), "there": there}


def _loss(torch: Any, part: dict[str, Any], weights: Any, sharpness: Any, nearness: float) -> Any:
    there = part["there"]
    scores = _minmax(part["maxsim"] + _STEP * part["features"] @ weights, there)
    blended = (1 - _BLEND) * part["fused scaled"] + _BLEND * scores
    chances = torch.log_softmax((blended * sharpness.exp()).masked_fill(~there, -1e9), dim=1)
    strayed = ((scores - part["maxsim scaled"]) ** 2)[there].mean()
    return nearness * strayed - (chances * part["relevant"]).sum(dim=1).mean()


def _minmax(values: Any, there: Any) -> Any:
    highest = values.masked_fill(~there, -1e9).amax(dim=1, keepdim=True)
    lowest = values.masked_fill(~there, 1e9).amin(dim=1, keepdim=True)
    return (values - lowest) / (highest - lowest).clamp_min(1e-6)


def _on_the_scale_of_maxsim(weights: FloatArray, features: Matrix) -> MatchHead:
    """Stretched and moved to the mean and the spread of MaxSim: a `min_score` means about the same."""
    scores, maxsim = features @ weights, features[:, 0]
    stretch = maxsim.std() / scores.std()
    return MatchHead((stretch * weights).astype(np.float32), float(maxsim.mean() - stretch * scores.mean()))
