"""Multimodal embedding objects of other libraries: given files of their own, and never believed."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_vision import picture

from rag_plugins import EmbedText
from rag_plugins.errors import BadInput
from rag_plugins.models.protocols import SPARSE
from rag_plugins.models.visual.foreign import ForeignImageEncoder

IMAGES = [picture(40, 60, 1), picture(32, 32, 2, format="JPEG"), picture(90, 30, 3, format="WEBP")]


def of_texts(texts):
    return [[float(len(text)), 1.0, 0.0] for text in texts]


class Files:
    """Embeds images by their mean colours, and remembers what it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, paths):
        self.seen.append([(Path(path), Path(path).stat().st_mode & 0o777) for path in paths])
        assert all((os.stat(Path(path).parent).st_mode & 0o077) == 0 for path in paths)
        return [np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in paths]


def encoder_of(images, **options):
    return ForeignImageEncoder("colours", of_texts, of_texts, images=images, **options)


def means(image):
    vector = np.asarray(image).mean(axis=(0, 1))
    return vector / np.linalg.norm(vector)


def test_images_are_given_as_files_that_are_gone_afterwards():
    files = Files()
    found = encoder_of(files).encode_images(IMAGES).dense
    from rag_plugins.pictures import page_image

    expected = [means(page_image(data)) for data in IMAGES]
    assert found == pytest.approx(np.array(expected), abs=1e-6)
    assert found.dtype == np.float32
    paths = [path for call in files.seen for path, _ in call]
    assert [path.suffix for path in paths] == [".png"] * 3
    assert not any(path.exists() or path.parent.exists() for path in paths)


def test_few_files_lie_there_at_a_time_and_positions_count_all_images():
    files = Files()
    many = [picture(4, 4, seed) for seed in range(70)]
    assert encoder_of(files).encode_images(many).dense.shape == (70, 3)
    assert [len(call) for call in files.seen] == [32, 32, 6]
    with pytest.raises(BadInput, match="image 41 of 70 does not decode"):
        encoder_of(files).encode_images([*many[:40], b"", *many[41:]])


def test_files_are_gone_when_the_object_fails():
    seen = []

    def fail(paths):
        seen.extend(paths)
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError, match="no route") as raised:
        encoder_of(fail).encode_images(IMAGES)
    assert raised.value.__notes__ == ["colours was to embed 3 images"]
    assert len(seen) == 3
    assert not any(Path(path).parent.exists() for path in seen)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda n: [[1.0, 0.0, 0.0]] * (n - 1), r"shape \(2, 3\) for 3 images"),
        (lambda n: [[1.0, 0.0, 0.0]] * (n - 1) + [[np.nan, 0.0, 0.0]], "image 3 of 3 has a number"),
        (lambda n: [[0.0, 0.0, 0.0]] * n, "image 1 of 3 has nothing but zeros"),
        (lambda n: [[1.0, 0.0]] * n, "vectors of 2 numbers, expected 3"),
        (lambda n: ["a", "b", "c"], "no matrix of numbers"),
        (lambda n: None, r"for 3 images"),
    ],
)
def test_what_it_gives_is_checked(answer, message):
    with pytest.raises(BadInput, match=message):
        encoder_of(lambda paths: answer(len(paths))).encode_images(IMAGES)


def test_it_serves_legs_of_text_too():
    encoder = encoder_of(Files(), query_prompt="q")
    assert encoder.encode_documents([EmbedText("abc")]).dense[0] == pytest.approx(
        np.array([3, 1, 0]) / np.sqrt(10)
    )
    assert encoder.encode_queries(["ab"]).dense[0] == pytest.approx(np.array([3, 1, 0]) / np.sqrt(10))
    assert encoder.encode_images([]).dense.shape == (0, 3)
    assert encoder.dim == 3
    with pytest.raises(BadInput, match="sparse"):
        encoder.encode_images(IMAGES, SPARSE)


def test_a_hosted_model_brings_its_widths():
    encoder = ForeignImageEncoder("gemini-embedding-2", of_texts, of_texts, images=Files(), dim=3072)
    assert encoder.matryoshka == (768, 1536, 3072)
