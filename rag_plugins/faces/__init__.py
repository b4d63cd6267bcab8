"""What the framework faces have in common: foreign metadata, citations, reading files."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from rag_plugins.config import ChunkingConfig, IngestConfig, OcrConfig
from rag_plugins.errors import BadDocument, BadPassage, ConfigError
from rag_plugins.faces.images import IMAGE_VIEWS, image_views_json
from rag_plugins.index import RagIndex
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import find_documents
from rag_plugins.ingest.pages import read_pages
from rag_plugins.ingest.policy import ViewPolicy
from rag_plugins.types import (
    EmbedImage,
    EmbedText,
    Hit,
    JsonValue,
    Passage,
    StageScore,
    TermMatch,
    embed_text,
)

__all__ = [
    "DETAILS",
    "NODE",
    "RETRIEVAL_TEXT",
    "PassageReader",
    "adopt",
    "checked",
    "details",
    "other_view",
    "plain_metadata",
    "public_metadata",
    "stage_json",
]

RETRIEVAL_TEXT = "retrieval_text"
"""Metadata key of the retrieval view, where it is not the text itself."""

DETAILS = "rag_plugins"
"""Metadata key of what the search adds: score, trace, passage_id, doc_id, page_image, terms."""

NODE = "_llama_index"
"""Metadata key, kept in the store and never shown, of what a LlamaIndex node is rebuilt from."""


@contextmanager
def checked() -> Generator[None]:
    """Make an object of pydantic within; settings that it refuses are a `ConfigError`."""
    try:
        yield
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, told['loc'])) or 'settings'}: {told['msg']}" for told in error.errors()
        )
        raise ConfigError("; ".join(problems)) from None  # pydantic's own text repeats the input.


def plain_metadata(metadata: Mapping[Any, Any]) -> dict[str, JsonValue]:
    """As JSON: dates in ISO form, numpy as numbers and lists, NaN as null; raises `BadPassage` with the key.

    What an earlier search added (`DETAILS`) is left out: it says nothing about the passage.
    """
    return {
        str(key): _plain(str(key), value) for key, value in metadata.items() if key not in (DETAILS, NODE)
    }


def _plain(key: str, value: object) -> JsonValue:
    try:
        return to_jsonable_python(value, fallback=_from_numpy, inf_nan_mode="null")
    except (TypeError, ValueError) as error:
        raise BadPassage(
            f"metadata {key!r}: got {type(value).__name__}, expected what JSON can hold ({error}): "
            "convert it or leave it out"
        ) from error


def _from_numpy(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return cast("object", value.tolist())
    raise TypeError(f"no JSON form of {type(value).__name__}")


def adopt(
    index: RagIndex,
    llm_text: str,
    *,
    view: str,
    images: Sequence[EmbedImage],
    metadata: Mapping[str, JsonValue],
    doc_id: str | None,
    caller_id: str | None,
) -> Passage:
    """A passage from a foreign object; a blank `view` beside images is none.

    Without an id of its own its metadata are its position: equal texts from two pages stay two passages,
    and adding one of them twice stays one.
    """
    position = json.dumps([metadata, view, *(image.asset for image in images)], sort_keys=True)
    passage = index.passage(
        llm_text, view=view, doc_id=doc_id, caller_id=caller_id, metadata=metadata, position=position
    )
    texts = [
        text for text in passage.views if isinstance(text, EmbedText) and (text.text.strip() or not images)
    ]
    return replace(passage, views=(*texts, *images))


def other_view(passage: Passage) -> str | None:
    """The retrieval text of a passage, "" where it has none; None where it is the LLM's text."""
    view = embed_text(passage.views)
    text = view.text if view else ""
    return None if text == passage.llm_text else text


def public_metadata(passage: Passage) -> dict[str, JsonValue]:
    """The caller's metadata; for what came from a file, also source, page, confidence and line boxes.

    Boxes are [left, top, right, bottom] in fractions of the page. The caller's own keys come first.
    """
    cited: dict[str, JsonValue] = {}
    if passage.provenance is not None:
        place = passage.cite()
        cited = {
            "source": place.source,
            "page": place.page,
            "confidence": place.confidence and round(place.confidence, 4),
            "boxes": [
                [round(side, 4) for side in (box.left, box.top, box.right, box.bottom)] for box in place.boxes
            ],
        }
    known = {key: value for key, value in cited.items() if value not in (None, [])}
    return known | {key: value for key, value in passage.metadata.items() if key != NODE}


def details(hit: Hit) -> dict[str, JsonValue]:
    """What stands under `DETAILS`: the final score, the trace, the ids to ask the index with, image views."""
    passage = hit.passage
    image, views = passage.cite(0, 0).page_image, image_views_json(passage)
    return {
        "score": hit.score,
        "passage_id": passage.id,
        "doc_id": passage.doc_id,
        **({"page_image": image} if image else {}),
        **({IMAGE_VIEWS: views} if views else {}),
        "trace": [stage_json(stage) for stage in hit.trace],
        **(
            {"terms": {leg: [_term(match) for match in hit.terms[leg]] for leg in hit.terms}}
            if hit.terms
            else {}
        ),
    }


def stage_json(stage: StageScore) -> JsonValue:
    """A stage of the trace as plain values, without what it has not."""
    return {key: value for key, value in asdict(stage).items() if value is not None}


def _term(match: TermMatch) -> JsonValue:
    known: JsonValue = {key: value for key, value in asdict(match).items() if value is not None}
    return {**known, "score": match.score}


class PassageReader:
    """Files to passages without an index. What cannot be read is logged, kept in `bad`, and skipped."""

    def __init__(
        self,
        ocr: OcrConfig | None,
        chunking: ChunkingConfig | None,
        logger: logging.Logger,
        ingest: IngestConfig | None = None,
    ) -> None:
        self.bad: list[BadDocument] = []
        self._ocr = ocr or OcrConfig()
        self._chunking = chunking or ChunkingConfig()
        self._ingest = ingest or IngestConfig()
        self._logger = logger

    def read(self, paths: Sequence[str | Path]) -> Iterator[Passage]:
        """The passages of files, folders and patterns, in reading order."""
        found = find_documents(paths)
        for bad in found.bad:
            self._skip(bad)
        policy = ViewPolicy(self._ingest.text)
        for file, page in read_pages(found.files, self._ocr, policy, self._ingest.passwords):
            if isinstance(page, BadDocument):
                self._skip(page)
            else:
                yield from chunk(page, file, self._chunking, policy)

    def _skip(self, bad: BadDocument) -> None:
        self._logger.warning("skipped %s", bad)
        self.bad.append(bad)
