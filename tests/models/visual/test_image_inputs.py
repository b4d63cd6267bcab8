"""Images on their way to models, and processors that want more than is installed."""

from importlib.util import find_spec
from io import BytesIO

import pytest
from PIL import Image
from sentence_transformers import SentenceTransformer
from tiny_clip import save_clip
from tiny_vision import picture, save_qwen3_vl

from rag_plugins.errors import BadInput, MissingExtra
from rag_plugins.models.visual.images import decoded, reads_images, torchvision_named, without_videos


def test_images_are_decoded_in_their_order():
    images = [picture(8, 5), picture(3, 9, format="JPEG"), picture(6, 6, format="GIF")]
    assert [image.size for image in decoded(images)] == [(8, 5), (3, 9), (6, 6)]
    assert [image.mode for image in decoded(images)] == ["RGB"] * 3


@pytest.mark.parametrize("data", [b"", b"no image", picture(9, 9)[:-30], picture(8, 8, format="BMP")])
def test_one_that_does_not_decode_is_named_by_its_position(data):
    images = decoded([picture(4, 4), data, picture(4, 4)])
    assert next(images).size == (4, 4)
    with pytest.raises(BadInput, match="image 2 of 3 does not decode: expected PNG, JPEG"):
        next(images)


def test_which_folders_read_images(tmp_path, tiny_bert):
    SentenceTransformer(str(save_clip(tmp_path / "clip"))).save_pretrained(str(tmp_path / "saved"))
    assert reads_images(tmp_path / "saved")
    assert not reads_images(tiny_bert)
    assert not reads_images(tmp_path)


def test_a_processor_without_videos_is_left_as_it_is(tiny_bert):
    with without_videos(tiny_bert) as folder:
        assert folder == tiny_bert


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="transformers can load all of it then")
def test_what_needs_torchvision_says_so_with_the_cure(tmp_path):
    folder = save_qwen3_vl(tmp_path)  # Its processor of videos needs it.
    with (
        pytest.raises(MissingExtra, match=r"needs torchvision.*install the build for torch \d"),
        torchvision_named(folder),
    ):
        SentenceTransformer(str(folder))


def test_other_failures_pass_as_they_are(tmp_path):
    with pytest.raises(ImportError, match="no_such_module") as raised, torchvision_named(tmp_path):
        import no_such_module  # noqa: F401
    assert not isinstance(raised.value, MissingExtra)
    with pytest.raises(ZeroDivisionError), torchvision_named(tmp_path):
        Image.open(BytesIO(picture(1, 1))).reduce(1 // 0)
