"""Measures of retrieval on sets with known answers."""

from rag_plugins.evaluation.evaluate import Evaluation, evaluate_folder, measure

__all__ = ["Evaluation", "evaluate_folder", "measure"]
