import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.fusion import Linear, NormalTail, add_up, evidence, mean_excess

STANDARD = NormalTail(0.0, 1.0)
COSINES = NormalTail(mean=0.1, deviation=0.05)
RANKING = [("a", 0.6), ("b", 0.5), ("c", 0.3)]

numbers = st.floats(-20.0, 40.0)
ids = st.sampled_from("abcdefgh")


@st.composite
def rankings(draw, ids=ids):
    """Best first, ties and all."""
    scores = draw(st.dictionaries(ids, st.integers(0, 40).map(lambda n: n / 8), max_size=8))
    return sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))


# -log of the normal survival function, from tables; by chance one passage in two is above the mean.
@pytest.mark.parametrize(
    ("z", "nats"),
    [
        (0.0, math.log(2.0)),
        (1.0, 1.841022),
        (3.0, 6.607726),
        (8.0, 35.013437),
        (10.0, 53.231285),
        (20.0, 203.917155),
        (30.0, 454.321244),
        (38.0, 726.557216),
    ],
)
def test_nats_are_those_of_the_normal_tail(z, nats):
    assert STANDARD.nats(z) == pytest.approx(nats, abs=1e-6)


@given(st.floats(-20.0, 37.0))
def test_nats_follow_the_complementary_error_function_as_far_as_that_goes(z):
    assert STANDARD.nats(z) == pytest.approx(-math.log(0.5 * math.erfc(z / math.sqrt(2.0))), abs=1e-6)


@given(numbers, st.floats(1e-3, 5.0))
def test_nats_grow_with_the_score(z, more):
    assert 0.0 <= STANDARD.nats(z) <= STANDARD.nats(z + more)
    if z > 0:
        assert STANDARD.nats(z + more) > STANDARD.nats(z)


@given(st.floats(6.0, 38.0) | st.floats(29.999999, 30.0))
def test_there_is_no_step_where_the_series_takes_over(z):
    # The slope is about z, and a little more.
    assert STANDARD.nats(z + 1e-6) - STANDARD.nats(z) == pytest.approx(1e-6 * z, abs=3e-7)


@given(rankings(), st.floats(0.125, 8.0), st.floats(-4.0, 4.0), st.sampled_from([3, 100]))
def test_scores_on_another_scale_are_the_same_evidence(ranking, factor, shift, depth):
    moved = [(id, score * factor + shift) for id, score in ranking]
    tail = NormalTail(COSINES.mean * factor + shift, COSINES.deviation * factor)
    assert evidence(moved, tail, depth) == pytest.approx(
        evidence(ranking, COSINES, depth), rel=1e-6, abs=1e-6
    )


def test_a_full_list_counts_from_its_last_and_one_that_is_not_from_nothing():
    assert evidence([("a", 3.0), ("b", 2.0), ("c", 1.5)], Linear(2.0), 3) == {"a": 3.0, "b": 1.0, "c": 0.0}
    assert evidence([("a", 3.0), ("b", 2.0), ("c", 1.5)], Linear(2.0), 4) == {"a": 6.0, "b": 4.0, "c": 3.0}
    # Deviations above the mean: 10, 8 and 4.
    assert evidence(RANKING, COSINES, 3) == pytest.approx(
        {"a": 42.871184, "b": 24.653336, "c": 0.0}, abs=1e-4
    )


def test_what_a_constant_full_list_has_is_found_and_worth_nothing():
    assert evidence([("a", 0.4), ("b", 0.4)], COSINES, 2) == {"a": 0.0, "b": 0.0}
    assert [item.id for item in add_up({"x": {"b": 0.0, "a": 0.0}}, {"x": 1.0})] == ["a", "b"]


def test_one_hit_has_its_whole_evidence_where_there_could_have_been_more():
    assert evidence([("a", 0.6)], COSINES, 100) == pytest.approx({"a": 53.231285}, abs=1e-4)
    assert evidence([("a", 0.6)], COSINES, 1) == {"a": 0.0}


def test_nothing_is_evidence_of_nothing():
    assert evidence([], COSINES, 10) == {} == evidence([], Linear(1.0), 0)


def test_the_first_of_a_duplicate_id_counts():
    assert evidence([("a", 3.0), ("b", 2.0), ("a", 1.0)], Linear(1.0), 10) == {"a": 3.0, "b": 2.0}


def test_scores_below_nothing_are_no_evidence_against():
    assert evidence([("a", 1.0), ("b", -2.0)], Linear(1.0), 10) == {"a": 1.0, "b": 0.0}


@given(rankings(), st.sampled_from([STANDARD, COSINES, Linear(2.2)]), st.integers(1, 12))
def test_evidence_keeps_the_order_and_every_hit(ranking, scale, depth):
    nats = evidence(ranking, scale, depth)
    assert list(nats) == [id for id, _ in ranking]
    values = list(nats.values())
    assert values == sorted(values, reverse=True) and all(value >= 0 for value in values)


@given(st.dictionaries(st.sampled_from(["bm25", "dense", "image"]), rankings(), max_size=3), st.randoms())
def test_the_order_of_legs_changes_nothing(legs, random):
    weights = {"bm25": 1.0, "dense": 0.5, "image": 2.0}
    nats = {leg: evidence(ranking, Linear(1.0), 5) for leg, ranking in legs.items()}
    shuffled = random.sample(list(nats.items()), len(nats))
    assert [(item.id, item.score) for item in add_up(nats, weights)] == [
        (item.id, item.score) for item in add_up(dict(shuffled), weights)
    ]


@given(st.lists(rankings(), min_size=1, max_size=3))
def test_ties_go_by_id_and_the_sum_is_that_of_its_parts(legs):
    nats = {str(n): evidence(ranking, Linear(1.0), 5) for n, ranking in enumerate(legs)}
    fused = add_up(nats, dict.fromkeys(nats, 0.5))
    assert [(-item.score, item.id) for item in fused] == sorted((-item.score, item.id) for item in fused)
    assert all(item.score == pytest.approx(sum(item.parts.values())) for item in fused)
    assert {item.id for item in fused} == {id for ranking in legs for id, _ in ranking}


def test_an_empty_leg_is_as_one_that_is_not_there():
    of_bm25 = {"bm25": evidence(RANKING, Linear(1.0), 10)}
    weights = {"bm25": 1.0, "dense": 1.0}
    assert add_up({**of_bm25, "dense": evidence([], COSINES, 10)}, weights) == add_up(of_bm25, weights)


def test_the_mean_excess_of_lists_of_any_scale_is_the_same_in_nats():
    lists = [[("a", 5.0), ("b", 3.0), ("c", 1.0)], [("a", 9.0), ("b", 1.0)]]  # 2 and 4 above their last.
    assert mean_excess(lists).nats(3.0) == pytest.approx(4.0)
    scaled = [[(id, 1000 * score) for id, score in ranking] for ranking in lists]
    assert mean_excess(scaled).nats(3000.0) == pytest.approx(4.0)


@pytest.mark.parametrize("lists", [[], [[]], [[("a", 5.0)]], [[("a", 5.0), ("b", 5.0)]]])
def test_lists_that_tell_no_excess_are_taken_as_they_are(lists):
    assert mean_excess(lists) == Linear(1.0)
