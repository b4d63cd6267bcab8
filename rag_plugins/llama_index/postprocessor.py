"""CrossEncoderPostprocessor for LlamaIndex."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle

from rag_plugins.errors import BadInput
from rag_plugins.faces import DETAILS
from rag_plugins.faces.rerank_settings import RerankSettings
from rag_plugins.faces.reranking import RETRIEVAL_SCORE, final_score, reranked_metadata
from rag_plugins.models.protocols import Candidate
from rag_plugins.types import EmbedImage, EmbedText, StageScore, View

__all__ = ["CrossEncoderPostprocessor"]

_logger = logging.getLogger(__name__)
_dispatcher = instrument.get_dispatcher(__name__)  # pyright: ignore[reportPrivateImportUsage]


class CrossEncoderPostprocessor(RerankSettings, BaseNodePostprocessor):
    """Keeps the `top_n` nodes that a reranker scores highest; see `RerankSettings`.

    It reads a node's EMBED content, as LlamaIndex's own rerankers do: of ours the retrieval view, of others
    the text with the metadata that are not excluded. A reranker that reads images is given the image that a
    node carries; paths and URLs in nodes are never followed.

    The reranker's score stands in place of the retrieval score, which metadata["retrieval_score"] keeps;
    `metadata["rag_plugins"]["trace"]` has the rerank stage last, with what was cut. Neither is in a content.
    Where all are below `min_score`, none is left, which is logged.
    """

    # Type checkers would make one up of the fields.
    __init__ = RerankSettings.__init__

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "CrossEncoderPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise BadInput("got no query, expected query_bundle or query_str: a reranker reads both")
        name = self.model if isinstance(self.model, str) else self.model.name
        _dispatcher.event(
            ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=name)
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query_bundle.query_str,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            candidates = [_candidate(found.node, self._reranker.reads_images) for found in nodes]
            best = [
                _scored(nodes[position], stage)
                for position, stage in self._ranked(query_bundle.query_str, candidates)
            ]
            event.on_end(payload={EventPayload.NODES: best})
        _dispatcher.event(ReRankEndEvent(nodes=best))
        return best


def _candidate(node: BaseNode, with_image: bool) -> Candidate:
    text, image = node.get_content(MetadataMode.EMBED), _image(node) if with_image else None
    views: list[View] = [EmbedText(text)] if text or image is None else []
    if image is not None:
        views.append(EmbedImage(hashlib.sha256(image).hexdigest()))
    return Candidate(tuple(views), image=image)


def _image(node: BaseNode) -> bytes | None:
    """The encoded image that the node itself has in base64, None where it has none that can be decoded."""
    resource = getattr(node, "image_resource", None)
    encoded = resource.data if resource else getattr(node, "image", None)
    try:
        return base64.b64decode(encoded, validate=True) if encoded else None
    except ValueError as error:
        _logger.warning("node %s is read without its image, which is not base64: %s", node.node_id, error)
        return None


def _scored(found: NodeWithScore, stage: StageScore | None) -> NodeWithScore:
    """A new node with the stage's score, or with the score that it had."""
    node, added = found.node, (RETRIEVAL_SCORE, DETAILS)
    if stage is None:
        return NodeWithScore(node=node.model_copy(update={"metadata": {**node.metadata}}), score=found.score)
    copy = node.model_copy(
        update={
            "metadata": reranked_metadata(node.metadata, {RETRIEVAL_SCORE: found.score}, stage),
            "excluded_embed_metadata_keys": [*dict.fromkeys((*node.excluded_embed_metadata_keys, *added))],
            "excluded_llm_metadata_keys": [*dict.fromkeys((*node.excluded_llm_metadata_keys, *added))],
        }
    )
    return NodeWithScore(node=copy, score=final_score(stage))
