from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
import pytest
from ingest_support import drawn, failure_of, read
from PIL import Image

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import find_documents
from rag_plugins.ingest.images import STORED_SIDE, encode, image_sheets
from rag_plugins.ingest.sheets import Sheet


def sheets(path: Path, **settings: object) -> list[Sheet | BadDocument]:
    (file,) = find_documents([path]).files
    return list(image_sheets(file, OcrConfig.model_validate(settings)))


def image_of(path: Path) -> Image.Image:
    (sheet,) = sheets(path)
    assert isinstance(sheet, Sheet) and sheet.image is not None, sheet
    return sheet.image


def dark(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L")) < 128


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_every_frame_is_a_sheet(tmp_path: Path, suffix: str):
    path = tmp_path / f"frames.{suffix}"
    frames = [Image.new("L", (8, 6), shade) for shade in (0, 90, 250)]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == "webp" else {})
    )
    found = sheets(path)
    assert [sheet.number for sheet in found if isinstance(sheet, Sheet)] == [1, 2, 3]
    means = [np.asarray(sheet.image.convert("L")).mean() for sheet in found if isinstance(sheet, Sheet)]
    assert means == pytest.approx([0, 90, 250], abs=3)


def test_frames_after_the_limit_are_reported_once(tmp_path: Path):
    path = tmp_path / "long.tif"
    Image.new("1", (4, 4)).save(path, save_all=True, append_images=[Image.new("1", (4, 4))] * 4)
    *first, last = sheets(path, max_pages=3)
    assert [sheet.number for sheet in first if isinstance(sheet, Sheet)] == [1, 2, 3]
    assert isinstance(last, BadDocument) and last.page == 4 and "limit is 3" in last.reason


@pytest.mark.parametrize(
    ("mode", "suffix", "scale", "offset"),
    [
        ("uint16", "png", 65535, 0),
        ("uint16", "tif", 900, 3000),  # 10 bits in the middle of 16
        ("int32", "tif", 10**6, -(10**5)),
        ("float32", "tif", 1.0, 0),
        ("float32", "tif", 1e-3, -7.0),
    ],
)
def test_wide_and_float_values_are_spread_over_eight_bits(
    tmp_path: Path, mode: str, suffix: str, scale: float, offset: float
):
    plain = drawn()
    values = (np.asarray(plain, dtype=np.float64) / 255 * scale + offset).astype(mode)
    path = tmp_path / f"wide.{suffix}"
    Image.fromarray(values).save(path)
    assert (dark(image_of(path)) == dark(plain)).mean() > 0.999


@pytest.mark.parametrize("values", [np.full((4, 4), 7.0), np.full((4, 4), np.nan)])
def test_one_value_everywhere_is_a_blank_page(tmp_path: Path, values: np.ndarray):
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "flat.tif")
    assert np.asarray(image_of(tmp_path / "flat.tif")).min() == 255


def test_no_number_counts_as_white(tmp_path: Path):
    values = np.array([[0.0, 1.0], [np.nan, np.inf]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "holes.tif")
    assert np.asarray(image_of(tmp_path / "holes.tif")).tolist() == [[0, 255], [255, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(tmp_path: Path, mode: str):
    letters = drawn()
    clear = Image.new("RGBA", letters.size, (0, 0, 0, 0))  # Black, and unseen.
    clear.paste((0, 0, 0, 255), mask=letters.point(lambda value: 255 - value))
    clear.convert(mode).save(tmp_path / "clear.png")
    found = image_of(tmp_path / "clear.png")
    assert found.mode == "RGB"
    assert (dark(found) == dark(letters)).mean() > 0.999


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int, suffix: str):
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    upright = Image.new("L", (60, 40), 255)
    upright.paste(0, (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (upright if back is None else upright.transpose(back)).save(tmp_path / f"o.{suffix}", exif=exif)
    found = image_of(tmp_path / f"o.{suffix}")
    assert found.size == upright.size
    assert (dark(found) == dark(upright)).mean() > 0.99


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK", "YCbCr"])
def test_colours_of_every_kind_are_read(tmp_path: Path, mode: str):
    if mode == "YCbCr" and PIL.__version__ < "13":
        pytest.skip("Pillow 12.3 reads no TIFF of this kind")
    path = tmp_path / "colours.tif"
    drawn(mode=mode).save(path)
    assert (dark(image_of(path)) == dark(drawn(mode="1"))).mean() > 0.98


def test_a_phones_second_picture_is_not_a_page(tmp_path: Path):
    path = tmp_path / "phone.jpg"
    drawn().save(path, "MPO", save_all=True, append_images=[Image.new("L", (8, 8))])
    assert len(sheets(path)) == 1


@pytest.mark.parametrize("side", [6_400, 12_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int):
    path = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(path)
    assert "more than 40 million pixels" in failure_of(path).reason


def test_other_formats_are_refused_whatever_their_name(tmp_path: Path):
    path = tmp_path / "fake.png"
    drawn().save(path, "BMP")
    assert failure_of(path).reason == "not a readable image: the formats are PNG, JPEG, TIFF, WEBP, GIF"


def test_a_damaged_frame_costs_no_other(tmp_path: Path):
    path = tmp_path / "damaged.tif"
    frames = [Image.new("L", (64, 64), 200), Image.effect_noise((64, 64), 90), Image.new("L", (64, 64), 220)]
    frames[0].save(path, save_all=True, append_images=frames[1:], compression="tiff_adobe_deflate")
    with Image.open(path) as image:
        image.seek(1)
        offset, length = image.tag_v2[273][0], image.tag_v2[279][0]
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = bytes(length)
    path.write_bytes(data)
    first, second, third = sheets(path)
    assert isinstance(first, Sheet) and isinstance(third, Sheet)
    assert isinstance(second, BadDocument) and second.page == 2


def decoded(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_stored_pages_are_small_and_keep_their_proportions():
    noise = Image.effect_noise((2000, 3000), 60).convert("RGB")
    stored = decoded(encode(noise))
    assert stored.format == "WEBP"
    assert stored.size == (round(2000 * STORED_SIDE / 3000), STORED_SIDE)


def test_a_bilevel_scan_is_stored_whole_and_losslessly():
    scan = drawn(mode="1", size=(1850, 2621))
    stored = decoded(encode(scan))
    assert (stored.format, stored.mode, stored.size) == ("PNG", "1", scan.size)
    assert stored.tobytes() == scan.tobytes()


def test_a_clean_page_is_stored_as_the_smaller_of_the_two():
    clean, photograph = drawn(), Image.effect_noise((760, 300), 60)
    assert decoded(encode(clean)).tobytes() == clean.tobytes()
    assert decoded(encode(photograph)).format == "WEBP"


def test_grey_in_three_channels_is_stored_in_one():
    assert encode(drawn(mode="RGB")) == encode(drawn())
    coloured = drawn(mode="RGB")
    coloured.paste("red", (0, 0, 60, 60))
    assert decoded(encode(coloured)).convert("RGB").getpixel((30, 30))[1] < 60


def test_reading_keeps_the_files_closed_and_the_pages_in_order(tmp_path: Path):
    for number in range(3, 8):
        drawn((f"Sheet the {number}th",), size=(500, 120)).save(tmp_path / f"{number}.png")
    pages = read(tmp_path)
    assert [page.text for page in pages if not isinstance(page, BadDocument)] == [
        f"Sheet the {number}th" for number in range(3, 8)
    ]
