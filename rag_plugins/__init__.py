"""rag-plugins: hybrid retrieval over Milvus for LlamaIndex and LangChain; scans in, grounded passages out."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag_plugins import errors as errors
    from rag_plugins.config import ComputeConfig as ComputeConfig
    from rag_plugins.config import Config as Config
    from rag_plugins.config import CrossEncoderConfig as CrossEncoderConfig
    from rag_plugins.filters import Filter as Filter
    from rag_plugins.filters import all_of as all_of
    from rag_plugins.filters import where as where
    from rag_plugins.funnel import Funnel as Funnel
    from rag_plugins.funnel import Stage as Stage
    from rag_plugins.index import RagIndex as RagIndex
    from rag_plugins.ingest.indexer import IngestSummary as IngestSummary
    from rag_plugins.lexical.rules import Fuzzy as Fuzzy
    from rag_plugins.lexical.rules import Phrase as Phrase
    from rag_plugins.lexical.rules import Plain as Plain
    from rag_plugins.lexical.rules import Prefix as Prefix
    from rag_plugins.lexical.rules import Query as Query
    from rag_plugins.lexical.rules import Wildcard as Wildcard
    from rag_plugins.lexical.rules import parse_query as parse_query
    from rag_plugins.migration import migrate as migrate
    from rag_plugins.models.foreign import from_pymilvus as from_pymilvus
    from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker as CrossEncoderReranker
    from rag_plugins.types import Box as Box
    from rag_plugins.types import EmbedImage as EmbedImage
    from rag_plugins.types import EmbedText as EmbedText
    from rag_plugins.types import Hit as Hit
    from rag_plugins.types import Hits as Hits
    from rag_plugins.types import Passage as Passage
    from rag_plugins.types import Provenance as Provenance
    from rag_plugins.types import StageScore as StageScore
    from rag_plugins.types import TermMatch as TermMatch
    from rag_plugins.types import Word as Word

_HOME = {
    "Box": "types",
    "ComputeConfig": "config",
    "Config": "config",
    "CrossEncoderConfig": "config",
    "CrossEncoderReranker": "models.rerank.cross_encoder",
    "EmbedImage": "types",
    "EmbedText": "types",
    "Filter": "filters",
    "Funnel": "funnel",
    "Fuzzy": "lexical.rules",
    "Hit": "types",
    "Hits": "types",
    "IngestSummary": "ingest.indexer",
    "Passage": "types",
    "Phrase": "lexical.rules",
    "Plain": "lexical.rules",
    "Prefix": "lexical.rules",
    "Provenance": "types",
    "Query": "lexical.rules",
    "RagIndex": "index",
    "Stage": "funnel",
    "StageScore": "types",
    "TermMatch": "types",
    "Wildcard": "lexical.rules",
    "Word": "types",
    "all_of": "filters",
    "from_pymilvus": "models.foreign",
    "migrate": "migration",
    "parse_query": "lexical.rules",
    "where": "filters",
}

__all__ = [*_HOME, "errors"]  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"

# What is to be seen of the log is the program's to say.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that importing the package costs next to nothing."""
    if name == "errors":
        return importlib.import_module("rag_plugins.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'rag_plugins' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rag_plugins.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
