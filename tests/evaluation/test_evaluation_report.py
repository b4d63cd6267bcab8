"""The page of an evaluation, made of scans and looked at in a browser."""

import re

import pytest
from questions_support import filled

from rag_plugins.evaluation import Question, Record, Target, compare, evaluate, judge
from rag_plugins.evaluation.report import write_report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with a comparison, answers and a query that fails; the file."""
    folder = tmp_path_factory.mktemp("report")
    asked = [
        Question("q1", "How tight are the screws of the coolant pump?", (Target("pump.pdf", 1),), ("12 Nm",)),
        Question("q2", "When is the dust filter changed?", (Target("filter.pdf"),), ("500 hours",)),
        Question("q3", "Which <b>store</b>?", (Target("notes.txt"),)),
        Question("q4", "Who made it?", (), ("Nobody knows",)),
    ]
    with filled(folder / "manuals.db") as index:
        result = evaluate(index, judge(index, asked))
        record = Record.of("manuals", result, index)
        record.save(folder / "before")
        before = Record.load(folder / "before")
        return write_report(
            folder / "out" / "report.html",
            record,
            result,
            index,
            baseline=before,
            compared=compare(before, record),
        )


def test_everything_measured_is_in_it(page):
    html = page.read_text(encoding="utf-8")
    for said in (
        "bm25",
        "fused",
        "nDCG@10",
        "Where answers are lost",
        "Compared with before",
    ):
        assert said in html, said
    assert "Who made it?" in html and "its answer stands in no passage" in html
    assert "&lt;b&gt;store" in html and "<b>store" not in html


def test_it_asks_no_other_machine_and_its_charts_take_the_pages_colours(page):
    html = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", html)
    charts = html.count("<svg")
    assert charts >= 3 and "var(--ink)" in html and "#0101" not in html


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_it_fits_every_screen(browser, page, tmp_path, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    requests, errors = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page.as_uri())
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == [] and errors == []
    overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0
    right = "[...document.querySelectorAll('.charts svg')].map(s => s.getBoundingClientRect().right)"
    assert all(edge <= width for edge in tab.evaluate(right))
    shot = tmp_path / f"{scheme}-{width}.png"
    tab.screenshot(path=str(shot), full_page=True)
    assert shot.stat().st_size > 10_000
    context.close()
