"""Passages by id, vectors that are given, weights of one search, hits unlike each other."""

import numpy as np
import pytest

from rag_plugins import RagIndex, where
from rag_plugins.config import Bm25Leg, Config, DenseLeg, LateInteractionConfig
from rag_plugins.errors import BadInput
from rag_plugins.models.foreign import ForeignEncoder

# What each text means, in three numbers; what is not here must not be embedded.
MEANING = {
    "red lamp": [1.0, 0.0, 0.0],
    "crimson light": [0.98, 0.2, 0.0],
    "scarlet bulb": [0.97, 0.0, 0.2],
    "water tank": [0.0, 1.0, 0.0],
    "signal": [1.0, 0.1, 0.1],
}


class Meaning:
    """Counts what it embeds."""

    def __init__(self):
        self.embedded = []

    def __call__(self, texts):
        self.embedded += texts
        return [MEANING[text] for text in texts]


@pytest.fixture
def meaning():
    return Meaning()


@pytest.fixture
def index(milvus_uri, collection, meaning):
    config = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
    encoders = {"dense": ForeignEncoder("meaning", meaning, meaning, dim=3)}
    with RagIndex.open(milvus_uri, config=config, collection=collection, encoders=encoders) as index:
        yield index


def passages(index, *texts, **metadata):
    return [index.passage(text, caller_id=text, doc_id="d", metadata=metadata) for text in texts]


def texts(found):
    return [hit.passage.llm_text for hit in found]


def test_passages_by_their_own_id_and_by_the_caller_s(index):
    lamp, tank = passages(index, "red lamp", "water tank")
    index.add([lamp, tank])
    assert index.get(["water tank", "nobody", lamp.id, "water tank"]) == [tank, lamp, tank]
    assert index.get([]) == [] and index.get(['") or ("" == "']) == []


def test_passages_by_filter(index):
    index.add([*passages(index, "red lamp", year=2020), *passages(index, "water tank", year=2021)])
    assert [found.llm_text for found in index.find(where("year") == 2021)] == ["water tank"]
    assert len(index.find()) == 2 and len(index.find(limit=1)) == 1


def test_removing_passages_leaves_the_others_of_their_document(index):
    lamp, tank = passages(index, "red lamp", "water tank")
    index.add([lamp, tank])
    assert index.remove(["red lamp", "nobody"]) == 1
    assert texts(index.search("signal", 5)) == ["water tank"]
    assert index.delete("d") == 1 and index.count() == 0


def test_clear_is_the_tenant_s_own(milvus_uri, collection):
    with RagIndex.open(milvus_uri, preset="lexical", collection=collection, tenant="a") as ours:
        ours.add([ours.passage("red lamp")])
        with RagIndex.open(milvus_uri, preset="lexical", collection=collection, tenant="b") as theirs:
            theirs.add([theirs.passage("red lamp")])
            assert ours.clear() == 1
            assert ours.count() == 0 and theirs.count() == 1
            assert ours.get([theirs.find()[0].id]) == []


def test_vectors_that_are_given_are_not_made_again(index, meaning):
    lamp, light, tank = passages(index, "red lamp", "crimson light", "water tank")
    given = {lamp.id: MEANING["red lamp"], light.id: [9.8, 2.0, 0.0]}
    index.add([lamp, light, tank], vectors={"dense": given})
    # The longest of them is made once, to see that the same model made both.
    assert sorted(meaning.embedded) == ["crimson light", "water tank"]
    meaning.embedded.clear()
    assert texts(index.search("crimson", 2, legs=["dense"], vectors={"dense": [0.0, 2.0, 0.1]})) == [
        "water tank",
        "crimson light",
    ]
    assert meaning.embedded == []
    stored = index.store.matrix("dense", [light.id])[0]
    assert np.allclose(stored, np.array([9.8, 2.0, 0.0]) / np.hypot(9.8, 2.0))


def test_vectors_of_another_model_are_refused_before_anything_is_stored(index):
    (lamp,) = passages(index, "red lamp")
    with pytest.raises(BadInput, match="cosine 0.00 with the vector given"):
        index.add([lamp], vectors={"dense": {lamp.id: [0.0, 0.0, 1.0]}})
    assert index.count() == 0


@pytest.mark.parametrize(
    ("leg", "vector", "told"),
    [
        ("dense", [1.0, 0.0], r"shape \(2,\), and the leg's model gives \(3,\)"),
        ("dense", [0.0, 0.0, 0.0], "all zeros"),
        ("dense", [1.0, float("nan"), 0.0], "not finite"),
        ("dense", ["a", "b", "c"], "no list of numbers"),
        ("bm25", [1.0, 0.0, 0.0], r"the dense legs of this collection are \['dense'\]"),
        ("other", [1.0, 0.0, 0.0], "the dense legs"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(index, leg, vector, told):
    (lamp,) = passages(index, "red lamp")
    with pytest.raises(BadInput, match=told):
        index.add([lamp], vectors={leg: {lamp.id: vector}})
    with pytest.raises(BadInput, match=told):
        index.search("red lamp", vectors={leg: vector})


def test_a_blank_query_is_searched_by_its_vector_alone(index):
    index.add(passages(index, "red lamp", "water tank"))
    assert texts(index.search("", 1, vectors={"dense": [0.0, 1.0, 0.0]})) == ["water tank"]
    assert index.search(" ", 1) == []
    found = index.search_many(["", "red lamp"], 2, vectors={"dense": [0.0, 1.0, 0.0]})
    assert sorted(texts(found)) == ["red lamp", "water tank"]


def test_a_vector_is_the_question_s_and_the_expansions_have_their_own(index, meaning):
    index.add(passages(index, "red lamp", "water tank"))
    meaning.embedded.clear()
    index.search_many(["signal", "water tank"], 2, vectors={"dense": [1.0, 0.0, 0.0]})
    assert meaning.embedded == ["water tank"]


def test_weights_of_one_search(index):
    index.add(passages(index, "red lamp", "crimson light", "water tank"))

    def best(**weights):
        return index.search("water tank", 1, legs=weights, vectors={"dense": [1.0, 0.0, 0.0]})[0]

    assert best(dense=0.9, bm25=0.1).passage.llm_text == "red lamp"
    hit = best(dense=0.1, bm25=0.9)
    assert hit.passage.llm_text == "water tank"
    assert {stage.stage: stage.weight for stage in hit.trace if stage.kind == "leg"}["bm25"] == 0.9
    assert best(dense=1, bm25=0).passage.llm_text == "red lamp"
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="at least 0"):
            best(dense=wrong, bm25=1.0)


def test_hits_that_are_unlike_each_other(index):
    index.add(passages(index, "red lamp", "crimson light", "scarlet bulb", "water tank"))
    legs = ["dense"]
    assert texts(index.diverse("signal", 2, balance=1.0, legs=legs)) == texts(
        index.search("signal", 2, legs=legs)
    )
    assert texts(index.diverse("signal", 2, balance=0.0, legs=legs))[1] == "water tank"
    assert "water tank" not in texts(index.diverse("signal", 2, fetch_k=3, balance=0.0, legs=legs))


def test_without_vectors_words_say_what_is_alike(tmp_path):
    with RagIndex.open(tmp_path / "words.db", preset="lexical") as index:
        index.add(passages(index, "red lamp on", "red lamp on.", "red tank"))
        assert texts(index.diverse("red lamp", 2, balance=0.1)) == ["red lamp on", "red tank"]


def test_vectors_are_stored_where_the_model_s_tokens_are_kept_too(tmp_path):
    config = Config(legs=(DenseLeg(), Bm25Leg()), rerank=(LateInteractionConfig(),))
    with RagIndex.open(tmp_path / "t.db", config=config) as index:
        passage = index.passage("The lamp is red.")
        index.add([passage])
        (vector,) = index.store.matrix("dense", [passage.id])
        index.clear()
        index.add([passage], vectors={"dense": {passage.id: vector}})
        assert index.search("lamp", 1)[0].trace[-1].kind == "rerank"
        assert [hit.trace[-1].kind for hit in index.search("", 1, vectors={"dense": vector})] == ["fusion"]


def test_one_hit_a_parent(milvus_uri, collection):
    parents = {"a": "The lamp is red. The lamp is bright.", "b": "The tank holds water. No lamp there."}
    with RagIndex.open(milvus_uri, preset="lexical", collection=collection) as index:
        for name, text in parents.items():
            index.add(
                index.passage(text, view=view, caller_id=f"{name}{n}", doc_id=name, metadata={"parent": name})
                for n, view in enumerate(text.split(". "))
            )
        index.add([index.passage("A lamp on its own."), index.passage("A lamp of nobody.")])
        assert len(index.search("lamp", 9)) == 5
        found = index.search("red lamp", 9, group_by="parent")
        assert texts(found)[0] == parents["a"] and sorted(texts(found)) == sorted(
            [*parents.values(), "A lamp on its own.", "A lamp of nobody."]
        )
        assert found[0].passage.caller_id == "a0"  # The sentence that was found.
        assert len(index.search("red lamp", 9, group_by="doc_id")) == 4
        with pytest.raises(BadInput, match="metadata key"):
            index.search("lamp", group_by='" or "')
