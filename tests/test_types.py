import hashlib
import logging
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rag_plugins.errors import BadInput, RagPluginsError, SideError, StoreError
from rag_plugins.store.assets import AssetStore
from rag_plugins.types import (
    Box,
    Citation,
    EmbedImage,
    EmbedText,
    Hit,
    Passage,
    Provenance,
    Word,
    embed_text,
    passage_id,
)

VIEW = EmbedText("filter interval 500 h")


@pytest.mark.parametrize(
    "mix",
    [
        lambda: f"Context: {VIEW}",
        lambda: f"Context: {VIEW:>40}",
        lambda: "Context: {}".format(VIEW),  # noqa: UP032
        lambda: "Context: %s" % VIEW,  # noqa: UP031
        lambda: str(VIEW),
        lambda: logging.makeLogRecord({"msg": "%s", "args": (VIEW,)}).getMessage(),
    ],
)
def test_a_view_never_becomes_part_of_a_prompt(mix):
    with pytest.raises(SideError, match="llm_text"):
        mix()


def test_joining_a_view_into_text_fails_too():
    with pytest.raises(TypeError):
        "\n".join(["Context:", VIEW])


def test_a_side_error_is_the_projects_and_pythons():
    assert issubclass(SideError, RagPluginsError) and issubclass(SideError, TypeError)


def test_repr_is_for_people():
    assert repr(VIEW) == "EmbedText(text='filter interval 500 h')"


def test_embed_text_joins_text_views_and_leaves_images_out():
    assert embed_text([EmbedText("a"), EmbedImage("0" * 64), EmbedText("b")]) == EmbedText("a\nb")
    assert embed_text([EmbedImage("0" * 64)]) is None


def word(start, end, line, left, confidence=None):
    return Word(start, end, line, Box(left, line / 10, left + 0.1, line / 10 + 0.05), confidence)


def test_boxes_are_one_a_line():
    provenance = Provenance("a.png", 1, (word(0, 3, 1, 0.1), word(4, 7, 1, 0.3), word(8, 9, 2, 0.1)))
    assert provenance.boxes() == (
        Box(0.1, 0.1, 0.4, 0.1 + 0.05),
        Box(0.1, 0.2, 0.2, 0.2 + 0.05),
    )


def test_confidence_is_the_mean_of_what_was_recognised():
    assert Provenance("a", 1, (word(0, 1, 1, 0, 0.5), word(1, 2, 1, 0, 1.0))).confidence == 0.75
    assert Provenance("a", 1, (word(0, 1, 1, 0),)).confidence is None


def test_ids_differ_by_every_part():
    parts = dict(source="a", position="1", content="text")
    ids = {
        passage_id("", **parts),
        passage_id("t", **parts),
        passage_id("", **{**parts, "source": "b"}),
        passage_id("", **{**parts, "position": "2"}),
        passage_id("", **{**parts, "content": "other"}),
        passage_id("", caller_id="a"),
        passage_id("t", caller_id="a"),
    }
    assert len(ids) == 7
    assert all(len(id) == 64 and set(id) <= set("0123456789abcdef") for id in ids)


@given(st.lists(st.text(max_size=5), min_size=8, max_size=8))
def test_parts_never_run_into_each_other(texts):
    first, second = tuple(texts[:4]), tuple(texts[4:])
    same = passage_id(first[0], source=first[1], position=first[2], content=first[3]) == passage_id(
        second[0], source=second[1], position=second[2], content=second[3]
    )
    assert same == (first == second)


def test_a_callers_id_keeps_its_passage_when_the_text_changes():
    assert passage_id("", caller_id="n1", content="a") == passage_id("", caller_id="n1", content="b")


def passage(llm_text, *words, views=(VIEW,), **origin):
    origin = Provenance("scan.png", 3, words, **origin) if words or origin else None
    return Passage("a" * 64, "d", views, llm_text, provenance=origin)


PAGE = passage(
    "red lamp\nempty",
    word(0, 3, 1, 0.1, 0.5),
    word(4, 8, 1, 0.3, 1.0),
    word(9, 14, 2, 0.1, 0.9),
    page_image="b" * 64,
)
LAMP, RED = Box(0.3, 0.1, 0.4, 0.1 + 0.05), Box(0.1, 0.1, 0.2, 0.1 + 0.05)
EMPTY = Box(0.1, 0.2, 0.2, 0.2 + 0.05)


@pytest.mark.parametrize(
    ("span", "boxes", "confidence"),
    [
        ((), (RED.union(LAMP), EMPTY), 0.8),
        ((4, 8), (LAMP,), 1.0),
        ((5, 6), (LAMP,), 1.0),
        ((4, 10), (LAMP, EMPTY), 0.95),
        ((9,), (EMPTY,), 0.9),
        ((3, 4), (), None),
        ((0, 0), (), None),
    ],
)
def test_a_span_is_cited_by_page_and_the_boxes_of_its_words_one_a_line(span, boxes, confidence):
    assert PAGE.cite(*span) == Citation("scan.png", 3, boxes, "b" * 64, pytest.approx(confidence))


def test_text_without_words_is_cited_by_source_and_page_alone():
    assert passage("plain", page_image=None).cite(1, 3) == Citation("scan.png", 3)
    assert passage("plain").cite() == Citation("d")


@pytest.mark.parametrize("span", [(-1, 2), (2, 1), (0, 15), (15,)])
def test_a_span_outside_of_the_text_is_refused(span):
    with pytest.raises(BadInput, match="within the 14 characters"):
        PAGE.cite(*span)


def test_a_picture_is_cited_where_its_view_stands():
    figure = EmbedImage("c" * 64, Box(0.2, 0.2, 0.8, 0.5))

    assert passage("[a picture]", views=(figure,), start=9).cite() == Citation(
        "scan.png", 3, (figure.box,), "c" * 64
    )
    assert passage("[a picture]", views=(figure,)).cite() == Citation("d", page_image="c" * 64)
    # A part of a text that has boxes stands where its words do.
    beside = passage("red lamp", word(0, 3, 1, 0.1), views=(VIEW, figure))
    assert beside.cite(3, 4).boxes == ()


@given(st.integers(0, 14), st.integers(0, 14), st.integers(0, 14))
def test_the_boxes_of_a_span_are_those_of_its_parts(first, middle, last):
    first, middle, last = sorted((first, middle, last))
    areas = [PAGE.cite(*span).boxes for span in ((first, last), (first, middle), (middle, last))]

    def around(boxes):
        return None if not boxes else boxes[0] if len(boxes) == 1 else boxes[0].union(boxes[1])

    assert around(areas[0]) == around([box for box in map(around, areas[1:]) if box])


def picture(mode, color, format):
    buffer = BytesIO()
    Image.new(mode, (4, 2), color).save(buffer, format)
    return buffer.getvalue()


def test_a_hit_shows_its_page_by_its_asset_alone(tmp_path):
    assets = AssetStore(tmp_path)
    asset = assets.put(picture("RGBA", (0, 0, 0, 0), "PNG"))
    image = Hit(passage("text", page_image=asset), 1.0, assets=assets).page_image()
    seen = Hit(passage("text", views=(EmbedImage(asset),)), 1.0, assets=assets).page_image()

    assert (image.size, image.mode, image.getpixel((0, 0))) == ((4, 2), "RGB", (255, 255, 255))
    assert seen.tobytes() == image.tobytes()


def test_a_hit_without_a_page_image_shows_none(tmp_path):
    assert Hit(passage("text"), 1.0, assets=AssetStore(tmp_path)).page_image() is None
    assert Hit(passage("text"), 1.0).page_image() is None


def test_what_is_no_image_of_the_store_is_an_error(tmp_path):
    (tmp_path / "page.png").write_bytes(picture("L", 0, "PNG"))
    assets = AssetStore(tmp_path / "assets")

    def shown(asset, assets=assets):
        return Hit(passage("text", page_image=asset), 1.0, assets=assets).page_image()

    with pytest.raises(BadInput, match="64 hex digits"):
        shown(str(tmp_path / "page.png"))
    with pytest.raises(BadInput, match="without its assets"):
        shown("b" * 64, None)
    with pytest.raises(StoreError, match="is not in"):
        shown(hashlib.sha256(b"other").hexdigest())
    with pytest.raises(StoreError, match="can be decoded"):
        shown(assets.put(b"GIF8 no more"))
