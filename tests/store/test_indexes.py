"""Indexes of a server's dense fields and their precision: what may be set, and what the engine is told."""

import numpy as np
import pytest
from pydantic import ValidationError
from pymilvus import DataType, MilvusClient
from pymilvus.client import entity_helper

from rag_plugins.config import IndexConfig, StoreConfig
from rag_plugins.errors import CollectionMismatch, ConfigError
from rag_plugins.funnel import Funnel, Prefixes
from rag_plugins.store.indexes import layout, search_params
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import (
    Row,
    VectorField,
    dense_vector,
    engine_vector,
    query_vector,
    row_vector,
    table,
)
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import SparseVector, normalise

DIM = 16
FIELDS = (
    VectorField("dense", "dense", DIM),
    VectorField("dense_4", "dense", 4, prefix_of="dense"),
    VectorField("bm25", "sparse"),
)


def config(**indexes):
    return StoreConfig(index={field: IndexConfig(**index) for field, index in indexes.items()})


def unit(number):
    return normalise(np.random.default_rng(number).standard_normal(DIM).astype(np.float32))


def row(number):
    passage = Passage(passage_id("", content=str(number)), "a.pdf", (EmbedText("t"),), "t")
    return Row(passage, {"dense": unit(number), "bm25": SparseVector.of({1: 1.0})})


@pytest.fixture
def open_store(milvus_server, collection, tmp_path):
    opened = []

    def open_(settings, *, uri=milvus_server, fields=FIELDS):
        arguments = {"fields": fields, "fingerprint": {"dense": "tiny"}, "collection": collection}
        settings = settings.model_copy(update={"assets": tmp_path})
        opened.append(MilvusStore.open(uri, config=settings, **arguments))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def described(store, field):
    """Type and build parameters of the index of a field, as the engine has them."""
    (name,) = store._engine._client.list_indexes(store.collection, field_name=field)
    found = store._engine._client.describe_index(store.collection, name)
    return found["index_type"], dict(found.get("params") or {})


def set_index(settings, lite=False):
    return layout(FIELDS, settings, file=False, lite=lite)[1]


GOOD = [
    {"type": "FLAT"},
    {"type": "HNSW", "build": {"M": 16, "efConstruction": 360}, "search": {"ef": 64}},
    {"type": "IVF_FLAT", "build": {"nlist": 65_536}, "search": {"nprobe": 65_536}},
    {"type": "IVF_SQ8", "search": {"nprobe": 128}},
    {"type": "IVF_PQ", "build": {"m": 4, "nbits": 8}},
    {
        "type": "IVF_RABITQ",
        "build": {"nlist": 64, "refine": True, "refine_type": "SQ8"},
        "search": {"nprobe": 64, "rbq_query_bits": 0, "refine_k": 1.5},
    },
    {"type": "DISKANN", "search": {"search_list": 100}},
]


@pytest.mark.parametrize("index", GOOD, ids=lambda index: index["type"])
def test_what_milvus_documents_is_taken_for_a_leg_and_its_prefixes(index):
    settings = set_index(config(dense=index))
    assert settings == {"dense": IndexConfig(**index), "dense_4": IndexConfig(**index)}


def test_a_prefix_field_may_have_an_index_of_its_own():
    settings = config(dense={"type": "IVF_PQ", "build": {"m": 16}}, dense_4={"type": "HNSW"})
    assert {name: index.type for name, index in set_index(settings).items()} == {
        "dense": "IVF_PQ",
        "dense_4": "HNSW",
    }
    own_choice = config(dense={"type": "HNSW"}, dense_4={"type": "AUTOINDEX"})
    assert list(set_index(own_choice)) == ["dense"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"type": "HNSW", "build": {"m": 16}}, "unknown build parameter 'm'; there are: M, efConstruction"),
        ({"type": "HNSW", "search": {"nprobe": 1}}, "unknown search parameter 'nprobe'; there are: ef"),
        ({"type": "FLAT", "build": {"nlist": 1}}, "unknown build parameter 'nlist'; there are: none"),
        ({"type": "AUTOINDEX", "search": {"ef": 1}}, "unknown search parameter 'ef'; there are: none"),
        ({"type": "HNSW", "build": {"M": 1}}, "M is 1, expected an integer from 2 to 2048"),
        ({"type": "HNSW", "build": {"M": True}}, "M is True, expected an integer"),
        ({"type": "HNSW", "build": {"M": 2.5}}, "M is 2.5, expected an integer"),
        ({"type": "HNSW", "search": {"ef": "64"}}, "ef is '64', expected an integer"),
        ({"type": "IVF_FLAT", "build": {"nlist": 0}}, "nlist is 0, expected an integer from 1 to 65536"),
        ({"type": "IVF_FLAT", "build": {"nlist": 8}, "search": {"nprobe": 9}}, "nprobe 9 is above nlist 8"),
        ({"type": "IVF_SQ8", "search": {"nprobe": 129}}, "nprobe 129 is above nlist 128"),
        ({"type": "IVF_PQ"}, "m is None, expected a divisor of the 16 numbers of dense"),
        ({"type": "IVF_PQ", "build": {"m": 3}}, "m is 3, expected a divisor of the 16"),
        (
            {"type": "IVF_PQ", "build": {"m": 8}},
            r"m is 8, expected a divisor of the 4 .*store\.index\.dense_4",
        ),
        ({"type": "IVF_RABITQ", "build": {"refine": 1}}, "refine is 1, expected one of True, False"),
        ({"type": "IVF_RABITQ", "build": {"refine_type": "SQ4"}}, "expected one of SQ6, SQ8, FP16"),
        ({"type": "IVF_RABITQ", "search": {"refine_k": 0.5}}, "refine_k is 0.5, expected a number from 1"),
        ({"type": "DISKANN", "build": {"max_degree": 9}}, "there are: none"),
    ],
)
def test_what_milvus_would_refuse_or_drop_is_refused(index, message):
    with pytest.raises(ConfigError, match=message):
        set_index(config(dense=index))


def test_unknown_types_and_fields_are_refused():
    with pytest.raises(ValidationError, match="'HNSW'"):
        IndexConfig(type="ANNOY")
    with pytest.raises(ConfigError, match=r"bm25, densee: the dense fields are dense, dense_4"):
        set_index(config(densee={"type": "FLAT"}, bm25={"type": "FLAT"}))


def test_what_lite_s_server_lacks_is_refused_before_anything_is_made(open_store, milvus_server, collection):
    with pytest.raises(ConfigError, match="dense_4 DISKANN: Milvus Lite's server has AUTOINDEX, FLAT, HNSW"):
        open_store(config(dense_4={"type": "DISKANN"}))
    with pytest.raises(ConfigError, match=r"store\.precision = 'float16': Milvus Lite's server"):
        open_store(StoreConfig(precision="float16"))
    client = MilvusClient(milvus_server)
    assert not [name for name in client.list_collections() if name.startswith(collection)]
    client.close()


@pytest.mark.parametrize("index", GOOD[:4], ids=lambda index: index["type"])
def test_lite_s_server_builds_and_searches_them(open_store, index):
    store = open_store(config(dense=index))
    store.upsert([row(number) for number in range(200)])
    for field in ("dense", "dense_4"):
        assert described(store, field) == (index["type"], index.get("build", {}))
    store.set_prefixes("dense", Prefixes(Funnel([(4, 100), (DIM,)])))
    for number in range(5):
        assert store.search("dense", unit(number), 3)[0] == (
            passage_id("", content=str(number)),
            pytest.approx(1.0, abs=0.02),
        )
        assert len(store.search("dense", unit(number), 3)) == 3


def test_lite_s_server_makes_no_index_that_nobody_asked_for(open_store):
    store = open_store(StoreConfig())
    assert store._engine._client.list_indexes(store.collection) == []


def test_a_real_server_is_told_of_types_and_parameters(own_milvus_server, open_store, monkeypatch):
    monkeypatch.setattr(MilvusClient, "get_server_version", lambda self, timeout: "v2.6.16")
    told = []
    create = MilvusClient.create_index

    def spy(self, name, index_params, **other):
        told.extend(index.to_dict() for index in index_params)
        return None if other.pop("skip", False) else create(self, name, index_params, **other)

    monkeypatch.setattr(MilvusClient, "create_index", spy)
    open_store(config(dense={"type": "HNSW", "build": {"M": 24}}), uri=own_milvus_server.uri)
    indexes = {index["field_name"]: index for index in told if index["field_name"] not in ("key", "tenant")}
    assert indexes["dense"]["index_type"] == indexes["dense_4"]["index_type"] == "HNSW"
    assert indexes["dense"]["params"] == {"M": 24}
    assert indexes["bm25"]["index_type"] == "SPARSE_INVERTED_INDEX"


def test_search_parameters_go_with_every_search(open_store, monkeypatch):
    asked = []
    search = MilvusClient.search
    monkeypatch.setattr(
        MilvusClient, "search", lambda *a, **k: asked.append(k["search_params"]["params"]) or search(*a, **k)
    )
    ivf = {"type": "IVF_FLAT", "build": {"nlist": 16}, "search": {"nprobe": 4}}
    store = open_store(config(dense=ivf, dense_4={"type": "HNSW", "search": {"ef": 10}}))
    store.upsert([row(number) for number in range(100)])
    store.search("dense", unit(1), 5)
    store.set_prefixes("dense", Prefixes(Funnel([(4, 40), (DIM,)])))
    store.search("dense", unit(1), 5)
    store.search("bm25", SparseVector.of({1: 1.0}), 5)
    # Among few rows all clusters are looked at, and no engine takes an ef below the limit.
    assert asked == [{"nprobe": 4}, {"ef": 40}, {"nprobe": 16}, {}]


def test_breadth_is_never_below_the_limit():
    assert search_params(IndexConfig(type="HNSW", search={"ef": 50}), 10) == {"ef": 50}
    assert search_params(IndexConfig(type="HNSW"), 500) == {}
    assert search_params(IndexConfig(type="DISKANN"), 10) == {"search_list": 16}
    assert search_params(IndexConfig(type="DISKANN", search={"search_list": 30}), 200) == {"search_list": 200}
    assert search_params(IndexConfig(type="IVF_SQ8"), 10, few=True) == {"nprobe": 128}
    assert search_params(None, 10, few=True) == {}


def test_an_index_is_settled_when_the_collection_is_made(open_store):
    hnsw = {"type": "HNSW", "build": {"M": 8}}
    open_store(config(dense=hnsw)).upsert([row(number) for number in range(10)])
    with pytest.raises(CollectionMismatch) as caught:
        open_store(config(dense={"type": "IVF_FLAT"}))
    assert 'indexes.dense.type: found "HNSW", expected "IVF_FLAT"' in str(caught.value)
    with pytest.raises(CollectionMismatch, match="indexes.dense.build.M: found 8, expected 9"):
        open_store(config(dense={"type": "HNSW", "build": {"M": 9}}))
    for same in (StoreConfig(), config(dense={**hnsw, "search": {"ef": 99}})):
        store = open_store(same)
        assert store.search("dense", unit(1), 1)[0][0] == passage_id("", content="1")
    open_store(StoreConfig())
    with pytest.raises(CollectionMismatch, match="found 8, expected 9"):
        open_store(config(dense={"type": "HNSW", "build": {"M": 9}}))


def test_a_file_has_no_indexes_but_its_settings_are_checked(open_store, tmp_path):
    store = open_store(
        config(dense={"type": "DISKANN"}, dense_4={"type": "HNSW"}).model_copy(
            update={"precision": "float16"}
        ),
        uri=tmp_path / "handbook.db",
    )
    store.upsert([row(1)])
    assert store._engine._client.list_indexes(store.collection) == []
    assert store.search("dense", unit(1), 1)[0][1] == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="the dense fields are"):
        open_store(config(other={"type": "HNSW"}), uri=tmp_path / "handbook.db")


HALF = VectorField("dense", "dense", DIM, precision="float16")


def test_half_precision_is_a_layout_of_real_servers():
    fields, _ = layout(FIELDS, StoreConfig(precision="float16"), file=False, lite=False)
    assert [field.precision for field in fields] == ["float16", "float16", "float32"]
    kinds = {field.name: field.dtype for field in table(fields).fields if "VECTOR" in field.dtype.name}
    assert kinds == {
        "dense": DataType.FLOAT16_VECTOR,
        "dense_4": DataType.FLOAT16_VECTOR,
        "bm25": DataType.SPARSE_FLOAT_VECTOR,
    }


def test_half_precision_vectors_are_what_the_client_takes_and_gives_back():
    vector = unit(1)
    for taken in (row_vector(HALF, row(1)), query_vector(HALF, vector), engine_vector(HALF, vector)):
        assert taken.dtype == np.float16
        payload = entity_helper.entity_to_field_data(
            {"name": "dense", "type": DataType.FLOAT16_VECTOR, "values": [taken]},
            {"name": "dense", "params": {"dim": len(vector)}},
            1,
        ).vectors.float16_vector
        for given in (payload, [payload]):
            assert dense_vector(given) == pytest.approx(vector, abs=1e-3)
            assert dense_vector(given).dtype == np.float32
    assert dense_vector(vector.tolist()) == pytest.approx(vector, abs=0)


@pytest.fixture
def half_precision_server(own_milvus_server, monkeypatch):
    """Lite behind a client that claims a real server's version and widens what Lite cannot keep."""
    sent = []
    create, upsert, search = MilvusClient.create_collection, MilvusClient.upsert, MilvusClient.search

    def wider(value):
        sent.append(value.dtype) if isinstance(value, np.ndarray) else None
        return value.tolist() if isinstance(value, np.ndarray) else value

    def widened(self, name, schema, **other):
        for field in schema.fields:
            field._dtype = DataType.FLOAT_VECTOR if field.dtype == DataType.FLOAT16_VECTOR else field.dtype
        return create(self, name, schema=schema, **other)

    def put(self, name, data, **other):
        rows = [{key: wider(value) for key, value in row.items()} for row in data]
        return upsert(self, name, data=rows, **other)

    def ask(self, name, data, **other):
        return search(self, name, data=[wider(value) for value in data], **other)

    monkeypatch.setattr(MilvusClient, "get_server_version", lambda self, timeout: "v2.6.16")
    monkeypatch.setattr(MilvusClient, "create_collection", widened)
    monkeypatch.setattr(MilvusClient, "upsert", put)
    monkeypatch.setattr(MilvusClient, "search", ask)
    return own_milvus_server.uri, sent


def test_half_precision_goes_to_the_engine_and_is_recorded(half_precision_server, open_store):
    uri, sent = half_precision_server
    half = StoreConfig(precision="float16")
    store = open_store(half, uri=uri)
    store.upsert([row(number) for number in range(20)])
    assert sent == [np.float16] * 40
    assert store.search("dense", unit(3), 1)[0][0] == passage_id("", content="3")
    store.set_prefixes("dense", Prefixes(Funnel([(4, 10), (DIM,)])))
    assert store.search("dense", unit(3), 1)[0] == (
        passage_id("", content="3"),
        pytest.approx(1.0, abs=2e-3),
    )
    assert set(sent) == {np.dtype(np.float16)}
    again = open_store(half, uri=uri)
    assert again.prefix_fields.widths("dense") == (4,)
    assert again._fields["dense_4"].precision == "float16"
    with pytest.raises(CollectionMismatch, match=r'fields\.dense\.precision: found "float16"'):
        open_store(StoreConfig(), uri=uri)
