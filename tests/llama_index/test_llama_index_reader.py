import logging

import pytest
from faces_support import watched
from llama_index.core import SimpleDirectoryReader
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import MetadataMode
from PIL import Image, ImageDraw, ImageFont

from rag_plugins.config import ChunkingConfig, OcrConfig
from rag_plugins.llama_index import HybridRetriever, OcrReader

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


def test_a_scan_becomes_documents_with_both_sides_and_its_place(scan):
    [document] = OcrReader().load_data(scan)
    metadata = document.metadata

    assert "every three weeks" in document.text
    assert document.get_content(MetadataMode.LLM) == document.text
    assert document.get_content(MetadataMode.EMBED) == metadata["retrieval_text"]
    assert metadata["source"].endswith("pump.png")
    assert metadata["page"] == 1
    assert 0.7 < metadata["confidence"] <= 1.0
    assert len(metadata["boxes"]) == 3
    assert [other.id_ for other in OcrReader().lazy_load_data([scan])] == [document.id_]


def test_bad_files_are_logged_and_listed_and_the_others_are_read(tmp_path, caplog):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    (tmp_path / "note.txt").write_text("A note in plain text.", encoding="utf-8")
    reader = OcrReader()
    with caplog.at_level(logging.WARNING, logger="rag_plugins"):
        texts = [document.text for document in reader.load_data(tmp_path)]

    assert texts == ["A note in plain text."]
    [bad] = reader.bad
    assert bad.file.endswith("broken.png")
    assert str(bad) in caplog.text


def test_it_reads_the_files_of_a_simple_directory_reader(scan):
    reader = OcrReader()
    [document] = SimpleDirectoryReader(scan.parent, file_extractor={".png": reader}).load_data()

    assert "every three weeks" in document.text
    assert document.metadata["file_name"] == "pump.png"
    assert document.get_content(MetadataMode.LLM) == document.text
    assert document.get_content(MetadataMode.EMBED) == document.metadata["retrieval_text"]


async def test_the_event_loop_runs_on_while_a_scan_is_read(scan):
    for load in OcrReader().aload_data, OcrReader().alazy_load_data:
        documents, stood_still = await watched(load(scan))
        assert len(list(documents)) == 1
        assert stood_still < 0.3


def test_scans_are_split_stored_and_found_with_both_sides(scan, tmp_path):
    documents = OcrReader().load_data(scan)
    # The view counts against the chunk size.
    splitter = SentenceSplitter(chunk_size=40, chunk_overlap=0)
    nodes = splitter.get_nodes_from_documents(documents)
    view = documents[0].metadata["retrieval_text"]
    assert len(nodes) > 1

    with HybridRetriever.from_nodes(nodes, path=tmp_path / "p.db", preset="lexical", k=9) as retriever:
        found = retriever.retrieve("weeks")

    assert {node.get_content(MetadataMode.LLM) for node in found} == {node.text for node in nodes}
    assert {node.get_content(MetadataMode.EMBED) for node in found} == {view}
    assert {node.node.ref_doc_id for node in found} == {documents[0].id_}
    assert {node.metadata["page"] for node in found} == {1}


def test_settings_survive_serialisation():
    reader = OcrReader(OcrConfig(languages=("eng", "deu")), ChunkingConfig(size=80, overlap=8))
    again = OcrReader.from_dict(reader.to_dict())

    assert (again.ocr, again.chunking) == (reader.ocr, reader.chunking)
    assert OcrReader.from_json(reader.to_json()).to_dict() == reader.to_dict()
