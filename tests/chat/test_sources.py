"""Sources: exactly what a model was given of each page, with lines, boxes and how it was found."""

import pytest

from rag_plugins import RagIndex
from rag_plugins.chat.sources import Line, sources_of
from rag_plugins.types import Box, Provenance, Word

WORDS = ("Change", "the", "dust", "filter", "often.")


def scanned(confidence):
    """A page of two lines; `confidence` is that of the word "dust"."""
    words, start = [], 0
    for number, word in enumerate(WORDS):
        line, column = divmod(number, 3)
        box = Box(0.1 + 0.2 * column, 0.1 + 0.2 * line, 0.25 + 0.2 * column, 0.2 + 0.2 * line)
        sure = confidence if word == "dust" else 0.95
        words.append(Word(start, start + len(word), line, box, sure))
        start += len(word) + 1
    return Provenance("filter.png", page=2, words=tuple(words))


@pytest.fixture
def index(tmp_path):
    with RagIndex.open(tmp_path / "handbook.db", preset="lexical") as index:
        yield index


def sources(index, question, k=3):
    hits = index.search(question, k)
    context = index.context(hits)
    return context, sources_of(context, hits)


def test_a_source_is_what_stands_in_the_prompt_and_where_it_stands_on_the_page(index):
    text = "Change the dust\nfilter often."
    index.add([index.passage(text, doc_id="filter.png", provenance=scanned(0.9))])
    context, (source,) = sources(index, "dust filter")
    assert (source.number, source.name, source.text) == (1, "filter.png, page 2", text)
    assert source.text in context.text and source.image is None
    assert source.origin == "OCR, mean confidence 94 %"
    assert source.lines == (
        Line("Change the dust", Box(0.1, 0.1, 0.65, 0.2)),
        Line("filter often.", Box(0.1, 0.3, 0.45, 0.4)),
    )
    assert source.boxes and all(box.left >= 0.1 and box.bottom <= 0.4 for box in source.boxes)


def test_words_in_doubt_are_marked_as_in_the_prompt(index):
    text = "Change the dust\nfilter often."
    index.add([index.passage(text, doc_id="filter.png", provenance=scanned(0.3))])
    _, (source,) = sources(index, "dust filter")
    assert source.text == "Change the [?dust?]\nfilter often."
    assert source.lines[0].text == "Change the dust"


def test_each_hit_of_a_page_comes_with_its_trace(index):
    texts = ("The dust filter is grey.", "The dust filter is cheap and large.", "Nothing of the kind.")
    for start, text in zip((0, 25, 60), texts, strict=True):
        origin = Provenance("filter.txt", page=1, start=start)
        index.add([index.passage(text, doc_id="filter.txt", provenance=origin)])
    _, (source,) = sources(index, "dust filter")
    assert source.text == f"{texts[0]} {texts[1]}" and len(source.hits) == 2
    assert [row.name for row in source.hits[0].trace] == ["bm25", "minmax"]
    assert source.hits[0].score >= source.hits[1].score


def test_plain_text_has_neither_boxes_nor_lines(index):
    index.add([index.passage("The dust filter is grey.", doc_id="notes")])
    _, (source,) = sources(index, "dust filter")
    assert (source.name, source.origin, source.boxes, source.lines) == ("notes", "plain text", (), ())
