"""Passages to rows: every leg's vector, one pass of each encoder over the views that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from types import MappingProxyType
from typing import TypeAlias, cast

from rag_plugins.errors import BadInput, BadPassage, StoreError
from rag_plugins.legs.given import Given, GivenVectors, given_vectors
from rag_plugins.models.protocols import Encoder, Encoding, ImageEncoder, Leg, Representation
from rag_plugins.pictures import page_image
from rag_plugins.store.assets import AssetStore
from rag_plugins.store.schema import Row
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, embed_image, embed_text
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["Pack", "RowMaker"]

Pack: TypeAlias = Callable[[Matrix], bytes]
"""Token vectors, shape (tokens, dim), to the bytes that a row keeps."""

_NONE: GivenVectors = MappingProxyType({})

_SAME_MODEL = 0.95
"""Cosine of two vectors of one text from one model, at another precision or on another machine."""


class RowMaker:
    """Encodes what each leg reads of passages; a passage without such a view gets no vector there."""

    def __init__(self, legs: Sequence[Leg], packs: Mapping[str, Pack], assets: AssetStore) -> None:
        """`packs` names the legs whose token vectors rows keep; `assets` has the images."""
        self._groups = [list(group) for _, group in groupby(_together(legs), key=_encoder)]
        self._reads = {leg.reads for leg in legs}
        self._legs = {leg.name: leg for leg in legs}
        self._compared: set[str] = set()
        self._packs = packs
        self._assets = assets

    def check(self, passage: Passage) -> None:
        """Raise `BadPassage` for one that no leg can read, or whose image is not to be had."""
        image = embed_image(passage.views) if "image" in self._reads else None
        if image is not None:
            if page_image(self._image(image, passage)) is None:
                raise BadPassage(f"{_called(passage)}: its image {image.asset:.12}… does not decode")
        elif "text" not in self._reads or embed_text(passage.views) is None:
            raise BadPassage(
                f"{_called(passage)} has no view that a leg of this collection reads: they read "
                f"{' and '.join(sorted(self._reads))}, and it has {[type(v).__name__ for v in passage.views]}"
            )

    def trusted(self, passages: Sequence[Passage], vectors: Mapping[str, Given]) -> GivenVectors:
        """Vectors by leg and passage id that the caller has made, with length 1.

        One that a leg's own model does not make of the same passage shows that another model made them: one
        of each leg is compared, once. Raises `BadInput`.
        """
        given = {leg: given_vectors(self._legs, leg, of_leg) for leg, of_leg in vectors.items()}
        for leg in given.keys() - self._compared:
            texts = {passage.id: text for passage in passages if (text := embed_text(passage.views))}
            if shared := texts.keys() & given[leg].keys():
                # The longest: a blank or very short one may look the same to two models.
                id = max(sorted(shared), key=lambda id: len(texts[id].text))
                self._compare(self._legs[leg], texts[id], given[leg][id])
                self._compared.add(leg)
        return given

    def rows(self, passages: Sequence[Passage], given: GivenVectors = _NONE) -> list[Row]:
        """A row a passage, in their order; vectors that are `given` are not made."""
        vectors: list[dict[str, FloatArray | SparseVector]] = [{} for _ in passages]
        tokens: list[dict[str, bytes]] = [{} for _ in passages]
        for legs in self._groups:
            reads = embed_image if legs[0].reads == "image" else embed_text
            readable = [n for n, passage in enumerate(passages) if reads(passage.views)]
            known = [given.get(leg.name, {}) for leg in legs]
            if not any(leg.name in self._packs for leg in legs):
                readable = [n for n in readable if not all(passages[n].id in of_leg for of_leg in known)]
            if readable:
                encoding, places = self._encoded(legs, [passages[n] for n in readable])
                for leg in legs:
                    column, packed = _column(encoding, leg), self._packed(encoding, leg)
                    for n, place in zip(readable, places, strict=True):
                        vectors[n][leg.name] = column[place]
                        if packed:
                            tokens[n][leg.name] = packed[place]
            for leg, of_leg in zip(legs, known, strict=True):
                for passage, own in zip(passages, vectors, strict=True):
                    if passage.id in of_leg:
                        own[leg.name] = of_leg[passage.id]
        return [Row(*row) for row in zip(passages, vectors, tokens, strict=True)]

    def _compare(self, leg: Leg, text: EmbedText, vector: FloatArray) -> None:
        made = cast("Encoder", leg.encoder).encode_documents([text], frozenset({leg.representation})).dense
        if made is not None and (cosine := float(made[0] @ vector)) < _SAME_MODEL:
            raise BadInput(
                f"vectors of leg {leg.name}: what its model makes of the same text has cosine {cosine:.2f} "
                "with the vector given: embed with the model of the collection, or give no vectors"
            )

    def _encoded(self, legs: Sequence[Leg], passages: Sequence[Passage]) -> tuple[Encoding, Sequence[int]]:
        """What the encoder of these legs gives, and where in it each passage is."""
        want = frozenset(leg.representation for leg in legs)
        if any(leg.name in self._packs for leg in legs):
            want |= {Representation.TOKENS}
        if legs[0].reads == "image":
            return self._images(cast("ImageEncoder", legs[0].encoder), passages, want)
        texts = [text for passage in passages if (text := embed_text(passage.views))]
        return cast("Encoder", legs[0].encoder).encode_documents(texts, want), range(len(texts))

    def _images(
        self, encoder: ImageEncoder, passages: Sequence[Passage], want: frozenset[Representation]
    ) -> tuple[Encoding, Sequence[int]]:
        """The passages of a page share its image, which is encoded once."""
        images = [image for passage in passages if (image := embed_image(passage.views))]
        data = {image: self._image(image, passage) for image, passage in zip(images, passages, strict=True)}
        place = {image: position for position, image in enumerate(data)}
        return encoder.encode_images(list(data.values()), want), [place[image] for image in images]

    def _image(self, image: EmbedImage, passage: Passage) -> bytes:
        try:
            data = self._assets.get(image.asset)
        except (BadInput, StoreError) as error:
            raise BadPassage(f"{_called(passage)}: its image is not to be had: {error}") from error
        return data if image.box is None else _cropped(data, image.box)

    def _packed(self, encoding: Encoding, leg: Leg) -> list[bytes]:
        if leg.name not in self._packs:
            return []
        return [self._packs[leg.name](matrix) for matrix in encoding.tokens or ()]


def _cropped(data: bytes, box: Box) -> bytes:
    """The part of an encoded image, as PNG; the whole where it does not decode, which its encoder refuses."""
    page = page_image(data)
    if page is None:
        return data
    width, height = page.size
    left, top = min(int(box.left * width), width - 1), min(int(box.top * height), height - 1)
    right, bottom = max(round(box.right * width), left + 1), max(round(box.bottom * height), top + 1)
    buffer = BytesIO()
    page.crop((left, top, min(right, width), min(bottom, height))).save(buffer, "PNG")
    return buffer.getvalue()


def _encoder(leg: Leg) -> int:
    return id(leg.encoder)


def _together(legs: Sequence[Leg]) -> list[Leg]:
    """The legs of one encoder beside each other, which share its pass."""
    first = {id(leg.encoder): n for n, leg in reversed(list(enumerate(legs)))}
    return sorted(legs, key=lambda leg: first[id(leg.encoder)])


def _column(encoding: Encoding, leg: Leg) -> Sequence[FloatArray | SparseVector]:
    column = encoding.sparse if leg.representation is Representation.SPARSE else encoding.dense
    if column is None:
        raise BadPassage(f"leg {leg.name}: its encoder gave no {leg.representation.value} vectors")
    return list(column)


def _called(passage: Passage) -> str:
    return f"passage {passage.caller_id or passage.id} of {passage.doc_id!r}"
