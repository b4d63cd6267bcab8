"""Adaptive fusion in searches: what counts how much, what is not run, and what the trace says of it."""

from functools import partial

import pytest
from fusion_support import LEGS, HalfRead, Meaning, adaptive, fill, ids, stages, texts

from rag_plugins import Config, RagIndex, where
from rag_plugins.config import Bm25Leg, DenseLeg, FusionConfig, RobustLeg
from rag_plugins.lexical.rules import parse_query
from rag_plugins.types import Box, Provenance, Word

ASKED = texts(1)["0"].split(". ")[0].lower()
FIRST, SECOND, *_ = ASKED.split()


@pytest.fixture
def encoder():
    return Meaning()


@pytest.fixture
def open_(tmp_path, encoder):
    """Opens this test's collection with these legs and settings."""
    opened = []

    def open_(*legs, encoder=encoder, **settings):
        config = adaptive(*legs, **settings)
        opened.append(RagIndex.open(tmp_path / "test.db", config=config, encoders={"dense": encoder}))
        return opened[-1]

    yield open_
    for index in opened:
        index.close()


@pytest.fixture
def index(open_):
    index = open_()
    fill(index, 40)
    return index


def test_the_score_of_a_hit_is_the_sum_of_what_its_legs_say(index):
    hits = index.search(ASKED, k=10)
    weights = {leg: worth.weight for leg, worth in index.learned.legs.items()}
    assert ids(hits)[0] == "0" and hits[0].score > 10
    for hit in hits:
        legs = stages(hit, "leg")
        assert hit.score == pytest.approx(sum(leg.part for leg in legs.values()))
        for name, leg in legs.items():
            nats = index.learned.legs[name].scale.nats(leg.score)  # No list is full: there are 40 passages.
            assert leg.weight == weights[name] and leg.part == pytest.approx(weights[name] * max(nats, 0.0))
            assert leg.why.startswith("finds ") and leg.why.endswith("(known items)")
        assert hit.trace[-1].stage == "adaptive" and hit.trace[-1].score == hit.score


def test_a_full_list_counts_from_its_last(open_):
    index = open_(fusion=FusionConfig(depth=5))
    fill(index, 40)
    outcome = index.run(ASKED, 5)
    last = outcome.rankings["dense"][-1][0]
    parts = {item.id: item.parts for item in outcome.fused}
    assert parts[last]["dense"] == 0.0 < parts[outcome.rankings["dense"][0][0]]["dense"]


def test_the_order_does_not_depend_on_the_store(milvus_uri, collection, index):
    opened = partial(RagIndex.open, milvus_uri, collection=collection, config=adaptive())
    with opened(encoders={"dense": Meaning()}) as other:
        fill(other, 40)
        assert other.learned.legs["dense"].scale.mean == pytest.approx(
            index.learned.legs["dense"].scale.mean, abs=1e-3
        )
        for query in (ASKED, FIRST, f"{FIRST} {SECOND}"):
            ours, theirs = index.search(query, k=5), other.search(query, k=5)
            assert ids(ours) == ids(theirs)
            assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], rel=1e-2)


@pytest.mark.parametrize("legs", [(DenseLeg(weight=2.0), Bm25Leg()), (DenseLeg(), Bm25Leg(weight=1e-9))])
def test_a_weight_of_the_users_is_that_of_min_max_and_nothing_is_learned(open_, encoder, legs):
    index = open_(*legs)
    fill(index, 40)
    assert index.learned is None and not encoder.asked
    (hit, *_) = index.search(ASKED)
    total = sum(1.0 if leg.weight is None else leg.weight for leg in legs)
    for leg in legs:
        stage = stages(hit, "leg")[leg.name]
        assert stage.weight == pytest.approx((1.0 if leg.weight is None else leg.weight) / total)
        assert stage.why == "weight set in the configuration"
    assert hit.trace[-1].stage == "minmax" and 0.0 <= hit.score <= 1.0


def test_the_users_weight_wins_over_what_was_learned_before(open_):
    with open_() as index:
        fill(index, 40)
        assert index.learned is not None
    (hit, *_) = open_(DenseLeg(weight=0.3), Bm25Leg()).search(ASKED)
    assert hit.trace[-1].stage == "minmax"
    assert stages(hit, "leg")["dense"].weight == pytest.approx(0.3 / 1.3)


def test_a_leg_of_weight_zero_is_not_run_and_the_others_stay_adaptive(open_, encoder):
    index = open_(DenseLeg(weight=0.0), Bm25Leg(), RobustLeg())
    fill(index, 40)
    assert set(index.learned.legs) == {"bm25", "robust"} and not encoder.asked
    (hit, *_) = index.search(ASKED)
    assert not encoder.asked and set(stages(hit, "leg")) == {"bm25", "robust"}
    assert hit.trace[-1].stage == "adaptive"


def test_one_leg_has_nothing_to_learn(open_, encoder):
    index = open_(DenseLeg())
    fill(index, 40)
    assert index.learned is None and not encoder.asked
    assert index.search(ASKED)[0].trace[-1].stage == "minmax"


@pytest.mark.parametrize("method", ["minmax", "zscore", "dbsf", "rrf"])
def test_where_another_method_is_set_nothing_is_learned(open_, encoder, method):
    index = open_(fusion=FusionConfig(method=method))
    fill(index, 40)
    assert index.learned is None and not encoder.asked
    (hit, *_) = index.search(ASKED)
    assert hit.trace[-1].stage == method and stages(hit, "leg")["bm25"].why == "equal weights"


@pytest.fixture
def half_read(open_):
    encoder = HalfRead()
    index = open_(encoder=encoder)
    fill(index, 40)
    encoder.asked.clear()
    return index, encoder


def test_what_the_model_cannot_read_of_a_query_is_left_to_the_others(half_read):
    index, encoder = half_read
    learned = index.learned.legs["dense"].weight
    (hit, *_) = index.search(f"{FIRST} 漢字漢字漢字漢字")
    assert not encoder.asked
    out = stages(hit, "left out")["dense"]
    assert out.weight == 0.0 and out.why.endswith("of the query is unknown to its model")
    (hit, *_) = index.search("".join(["a" * 8, " 漢字漢字", f" {FIRST[:4]}"]), legs=["dense"])
    assert stages(hit, "leg")["dense"].weight == pytest.approx(learned * (1 - 2 * 4 / (12 + len(FIRST[:4]))))
    (hit, *_) = index.search(f"{FIRST} {FIRST} 漢字")
    unread = 2 / (2 * len(FIRST) + 2)
    assert stages(hit, "leg")["dense"].weight == pytest.approx(learned * (1 - 2 * unread))
    assert f"{unread:.0%} of the query is unknown" in stages(hit, "leg")["dense"].why
    assert len(encoder.asked) == 2


def test_the_only_leg_ranks_as_it_does_even_what_its_model_cannot_read(half_read):
    index, _ = half_read
    outcome = index.run(f"漢字漢字漢字漢字漢字 {FIRST}", 10, legs=["dense"])
    assert [id for id, _ in outcome.final[:5]] == [id for id, _ in outcome.rankings["dense"][:5]]
    assert outcome.final[0][1] > 0


def test_where_words_find_nothing_a_leg_that_cannot_read_them_is_asked_all_the_same(half_read):
    index, encoder = half_read
    hits = index.search("漢字漢字")
    assert len(hits) == 5 and encoder.asked == [["漢字漢字"]] and hits[0].score > 0


def test_rules_halve_the_dense_leg(index):
    learned = index.learned.legs
    (hit, *_) = index.search(parse_query(f'"{FIRST} {SECOND}"'))
    legs = stages(hit, "leg")
    assert ids([hit]) == ["0"]
    assert legs["dense"].weight == learned["dense"].weight / 2
    assert legs["bm25"].weight == learned["bm25"].weight
    assert legs["dense"].why.endswith("cannot read the rules of the query")


def test_what_was_recognised_with_doubt_is_left_to_the_robust_leg_and_the_weights_keep_their_sum(open_):
    index = open_(DenseLeg(weight=0.0), Bm25Leg(), RobustLeg())
    words = (Word(0, 5, 0, Box(0.0, 0.0, 0.1, 0.1), 0.25),)
    index.add(
        index.passage(text, caller_id=id, provenance=Provenance("s", 1, words) if id == "0" else None)
        for id, text in texts(30).items()
    )
    weights = {
        hit.passage.caller_id == "0": {name: leg.weight for name, leg in stages(hit, "leg").items()}
        for hit in index.search(ASKED, k=10)
    }
    learned = {name: worth.weight for name, worth in index.learned.legs.items()}
    assert weights[False]["robust"] == learned["robust"] < weights[True]["robust"]
    assert sum(weights[True].values()) == pytest.approx(sum(learned.values()))
    assert weights[True]["bm25"] / weights[True]["robust"] == pytest.approx(
        0.25 * learned["bm25"] / learned["robust"]
    )


def test_several_queries_are_each_fused_by_evidence_and_then_joined(index):
    other = texts(6, 5)["5"].split(". ")[0]
    hits = index.search_many([ASKED, other])
    assert set(ids(hits)[:2]) == {"0", "5"}
    for hit in hits[:2]:
        kinds = [(stage.stage, stage.kind, stage.query is None) for stage in hit.trace]
        assert ("adaptive", "fusion", False) in kinds and kinds[-1] == ("minmax", "queries", True)
        for stage in hit.trace:
            if stage.kind == "fusion":
                legs = [leg for leg in hit.trace if leg.kind == "leg" and leg.query == stage.query]
                assert stage.score == pytest.approx(sum(leg.part for leg in legs))


def test_of_several_queries_only_those_that_need_it_run_a_leg(half_read):
    index, encoder = half_read
    (hit, *_) = index.search_many([ASKED, f"{FIRST} 漢字漢字漢字漢字"])
    assert len(encoder.asked) == 1
    assert ids([hit]) == ["0"]
    kinds = {(stage.query, stage.stage): stage.kind for stage in hit.trace}
    assert kinds[ASKED, "dense"] == "leg"
    assert kinds[f"{FIRST} 漢字漢字漢字漢字", "dense"] == "left out"


def test_the_outcome_has_the_seconds_of_each_stage(index):
    outcome = index.run(ASKED, 5)
    assert set(outcome.seconds) == {"encode", "dense", "bm25", "fusion"}
    assert all(spent > 0 for spent in outcome.seconds.values())
    assert outcome.fusion == "adaptive" and outcome.left_out == ()
    assert set(outcome.reasons) == set(outcome.shares) == {"dense", "bm25"}


def test_a_filter_and_terms_go_with_it(index):
    assert index.search(ASKED, filter=where("doc_id") != "0", k=3)[0].passage.caller_id != "0"
    (hit, *_) = index.search(ASKED, explain=True)
    assert FIRST in {match.term for match in hit.terms["bm25"]}
    assert hit.trace[-1].stage == "adaptive"


def test_what_was_learned_outlasts_the_index(open_):
    with open_() as index:
        fill(index, 40)
        known, before = index.learned, index.search(ASKED)
    again = open_()
    assert again.learned == known
    assert [hit.trace for hit in again.search(ASKED)] == [hit.trace for hit in before]


def test_it_is_the_default():
    assert Config().fusion.method == "adaptive" and all(leg.weight is None for leg in LEGS)
