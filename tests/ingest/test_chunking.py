from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import ChunkingConfig
from rag_plugins.ingest.chunking import chunk, chunk_spans, retrieval_text
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.sentences import count_words, sentences
from rag_plugins.ingest.text import Piece, assemble, clean
from rag_plugins.types import Box, EmbedText

FILE = SourceFile(Path("/in/manual.pdf"), "manual.pdf", "manual.pdf", "00")
UNIT = Box(0.1, 0.2, 0.3, 0.4)

texts = st.lists(
    st.sampled_from([*"abcXYZ 0129.!?。！，你好世界かな한글\n\n\t|-\"')”」", "\n\n", "Dr", "e.g."]),
    max_size=400,
).map("".join)
configs = st.integers(8, 40).flatmap(
    lambda size: st.builds(ChunkingConfig, size=st.just(size), overlap=st.integers(0, size - 1))
)


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_sentences_end_where_people_end_them():
    text = 'It works. Does it? "Yes!" she said. See Dr. Smith, i.e. Fig. 3, by J. R. Hartley… No. The end'
    assert parts(text) == [
        "It works.",
        "Does it?",
        '"Yes!" she said.',
        "See Dr. Smith, i.e. Fig. 3, by J. R. Hartley…",
        "No.",
        "The end",
    ]


def test_numbers_and_names_with_points_are_not_ends():
    assert parts("Version 2.0.1 costs 3.50 at example.com today. Next.") == [
        "Version 2.0.1 costs 3.50 at example.com today.",
        "Next.",
    ]


def test_chinese_sentences_end_without_a_space():
    assert parts("设备手册。型号是AX-4711！“好吗？”他问；完") == [
        "设备手册。",
        "型号是AX-4711！",
        "“好吗？”",
        "他问；",
        "完",
    ]


def test_line_breaks_are_soft_and_blank_lines_are_not():
    assert parts("A heading\n\nA sentence over\ntwo lines. And\nmore\n \nlast") == [
        "A heading",
        "A sentence over\ntwo lines.",
        "And\nmore",
        "last",
    ]


def test_table_lines_stay_whole_and_apart():
    text = (
        "Parts in stock are\n| AX-4711 | Pump. Blue. | 12 |\n9066468 1 X 19.00\nName\tQty. Left\nas of today."
    )
    assert parts(text) == [
        "Parts in stock are",
        "| AX-4711 | Pump. Blue. | 12 |",
        "9066468 1 X 19.00",
        "Name\tQty. Left",
        "as of today.",
    ]


def test_headings_and_list_items_begin_anew():
    assert parts("# Pump\nThe pump\nruns\n- check oil\n2. Close it") == [
        "# Pump\nThe pump\nruns",
        "- check oil",
        "2. Close it",
    ]


def test_a_dotted_line_takes_no_longer_than_another():
    assert len(chunk_spans("." * 300_000 + " end", ChunkingConfig())) == 30


def test_words_are_counted_as_people_count_them():
    assert count_words("two words") == 2
    assert count_words("你好 world") == 3
    assert count_words("x" * 65) == 2
    assert count_words(" \n ") == 0


@given(texts)
def test_sentences_cover_everything_in_order_and_apart(text: str):
    spans = sentences(text)
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))
    assert "".join("".join(part.split()) for part in parts(text)) == "".join(text.split())


@given(texts, configs)
def test_passages_lose_nothing_keep_their_size_and_go_forward(text: str, config: ChunkingConfig):
    spans = chunk_spans(text, config)
    covered = {at for start, end in spans for at in range(start, end)}
    assert covered >= {at for at, char in enumerate(text) if not char.isspace()}
    assert all(count_words(text[start:end]) <= config.size for start, end in spans)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(spans, spans[1:], strict=False))


@given(texts, configs)
def test_the_overlap_is_whole_sentences_within_its_limit(text: str, config: ChunkingConfig):
    starts = {start for start, _ in sentences(text)}
    spans = chunk_spans(text, config)
    for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
        if start < end:
            assert count_words(text[start:end]) <= config.overlap
            longest = max(count_words(part) for part in parts(text))
            assert start in starts or longest > config.size


def test_sentences_are_packed_with_the_last_ones_repeated():
    text = " ".join(f"Sentence number {name} is here." for name in ("one", "two", "three", "four", "five"))
    spans = chunk_spans(text, ChunkingConfig(size=15, overlap=5))
    assert [re.findall(r"number (\w+)", text[start:end]) for start, end in spans] == [
        ["one", "two", "three"],
        ["three", "four", "five"],
    ]


def test_an_overlong_sentence_is_cut_at_line_ends_then_at_words():
    text = "one two three four five\nsix seven eight nine ten eleven twelve thirteen fourteen fifteen"
    spans = chunk_spans(text, ChunkingConfig(size=8, overlap=0))
    assert [text[start:end] for start, end in spans] == [
        "one two three four five",
        "six seven eight nine ten eleven twelve thirteen",
        "fourteen fifteen",
    ]


def test_the_retrieval_view_is_cleaned():
    assert retrieval_text("a well-\nknown  ﬁx\u00ad, cafe\u0301\n\n你好\n世界 AX-\n4711") == (
        "a wellknown fix, café 你好世界 AX- 4711"
    )


def page(text: str, *words: tuple[str, int]) -> Page:
    lines: dict[int, list[Piece]] = {}
    for word, line in words:
        lines.setdefault(line, []).append(Piece(word, UNIT, 0.9))
    made, spans = assemble([list(lines.values())])
    assert made == text
    return Page(3, text, spans, b"image", "ocr")


def test_a_passage_carries_both_sides_its_place_and_its_words():
    words = [(word, 0) for word in "Here is the first of the sentences .".split()]
    words += [(word, 1) for word in "And here comes the next hy- phen- ated .".split()]
    text = "Here is the first of the sentences .\nAnd here comes the next hy- phen- ated ."
    first, second = chunk(page(text, *words), FILE, ChunkingConfig(size=9, overlap=0), page_image="ab")
    assert first.llm_text == "Here is the first of the sentences ."
    assert second.llm_text == "And here comes the next hy- phen- ated ."
    assert second.views == (EmbedText(second.llm_text),)
    assert second.doc_id == "manual.pdf"
    assert second.metadata == {"source": "manual.pdf", "page": 3, "origin": "ocr"}
    assert second.provenance is not None
    assert (second.provenance.source, second.provenance.page) == ("manual.pdf", 3)
    assert second.provenance.page_image == "ab"
    found = [second.llm_text[word.start : word.end] for word in second.provenance.words]
    assert found == second.llm_text.split()
    assert {word.line for word in second.provenance.words} == {1}


def test_line_breaks_reach_the_llm_and_not_the_embedding():
    (passage,) = chunk(Page(1, "  over\n two lines\n", (), None, "text"), FILE, ChunkingConfig())
    assert passage.llm_text == "over\n two lines"
    assert passage.views == (EmbedText("over two lines"),)


def test_a_blank_page_gives_no_passage():
    assert chunk(Page(1, " \n", (), None, "text"), FILE, ChunkingConfig()) == []


def test_ids_depend_on_tenant_document_place_and_text_alone():
    def ids(text: str = "Same. ", number: int = 1, doc_id: str = "a", tenant: str = "") -> list[str]:
        made = chunk(
            Page(number, text, (), None, "text"),
            SourceFile(Path("x"), doc_id, doc_id, ""),
            ChunkingConfig(size=8, overlap=0),
            tenant=tenant,
        )
        return [passage.id for passage in made]

    assert ids() == ids()
    different = [
        ids(),
        ids("Other. "),
        ids(number=2),
        ids(doc_id="b"),
        ids(tenant="t"),
        ids("Same. " * 9)[1:2],
    ]
    assert len({id for (id,) in different}) == 6
    assert len(set(ids("Same. " * 40))) == len(ids("Same. " * 40)) == 5


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_clean_text_can_be_stored_anywhere(text: str):
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", cleaned)
    assert clean(cleaned) == cleaned


def test_assembled_text_has_lines_paragraphs_and_no_gap_between_chinese():
    def line(text: str) -> list[Piece]:
        return [Piece(word, UNIT) for word in text.split()]

    text, words = assemble([[line("型 号 AX 的 。"), line("two words")], [line("한국 어")]])
    assert text == "型号 AX 的。\ntwo words\n\n한국 어"
    assert [word.line for word in words] == [0, 0, 0, 0, 0, 1, 1, 2, 2]
    assert "".join(text[word.start : word.end] for word in words) == "型号AX的。twowords한국어"
