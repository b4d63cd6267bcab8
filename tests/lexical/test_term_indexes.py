"""What both term indexes promise: the resident one of a file, and the one that a server searches."""

import random

import pytest

from rag_plugins.errors import StoreError
from rag_plugins.filters import where
from rag_plugins.lexical.rules import parse_query
from rag_plugins.lexical.scoring import contributions
from rag_plugins.types import passage_id

TEXTS = {
    "pump": "The coolant pump is bolted to the frame with four screws.",
    "pumps": "Two pumps feed the coolant loop; the loop of the pump is sealed.",
    "filter": "Change the dust filter every 500 hours of operation.",
    "order": "Dust settles on every filter, and on every pimp my pmup.",
    "code": "Call os.path.join with max_value or --no-cache.",
    "chinese": "请更换灰尘过滤器和冷却泵。",
    "mixed": "更换 filter 和泵",
    "empty": "!?",
}
QUERIES = [
    *("coolant pump", "filter", "the the dust", "nothing here", "max_value", "冷却泵", "更换 filter", ""),
    *('"dust filter"', '"coolant loop"', '"filter dust"', '"dust filter"~1', '"filter dust"~2', '"冷却泵"'),
    *(
        '"every filter" dust',
        '"更换过滤器"~4',
        '"泵 换"~10',
        '"换 filter"',
        '"the pump is"',
        '"os path join"',
    ),
    *("pum*", "max*", "冷*", "z*", "pump* fil*", "f*r", "p?mp", "*olt*", "*尘*", "--no-*", "os.*"),
    *("pump~1", "pump~2", "dist~1", "filtre~1 pump", "zzz~2", 'coolant pum* "coolant loop" screwz~1'),
]


def by_definition(leg, query):
    """Every passage scored by itself."""
    plan, analyser = leg.search._plan(query), leg.encoder.analyser
    scores = {}
    for passage in (passage for batch in leg.store.scan() for passage in batch):
        surfaces, units = analyser.surfaces(passage.views[0].text), analyser.units(passage.views[0].text)
        damping = leg.encoder.saturation(float(len(surfaces)))
        matches = contributions(plan, surfaces, units, analyser.term, damping)
        scores[passage.caller_id] = sum(match.score for match in matches)
    return {name: score for name, score in scores.items() if score > 0.0}


def check(leg, query):
    found = leg.scores(query)
    assert found == pytest.approx(by_definition(leg, query), rel=1e-6), str(query)
    ranks = [(-score, passage_id(leg.tenant, caller_id=name)) for name, score in found.items()]
    assert ranks == sorted(ranks)
    return found


@pytest.mark.parametrize("language", ["none", "english"])
def test_scores_are_those_of_the_definition(open_leg, language):
    leg = open_leg(language=language)
    leg.write(dict(list(TEXTS.items())[:4]))
    leg.write(
        dict(list(TEXTS.items())[4:])
    )  # The mean length is no longer what stored weights were made with.
    found = {query: check(leg, parse_query(query)) for query in QUERIES}
    for query, names in {
        '"dust filter"': {"filter"},
        '"filter dust"': set(),
        '"filter dust"~2': {"filter"},
        '"冷却泵"': {"chinese"},
        '"换 filter"': {"mixed"},
        '"泵 换"~10': {"chinese", "mixed"},
        '"os path join"': {"code"},
        "max*": {"code"},
        "*尘*": {"chinese"},
        "p?mp": {"pump", "pumps", "order"},
        "dist~1": {"filter", "order"},
        "--no-*": {"code"},
        "z*": set(),
        "nothing here": set(),
    }.items():
        assert found[query].keys() == names, query


def test_a_filter_bounds_what_is_found_and_not_what_it_scores(open_leg):
    leg = open_leg()
    leg.write({name: TEXTS[name] for name in ("pump", "filter")}, kind="a")
    leg.write({name: TEXTS[name] for name in ("pumps", "order")}, kind="b")
    for query in map(parse_query, ("the pump dust", "pum* d*", '"the coolant loop" "dust filter"', "pmp~1")):
        every = leg.scores(query)
        some = leg.scores(query, filter=where("kind") == "b")
        assert every.keys() & {"pumps", "order"} == some.keys() < every.keys()
        assert some == pytest.approx({name: every[name] for name in some})
        assert leg.scores(query, filter=where("kind").is_in([])) == {}


@pytest.mark.parametrize("tenant", ['b" or tenant == "a', "b", "", "\ud800"])
def test_tenants_share_neither_passages_nor_terms(open_leg, tenant):
    mine, theirs = open_leg(tenant), open_leg("a")
    theirs.write({"secret": "the secret zygote", "more": "secrets of zygotes"})
    mine.write({"note": "nothing of note, sacred"})
    for query in ("zyg*", "zygot~1", "*gote*", '"secret zygote"', "zygote", "secre?", "sacret~1 zygo*"):
        assert mine.scores(parse_query(query)).keys() <= {"note"}
        assert theirs.scores(parse_query(query)).keys() >= {"secret"}
    assert mine.index.dictionary.prefix("z", 9) == mine.index.dictionary.wildcard("*crets", 9) == []
    assert mine.index.dictionary.fuzzy("zygote", 2, 9) == []


def test_what_is_replaced_or_deleted_is_found_no_more(open_leg):
    leg = open_leg(language="none")
    leg.write(TEXTS)
    assert leg.scores(parse_query("coolant")).keys() == {"pump", "pumps"}
    leg.write({"pump": "A new valve.", "filter": TEXTS["filter"]})
    leg.writer.delete("pumps")
    for query in QUERIES:
        check(leg, parse_query(query))
    assert leg.index.dictionary.prefix("coolant", 9) == leg.index.dictionary.fuzzy("pumps", 0, 9) == []
    assert leg.index.dictionary.prefix("valv", 9) == ["valve"]
    assert leg.scores(parse_query("valv* coolant")).keys() == {"pump"}


def test_ties_are_by_id_whatever_the_limit(open_leg):
    leg = open_leg()
    leg.write({str(n): "the same words" for n in range(30)})
    names = sorted(map(str, range(30)), key=lambda name: passage_id("", caller_id=name))
    for query in map(parse_query, ("same", "sam*", '"same words"')):
        assert [list(leg.scores(query, limit)) for limit in (1, 7, 30)] == [names[:1], names[:7], names]


def test_a_write_that_fails_leaves_the_index_as_the_rows_are(open_leg, monkeypatch):
    leg = open_leg()
    leg.write(TEXTS)
    before = {query: leg.scores(parse_query(query)) for query in ("the pump", "pum*", '"dust filter"')}

    def broken(*arguments):
        raise StoreError("disk full")

    for method in ("upsert", "delete"):
        with monkeypatch.context() as patch:
            patch.setattr(leg.store, method, broken)
            with pytest.raises(StoreError, match="disk full"):
                leg.write({"new": "pumpernickel"}) if method == "upsert" else leg.writer.delete("pump")
    leg.write({"pump": TEXTS["pump"]})
    assert {query: leg.scores(parse_query(query)) for query in before} == before
    assert leg.index.dictionary.prefix("pumper", 9) == []


WORDS = [
    "pump",
    "pumps",
    "filter",
    "filters",
    "oil",
    "seal",
    "valve",
    "valves",
    "泵",
    "冷却",
    "max_value",
    "x1",
]


def test_after_many_changes_it_is_as_if_built_anew(open_leg, tmp_path):
    """500 random upserts and deletes, of which some replace, against one ingestion of what is left."""
    leg, draw, left = open_leg(language="english"), random.Random(7), dict[str, str]()
    changes = 0
    while changes < 500:
        names = [str(draw.randrange(150)) for _ in range(draw.randint(1, 15))]
        changes += len(names)
        if draw.random() < 0.3:
            for name in names:
                leg.writer.delete(name)
                left.pop(name, None)
        else:
            # Ever longer texts, so that the mean length moves.
            length = 2 + changes // 20
            texts = {name: " ".join(draw.choices(WORDS, k=draw.randint(1, length))) for name in names}
            leg.write(texts)
            left |= texts
        if draw.random() < 0.2:
            leg.scores(parse_query('pump "oil seal"'))
    fresh = open_leg(uri=tmp_path / "fresh.db", language="english")
    fresh.write(left)
    for query in (
        "pump",
        "oil valves 泵",
        '"oil seal"',
        '"valve pumps"~2 filter',
        '"冷却 泵"',
        "max_val* x1",
    ):
        found = check(leg, parse_query(query))
        assert len(found) > 3 and found == pytest.approx(fresh.scores(parse_query(query)), rel=1e-6)
    assert leg.encoder.statistics.frequencies == fresh.encoder.statistics.frequencies
