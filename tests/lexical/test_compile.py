import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadQuery
from rag_plugins.lexical.compile import compile_plan
from rag_plugins.lexical.plan import Plan
from rag_plugins.lexical.rules import Fuzzy, Phrase, Plain, Query, parse_query
from rag_plugins.lexical.vocabulary import Vocabulary
from rag_plugins.models.bm25 import Bm25Encoder, Bm25Statistics
from rag_plugins.types import EmbedText

TEXTS = [
    "The pump is bolted to the frame.",
    "Two pumps and a pumphouse.",
    "The pump needs oil. The pump needs water.",
    "The coolant filter.",
    "The coolant is green.",
    "The content of the coolant tank.",
    "Part AX-4401 and a well-known part.",
    "产品说明书的过滤器 型号V200",
]


class Collection:
    """Texts counted by an encoder, their surfaces in a vocabulary; notes whether that was asked for."""

    def __init__(self, texts=TEXTS, **leg):
        self.leg = Bm25Leg(**{"language": "english", **leg})
        self.encoder = Bm25Encoder(self.leg, Bm25Statistics())
        self.encoder.learn([EmbedText(text) for text in texts])
        self._surfaces = [surface for text in texts for surface in self.encoder.analyser.surfaces(text)]
        self.asked = False

    def dictionary(self):
        self.asked = True
        return Vocabulary(self._surfaces)

    def plan(self, query):
        return compile_plan(query, self.encoder, self.leg, self.dictionary)

    def rule(self, text):
        """The one group that a query makes."""
        (group,) = self.plan(parse_query(text)).groups
        return group


@pytest.fixture(scope="module")
def collection():
    return Collection()


def test_plain_words_are_weighed_by_the_encoder_and_never_ask_for_the_dictionary():
    collection = Collection()
    plan = collection.plan('The "pump" fil* and pumps~2')
    assert plan == Plan(collection.encoder.query_weights('The "pump" fil* and pumps~2'))
    assert collection.plan(Query((Plain("The"), Plain("pump")))).words == collection.plan("the pump").words
    assert collection.plan("") == collection.plan(Query(())) == Plan({})
    assert not collection.asked


def test_a_prefix_stands_for_its_terms_which_weigh_the_same(collection):
    group = collection.rule("PUMP*")
    assert group.rule == "PUMP*"
    assert set(group.weights) == {"pump", "pumps", "pumphouse"}
    # However rare the pumphouse is, it tells no more than the pump.
    assert list(group.weights.values()) == pytest.approx([collection.encoder.idf("pump")] * 3)


def test_a_wildcard_stands_for_what_matches_as_a_whole(collection):
    assert set(collection.rule("p?mp").weights) == {"pump"}
    assert set(collection.rule("*o?l*nt").weights) == {"coolant"}
    assert set(collection.rule("AX-4?01").weights) == {"ax-4401"}


def test_each_edit_costs(collection):
    weights = collection.rule("coolent~2").weights
    assert set(weights) == {"coolant", "content"}
    assert weights["coolant"] == pytest.approx(0.7 * collection.encoder.idf("coolant"))
    # Rarer, but farther away: a slip is no evidence.
    assert collection.encoder.idf("content") > collection.encoder.idf("coolant")
    assert weights["content"] == pytest.approx(0.7 * weights["coolant"])
    assert collection.rule("coolant~1").weights["coolant"] == pytest.approx(collection.encoder.idf("coolant"))


def test_phrases_are_their_units_and_weigh_what_their_terms_do(collection):
    plan = collection.plan(parse_query('"The Pumps" "coolant filter"~2'))
    idf = collection.encoder.idf
    first, second = plan.phrases
    assert (first.rule, first.units, first.slop) == ('"The Pumps"', ("the", "pumps"), 0)
    assert first.weight == pytest.approx(idf("the") + idf("pump"))
    assert (second.rule, second.units, second.slop) == ('"coolant filter"~2', ("coolant", "filter"), 2)
    assert not (plan.words or plan.groups or plan.notices)


def test_rules_and_plain_words_go_together(collection):
    plan = collection.plan(parse_query('oil pump* "coolant filter" frame pump*'))
    assert plan.words == collection.encoder.query_weights("oil frame")
    assert [group.rule for group in plan.groups] == ["pump*"]
    assert [phrase.rule for phrase in plan.phrases] == ['"coolant filter"']


def test_a_phrase_without_a_word_is_refused_where_it_stands(collection):
    # Unicode calls it a letter, the analysis an apostrophe.
    query = Query((Plain("oil"), Phrase("\u02bc")))
    with pytest.raises(BadQuery) as caught:
        collection.plan(query)
    assert caught.value.position == 4


def test_a_rule_that_matches_nothing_says_so(collection):
    for text in ("zzz*", "z?z", "zzzzz~1"):
        plan = collection.plan(parse_query(text))
        assert plan == Plan({}, notices=(f"{text}: no term of the collection matches",))


def test_a_rule_cut_short_keeps_the_nearest_and_most_frequent_and_says_so():
    collection = Collection(["vale valve vane", "vale valve", "vale vat"], language="none", max_expansions=2)
    plan = collection.plan(parse_query("va*"))
    assert set(plan.groups[0].weights) == {"vale", "valve"}
    assert plan.notices == ("va*: 4 terms match, the 2 nearest and most frequent are used",)
    plan = collection.plan(parse_query("vane~1"))
    assert set(plan.groups[0].weights) == {"vale", "vane"} and not plan.notices
    plan = collection.plan(Query((Fuzzy("vane", 2),)))
    assert set(plan.groups[0].weights) == {"vale", "vane"} and len(plan.notices) == 1


def test_a_rule_with_very_many_terms_says_that_there_are_more():
    collection = Collection([" ".join(f"v{number}" for number in range(2000))])
    plan = collection.plan(parse_query("v*"))
    assert len(plan.groups[0].weights) == 128
    assert plan.notices == ("v*: more than 1024 terms match, 128 of the most frequent are used",)


def test_a_prefix_of_several_terms_is_read_in_parts(collection):
    plan = collection.plan(parse_query("well-kno*"))
    assert plan.words == collection.encoder.query_weights("well") and not plan.notices
    assert set(plan.groups[0].weights) == {"known"} and plan.groups[0].rule == "well-kno*"


def test_a_prefix_of_chinese_is_a_phrase_where_no_term_is_as_long(collection):
    assert set(collection.rule("产品*").weights) == {"产品"}
    assert set(collection.rule("产*").weights) == {"产品"}
    (phrase,) = collection.plan(parse_query("产品说*")).phrases
    assert (phrase.rule, phrase.units, phrase.slop) == ("产品说*", ("产", "品", "说"), 0)
    plan = collection.plan(parse_query("型号V2*"))
    assert set(plan.groups[0].weights) == {"v200"}
    assert plan.words == collection.encoder.query_weights("型号")


def test_a_word_never_seen_stands_for_those_a_slip_away():
    collection = Collection()
    assert collection.plan("colant filter").words == collection.plan("coolant filter").words
    for slip in ("coolat", "coolannt", "cooland", "oolant", "ocolant", "doolant"):
        assert collection.plan(slip) == collection.plan("coolant")
    assert collection.plan("pmup").words == collection.plan("pump").words
    assert not collection.plan("colant").notices


def test_likelier_readings_weigh_more():
    collection = Collection(["tank", "tank", "tank", "tank", "rank", "bank"])
    words = collection.plan("xank").words
    idf = collection.encoder.idf
    assert words == pytest.approx({"tank": idf("tank"), "rank": idf("rank") / 2, "bank": idf("bank") / 2})


def test_only_long_words_of_letters_stand_for_others():
    collection = Collection(["oils", "filters", "ax4402", "understandings", "understand"], language="none")
    assert not collection.plan("oil ax4401 filerss").words  # Too short; no word; two edits in a short one.
    assert set(collection.plan("undrstandigs").words) == {"understandings"}
    assert set(collection.plan("filterz").words) == {"filters"}


def test_typo_tolerance_can_be_switched_off():
    collection = Collection(typo_tolerance="off")
    assert collection.plan("colant") == Plan({})
    assert not collection.asked


@given(
    st.lists(
        st.sampled_from(["pump*", "*o*", '"coolant filter"', "colant~1", "oil", "zzz*", "产品说*", "xyzzy"])
    )
)
def test_every_weight_is_positive_and_every_rule_is_heard_of(parts):
    plan = Collection().plan(parse_query(" ".join(parts)))
    weights = [*plan.words.values(), *(phrase.weight for phrase in plan.phrases)]
    weights += [weight for group in plan.groups for weight in group.weights.values()]
    assert all(weight > 0 for weight in weights)
    heard = {group.rule for group in plan.groups} | {phrase.rule for phrase in plan.phrases}
    heard |= {notice.split(": ")[0] for notice in plan.notices}
    rules = [str(rule) for rule in parse_query(" ".join(parts)).rules if not isinstance(rule, Plain)]
    assert heard == set(rules)
