"""Nodes to passages and hits to nodes.

A node's view is get_content(MetadataMode.EMBED), its llm_text get_content(MetadataMode.LLM). A node that
comes back gives exactly these two again; its text, metadata, templates, excluded keys and relationships are
restored where that holds. An IndexNode is one again, without its object, and an ImageNode whose image a leg
reads; a Document is a TextNode, as in other stores: NodeWithScore.text knows no other. What a search adds
stands in metadata["rag_plugins"], out of both contents: the page's image by its asset's id, and the image
views, which from_node gives back to the passage.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)

from rag_plugins.errors import BadPassage
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
from rag_plugins.faces.images import encoded_page, image_views
from rag_plugins.index import RagIndex
from rag_plugins.llama_index.nodes import (
    NO_VIEW_TEMPLATE,
    VIEW_TEMPLATE,
    PageNode,
    PassageIndexNode,
    PassageNode,
    with_text,
)
from rag_plugins.text import clean
from rag_plugins.types import Assets, EmbedImage, Hit, JsonValue, Passage, embed_image

__all__ = ["from_node", "sides", "to_node", "to_plain_node"]

_logger = logging.getLogger(__name__)

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


def to_node(hit: Hit) -> NodeWithScore:
    """A hit as a new node; its id is the caller's own, else the passage's."""
    node = to_plain_node(hit.passage, hit.assets)
    node.metadata[DETAILS] = details(hit)
    for excluded in node.excluded_embed_metadata_keys, node.excluded_llm_metadata_keys:
        if DETAILS not in excluded:
            excluded.append(DETAILS)
    return NodeWithScore(node=node, score=hit.score)


def to_plain_node(passage: Passage, assets: Assets | None) -> TextNode:
    """A passage as a new node, as it was added: without what a search adds.

    `assets` has the images of ImageNodes. Raises `StoreError` where one is absent.
    """
    node = _made(passage)
    original = _restored(passage)
    if original is not None and _contents(original) == _contents(node):
        node = original
    return _of_class(node, passage, assets)


def from_node(node: BaseNode, index: RagIndex) -> Passage:
    """A passage of `index`; nodes of one ref_doc_id share a doc_id. Raises `BadPassage`.

    The image that an ImageNode holds is kept where a leg reads images, and else left out, which is logged;
    paths and URLs are never followed, nor kept.
    """
    view = node.get_content(MetadataMode.EMBED)
    llm_text = with_text(node).get_content(MetadataMode.LLM)
    metadata = plain_metadata(node.metadata)
    if metadata.get(RETRIEVAL_TEXT) == view:
        del metadata[RETRIEVAL_TEXT]  # Kept as the passage's view.
    return adopt(
        index,
        llm_text,
        view=view,
        images=_images(node, index),
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
        "text_template": NO_VIEW_TEMPLATE if blank else VIEW_TEMPLATE,
        "metadata_template": "{key}: {value}" if blank else "{value}",
        "excluded_embed_metadata_keys": [key for key in metadata if key != RETRIEVAL_TEXT],
        "excluded_llm_metadata_keys": [*(key for key in metadata if key != RETRIEVAL_TEXT), RETRIEVAL_TEXT],
    }


def _images(node: BaseNode, index: RagIndex) -> Sequence[EmbedImage]:
    """What a search has noted of the passage's image views, else the node's own image."""
    if DETAILS in node.metadata:
        return image_views(node.metadata[DETAILS])
    encoded = node.image if isinstance(node, ImageNode) else None
    if encoded is None:
        return ()
    if all(leg.reads == "text" for leg in index.legs.values()):
        _logger.warning("node %s is kept without its image: no leg reads images", node.node_id)
        return ()
    try:
        return (EmbedImage(index.assets.put(base64.b64decode(encoded, validate=True))),)
    except ValueError as error:
        raise BadPassage(f"node {node.node_id}: its image is not base64 ({error})") from error


def _kept(node: BaseNode, llm_text: str) -> dict[str, JsonValue]:
    """What `_restored` needs beside the passage. Small, for a store limits metadata to 65,535 bytes."""
    # Not model_dump: an IndexNode would write the object that it stands for.
    fields = type(node).model_fields
    kept: dict[str, JsonValue] = {
        key: value
        for key in sorted(_KEPT & fields.keys())
        if (value := _own(getattr(node, key))) != fields[key].get_default(call_default_factory=True)
    }
    if isinstance(node, IndexNode):
        kept["index_id"] = node.index_id
    if isinstance(node, ImageNode):
        kept["image"] = True
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


def _own(value: Any) -> JsonValue:
    """A field without what a search added to it."""
    return [key for key in value if key != DETAILS] if isinstance(value, list) else value


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
    if fields.get("text_template") in (VIEW_TEMPLATE, NO_VIEW_TEMPLATE):
        metadata[RETRIEVAL_TEXT] = passage.llm_text if view is None else view
    start, end = cast("tuple[int, int | None]", kept.get("text", (0, None)))
    return _node(passage, {**fields, "text": passage.llm_text[start:end], "metadata": metadata})


def _node(passage: Passage, fields: Mapping[str, Any]) -> TextNode:
    id = passage.caller_id if passage.caller_id is not None else passage.id
    return PassageNode(id_=id, relationships=_relationships(passage), **fields)


def _of_class(node: TextNode, passage: Passage, assets: Assets | None) -> TextNode:
    """The node in the class of the one that it was made from."""
    kept, image = passage.metadata.get(NODE), embed_image(passage.views)
    if not isinstance(kept, dict) or not ("index_id" in kept or (kept.get("image") and image)):
        return node
    fields = {name: getattr(node, name) for name in type(node).model_fields}
    if "index_id" in kept:
        return PassageIndexNode(**fields, index_id=str(kept["index_id"]))
    page = encoded_page(cast("EmbedImage", image).asset, assets)
    return PageNode(**fields, image=page.data, image_mimetype=page.mime_type)


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
