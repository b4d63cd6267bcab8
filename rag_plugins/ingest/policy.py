"""Which views passages get: what is configured, and what the legs can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from rag_plugins.config import Config

__all__ = ["Origin", "ViewPolicy"]

Origin: TypeAlias = Literal["text", "text-layer", "ocr"]
"""Where the text of a page is from: a file of text, the page itself, recognition."""

_IMAGE_LEGS = ("image", "page-tokens")


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """`text` and `images` as in `IngestConfig`, None where no leg reads any; `searched`: one reads text."""

    text: Literal["auto", "text-layer", "ocr", "both", "none"] = "auto"
    images: Literal["pages", "regions"] | None = None
    searched: bool = True

    @classmethod
    def of(cls, config: Config) -> Self:
        """The policy of a configuration."""
        kinds = {leg.kind for leg in config.legs}
        images = None if kinds.isdisjoint(_IMAGE_LEGS) else config.ingest.images
        return cls(config.ingest.text, images, searched=bool(kinds.difference(_IMAGE_LEGS)))

    @property
    def recognises_all(self) -> bool:
        """Whether pages with a text layer are recognised too."""
        return self.text in ("ocr", "both")

    def embeds_text(self, origin: Origin) -> bool:
        """Whether the text of such a page is a view."""
        return self.text != "none" and not (self.text == "text-layer" and origin == "ocr")

    def finds(self, origin: Origin, pictured: bool) -> bool:
        """Whether a leg could find such a page, `pictured` or without an image."""
        return (pictured and self.images is not None) or (self.searched and self.embeds_text(origin))
