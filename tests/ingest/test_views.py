from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_support import drawn, failure_of, page_of
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from rag_plugins.config import (
    Bm25Leg,
    ChunkingConfig,
    Config,
    DenseLeg,
    ImageLeg,
    IngestConfig,
    PageTokensLeg,
)
from rag_plugins.ingest import ocr
from rag_plugins.ingest.alignment import owners
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.policy import ViewPolicy
from rag_plugins.ingest.text import Piece, assemble, retrieval_text
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, View

FILE = SourceFile(Path("/in/scan.pdf"), "scan.pdf", "scan.pdf", "00")
SMALL = ChunkingConfig(size=8, overlap=0)
FIRST = "The coolant pump is bolted to the frame."
SECOND = "Change the dust filter every five hundred hours."


def layered(*sentences: str, seen: tuple[tuple[Piece, ...], ...] = (), **facts: object) -> Page:
    """A page with a text layer, a sentence a line, each word in a box of its own."""
    text, words = assemble([[list(_line(sentence, row)) for row, sentence in enumerate(sentences)]])
    return replace(Page(3, text, words, b"png", "text-layer", seen=seen), **facts)


def _line(sentence: str, row: int, confidence: float | None = None) -> tuple[Piece, ...]:
    return tuple(
        Piece(word, Box(0.1 * n, 0.1 + 0.05 * row, 0.1 * n + 0.08, 0.13 + 0.05 * row), confidence)
        for n, word in enumerate(sentence.split())
    )


def passages(page: Page, policy: ViewPolicy, config: ChunkingConfig = SMALL) -> list[Passage]:
    return chunk(page, FILE, config, policy, page_image="asset")


def views(page: Page, policy: ViewPolicy) -> list[tuple[View, ...]]:
    return [passage.views for passage in passages(page, policy)]


SEEN = (_line(FIRST.replace("bolted", "b0lted"), 0, 0.7), _line(SECOND.replace("filter", "fi1ter"), 1, 0.7))
BOTH = layered(FIRST, SECOND, seen=SEEN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", [[FIRST], [SECOND]]),
        ("text-layer", [[FIRST], [SECOND]]),
        (
            "ocr",
            [
                ["The coolant pump is b0lted to the frame."],
                ["Change the dust fi1ter every five hundred hours."],
            ],
        ),
        (
            "both",
            [
                [FIRST, "The coolant pump is b0lted to the frame."],
                [SECOND, "Change the dust fi1ter every five hundred hours."],
            ],
        ),
        ("none", [[], []]),
    ],
)
def test_the_policy_says_which_text_is_a_view_and_the_llm_reads_the_text_layer(
    text: str, expected: list[list[str]]
):
    found = passages(BOTH, ViewPolicy(text))
    assert [passage.llm_text for passage in found] == [FIRST, SECOND]
    assert [passage.views for passage in found] == [tuple(map(EmbedText, texts)) for texts in expected]


def test_a_text_that_was_recognised_faultlessly_is_embedded_once():
    same = layered(FIRST, seen=(_line(FIRST, 0, 0.9),))
    assert views(same, ViewPolicy("both")) == [(EmbedText(FIRST),)]


def test_where_nothing_was_recognised_the_text_layer_is_the_view():
    part = layered(FIRST, SECOND, seen=SEEN[:1])
    assert [passage_views[-1] for passage_views in views(part, ViewPolicy("ocr"))][1] == EmbedText(SECOND)


def test_on_a_scan_the_text_layer_alone_gives_no_text_view_and_the_llm_its_text():
    scan = layered(FIRST, origin="ocr")
    (passage,) = passages(scan, ViewPolicy("text-layer", "pages"))
    assert passage.views == (EmbedImage("asset"),) and passage.llm_text == FIRST
    for policy in ("auto", "ocr", "both"):
        assert views(scan, ViewPolicy(policy)) == [(EmbedText(FIRST),)]


def test_lines_stay_lines_so_that_hyphenated_words_are_joined():
    seen = (_line("The coo- ", 0), _line("lant pump", 1))
    (found,) = views(layered("The coo-", "lant pump", seen=seen), ViewPolicy("ocr"))
    assert found == (EmbedText("The coolant pump"),)


def test_start_leads_from_a_passage_back_into_its_page():
    for passage in passages(BOTH, ViewPolicy()):
        assert passage.provenance is not None and passage.provenance.start is not None
        start = passage.provenance.start
        assert BOTH.text[start : start + len(passage.llm_text)] == passage.llm_text


words = st.builds(
    Piece,
    st.sampled_from(["pump", "filter", "AX-4711", "x", "泵"]),
    st.builds(
        lambda left, top: Box(left, top, left + 0.08, top + 0.03), st.floats(0, 0.9), st.floats(0, 0.95)
    ),
    st.floats(0, 1),
)


@given(st.lists(st.lists(words, min_size=1, max_size=6).map(tuple), max_size=8).map(tuple), st.integers(1, 6))
def test_every_recognised_word_belongs_to_some_passage(seen: tuple[tuple[Piece, ...], ...], count: int):
    page = layered(*[f"{FIRST[:-1]} {n}." for n in range(count)], seen=seen)
    found = " ".join(
        view.text for made in views(page, ViewPolicy("ocr")) for view in made if isinstance(view, EmbedText)
    )
    for text in {piece.text for line in seen for piece in line}:
        assert text in found


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_words_find_their_places_on_a_page_that_was_turned_before_it_was_read(turn: int):
    page = layered(FIRST, SECOND)
    pieces = [replace(piece, box=_turned(piece.box, turn)) for line in SEEN for piece in line]
    assert owners(pieces, page.words, page.text) == list(range(len(page.words)))


def _turned(box: Box, clockwise: int) -> Box:
    for _ in range(clockwise // 90):
        box = Box(1 - box.bottom, box.left, 1 - box.top, box.right)
    return box


def test_a_fragment_belongs_to_the_word_it_lies_on_though_another_centre_is_nearer():
    wide = Piece("interchangeable", Box(0.1, 0.1, 0.5, 0.12))
    below = Piece("pump", Box(0.1, 0.125, 0.16, 0.145))
    text, spans = assemble([[[wide], [below]]])
    assert owners([Piece("inter", Box(0.1, 0.1, 0.17, 0.12))], spans, text) == [0]


class TestImages:
    def test_passages_of_a_page_share_its_picture(self):
        assert [made[-1] for made in views(BOTH, ViewPolicy(images="pages"))] == [EmbedImage("asset")] * 2

    def test_regions_are_around_their_words_and_within_the_page(self):
        first, second = (made[-1] for made in views(BOTH, ViewPolicy(images="regions")))
        assert isinstance(first, EmbedImage) and isinstance(second, EmbedImage)
        assert first.box == Box(0.0, pytest.approx(0.09), pytest.approx(0.79), pytest.approx(0.14))
        assert second.box is not None and second.box.top == pytest.approx(0.14)

    def test_a_page_without_text_is_a_passage_that_says_so(self):
        empty = Page(3, " ", (), b"png", "ocr")
        (passage,) = passages(empty, ViewPolicy(images="pages"))
        assert passage.views == (EmbedImage("asset"),)
        assert passage.llm_text == "[scan.pdf, page 3: a picture without readable text]"
        assert passage.metadata == {"source": "scan.pdf", "page": 3, "origin": "picture"}
        assert passage.provenance is not None and passage.provenance.page_image == "asset"
        (blank,) = passages(replace(empty, blank=True), ViewPolicy(images="regions"))
        assert blank.llm_text == "[scan.pdf, page 3: a blank page]"

    def test_without_a_leg_that_reads_images_there_is_none(self):
        assert passages(Page(3, "", (), b"png", "ocr"), ViewPolicy()) == []

    def test_figures_are_passages_with_the_words_in_them(self):
        figure = Box(0.05, 0.14, 0.35, 0.5)
        page = layered(FIRST, SECOND, figures=(figure, Box(0, 0.6, 1, 1)))
        *_, chart, photograph = passages(page, ViewPolicy(images="regions"))
        assert chart.views == (EmbedImage("asset", figure),)
        assert chart.llm_text == "[scan.pdf, page 3: a figure]\nthe dust filter"
        assert chart.provenance is not None and chart.metadata["origin"] == "figure"
        spans = [chart.llm_text[word.start : word.end] for word in chart.provenance.words]
        assert spans == ["the", "dust", "filter"] and chart.provenance.start is None
        assert photograph.llm_text == "[scan.pdf, page 3: a figure without readable text]"
        assert len({passage.id for passage in passages(page, ViewPolicy(images="regions"))}) == 4


class TestPolicy:
    @pytest.mark.parametrize("leg", [ImageLeg(model="clip"), PageTokensLeg(model="colpali")])
    def test_images_are_made_where_a_leg_reads_them(self, leg: ImageLeg | PageTokensLeg):
        ingest = IngestConfig(text="both", images="regions")
        assert ViewPolicy.of(Config(legs=(Bm25Leg(), leg), rerank=(), ingest=ingest)) == ViewPolicy(
            "both", "regions"
        )
        assert ViewPolicy.of(Config(legs=(leg,), rerank=())) == ViewPolicy("auto", "pages", searched=False)
        assert ViewPolicy.of(Config(legs=(DenseLeg(),), ingest=ingest)) == ViewPolicy("both", None)

    def test_a_page_that_nothing_would_find_is_a_failure(self, tmp_path: Path):
        drawn().save(tmp_path / "scan.png")
        (tmp_path / "note.txt").write_text("text")
        assert (
            "nothing would find it"
            in failure_of(tmp_path / "scan.png", policy=ViewPolicy("text-layer")).reason
        )
        for policy in (ViewPolicy("none", "pages"), ViewPolicy("auto", "pages", searched=False)):
            assert "nothing would find it" in failure_of(tmp_path / "note.txt", policy=policy).reason
            assert page_of(tmp_path / "scan.png", policy=policy).text


class TestReading:
    def test_pages_with_a_text_layer_are_recognised_too_where_the_policy_says_so(
        self, pdf: Callable[..., Path]
    ):
        def draw(canvas: Canvas) -> None:
            canvas.setFont("Helvetica", 16)
            canvas.drawString(30, 250, FIRST)
            canvas.drawImage(ImageReader(drawn(("Plate number 4711",), size=(760, 150))), 30, 40, 340, 67)

        path = pdf(draw)
        plain = page_of(path)
        assert plain.text == FIRST and plain.seen == ()
        page = page_of(path, policy=ViewPolicy("both"))
        assert replace(page, seen=(), image=None) == replace(plain, image=None)
        own, seen = (
            view.text for view in passages(page, ViewPolicy("both"))[0].views if isinstance(view, EmbedText)
        )
        assert own == FIRST
        assert seen.startswith(FIRST[:20]) and "Plate number 4711" in seen
        assert all(0.3 < (piece.confidence or 0) <= 1 for line in page.seen for piece in line)

    def test_figures_and_blank_pages_are_looked_for_where_a_leg_reads_images(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        Image.new("L", (600, 800), 250).save(tmp_path / "blank.png")
        photograph = Image.new("L", (600, 800), 250)
        photograph.paste(Image.effect_noise((400, 300), 90), (100, 100))
        photograph.save(tmp_path / "photograph.png")
        monkeypatch.setattr(ocr, "recognise", lambda image, config: ocr.Reading(image, []))
        assert page_of(tmp_path / "blank.png", policy=ViewPolicy(images="pages")).blank
        assert not page_of(tmp_path / "blank.png").blank
        assert not page_of(tmp_path / "photograph.png", policy=ViewPolicy(images="pages")).blank
        line = [list(_line(FIRST, 13, 0.9))]
        monkeypatch.setattr(ocr, "recognise", lambda image, config: ocr.Reading(image, [line]))
        (figure,) = page_of(tmp_path / "photograph.png", policy=ViewPolicy(images="regions")).figures
        assert (figure.left, figure.bottom) == pytest.approx((1 / 6, 1 / 2), abs=0.03)
        assert page_of(tmp_path / "photograph.png", policy=ViewPolicy(images="pages")).figures == ()


def test_retrieval_text_of_what_is_assembled_is_that_of_the_page():
    assert retrieval_text(BOTH.text) == f"{FIRST} {SECOND}"
