"""The Matryoshka funnel: search on a short prefix of every vector, score what is left on longer ones."""

from rag_plugins.funnel.prefixes import Prefixes
from rag_plugins.funnel.rotation import Rotation
from rag_plugins.funnel.stages import Funnel, Stage

__all__ = ["Funnel", "Prefixes", "Rotation", "Stage"]
