"""The report is one page, whole in itself, and takes texts for texts."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rag_plugins.demo.report import Answer, Fact, Report, render_report, write_report
from rag_plugins.errors import BadDocument
from rag_plugins.types import EmbedText, Hit, Passage, StageScore

HOSTILE = (
    """</p><script>alert('x')</script><img src=http://evil.example/x.png onerror=x()> "' & {{ 7 * 7 }}"""
)
VOID = {"meta", "img", "br", "rect", "link", "input"}


class Page(HTMLParser):
    """Every start tag with its attributes, and whether all tags were closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def report(hit: Hit, image: bytes | None = None, **changes: object) -> Report:
    base = Report(
        "Title",
        "Lead.",
        [Answer("How tight?", (hit, hit), image, "A remark.")],
        [Fact("Pages", "12", "9 by OCR")],
        [BadDocument("broken.pdf", 3, "not a PDF")],
        [Fact("Store", "Milvus Lite", "here")],
    )
    return replace(base, **changes)


def test_everything_given_is_on_the_page(hit: Hit, page_image: bytes) -> None:
    page = Page(render_report(report(hit, page_image)))
    assert page.open == []
    for text in ("Title", "How tight?", "A remark.", "handbook.tif, page 4", "12", "9 by OCR", "broken.pdf"):
        assert text in page.text
    for text in ("not a PDF", "Milvus Lite", "late-interaction", "12.2", "0.875", "tighten torque"):
        assert text in page.text


def test_the_boxes_lie_on_the_page_in_fractions(hit: Hit, page_image: bytes) -> None:
    boxes = Page(render_report(report(hit, page_image))).all("rect")
    assert [(box["x"], box["y"]) for box in boxes] == [("0.1", "0.2"), ("0.1", "0.3")]
    assert all(0 < float(box["width"] or 0) <= 1 and 0 < float(box["height"] or 0) <= 1 for box in boxes)


def test_doubtful_words_are_marked_with_their_confidence(hit: Hit) -> None:
    html = render_report(report(hit))
    assert '<mark title="OCR confidence 41 %">38</mark>' in html
    assert '<mark title="OCR confidence 59 %">83</mark>' in html


def test_nothing_is_fetched_from_anywhere(hit: Hit, page_image: bytes) -> None:
    html = render_report(report(hit, page_image))
    page = Page(html)
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in page.all("img"))
    assert all((link["href"] or "").startswith("#") for link in page.all("a"))
    assert not page.all("script") and not page.all("link") and "url(" not in html and "@import" not in html


def test_hostile_text_stays_text(hit: Hit, passage: Passage) -> None:
    bad = replace(
        passage, llm_text=HOSTILE, views=(EmbedText(HOSTILE + "!"),), doc_id=HOSTILE, provenance=None
    )
    stage = replace(hit.trace[0], stage=HOSTILE)
    hostile = Hit(bad, 0.5, (stage, *hit.trace[1:]))
    fact = Fact(HOSTILE, HOSTILE, HOSTILE)
    page = Page(
        render_report(
            Report(
                HOSTILE,
                HOSTILE,
                [Answer(HOSTILE, (hostile, hostile), None, HOSTILE)] * 2,
                [fact],
                [BadDocument(HOSTILE, None, HOSTILE)],
                [fact],
            )  # fmt: skip
        )
    )
    assert page.open == []
    assert not page.all("script") and not page.all("img")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) >= 14


def test_lone_surrogates_do_not_stop_the_report(hit: Hit, passage: Passage, tmp_path: Path) -> None:
    odd = Hit(replace(passage, llm_text="caf\udce9", provenance=None), 1.0)
    path = write_report(report(odd), tmp_path / "new" / "report.html")
    assert path.is_absolute() and "caf?" in path.read_text(encoding="utf-8")


def test_a_leg_left_out_has_a_row_and_no_column(hit: Hit) -> None:
    why = "finds 0.18 alone, the others 0.97 (known items)"
    left_out = StageScore("pages", "left out", 0, 0.0, 0.0, why=why)
    reason = replace(hit.trace[0], why="finds 0.97 alone, the others 0.18 (known items)")
    page = Page(render_report(report(replace(hit, trace=(reason, left_out, *hit.trace[1:])))))
    assert (
        "not run" in page.text
        and f"pages, left out: {why}" in page.text
        and f"dense, leg: {reason.why}" in page.text
    )
    assert page.text.count("pages") == 2  # In the table of stages and under it.
    assert page.open == [] and not [tag for tag in page.all("span") if tag.get("class") == "rank rank-0"]


def test_a_question_without_hits_says_so(hit: Hit) -> None:
    page = Page(render_report(report(hit, answers=[Answer("Who?", ())])))
    assert "Nothing was found." in page.text and not page.all("figure")


@pytest.mark.parametrize(
    ("scheme", "ground"), [("light", ("card", "paper", "wash")), ("dark", ("card", "paper", "wash"))]
)
def test_contrast_is_at_least_four_and_a_half(hit: Hit, scheme: str, ground: tuple[str, ...]) -> None:
    colours = _colours(render_report(report(hit)), scheme)
    for ink in ("ink", "soft", "accent"):
        for name in ground:
            assert _contrast(colours[ink], colours[name]) >= 4.5, (scheme, ink, name)
    assert _contrast(colours["card"], colours["accent"]) >= 4.5
    assert _contrast(colours["doubt-ink"], colours["doubt"]) >= 4.5
    assert _contrast(colours["bad"], colours["paper"]) >= 4.5


def _colours(html: str, scheme: str) -> dict[str, str]:
    roots = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    found = re.findall(r"--([\w-]+): #([0-9a-f]{3,6});", roots[0 if scheme == "light" else 1])
    return {
        name: value if len(value) == 6 else "".join(2 * digit for digit in value) for name, value in found
    }


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
