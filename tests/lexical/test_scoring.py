import pytest

from rag_plugins.lexical.plan import AnyOf, Nearby, Plan, Readings
from rag_plugins.lexical.scoring import contributions
from rag_plugins.types import TermMatch


def stem(surface):
    return surface.removesuffix("s")


def scored(plan, text, saturation=1.0):
    words = text.split()
    return contributions(plan, words, words, stem, saturation)


def test_a_word_counts_all_the_forms_of_its_term():
    assert scored(Plan({"filter": 2.0}), "filters and a filter") == [TermMatch("filter", 2.0, 2 / 3)]


def test_the_sum_is_the_formula_worked_out_by_hand():
    plan = Plan(
        {"oil": 1.5, "filter": 2.0, "absent": 9.0},
        (AnyOf("pump*", {"pump": 3.0, "pumps": 1.0, "pumping": 8.0}),),
        (Nearby('"oil filter"', ("oil", "filter"), 0, 4.0),),
    )

    matches = scored(plan, "pump oil filter pumps pumps oil filter", saturation=0.5)

    assert sum(match.score for match in matches) == pytest.approx(
        1.5 * 2 / 2.5 + 2.0 * 2 / 2.5 + max(3.0 * 1 / 1.5, 1.0 * 2 / 2.5) + 4.0 * 2 / 2.5
    )


def test_strongest_first_and_rules_named():
    plan = Plan(
        {"oil": 1.0},
        (AnyOf("fil*", {"filter": 3.0, "film": 2.0}),),
        (Nearby('"oil film"~1', ("oil", "film"), 1, 5.0),),
    )

    assert scored(plan, "oil filter film") == [
        TermMatch("oil film", 5.0, 0.5, rule='"oil film"~1'),
        TermMatch("filter", 3.0, 0.5, rule="fil*"),
        TermMatch("oil", 1.0, 0.5),
    ]


def test_nothing_matches_nothing():
    plan = Plan({"a": 1.0}, (AnyOf("b*", {"bc": 1.0}),), (Nearby('"a b"', ("a", "b"), 0, 1.0),))

    assert scored(plan, "") == []
    assert scored(Plan({}), "a b") == []


def test_the_text_of_a_phrase_is_spaced_as_its_script_is():
    units = ("use", "机", "器", "now")
    plan = Plan({}, (), (Nearby("q", units, 0, 1.0),))

    (match,) = contributions(plan, [], units, stem, 1.0)

    assert match.term == "use 机器 now"


def test_phrases_are_matched_on_units_and_words_on_surfaces():
    plan = Plan({"max_value": 1.0}, (), (Nearby('"max value"', ("max", "value"), 0, 1.0),))

    matches = contributions(plan, ["max_value", "max", "value"], ["max", "value"], stem, 1.0)

    assert {match.term for match in matches} == {"max_value", "max value"}


def test_readings_count_by_their_shares_and_saturate_together():
    plan = Plan({}, readings=(Readings("modern", {"modern": 1.0, "modem": 0.5, "absent": 0.9}, 4.0),))

    matches = scored(plan, "modem modem modern", saturation=2.0)

    assert matches == [  # tf is 1 + .5 * 2, of 2 + 2.
        TermMatch("modem", 4.0, 1 / 4, rule="modern"),
        TermMatch("modern", 4.0, 1 / 4),
    ]
