"""Nodes as LlamaIndex' own vector stores keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_index.core.vector_stores.utils import metadata_dict_to_node

from rag_plugins.index import RagIndex
from rag_plugins.llama_index.convert import from_node
from rag_plugins.types import Passage

__all__ = ["from_stored"]


def from_stored(node: Mapping[str, Any], index: RagIndex) -> Passage:
    """A passage of a node's JSON, the text in it: what `from_node` makes of the node. Raises `BadPassage`."""
    kept = {"_node_content": json.dumps(node), "_node_type": node.get("class_name")}
    return from_node(metadata_dict_to_node(kept), index)
