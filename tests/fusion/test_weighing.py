import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import nDCG

from rag_plugins.fusion import Case, add_up, weigh

EQUAL = {"lexical": 1.0, "dense": 1.0}
OTHERS = [f"x{n}" for n in range(9)]


def case(kind="any", /, relevant="right", **legs):
    return Case(kind, legs, {relevant: 1})


def found(nats):
    """The right passage has this much evidence, nine others have 5."""
    return {"right": nats, **dict.fromkeys(OTHERS, 5.0)}


FIRST, LAST = found(9.0), found(0.5)
AT_TENTH = 1.0 / math.log2(11)


def test_ndcg_of_each_leg_alone_of_the_others_and_of_all():
    cases = [
        Case("any", {"lexical": {"a": 3.0, "b": 2.0}, "dense": {"b": 4.0, "c": 1.0}}, {"a": 1}),
        Case("any", {"lexical": {"a": 3.0}, "dense": {"d": 1.0}}, {"d": 1}),
    ]
    found = weigh(cases, EQUAL)
    # lexical: a is 1st, d not found; dense: a not found, d 1st; sums: b 6, a 3, c 1, and a 3, d 1.
    second = 1.0 / math.log2(3)
    assert found.weights == EQUAL and found.queries == 2
    assert found.alone == pytest.approx({"lexical": 0.5, "dense": 0.5})
    assert found.without == pytest.approx({"lexical": 0.5, "dense": 0.5})
    assert found.together == pytest.approx(second)


def test_a_hopeless_leg_is_left_out_and_the_other_as_good_without_it():
    nothing = {"x1": 3.0, "x2": 1.0}
    found = weigh([case(lexical=FIRST, dense=nothing)] * 30, EQUAL)
    assert found.weights == {"lexical": 1.0, "dense": 0.0}
    assert found.alone == {"lexical": 1.0, "dense": 0.0}
    assert found.together == found.without["dense"] == 1.0 and found.without["lexical"] == 0.0


def test_a_weak_leg_that_finds_what_the_other_does_not_stays():
    misses = {"x1": 3.0, "x2": 1.0}
    both = [case(lexical=FIRST, dense=misses)] * 27 + [case(lexical=misses, dense=FIRST)] * 3
    found = weigh(both, EQUAL)
    assert found.alone == {"lexical": 0.9, "dense": 0.1}
    assert found.weights["dense"] > 0 and found.together > found.without["dense"]


def test_the_best_leg_is_never_left_out_even_where_none_finds_anything():
    assert weigh([case(lexical={"x1": 1.0}, dense={})] * 30, EQUAL).weights == EQUAL
    three = {"a": 0.5, "b": 0.5, "c": 1.0}
    found = weigh([case(a={}, b={"x1": 1.0}, c=FIRST)] * 30, three)
    assert found.weights == {"a": 0.0, "b": 0.0, "c": 1.0}


# dense speaks louder for x1 than lexical for the right one, which is first where dense is halved.
LOUD = {"lexical": {"right": 3.0}, "dense": {"x1": 4.0, "right": 0.5}}
FINE = {"lexical": FIRST, "dense": FIRST}


def of_kinds(**kinds):
    return [case(kind, **legs) for kind, legs in kinds.items() for _ in range(25)]


def test_weights_change_where_every_kind_of_query_gains():
    found = weigh(of_kinds(words=LOUD, sentence=LOUD), EQUAL)
    assert found.weights["lexical"] > found.weights["dense"] > 0
    assert found.together == 1.0


@pytest.mark.parametrize("silent", [FINE, {"lexical": LOUD["dense"], "dense": LOUD["lexical"]}])
def test_a_gain_in_one_kind_alone_changes_nothing(silent):
    assert weigh(of_kinds(words=LOUD, sentence=silent), EQUAL).weights == EQUAL


def test_a_gain_that_may_be_chance_changes_nothing():
    lost_by_it = {"lexical": {"x1": 3.0, "right": 0.5}, "dense": {"right": 3.0}}
    cases = [case(**legs) for legs in [LOUD] * 14 + [lost_by_it] * 11]
    assert weigh(cases, EQUAL).weights == EQUAL


def test_few_cases_change_nothing():
    assert weigh([case(**LOUD)] * 19, EQUAL).weights == EQUAL
    assert weigh([case(**LOUD)] * 20, EQUAL).weights != EQUAL


@pytest.mark.parametrize("count", [1, 2, 19])
def test_few_cases_leave_no_leg_out(count):
    assert weigh([case(lexical=FIRST, dense={"x1": 1.0})] * count, EQUAL).weights == EQUAL


def test_a_kind_with_few_cases_or_none_agrees_to_nothing():
    words, sentences = of_kinds(words=LOUD), of_kinds(sentence=LOUD)
    both = ("words", "sentence")
    assert weigh(words, EQUAL).weights != EQUAL
    assert weigh(words, EQUAL, both).weights == EQUAL
    assert weigh([*words, *sentences[:19]], EQUAL, both).weights == EQUAL
    assert weigh([*words, *sentences[:20]], EQUAL, both).weights != EQUAL
    assert weigh([], EQUAL, both).weights == EQUAL


def test_a_leg_that_is_kept_has_the_weight_it_starts_with():
    nothing = {"x1": 3.0}
    hopeless = [case(lexical=FIRST, dense=FIRST, image=nothing)] * 30
    start = {"lexical": 1.0, "dense": 1.0, "image": 0.5}
    assert weigh(hopeless, start).weights == {**start, "image": 0.0}
    assert weigh(hopeless, start, kept=["image"]).weights == start
    assert weigh([case(**LOUD)] * 30, EQUAL, kept=["lexical"]).weights["lexical"] == 1.0
    assert weigh([case(**LOUD)] * 30, EQUAL, kept=list(EQUAL)).weights == EQUAL


def test_no_cases_leave_everything_as_it_is():
    found = weigh([], EQUAL)
    assert (found.weights, found.together, found.queries) == (EQUAL, 0.0, 0)
    assert found.alone == found.without == {"lexical": 0.0, "dense": 0.0}


def test_one_leg_keeps_its_weight():
    found = weigh([case(lexical=FIRST)] * 30, {"lexical": 1.0})
    assert (found.weights, found.alone, found.without) == (
        {"lexical": 1.0},
        {"lexical": 1.0},
        {"lexical": 0.0},
    )


def some_cases(seed, count=50, legs=("a", "b", "c")):
    """Random evidence: the legs are of different use, and say different amounts."""
    random = np.random.default_rng(seed)
    use, loud = random.uniform(0, 6, len(legs)), random.uniform(0.3, 3, len(legs))
    cases = []
    for n in range(count):
        nats = random.exponential(2.0, (len(legs), 12))
        nats[:, 0] += use
        of_legs = {
            leg: {f"p{m:02}": float(nats[k, m] * loud[k]) for m in range(12) if random.random() < 0.7}
            for k, leg in enumerate(legs)
        }
        cases.append(Case(("words", "sentence")[n % 2], of_legs, {"p00": 1}))
    return cases


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_legs_and_cases_changes_nothing(seed, random):
    cases = some_cases(seed)
    start = {"a": 1.0, "b": 1.0, "c": 1.0}
    found = weigh(cases, start)
    again = weigh(random.sample(cases, len(cases)), dict(random.sample(sorted(start.items()), 3)))
    assert again.alone == pytest.approx(found.alone)
    assert again.together == pytest.approx(found.together)
    assert {leg for leg, weight in again.weights.items() if not weight} == {
        leg for leg, weight in found.weights.items() if not weight
    }


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 10_000))
def test_weighing_leaves_the_whole_no_worse_than_it_found_it_by_more_than_a_leg_may_cost(seed):
    cases = some_cases(seed)
    start = {"a": 1.0, "b": 1.0, "c": 1.0}
    before = np.mean([ndcg(one, start) for one in cases])
    found = weigh(cases, start)
    assert found.together >= before - 2 * 0.01
    assert found.together == pytest.approx(np.mean([ndcg(one, found.weights) for one in cases]), abs=1e-3)


def ndcg(case, weights):
    """By its textbook formula, of the ranking that a search would give."""
    run = {leg: of_leg for leg, of_leg in case.evidence.items() if weights[leg] > 0}
    ranked = [item.id for item in add_up(run, weights)][:10]
    return sum(case.relevant.get(id, 0) / math.log2(rank + 1) for rank, id in enumerate(ranked, 1))


def test_graded_labels_with_several_relevant_passages_are_measured_as_ir_measures_does():
    random = np.random.default_rng(3)
    cases = [
        Case(
            "labels",
            {leg: {f"p{n:02}": float(random.uniform(0, 9)) for n in range(30)} for leg in EQUAL},
            {f"p{n:02}": int(grade) for n, grade in enumerate(random.integers(0, 4, 14))} | {"absent": 3},
        )
        for _ in range(19)
    ]
    found = weigh(cases, EQUAL)
    qrels = {str(n): dict(case.relevant) for n, case in enumerate(cases)}
    for legs, value in [(("lexical", "dense"), found.together), (("lexical",), found.alone["lexical"])]:
        run = {
            str(n): {item.id: item.score for item in add_up({leg: case.evidence[leg] for leg in legs}, EQUAL)}
            for n, case in enumerate(cases)
        }
        assert value == pytest.approx(ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10])


def test_a_tie_goes_by_id_as_in_a_search():
    tie = {"lexical": {"b": 1.0, "a": 1.0, "c": 1.0}, "dense": {}}
    alone = [weigh([Case("any", tie, {id: 1})], EQUAL).alone["lexical"] for id in "abc"]
    assert alone == pytest.approx([1.0, 1.0 / math.log2(3), 0.5])


def test_what_is_found_for_nothing_is_found_and_what_is_not_is_not():
    alone = weigh([Case("any", {"lexical": {"a": 0.0}, "dense": {}}, {"a": 1})], EQUAL).alone
    assert alone == {"lexical": 1.0, "dense": 0.0}
    tenth = weigh([case(lexical=found(1.0), dense={})], EQUAL).alone["lexical"]
    assert tenth == pytest.approx(AT_TENTH)


def test_a_leg_that_finds_little_in_one_kind_of_query_alone_stays():
    """What repeats a passage's words says nothing of a leg that reads what they mean."""
    literal = [
        Case("literal", {"words": {"a": 9.0, "b": 1.0}, "meaning": {"b": 2.0}}, {"a": 1}) for _ in range(30)
    ]
    meant = [Case("meant", {"words": {"b": 0.1}, "meaning": {"a": 2.0}}, {"a": 1}) for _ in range(30)]
    start = {"words": 1.0, "meaning": 1.0}
    assert weigh(literal, start).weights == {"words": 1.0, "meaning": 0.0}
    assert weigh(literal, start, ["literal", "meant"]).weights == start
    assert weigh([*literal, *meant], start).weights["meaning"] > 0


def test_legs_that_are_kept_have_the_weight_they_start_with():
    cases = [Case("one", {"words": {"a": 9.0}, "picture": {"b": 2.0}}, {"a": 1}) for _ in range(30)]
    start = {"words": 1.0, "picture": 1.0}
    assert weigh(cases, start).weights["picture"] == 0.0
    assert weigh(cases, start, kept=["picture"]).weights == start


def test_of_legs_that_are_alike_the_one_that_finds_more_alone_has_their_vote():
    cases = [
        Case(
            "one",
            {"words": {"b": 5.0, "a": 1.0}, "robust": {"a": 2.0, "b": 1.0}, "meaning": {"b": 1.0}},
            {"a": 1},
        )
        for _ in range(30)
    ]
    start = {"meaning": 0.5, "words": 0.5, "robust": 0.5}
    alike = [["meaning"], ["words", "robust"]]
    assert weigh(cases, start, alike=alike).weights["words"] == 0.0
    assert weigh(cases, start, needed=["words"], alike=alike).weights["words"] > 0.0


def test_a_leg_that_is_needed_is_not_left_out():
    cases = [Case("one", {"words": {"a": 9.0}, "robust": {"b": 2.0}}, {"a": 1}) for _ in range(30)]
    start = {"words": 1.0, "robust": 1.0}
    assert weigh(cases, start).weights["robust"] == 0.0
    assert weigh(cases, start, needed=["robust"]).weights["robust"] > 0.0


def harmed(kinds):
    """Cases in a part of which the other leg drags the right answer down."""
    agree = {"words": {"a": 3.0, "b": 1.0}, "meaning": {"a": 1.0}}
    dragged = {"words": {"a": 3.0, "b": 1.0}, "meaning": dict.fromkeys("bcdefghijkl", 40.0)}
    return [
        Case(kind, dragged if n < harmful else agree, {"a": 1}) for kind, harmful in kinds for n in range(30)
    ]


def test_a_leg_that_does_harm_in_every_kind_is_left_out_where_only_all_together_are_sure_of_it():
    start = {"words": 1.0, "meaning": 1.0}
    # Of 30 cases 3 gain 1: .1 on average, which is less than twice its error.
    assert weigh(harmed([("one", 3)]), start).weights == start
    kinds = [("one", 3), ("two", 3), ("three", 3)]
    assert weigh(harmed(kinds), start).weights == {"words": 1.0, "meaning": 0.0}
    assert weigh(harmed(kinds), start, needed=["meaning"]).weights["meaning"] > 0.0
    assert weigh(harmed([*kinds[:2], ("three", 0)]), start).weights == start
