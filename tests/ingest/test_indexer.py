"""Files into a collection: idempotent, resumable, a bad file never stopping the rest."""

import os
import subprocess
import sys

import pytest
from page_support import ColourEncoder
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ImageLeg, IngestConfig

LEXICAL = Config.preset("lexical")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


@pytest.fixture
def index(path):
    with RagIndex.open(path, config=LEXICAL) as index:
        yield index


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "pump.txt").write_text("The coolant pump is bolted to the frame.")
    (folder / "filter.md").write_text("Change the dust filter every 500 hours.")
    return folder


def found(index, query, **options):
    return [hit.passage.llm_text for hit in index.search(query, **options)]


def scan(path, text):
    image = Image.new("L", (900, 160), 255)
    ImageDraw.Draw(image).text((30, 50), text, font=ImageFont.load_default(size=44), fill=0)
    image.save(path)


def test_a_folder_is_read_and_a_second_run_has_nothing_to_do(index, folder):
    first = index.ingest([folder])
    assert (first.documents, first.unchanged, first.pages, first.passages, first.bad) == (2, 0, 2, 2, ())
    again = index.ingest([folder])
    assert (again.documents, again.unchanged, again.pages) == (0, 2, 0)
    assert index.count() == 2 and found(index, "dust filter") == ["Change the dust filter every 500 hours."]


def test_patterns_are_ingested_as_folders_are(index, folder):
    assert index.ingest([folder / "*.txt"]).documents == 1
    assert index.ingest([folder.parent / "**/*"], root=folder.parent).documents == 2
    assert [bad.reason for bad in index.ingest([folder / "*.pdf"]).bad][0].startswith("matches nothing")


def test_a_changed_document_replaces_the_old_one(index, folder):
    (folder / "filter.md").write_text("word " * 400 + "the old strainer")
    index.ingest([folder])
    assert found(index, "strainer")
    (folder / "filter.md").write_text("Change the dust filter every 250 hours.")
    summary = index.ingest([folder])
    assert (summary.documents, summary.replaced, summary.unchanged) == (1, 1, 1)
    assert index.count() == 2
    assert found(index, "filter hours") == ["Change the dust filter every 250 hours."]
    assert found(index, "strainer") == []


def test_documents_are_known_by_their_path_below_the_root(index, folder):
    index.ingest([folder], root=folder.parent)
    (hit,) = index.search("pump")
    assert hit.passage.doc_id == "documents/pump.txt"
    assert hit.passage.metadata == {"source": "documents/pump.txt", "page": 1, "origin": "text"}
    assert index.delete("documents/pump.txt") == 1 and found(index, "pump") == []
    assert index.ingest([folder], root=folder.parent).documents == 1, "a deleted document is read again"


def test_bad_files_are_listed_and_the_rest_goes_on(index, folder):
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing follows")
    (folder / "empty.png").write_bytes(b"")
    summary = index.ingest([folder, folder / "absent.txt"])
    assert summary.documents == 2 and index.count() == 2
    assert sorted(os.path.basename(bad.file) for bad in summary.bad) == [
        "absent.txt",
        "broken.pdf",
        "empty.png",
    ]


def test_a_document_that_goes_bad_keeps_what_was_read_of_it(index, folder):
    index.ingest([folder])
    (folder / "filter.md").write_bytes(b"\xff\xfa")
    summary = index.ingest([folder])
    assert len(summary.bad) == 1 and summary.documents == 0
    assert found(index, "dust filter") == ["Change the dust filter every 500 hours."]


def test_a_page_that_goes_bad_keeps_its_old_passages_and_is_tried_again(path, folder):
    file = folder / "scan.txt"
    file.write_text("first page about valves\fsecond page about gaskets")
    with RagIndex.open(path, config=LEXICAL) as index:
        index.ingest([file])
    file.write_text("first page about rivets\fsecond page about gaskets")
    limited = Config.make({**LEXICAL.model_dump(), "ocr": {"max_pages": 1}})
    with RagIndex.open(path, config=limited) as index:
        summary = index.ingest([file])
        assert len(summary.bad) == 1 and summary.replaced == 1
        assert found(index, "rivets") and found(index, "gaskets")
        assert index.ingest([file]).unchanged == 0
    with RagIndex.open(path, config=LEXICAL) as index:
        assert index.ingest([file]).bad == ()
        assert found(index, "rivets") and found(index, "gaskets") and not found(index, "valves")
        assert index.ingest([file]).unchanged == 1


def test_other_settings_read_a_document_again(path, folder):
    with RagIndex.open(path, config=LEXICAL) as index:
        index.ingest([folder])
    smaller = Config.make({**LEXICAL.model_dump(), "chunking": {"size": 8, "overlap": 0}})
    with RagIndex.open(path, config=smaller) as index:
        assert index.ingest([folder]).replaced == 2


def test_a_scan_keeps_page_image_words_and_boxes(index, tmp_path):
    scan(tmp_path / "note.png", "Gasket part number 4711")
    summary = index.ingest([tmp_path / "note.png"])
    assert (summary.pages, summary.recognised) == (1, 1)
    (hit,) = index.search("gasket")
    assert hit.passage.llm_text.strip() == "Gasket part number 4711"
    provenance = hit.passage.provenance
    spans = [hit.passage.llm_text[word.start : word.end] for word in provenance.words]
    assert spans == ["Gasket", "part", "number", "4711"] and provenance.confidence > 0.7
    (box,) = provenance.boxes()
    assert 0 < box.left < 0.1 and 0.2 < box.top < box.bottom < 0.75
    assert max(hit.page_image().size) > 500


def test_a_run_that_was_killed_is_resumed(path, folder):
    for n in range(200):
        (folder / f"{n:03}.txt").write_text(f"part number {n} of the machine")
    program = """
import os, sys
from rag_plugins import RagIndex
from rag_plugins.ingest.writer import Writer
stored, replace = [], Writer.replace
def counting(self, documents):
    replace(self, documents)
    stored.append(len(documents))
    if sum(stored) > 100:
        os._exit(9)
Writer.replace = counting
RagIndex.open(sys.argv[1], preset="lexical").ingest([sys.argv[2]])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(folder)], capture_output=True, timeout=200
    )
    assert done.returncode == 9, done.stderr.decode()
    with RagIndex.open(path, preset="lexical") as index:
        before = index.count()
        summary = index.ingest([folder])
        assert before > 100 and summary.unchanged == before and summary.documents == 202 - before
        assert index.count() == 202 and summary.replaced == 0


def test_pages_are_counted_by_where_their_text_is_from(index, folder):
    scan(folder / "note.png", "Gasket part number 4711")
    Image.new("L", (300, 200), 255).save(folder / "blank.png")
    canvas = Canvas(str(folder / "made.pdf"))
    canvas.drawString(50, 500, "The text layer of a page.")
    canvas.showPage()
    canvas.save()
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing follows")
    summary = index.ingest([folder])
    kinds = (summary.text_layer, summary.recognised, summary.plain, summary.pictures)
    assert (kinds, summary.pages, len(summary.bad)) == ((1, 1, 2, 1), 5, 1)
    (hit,) = index.search("gasket")
    assert summary.confidence == pytest.approx(hit.passage.provenance.confidence, abs=1e-3)
    assert index.ingest([folder / "note.txt"]).confidence is None


def test_a_locked_document_is_read_once_its_password_is_known(path, tmp_path):
    canvas = Canvas(str(tmp_path / "locked.pdf"), encrypt=StandardEncryption("canary"))
    canvas.drawString(50, 500, "The coolant pump is bolted to the frame.")
    canvas.save()
    with RagIndex.open(path, config=LEXICAL) as index:
        assert len(index.ingest([tmp_path / "locked.pdf"]).bad) == 1
    settings = Config.make({**LEXICAL.model_dump(), "ingest": {"passwords": ["wrong", "canary"]}})
    assert "canary" not in repr(settings) + settings.model_dump_json()
    with RagIndex.open(path, config=settings) as index:
        summary = index.ingest([tmp_path / "locked.pdf"])
        assert summary.text_layer == 1 and "canary" not in repr(summary)
        assert found(index, "coolant") == ["The coolant pump is bolted to the frame."]
    with RagIndex.open(path, config=LEXICAL) as index:
        assert index.ingest([tmp_path / "locked.pdf"]).unchanged == 1, "a password changes no passage"


def test_another_policy_reads_a_document_again(path, folder):
    with RagIndex.open(path, config=LEXICAL) as index:
        index.ingest([folder])
    both = Config.make({**LEXICAL.model_dump(), "ingest": {"text": "both"}})
    with RagIndex.open(path, config=both) as index:
        assert index.ingest([folder]).replaced == 2
        assert index.ingest([folder]).unchanged == 2


class TestImages:
    """Where a leg reads images, what has no text is found by what it shows."""

    @pytest.fixture
    def open_index(self, path):
        def make(**ingest):
            legs = (Bm25Leg(), ImageLeg(model="colours"))
            config = Config(legs=legs, rerank=(), ingest=IngestConfig(**ingest))
            return RagIndex.open(path, config=config, encoders={"image": ColourEncoder()})

        return make

    def test_pictures_and_blank_pages_are_found_and_the_llm_gets_text(self, open_index, tmp_path):
        frames = [Image.new("RGB", (300, 200), colour) for colour in ("white", "blue")]
        frames[1].paste("white", (0, 150, 300, 200))
        frames[0].save(tmp_path / "scan.tif", save_all=True, append_images=frames[1:])
        with open_index() as index:
            summary = index.ingest([tmp_path / "scan.tif"], root=tmp_path)
            assert (summary.pages, summary.pictures, summary.passages) == (2, 2, 2)
            hit = index.search("something blue", k=1)[0]
            assert hit.passage.llm_text == "[scan.tif, page 2: a picture without readable text]"
            assert hit.page_image().size == (300, 200)
            assert "[scan.tif, page 1: a blank page]" in found(index, "red green blue", legs=["image"])
            assert index.ingest([tmp_path / "scan.tif"], root=tmp_path).unchanged == 1

    def test_a_figure_is_found_by_its_part_of_the_page(self, open_index, tmp_path):
        page = Image.new("RGB", (900, 1200), "white")
        font = ImageFont.load_default(size=40)
        for row in range(6):
            ImageDraw.Draw(page).text(
                (60, 80 + 60 * row), f"Line {row} of the report", font=font, fill="black"
            )
        page.paste("red", (200, 600, 700, 1000))
        page.save(tmp_path / "report.png")
        with open_index(images="regions") as index:
            index.ingest([tmp_path / "report.png"], root=tmp_path)
            figure, text = index.search("red", legs=["image"])
            assert figure.passage.llm_text == "[report.png, page 1: a figure without readable text]"
            (view,) = figure.passage.views
            assert view.box.left == pytest.approx(200 / 900, abs=0.03)
            assert "Line 3 of the report" in text.passage.llm_text
            assert index.search("report", mode="text")[0].passage == text.passage

    def test_without_text_views_pages_are_found_by_their_pictures_and_read_as_text(self, open_index, folder):
        scan(folder / "note.png", "Gasket part number 4711")
        with open_index(text="none") as index:
            summary = index.ingest([folder])
            assert summary.documents == 1 and len(summary.bad) == 2, "texts would be found by nothing"
            assert found(index, "gasket", legs=["bm25"]) == []
            assert found(index, "red", legs=["image"]) == ["Gasket part number 4711"]


def test_progress_goes_to_standard_error(index, folder, capsys):
    index.ingest([folder], progress=True)
    shown = capsys.readouterr()
    assert "2/2" in shown.err and "pages/s" in shown.err and shown.out == ""


def test_what_a_kill_leaves_of_a_changed_document_is_removed(path, folder):
    (folder / "filter.md").write_text("word " * 400 + "the old strainer")
    program = """
import os, sys
from rag_plugins import RagIndex
from rag_plugins.ingest.writer import Writer
Writer._drop = lambda self, ids: os._exit(9)
RagIndex.open(sys.argv[1], preset="lexical").ingest([sys.argv[2]])
"""
    with RagIndex.open(path, config=LEXICAL) as index:
        index.ingest([folder])
    (folder / "filter.md").write_text("Change the dust filter every 250 hours.")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(folder)], capture_output=True, timeout=200
    )
    assert done.returncode == 9, done.stderr.decode()
    (folder / "filter.md").write_text("Change the dust filter every 125 hours.")
    with RagIndex.open(path, config=LEXICAL) as index:
        assert index.count() > 2
        assert index.ingest([folder]).documents == 1
        assert index.count() == 2 and found(index, "strainer") == []
        assert found(index, "dust filter") == ["Change the dust filter every 125 hours."]
