import numpy as np
import pytest
from foreign_support import like_langchain, like_llama_index, make, text, vector
from langchain_core.documents import Document
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from rag_plugins import Config, RagIndex, migrate
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.langchain import from_document
from rag_plugins.llama_index import from_node
from rag_plugins.models.foreign import ForeignEncoder

ROWS = [
    {"pk": "filter", "text": "change the filter", "vector": [0.6, 0.8], "source": "handbook", "page": 3},
    {"pk": "lamp", "text": "the red lamp", "vector": [0.8, -0.6], "source": "handbook", "page": 4},
    {"pk": "blank", "text": "", "vector": [0.0, 1.0], "source": "menu", "page": 1},
]
BY_TEXT = {row["text"]: row["vector"] for row in ROWS}
DENSE = Config.make({"legs": [{"kind": "dense"}, {"kind": "bm25"}], "rerank": []})


def stored(index):
    return sorted(index.find(), key=lambda passage: passage.caller_id)


@pytest.fixture
def lexical(tmp_path):
    with RagIndex.open(tmp_path / "ours.db", preset="lexical") as index:
        yield index


@pytest.fixture
def source(tmp_path):
    uri = str(tmp_path / "theirs.db")
    like_langchain(uri, "manuals", ROWS, dynamic=True)
    return uri


class Model:
    """An embedding object that knows these texts alone, and counts what it is asked for."""

    def __init__(self, vectors):
        self.vectors, self.embedded = vectors, []

    def documents(self, texts):
        self.embedded += texts
        return [self.vectors[text] for text in texts]

    def encoder(self):
        return ForeignEncoder("two-numbers", lambda texts: [[1.0, 0.0] for _ in texts], self.documents, dim=2)


def test_langchain_milvus_gives_what_its_documents_would(source, lexical):
    done = migrate(source, lexical, collection="manuals")
    assert (done.layout, done.passages, done.documents, done.vectors) == ("langchain-milvus", 3, 2, False)
    expected = [
        from_document(
            Document(row["text"], id=row["pk"], metadata={key: row[key] for key in ("source", "page")}),
            lexical,
        )
        for row in sorted(ROWS, key=lambda row: row["pk"])
    ]
    assert stored(lexical) == expected
    assert lexical.search("red lamp", k=1)[0].passage.caller_id == "lamp"


def test_again_changes_nothing(source, lexical):
    migrate(source, lexical, collection="manuals")
    before = stored(lexical)
    assert migrate(source, lexical, collection="manuals").passages == 3
    assert stored(lexical) == before
    assert lexical.count() == 3


NODES = [
    TextNode(
        id_="n1",
        text="change the filter",
        metadata={"year": 2021, "hint": "maintenance"},
        excluded_llm_metadata_keys=["hint"],
        excluded_embed_metadata_keys=["year"],
        text_template="{content} -- {metadata_str}",
        start_char_idx=5,
        end_char_idx=22,
        embedding=[0.6, 0.8],
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook", hash="h"),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="n2"),
        },
    ),
    TextNode(id_="n2", text="咖啡机 the lamp", embedding=[0.8, -0.6]),
]


def test_llama_index_gives_what_its_nodes_would(tmp_path, lexical):
    uri = str(tmp_path / "theirs.db")
    like_llama_index(uri, "manuals", NODES)
    done = migrate(uri, lexical, collection="manuals")
    assert (done.layout, done.passages, done.documents) == ("llama-index", 2, 2)
    assert stored(lexical) == [from_node(node, lexical) for node in NODES]
    assert lexical.count() == 2


def test_vectors_of_the_same_model_are_kept(source, tmp_path):
    model = Model(BY_TEXT)
    with RagIndex.open(tmp_path / "ours.db", config=DENSE, encoders={"dense": model.encoder()}) as index:
        assert migrate(source, index, collection="manuals", keep_vectors=True).vectors
        assert len(model.embedded) == 1  # To see that they are of this model.
        hits = index.search("", k=3, vectors={"dense": np.array([0.8, -0.6])})
        assert [hit.passage.caller_id for hit in hits][0] == "lamp"


def test_vectors_of_another_model_are_refused(source, tmp_path):
    other = Model({text: [y, -x] for text, (x, y) in BY_TEXT.items()})
    with RagIndex.open(tmp_path / "ours.db", config=DENSE, encoders={"dense": other.encoder()}) as index:
        with pytest.raises(BadInput, match="embed with the model of the collection"):
            migrate(source, index, collection="manuals", keep_vectors=True)
        assert index.count() == 0
        migrate(source, index, collection="manuals")
        assert sorted(set(other.embedded)) == sorted(BY_TEXT)
        assert index.count() == 3


def test_vectors_need_a_dense_leg_to_be_of(source, lexical):
    with pytest.raises(ConfigError, match=r"dense legs \[\], expected one"):
        migrate(source, lexical, collection="manuals", keep_vectors=True)


def test_fields_by_name_and_ids_of_numbers(tmp_path, lexical):
    from pymilvus import DataType

    uri = str(tmp_path / "theirs.db")
    fields = {"key": (DataType.INT64, {}), "body": text(), "file": text(), "v": vector(2)}
    make(uri, "other", fields, [{"key": 7, "body": "change the filter", "file": "a.txt", "v": [1, 0]}])
    done = migrate(uri, lexical, collection="other", fields={"text": "body", "doc_id": "file"})
    assert done.layout is None
    [passage] = lexical.find()
    assert (passage.caller_id, passage.doc_id, passage.llm_text) == ("7", "a.txt", "change the filter")
    assert passage.metadata == {}


def test_a_source_beside_the_target_in_one_database(tmp_path):
    uri = str(tmp_path / "both.db")
    like_langchain(uri, "manuals", ROWS, dynamic=True)
    with RagIndex.open(uri, preset="lexical") as index:
        migrate(uri, index, collection="manuals")
        assert index.count() == 3


def test_more_rows_than_are_added_at_once(source, lexical, monkeypatch):
    from rag_plugins import migration

    monkeypatch.setattr(migration, "_BATCH", 2)
    done = migrate(source, lexical, collection="manuals")
    assert (done.passages, done.documents, lexical.count()) == (3, 2, 3)
