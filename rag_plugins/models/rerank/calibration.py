"""From a reranker's own scores to probabilities that a passage is relevant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag_plugins.config.rerank import Calibration
from rag_plugins.errors import ConfigError
from rag_plugins.models.protocols import Scale
from rag_plugins.vectors import FloatArray

__all__ = ["calibrate"]


def calibrate(
    values: FloatArray, scale: Scale, calibration: Calibration, points: Sequence[tuple[float, float]] = ()
) -> FloatArray:
    """Probabilities of scores, same shape, 0 to 1; a higher score never has a lower one.

    "sigmoid": 1 / (1 + exp(-score)) of logits, and probabilities as they are; `ConfigError` for similarities,
    which are neither. "isotonic": straight lines between `points` (score, probability; both rising), flat
    beyond the first and the last.
    """
    scores = values.astype(np.float64)
    if calibration == "isotonic":
        known, sure = np.array(points, np.float64).T
        return np.interp(scores, known, sure).clip(0.0, 1.0).astype(np.float32)
    if scale == "similarity":
        raise ConfigError(
            'calibration = "sigmoid" is for logits, and this reranker gives similarities: fit "isotonic" by '
            "`rag-plugins tune --calibrate`"
        )
    if scale == "logit":
        scores = 0.5 * (1.0 + np.tanh(0.5 * scores))  # The formula above, without its overflow.
    return scores.clip(0.0, 1.0).astype(np.float32)
