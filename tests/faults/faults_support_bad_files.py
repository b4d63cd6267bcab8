"""Bad files and their neighbours, made literally; what each must come to; and a program that ingests them.

Run as a program with a folder and a JSON list of names: ingests each case by the index, beside a good file,
and prints a line of JSON for each: what was stored and refused, seconds, and the peak of memory in MB.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from rag_plugins import RagIndex

Make = Callable[[Path], object]
"""Writes a file, or whatever it is, at this path."""


@dataclass(frozen=True)
class Case:
    """A file to be ingested: its name, how it is made, and what must come of it.

    `says` has parts of which the reason of its one `BadDocument` has one, "" if there is none, and `page`
    the page that it names. `pages` of it are stored, which read `text`. `settings` are those of recognition,
    `seconds` what it may take.
    """

    name: str
    make: Make
    says: str = ""
    page: int | None = None
    pages: int = 0
    text: str = ""
    settings: tuple[tuple[str, object], ...] = ()
    seconds: float = 30.0


def _bytes(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def _half(make: Make) -> Make:
    def cut(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


# Images

LINES = ("The quick brown fox jumps", "over the lazy dog, twice.", "Part number AX-4711 rev 3")
WORDS = "quick brown fox"


def drawn(lines: tuple[str, ...] = LINES, mode: str = "L", size: tuple[int, int] = (760, 300)) -> Image.Image:
    """Black text on white."""
    image = Image.new("L", size, 255)
    font = ImageFont.load_default(size=40)
    for row, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 40 + 70 * row), line, font=font, fill=0)
    return image.convert(mode)


def _text(mode: str) -> Make:
    return lambda path: drawn(mode=mode).save(path)


def _speckled(path: Path) -> None:
    Image.effect_noise((300, 300), 80).save(path)


def _frames(path: Path) -> None:
    pages = [drawn((f"Sheet the {name} of three",), size=(700, 140)) for name in ("first", "second", "third")]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def _wide(kind: str) -> Make:
    scale = {"uint16": 65535.0, "int32": 1e6, "float32": 1e-3}[kind]
    values = np.asarray(drawn(), dtype=np.float64) / 255 * scale
    return lambda path: Image.fromarray(values.astype(kind)).save(path)


def _clear(mode: str) -> Make:
    """Black letters on black that is transparent."""

    def make(path: Path) -> None:
        letters = drawn()
        clear = Image.new("RGBA", letters.size, (0, 0, 0, 0))
        clear.paste((0, 0, 0, 255), mask=letters.point(lambda value: 255 - value))
        clear.convert(mode).save(path)

    return make


def _turned(degrees: int) -> Make:
    more = (*LINES, "A fourth line for good measure", "and one more, the fifth of them")
    return lambda path: drawn(more, size=(760, 420)).rotate(degrees, expand=True, fillcolor=255).save(path)


def _by_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def _white(side: int) -> Make:
    return lambda path: Image.new("L", (side, side), 255).save(path)


def _saved(form: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.new("L", (64, 64), 255).save(buffer, form, **options)
    return buffer.getvalue()


def _claims(data: bytes, at: int, size: bytes) -> Make:
    """A header that says another size."""
    return _bytes(data[:at] + size + data[at + len(size) :])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _deflated(piece: bytes, times: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(piece) for _ in range(times)) + packer.flush()


def _huge_png(path: Path) -> None:
    """A bit a pixel, 12000 x 12000, all of it white."""
    head = struct.pack(">IIBBBBB", 12_000, 12_000, 1, 0, 0, 0, 0)
    data = _deflated(b"\0" + b"\xff" * 1500, 12_000)
    chunks = _chunk(b"IHDR", head), _chunk(b"IDAT", data), _chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _chunk_bomb(path: Path) -> None:
    """A compressed comment that unpacks to 200 MB."""
    image = _saved("PNG")
    comment = b"Comment\0\0" + _deflated(bytes(2**20), 200)
    path.write_bytes(image[:33] + _chunk(b"zTXt", comment) + image[33:])


def _tiff(width: int, height: int, following: int = 0) -> bytes:
    """A header that claims a size, and next to nothing behind it."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags[279] = min(2**32 - 1, width * height)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _gif(frames: int) -> Make:
    """Frames of 20 bytes each."""
    head = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + b"\xff\xff\xff\0\0\0"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return _bytes(head + frame * frames + b";")


def _noise(width: int, height: int) -> Make:
    """Every tenth pixel is black: hundreds of thousands of blobs, none of them a letter."""

    def make(path: Path) -> None:
        dots = np.random.default_rng(7).random((height, width)) < 0.1
        Image.fromarray(np.where(dots, 0, 255).astype(np.uint8)).save(path)

    return make


# PDFs


def pdf(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n")
    places: list[int] = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    return bytes(out)


def _stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<<%s /Length %d>>\nstream\n%s\nendstream" % (more, len(data), data)


CATALOG = b"<</Type /Catalog /Pages 2 0 R>>"
KIDS = b"<</Type /Pages /Kids [3 0 R] /Count 1>>"
FONT = b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>"
SAYS = b"BT /F 18 Tf 20 100 Td (The quick brown fox jumps over it) Tj ET"
DRAWS = b"/Font <</F 5 0 R>> /XObject <</X 6 0 R>>"
PAGE = b"<</Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R /Resources <<%s>> >>"


def _page(box: bytes = b"0 0 400 200", draws: bytes = b"/Font <</F 5 0 R>>") -> bytes:
    return PAGE % (box, draws)


def _one_page(page: bytes, contents: bytes = SAYS, *more: bytes) -> Make:
    return _bytes(pdf([CATALOG, KIDS, page, _stream(contents), FONT, *more]))


def _many_pages(count: int) -> Make:
    def make(path: Path) -> None:
        kids = b" ".join(b"%d 0 R" % (6 + number) for number in range(count))
        tree = b"<</Type /Pages /Kids [%s] /Count %d>>" % (kids, count)
        path.write_bytes(pdf([CATALOG, tree, b"null", _stream(SAYS), FONT, *[_page()] * count]))

    return make


def _tree(depth: int, circle: bool) -> Make:
    """Nodes in nodes; in a circle, the last one holds the first."""
    nodes = [
        b"<</Type /Pages /Parent %d 0 R /Kids [%d 0 R] /Count 1>>" % (number - 1, number + 1)
        for number in range(2, depth + 2)
    ]
    last = b"<</Type /Pages /Kids [2 0 R] /Count 1>>" if circle else b"<</Type /Page /MediaBox [0 0 9 9]>>"
    return _bytes(pdf([CATALOG, *nodes, last]))


FORM = b"/Type /XObject /Subtype /Form /BBox [0 0 400 200]"


def _calls_itself(path: Path) -> None:
    form = _stream(b"/X Do", FORM + b" /Resources <</XObject <</X 6 0 R>>>>")
    _one_page(_page(draws=DRAWS), SAYS + b" /X Do", form)(path)


def _forms(path: Path) -> None:
    """Ten forms, each of which draws the next one ten times."""
    forms = [
        _stream(b"/X Do " * 10, FORM + b" /Resources <</XObject <</X %d 0 R>>>>" % (7 + level))
        for level in range(10)
    ]
    _one_page(_page(draws=DRAWS), SAYS + b" /X Do", *forms, _stream(b"0 0 9 9 re f", FORM))(path)


def _picture_bomb(path: Path) -> None:
    """An image of 30000 x 30000 pixels, all zeros."""
    kind = b"/Type /XObject /Subtype /Image /Width 30000 /Height 30000 /BitsPerComponent 8 "
    kind += b"/ColorSpace /DeviceGray /Filter /FlateDecode"
    picture = _stream(_deflated(bytes(30_000 * 300), 100), kind)
    _one_page(_page(draws=DRAWS), b"q 400 0 0 200 0 0 cm /X Do Q", picture)(path)


def _contents_bomb(path: Path) -> None:
    """400 MB of drawing commands, deflated twice."""
    twice = zlib.compress(_deflated(b"0 0 m 9 9 l S\n" * 2**16, 440), 9)
    contents = _stream(twice, b"/Filter [/FlateDecode /FlateDecode]")
    path.write_bytes(pdf([CATALOG, KIDS, _page(), contents, FONT]))


def _slow_second_page(path: Path) -> None:
    """Three pages, of which the second one draws what never ends."""
    _forms(path)
    forms = [
        _stream(b"/X Do " * 10, FORM + b" /Resources <</XObject <</X %d 0 R>>>>" % (7 + level))
        for level in range(10)
    ]
    tree = b"<</Type /Pages /Kids [3 0 R 17 0 R 3 0 R] /Count 3>>"
    slow = (PAGE % (b"0 0 400 200", DRAWS)).replace(b"4 0 R", b"18 0 R")
    end = _stream(b"0 0 9 9 re f", FORM)
    path.write_bytes(
        pdf([CATALOG, tree, _page(), _stream(SAYS), FONT, *forms, end, slow, _stream(SAYS + b" /X Do")])
    )


def _locked(path: Path) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), encrypt=StandardEncryption("open sesame"))
    canvas.drawString(50, 50, "secret")
    canvas.save()


# Text, HTML, DOCX


def _times(text: str, times: int, last: str = "") -> Make:
    def make(path: Path) -> None:
        with open(path, "w") as file:
            for _ in range(times):
                file.write(text)
            file.write(last)

    return make


def _sparse(size: int) -> Make:
    def make(path: Path) -> None:
        with open(path, "wb") as file:
            file.truncate(size)

    return make


_TYPES = (
    b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Default Extension="xml" ContentType="application/xml"/><Default Extension="rels" ContentType='
    b'"application/vnd.openxmlformats-package.relationships+xml"/></Types>'
)
_RELATIONS = (
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
    b'Id="r" Target="word/document.xml" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    b'relationships/officeDocument"/></Relationships>'
)
_WORD = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def _docx(body: Callable[[], Iterator[bytes]], head: bytes = b"") -> Make:
    """A document with this as its body, written piece by piece."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("[Content_Types].xml", _TYPES)
            archive.writestr("_rels/.rels", _RELATIONS)
            with archive.open("word/document.xml", "w") as part:
                part.write(head + b'<w:document xmlns:w="%s"><w:body>' % _WORD)
                for piece in body():
                    part.write(piece)
                part.write(b"</w:body></w:document>")

    return make


def _paragraph(text: bytes) -> bytes:
    return b"<w:p><w:r><w:t>%s</w:t></w:r></w:p>" % text


LAUGHS = b"<!DOCTYPE x [<!ENTITY a0 'lol'>%s]>" % b"".join(
    b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
)
OUTSIDE = b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"


def _deep_docx() -> Iterator[bytes]:
    deep = 20_000
    yield b"<w:sdt><w:sdtContent>" * deep + _paragraph(b"deep") + b"</w:sdtContent></w:sdt>" * deep


# What is no file, or not the same for long


def _grows(path: Path) -> None:
    path.write_text("The quick brown fox grows. ")

    def grow() -> None:
        end = time.monotonic() + 1
        while time.monotonic() < end and path.exists():
            with open(path, "a") as file:
                file.write("And grows. ")
            time.sleep(0.001)

    threading.Thread(target=grow, daemon=True).start()


UNREADABLE = "not a readable"
SUFFIXES = (".pdf", ".png", ".jpg", ".tiff", ".webp", ".gif", ".docx", ".html", ".md", ".txt")
RANDOM = dict.fromkeys(SUFFIXES, UNREADABLE) | dict.fromkeys((".txt", ".md", ".html"), "not utf-8 text")
FEW = (("max_pages", 2),)
SHORT = (("timeout", 2.0),)
BIG = "more than 40 million pixels"
SLOWER = "longer than a page may (ocr.timeout)|the reader of PDFs died"
JPEG = _saved("JPEG")

BYTES = (
    *(Case(f"empty{suffix}", _bytes(b""), "the file is empty") for suffix in SUFFIXES),
    *(Case(f"random{suffix}", _bytes(Random(7).randbytes(5000)), RANDOM[suffix]) for suffix in SUFFIXES),
    *(Case(f"cut{suffix}", _half(_speckled), "truncated", 1) for suffix in (".png", ".jpg", ".tiff", ".gif")),
    Case("cut.webp", _half(_speckled), "could not create decoder"),
    Case("cut.pdf", _bytes(pdf([CATALOG, KIDS, _page()])[:120]), UNREADABLE),
    Case("cut.docx", _half(_docx(lambda: iter([_paragraph(b"sound") * 200]))), UNREADABLE),
    Case("table.csv", _times("1,", 1_000_000), ".csv: supported are"),
    Case("picture.svg", _bytes(LAUGHS + b"<svg>&a9;</svg>"), ".svg: supported are"),
    Case("zeros.txt", _sparse(2**20), "holds no text"),
    Case("latin.txt", _bytes("naïve".encode("latin-1")), "not utf-8 text (byte 2)"),
)

IMAGES = (
    Case("frames.tiff", _frames, pages=3, text="third"),
    Case("16-bit.png", _wide("uint16"), pages=1, text=WORDS),
    Case("32-bit.tiff", _wide("int32"), pages=1, text=WORDS),
    Case("float.tiff", _wide("float32"), pages=1, text=WORDS),
    Case("1-bit.png", _text("1"), pages=1, text=WORDS),
    Case("palette.png", _clear("P"), pages=1, text=WORDS),
    Case("clear.png", _clear("RGBA"), pages=1, text=WORDS),
    Case("cmyk.jpg", _text("CMYK"), pages=1, text=WORDS),
    Case("turned-by-exif.jpg", _by_exif, pages=1, text=WORDS),
    Case("huge.png", _huge_png, BIG, 1),
    Case("huge.gif", _claims(_saved("GIF"), 6, b"\xff" * 4), BIG),
    Case("huge.jpg", _claims(JPEG, JPEG.index(b"\xff\xc0") + 5, b"\xff" * 4), BIG),
    Case("huge.webp", _claims(_saved("WEBP", lossless=True), 21, b"\xff\xff\xff\x0f"), BIG),
    Case("claims-40000.tiff", _bytes(_tiff(40_000, 40_000)), BIG),
    Case("claims-8000.tiff", _bytes(_tiff(8_000, 4_900)), "truncated", 1),
    Case("claims-all.tiff", _bytes(_tiff(2**32 - 1, 2**32 - 1)), BIG),
    Case("chunk-bomb.png", _chunk_bomb, "Decompressed data too large"),
    Case("frames-10000.gif", _gif(10_000), "the limit is 2", 3, 2, settings=FEW),
    Case("bitmap.png", lambda path: drawn().save(path, "BMP"), "the formats are PNG, JPEG, TIFF, WEBP, GIF"),
    Case("noise.png", _noise(1240, 1754), SLOWER, 1, settings=(("timeout", 0.5),)),
)

PDFS = (
    Case("printed.pdf", _one_page(_page()), pages=1, text=WORDS),
    Case("huge-page.pdf", _one_page(_page(b"0 0 1000000 1000000")), "inches is too large", 1),
    Case("long-page.pdf", _one_page(_page(b"0 0 10000000 1")), "inches is too large", 1),
    Case("endless-page.pdf", _one_page(_page(b"0 0 1e38 1e38")), pages=1, text=WORDS),  # As US letter.
    Case("no-page.pdf", _one_page(_page(b"0 0 0 0")), pages=1, text=WORDS),
    Case("pages-20000.pdf", _many_pages(20_000), "the limit is 2", 3, 2, WORDS, settings=FEW),
    Case("tree.pdf", _tree(5_000, circle=False), "Failed to load page", 1),
    Case("circle.pdf", _tree(3, circle=True), "Failed to load page", 1),
    Case("calls-itself.pdf", _calls_itself, pages=1, text=WORDS),
    Case("forms.pdf", _forms, SLOWER, 1, settings=SHORT),
    Case("slow-second.pdf", _slow_second_page, SLOWER, 2, 2, WORDS, settings=SHORT),
    Case("locked.pdf", _locked, "encrypted: give its password"),
)

TEXTS = (
    Case("laughs.docx", _docx(lambda: iter([_paragraph(b"&a9;")]), LAUGHS), UNREADABLE),
    Case("outside.docx", _docx(lambda: iter([_paragraph(b"&e;")]), OUTSIDE), UNREADABLE),
    Case("bomb.docx", _docx(lambda: (_paragraph(b"lol") * 20_000 for _ in range(100))), "split it"),
    Case("deep.docx", _docx(_deep_docx), "nested too deep"),
    Case("laughs.html", _bytes(LAUGHS + b"<p>quick brown fox &a9;</p>"), pages=1, text=WORDS),
    Case("outside.html", _bytes(OUTSIDE + b"<p>quick brown fox &e;</p>"), pages=1, text=WORDS),
    Case("deep.html", _times("<div>", 100_000, "deep"), pages=1, text="deep"),
    Case("line-100-MB.txt", _times("x" * 2**20, 100), "over 64 MiB"),
    Case("sparse.html", _sparse(2**27), "over 64 MiB"),
)

NO_FILES = (
    Case("pipe.png", os.mkfifo, "not a regular file"),
    Case("zero.png", lambda path: path.symlink_to("/dev/zero"), "outside the root"),
    Case("circle.png", lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    Case("nowhere.png", lambda path: path.symlink_to("nothing"), "No such file"),
    Case("outside.txt", lambda path: path.symlink_to("/etc/passwd"), "outside the root"),
    Case("folder.pdf", Path.mkdir),
    Case("grows.txt", _grows, pages=1, text=WORDS),
    Case("a\nb.txt", _bytes(b"quick brown fox"), pages=1, text=WORDS),
    Case("b\udcff.txt", _bytes(b"quick"), "not valid UTF-8: rename it"),
    Case("n" * 246 + ".txt", _bytes(b"quick brown fox"), pages=1, text=WORDS),
)

QUICK = {case.name: case for case in (*BYTES, *IMAGES, *PDFS, *TEXTS, *NO_FILES)}
assert len(QUICK) == sum(map(len, (BYTES, IMAGES, PDFS, TEXTS, NO_FILES)))

SLOW = {
    case.name: case
    for case in (
        Case("upside-down.png", _turned(180), pages=1, text=WORDS),
        Case("sideways.png", _turned(90), pages=1, text=WORDS),
        Case("circle.tiff", _bytes(_tiff(8, 8, following=8) + bytes(64)), pages=1),
        Case("frames.gif", _frames, pages=3, text="third"),
        Case("noise-a4.png", _noise(2480, 3508), SLOWER, 1, seconds=70),
        Case("noise-40-MP.png", _noise(6_300, 6_300), SLOWER, 1, seconds=90),
        Case("white-40-MP.png", _white(6_300), pages=1, seconds=90),
        Case("large-page.pdf", _one_page(_page(b"0 0 4000 3000")), pages=1, text=WORDS, seconds=60),
        Case("large-scan.pdf", _one_page(_page(b"0 0 4000 3000"), b"0 0 9 9 re f"), pages=1, seconds=90),
        Case("picture.pdf", _picture_bomb, pages=1, seconds=60),
        Case("contents.pdf", _contents_bomb, "died of it", 1, seconds=70),
        Case("forms-default.pdf", _forms, SLOWER, 1, seconds=70),
        Case("frames-2000.gif", _gif(10_000), "the limit is 2000", 2001, 2000, seconds=600),
        Case("pages-2000.pdf", _many_pages(20_000), "the limit is 2000", 2001, 2000, WORDS, seconds=300),
        Case("row.txt", _times("1,", 1_000_000), pages=1, seconds=120),
        Case("deep.md", _times("> ", 20_000, "deep"), "holds no text", seconds=60),
        Case("brackets.md", _times("[", 50_000), pages=1, seconds=60),
    )
}


def _peak() -> float:
    """MB: the most that this process took since it was last asked, or the largest child ever, if more."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return max(int(lines["VmHWM"].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def _ingested(index: RagIndex, case: Case, place: Path) -> dict[str, object]:
    from rag_plugins import where

    place.mkdir()
    good, bad = place / "good.txt", place / case.name
    good.write_text("A good file.")
    case.make(bad)
    _peak()
    start = time.monotonic()
    summary = index.ingest([bad, good], root=place)
    seconds = time.monotonic() - start
    told = {
        "case": case.name,
        "bad": [(type(error).__name__, error.page, error.reason) for error in summary.bad],
        "pages": summary.pages - 1,
        "seconds": round(seconds, 2),
        "peak": round(_peak()),
    }
    stored = index.find(where("doc_id") != "good.txt", limit=9)
    told["text"] = " ".join(passage.llm_text for passage in stored)[:2000]
    told["good"] = len(index.find(where("doc_id") == "good.txt"))
    index.clear()
    return told


def main(folder: Path, names: list[str]) -> None:
    """See the module."""
    from rag_plugins import Config, RagIndex
    from rag_plugins.config import Bm25Leg, OcrConfig

    cases = enumerate((QUICK | SLOW)[name] for name in names)
    for settings, same in groupby(cases, lambda case: case[1].settings):
        ocr = OcrConfig.model_validate({"workers": 2, **dict(settings)})
        config = Config(legs=(Bm25Leg(),), rerank=(), ocr=ocr)
        with RagIndex.open(folder / "all.db", config=config) as index:
            for number, case in same:
                print(json.dumps(_ingested(index, case, folder / str(number))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
