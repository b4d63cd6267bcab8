"""Pages as nodes with images, for multimodal LLMs: an image is looked up by its asset's id, never a path."""

from __future__ import annotations

from collections.abc import Iterable

from llama_index.core.schema import NodeWithScore, TextNode

from rag_plugins.context.marks import caption
from rag_plugins.faces.images import encoded_page
from rag_plugins.llama_index.convert import to_node
from rag_plugins.llama_index.nodes import PageNode
from rag_plugins.types import Hit

__all__ = ["page_nodes", "to_image_node"]


def to_image_node(hit: Hit) -> NodeWithScore | None:
    """A hit as a node that holds the image of its page in base64, for multimodal LLMs; None without one.

    Both contents are those of `to_node`. Raises `StoreError` where the image is absent or damaged.
    """
    asset = hit.passage.cite(0, 0).page_image
    if asset is None:
        return None
    image, found = encoded_page(asset, hit.assets), to_node(hit)
    fields = {name: getattr(found.node, name) for name in TextNode.model_fields}
    node = PageNode(**fields, image=image.data, image_mimetype=image.mime_type)
    return NodeWithScore(node=node, score=hit.score)


def page_nodes(hits: Iterable[Hit]) -> list[NodeWithScore]:
    """The pages of hits as nodes, each once, best first; text is the page's name, id the asset's."""
    pages: dict[str, NodeWithScore] = {}
    for hit in hits:
        place = hit.passage.cite(0, 0)
        if place.page_image is None or place.page_image in pages:
            continue
        if found := to_image_node(hit):
            name, _ = caption(place.source, place.page)
            node = found.node.model_copy(update={"id_": place.page_image, "text": name})
            pages[place.page_image] = NodeWithScore(node=node, score=hit.score)
    return list(pages.values())
