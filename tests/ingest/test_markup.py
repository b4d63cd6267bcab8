from __future__ import annotations

import random
import re
import socket
import sys
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import docx
import pytest
from docx.shared import Inches
from ingest_support import failure_of, page_of, read
from PIL import Image

from rag_plugins.config import ChunkingConfig
from rag_plugins.errors import MissingExtra
from rag_plugins.ingest import docx as reader
from rag_plugins.ingest import markup, plain
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import find_documents
from rag_plugins.types import EmbedText

PARTS = "word/document.xml"


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """A document with everything that is read of one."""
    picture = BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "PNG")
    document = docx.Document()
    document.add_heading("Pump manual", 0)
    document.add_heading("Filter", 1)
    document.add_paragraph("Change the dust filter every 500 hours. 更换过滤器。")
    document.add_paragraph("Close the valve", style="List Number")
    document.add_paragraph("Open the housing", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for row, cells in enumerate((("Part", "Number"), ("Filter", "AX-4711"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.add_picture(picture, width=Inches(1))
    document.inline_shapes[0]._inline.docPr.set("descr", "the housing")
    path = tmp_path / "manual.docx"
    document.save(str(path))
    return path


def rewritten(path: Path, parts: Mapping[str, bytes | Callable[[bytes], bytes]]) -> Path:
    """The document with parts replaced, changed or added."""
    with zipfile.ZipFile(path) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    for name, new in parts.items():
        old[name] = new if isinstance(new, bytes) else new(old[name])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in old.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_docx_is_text_with_its_headings_lists_and_tables(manual: Path):
    page = page_of(manual)
    assert (page.number, page.origin, page.title) == (1, "text", "Pump manual")
    assert page.text == (
        "# Pump manual\n# Filter\nChange the dust filter every 500 hours. 更换过滤器。\n\n"
        "1. Close the valve\n2. Open the housing\n\n| Part | Number |\n| Filter | AX-4711 |\n\n[the housing]"
    )


def test_markdown_is_read_as_its_authors_mean_it(tmp_path: Path):
    (tmp_path / "a.md").write_text(
        "---\ntitle: Notes\ntags: <b>\n---\n# Pump\n\nThe *coolant* pump\nis [bolted](http://x.y).\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n- x\n- y\n\n<script>no</script>\n\n```\ncode  <b>\n```\n"
    )
    page = page_of(tmp_path / "a.md")
    assert page.title == "Pump"
    assert page.text == (
        "title: Notes\ntags: <b>\n\n# Pump\nThe coolant pump is bolted.\n\n"
        "| a | b |\n| 1 | 2 |\n\n- x\n- y\n\ncode  <b>"
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<meta charset=gb2312><p>" + "你好，世界".encode("gb18030"), "你好，世界"),
        (b'<meta http-equiv=Content-Type content="text/html; charset=ISO-8859-1"><p>caf\xe9 \x80', "café €"),
        ("<p>naïve".encode(), "naïve"),
        ("<p>naïve".encode("utf-16"), "naïve"),
        (b"\xef\xbb\xbf<meta charset=latin1><p>" + "naïve".encode(), "naïve"),
        (b'<?xml version="1.0" encoding="UTF-8"?><html><body><p>x\xc3\xa9</p></body></html>', "xé"),
        (b"<meta charset=punycode><p>plain", "plain"),
    ],
)
def test_html_says_in_which_coding_it_is(tmp_path: Path, data: bytes, expected: str):
    (tmp_path / "a.html").write_bytes(data)
    assert page_of(tmp_path / "a.html").text == expected


def test_html_of_another_coding_than_it_says_is_refused(tmp_path: Path):
    (tmp_path / "a.htm").write_bytes(b"<meta charset=utf-8><p>caf\xe9")
    assert failure_of(tmp_path / "a.htm").reason.startswith("not utf-8 text (byte 26)")


def test_passages_know_their_title_and_heading(tmp_path: Path):
    sections = "".join(f"# Part {name}\n\n{'word ' * 12}\n\n" for name in "ABC")
    (tmp_path / "a.md").write_text("Before all.\n\n" + sections)
    (file,) = find_documents([tmp_path], tmp_path).files
    passages = chunk(page_of(tmp_path / "a.md"), file, ChunkingConfig(size=16, overlap=0))
    assert [passage.metadata.get("heading") for passage in passages] == [None, "Part A", "Part B", "Part C"]
    assert {passage.metadata["title"] for passage in passages} == {"Part A"}
    assert all("#" not in passage.llm_text or passage.llm_text.startswith("# Part") for passage in passages)
    assert passages[0].views == (EmbedText("Before all."),)


@pytest.mark.parametrize("name", ["a.html", "a.md", "a.xhtml"])
def test_a_page_without_text_is_a_failure(tmp_path: Path, name: str):
    (tmp_path / name).write_text("<script>only()</script>")
    assert failure_of(tmp_path / name).reason == "the file holds no text"


def test_images_inside_a_page_do_not_count_as_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(markup, "MAX_CHARACTERS", 1000)
    (tmp_path / "a.html").write_text(f'<p>seen<img src="data:image/png;base64,{"A" * 5000}">')
    assert page_of(tmp_path / "a.html").text == "seen"
    (tmp_path / "b.html").write_text("<p>" + "long " * 300)
    assert "split the file" in failure_of(tmp_path / "b.html").reason


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, size in (("a.docx", reader.MAX_BYTES), ("b.html", plain.MAX_TEXT_BYTES), ("c.md", 2**27)):
        with open(tmp_path / name, "wb") as file:
            file.truncate(size + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("it was opened"))
    reasons = [failure.reason for failure in map(failure_of, sorted(tmp_path.iterdir()))]
    assert reasons == [reader.TOO_LARGE, *["over 64 MiB of text: split the file"] * 2]


class TestHostileDocx:
    def test_a_bomb_is_refused_before_it_is_parsed(self, manual: Path):
        bomb = b"<w:document>" + b" " * (200 * 2**20) + b"</w:document>"
        rewritten(manual, {PARTS: bomb})
        assert manual.stat().st_size < 2**20
        assert failure_of(manual).reason == reader.TOO_LARGE

    @pytest.mark.parametrize("unit", [b"<w:p/>", b"<w:p a='' b='' c='' d=''/>"])
    def test_so_is_one_of_many_small_things(self, manual: Path, unit: bytes):
        rewritten(manual, {PARTS: lambda xml: xml.replace(b"<w:body>", b"<w:body>" + unit * 1_000_001)})
        assert failure_of(manual).reason == reader.TOO_LARGE

    def test_so_is_an_endless_table_of_contents(self, manual: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(reader, "MAX_DIRECTORY", 500)
        assert failure_of(manual).reason == reader.TOO_LARGE

    def test_a_size_that_is_a_lie_is_found_out(self, manual: Path):
        rewritten(manual, {PARTS: b"<w:document>" + b" " * (64 * 2**20)})
        data = bytearray(manual.read_bytes())
        for mark, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
            at = data.find(PARTS.encode()) if mark == b"PK\3\4" else data.rfind(PARTS.encode())
            at = data.rfind(mark, 0, at)
            data[at + offset : at + offset + 4] = (100).to_bytes(4, "little")
        manual.write_bytes(data)
        assert failure_of(manual).reason in (reader.NOT_ONE, reader.TOO_LARGE)

    @pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
    def test_entities_are_refused(self, manual: Path, coding: str):
        entities = (
            f'<?xml version="1.0" encoding="{coding}"?><!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><w:p>&a;</w:p>'
        )
        rewritten(manual, {PARTS: entities.encode(coding)})
        assert failure_of(manual).reason == reader.NOT_ONE

    def test_pictures_elsewhere_are_neither_opened_nor_fetched(
        self, manual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "secret.png").write_bytes(b"canary")
        relations = "word/_rels/document.xml.rels"
        for target in ("http://localhost:9/x.png", (tmp_path / "secret.png").as_uri(), "secret.png"):
            link = (
                '<Relationship Id="rId99" TargetMode="External" Type="http://schemas.openxmlformats.org/'
                f'officeDocument/2006/relationships/image" Target="{target}"/></Relationships>'
            )
            rewritten(
                manual,
                {
                    relations: lambda xml, link=link: xml.replace(b"</Relationships>", link.encode()),
                    PARTS: lambda xml: re.sub(rb'r:embed="rId\d+"', b'r:link="rId99"', xml),
                },
            )
            page = page_of(manual)
            assert "Pump manual" in page.text and "canary" not in page.text

    def test_macros_styles_and_whatever_else_it_has_change_nothing(self, manual: Path):
        plain_text = page_of(manual).text
        rewritten(manual, {"word/vbaProject.bin": b"x" * 99, "mammoth/style-map": b"p => script:fresh"})
        assert page_of(manual).text == plain_text

    def test_damage_anywhere_is_one_failure_or_text(self, manual: Path):
        sound, chance = manual.read_bytes(), random.Random(5)
        for _ in range(60):
            data = bytearray(sound)
            for _ in range(chance.randint(1, 9)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            manual.write_bytes(data)
            assert len(read(manual)) == 1

    def test_what_is_no_docx_is_refused(self, manual: Path, tmp_path: Path):
        archive = tmp_path / "other.docx"
        with zipfile.ZipFile(archive, "w") as other:
            other.writestr("hello.txt", "x")
        assert "main document part" in failure_of(archive).reason
        manual.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4000))  # As Word locks a document.
        assert failure_of(manual).reason == reader.NOT_ONE


@pytest.mark.parametrize(
    ("name", "module"), [("a.md", "markdown_it"), ("a.html", "lxml.etree"), ("a.docx", "mammoth")]
)
def test_without_the_extra_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
):
    (tmp_path / name).write_text("text")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'rag-plugins\[documents\]'"):
        read(tmp_path / name)
