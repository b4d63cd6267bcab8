"""A robust leg on both stores: the definition's scores, and badly read passages found."""

import pytest

from rag_plugins.config import RobustLeg
from rag_plugins.filters import where
from rag_plugins.lexical.scoring import contributions

TEXTS = {
    "clean": "The government of Norway publishes modern statistics every year.",
    "misread": "Tlie govemment of Norvvay pubIishes rnodem statlstics evcry ycar.",
    "broken": "The gov ern ment re ports: stat istics of Nor way",
    "joined": "Thegovernment ofNorway has modernstatistics.",
    "specks": "The go'vernm.ent of N,orway",
    "damaged": "gxvornwont xtotistlcx",
    "other": "Coolant pumps are bolted to the frame with four screws.",
    "number": "Invoice 2017 and 1843",
    "numbers": "Invoice 2018 and 1848",
    "chinese": "请更换灰尘过滤器和冷却泵。",
    "empty": "!?",
}
QUERIES = [
    "government statistics",
    "modern Norway",
    "invoice 2017",
    "更换冷却泵",
    "re ports",
    "pumps",
    "",
    "zzz",
]


@pytest.fixture
def leg(open_leg):
    return open_leg(kind=RobustLeg)


def by_definition(leg, query):
    """Every passage scored by itself."""
    plan, analyser = leg.search._plan(query), leg.encoder.analyser
    scores = {}
    for passage in (passage for batch in leg.store.scan() for passage in batch):
        surfaces = analyser.surfaces(passage.views[0].text)
        damping = leg.encoder.saturation(float(len(surfaces)))
        matches = contributions(plan, surfaces, [], analyser.term, damping)
        scores[passage.caller_id] = sum(match.score for match in matches)
    return {name: score for name, score in scores.items() if score > 0.0}


def test_scores_are_those_of_the_definition(leg):
    leg.write(TEXTS)
    leg.write({"more": "Coolant pumps are bolted to the wall."})
    assert leg.encoder.statistics.drift > 0.0  # Stored weights were made with another mean length.
    for query in QUERIES:
        found = leg.scores(query)
        assert found == pytest.approx(by_definition(leg, query), rel=1e-5), query
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_badly_read_passages_are_found_and_clean_ones_first(leg):
    leg.write(TEXTS)
    found = leg.scores("government of Norway")
    assert set(found) >= {"clean", "misread", "broken", "joined", "specks", "damaged"}
    assert found["clean"] > max(found[name] for name in ("misread", "broken", "joined"))
    assert found["misread"] > found["damaged"] > found.get("other", 0.0)
    assert list(leg.scores("冷却泵")) == ["chinese"]


def test_numbers_are_not_taken_for_one_another(leg):
    leg.write(TEXTS)
    found = leg.scores("invoice 2017")
    assert found["number"] > 1.2 * found["numbers"]


def test_what_has_been_replaced_or_deleted_is_found_no_more(leg):
    leg.write(TEXTS)
    leg.write({"clean": "Nothing of the kind."})
    leg.writer.delete("misread")
    leg.writer.settle()
    found = leg.scores("modern statistics")
    assert "misread" not in found and found["joined"] > found.get("clean", 0.0)
    assert found == pytest.approx(by_definition(leg, "modern statistics"), rel=1e-5)


def test_filters_and_tenants_hold(open_leg):
    mine, theirs = open_leg(kind=RobustLeg), open_leg(tenant="other", kind=RobustLeg)
    theirs.write({"secret": "The govemment of Norway"})
    mine.write({"a": "Tlie govemment"}, part="a")
    mine.write({"b": "The govemment"}, part="b")
    assert set(mine.scores("government")) == {"a", "b"}
    assert set(mine.scores("government", filter=where("part") == "b")) == {"b"}


def test_what_a_term_was_taken_for_is_explained(leg):
    leg.write(TEXTS)
    query = "government statistics"
    views = [leg.passage("misread", TEXTS["misread"]).views, ()]
    matches, none = leg.search.explain(query, views)
    rules = {match.term: match.rule for match in matches}
    assert rules["govemment"] == "government" and rules["statlstics"] == "statistics"
    assert [match.rule for match in matches].count("n-grams") == 1
    assert sum(match.score for match in matches) == pytest.approx(leg.scores(query)["misread"], rel=1e-5)
    assert none == ()
    (clean,) = leg.search.explain(query, [leg.passage("clean", TEXTS["clean"]).views])
    assert {match.term: match.rule for match in clean}["government"] is None


def test_it_is_the_same_after_reopening(open_leg):
    leg = open_leg(kind=RobustLeg)
    leg.write(TEXTS)
    before = {query: leg.scores(query) for query in QUERIES}
    leg.close()
    again = open_leg(kind=RobustLeg)
    assert {query: again.scores(query) for query in QUERIES} == before


def test_only_the_best_are_given(leg):
    leg.write({str(n): "government " * (n + 1) + "oil" for n in range(9)})
    everything = leg.scores("govemment")
    assert leg.scores("govemment", limit=3) == dict(list(everything.items())[:3])
