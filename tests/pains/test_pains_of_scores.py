"""What users elsewhere report of scores and fusion, and what happens here.

Each docstring says what happens elsewhere, with a thread that tells of it, and then what does here.
"""

import pytest
from both_faces import ids

from rag_plugins import Config
from rag_plugins.config import Bm25Leg, DenseLeg, FusionConfig

DENSE = Config(legs=(DenseLeg(),), rerank=())


ANGLES = {
    "query": (1.0, 0.0),
    "same": (1.0, 0.0),
    "near": (0.8, 0.6),
    "across": (0.0, 1.0),
    "against": (-1.0, 0.0),
}


def test_l2_distance_returned_as_similarity(face, reopen):
    """agentscope-java#3070: the best hit has the lowest number. Here it is a cosine, the highest is best."""
    with reopen(config=DENSE, encoders={"dense": face.encoder(ANGLES.get)}) as index:
        face.add(index, [face.item(name, name) for name in reversed(ANGLES) if name != "query"])
        found = face.search(index, "query")
        stored = face.nearest(face.store(index, []), "query")
    assert ids(found) == [id for id, *_ in stored] == ["same", "near", "across", "against"]
    cosines = [each.stages("leg")["dense"]["score"] for each in found]
    assert cosines == pytest.approx([1.0, 0.8, 0.0, -1.0], abs=1e-3)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert [score for *_, score in stored] == [each.score for each in found]
    assert found[0].score > found[1].score


def two_legs(face, reopen, items, vectors, *weights, **fusion):
    """An index of a dense leg, its vectors by text, and BM25; weights in this order."""
    dense, bm25 = weights or (1.0, 1.0)
    legs = (DenseLeg(weight=dense, funnel="off", rotation="off"), Bm25Leg(weight=bm25))
    config = Config(legs=legs, fusion=FusionConfig(method="rrf", **fusion), rerank=())
    index = reopen(config=config, encoders={"dense": face.encoder(vectors)})
    face.add(index, items)
    return index


@pytest.mark.parametrize("weights, first", [((3.0, 1.0), "near"), ((1.0, 3.0), "literal")])
def test_rrf_hides_the_real_scores_weights_ignored(face, reopen, weights, first):
    """milvus#40497, llama_index#21444: 1/(60 + rank) is left. Here each leg's score, rank and part."""
    near, literal = "a red machine, next to a pump", "red pump, red pump"
    vectors = {"red pump": (1.0, 0.0), near: (0.8, 0.6), literal: (0.6, 0.8)}
    items = [face.item("near", near), face.item("literal", literal)]
    with two_legs(face, reopen, items, vectors.get, *weights) as index:
        found = face.search(index, "red pump")
    assert ids(found)[0] == first
    legs = {each.id: each.stages("leg") for each in found}
    assert [legs[id]["dense"]["score"] for id in ("near", "literal")] == pytest.approx([0.8, 0.6], abs=1e-3)
    assert legs["literal"]["bm25"]["score"] > legs["near"]["bm25"]["score"] > 0
    assert [[leg["rank"] for leg in legs[id].values()] for id in ("near", "literal")] == [[1, 2], [2, 1]]
    for each in found:
        stages = list(legs[each.id].values())
        assert [stage["weight"] for stage in stages] == [weight / 4 for weight in weights]
        parts = [stage["weight"] / (60 + stage["rank"]) for stage in stages]
        assert [stage["part"] for stage in stages] == pytest.approx(parts)
        assert each.score == each.stages("fusion")["rrf"]["score"] == pytest.approx(sum(parts))


BOTH = "a pump among many other words that make it longer"


def deep():
    """Texts and vectors: 30 that only BM25 finds before `BOTH`, 30 that only the dense leg does."""
    worded = {f"pump pump pump {'x' * (n + 1)}": (0.0, 1.0) for n in range(30)}
    meant = {f"machine {'y' * (n + 1)}": (1.0, 0.0) for n in range(30)}
    between = {f"tank {'z' * (n + 1)}": (0.6, 0.8) for n in range(80)}
    return {**worded, **meant, **between, BOTH: (0.8, 0.6)}


@pytest.mark.parametrize("depth", [None, 4])
def test_fetch_depth_tied_to_k(face, reopen, depth):
    """LangChain: fetch_k = 4 caps a hybrid search. Here k = 1 finds what is the 31st of each leg."""
    vectors = deep()
    items = [face.item(text, text) for text in vectors]
    with two_legs(face, reopen, items, (vectors | {"pump": (1.0, 0.0)}).get, depth=depth) as index:
        [found] = face.search(index, "pump", k=1)
    assert (found.id == BOTH) == (depth is None)
    if depth is None:
        assert [stage["rank"] for stage in found.stages("leg").values()] == [31, 31]


def test_fusion_merges_different_chunks_or_counts_twice(face, reopen):
    """langchain#37046, llama_index#11538: fused by text. Here a passage is its id, a leg has one vote."""
    items = [face.item("page 3", "the same words", page=3), face.item("page 9", "the same words", page=9)]
    vectors = {"the same words": (1.0, 0.0), "same": (1.0, 0.0), "words": (0.8, 0.6)}.get
    with two_legs(face, reopen, items, vectors) as index:
        found = face.search(index, "same")
        repeated = face.search(index, "same", expand=lambda query: [query, query])
    assert {each.id: each.metadata["page"] for each in found} == {"page 3": 3, "page 9": 9}
    for each in found:
        legs = each.stages("leg")
        assert set(legs) == {"dense", "bm25"}
        assert each.score == pytest.approx(sum(stage["part"] for stage in legs.values()))
    assert [(each.id, each.score) for each in repeated] == [(each.id, each.score) for each in found]
