"""How files become passages: recognition, which text and images are the views, the size of passages."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from rag_plugins.config.frozen import Frozen

__all__ = ["ChunkingConfig", "IngestConfig", "OcrConfig"]

OcrLanguage = Annotated[str, Field(pattern=r"^[a-z]{3}(_[a-z]+)*$")]


class OcrConfig(Frozen):
    """Text recognition: engine, languages as Tesseract names them, workers, limits."""

    engine: Literal["tesseract", "rapidocr"] = "tesseract"
    languages: Annotated[
        Literal["auto"] | Annotated[tuple[OcrLanguage, ...], Field(min_length=1)],
        Field(description="auto: by the script of each page"),
    ] = ("eng",)
    workers: Annotated[int | None, Field(ge=1, description="default: one a core")] = None
    dpi: Annotated[int, Field(ge=72, le=600, description="resolution PDF pages are rendered at")] = 300
    timeout: Annotated[
        float,
        Field(
            gt=0,
            description="seconds a page may take to be read out of its PDF, and again to be recognised",
        ),
    ] = 60.0
    max_pages: Annotated[int, Field(ge=1, description="pages of one file")] = 2000


class IngestConfig(Frozen):
    """What retrieval embeds of a page, and what opens files that are locked.

    `text` is which text becomes the text view: the text layer where there is a usable one and recognised text
    elsewhere ("auto"), one of the two alone, both, or none. The LLM reads the text layer where there is one,
    whatever retrieval reads. Images are embedded where a leg reads them. A page that gives no view which a
    leg reads is reported, not stored.
    """

    text: Literal["auto", "text-layer", "ocr", "both", "none"] = "auto"
    images: Annotated[
        Literal["pages", "regions"],
        Field(description="what an image leg embeds: the page, or the region of each passage and figure"),
    ] = "pages"
    passwords: Annotated[tuple[SecretStr, ...], Field(description="tried on encrypted PDFs, in turn")] = ()


class ChunkingConfig(Frozen):
    """Passages: whole sentences up to `size`, `overlap` of them repeated in the next passage.

    Both count words; a Chinese, Japanese or Korean character counts as one.
    """

    size: Annotated[int, Field(ge=8)] = 160
    overlap: Annotated[int, Field(ge=0)] = 30

    @model_validator(mode="after")
    def _overlap_below_size(self) -> Self:
        if self.overlap >= self.size:
            raise ValueError(f"overlap {self.overlap} must be below size {self.size}")
        return self
