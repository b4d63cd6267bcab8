"""What other libraries' rerankers give, as scores of the core."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadInput, ConfigError, SideError
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.foreign import ForeignReranker, Kept, kept_scores, mark
from rag_plugins.types import EmbedImage, EmbedText


def candidates(*texts):
    return [Candidate((EmbedText(text),)) for text in texts]


def lengths(query, texts):
    return [len(text) for text in texts]


def giving(values):
    return ForeignReranker("mine", lambda query, texts: values)


def test_it_reads_the_query_and_the_views():
    read = []

    def judge(query, texts):
        read.append((query, texts))
        return [0.5] * len(texts)

    picture = Candidate((EmbedImage("a" * 64),), image=b"png")
    scores = ForeignReranker("mine", judge, "probability").score("q\x00", [*candidates("a", "a"), picture])
    assert read == [("q", ["a", "a", ""])]
    assert scores.values.tolist() == [0.5] * 3
    assert scores.values.dtype == np.float32


def test_without_candidates_it_is_not_asked():
    def never(query, texts):
        raise AssertionError(texts)

    assert ForeignReranker("mine", never).score("q", []).values.shape == (0,)


@pytest.mark.parametrize(
    ("values", "sound"),
    [
        ([2.0, math.nan, -1.0], [2.0, -1.0, -1.0]),
        ([2.0, math.inf, -math.inf], [2.0, 2.0, 2.0]),
        ([math.nan] * 3, [0.0] * 3),
        ([1.0, 1e300, 0.0], [1.0, 0.0, 0.0]),
    ],
)
def test_a_score_that_is_not_finite_is_the_lowest_and_noticed(values, sound):
    scores = giving(values).score("q", candidates("a", "b", "c"))
    assert scores.values.tolist() == sound
    [notice] = scores.notices
    assert notice.startswith("mine: ")


@pytest.mark.parametrize("values", [[1.0], [1.0] * 4, [[1.0], [2.0], [3.0]], ["a", "b", "c"], [None] * 2, 7])
def test_anything_but_a_number_a_text_is_an_error_that_names_it(values):
    with pytest.raises(BadInput) as caught:
        giving(values).score("q", candidates("a", "b", "c"))
    assert caught.value.__notes__ == ["mine was to score 3 texts"]


def test_errors_of_the_object_pass_through():
    def fails(query, texts):
        raise TimeoutError("no answer")

    with pytest.raises(TimeoutError) as caught:
        ForeignReranker("mine", fails).score("q", candidates("a"))
    assert caught.value.__notes__ == ["mine was to score 1 texts"]


def test_a_name_and_the_right_sides_are_needed():
    with pytest.raises(ConfigError, match="name is empty"):
        ForeignReranker(" ", lengths)
    with pytest.raises(SideError):
        ForeignReranker("mine", lengths).score(EmbedText("q"), candidates("a"))


def test_what_was_dropped_stands_below_what_was_kept():
    kept = [Kept((mark(2),), "c", 0.25), Kept((mark(0),), "a", 0.125)]
    assert kept_scores(["a", "b", "c"], kept) == [0.125, -1.0, 0.25]
    assert kept_scores(["a", "b"], [Kept((mark(1),), "b", -3.0)]) == [-4.0, -3.0]
    assert kept_scores(["a", "b"], []) == [-1.0, -1.0]


def test_without_a_score_for_each_the_order_counts():
    kept = [Kept((mark(2),), "c"), Kept((mark(0),), "a", 0.9)]
    assert kept_scores(["a", "b", "c"], kept) == [1.0, -1.0, 2.0]
    assert kept_scores(["a", "b"], [Kept((mark(1),), "b", "high"), Kept((mark(0),), "a", "low")]) == [
        1.0,
        2.0,
    ]


def test_of_pieces_the_best_counts():
    pieces = [Kept((mark(1),), "b one", 0.5), Kept((mark(0),), "a", 0.25), Kept((mark(1),), "b two", 0.75)]
    assert kept_scores(["a", "b one b two"], pieces) == [0.25, 0.75]
    unscored = [Kept(piece.marks, piece.text) for piece in pieces]
    assert kept_scores(["a", "b one b two"], unscored) == [2.0, 3.0]


def test_texts_that_lost_their_marks_are_known_by_what_they_read():
    kept = [Kept((None, ["junk"]), "same", 3.0), Kept((mark(2),), "same", 2.0), Kept((), "same", 1.0)]
    assert kept_scores(["same", "same", "same"], kept) == [3.0, 1.0, 2.0]
    with pytest.raises(BadInput, match="'invented', which it was not given"):
        kept_scores(["same"], [Kept((), "invented", 1.0)])


@given(
    st.lists(st.sampled_from(["a", "b", ""]), max_size=8).flatmap(
        lambda texts: st.tuples(
            st.just(texts), st.permutations(range(len(texts))), st.integers(0, len(texts))
        )
    ),
    st.booleans(),
    st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8),
)
def test_any_selection_in_any_order_is_scored_where_it_belongs(case, scored, numbers):
    texts, order, count = case
    chosen = order[:count]
    kept = [Kept((mark(n),), "changed", numbers[n] if scored else None) for n in chosen]
    scores = kept_scores(texts, kept)
    assert len(scores) == len(texts)
    if scored:
        assert [scores[n] for n in chosen] == [numbers[n] for n in chosen]
    else:
        assert sorted(chosen, key=lambda n: -scores[n]) == chosen
    assert all(scores[n] < min((scores[m] for m in chosen), default=0.0) for n in order[count:])
