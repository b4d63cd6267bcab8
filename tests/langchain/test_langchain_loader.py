import logging
from io import BytesIO

import pytest
from faces_support import watched
from langchain_text_splitters import RecursiveCharacterTextSplitter
from PIL import Image, ImageDraw, ImageFont

from rag_plugins import RagIndex
from rag_plugins.langchain import HybridRetriever, OcrLoader

LINES = ["The pump P-204 must be oiled", "every three weeks with oil", "of the grade ISO 68."]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    image = Image.new("L", (1400, 500), "white")
    draw = ImageDraw.Draw(image)
    for n, line in enumerate(LINES):
        draw.text((60, 60 + 110 * n), line, font=ImageFont.load_default(64), fill="black")
    path = tmp_path_factory.mktemp("scans") / "pump.png"
    image.save(path)
    return path


def test_a_scan_becomes_documents_with_text_view_and_place(scan):
    [document] = OcrLoader(scan).load()

    assert "every three weeks" in document.page_content
    assert "P-204" in document.metadata["retrieval_text"]
    assert document.metadata["source"].endswith("pump.png")
    assert document.metadata["page"] == 1
    assert 0.7 < document.metadata["confidence"] <= 1.0
    assert len(document.metadata["boxes"]) == 3
    assert all(0 <= side <= 1 for box in document.metadata["boxes"] for side in box)
    assert document.id == OcrLoader([scan]).load()[0].id


def test_a_bad_file_is_logged_and_listed_and_the_others_are_read(scan, tmp_path, caplog):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    note = tmp_path / "note.txt"
    note.write_text("A note in plain text.", encoding="utf-8")
    loader = OcrLoader([broken, note, tmp_path / "absent.pdf"])
    with caplog.at_level(logging.WARNING, logger="rag_plugins"):
        texts = [document.page_content for document in loader.load()]

    assert texts == ["A note in plain text."]
    assert len(loader.bad) == 2
    assert {error.file.rsplit("/")[-1] for error in loader.bad} == {"broken.png", "absent.pdf"}
    assert all(str(error) in caplog.text for error in loader.bad)
    loader.load()
    assert len(loader.bad) == 2


async def test_the_event_loop_runs_on_while_a_scan_is_read(scan):
    async def load():
        return [document async for document in OcrLoader(scan).alazy_load()]

    documents, stood_still = await watched(load())

    assert len(documents) == 1
    assert stood_still < 0.3


def test_scans_are_split_stored_and_found_with_both_sides(scan, tmp_path):
    loaded = OcrLoader(scan).load()
    parts = RecursiveCharacterTextSplitter(chunk_size=40, chunk_overlap=0).split_documents(loaded)
    assert len(parts) > 1

    with HybridRetriever.from_documents(parts, path=tmp_path / "p.db", preset="lexical", k=9) as retriever:
        found = retriever.invoke("weeks")

    # Every part carries the whole passage's view, so each is found by any of its words.
    assert {document.page_content for document in found} == {part.page_content for part in parts}
    assert {document.metadata["retrieval_text"] for document in found} == {
        loaded[0].metadata["retrieval_text"]
    }
    assert {document.metadata["page"] for document in found} == {1}


def test_what_an_index_read_itself_comes_back_with_its_place_and_page_image(scan, tmp_path):
    with RagIndex.open(tmp_path / "i.db", preset="lexical") as index:
        index.ingest([scan])
        [found] = HybridRetriever(index).invoke("P-204")
        image = index.assets.get(found.metadata["rag_plugins"]["page_image"])

    [loaded] = OcrLoader(scan).load()
    assert found.page_content == loaded.page_content
    assert found.metadata | {"rag_plugins": None} == loaded.metadata | {"rag_plugins": None}
    assert Image.open(BytesIO(image)).size[0] > 500
