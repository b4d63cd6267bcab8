"""Nodes to passages and hits to nodes.

A node's view is get_content(MetadataMode.EMBED), its llm_text get_content(MetadataMode.LLM). A node that
comes back gives exactly these two again; its text, metadata, templates, excluded keys and relationships are
restored where that holds. What the search adds stands in metadata["rag_plugins"], out of both contents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.schema import (
    DEFAULT_TEXT_NODE_TMPL,
    BaseNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)

from rag_plugins.faces import (
    DETAILS,
    NODE,
    RETRIEVAL_TEXT,
    adopt,
    details,
    other_view,
    plain_metadata,
    public_metadata,
)
from rag_plugins.index import RagIndex
from rag_plugins.text import clean
from rag_plugins.types import Hit, JsonValue, Passage

__all__ = ["PassageNode", "VIEW_TEMPLATE", "from_node", "sides", "to_node"]

VIEW_TEMPLATE = "{metadata_str}"
"""text_template of a node whose EMBED content is metadata["retrieval_text"] instead of its text."""

_KEPT = {
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "metadata_template",
    "metadata_separator",
    "text_template",
    "start_char_idx",
    "end_char_idx",
    "mimetype",
}


class PassageNode(TextNode):
    """A TextNode that never loses its text to `VIEW_TEMPLATE`.

    Postprocessors add metadata keys after retrieval; under that template the LLM would read them alone.
    """

    def get_content(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
        """Exactly the view for EMBED; the text, after whatever metadata is not excluded, otherwise."""
        if self.text_template != VIEW_TEMPLATE:
            return super().get_content(metadata_mode)
        if metadata_mode is MetadataMode.EMBED:
            return str(self.metadata.get(RETRIEVAL_TEXT, self.text))
        return _with_text(self).get_content(metadata_mode)


def to_node(hit: Hit) -> NodeWithScore:
    """A hit as a new node; its id is the caller's own, else the passage's."""
    passage = hit.passage
    node = _restored(passage) or _made(passage)
    node.metadata[DETAILS] = details(hit)
    # New lists: a restored node's may be shared with what it was restored from.
    node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, DETAILS]
    node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, DETAILS]
    return NodeWithScore(node=node, score=hit.score)


def from_node(node: BaseNode, index: RagIndex) -> Passage:
    """A passage of `index`; nodes of one ref_doc_id share a doc_id. Raises `BadPassage`."""
    view = node.get_content(MetadataMode.EMBED)
    llm_text = _with_text(node).get_content(MetadataMode.LLM)
    metadata = plain_metadata(node.metadata)
    if metadata.get(RETRIEVAL_TEXT) == view:
        del metadata[RETRIEVAL_TEXT]  # Kept as the passage's view.
    return adopt(
        index,
        llm_text,
        view=view,
        metadata={**metadata, NODE: _kept(node, clean(llm_text))},
        doc_id=node.ref_doc_id or node.node_id,
        caller_id=node.node_id,
    )


def sides(text: str, view: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a node or Document whose LLM content is `text` and whose EMBED content is `view`.

    They hold in plain LlamaIndex too, and its splitters hand them on. A transform that adds metadata keys
    must add them to excluded_llm_metadata_keys, or the LLM reads these keys instead of the text.
    """
    return {
        "text": text,
        "metadata": {**metadata, RETRIEVAL_TEXT: view},
        "text_template": VIEW_TEMPLATE,
        "metadata_template": "{value}",
        "excluded_embed_metadata_keys": [key for key in metadata if key != RETRIEVAL_TEXT],
        "excluded_llm_metadata_keys": [*(key for key in metadata if key != RETRIEVAL_TEXT), RETRIEVAL_TEXT],
    }


def _with_text(node: BaseNode) -> BaseNode:
    """The same node, its text in all contents; for what `VIEW_TEMPLATE` would leave out."""
    if getattr(node, "text_template", None) != VIEW_TEMPLATE:
        return node
    return node.model_copy(update={"text_template": DEFAULT_TEXT_NODE_TMPL})


def _kept(node: BaseNode, llm_text: str) -> dict[str, JsonValue]:
    """What `_restored` needs beside the passage: small, for a store limits metadata to 65,535 bytes."""
    fields = node.model_dump(mode="json", include=_KEPT, exclude_defaults=True)
    kept: dict[str, JsonValue] = {key: fields[key] for key in sorted(_KEPT & fields.keys())}
    text = clean(node.get_content(MetadataMode.NONE)).strip()
    if text != llm_text and text in llm_text:
        start = llm_text.rindex(text)  # Templates put the text last, after metadata that may repeat it.
        kept["text"] = [start, start + len(text)]
    if node.relationships:
        kept["relationships"] = {
            NodeRelationship(relation).name: [_related(info) for info in infos]
            if isinstance(infos, list)
            else _related(infos)
            for relation, infos in node.relationships.items()
        }
    return kept


def _related(info: RelatedNodeInfo) -> dict[str, JsonValue]:
    # Without its metadata: they would repeat the whole parent's in every child.
    return info.model_dump(mode="json", include={"node_id", "node_type", "hash"})


def _restored(passage: Passage) -> TextNode | None:
    """The node that the passage was made from; None where it would not give the passage's two sides."""
    kept = passage.metadata.get(NODE)
    if not isinstance(kept, dict):
        return None
    fields: dict[str, Any] = {key: value for key, value in kept.items() if key in _KEPT}
    start, end = kept.get("text", (0, None))
    view = other_view(passage)
    metadata: dict[str, Any] = {**public_metadata(passage)}
    if fields.get("text_template") == VIEW_TEMPLATE:
        metadata[RETRIEVAL_TEXT] = passage.llm_text if view is None else view
    node = PassageNode(
        id_=passage.caller_id,
        text=passage.llm_text[start:end],
        metadata=metadata,
        relationships=_relationships(kept.get("relationships")),
        **fields,
    )
    same = node.get_content(MetadataMode.LLM) == passage.llm_text and node.get_content(
        MetadataMode.EMBED
    ) == (passage.llm_text if view is None else view)
    return node if same else None


def _made(passage: Passage) -> TextNode:
    """A node from the two sides alone."""
    view = other_view(passage)
    metadata = public_metadata(passage)
    keys = list(metadata)
    fields: dict[str, Any] = (
        {
            "text": passage.llm_text,
            "metadata": metadata,
            "excluded_embed_metadata_keys": keys,
            "excluded_llm_metadata_keys": keys,
        }
        if view is None
        else sides(passage.llm_text, view, metadata)
    )
    kept = passage.metadata.get(NODE)
    related = kept.get("relationships") if isinstance(kept, dict) else None
    return PassageNode(
        id_=passage.caller_id if passage.caller_id is not None else passage.id,
        relationships=_relationships(related)
        if isinstance(kept, dict)
        else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.doc_id)},
        **fields,
    )


def _relationships(kept: Any) -> dict[NodeRelationship, Any]:
    return {
        NodeRelationship[name]: [RelatedNodeInfo(**info) for info in infos]
        if isinstance(infos, list)
        else RelatedNodeInfo(**infos)
        for name, infos in (kept or {}).items()
    }
