import json
import pickle
from contextlib import contextmanager

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode as Mode
from pydantic import SecretStr
from words_support import WordEmbedding

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import BadInput, CollectionMismatch, ConfigError
from rag_plugins.llama_index import RagVectorStore

TWO_LEGS = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())


def node(id, text, document="handbook", **metadata):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return TextNode(id_=id, text=text, metadata=metadata, relationships=source)


def handbook():
    return [
        node(
            "filter",
            "Change the air filter every six months.",
            year=2021,
            tags=["air", "filter"],
            kind="Work",
        ),
        node("lamp", "The red lamp means that the tank is empty.", year=2022, tags=["signal"], kind="sign"),
        node("tank", "Fill the tank with distilled water only.", year=2023, tags=["water", "tank"], note=""),
        node("plan", "A plan of the house.", "plans", year=2023, score=0.5),
    ]


@contextmanager
def opened(uri, collection="passages", model=None, **settings):
    with RagVectorStore.open(
        uri, model or WordEmbedding(), config=TWO_LEGS, collection=collection, **settings
    ) as store:
        yield store


@pytest.fixture
def store(milvus_uri, collection):
    with opened(milvus_uri, collection) as store:
        store.add(handbook())
        yield store


@pytest.fixture
def quick(tmp_path):
    """The same on a file alone, for what does not depend on the store."""
    with opened(tmp_path / "quick.db") as store:
        store.add(handbook())
        yield store


def ask(store, text="tank", k=10, mmr=None, **parts):
    kwargs = {} if mmr is None else {"mmr_threshold": mmr}
    return store.query(VectorStoreQuery(query_str=text, similarity_top_k=k, **parts), **kwargs)


def one(key, value, operator=FilterOperator.EQ):
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def every(store, filters):
    return {each.node_id for each in store.get_nodes(filters=filters)}


def test_added_nodes_are_found_best_first_as_they_were_added(store):
    found = ask(store, "distilled water tank")

    assert found.ids[0] == "tank" and set(found.ids) >= {"tank", "lamp"}
    assert found.similarities == sorted(found.similarities, reverse=True)
    best, given = found.nodes[0], handbook()[2]
    assert (best.text, best.metadata, best.ref_doc_id) == (given.text, given.metadata, "handbook")
    assert best.hash == given.hash
    assert len(ask(store, k=1).ids) == 1
    assert ask(store, "").ids == []


def test_adding_a_node_again_replaces_it(store):
    assert store.add([node("lamp", "The green lamp means ready.", year=2024)]) == ["lamp"]

    assert len(store.get_nodes()) == 4
    assert ask(store, "green", mode=Mode.TEXT_SEARCH).nodes[0].metadata == {"year": 2024}
    assert "red" not in store.get_nodes(["lamp"])[0].text


def test_delete_by_ref_doc_id(store):
    store.delete("handbook")
    store.delete("unknown")

    assert [each.node_id for each in store.get_nodes()] == ["plan"]
    assert ask(store, "tank").ids in ([], ["plan"])


def test_get_nodes_and_delete_nodes_by_id_and_filter(store):
    assert [each.node_id for each in store.get_nodes(["tank", "unknown", "filter"])] == ["tank", "filter"]
    assert every(store, one("year", 2023)) == {"tank", "plan"}
    assert [each.node_id for each in store.get_nodes(["tank", "lamp"], one("year", 2023))] == ["tank"]
    assert store.get_nodes([]) == []

    store.delete_nodes(["tank", "lamp"], one("year", 2023))
    assert every(store, None) == {"filter", "lamp", "plan"}
    store.delete_nodes(filters=one("year", 2023))
    store.delete_nodes(["filter", "unknown"])
    store.delete_nodes([])
    assert every(store, None) == {"lamp"}
    with pytest.raises(BadInput, match="clear"):
        store.delete_nodes()
    with pytest.raises(BadInput, match="clear"):
        store.delete_nodes(filters=MetadataFilters(filters=[]))
    store.clear()
    assert store.get_nodes() == []


@pytest.mark.parametrize(
    ("operator", "key", "value", "expected"),
    [
        (FilterOperator.EQ, "year", 2023, {"tank", "plan"}),
        (FilterOperator.NE, "year", 2023, {"filter", "lamp"}),
        (FilterOperator.GT, "year", 2022, {"tank", "plan"}),
        (FilterOperator.GTE, "year", 2022, {"lamp", "tank", "plan"}),
        (FilterOperator.LT, "year", 2022, {"filter"}),
        (FilterOperator.LTE, "score", 0.5, {"plan"}),
        (FilterOperator.IN, "year", [2021, 2022], {"filter", "lamp"}),
        (FilterOperator.NIN, "year", [2021, 2022], {"tank", "plan"}),
        (FilterOperator.ANY, "tags", ["air", "water"], {"filter", "tank"}),
        (FilterOperator.ALL, "tags", ["water", "tank"], {"tank"}),
        (FilterOperator.CONTAINS, "tags", "signal", {"lamp"}),
        (FilterOperator.TEXT_MATCH, "kind", "ork", {"filter"}),
        (FilterOperator.TEXT_MATCH_INSENSITIVE, "kind", "w", {"filter"}),
        (FilterOperator.IS_EMPTY, "note", None, {"filter", "lamp", "tank", "plan"}),
        (FilterOperator.EQ, "doc_id", "plans", {"plan"}),
    ],
)
def test_every_operator(quick, operator, key, value, expected):
    filters = one(key, value, operator)

    assert every(quick, filters) == expected
    assert set(ask(quick, "tank filter lamp plan", filters=filters).ids) == expected


def test_filters_are_combined(store):
    both = [MetadataFilter(key="year", value=2023), MetadataFilter(key="kind", value="sign")]

    assert every(store, MetadataFilters(filters=both)) == set()
    either = MetadataFilters(filters=both, condition=FilterCondition.OR)
    assert every(store, either) == {"tank", "plan", "lamp"}
    assert set(ask(store, "tank filter lamp plan", filters=either).ids) == {"tank", "plan", "lamp"}
    neither = MetadataFilters(filters=both, condition=FilterCondition.NOT)
    assert every(store, neither) == {"filter"}
    assert every(store, MetadataFilters(filters=[either, neither])) == set()


def test_documents_and_nodes_to_search_among(store):
    assert ask(store, "tank plan", doc_ids=["plans"]).ids == ["plan"]
    assert ask(store, "tank lamp filter", node_ids=["lamp", "filter"], k=2).ids == ["lamp", "filter"]
    assert ask(store, "tank", node_ids=["lamp"], k=1).ids == ["lamp"]
    assert ask(store, "tank", node_ids=["unknown"]).ids == []
    assert len(ask(store, "tank plan", node_ids=[], doc_ids=[]).ids) == len(ask(store, "tank plan").ids)


def test_ids_that_are_cleaned_are_still_those_of_their_nodes(quick):
    odd = "odd\x00 cafe\u0301"
    quick.add([node(odd, "A dense text.", odd)])

    [found] = quick.get_nodes([odd])
    assert quick.query(VectorStoreQuery(query_str="dense", doc_ids=[odd])).ids == [found.node_id]
    assert quick.query(VectorStoreQuery(query_str="dense", node_ids=[odd])).ids == [found.node_id]
    quick.delete(odd)
    assert quick.get_nodes([odd]) == []


def test_what_was_added_is_there_after_reopening(milvus_uri, collection):
    with opened(milvus_uri, collection) as store:
        store.add(handbook())
        store.persist("nowhere/at/all.json")
        before = ask(store, "distilled water")
    with opened(milvus_uri, collection) as store:
        after = ask(store, "distilled water")
        assert (after.ids, after.similarities) == (before.ids, before.similarities)
        assert [each.hash for each in after.nodes] == [each.hash for each in before.nodes]


async def test_async(milvus_uri, collection):
    with opened(milvus_uri, collection) as store:
        assert await store.async_add(handbook()) == ["filter", "lamp", "tank", "plan"]
        query = VectorStoreQuery(query_str="distilled water", similarity_top_k=2)
        assert (await store.aquery(query)).ids == store.query(query).ids
        assert [each.node_id for each in await store.aget_nodes(["lamp"])] == ["lamp"]
        await store.adelete("plans")
        await store.adelete_nodes(["lamp"])
        assert every(store, None) == {"filter", "tank"}
        await store.aclear()
        assert await store.aget_nodes() == []


def test_vectors_are_used_as_they_are(tmp_path):
    model = WordEmbedding()
    nodes = [
        each.model_copy(update={"embedding": model.get_text_embedding(each.get_content("embed"))})
        for each in handbook()
    ]
    with opened(tmp_path / "own.db", model=model) as store:
        model.calls.clear()
        store.add(nodes)
        # The first vector is compared with what the model makes; the funnel and fusion look at no more.
        assert model.calls.count(nodes[1].get_content("embed")) == 0
        model.calls.clear()
        found = ask(store, "zzz", query_embedding=[0, 1, 0, 0, 0, 0, 0, 0.0])
        assert found.ids[0] == "lamp" and model.calls == []
        assert ask(store, None, query_embedding=[0, 0, 0, 1, 0, 0, 0, 0.0], k=1).ids == ["tank"]
        assert ask(store, " ", query_embedding=[0, 0, 0, 0, 0, 0, 0, 1.0], k=1).ids == ["plan"]
        assert model.calls == []


def test_vectors_of_another_model_are_refused(tmp_path, quick):
    other = WordEmbedding(words=tuple(reversed(WordEmbedding().words)))
    foreign = node("new", "Dense water in the tank.")
    foreign.embedding = other.get_text_embedding(foreign.text)

    with (
        opened(tmp_path / "other.db") as store,
        pytest.raises(BadInput, match="embed_model=store.embed_model"),
    ):
        store.add([foreign])
    foreign.embedding = [1.0, 2.0]
    with pytest.raises(BadInput, match=r"\(2,\).*\(8,\).*embed_model=store.embed_model"):
        quick.add([foreign])
    with pytest.raises(BadInput, match=r"\(2,\).*\(8,\).*embed_model=store.embed_model"):
        ask(quick, query_embedding=[1.0, 2.0])
    assert every(quick, None) == {"filter", "lamp", "tank", "plan"}


def test_modes(quick):
    dense = [0, 0, 0, 0, 0, 1.0, 0, 0]  # month: the filter
    asked = {"query_embedding": dense, "k": 1}

    assert ask(quick, "lamp", mode=Mode.TEXT_SEARCH, **asked).ids == ["lamp"]
    assert ask(quick, "lamp", mode=Mode.SPARSE, **asked).ids == ["lamp"]
    for mode in Mode.HYBRID, Mode.SEMANTIC_HYBRID:
        assert ask(quick, "lamp", mode=mode, alpha=1.0, **asked).ids == ["filter"]
        assert ask(quick, "lamp", mode=mode, alpha=0.0, **asked).ids == ["lamp"]
        assert ask(quick, "lamp", mode=mode, **asked).ids == ask(quick, "lamp", **asked).ids
        assert len(ask(quick, "lamp", mode=mode, hybrid_top_k=3, sparse_top_k=1, **asked).ids) == 3
    with pytest.raises(BadInput, match="alpha is 2"):
        ask(quick, "lamp", mode=Mode.HYBRID, alpha=2)


@pytest.mark.parametrize("mode", [Mode.SVM, Mode.LOGISTIC_REGRESSION, Mode.LINEAR_REGRESSION])
def test_modes_that_there_are_not(quick, mode):
    with pytest.raises(BadInput, match=r"expected one of \['default', 'hybrid', .*'mmr'\]"):
        ask(quick, mode=mode)


def test_maximal_marginal_relevance(tmp_path):
    twins = [node(f"twin {n}", "tank tank tank water") for n in range(3)]
    with opened(tmp_path / "mmr.db") as store:
        store.add([*twins, node("other", "lamp beside a tank")])
        assert "other" in ask(store, "tank", 2, mode=Mode.MMR, mmr=0.1).ids
        assert "other" in ask(store, "tank", 2, mode=Mode.MMR, mmr_threshold=0.1).ids
        relevant = ask(store, "tank", 2, mode=Mode.MMR, mmr=1.0).ids
        assert relevant == ask(store, "tank", 2).ids and "other" not in relevant


def test_words_alone_need_no_model(tmp_path):
    with RagVectorStore.open(tmp_path / "words.db", preset="lexical") as store:
        assert not store.is_embedding_query
        [first, *rest] = handbook()
        first.embedding = store.embed_model.get_text_embedding(first.text)
        store.add([first, *rest])
        assert ask(store, "filter", query_embedding=[1.0]).ids == ["filter"]
        with pytest.raises(BadInput, match="alpha"):
            ask(store, mode=Mode.HYBRID, alpha=-1)
    with pytest.raises(ConfigError, match="no leg is dense"):
        RagVectorStore.open(tmp_path / "words.db", WordEmbedding(), preset="lexical")


def test_a_filter_that_a_query_cannot_have_is_no_filter_that_is_dropped(quick):
    with pytest.raises(TypeError, match="string_expr"):
        quick.query(VectorStoreQuery(query_str="tank"), string_expr="year > 2022")


def test_over_an_open_index_which_stays_the_callers(tmp_path):
    with RagIndex.open(tmp_path / "own.db", preset="lexical") as index:
        with RagVectorStore(index) as store:
            store.add(handbook())
            assert store.client is index
        assert index.count() == 4
        with pytest.raises(ConfigError, match="RagVectorStore"):
            RagVectorStore.from_dict(store.to_dict())


def test_serialised_without_secrets(tmp_path):
    config = TWO_LEGS.model_copy(
        update={"store": TWO_LEGS.store.model_copy(update={"token": SecretStr("canary")})}
    )
    with RagVectorStore.open(tmp_path / "kept.db", WordEmbedding(), config=config, tenant="a") as store:
        store.add(handbook())
        data = json.loads(json.dumps(store.to_dict()))
        shown = f"{data} {store!r} {store} {vars(store)} {store.to_json()} {store.model_dump()}"
        assert "canary" not in shown
    assert data["class_name"] == RagVectorStore.class_name()
    with RagVectorStore.from_dict(data, embed_model=WordEmbedding()) as again:
        assert every(again, None) == {"filter", "lamp", "tank", "plan"}
    with pytest.raises(CollectionMismatch):
        RagVectorStore.from_dict(data)


def test_a_store_is_pickled_as_its_place(tmp_path):
    with RagVectorStore.open(tmp_path / "words.db", preset="lexical") as store:
        store.add(handbook())
        with pickle.loads(pickle.dumps(store)) as again:
            assert every(again, None) == {"filter", "lamp", "tank", "plan"}
        with pytest.raises(ConfigError, match="RagVectorStore"):
            pickle.loads(pickle.dumps(RagVectorStore(store.client)))


def test_a_querys_embedding_that_looks_like_another_models_is_told_of_once(tmp_path, caplog):
    with opened(tmp_path / "own.db") as store:
        store.add(handbook())
        over = RagVectorStore(store.client)
        ask(over, "lamp", query_embedding=WordEmbedding().get_query_embedding("lamp"))
        ask(over, "lamp", query_embedding=[1, -1, 1, -1, 1, -1, 1, -1.0])
        assert "cosine" not in caplog.text  # The first one was the collection's own.
        other = RagVectorStore(store.client)
        for _ in range(2):
            ask(other, "lamp", query_embedding=[0, -1, 0, 0, 0, 0, 0, 1.0])
        assert caplog.text.count("embed_model=store.embed_model") == 1
