import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import FusionConfig
from rag_plugins.fusion import (
    NORMALISATIONS,
    dbsf,
    fuse,
    minmax,
    normalisation,
    reciprocal_rank,
    shares,
    shifted,
    zscore,
)

BM25 = [("a", 12.0), ("b", 8.0), ("c", 4.0)]
DENSE = [("b", 0.9), ("d", 0.8), ("a", 0.7)]


def test_minmax_scales_the_shortlist_to_0_and_1():
    assert minmax(BM25) == {"a": 1.0, "b": 0.5, "c": 0.0}


def test_zscore_counts_deviations_above_the_last():
    # Mean 8, variance 32 / 3.
    deviation = math.sqrt(32 / 3)
    assert zscore(BM25) == pytest.approx({"a": 8 / deviation, "b": 4 / deviation, "c": 0.0})


def test_dbsf_maps_three_deviations_either_side_of_the_mean_and_clips_what_is_outside():
    deviation = math.sqrt(32 / 3)
    expected = {id: (score - 8 + 3 * deviation) / (6 * deviation) for id, score in BM25}
    assert dbsf(BM25) == pytest.approx(expected) and dbsf(BM25)["b"] == pytest.approx(0.5)
    outlier = [("top", 1000.0), *((f"p{n:02}", 0.0) for n in range(19))]
    assert dbsf(outlier)["top"] == 1.0 and 0.4 < dbsf(outlier)["p00"] < 0.5


def test_reciprocal_rank_is_the_textbook_formula():
    assert reciprocal_rank(BM25, 60) == {"a": 1 / 61, "b": 1 / 62, "c": 1 / 63}
    assert normalisation("rrf", 1)(BM25) == {"a": 1 / 2, "b": 1 / 3, "c": 1 / 4}


@pytest.mark.parametrize("normalise", [minmax, zscore, dbsf])
@pytest.mark.parametrize(
    "ranking", [[("a", 3.0)], [("a", 3.0), ("b", 3.0)], [("a", 0.1), ("b", 0.1), ("c", 0.1)]]
)
def test_a_one_hit_or_constant_list_scales_to_1(normalise, ranking):
    assert set(normalise(ranking).values()) == {1.0}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_every_normalisation_can_be_configured_and_makes_nothing_of_nothing(name):
    assert FusionConfig.model_validate({"method": name}).method == name
    assert normalisation(name)([]) == {}


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


def test_a_leg_that_found_nothing_is_as_one_that_is_not_there():
    alone = fuse({"bm25": BM25, "dense": []}, {"bm25": 1.0, "dense": 1.0})
    assert [(item.id, item.score) for item in alone] == [("a", 1.0), ("b", 0.5), ("c", 0.0)]


def test_what_a_leg_found_twice_counts_where_it_stands_first():
    twice = fuse({"x": [("a", 4.0), ("b", 2.0), ("a", 1.0), ("c", 0.0)]}, {"x": 1.0})
    assert [(item.id, item.score) for item in twice] == [("a", 1.0), ("b", 0.5), ("c", 0.0)]
    ranked = fuse({"x": [("a", 4.0), ("a", 1.0), ("b", 0.0)]}, {"x": 1.0}, "rrf", 60)
    assert [item.score for item in ranked] == [1 / 61, 1 / 62]


def test_weights_of_zero_count_equally():
    assert shares({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}


def test_no_legs_no_hits():
    assert fuse({}, {}) == []


rankings = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1e3, 1e3), max_size=8).map(
    lambda scores: sorted(scores.items(), key=lambda item: (-item[1], item[0]))
)
legs = st.dictionaries(st.sampled_from(["l1", "l2", "l3"]), rankings, min_size=1)
whole = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1000, 1000), max_size=8).map(
    lambda scores: sorted(scores.items(), key=lambda item: (-item[1], item[0]))
)
methods = st.sampled_from(list(NORMALISATIONS))
WEIGHTS = {"l1": 1.0, "l2": 2.0, "l3": 0.5, "l4": 1.5}


def scores(fused):
    return [(item.id, item.score, dict(item.parts)) for item in fused]


@given(legs, methods, st.randoms())
def test_the_order_of_legs_does_not_matter(by_leg, method, draw):
    shuffled = draw.sample(list(by_leg.items()), len(by_leg))
    assert scores(fuse(by_leg, WEIGHTS, method)) == scores(fuse(dict(shuffled), WEIGHTS, method))


@given(legs, methods)
def test_every_passage_once_best_first_and_parts_sum_to_the_score(by_leg, method):
    fused = fuse(by_leg, WEIGHTS, method)
    ids = [item.id for item in fused]
    assert sorted(ids) == sorted({id for ranking in by_leg.values() for id, _ in ranking})
    assert fused == sorted(fused, key=lambda item: (-item.score, item.id))
    assert all(math.isclose(item.score, math.fsum(item.parts.values())) for item in fused)
    assert all(item.score >= 0.0 for item in fused)
    assert method == "zscore" or all(item.score <= 1.0 + 1e-9 for item in fused)


@given(legs, methods)
def test_legs_that_found_nothing_change_nothing(by_leg, method):
    found = {leg: ranking for leg, ranking in by_leg.items() if ranking}
    assert scores(fuse({**by_leg, "l4": []}, WEIGHTS, method)) == scores(fuse(found, WEIGHTS, method))


@given(legs, methods, st.data())
def test_the_first_of_a_duplicate_is_its_vote(by_leg, method, data):
    doubled = {
        leg: [*ranking, *data.draw(st.lists(st.sampled_from(ranking), max_size=3))] if ranking else []
        for leg, ranking in by_leg.items()
    }
    assert scores(fuse(doubled, WEIGHTS, method)) == scores(fuse(by_leg, WEIGHTS, method))


@given(st.dictionaries(st.sampled_from(["l1", "l2", "l3"]), whole), st.integers(1, 50), st.integers(-50, 50))
def test_scale_and_offset_of_one_legs_scores_change_nothing(by_leg, scale, offset):
    moved = {**by_leg, "l1": [(id, scale * score + offset) for id, score in by_leg.get("l1", [])]}
    for method in NORMALISATIONS:
        assert scores(fuse(moved, WEIGHTS, method)) == scores(fuse(by_leg, WEIGHTS, method))


@given(rankings, methods)
def test_a_normalisation_keeps_the_order_and_what_is_found_is_never_worse_than_not_found(ranking, method):
    made = normalisation(method)(ranking)
    values = [made[id] for id, _ in ranking]
    assert values == sorted(values, reverse=True)
    assert all(value >= 0.0 and math.isfinite(value) for value in values)


@given(st.sets(st.sampled_from("abcdefgh"), min_size=1), methods)
def test_ties_keep_the_order_of_ids(ids, method):
    tied = [(id, 2.0) for id in sorted(ids)]
    assert [item.id for item in fuse({"l1": tied, "l2": tied}, WEIGHTS, method)] == sorted(ids)


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
