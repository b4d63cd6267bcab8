"""Nodes to passages and hits to nodes.

A node's view is get_content(MetadataMode.EMBED), its llm_text get_content(MetadataMode.LLM). A node that
comes back gives exactly these two again; its text, metadata, templates, excluded keys and relationships are
restored where that holds. What the search adds stands in metadata["rag_plugins"], out of both contents: the
page's image by its asset's id, and the image views, which from_node gives back to the passage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from llama_index.core.base.llms.types import BaseContentBlock, TextBlock
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
from rag_plugins.faces.images import image_views
from rag_plugins.index import RagIndex
from rag_plugins.text import clean
from rag_plugins.types import Hit, JsonValue, Passage

__all__ = ["VIEW_TEMPLATE", "PassageNode", "from_node", "is_passage", "sides", "to_node"]

VIEW_TEMPLATE = "{metadata_str}"
"""text_template of a node whose EMBED content is metadata["retrieval_text"] instead of its text."""

_NO_VIEW_TEMPLATE = "{metadata_str:.0}"
"""The same where that is blank: LlamaIndex would take the text for what has no metadata to show."""

_VIEW_TEMPLATES = (VIEW_TEMPLATE, _NO_VIEW_TEMPLATE)

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

    @property
    def hash(self) -> str:
        """Of the node without what a search added, so that the same one found by two queries is one."""
        if DETAILS not in self.metadata:
            return super().hash
        plain = {key: value for key, value in self.metadata.items() if key != DETAILS}
        return self.model_copy(update={"metadata": plain}).hash

    def get_content(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
        """Exactly the view for EMBED; the text, after whatever metadata is not excluded, otherwise."""
        if self.text_template not in _VIEW_TEMPLATES:
            return super().get_content(metadata_mode)
        if metadata_mode is MetadataMode.EMBED:
            return str(self.metadata.get(RETRIEVAL_TEXT, self.text))
        return _with_text(self).get_content(metadata_mode)

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> list[BaseContentBlock]:
        """The content as a text block: the base class takes what `VIEW_TEMPLATE` leaves out from metadata."""
        return [TextBlock(text=self.get_content(metadata_mode))]


def to_node(hit: Hit) -> NodeWithScore:
    """A hit as a new node; its id is the caller's own, else the passage's."""
    node = _made(hit.passage)
    original = _restored(hit.passage)
    if original is not None and _contents(original) == _contents(node):
        node = original
    node.metadata[DETAILS] = details(hit)
    for excluded in node.excluded_embed_metadata_keys, node.excluded_llm_metadata_keys:
        if DETAILS not in excluded:
            excluded.append(DETAILS)
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
        images=image_views(node.metadata.get(DETAILS)),
        metadata={**metadata, NODE: _kept(node, clean(llm_text))},
        doc_id=node.ref_doc_id or node.node_id,
        caller_id=node.node_id,
    )


def sides(text: str, view: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a node or Document whose LLM content is `text` and whose EMBED content is `view`.

    They hold in plain LlamaIndex too, and its splitters hand them on. A transform that adds metadata keys
    must add them to excluded_llm_metadata_keys, or the LLM reads these keys instead of the text.
    """
    blank = not view.strip()
    return {
        "text": text,
        "metadata": {**metadata, RETRIEVAL_TEXT: view},
        "text_template": _NO_VIEW_TEMPLATE if blank else VIEW_TEMPLATE,
        "metadata_template": "{key}: {value}" if blank else "{value}",
        "excluded_embed_metadata_keys": [key for key in metadata if key != RETRIEVAL_TEXT],
        "excluded_llm_metadata_keys": [*(key for key in metadata if key != RETRIEVAL_TEXT), RETRIEVAL_TEXT],
    }


def is_passage(node: BaseNode) -> bool:
    """Whether a node has two sides as `sides` makes them."""
    return getattr(node, "text_template", None) in _VIEW_TEMPLATES


def _with_text(node: BaseNode) -> BaseNode:
    """The same node, its text in all contents; for what `VIEW_TEMPLATE` would leave out."""
    if not is_passage(node):
        return node
    return node.model_copy(update={"text_template": DEFAULT_TEXT_NODE_TMPL})


def _kept(node: BaseNode, llm_text: str) -> dict[str, JsonValue]:
    """What `_restored` needs beside the passage. Small, for a store limits metadata to 65,535 bytes."""
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


def _made(passage: Passage) -> TextNode:
    """A node of the two sides alone."""
    view = other_view(passage)
    metadata = public_metadata(passage)
    fields: dict[str, Any] = {
        "text": passage.llm_text,
        "metadata": metadata,
        "excluded_embed_metadata_keys": list(metadata),
        "excluded_llm_metadata_keys": list(metadata),
    }
    return _node(passage, fields if view is None else sides(passage.llm_text, view, metadata))


def _restored(passage: Passage) -> TextNode | None:
    """The node that the passage was made from, None where it was not; it may give other contents."""
    kept = passage.metadata.get(NODE)
    if not isinstance(kept, dict):
        return None
    view = other_view(passage)
    fields = {key: value for key, value in kept.items() if key in _KEPT}
    metadata = public_metadata(passage)
    if fields.get("text_template") in _VIEW_TEMPLATES:
        metadata[RETRIEVAL_TEXT] = passage.llm_text if view is None else view
    start, end = cast("tuple[int, int | None]", kept.get("text", (0, None)))
    return _node(passage, {**fields, "text": passage.llm_text[start:end], "metadata": metadata})


def _node(passage: Passage, fields: Mapping[str, Any]) -> TextNode:
    id = passage.caller_id if passage.caller_id is not None else passage.id
    return PassageNode(id_=id, relationships=_relationships(passage), **fields)


def _relationships(passage: Passage) -> dict[NodeRelationship, Any]:
    """The node's own; for what never was a node, the document as its source."""
    kept = passage.metadata.get(NODE)
    if not isinstance(kept, dict):
        return {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.doc_id)}
    related = cast("dict[str, Any]", kept.get("relationships", {}))
    return {
        NodeRelationship[name]: [RelatedNodeInfo(**info) for info in infos]
        if isinstance(infos, list)
        else RelatedNodeInfo(**infos)
        for name, infos in related.items()
    }


def _contents(node: BaseNode) -> tuple[str, str]:
    return node.get_content(MetadataMode.EMBED), node.get_content(MetadataMode.LLM)
