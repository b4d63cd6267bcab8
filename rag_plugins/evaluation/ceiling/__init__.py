"""What recognition costs, and what dual mode gives back of it."""

from rag_plugins.evaluation.ceiling.evaluate import NOISE, evaluate_ceiling
from rag_plugins.evaluation.ceiling.levels import Ceiling, Found, Level

__all__ = ["NOISE", "Ceiling", "Found", "Level", "evaluate_ceiling"]
