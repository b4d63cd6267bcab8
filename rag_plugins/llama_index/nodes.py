"""Nodes that passages become: LlamaIndex' classes, which keep both sides of a passage apart."""

from __future__ import annotations

import base64

from llama_index.core.base.llms.types import BaseContentBlock, ImageBlock, TextBlock
from llama_index.core.schema import (
    DEFAULT_TEXT_NODE_TMPL,
    BaseNode,
    ImageNode,
    IndexNode,
    MetadataMode,
    TextNode,
)

from rag_plugins.faces import DETAILS, RETRIEVAL_TEXT

__all__ = [
    "NO_VIEW_TEMPLATE",
    "VIEW_TEMPLATE",
    "PageNode",
    "PassageIndexNode",
    "PassageNode",
    "is_passage",
    "with_text",
]

VIEW_TEMPLATE = "{metadata_str}"
"""text_template of a node whose EMBED content is metadata["retrieval_text"] instead of its text."""

NO_VIEW_TEMPLATE = "{metadata_str:.0}"
"""The same where that is blank: LlamaIndex would take the text for what has no metadata to show."""


def is_passage(node: BaseNode) -> bool:
    """Whether a node has two sides: its template leaves the text to the LLM."""
    return getattr(node, "text_template", None) in (VIEW_TEMPLATE, NO_VIEW_TEMPLATE)


def with_text(node: BaseNode) -> BaseNode:
    """The same node, its text in all contents; for what `VIEW_TEMPLATE` would leave out."""
    if not is_passage(node):
        return node
    return node.model_copy(update={"text_template": DEFAULT_TEXT_NODE_TMPL})


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
        if not is_passage(self):
            return super().get_content(metadata_mode)
        if metadata_mode is MetadataMode.EMBED:
            return str(self.metadata.get(RETRIEVAL_TEXT, self.text))
        return with_text(self).get_content(metadata_mode)

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> list[BaseContentBlock]:
        """The content as a text block: the base class takes what `VIEW_TEMPLATE` leaves out from metadata."""
        return [TextBlock(text=self.get_content(metadata_mode))]


class PassageIndexNode(PassageNode, IndexNode):
    """A passage that stands for another object, by `index_id`: retrievers go on to it."""


class PageNode(PassageNode, ImageNode):
    """A passage with an image, of its page or its own; its content blocks are both."""

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> list[BaseContentBlock]:
        """The text, then the image."""
        image = base64.b64decode(self.image or "")
        blocks = super().get_content_blocks(metadata_mode)
        return [*blocks, ImageBlock(image=image, image_mimetype=self.image_mimetype)]
