"""Typed filter expressions over metadata, and the one function that turns them into Milvus' language.

    where("year") >= 2020
    (where("kind") == "manual") & ~where("draft").exists()
    where("language").is_in(["en", "zh"])
    where("tags").contains("pump") & ~where("tags").contains("draft")
    where("title").includes("pump", ignore_case=True)
    where("summary").is_empty()
    where("doc_id") == "handbook.pdf"        # the document's id, whatever the metadata says

A comparison with a key that a passage lacks is false, so `~(where("year") == 2020)` keeps the passages
that have no year. A value of another type is never equal, and whether it is before or after is left to the
engine: keep one type a key. Strings are never parsed into filters: what a user types is only ever a value.
"""

from rag_plugins.filters.expressions import (
    DOCUMENT,
    And,
    Comparison,
    Contains,
    EmptyList,
    Exists,
    Filter,
    Includes,
    Not,
    Or,
    Scalar,
    all_of,
    checked,
    where,
)
from rag_plugins.filters.milvus import Dialect, literal, may_include, to_milvus

__all__ = [
    "DOCUMENT",
    "And",
    "Comparison",
    "Contains",
    "Dialect",
    "EmptyList",
    "Exists",
    "Filter",
    "Includes",
    "Not",
    "Or",
    "Scalar",
    "all_of",
    "checked",
    "literal",
    "may_include",
    "to_milvus",
    "where",
]
