"""What tests of page images use: drawn pages, and an encoder of images that can be worked out by hand."""

from io import BytesIO

import numpy as np
from PIL import Image

from rag_plugins.models.protocols import DENSE, Encoding
from rag_plugins.models.sides import query_texts

COLOURS = ("red", "green", "blue")


def picture(colour, size=(60, 80)):
    """A page of one colour, as PNG."""
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


class ColourEncoder:
    """An image is its mean colour, a query the colours that it names: unit vectors of three numbers.

    `images` counts those it was given.
    """

    produces = DENSE
    dim = 3
    matryoshka = ()
    fingerprint = {"model": "colours"}

    def __init__(self):
        self.images = 0

    def encode_queries(self, queries, want=DENSE):
        texts = query_texts(queries)
        named = [[float(colour in text) + 1e-3 for colour in COLOURS] for text in texts]
        return Encoding(dense=_unit(named))

    def encode_images(self, images, want=DENSE):
        self.images += len(images)
        means = [
            np.asarray(Image.open(BytesIO(data)).convert("RGB")).mean(axis=(0, 1)) + 1e-3 for data in images
        ]
        return Encoding(dense=_unit(means))


def _unit(rows):
    matrix = np.array(rows, np.float32).reshape(-1, 3)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
