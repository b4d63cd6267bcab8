"""Measures of retrieval on sets with known answers."""

from rag_plugins.evaluation.evaluate import Evaluation, Stages, evaluate_folder, measure
from rag_plugins.evaluation.funnels import FunnelUse

__all__ = ["Evaluation", "FunnelUse", "Stages", "evaluate_folder", "measure"]
