"""What users elsewhere report of ids, updates and limits, and what happens here.

Each docstring says what happens elsewhere, with a thread that tells of it, and then what does here.
"""

import pytest
from both_faces import FACES, by_words, ids, texts
from langchain_core.documents import Document
from llama_index.core import Document as LlamaDocument
from llama_index.core import Settings
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from rag_plugins import Config, llama_index, where
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import BadPassage, StoreError


def test_ids_lost_node_relationships_lost(reopen):
    """langchain-milvus#74, langchain#28418: new ids. Here both come back, after reopening too."""
    document = Document(id="ünïque/1", page_content="a pump", metadata={"source": "book"})
    related = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", hash="h"),
        NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="n0"),
        NodeRelationship.NEXT: RelatedNodeInfo(node_id="n2", node_type="1"),
        NodeRelationship.PARENT: RelatedNodeInfo(node_id="page"),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="n1.1"), RelatedNodeInfo(node_id="n1.2")],
    }
    node = TextNode(id_="n1", text="a valve", relationships=related, start_char_idx=7, end_char_idx=14)
    with reopen(preset="lexical") as index:
        index.add([FACES["langchain"].passage(document, index), FACES["llama_index"].passage(node, index)])
    with reopen(preset="lexical") as index:
        [one] = FACES["langchain"].retrieved(index, "pump")
        [other] = FACES["llama_index"].retrieved(index, "valve")
        assert {each.caller_id for each in index.get(["ünïque/1", "n1"])} == {"ünïque/1", "n1"}
    assert one.id == document.id
    assert (other.node_id, other.node.ref_doc_id, other.node.relationships) == ("n1", "book", related)
    assert (other.node.start_char_idx, other.node.end_char_idx) == (7, 14)


def test_updates_of_a_document_lose_or_duplicate_nodes(reopen, tmp_path, monkeypatch):
    """llama_index#14931, #16833: old parts stay, or all go. Here a document is what it was read as last."""
    file = tmp_path / "manual.txt"
    file.write_text("Grease the pump.\fReplace the valve.\fEmpty the tank.")
    with reopen(preset="lexical") as index:
        index.ingest([file], root=tmp_path)
        for n, text in enumerate(
            ["Oil the pump.\fReplace the valve.", "Oil the pump.\fReplace the valve. Twice."]
        ):
            file.write_text(text)
            assert index.ingest([file], root=tmp_path).replaced == 1
            assert index.count() == 2 and not index.search("tank") and not index.search("grease")
            assert [bool(index.search(word)) for word in ("oil", "valve", "twice")] == [True, True, n == 1]
        file.write_text("Sell the pump.")
        with monkeypatch.context() as patch:
            patch.setattr(index.store, "upsert", _full)
            with pytest.raises(StoreError):
                index.ingest([file], root=tmp_path)
        assert index.count() == 2 and index.search("oil")
        assert index.ingest([file], root=tmp_path).replaced == 1
        assert texts_of(index) == ["Sell the pump."]


def _full(rows):
    raise StoreError("disk full")


def texts_of(index):
    return sorted(passage.llm_text for passage in index.find())


@pytest.mark.parametrize("texts", [["One. Two. Three.", "One."], ["One.", "One. Two. Three."]])
def test_updates_of_a_document_of_llama_index(tmp_path, texts, monkeypatch):
    """The same where LlamaIndex' own Documents are split and given again."""
    monkeypatch.setattr(Settings, "_node_parser", SentenceSplitter(chunk_size=4, chunk_overlap=0))
    for text in texts:
        document = LlamaDocument(id_="manual", text=text)
        with llama_index.HybridRetriever.from_documents(
            [document], tmp_path / "a.db", "lexical"
        ) as retriever:
            assert " ".join(texts_of(retriever.index)).split() == sorted(text.split())
            assert len(texts_of(retriever.index)) == len(text.split())


class Failing:
    """A vector by hand, until it is told to fail."""

    def __init__(self):
        self.broken = False

    def __call__(self, text):
        if self.broken:
            raise ConnectionError("the embedding service is down")
        return by_words(["pump"])(text)


def test_parent_child_stores_drift(face, reopen):
    """langchain#29801: children in one store, parents in another. Here both are one row of one store."""
    vector = Failing()
    config = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
    sentences = {"pump": "Grease it.", "valve": "Replace it.", "tank": "Empty it."}
    parent = "The pump is greased, the valve is replaced, the tank is emptied."

    def children(index, text):
        return [
            index.passage(
                text, view=f"{word} {child}", caller_id=word, doc_id="book", metadata={"parent": "1"}
            )
            for word, child in sentences.items()
        ]

    with reopen(config=config, encoders={"dense": face.encoder(vector)}) as index:
        index.add(children(index, parent))
        assert texts(face.search(index, "valve grease", legs=["bm25"])) == [parent] * 2
        assert len(index.search("valve grease", group_by="parent")) == 1
        vector.broken = True
        with pytest.raises(ConnectionError):
            index.add(children(index, "Something else."))
        vector.broken = False
        assert texts(face.search(index, "valve", legs=["bm25"])) == [parent]
        index.add(children(index, "The new text."))
        assert set(texts(face.search(index, "valve pump"))) == {"The new text."}
        assert index.remove(["pump"]) == 1 and index.delete("book") == 2
        assert face.search(index, "valve") == [] and index.find() == [] and index.count() == 0


LONG = "阀门每月更换一次。" * 2600
"""70,200 bytes in 23,400 characters."""


def test_65_535_byte_field_limits(face, index):
    """llama_index#13752, milvus#45430: characters are counted, inserts fail. Here a text is kept whole."""
    assert len(LONG.encode()) > 70_000 > 65_535 > len(LONG)
    store = face.store(index, [face.item("long", LONG), face.item("short", "阀门")])
    found = {each.id: each.text for each in face.search(index, "阀门")}
    assert found == {"long": LONG, "short": "阀门"}
    assert {id: text for id, text, _ in face.nearest(store, "阀门")} == found
    for item in face.item("x", "text", remark=LONG), face.item(LONG, "text"):
        with pytest.raises(BadPassage, match=r"takes \d+ bytes.*at most 65.?53\d are possible"):
            face.add(index, [face.item("good", "a good one"), item])
    assert index.count() == 2, "nothing of a batch that has a bad one"


def test_metadata_schema_taken_from_the_first_document(face, index):
    """pymilvus#1705: keys and types of the first are the columns. Here each document has its own."""
    given = [
        {"page": 1},
        {"author": "Ada", "page": "iv"},
        {"page": 2.5, "nested": {"deep": [1, "two", None]}},
        {"page": [1, 2], "checked": True},
        {},
    ]
    face.add(index, [face.item(str(n), "a pump", **metadata) for n, metadata in enumerate(given)])
    found = {each.id: each.metadata for each in face.search(index, "pump")}
    kept = {id: {key: value for key, value in of.items() if key != "rag_plugins"} for id, of in found.items()}
    assert kept == {str(n): metadata for n, metadata in enumerate(given)}
    for value, id in ((1, "0"), ("iv", "1"), (2.5, "2")):
        assert ids(face.search(index, "pump", filter=face.equal("page", value))) == [id]
    assert ids(face.search(index, "pump", filter=where("page").contains(2))) == ["3"]
    assert ids(face.search(index, "pump", filter=where("checked") == True)) == ["3"]  # noqa: E712
