"""How good retrieval is, on questions whose answers are known: measured, saved, compared, tuned."""

from rag_plugins.evaluation.answers import as_reader
from rag_plugins.evaluation.comparing import Change, Comparison, Difference, compare
from rag_plugins.evaluation.evaluating import Evaluation, evaluate, evaluate_folder
from rag_plugins.evaluation.filling import indexed
from rag_plugins.evaluation.funnels import FunnelUse
from rag_plugins.evaluation.generation import Containment
from rag_plugins.evaluation.judged import Judged
from rag_plugins.evaluation.measures import measure, named
from rag_plugins.evaluation.questions import Question, Target, read_questions
from rag_plugins.evaluation.records import Record
from rag_plugins.evaluation.relevance import judge
from rag_plugins.evaluation.stages import Stage, Stages
from rag_plugins.evaluation.synthesis import made_questions
from rag_plugins.evaluation.tuning.pipeline import PipelineTuning, tune_pipeline
from rag_plugins.evaluation.tuning.reranking import RerankTuning, tune_reranking

__all__ = [
    "Change",
    "Comparison",
    "Containment",
    "Difference",
    "Evaluation",
    "FunnelUse",
    "Judged",
    "PipelineTuning",
    "Question",
    "Record",
    "RerankTuning",
    "Stage",
    "Stages",
    "Target",
    "as_reader",
    "compare",
    "evaluate",
    "evaluate_folder",
    "indexed",
    "judge",
    "made_questions",
    "measure",
    "named",
    "read_questions",
    "tune_pipeline",
    "tune_reranking",
]
