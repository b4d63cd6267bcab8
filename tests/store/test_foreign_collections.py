import json

import numpy as np
import pytest
from foreign_support import client_of, kind, like_langchain, like_llama_index, make, text, vector
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.store.foreign import ForeignCollection, ForeignRow

ROWS = [
    {"pk": "b", "text": "the lamp", "vector": [0.0, 1.0, 0.0], "page": 4, "title": 'a "quoted" one'},
    {"pk": "a", "text": "the filter", "vector": [1.0, 0.0, 0.0], "page": 3, "title": "été"},
]


def read(uri, name, vectors=False, **settings):
    with ForeignCollection(uri, name, **settings) as foreign:
        return foreign.layout, list(foreign.rows(vectors))


def plain(row):
    return row.id, row.doc_id, row.text, dict(row.metadata)


EXPECTED = [
    ("a", None, "the filter", {"page": 3, "title": "été"}),
    ("b", None, "the lamp", {"page": 4, "title": 'a "quoted" one'}),
]


def test_langchain_milvus_with_a_field_a_key(milvus_uri, collection):
    like_langchain(milvus_uri, collection, ROWS, extra={"page": kind("INT64"), "title": text()})
    layout, rows = read(milvus_uri, collection, vectors=True)
    assert layout == "langchain-milvus"
    assert [plain(row) for row in rows] == EXPECTED
    assert np.array_equal([row.vector for row in rows], [[1, 0, 0], [0, 1, 0]])
    assert all(row.node is None for row in rows)


def test_langchain_milvus_with_dynamic_fields(milvus_uri, collection):
    like_langchain(milvus_uri, collection, ROWS, dynamic=True)
    layout, rows = read(milvus_uri, collection)
    assert layout == "langchain-milvus"
    assert [plain(row) for row in rows] == EXPECTED
    assert [row.vector for row in rows] == [None, None]


def test_langchain_milvus_with_a_metadata_field(milvus_uri, collection):
    keys = {"pk", "text", "vector"}
    rows = [
        {key: row[key] for key in keys} | {"metadata": {key: row[key] for key in row.keys() - keys}}
        for row in ROWS
    ]
    like_langchain(milvus_uri, collection, rows, extra={"metadata": kind("JSON")})
    assert [plain(row) for row in read(milvus_uri, collection)[1]] == EXPECTED


def test_ids_that_milvus_made(milvus_uri, collection):
    fields = {"pk": kind("INT64"), "text": text(), "dense": vector(3), "sparse": kind("SPARSE_FLOAT_VECTOR")}
    rows = [
        {"text": row["text"], "dense": row["vector"], "sparse": {7: 1.0}, "page": row["page"]} for row in ROWS
    ]
    make(milvus_uri, collection, fields, rows, dynamic=True, auto_id=True)
    with client_of(milvus_uri) as client:
        client.load_collection(collection)
        given = client.query(collection, filter="pk != 0", output_fields=["text"])
    layout, found = read(milvus_uri, collection, vectors=True)
    assert layout == "langchain-milvus"
    assert {row.id: row.text for row in found} == {str(row["pk"]): row["text"] for row in given}
    assert {row.text: (row.metadata, row.vector.tolist()) for row in found} == {
        row["text"]: ({"page": row["page"]}, row["vector"]) for row in ROWS
    }


NODES = [
    TextNode(
        id_="n1",
        text="the filter",
        metadata={"year": 2021, "tags": ["a", "b"], "nested": {"deep": None}},
        excluded_llm_metadata_keys=["year"],
        embedding=[1.0, 0.0, 0.0],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook")},
    ),
    TextNode(id_="n2", text="the lamp", embedding=[0.0, 1.0, 0.0]),
]


@pytest.mark.parametrize("declared", [("id", "doc_id", "text"), ("id",)])
def test_llama_index(milvus_uri, collection, declared):
    like_llama_index(milvus_uri, collection, NODES, declared=declared)
    layout, rows = read(milvus_uri, collection, vectors=True)
    assert layout == "llama-index"
    assert [plain(row) for row in rows] == [
        ("n1", "handbook", "the filter", NODES[0].metadata),
        ("n2", None, "the lamp", {}),
    ]
    assert [row.vector.tolist() for row in rows] == [node.embedding for node in NODES]
    assert rows[0].node["text"] == "the filter"
    assert rows[0].node["excluded_llm_metadata_keys"] == ["year"]
    assert rows[0].node["class_name"] == "TextNode"


def test_an_unknown_layout_is_read_by_the_names_given(tmp_path):
    uri = str(tmp_path / "other.db")
    fields = {
        "key": kind("INT64"),
        "body": text(),
        "file": text(),
        "uid": text(),
        "v": vector(2),
        "w": vector(2),
    }
    fields["more"] = kind("JSON")
    rows = [
        {"key": 5, "body": "b", "file": "f", "uid": "u", "v": [1, 0], "w": [0, 1], "more": {"k": [1]}},
        {"key": -5, "body": "a", "file": "f", "uid": "t", "v": [1, 0], "w": [0, 1], "more": {}},
    ]
    make(uri, "other", fields, rows)
    with pytest.raises(
        BadInput,
        match=r"no known layout \(llama-index, langchain-milvus\).*as text.*key \(INT64\), body \(VARCHAR\)",
    ):
        ForeignCollection(uri, "other")
    named = {"text": "body", "doc_id": "file", "id": "uid", "vector": "w", "metadata": "more"}
    layout, found = read(uri, "other", vectors=True, fields=named)
    assert layout is None
    assert [plain(row) for row in found] == [("t", "f", "a", {}), ("u", "f", "b", {"k": [1]})]
    assert found[0].vector.tolist() == [0, 1]
    with pytest.raises(BadInput, match=r"no one dense vector.*v \(FLOAT_VECTOR\), w"):
        read(uri, "other", vectors=True, fields={"text": "body"})
    for wrong, told in (
        ({"title": "body"}, "title: expected roles of fields, which are id, text"),
        ({"text": "bodies"}, "no field 'bodies' that could be text"),
        ({"text": "v"}, "no field 'v' that could be text"),
        ({"text": "body", "vector": "file"}, "no field 'file' that could be vector"),
    ):
        with pytest.raises(BadInput, match=told):
            ForeignCollection(uri, "other", fields=wrong)


def test_a_row_without_text_says_which_and_what_it_has(tmp_path):
    uri = str(tmp_path / "dynamic.db")
    make(
        uri,
        "dynamic",
        {"id": text(), "embedding": vector(2)},
        [{"id": "x", "embedding": [1, 0], "body": "b"}],
        dynamic=True,
    )
    with pytest.raises(BadInput, match="row x lacks 'id', or text as 'text'.*it has body, id"):
        read(uri, "dynamic")
    assert [row.text for row in read(uri, "dynamic", fields={"text": "body"})[1]] == ["b"]


def test_a_damaged_node_is_an_error(tmp_path):
    uri = str(tmp_path / "damaged.db")
    row = {
        "id": "x",
        "doc_id": "d",
        "text": "t",
        "embedding": [1, 0],
        "_node_content": "{",
        "_node_type": "TextNode",
    }
    fields = {"id": text(), "doc_id": text(), "text": text(), "embedding": vector(2)}
    make(uri, "damaged", fields, [row], dynamic=True)
    with pytest.raises(StoreError, match="_node_content of a row is no JSON"):
        read(uri, "damaged")


def test_what_is_not_there_is_told_and_not_made(tmp_path):
    missing = tmp_path / "missing.db"
    with pytest.raises(BadInput, match="there is no .*missing.db"):
        ForeignCollection(str(missing), "manuals")
    assert not missing.exists()
    uri = str(tmp_path / "there.db")
    like_langchain(uri, "manuals", ROWS, dynamic=True)
    with pytest.raises(BadInput, match="no collection 'manual'; it has: manuals"):
        ForeignCollection(uri, "manual")
    with ForeignCollection(uri, "manuals") as foreign:  # A refusal has let go of the file.
        assert foreign.count() == 2


def test_more_rows_than_are_asked_for_at_once(tmp_path, monkeypatch):
    from rag_plugins.store import engine

    monkeypatch.setattr(engine, "_IDS_A_PAGE", 400)
    uri = str(tmp_path / "many.db")
    rows = [{"pk": f'"{n}\\', "text": json.dumps(n), "vector": [1, n, 0]} for n in range(1100)]
    like_langchain(uri, "many", rows)
    found = read(uri, "many")[1]
    assert sorted(int(row.text) for row in found) == list(range(1100))
    assert {row.id for row in found} == {row["pk"] for row in rows}
    assert isinstance(found[0], ForeignRow)
