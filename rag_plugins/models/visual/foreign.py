"""Multimodal embedding objects of other libraries as encoders of images."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rag_plugins.models.foreign import ForeignEncoder, Side
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.models.visual.images import decoded

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ForeignImageEncoder"]

_AT_ONCE = 32
"""Images that lie in files at a time."""


class ForeignImageEncoder(ForeignEncoder):
    """What another library's object makes of texts and of images, for legs of either.

    The object is given paths of PNG files, upright and in RGB, in a folder that this user alone can read and
    that is gone when it has answered. The rest is as in `ForeignEncoder`.
    """

    def __init__(
        self,
        name: str,
        queries: Side,
        documents: Side,
        *,
        images: Side,
        dim: int | None = None,
        matryoshka: Sequence[int] | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
    ) -> None:
        """A `dim` left out is found by encoding one text. Raises `ConfigError`."""
        super().__init__(
            name,
            queries,
            documents,
            dim=dim,
            matryoshka=matryoshka,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        self._images = images

    def encode_images(self, images: Sequence[bytes], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of encoded images. Raises `BadInput` for one that does not decode and unusable vectors."""
        return self._encode(self._embed, list(images), want, "image")

    def _embed(self, images: Sequence[bytes]) -> list[Any]:
        given: list[Any] = []
        pages = decoded(images)
        for _ in range(0, len(images), _AT_ONCE):
            with _files(islice(pages, _AT_ONCE)) as paths:
                answer = self._images(paths)
                given.extend(answer if isinstance(answer, Iterable) else [answer])
        return given


@contextmanager
def _files(images: Iterable[Image]) -> Generator[list[str]]:
    """Paths of images, until the end of the block."""
    with TemporaryDirectory(prefix="rag-plugins-") as folder:
        paths: list[str] = []
        for n, image in enumerate(images):
            paths.append(str(Path(folder, f"{n}.png")))
            image.save(paths[-1])
        yield paths
