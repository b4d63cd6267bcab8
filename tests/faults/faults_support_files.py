# ruff: noqa: E501 - XML as Word writes it, a part a line or two
"""Small sound files of every kind that is read, and what may become of them: damaged, cut, inflated."""

import io
import random
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image, ImageDraw
from reportlab.lib.pagesizes import A6
from reportlab.pdfgen.canvas import Canvas

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import find_documents
from rag_plugins.ingest.pages import Page, read_pages
from rag_plugins.ingest.policy import ViewPolicy

HTML = """<!DOCTYPE html><html><head><meta charset="utf-8"><title>Pump</title><style>p{}</style></head><body>
<h1>Filter &amp; <b>pump</b></h1><ul><li>one<ol><li>two</ol></ul><table><tr><td>a<td>b<tr><td>c<td>d</table>
<img src="x" alt="a drawing"><pre>  kept\n as it is</pre><p hidden>unseen</p>
<!-- c --><a href="y">é 过</a></body></html>"""
MARKDOWN = """---\ntitle: Pump\n---\n# Filter\n\n1. one\n   * two\n\n| a | b |\n|---|---|\n| c | d |\n
```py\ncode\n```\n> quoted [link](x) ![drawing](y) `code` <b>html</b> &amp; \\* é 过\n"""
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORDS = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
DOCX = {
    "[Content_Types].xml": f"""<Types xmlns="{_TYPES}"><Default Extension="xml" ContentType="application/xml"/>
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>""",
    "_rels/.rels": f"""<Relationships xmlns="{_RELATIONS}"><Relationship Id="a" Type="{_OFFICE}/officeDocument"
Target="word/document.xml"/></Relationships>""",
    "word/_rels/document.xml.rels": f"""<Relationships xmlns="{_RELATIONS}"><Relationship Id="s"
Type="{_OFFICE}/styles" Target="styles.xml"/><Relationship Id="n" Type="{_OFFICE}/numbering"
Target="numbering.xml"/><Relationship Id="f" Type="{_OFFICE}/footnotes" Target="footnotes.xml"/><Relationship
Id="h" Type="{_OFFICE}/hyperlink" Target="http://localhost/" TargetMode="External"/></Relationships>""",
    "word/styles.xml": f"""<w:styles {_WORDS}><w:style w:type="paragraph" w:styleId="H"><w:name w:val="heading 1"/>
</w:style><w:style w:type="table" w:styleId="T"><w:name w:val="Table Grid"/></w:style></w:styles>""",
    "word/numbering.xml": f"""<w:numbering {_WORDS}><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0">
<w:numFmt w:val="decimal"/></w:lvl></w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>
</w:numbering>""",
    "word/footnotes.xml": f"""<w:footnotes {_WORDS}><w:footnote w:id="2"><w:p><w:r><w:t>below</w:t></w:r></w:p>
</w:footnote></w:footnotes>""",
    "word/document.xml": f"""<w:document {_WORDS} xmlns:r="{_OFFICE}"><w:body><w:p><w:pPr><w:pStyle w:val="H"/>
</w:pPr><w:r><w:t>Pump</w:t></w:r></w:p><w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>
</w:pPr><w:r><w:rPr><w:b/></w:rPr><w:t>one</w:t><w:tab/><w:br/><w:footnoteReference w:id="2"/></w:r></w:p>
<w:p><w:hyperlink r:id="h"><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><w:fldChar w:fldCharType="begin"/></w:r>
<w:r><w:instrText>HYPERLINK "x"</w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>
<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/><w:vMerge w:val="restart"/></w:tcPr><w:p><w:r><w:t>a</w:t></w:r>
</w:p></w:tc></w:tr><w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc></w:tr></w:tbl></w:body></w:document>""",
}
IMAGES = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".tiff": "TIFF"}
TRICKS = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xff\xd8",
    b"<" * 40,
    b"[[" * 20,
]
TRICKS += [
    b"%PDF-1.7\n",
    b"endobj",
    b"/Kids [1 0 R]",
    b"/MediaBox [0 0 9e9 9e9]",
    b"stream\n",
    b"</",
    b"&#x110000;",
]
TRICKS += [
    b"|" * 60,
    b"*_" * 30,
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00\x00\x00\x01",
    b"> " * 50,
]


def sound() -> dict[str, bytes]:
    """A file of each kind, by suffix; images have several frames where their format has."""
    files = {".html": HTML.encode(), ".md": MARKDOWN.encode(), ".txt": "Pump.\fé 过\r\n".encode() * 9}
    page = Image.new("L", (60, 40), 255)
    ImageDraw.Draw(page).text((4, 10), "pump", fill=0)
    for suffix, form in IMAGES.items():
        buffer = io.BytesIO()
        frames = {} if form in ("PNG", "JPEG") else {"save_all": True, "append_images": [page.rotate(180)]}
        page.convert("RGB").save(buffer, form, **frames)
        files[suffix] = buffer.getvalue()
    return {**files, ".pdf": _pdf(), ".docx": _docx()}


def _pdf() -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A6, pageCompression=0)
    canvas.drawString(50, 50, "The pump and its filter.")
    canvas.acroForm.textfield(name="field", value="typed", x=50, y=90)
    canvas.showPage()
    canvas.drawInlineImage(Image.new("L", (9, 9), 90), 20, 20, 40, 40)
    canvas.save()
    return buffer.getvalue()


def _docx() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in DOCX.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Another file: with checksums made right again, where there are some, half of the time."""
    if chance.random() < 0.5 and data.startswith(b"PK"):
        return _rezipped(data, chance)
    data = _struck(data, chance)
    return _recounted(data) if data.startswith(b"\x89PNG") and chance.random() < 0.5 else data


def _struck(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, length = chance.randrange(len(out) + 1), chance.choice((1, 4, 4, 40, 400))
        match chance.randrange(7):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length] * chance.randrange(1, 9)
            case 3:
                trick = chance.choice(TRICKS)
                out[at : at + len(trick)] = trick
            case 4:
                out[at:at] = chance.choice(TRICKS)
            case 5:
                other = chance.randrange(len(out) + 1)
                out[at : at + length] = out[other : other + length]
            case _:
                del out[at:]
        out = out or bytearray(b"\0")
    return bytes(out)


def _rezipped(data: bytes, chance: random.Random) -> bytes:
    """An archive that is sound, of parts that are not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        names = [name for name in old.namelist() if name.endswith((".xml", ".rels"))]
        hit = chance.choice([*names, "word/document.xml", "word/document.xml"])
        for name in names:
            part = old.read(name)
            new.writestr(name, _struck(part, chance) if name == hit else part)
    return buffer.getvalue()


def _recounted(data: bytes) -> bytes:
    """A PNG with the checksum that each of its chunks should have."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out)


def read(path: Path, policy: ViewPolicy | None = None) -> list[Page | BadDocument]:
    """All pages of a file. By default scans are decoded and not recognised, which is another program's."""
    found = find_documents([path])
    config = OcrConfig(workers=1, max_pages=50)
    pages = [page for _, page in read_pages(found.files, config, policy or ViewPolicy(text="text-layer"))]
    assert pages, "a file is read, or reported"
    return [*found.bad, *pages]
