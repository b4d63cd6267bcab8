"""Recall rules through the facade, on a Lite file and on a server."""

import pytest

from rag_plugins import Config, Fuzzy, Phrase, Prefix, Query, RagIndex, Wildcard, parse_query, where
from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput, BadQuery

TEXTS = {
    "pump": "The coolant pump is bolted to the frame.",
    "pumps": "Two pumps feed the coolant loop; the loop is sealed.",
    "filter": "Change the dust filter every 500 hours.",
    "order": "Dust settles on every filter.",
    "part": "Replace the fuse with part AX-4401, never with AX-4410.",
}


@pytest.fixture
def index(milvus_uri, collection):
    with RagIndex.open(milvus_uri, preset="lexical", collection=collection) as index:
        index.add(
            index.passage(text, caller_id=name, metadata={"long": len(text) > 45})
            for name, text in TEXTS.items()
        )
        yield index


def found(index, text, **options):
    return {hit.passage.caller_id for hit in index.search(parse_query(text), **options)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"dust filter"', {"filter"}),
        ('"filter dust"', set()),
        ('"coolant loop"', {"pumps"}),
        ('"filter dust"~2', {"filter"}),
        ('"dust every filter"~2', {"order", "filter"}),
        ('"dust every filter"~1', set()),
        ("pump*", {"pump", "pumps"}),
        ("AX-44*", {"part"}),
        ("f?se", {"part"}),
        ("*olt*", {"pump"}),
        ("cooland~1", {"pump", "pumps"}),
        ("kooland~2", {"pump", "pumps"}),
        ("kooland~1", set()),
        ('"dust filter" fuse', {"filter", "part"}),
        ("pu\x00mp*", {"pump", "pumps"}),
        ('"dust\x07 filter"', {"filter"}),
    ],
)
def test_rules_find_what_they_say(index, query, expected):
    assert found(index, query) == expected


def test_typed_rules_are_the_same_query(index):
    typed = Query((Phrase("dust filter"), Prefix("coolan"), Wildcard("f?se"), Fuzzy("bolded", 1)))
    hits = index.search(typed, explain=True)
    assert {hit.passage.caller_id for hit in hits} == {"filter", "pump", "pumps", "part"}
    written = index.search(parse_query('"dust filter" coolan* f?se bolded~1'))
    assert [(hit.passage.id, hit.score) for hit in hits] == [(hit.passage.id, hit.score) for hit in written]


def test_a_plain_question_has_no_rules(index):
    """What reads like a rule is punctuation, unless the caller asks for rules."""
    for question in ('how often is the "dust filter" changed?', 'a 5" pump* ~3 "'):
        assert index.search(question)


def test_a_malformed_rule_points_at_the_character(index):
    with pytest.raises(BadQuery, match=r"character 6") as caught:
        parse_query('pump "dust filter')
    assert caught.value.position == 5 and "\n       ^" in str(caught.value)


def test_rules_obey_filters_and_legs(index):
    assert found(index, "pump*", filter=where("long") == True) == {"pumps"}  # noqa: E712
    with pytest.raises(BadInput, match="unknown legs"):
        found(index, "pump*", legs=["dense"])


def test_rules_stay_within_the_tenant(milvus_uri, collection):
    config = Config.preset("lexical")
    with RagIndex.open(milvus_uri, config=config, collection=collection, tenant="a") as a:
        a.add([a.passage("the secret zygote")])
        with RagIndex.open(milvus_uri, config=config, collection=collection, tenant="b") as b:
            b.add([b.passage("nothing of note")])
            for query in ("zyg*", "zygot~1", "*gote", '"secret zygote"', "zygote"):
                assert not b.search(parse_query(query)) and a.search(parse_query(query))


def test_an_unseen_word_stands_for_those_a_slip_away(milvus_uri, collection):
    for tolerance, expected in (("auto", {"pump", "pumps"}), ("off", set())):
        config = Config(legs=(Bm25Leg(typo_tolerance=tolerance),), rerank=())
        with RagIndex.open(milvus_uri, config=config, collection=f"{collection}_{tolerance}") as index:
            index.add(index.passage(text, caller_id=name) for name, text in TEXTS.items())
            assert {hit.passage.caller_id for hit in index.search("coolatn")} == expected


def test_a_rule_cut_short_says_so(milvus_uri, collection):
    config = Config(legs=(Bm25Leg(max_expansions=3),), rerank=())
    with RagIndex.open(milvus_uri, config=config, collection=collection) as index:
        index.add([index.passage("valve vanes vents vests vices")])
        hits = index.search(parse_query("v*"))
        assert (
            len(hits) == 1 and len(hits.notices) == 1 and "v*" in hits.notices[0] and "3" in hits.notices[0]
        )
        assert not index.search(parse_query("valve")).notices


def test_a_hit_explains_which_terms_matched(index):
    (hit, *_) = index.search(parse_query('dust "dust filter" evry~1'), explain=True)
    terms = {(match.term, match.rule) for match in hit.terms["bm25"]}
    assert terms == {("dust", None), ("dust filter", '"dust filter"'), ("every", "evry~1")}
    assert sum(match.score for match in hit.terms["bm25"]) == pytest.approx(hit.trace[0].score, rel=1e-6)
    assert not index.search("dust")[0].terms
