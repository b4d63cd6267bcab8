"""Models for one's own questions, trained by sentence-transformers and named by a configuration."""

from rag_plugins.training.figures import Sparsity
from rag_plugins.training.negatives import Guards, Mined, mine
from rag_plugins.training.pairs import Pair, Pairs, read_pairs
from rag_plugins.training.plan import Plan, plan
from rag_plugins.training.running import Outcome, Progress
from rag_plugins.training.sources import pairs_of_log
from rag_plugins.training.task import Kind, Task
from rag_plugins.training.train import train
from rag_plugins.training.trained import Trained

__all__ = [
    "Guards",
    "Kind",
    "Mined",
    "Outcome",
    "Pair",
    "Pairs",
    "Plan",
    "Progress",
    "Sparsity",
    "Task",
    "Trained",
    "mine",
    "pairs_of_log",
    "plan",
    "read_pairs",
    "train",
]
