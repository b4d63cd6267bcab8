"""Dual mode: found by what a page looks like, read by what it says; on a Lite file and on a server."""

from functools import partial

import pytest
from page_support import ColourEncoder, picture

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ImageLeg
from rag_plugins.errors import BadInput, BadPassage, ConfigError
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, Provenance, Word, passage_id

LEGS = (Bm25Leg(), ImageLeg(model="colours"))


@pytest.fixture
def encoder():
    return ColourEncoder()


@pytest.fixture
def reopen(milvus_uri, collection, encoder):
    settings = Config(legs=LEGS, rerank=())
    return partial(
        RagIndex.open, milvus_uri, collection=collection, config=settings, encoders={"image": encoder}
    )


@pytest.fixture
def index(reopen):
    with reopen() as index:
        yield index


def fill(index):
    return index.add(
        [
            index.passage("A red valve closes the line.", image=picture("red"), caller_id="valve"),
            index.passage("The gauge shows bars.", image=picture("green"), caller_id="gauge"),
            index.passage("[plan.pdf, page 3: a picture]", view="", image=picture("blue"), caller_id="plan"),
            index.passage("Blue ink fades.", caller_id="ink"),
        ]
    )


def found(index, query, **options):
    return [hit.passage.caller_id for hit in index.search(query, **options)]


def test_a_page_is_found_by_its_picture_when_it_has_no_text_and_the_llm_gets_text_all_the_same(index):
    fill(index)
    hit = index.search("the blue one", legs=["image"])[0]
    assert hit.passage.caller_id == "plan"
    assert hit.passage.views == (EmbedImage(hit.passage.views[0].asset),)
    assert hit.passage.llm_text == "[plan.pdf, page 3: a picture]"
    assert hit.page_image().size == (60, 80)


def test_legs_find_only_passages_that_have_a_view_for_them(index):
    fill(index)
    assert set(found(index, "red green blue", legs=["image"], k=10)) == {"valve", "gauge", "plan"}
    assert set(found(index, "blue valve gauge picture", legs=["bm25"], k=10)) == {"valve", "gauge", "ink"}


def test_both_sides_of_a_page_are_fused(index):
    fill(index)
    hits = index.search("red valve", k=10)
    assert hits[0].passage.caller_id == "valve"
    assert [(stage.stage, stage.kind) for stage in hits[0].trace] == [
        ("bm25", "leg"),
        ("image", "leg"),
        ("minmax", "fusion"),
    ]


def test_the_mode_says_which_side_is_searched(index):
    fill(index)
    assert "plan" in found(index, "blue", k=10)
    assert found(index, "blue", k=10, mode="text") == ["ink"]
    assert "plan" in found(index, "blue", k=10, mode="dual")
    with pytest.raises(BadInput, match="mode 'dual' needs a leg that reads images"):
        index.search("blue", legs=["bm25"], mode="dual")
    with pytest.raises(BadInput, match="mode 'text' needs a leg that reads text"):
        index.search("blue", legs=["image"], mode="text")


def test_dual_without_a_leg_that_reads_images_is_refused():
    with pytest.raises(ConfigError, match="no leg reads images"):
        Config.make({"legs": [{"kind": "bm25"}], "rerank": [], "mode": "dual"})


def test_passages_of_one_page_share_its_image_which_is_encoded_once(index, encoder):
    page = picture("red")
    index.add([index.passage(f"Part {n} of the page.", image=page, caller_id=str(n)) for n in range(5)])
    assert encoder.images == 1
    assert len(found(index, "red", legs=["image"], k=10)) == 5


def test_a_region_of_a_page_is_seen_alone(index):
    from io import BytesIO

    from PIL import Image

    page = Image.new("RGB", (100, 100), "red")
    page.paste("blue", (0, 50, 100, 100))
    buffer = BytesIO()
    page.save(buffer, "PNG")
    asset = index.assets.put(buffer.getvalue())
    halves = {"upper": Box(0.0, 0.0, 1.0, 0.5), "lower": Box(0.0, 0.5, 1.0, 1.0)}
    index.add(
        Passage(passage_id("", caller_id=name), name, (EmbedImage(asset, box),), name, caller_id=name)
        for name, box in halves.items()
    )
    assert found(index, "blue", k=2) == ["lower", "upper"]
    (hit, _) = index.search("red", k=2)
    assert hit.passage.views == (EmbedImage(asset, halves["upper"]),)


def test_what_was_stored_is_found_after_reopening(reopen):
    with reopen() as index:
        fill(index)
        before = found(index, "blue gauge", k=10)
    with reopen() as index:
        assert found(index, "blue gauge", k=10) == before
        assert found(index, "blue", legs=["image"], k=1) == ["plan"]


def test_an_image_that_is_not_to_be_had_or_does_not_decode_is_refused_before_anything_is_written(index):
    lost = Passage(passage_id("", caller_id="l"), "l", (EmbedImage("0" * 64),), "l", caller_id="l")
    with pytest.raises(BadPassage, match="not to be had"):
        index.add([index.passage("fine", caller_id="fine"), lost])
    with pytest.raises(BadPassage, match="does not decode"):
        index.add([index.passage("fine", caller_id="fine"), index.passage("x", image=b"no image")])
    assert index.count() == 0


def test_low_confidence_moves_weight_to_the_picture(index):
    def word(sure):
        return (Word(0, 5, 0, Box(0.0, 0.0, 0.1, 0.1), sure),)

    index.add(
        [
            index.passage(
                "valve", image=picture("red"), caller_id=name, provenance=Provenance("s", 1, word(sure))
            )
            for name, sure in (("sure", 1.0), ("doubtful", 0.25))
        ]
    )
    weights = {
        hit.passage.caller_id: {stage.stage: stage.weight for stage in hit.trace if stage.kind == "leg"}
        for hit in index.search("red valve")
    }
    assert weights["sure"] == {"bm25": 0.5, "image": 0.5}
    assert weights["doubtful"] == {"bm25": pytest.approx(0.2), "image": pytest.approx(0.8)}


def test_an_encoder_of_texts_is_no_encoder_of_images(milvus_uri, collection):
    from rag_plugins.models.dense import DenseEncoder

    settings = Config(legs=LEGS, rerank=())
    text = DenseEncoder(Config().legs[0])
    with pytest.raises(ConfigError, match="has no encode_images"):
        RagIndex.open(milvus_uri, collection=collection, config=settings, encoders={"image": text})


def test_deleting_a_document_takes_its_pictures_out_of_the_search(index):
    fill(index)
    assert index.delete("plan") == 1
    assert "plan" not in found(index, "blue", k=10)


def test_text_views_beside_image_views_are_what_text_legs_read(index):
    index.add([index.passage("For the LLM.", view="zebra stripes", image=picture("green"), caller_id="z")])
    (hit,) = index.search("zebra", legs=["bm25"])
    assert hit.passage.llm_text == "For the LLM."
    assert hit.passage.views[0] == EmbedText("zebra stripes")
