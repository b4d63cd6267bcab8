"""`rag-plugins reread` on a page that was read in the wrong language."""

import pytest
from PIL import Image, ImageDraw, ImageFont

from rag_plugins import RagIndex
from rag_plugins.cli import main


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return int(exit.value.code or 0), shown.out, shown.err

    return run


def test_the_llm_reads_the_new_text_and_retrieval_the_old(run, tmp_path):
    scan, db = tmp_path / "scan.png", tmp_path / "a.db"
    image = Image.new("L", (1100, 200), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=40)
    for row, line in enumerate(
        ("Change the dust filter every 500 hours.", "The valve is hot, never open it.")
    ):
        draw.text((40, 40 + 70 * row), line, font=font, fill=0)
    image.save(scan)
    preset = ("--preset", "lexical")
    assert run("ingest", scan, "--into", db, "--language", "chi_tra", *preset)[0] == 0
    with RagIndex.open(db, preset="lexical") as index:
        before = index.store.fetch(index.store.ids())
    code, out, _ = run("reread", scan, "--in", db, "--language", "eng", *preset)
    assert code == 0 and "1 recognised anew, of 1 documents" in out
    assert "their views and vectors, was not touched" in out
    with RagIndex.open(db, preset="lexical") as index:
        after = index.store.fetch(index.store.ids())
        assert index.ingest([scan]).unchanged == 1
    assert [passage.views for passage in after.values()] == [passage.views for passage in before.values()]
    assert "dust filter" in " ".join(passage.llm_text for passage in after.values())
    assert before != after


def test_what_cannot_be_read_is_said(run, tmp_path):
    db = tmp_path / "a.db"
    RagIndex.open(db, preset="lexical").close()
    code, out, _ = run("reread", tmp_path / "absent.png", "--in", db, "--preset", "lexical")
    assert code == 1 and "absent.png: No such file" in out
    code, _, error = run("reread", tmp_path, "--in", db, "--preset", "lexical", "--engine", "eyes")
    assert code == 1 and "ocr.engine" in error
    assert run("reread", tmp_path, "--in", tmp_path / "none.db", "--preset", "lexical")[0] == 2
