"""Sentences that are quoted where no model writes an answer."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins import RagIndex
from rag_plugins.chat.extractive import best_quotes, unwrapped
from rag_plugins.chat.sources import sources_of

PAGE = (
    "Tightening torques\n"
    "Joint Thread Torque\n"
    "Motor flange to pump head M10 38 Nm\n"
    "Tank flange to its base M8 18 Nm\n"
    "Tighten the screws of the motor flange crosswise in two passes, with half of the torque\n"
    "in the first. The display then shows how long the motor has run since it was last opened.\n"
)


def lines(text, width):
    return list(unwrapped(text, 0, len(text), width))


def test_rows_and_headings_stand_alone_and_wrapped_lines_are_joined():
    assert lines(PAGE, 85) == [
        "Tightening torques",
        "Joint Thread Torque",
        "Motor flange to pump head M10 38 Nm",
        "Tank flange to its base M8 18 Nm",
        "Tighten the screws of the motor flange crosswise in two passes, with half of the torque in the "
        "first. The display then shows how long the motor has run since it was last opened.",
    ]


def test_a_sentence_that_begins_late_in_a_full_line_is_wrapped_all_the_same():
    text = "A long sentence stands before this one. The next\nis on two lines."
    start = text.index("The next")
    assert list(unwrapped(text, start, len(text), 48)) == ["The next is on two lines."]


@given(st.text("ab \n", max_size=60), st.floats(0, 100))
def test_no_word_is_lost_and_none_comes_twice(text, width):
    assert " ".join(lines(text, width)).split() == text.split()
    assert lines(text, -inf) == [" ".join(text.split())]


@pytest.fixture
def index(tmp_path):
    with RagIndex.open(tmp_path / "handbook.db", preset="lexical") as index:
        yield index


def quotes(index, question, k=3):
    hits = index.search(question, k)
    sources = sources_of(index.context(hits), hits)
    return [(quote.number, quote.text) for quote in best_quotes(question, sources, index)]


def test_the_row_that_answers_is_quoted_with_its_source(index):
    index.add([index.passage(PAGE, doc_id="handbook"), index.passage("The fan is grey.", doc_id="fan")])
    (first, *rest) = quotes(index, "torque of motor flange to pump head")
    assert first == (1, "Motor flange to pump head M10 38 Nm")
    assert all("motor flange" in text for _, text in rest)


def test_marks_of_doubt_neither_stand_in_a_quote_nor_end_a_sentence(index):
    index.add([index.passage(PAGE, doc_id="handbook")])
    hits = index.search("motor flange", 1)
    (source,) = sources_of(index.context(hits), hits)
    doubted = replace(source, text="Change the [?dust?] filter every [?500?] hours. It is cheap.")
    (quote,) = best_quotes("When is the dust filter changed?", [doubted], index)
    assert quote.text == "Change the dust filter every 500 hours."


def test_the_same_sentence_on_a_page_is_quoted_once(index):
    text = "Change the dust filter often.\n\nIt is grey and cheap.\n\nChange the dust filter often."
    index.add([index.passage(text, doc_id="filter")])
    assert quotes(index, "change the dust filter") == [(1, "Change the dust filter often.")]


def test_nothing_to_quote_gives_no_quote(index):
    assert best_quotes("dust filter", [], index) == []
