"""Weights of legs learned from queries that somebody judged, and from what was clicked."""

import json

import pytest
from fusion_support import Meaning, Noise, adaptive, fill, texts

from rag_plugins import RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg, FusionConfig
from rag_plugins.errors import BadDocument, BadInput, ConfigError
from rag_plugins.evaluation import beir
from rag_plugins.evaluation.tuning.fusing import read_pairs, settled, tune_fusion


@pytest.fixture
def made(tmp_path):
    """A collection of 60 passages where the dense leg finds nothing but by chance."""
    with RagIndex.open(tmp_path / "noise.db", config=adaptive(), encoders={"dense": Noise()}) as index:
        fill(index, 60)
    return tmp_path / "noise.db"


def judged(count):
    """Some words of a passage ask for its document."""
    queries = {name: " ".join(text.split()[2:6]) for name, text in texts(count).items()}
    return beir.TestSet({}, queries, {name: {name: 1} for name in queries})


def test_judged_queries_say_what_legs_are_worth_and_the_collection_keeps_it(made):
    learned = tune_fusion(made, judged=judged(50), config=adaptive(), encoders={"dense": Noise()})
    assert (learned.source, learned.queries, learned.rows) == ("labels", 50, 60)
    assert learned.legs["bm25"].alone > 0.9 > 0.5 > learned.legs["dense"].alone
    assert learned.legs["dense"].weight == 0.0 and learned.together > 0.9
    with RagIndex.open(made, config=adaptive(), encoders={"dense": Noise()}) as index:
        assert index.learned == learned


def test_the_gain_on_fresh_queries_needs_two_halves(made):
    few, enough = (
        tune_fusion(made, judged=judged(count), config=adaptive(), encoders={"dense": Noise()})
        for count in (39, 40)
    )
    assert few.gain is None
    assert enough.gain is not None and -0.1 < enough.gain <= enough.together


def test_without_judgements_the_passages_are_asked(made):
    learned = tune_fusion(made, log=["two words"], config=adaptive(), encoders={"dense": Noise()})
    assert (learned.source, learned.gain) == ("known items", None)


def test_a_document_of_several_passages_is_found_by_any_of_them(tmp_path):
    config, encoders = adaptive(), {"dense": Meaning()}
    with RagIndex.open(tmp_path / "parts.db", config=config, encoders=encoders) as index:
        index.add(
            index.passage(f"{sentence}.", doc_id=name, position=str(n))
            for name, text in texts(30).items()
            for n, sentence in enumerate(text.rstrip(".").split(". "))
        )
        assert index.count() == 120
    learned = tune_fusion(tmp_path / "parts.db", judged=judged(30), config=config, encoders=encoders)
    assert learned.together > 0.95


@pytest.mark.parametrize("count", [0, 19])
def test_too_few_judged_queries_are_refused(made, count):
    with pytest.raises(BadInput, match=f"collection: {count}; weights are learned from 20 at least"):
        tune_fusion(made, judged=judged(count), config=adaptive(), encoders={"dense": Noise()})


def test_documents_that_are_named_otherwise_are_named(made):
    qrels = {str(n): {f"{n}.pdf": 1} for n in range(30)}
    tests = beir.TestSet({}, judged(30).queries, qrels)
    with pytest.raises(BadInput, match=r"30 documents are not there, such as '0\.pdf': it has '0'"):
        tune_fusion(made, judged=tests, config=adaptive(), encoders={"dense": Noise()})


def test_grades_of_zero_and_blank_queries_are_no_judgements(made):
    tests = judged(30)
    nothing = beir.TestSet({}, {**tests.queries, "0": "  "}, {**tests.qrels, "1": {"1": 0}})
    learned = tune_fusion(made, judged=nothing, config=adaptive(), encoders={"dense": Noise()})
    assert learned.queries == 28


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (adaptive(), ""),
        (adaptive(fusion=FusionConfig(method="rrf")), "fusion.method = 'rrf'"),
        (adaptive(DenseLeg(weight=0.7), Bm25Leg()), "weights are set in the configuration (dense 0.7)"),
        (adaptive(DenseLeg(weight=0), Bm25Leg()), "one leg alone"),
        (adaptive(Bm25Leg()), "one leg alone"),
    ],
)
def test_what_settles_fusion(config, why):
    assert why in settled(config) and bool(why) == bool(settled(config))


def test_nothing_is_learned_for_a_configuration_that_would_not_use_it(made):
    with pytest.raises(ConfigError, match="would not be used"):
        tune_fusion(made, config=adaptive(fusion=FusionConfig(method="minmax")))


def test_pairs_of_one_query_count_together(tmp_path):
    pairs = [("valve", "a"), ("pump", "b"), ("valve", "c"), ("valve", "a")]
    lines = [json.dumps({"query": query, "doc_id": document}) for query, document in pairs]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    read = read_pairs(tmp_path / "pairs.jsonl")
    assert read.qrels == {"valve": {"a": 1, "c": 1}, "pump": {"b": 1}}
    assert read.queries == {"valve": "valve", "pump": "pump"}


def test_a_pair_without_a_document_is_named(tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"query": "valve"}')
    with pytest.raises(BadDocument, match="line 1 lacks doc_id"):
        read_pairs(tmp_path / "pairs.jsonl")
