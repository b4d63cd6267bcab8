"""The demo from end to end: real Tesseract, the real model, a real database file, a real browser."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from rich.console import Console

from rag_plugins.demo.examples import QUESTIONS
from rag_plugins.demo.run import DemoResult, _database, _questions, run_demo
from rag_plugins.errors import MissingProgram
from rag_plugins.evidence import where

DESKTOP, PHONE = (1280, 900), (360, 740)


@dataclass(frozen=True)
class Ran:
    database: Path
    result: DemoResult
    printed: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("demo")
    out = io.StringIO()
    database = folder / "kept" / "demo.db"
    result = run_demo(folder / "report.html", Console(file=out, width=120), database)
    return Ran(database, result, out.getvalue())


def test_every_page_was_read(ran: Ran) -> None:
    summary = ran.result.summary
    assert (summary.documents, summary.pages, summary.recognised, summary.bad) == (6, 12, 9, ())
    assert summary.passages >= 12


def test_all_questions_are_asked(ran: Ran) -> None:
    assert ran.result.questions == QUESTIONS


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_the_best_hit_is_on_the_page_that_answers(ran: Ran, number: int) -> None:
    question, answer = ran.result.questions[number], ran.result.answers[number]
    assert where(answer.hits[0].passage) == f"{question.source}, page {question.page}"
    assert question.answer in " ".join(answer.hits[0].passage.llm_text.split())
    assert answer.image is not None and answer.hits[0].passage.provenance is not None
    assert answer.hits[0].passage.provenance.boxes()


def test_the_best_hits_carry_a_full_trace(ran: Ran) -> None:
    for answer in ran.result.answers:
        kinds = [stage.kind for stage in answer.hits[0].trace]
        assert "leg" in kinds and kinds[-2:] == ["fusion", "rerank"]


def test_the_terminal_shows_question_place_passage_and_trace(ran: Ran) -> None:
    for question, answer in zip(ran.result.questions, ran.result.answers, strict=True):
        assert question.text in ran.printed
        assert where(answer.hits[0].passage) in ran.printed
        assert answer.hits[0].passage.llm_text.split()[0] in ran.printed
    for stage in ("dense", "bm25", "adaptive", "late-interaction", "final", "bm25 weighed: "):
        assert stage in ran.printed


def test_a_kept_database_is_not_read_again(ran: Ran, tmp_path: Path) -> None:
    again = run_demo(tmp_path / "report.html", Console(file=io.StringIO()), ran.database)
    assert (again.summary.unchanged, again.summary.pages) == (6, 0)
    assert [answer.hits[0].passage.id for answer in again.answers] == [
        answer.hits[0].passage.id for answer in ran.result.answers
    ]


def test_without_the_chinese_data_the_chinese_question_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rag_plugins.ingest.ocr.installed_languages", lambda: frozenset({"eng", "osd"}))
    out = io.StringIO()
    asked = _questions(Console(file=out, width=120))
    assert {question.language for question in asked} == {"eng"} and len(asked) == len(QUESTIONS) - 1
    assert "chi_sim" in out.getvalue()


def test_without_english_data_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_plugins.ingest.ocr.installed_languages", lambda: frozenset({"osd"}))
    with pytest.raises(MissingProgram, match="tesseract-ocr-eng"):
        _questions(Console(file=io.StringIO()))


def test_the_temporary_database_leaves_nothing_behind() -> None:
    with _database(None) as path:
        path.mkdir()
    assert not path.parent.exists()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_fits_and_asks_nobody(
    ran: Ran, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light" if scheme == "light" else "dark",
    )
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(ran.result.report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")

    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert _overflowing(page) == []
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [ran.result.report.as_uri()]
    loaded = "[...document.images].map(image => image.complete && image.naturalWidth > 0)"
    assert page.evaluate(loaded) == [True] * len(ran.result.answers)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(246, 245, 241)" if scheme == "light" else "rgb(20, 24, 26)")
    context.close()


def _overflowing(page: object) -> list[str]:
    """Elements that stick out of the window, but for those in a box that scrolls."""
    return page.evaluate(  # type: ignore[attr-defined]
        """[...document.querySelectorAll('body *')]
           .filter(item => !item.closest('.scroll') || item.matches('.scroll'))
           .filter(item => item.getBoundingClientRect().right > innerWidth + 1)
           .map(item => item.tagName + ': ' + item.textContent.slice(0, 40))"""
    )


def test_boxes_are_drawn_over_the_lines_of_the_passage(ran: Ran, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(ran.result.report.as_uri())
    drawn = page.evaluate(
        """[...document.querySelectorAll('.page')].map(frame => {
             const whole = frame.querySelector('img').getBoundingClientRect();
             return [...frame.querySelectorAll('rect')].map(box => box.getBoundingClientRect())
               .map(box => [(box.left - whole.left) / whole.width, (box.top - whole.top) / whole.height]);
           })"""
    )
    for answer, boxes in zip(ran.result.answers, drawn, strict=True):
        assert answer.hits[0].passage.provenance is not None
        expected = answer.hits[0].passage.provenance.boxes()
        assert len(boxes) == len(expected)
        for (left, top), box in zip(boxes, expected, strict=True):
            assert left == pytest.approx(box.left, abs=0.005) and top == pytest.approx(box.top, abs=0.005)
    page.close()
