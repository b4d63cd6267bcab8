"""What a page or a terminal shows of a hit."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rag_plugins.evidence import DOUBT, remark, runs, where
from rag_plugins.evidence.views import look
from rag_plugins.types import Box, EmbedText, Hit, Passage, Provenance, StageScore, Word


def test_words_below_the_doubt_are_cut_out_and_nothing_is_lost(passage: Passage) -> None:
    cut = list(runs(passage))
    assert "".join(run.text for run in cut) == passage.llm_text
    assert [(run.text, run.confidence) for run in cut if run.confidence is not None] == [
        ("38", 0.41),
        ("83", 0.59),
    ]


def test_lines_of_the_page_stay_lines(hit: Hit) -> None:
    lines = look("q", [hit], None).lines
    assert ["".join(run.text for run in line) for line in lines] == ["Tighten to 38 Nm,", "never to 83 Nm."]


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1)), max_size=8),
)
def test_any_spans_even_overlapping_or_outside_keep_the_text_whole(
    text: str, spans: list[tuple[int, int, float]]
) -> None:
    words = tuple(Word(start, end, 0, Box(0, 0, 1, 1), sure) for start, end, sure in spans)
    cut = list(runs(Passage("0", "d", (), text, provenance=Provenance("d", words=words))))
    assert "".join(run.text for run in cut) == text
    assert all(run.confidence is None or run.confidence < DOUBT for run in cut)


def test_the_trace_keeps_the_order_of_the_stages_and_says_who_did_not_find_it(hit: Hit) -> None:
    other = Hit(hit.passage, 0.9, (StageScore("bm25", "leg", 2, 9.0, 0.5, 0.3), *hit.trace[2:]))
    view = look("q", [other, hit], None)
    # The first hit of the list was not found by the dense leg; the second was.
    assert {stage.name: stage.rank for stage in view.stages} == {
        "dense": None,
        "bm25": 2,
        "minmax": 1,
        "late-interaction": 2,
    }
    assert [stage.kind for stage in view.stages] == ["leg", "leg", "fusion", "rerank"]
    ranks = {stage.name: index for index, stage in enumerate(view.stages)}
    assert view.hits[0].ranks[ranks["dense"]] is None
    assert view.hits[1].ranks[ranks["dense"]] == 3


def test_bars_are_shares_of_the_best_fused_score(hit: Hit) -> None:
    dense, bm25, fusion, rerank = look("q", [hit], None).stages
    assert dense.shares == ((1, 0.2 / 0.7),)
    assert bm25.shares == ((2, 0.5 / 0.7),)
    assert fusion.shares == (*dense.shares, *bm25.shares)
    assert rerank.shares == ()


def test_what_several_queries_found_stands_query_after_query(hit: Hit) -> None:
    def found(query: str, part: float) -> tuple[StageScore, ...]:
        return (
            StageScore("bm25", "leg", 1, 3.0, 1.0, 0.8, query=query),
            StageScore("minmax", "fusion", 1, 0.8, 0.5, part, query=query),
        )

    both = replace(hit, trace=(*found("a", 0.4), *found("b", 0.2), StageScore("minmax", "queries", 1, 0.6)))
    other = replace(hit, trace=(*found("b", 0.5), StageScore("minmax", "queries", 2, 0.5)))
    view = look("q", [both, other], None)
    assert [(stage.name, stage.kind) for stage in view.stages] == [
        ("bm25", "leg for “a”"),
        ("minmax", "fusion for “a”"),
        ("bm25", "leg for “b”"),
        ("minmax", "fusion for “b”"),
        ("minmax", "queries"),
    ]
    assert view.stages[0].shares == view.stages[1].shares == ((1, 1.0),)
    assert view.stages[4].shares == ((1, 0.4 / 0.6), (2, 0.2 / 0.6))
    assert view.hits[1].ranks == (None, None, 1, 1, 2)


def test_a_leg_of_two_passes_has_both_in_the_trace(hit: Hit) -> None:
    trace = (
        StageScore("pages", "shortlist", 4, 0.5),
        StageScore("pages", "leg", 1, 9.0, 1.0, 1.0),
        StageScore("minmax", "fusion", 1, 1.0),
    )
    stages = look("q", [replace(hit, trace=trace)], None).stages
    assert [stage.kind for stage in stages] == ["shortlist", "leg", "fusion"]
    assert [stage.shares for stage in stages] == [(), ((1, 1.0),), ((1, 1.0),)]


def test_a_leg_left_out_says_why_and_ranks_nothing(hit: Hit) -> None:
    why = "finds 0.18 alone, the others 0.97 (known items)"
    trace = (
        StageScore("bm25", "leg", 1, 12.0, 1.0, 20.0, why="finds 0.97 alone, the others 0.18 (known items)"),
        StageScore("dense", "left out", 0, 0.0, 0.0, why=why),
        StageScore("adaptive", "fusion", 1, 20.0),
    )
    view = look("q", [replace(hit, trace=trace)], None)
    bm25, dense, fusion = view.stages
    assert (dense.kind, dense.rank, dense.why, dense.shares) == ("left out", 0, why, ())
    assert bm25.why.startswith("finds 0.97") and bm25.shares == fusion.shares == ((1, 1.0),)
    assert view.ran == (bm25, fusion) and view.hits[0].ranks == (1, 1)


def test_a_leg_left_out_for_a_query_that_did_not_find_the_best_hit_is_told_all_the_same(hit: Hit) -> None:
    def found(query: str) -> tuple[StageScore, ...]:
        return (
            StageScore("bm25", "leg", 1, 3.0, 1.0, 3.0, query=query, why="good"),
            StageScore("dense", "left out", 0, 0.0, 0.0, query=query, why=f"no word of {query}"),
            StageScore("adaptive", "fusion", 1, 3.0, 0.5, 0.5, query=query),
        )

    end = StageScore("adaptive", "queries", 1, 0.5)
    view = look("q", [replace(hit, trace=(*found(query), end)) for query in ("a", "b")], None)
    left_out = [(stage.rank, stage.why) for stage in view.stages if stage.kind.startswith("left out")]
    assert left_out == [(0, "no word of a"), (0, "no word of b")]
    missing = next(stage for stage in view.stages if stage.kind == "leg for “b”")
    assert (missing.rank, missing.why) == (None, "good")
    assert [len(row.ranks) for row in view.hits] == [len(view.ran)] * 2


def test_the_retrieval_view_is_shown_where_it_differs(hit: Hit) -> None:
    assert look("q", [hit], None).retrieval_text == "tighten torque"
    same = replace(hit.passage, views=(EmbedText(hit.passage.llm_text),))
    assert look("q", [Hit(same, 1.0)], None).retrieval_text == ""


def test_one_box_a_line(hit: Hit) -> None:
    assert look("q", [hit], None).boxes == (Box(0.1, 0.2, 0.9, 0.25), Box(0.1, 0.3, 0.9, 0.35))


def test_the_image_is_scaled_to_reading_size(hit: Hit, page_image: bytes) -> None:
    uri = look("q", [hit], page_image).image
    kind, data = uri.split(",", 1)
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (1000, 1414)


def test_places(passage: Passage) -> None:
    assert where(passage) == "handbook.tif, page 4"
    assert where(replace(passage, provenance=Provenance("notes.md"))) == "notes.md"
    assert where(replace(passage, provenance=None)) == "handbook.tif"
    assert (
        look("q", [Hit(replace(passage, provenance=Provenance("notes.md")), 1.0)], None).origin
        == "plain text"
    )


def test_no_hits() -> None:
    view = look("What?", [], None, "remark")
    assert (view.question, view.hits, view.lines) == ("What?", (), ())


def test_the_trace_says_how_sure_a_reranker_is_and_how_much_it_read(hit: Hit) -> None:
    dear = StageScore("dear", "rerank", 1, 4.5, 1.0, 1.0, 0.989, 480, 1200, 1)
    *_, late, shown = look("q", [replace(hit, trace=(*hit.trace, dear))], None).stages
    assert late.remark == "" and shown.remark == "probability 0.989, read 480 of 1200 tokens"
    assert (shown.score, shown.weight) == (4.5, 1.0)
    assert remark(replace(dear, probability=None, read=1200, windows=3)) == (
        "read 1200 of 1200 tokens in 3 windows"
    )
