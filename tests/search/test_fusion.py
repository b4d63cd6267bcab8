import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.search.fusion import fuse, minmax, reciprocal_rank, shares, shifted

BM25 = [("a", 12.0), ("b", 8.0), ("c", 4.0)]
DENSE = [("b", 0.9), ("d", 0.8), ("a", 0.7)]


def test_minmax_scales_the_shortlist_to_0_and_1():
    assert minmax(BM25) == {"a": 1.0, "b": 0.5, "c": 0.0}


@pytest.mark.parametrize("ranking", [[("a", 3.0)], [("a", 3.0), ("b", 3.0)]])
def test_a_one_hit_or_constant_list_scales_to_1(ranking):
    assert set(minmax(ranking).values()) == {1.0}


def test_reciprocal_rank_is_the_textbook_formula():
    assert reciprocal_rank(BM25, 60) == {"a": 1 / 61, "b": 1 / 62, "c": 1 / 63}


def test_weighted_minmax_sum():
    fused = fuse({"bm25": BM25, "dense": DENSE}, {"bm25": 3.0, "dense": 1.0})
    assert [(item.id, pytest.approx(item.score)) for item in fused] == [
        ("a", 0.75 * 1.0 + 0.25 * 0.0),
        ("b", 0.75 * 0.5 + 0.25 * 1.0),
        ("d", 0.25 * 0.5),
        ("c", 0.0),
    ]
    assert fused[1].parts == {"bm25": pytest.approx(0.375), "dense": pytest.approx(0.25)}


def test_weighted_rrf():
    fused = fuse({"bm25": BM25, "dense": DENSE}, {"bm25": 1.0, "dense": 1.0}, "rrf", 60)
    assert [item.id for item in fused] == ["b", "a", "d", "c"]
    assert fused[0].score == pytest.approx(0.5 / 62 + 0.5 / 61)


def test_the_id_breaks_ties():
    fused = fuse({"x": [("b", 1.0), ("a", 1.0)]}, {"x": 1.0})
    assert [item.id for item in fused] == ["a", "b"]


def test_a_leg_that_found_nothing_takes_nothing_away():
    alone = fuse({"bm25": BM25, "dense": []}, {"bm25": 1.0, "dense": 1.0})
    assert [item.id for item in alone] == ["a", "b", "c"]


def test_weights_of_zero_count_equally():
    assert shares({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}


def test_no_legs_no_hits():
    assert fuse({}, {}) == []


rankings = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1e3, 1e3), max_size=8).map(
    lambda scores: sorted(scores.items(), key=lambda item: (-item[1], item[0]))
)
legs = st.dictionaries(st.sampled_from(["l1", "l2", "l3"]), rankings, min_size=1)
methods = st.sampled_from(["minmax", "dbsf", "rrf"])


@given(legs, methods)
def test_the_order_of_legs_does_not_matter(by_leg, method):
    weights = {"l1": 1.0, "l2": 2.0, "l3": 0.5}
    backwards = dict(reversed(by_leg.items()))
    assert [(i.id, i.score) for i in fuse(by_leg, weights, method)] == [
        (i.id, i.score) for i in fuse(backwards, weights, method)
    ]


@given(legs, methods)
def test_every_passage_once_best_first_and_parts_sum_to_the_score(by_leg, method):
    fused = fuse(by_leg, {"l1": 1.0, "l2": 2.0, "l3": 0.5}, method)
    ids = [item.id for item in fused]
    assert sorted(ids) == sorted({id for ranking in by_leg.values() for id, _ in ranking})
    assert all(a.score >= b.score for a, b in zip(fused, fused[1:], strict=False))
    assert all(math.isclose(item.score, math.fsum(item.parts.values())) for item in fused)
    assert all(0.0 <= item.score <= 1.0 + 1e-9 for item in fused)


@given(rankings, st.floats(0.1, 10.0), st.floats(-10.0, 10.0))
def test_minmax_ignores_scale_and_offset_of_a_leg(ranking, scale, offset):
    moved = minmax([(id, scale * score + offset) for id, score in ranking])
    span = max((s for _, s in ranking), default=0.0) - min((s for _, s in ranking), default=0.0)
    if span > 1e-3:  # Below, adding an offset rounds the differences away.
        assert all(math.isclose(moved[id], value, abs_tol=1e-6) for id, value in minmax(ranking).items())


def test_doubt_moves_the_weight_of_plain_text_legs_to_the_others():
    share = {"dense": 0.25, "bm25": 0.25, "robust": 0.25, "image": 0.25}
    doubted = shifted(share, {"dense", "bm25"}, 0.5)
    assert doubted == {
        "dense": pytest.approx(1 / 6),
        "bm25": pytest.approx(1 / 6),
        "robust": pytest.approx(1 / 3),
        "image": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize("confidence", [0.0, 0.3, 1.0])
def test_doubt_shifts_nothing_where_every_leg_reads_the_words_as_they_are(confidence):
    share = {"dense": 0.4, "bm25": 0.6}
    assert shifted(share, {"dense", "bm25"}, confidence) == share


def test_a_passage_read_without_doubt_is_weighed_as_ever():
    share = {"bm25": 0.7, "image": 0.3}
    assert shifted(share, {"bm25"}, 1.0) == pytest.approx(share)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 1.0), min_size=2),
    st.sets(st.sampled_from("abcdef")),
    st.floats(0.0, 1.0),
)
def test_shifting_keeps_the_sum_and_never_favours_a_fragile_leg(weights, fragile, confidence):
    before = shares(weights)
    after = shifted(before, fragile, confidence)
    assert math.fsum(after.values()) == pytest.approx(1.0)
    if not fragile >= set(weights):
        assert all(after[leg] <= before[leg] + 1e-12 for leg in fragile & set(weights))
        assert all(after[leg] >= before[leg] - 1e-12 for leg in set(weights) - fragile)


def test_a_passage_with_shares_of_its_own_is_fused_by_them():
    rankings = {"bm25": [("a", 2.0), ("b", 1.0)], "image": [("b", 0.9), ("a", 0.8)]}
    plain = fuse(rankings, {"bm25": 1.0, "image": 1.0})
    assert [(item.id, item.score) for item in plain] == [("a", 0.5), ("b", 0.5)]
    own = {"b": {"bm25": 0.25, "image": 0.75}}
    moved = fuse(rankings, {"bm25": 1.0, "image": 1.0}, own=own)
    assert [(item.id, item.score) for item in moved] == [("b", 0.75), ("a", 0.5)]
