"""What users of the neighbouring systems report, and what happens here: a test a row of facts/peers.md.

Each docstring says what happens elsewhere, with a thread that tells of it, and what happens here.
"""

import asyncio
from functools import partial

import pytest
from both_faces import FACES
from faces_support import watched
from langchain_core.documents import Document
from llama_index.core import Document as LlamaDocument
from llama_index.core import Settings
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from rag_plugins import Config, RagIndex, llama_index, where
from rag_plugins.config import Bm25Leg, DenseLeg, FusionConfig
from rag_plugins.errors import BadFilter, StoreError


@pytest.fixture(params=FACES.values(), ids=FACES)
def face(request):
    """LangChain's and LlamaIndex' in turn."""
    return request.param


@pytest.fixture
def reopen(milvus_uri, collection):
    return partial(RagIndex.open, milvus_uri, collection=collection)


@pytest.fixture
def index(reopen):
    """BM25 alone, on a file and on a server."""
    with reopen(preset="lexical") as index:
        yield index


def ids(found):
    return [each.id for each in found]


def texts(found):
    return [each.text for each in found]


KINDS = [
    "manual",
    'x" or kind != "x',
    "x' or tenant != 'ours",
    'x") or (tenant != "ours',
    'manual" || "a" == "a',
    "manual\\",
    "manual%",
]


def test_filter_injection_and_tenant_leaks(face, reopen):
    """mem0#5744: a value from a user becomes a part of the filter. Here it is only ever a value."""
    with reopen(preset="lexical", tenant="ours") as ours, reopen(preset="lexical", tenant="theirs") as theirs:
        for index in ours, theirs:
            text = f"the pump of {index.tenant}"
            face.add(index, [face.item(str(n), text, kind=kind) for n, kind in enumerate(KINDS)])
        for n, kind in enumerate(KINDS):
            found = face.search(ours, "pump", filter=face.equal("kind", kind))
            assert [(each.id, each.text) for each in found] == [(str(n), "the pump of ours")]
        assert face.search(ours, "pump", filter=face.equal("tenant", "theirs")) == []
        for broken in face.equal('kind"] != "" or metadata["kind', "x"), 'tenant != "ours"':
            with pytest.raises(BadFilter):
                face.search(ours, "pump", filter=broken)
        secret = theirs.search("pump")[0].passage
        assert ours.get([secret.id]) == [] and ours.remove([secret.id]) == 0
        assert ours.clear() == theirs.count() == len(KINDS)


def test_a_filter_value_of_none_silently_dropped(face, index):
    """llama-index's Milvus store: the search goes on without the filter. Here it is an error, and none runs."""
    face.add(index, [face.item("a", "a pump", owner="ada"), face.item("b", "a pump")])
    with pytest.raises(BadFilter, match="owner.*(NoneType|no value)"):
        face.search(index, "pump", filter=face.equal("owner", None))
    with pytest.raises(BadFilter, match="NoneType"):
        face.search(index, "pump", filter=where("owner") == None)  # noqa: E711
    assert ids(face.search(index, "pump", filter=~where("owner").exists())) == ["b"]


def test_first_add_fails_with_newer_pymilvus(face, reopen, monkeypatch):
    """langchain-milvus#128: its ORM half knows nothing of MilvusClient's connection. Here no ORM is used."""

    def refuse(*args, **kwargs):
        raise AssertionError("the ORM was used")

    monkeypatch.setattr("pymilvus.orm.collection.Collection.__init__", refuse)
    monkeypatch.setattr("pymilvus.AsyncMilvusClient.__init__", refuse)
    with reopen(preset="lexical") as index:
        face.add(index, [face.item("first", "the first pump")])
        assert ids(face.search(index, "pump")) == ["first"]


def test_async_client_reused_after_its_loop_closed(face, index):
    """pymilvus#3087: "attached to a different loop". Here a second loop finds what the first one found."""
    face.add(index, [face.item("a", "a pump"), face.item("b", "a valve")])

    async def both():
        return await asyncio.gather(face.asearch(index, "pump"), face.asearch(index, "valve"))

    for _ in range(2):
        assert [ids(found) for found in asyncio.run(both())] == [["a"], ["b"]]


def by_words(words):
    """A text to how often it has each word, and a little of something else, as a unit vector."""

    def vector(text):
        counts = [*(float(text.split().count(word)) for word in words), 0.1]
        return [count / sum(each**2 for each in counts) ** 0.5 for count in counts]

    return vector


DENSE = Config(legs=(DenseLeg(),), rerank=())


async def test_encoders_block_the_event_loop(face, tmp_path):
    """ogx#3332: one request's encoding stops all others. Here the loop ticks on while a query is encoded."""
    encoders = {"dense": face.encoder(by_words(["pump", "valve"]), dim=3, seconds=0.5)}
    with RagIndex.open(tmp_path / "a.db", config=DENSE, encoders=encoders) as index:
        face.add(index, [face.item("a", "a pump"), face.item("b", "a valve")])
        await face.asearch(index, "valve")  # The first one imports, which no thread keeps from the loop.
        found, stood_still = await watched(face.asearch(index, "pump", k=1))
    assert ids(found) == ["a"]
    assert stood_still < 0.25


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
    assert ids(found) == ["same", "near", "across", "against"]
    cosines = [each.stages("leg")["dense"]["score"] for each in found]
    assert cosines == pytest.approx([1.0, 0.8, 0.0, -1.0], abs=1e-3)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
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
    """milvus#40497, llama_index#21444: only 1/(60 + rank) is left. Here each leg's score, rank and weight are."""
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
    """langchain#37046, llama_index#11538: fused by text, or twice. Here a passage is its id, a leg has one vote."""
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


def test_ids_lost_node_relationships_lost(reopen):
    """langchain-milvus#74, langchain#28418: new ids at every turn. Here both come back, from another process too."""
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
