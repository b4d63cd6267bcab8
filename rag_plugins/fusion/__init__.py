"""Legs into one ranking: scores made comparable, or turned into evidence, and added up."""

from rag_plugins.fusion.evidence import Linear, NormalTail, Scale, evidence, mean_excess
from rag_plugins.fusion.fusing import Fused, add_up, fuse, shares, shifted
from rag_plugins.fusion.learned import Learned, LegWorth, Source
from rag_plugins.fusion.normalising import (
    NORMALISATIONS,
    Normalisation,
    Ranking,
    dbsf,
    minmax,
    normalisation,
    reciprocal_rank,
    zscore,
)
from rag_plugins.fusion.weighing import FEWEST, Case, Weighing, fresh_gain, weigh

__all__ = [
    "FEWEST",
    "NORMALISATIONS",
    "Case",
    "Fused",
    "Learned",
    "LegWorth",
    "Linear",
    "NormalTail",
    "Normalisation",
    "Ranking",
    "Scale",
    "Source",
    "Weighing",
    "add_up",
    "dbsf",
    "evidence",
    "fresh_gain",
    "fuse",
    "mean_excess",
    "minmax",
    "normalisation",
    "reciprocal_rank",
    "shares",
    "shifted",
    "weigh",
    "zscore",
]
