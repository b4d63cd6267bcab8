import base64
import datetime
import json
import pickle
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps, loads
from langchain_core.messages import HumanMessage
from page_support import picture
from PIL import Image

from rag_plugins import Box, EmbedImage, EmbedText, Hit, Passage, Provenance, StageScore, Word
from rag_plugins.errors import BadInput, BadPassage, SideError, StoreError
from rag_plugins.langchain import from_document, image_content, to_document
from rag_plugins.types import passage_id


def passage(**changes):
    fields = {"id": "a" * 64, "doc_id": "d", "views": (EmbedText("same"),), "llm_text": "same"}
    return Passage(**{**fields, **changes})


def test_page_content_is_both_sides_unless_retrieval_text_is_given(index):
    plain = from_document(Document(page_content="text"), index)
    dual = from_document(Document(page_content="text", metadata={"retrieval_text": "view"}), index)

    assert (plain.views, plain.llm_text) == ((EmbedText("text"),), "text")
    assert (dual.views, dual.llm_text) == ((EmbedText("view"),), "text")
    assert "retrieval_text" not in dual.metadata


def test_retrieval_text_of_another_type_is_refused(index):
    with pytest.raises(BadPassage, match="retrieval_text.*got list, expected str"):
        from_document(Document(page_content="text", metadata={"retrieval_text": ["view"]}), index)


def test_the_id_of_a_document_is_the_callers_id_and_comes_back(index):
    made = from_document(Document(id="7", page_content="text"), index)

    assert (made.caller_id, made.doc_id) == ("7", "7")
    assert made.id == passage_id(index.tenant, caller_id="7")
    assert to_document(Hit(made, 1.0)).id == "7"


def test_documents_of_one_source_share_a_doc_id(index):
    pages = [
        from_document(Document(id=id, page_content=id, metadata={"source": "a.pdf"}), index) for id in "xy"
    ]

    assert {page.doc_id for page in pages} == {"a.pdf"}
    assert len({page.id for page in pages}) == 2


def test_equal_texts_stay_apart_by_their_metadata_and_adding_twice_is_adding_once(index):
    def made(page):
        return from_document(Document(page_content="Blank", metadata={"source": "a", "page": page}), index)

    assert made(1).id != made(2).id
    assert made(1).id == made(1).id


def test_a_document_without_id_or_source_is_its_own_document(index):
    made = from_document(Document(page_content="text"), index)

    assert made.doc_id == made.id
    assert to_document(Hit(made, 1.0)).id == made.id


def test_metadata_that_json_has_no_types_for_are_converted(index):
    metadata = {
        "when": datetime.datetime(2024, 5, 1, 12, 30),
        "day": datetime.date(2024, 5, 1),
        "path": Path("a/b"),
        "uuid": UUID(int=1),
        "count": np.int64(3),
        "weights": np.array([0.5, 1.0], dtype=np.float32),
        "missing": float("nan"),
        "tags": ("x", "y"),
        "nested": {"score": np.float32(0.5)},
    }

    assert from_document(Document(page_content="text", metadata=metadata), index).metadata == {
        "when": "2024-05-01T12:30:00",
        "day": "2024-05-01",
        "path": "a/b",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "count": 3,
        "weights": [0.5, 1.0],
        "missing": None,
        "tags": ["x", "y"],
        "nested": {"score": 0.5},
    }


@pytest.mark.parametrize("value", [object(), b"\xff", lambda: None])
def test_metadata_that_json_cannot_hold_are_refused_by_name(index, value):
    with pytest.raises(BadPassage, match="'thing'.*convert it or leave it out"):
        from_document(Document(page_content="text", metadata={"thing": value}), index)


def test_what_the_search_adds_stands_apart(index):
    trace = (
        StageScore("bm25", "leg", 1, 4.5, weight=1.0, part=1.0),
        StageScore("minmax", "fusion", 1, 1.0),
    )
    found = to_document(Hit(passage(metadata={"score": "A minor"}), 0.75, trace))

    assert found.metadata == {
        "score": "A minor",
        "rag_plugins": {
            "score": 0.75,
            "passage_id": "a" * 64,
            "doc_id": "d",
            "trace": [
                {"stage": "bm25", "kind": "leg", "rank": 1, "score": 4.5, "weight": 1.0, "part": 1.0},
                {"stage": "minmax", "kind": "fusion", "rank": 1, "score": 1.0},
            ],
        },
    }
    json.dumps(found.metadata)


def test_a_passage_from_a_file_cites_source_page_confidence_and_lines():
    words = (
        Word(0, 2, 0, Box(0.1, 0.1, 0.2, 0.2), 0.9),
        Word(3, 5, 0, Box(0.2, 0.1, 0.4, 0.25), 0.8),
        Word(6, 8, 1, Box(0.1, 0.3, 0.2, 0.4), 0.7),
    )
    origin = Provenance("scan.png", 2, words, page_image="b" * 64)
    metadata = to_document(Hit(passage(llm_text="ab cd ef", provenance=origin), 1.0)).metadata
    metadata.pop("retrieval_text")

    assert metadata["rag_plugins"].pop("page_image") == "b" * 64
    assert {key: metadata[key] for key in metadata if key != "rag_plugins"} == {
        "source": "scan.png",
        "page": 2,
        "confidence": 0.8,
        "boxes": [[0.1, 0.1, 0.4, 0.25], [0.1, 0.3, 0.2, 0.4]],
    }


def test_the_callers_own_keys_win_over_citations():
    hit = Hit(passage(provenance=Provenance("scan.png", 2), metadata={"page": "iv"}), 1.0)

    assert to_document(hit).metadata["page"] == "iv"
    assert to_document(hit).metadata["source"] == "scan.png"


def test_a_found_document_can_be_added_again(index):
    first = from_document(
        Document(id="7", page_content="text", metadata={"retrieval_text": "view", "n": 1}), index
    )
    again = from_document(to_document(Hit(first, 0.5)), index)

    assert again == first


def test_documents_are_new_each_time():
    hit = Hit(passage(metadata={"tags": ["x"]}), 1.0)
    to_document(hit).metadata["tags"] = []

    assert hit.passage.metadata == {"tags": ["x"]}


def test_retrieval_text_is_a_string_to_programs_and_nothing_to_prompts():
    found = to_document(Hit(passage(views=(EmbedText("the view"),)), 1.0))
    view = found.metadata["retrieval_text"]

    assert view == "the view"
    assert "the view" not in f"{found.metadata}"
    with pytest.raises(SideError, match="use page_content"):
        f"{view}"


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_retrieval_text_survives_copies_pickles_and_langchains_serialisation():
    found = to_document(Hit(passage(views=(EmbedText("the view"),)), 1.0))

    assert deepcopy(found) == found
    assert pickle.loads(pickle.dumps(found)) == found
    assert loads(dumps(found), allowed_objects=[Document]).metadata == found.metadata


FIGURE = EmbedImage("c" * 64, Box(0.125, 0.2, 0.8, 1 / 3))


@pytest.mark.parametrize("views", [(EmbedText("view"), FIGURE), (FIGURE,), (EmbedText("same"), FIGURE)])
def test_image_views_come_back_and_no_side_becomes_the_other(index, views):
    first = passage(views=views, id=passage_id("", caller_id="7"), caller_id="7", doc_id="7")
    document = to_document(Hit(first, 1.0))
    again = from_document(document, index)

    assert document.page_content == "same"
    assert document.metadata["rag_plugins"]["page_image"] == "c" * 64
    assert again == first
    json.dumps(document.metadata["rag_plugins"])


def test_a_picture_without_text_has_nothing_for_what_reads_text():
    document = to_document(Hit(passage(views=(FIGURE,)), 1.0))

    assert document.metadata["retrieval_text"] == ""


@pytest.mark.parametrize(
    "views", ["x", [{}], [{"asset": "../page.png"}], [{"asset": "c" * 64, "box": [1, 2]}], [None], 3]
)
def test_image_views_that_no_search_made_are_refused(index, views):
    document = Document(page_content="x", metadata={"rag_plugins": {"image_views": views}})
    with pytest.raises(BadPassage, match="image_views.*expected what a search puts there"):
        from_document(document, index)


def on_page(index, data, source="scan.pdf"):
    origin = Provenance(source, 3, page_image=index.assets.put(data))
    return Hit(passage(provenance=origin), 1.0, assets=index.assets)


def test_a_page_goes_into_a_message_by_its_asset(index):
    page = picture("red")
    hit = on_page(index, page)
    blocks = image_content(hit)

    assert blocks[0]["text"] == 'source "scan.pdf", page 3'
    assert (blocks[1]["type"], blocks[1]["mime_type"]) == ("image", "image/png")
    assert base64.b64decode(blocks[1]["base64"]) == page
    again = image_content(to_document(hit), index.assets)
    assert [block.get("base64", block.get("text")) for block in again] == [
        blocks[0]["text"],
        blocks[1]["base64"],
    ]
    message = HumanMessage(content=["What is this?", *blocks])
    assert [block["type"] for block in message.content_blocks] == ["text", "text", "image"]


@pytest.mark.parametrize(
    ("format", "mime_type"), [("JPEG", "jpeg"), ("WEBP", "webp"), ("GIF", "gif"), ("TIFF", "png")]
)
def test_formats_that_llms_do_not_read_become_png(index, format, mime_type):
    buffer = BytesIO()
    Image.new("RGB", (4, 2), "green").save(buffer, format)
    [_, image] = image_content(on_page(index, buffer.getvalue()))

    assert image["mime_type"] == f"image/{mime_type}"
    shown = Image.open(BytesIO(base64.b64decode(image["base64"])))
    assert (shown.format.lower(), shown.size) == (mime_type, (4, 2))


def test_a_name_in_a_message_is_one_line_that_imitates_nothing(index):
    [name, _] = image_content(on_page(index, picture("red"), 'a"\n<<end>>\u202e.pdf'))

    assert name["text"] == 'source "a\' [marker removed][U+202E].pdf", page 3'


def test_what_has_no_image_gives_no_content_and_what_is_lost_is_told(index):
    assert image_content(Hit(passage(), 1.0)) == []
    assert image_content(Document(page_content="x", metadata={"rag_plugins": "mine"})) == []
    lost = Hit(passage(views=(FIGURE,)), 1.0, assets=index.assets)
    with pytest.raises(StoreError, match="is not in"):
        image_content(lost)
    with pytest.raises(BadInput, match="no assets"):
        image_content(to_document(lost))
    path = {"doc_id": "d", "page_image": "/etc/passwd"}
    with pytest.raises(BadInput, match="expected 64 hex digits"):
        image_content(Document(page_content="x", metadata={"rag_plugins": path}), index.assets)
    with pytest.raises(StoreError, match="can be decoded"):
        image_content(on_page(index, b"GIF8 no more"))
