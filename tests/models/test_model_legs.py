"""Learned sparse models and BGE-M3 as legs of an index, on a Lite file and on a server."""

import pytest
from test_sparse import save_masked_lm

from rag_plugins import Config, RagIndex, parse_query
from rag_plugins.config import Bm25Leg, DenseLeg, LateInteractionConfig, SparseLeg
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.models.m3 import M3Encoder
from rag_plugins.models.m3_trunk import M3Trunk
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.types import EmbedText

TEXTS = ["the red pump is changed every month", "the blue valve", "every filter is green"]


@pytest.fixture(scope="module")
def splade(tmp_path_factory):
    return str(save_masked_lm(tmp_path_factory.mktemp("splade")))


def test_a_splade_leg_scores_by_the_inner_product_and_explains_it(milvus_uri, collection, splade):
    leg = SparseLeg(model=splade)
    with RagIndex.open(milvus_uri, config=Config(legs=(leg,), rerank=()), collection=collection) as index:
        index.add(index.passage(text) for text in TEXTS)
        hits = index.search("the red valve", explain=True)
    encoder = SparseEncoder(leg)
    query = encoder.encode_queries(["the red valve"]).sparse[0]
    assert len(hits) == len(TEXTS)
    for hit in hits:
        document = encoder.encode_documents([EmbedText(hit.passage.llm_text)]).sparse[0]
        assert hit.trace[0].score == pytest.approx(query.dot(document), rel=1e-5)
        matches = hit.terms["sparse"]
        assert sum(match.score for match in matches) == pytest.approx(hit.trace[0].score, rel=1e-5)
        assert [match.score for match in matches] == sorted((m.score for m in matches), reverse=True)
        written = set(f"the red valve {hit.passage.llm_text}".split())
        assert all(match.expanded == (match.term not in written) for match in matches)
        assert any(match.expanded for match in matches)


def test_bge_m3_gives_a_collection_all_its_vectors_in_one_pass(milvus_uri, collection, tiny_m3, monkeypatch):
    passes = []
    read = M3Trunk.read
    monkeypatch.setattr(M3Trunk, "read", lambda *given, **more: passes.append(1) or read(*given, **more))
    legs = (DenseLeg(model=str(tiny_m3)), SparseLeg(model=str(tiny_m3)), Bm25Leg())
    with RagIndex.open(milvus_uri, config=Config(legs=legs), collection=collection) as index:
        assert index.weights.keys() == {"dense", "sparse"}
        index.add(index.passage(text) for text in TEXTS)
        assert len(passes) == 1
        (hit, *_) = index.search("the blue valve", explain=True)
        assert len(passes) == 2
    assert hit.passage.llm_text == "the blue valve"
    assert [stage.stage for stage in hit.trace] == ["dense", "sparse", "bm25", "minmax", "late-interaction"]
    assert hit.terms["sparse"] and hit.terms["bm25"]


def test_legs_of_one_bge_m3_must_agree(tiny_m3):
    model = str(tiny_m3)
    with pytest.raises(ConfigError, match="max_length"):
        RagIndex.open(
            "unused.db", config=Config(legs=(DenseLeg(model=model, max_length=8), SparseLeg(model=model)))
        )
    with pytest.raises(ConfigError, match="prompts"):
        RagIndex.open("unused.db", config=Config(legs=(DenseLeg(model=model, query_prompt="query: "),)))


def test_rules_need_a_bm25_leg(tmp_path, splade):
    config = Config(legs=(SparseLeg(model=splade),), rerank=())
    with RagIndex.open(tmp_path / "x.db", config=config) as index:
        index.add([index.passage("the red pump")])
        with pytest.raises(BadInput, match="BM25"):
            index.search(parse_query("pum*"))
        assert index.search(parse_query("the pump"))


def test_late_interaction_alone_needs_no_bm25(tmp_path, tiny_m3):
    legs = (DenseLeg(model=str(tiny_m3)),)
    with RagIndex.open(
        tmp_path / "x.db", config=Config(legs=legs, rerank=(LateInteractionConfig(),))
    ) as index:
        index.add(index.passage(text) for text in TEXTS)
        assert index.search("the blue valve")[0].passage.llm_text == "the blue valve"


def test_long_passages_are_encoded_few_at_a_time(tmp_path, tiny_m3, monkeypatch):
    """Their token vectors would fill the memory."""
    sizes = []
    encode = M3Encoder.encode_documents
    monkeypatch.setattr(
        M3Encoder,
        "encode_documents",
        lambda self, views, want: sizes.append(len(views)) or encode(self, views, want),
    )
    with RagIndex.open(tmp_path / "x.db", config=Config(legs=(DenseLeg(model=str(tiny_m3)),))) as index:
        texts = [f"the pump {n}" + " red" * length for n, length in enumerate((50_000, 30_000, 1, 1, 40_000))]
        assert len(index.add(index.passage(text) for text in texts)) == index.count() == 5
    assert sizes == [1, 3, 1]
