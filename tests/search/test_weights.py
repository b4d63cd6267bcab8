"""How much a leg counts for one query, and the reason in words."""

import pytest
from fusion_support import HalfRead, Meaning
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.fusion import Learned, LegWorth, Linear, NormalTail
from rag_plugins.lexical.rules import parse_query
from rag_plugins.models.protocols import Leg, Representation
from rag_plugins.search.weights import adapted, fixed, plain

LEARNED = Learned(
    {
        "dense": LegWorth(NormalTail(0.0, 0.1), 0.5, 0.61, 0.4),
        "bm25": LegWorth(Linear(2.2), 2.0, 0.4, 0.61),
        "blind": LegWorth(NormalTail(0.0, 0.1), 0.0, 0.02, 0.65),
    },
    together=0.65,
    queries=90,
    rows=1000,
    source="known items",
)


def leg(name="dense", encoder=None, weight=None):
    return Leg(name, encoder or HalfRead(), Representation.DENSE, weight)


def weight(query, name="dense", *, literal=False, named=False, encoder=None):
    return adapted(query, leg(name, encoder), LEARNED, literal, named)


def test_a_leg_has_the_weight_that_was_learned_and_why():
    assert weight("dust filter").value == 0.5
    assert weight("dust filter").why == "finds 0.61 alone, the others 0.40 (known items)"


def test_a_leg_that_is_worth_nothing_counts_only_where_it_is_named():
    assert weight("dust filter", "blind").value == 0.0
    assert weight("dust filter", "blind", named=True).value == 1.0
    assert weight("dust filter", named=True).value == 0.5


@pytest.mark.parametrize(
    ("query", "share", "why"),
    [
        ("abcdefgh 漢字漢字", 1 / 3, "33% of the query is unknown to its model"),
        ("abc 漢", 1 / 2, "25% of the query is unknown to its model"),
        ("abcd 漢字漢字", 0.0, "50% of the query is unknown to its model"),
        ("漢字 漢字 漢字", 0.0, "100% of the query is unknown to its model"),
    ],
)
def test_what_its_model_cannot_read_of_a_query_counts_twice_against_it(query, share, why):
    found = weight(query)
    assert found.value == pytest.approx(0.5 * share) and found.why.endswith(f"; {why}")


def test_only_a_model_that_says_what_it_reads_is_asked():
    assert weight("漢字", encoder=Meaning()).value == 0.5
    assert weight("漢字", "bm25", literal=True).value == 2.0


def test_rules_halve_the_legs_that_do_not_look_for_them():
    query = parse_query('"dust filter" pump')
    assert weight(query).value == 0.25 and weight(query).why.endswith("; cannot read the rules of the query")
    assert weight(query, "bm25", literal=True).value == 2.0
    assert weight(parse_query("dust filter")).value == 0.5
    both = weight(parse_query('"abc 漢" abc'))
    assert 0.0 < both.value < 0.25 and both.why.count(";") == 2


@given(st.text(st.sampled_from("ab漢字 "), max_size=12))
def test_weights_are_never_below_nothing_nor_above_what_was_learned(query):
    assert 0.0 <= weight(query).value <= 0.5


def test_the_users_weights_are_shares_and_zero_alone_weighs_nothing():
    given = [leg("a", weight=3.0), leg("b"), leg("c", weight=0.0)]
    assert fixed(given) and not fixed([leg("a"), leg("b", weight=0.0)]) and not fixed([])
    found = plain(given)
    assert {name: each.value for name, each in found.items()} == {"a": 0.75, "b": 0.25, "c": 0.0}
    assert {each.why for each in found.values()} == {"weight set in the configuration"}
    assert [(each.value, each.why) for each in plain([leg("a"), leg("b")]).values()] == [
        (0.5, "equal weights")
    ] * 2
