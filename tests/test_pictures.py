"""Images from anywhere: read as people see them, or not at all."""

from io import BytesIO

import pytest
from PIL import Image

from rag_plugins.pictures import page_image


def picture(width, height, **options):
    buffer = BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(
        buffer, options.pop("format", "PNG"), **options
    )
    return buffer.getvalue()


def test_it_is_upright_and_on_white():
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned by 90 degrees.
    assert page_image(picture(40, 20, format="JPEG", exif=exif)).size == (20, 40)
    clear = BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(clear, "PNG")
    assert page_image(clear.getvalue()).getpixel((0, 0)) == (255, 255, 255)
    assert page_image(picture(4, 4)).mode == "RGB"


def test_bombs_are_not_decoded(monkeypatch):
    bomb = BytesIO()
    Image.new("1", (8000, 5001)).save(bomb, "PNG")
    monkeypatch.setattr(Image.Image, "convert", None)
    assert page_image(bomb.getvalue()) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"%PDF-1.7", bytes(range(256)) * 4, picture(9, 9)[:-30]])
def test_what_is_no_image_is_none(data):
    assert page_image(data) is None


def test_other_formats_are_not_tried():
    assert page_image(picture(8, 8, format="BMP")) is None
