"""CrossEncoderPostprocessor for LlamaIndex."""

from __future__ import annotations

from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import ConfigDict, Field, PrivateAttr

from rag_plugins.errors import BadInput
from rag_plugins.faces import DEFAULT_RERANKER, as_reranker, rank
from rag_plugins.models.protocols import Reranker

__all__ = ["CrossEncoderPostprocessor"]

_SCORE = "retrieval_score"

_dispatcher = instrument.get_dispatcher(__name__)  # pyright: ignore[reportPrivateImportUsage]


class CrossEncoderPostprocessor(BaseNodePostprocessor):
    """Keeps the `top_n` nodes that a reranker scores highest, reading their EMBED content.

    `model` is a preset, a folder, a hub id, or a reranker object (serialised by its name).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str
    top_n: int = Field(default=5, ge=1)
    _reranker: Reranker = PrivateAttr()

    def __init__(self, model: str | Reranker = DEFAULT_RERANKER, top_n: int = 5, **settings: Any) -> None:
        reranker = as_reranker(model)
        name = model if isinstance(model, str) else model.name
        super().__init__(model=name, top_n=top_n, **settings)  # pyright: ignore[reportCallIssue]
        self._reranker = reranker

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "CrossEncoderPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise BadInput("got no query, expected query_bundle or query_str: a reranker reads both")
        query = query_bundle.query_str
        _dispatcher.event(
            ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=self.model)
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            views = [node.get_content(MetadataMode.EMBED) for node in nodes]
            best = [
                _scored(nodes[position], score)
                for position, score in rank(self._reranker, query, views, self.top_n)
            ]
            event.on_end(payload={EventPayload.NODES: best})
        _dispatcher.event(ReRankEndEvent(nodes=best))
        return best


def _scored(found: NodeWithScore, score: float) -> NodeWithScore:
    """A new node, the score it was retrieved with in metadata["retrieval_score"], out of both contents."""
    node = found.node
    copy = node.model_copy(
        update={
            "metadata": {**node.metadata, _SCORE: found.score},
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, _SCORE],
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, _SCORE],
        }
    )
    return NodeWithScore(node=copy, score=score)
