"""Measures of retrieval on sets with known answers."""

from rag_plugins.evaluation.evaluate import Evaluation, Stages, evaluate_folder, measure
from rag_plugins.evaluation.funnels import FunnelUse
from rag_plugins.evaluation.reranking import RerankTuning, tune_reranking

__all__ = [
    "Evaluation",
    "FunnelUse",
    "RerankTuning",
    "Stages",
    "evaluate_folder",
    "measure",
    "tune_reranking",
]
