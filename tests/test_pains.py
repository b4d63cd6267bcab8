"""What users of the neighbouring systems report, and what happens here: a test a row of facts/peers.md.

Each docstring says what happens elsewhere, with a thread that tells of it, and what happens here.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from both_faces import FACES
from faces_support import PLAN, VALVE, dual_index, tiny_cross_encoder, watched
from langchain_core.documents import Document
from llama_index.core import Document as LlamaDocument
from llama_index.core import Settings
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from sparse_support import tiny_splade
from tiny_causal import save_causal

from rag_plugins import Config, RagIndex, llama_index, where
from rag_plugins.config import Bm25Leg, DenseLeg, FusionConfig, SparseLeg
from rag_plugins.errors import BadFilter, BadPassage, StoreError
from rag_plugins.ingest.ocr import passes
from rag_plugins.types import EmbedText


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


class Failing:
    """A vector by hand, until it is told to fail."""

    def __init__(self):
        self.broken = False

    def __call__(self, text):
        if self.broken:
            raise ConnectionError("the embedding service is down")
        return by_words(["pump"])(text)


def test_parent_child_stores_drift(face, reopen):
    """langchain#29801: children in the one store, parents in the other. Here both are one row of one store."""
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
    """llama_index#13752, milvus#45430: characters are counted, the insert fails. Here a text is kept whole."""
    assert len(LONG.encode()) > 70_000 > 65_535 > len(LONG)
    face.add(index, [face.item("long", LONG), face.item("short", "阀门")])
    found = {each.id: each.text for each in face.search(index, "阀门")}
    assert found == {"long": LONG, "short": "阀门"}
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


WORDS = ["pump", "valve", "red", "the", "of"]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """A tiny one that reads 512 tokens; each of `WORDS` is one."""
    return tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoder"), WORDS)


@pytest.fixture
def found(face, tmp_path):
    """A passage of 1,800 words that all are of the vocabulary, and a short one, as a search gives them."""
    with RagIndex.open(tmp_path / "found.db", preset="lexical") as index:
        face.add(index, [face.item("long", "pump valve the " * 600), face.item("short", "the red pump")])
        yield face.retrieved(index, "red pump")


def test_reranker_truncates_in_silence(face, found, cross_encoder, caplog):
    """FlagEmbedding#740: what exceeds max_length is not read. Here the trace says so, or windows read it all."""

    def read(**settings):
        reranked = face.reranked(face.Reranker(cross_encoder, **settings), found, "red pump")
        stages = {each.id: each.stages("rerank").popitem()[1] for each in reranked}
        assert "tokens" not in stages["short"] and {len(each.text.split()) for each in reranked} == {3, 1800}
        return stages["long"]

    cut, windows = read(), read(long="windows")
    assert (cut["tokens"], cut["read"]) == (1800, 512 - len(["red", "pump"]) - 3)
    assert windows["read"] == windows["tokens"] == 1800 and windows["windows"] > 3
    unread = face.reranked(face.Reranker(cross_encoder), found, "red pump " * 300)
    assert ids(unread) == ids(face.seen(found)) and "not reranked" in caplog.text


def by_hand(folder, query, text):
    """The score of a pair alone: how sure it is of yes rather than no, where the last token is."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    yes, no = (tokenizer.convert_tokens_to_ids(answer) for answer in ("yes", "no"))
    with torch.inference_mode():
        logits = model.eval()(**tokenizer(query, text, return_tensors="pt")).logits[0, -1]
    return float(torch.sigmoid(logits[yes] - logits[no]))


def test_causal_rerankers_break_in_wrappers(face, tmp_path):
    """xinference#3139: no token to pad with, or padding in the last place. Here a batch scores as each alone."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.modules import LogitScore, Transformer

    plain, saved = save_causal(tmp_path / "plain", "Qwen3", padding=False), tmp_path / "saved"
    transformer = Transformer(str(plain), transformer_task="text-generation")
    answers = [transformer.tokenizer.convert_tokens_to_ids(answer) for answer in ("yes", "no")]
    CrossEncoder(modules=[transformer, LogitScore(*answers)], device="cpu").save_pretrained(str(saved))
    passages = ["red", "The pump is changed every month.", "Which valve is red? " * 9, "no"]
    given = face.given(face.item(text, text) for text in passages)
    best = face.reranked(face.Reranker(str(saved)), given, "Which pump?")
    expected = {text: by_hand(plain, "Which pump?", text) for text in passages}
    assert len(best) == 4 and max(expected.values()) - min(expected.values()) > 0.1
    assert {each.id: each.score for each in best} == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def watched_outputs():
    """`watched_outputs(kind)`: the sizes of what every call of modules of this class gives, as they come."""
    from torch.nn.modules.module import register_module_forward_hook

    hooks = []

    def watch(kind, size):
        sizes = []
        hook = register_module_forward_hook(
            lambda module, _, output: sizes.append(size(output)) if isinstance(module, kind) else None
        )
        hooks.append(hook)
        return sizes

    yield watch
    for hook in hooks:
        hook.remove()


def test_reranker_memory_grows_with_the_batch_model_reloaded_per_call(
    face, tmp_path, watched_outputs, monkeypatch
):
    """agno PR#6638: all pairs at once, and a model per call. Here batches have a budget, and one model serves."""
    from transformers.models.bert.modeling_bert import BertEmbeddings

    from rag_plugins.models.rerank import cross_encoder as module

    loads = []
    load = module.load_pair_model
    monkeypatch.setattr(module, "load_pair_model", lambda source: loads.append(source) or load(source))
    tokens = watched_outputs(BertEmbeddings, lambda output: output.shape[0] * output.shape[1])
    folder, text = tiny_cross_encoder(tmp_path, WORDS), "pump valve the of red " * 60
    rerankers = [face.Reranker(folder) for _ in range(2)]
    for many in (4, 40):
        for reranker in rerankers:
            tokens.clear()
            face.reranked(reranker, face.given(face.item(str(n), text) for n in range(many)), "red")
            assert sum(tokens) >= many * 304 and max(tokens) <= 1024
    assert len(loads) == 1


def test_sparse_encoders_run_out_of_memory(face, tmp_path, watched_outputs):
    """FlagEmbedding#532: texts x tokens x vocabulary at once. Here a batch has 32 MB of logits, a text 256 terms."""
    from transformers import AutoModelForMaskedLM
    from transformers.models.bert.modeling_bert import BertLMPredictionHead

    folder = tiny_splade(tmp_path / "splade")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.resize_token_embeddings(30_000, mean_resizing=False)
    model.save_pretrained(folder)
    logits = watched_outputs(BertLMPredictionHead, lambda output: output.numel())
    texts_given = ["red pump valve " * 10] * 60
    vectors = face.sparse(str(folder), texts_given)
    assert sum(logits) == 60 * 32 * 30_000 and max(logits) <= 2**23
    assert len(vectors) == 60 and all(1 <= len(vector) <= 256 for vector in vectors)


OFFLINE = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError(f"the network was asked for {args[1:] or args}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
from both_faces import FACES
face = FACES[sys.argv[1]]
texts = ["A kitten sleeps on the sofa.", "Income must be declared in May.", "The engine needs new oil."]
with face.opened([face.item(text, text) for text in texts], sys.argv[2]) as retriever:
    found = face.search(retriever.index, "Where does the young cat rest?")
print(found[0].text, [stage["kind"] for stage in found[0].metadata["rag_plugins"]["trace"]][-1])
"""


@pytest.mark.parametrize("name", FACES)
def test_cannot_run_offline(name, tmp_path):
    """sentence-transformers#3199: a loaded model still asks the hub. Here the default preset needs no socket."""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "none"), "PYTHONPATH": str(Path(__file__).parent)}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, name, str(tmp_path / "a.db")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "A kitten sleeps on the sofa. rerank", done.stderr


SCANNED = ("The quick brown fox jumps", "over the lazy dog, twice.", "Part number AX-4711 rev 3")


def manual(path):
    """A PDF: a page with its text, one that is a scan upside down, and one that is blank."""
    scan = Image.new("L", (760, 300), 255)
    for row, line in enumerate(SCANNED):
        ImageDraw.Draw(scan).text((40, 40 + 70 * row), line, font=ImageFont.load_default(size=40), fill=0)
    canvas = Canvas(str(path), pagesize=(400, 300))
    canvas.drawString(50, 250, "Grease the pump every month.")
    canvas.showPage()
    canvas.drawImage(ImageReader(scan.rotate(180)), 10, 75, 380, 150)
    canvas.showPage()
    canvas.showPage()
    canvas.save()


@pytest.fixture
def tesseract(tmp_path, monkeypatch):
    """The real one behind a script that notes each call's thread limit in the file that this gives."""
    real, folder = shutil.which("tesseract"), tmp_path / "bin"
    folder.mkdir()
    script = f'#!/bin/sh\necho "$OMP_THREAD_LIMIT" >> {folder}/calls\nexec {real} "$@"\n'
    (folder / "tesseract").write_text(script)
    (folder / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    passes._engine.cache_clear()
    yield folder / "calls"
    passes._engine.cache_clear()


def test_ocr_slow_born_digital_pdfs_ocred_rotation_garbage(face, tmp_path, tesseract):
    """docling#1155, #3569: all cores for one page, text layers recognised anew, scans left lying wrong.

    Here a page's own text is taken, a scan is turned, its words have confidences, one thread reads a page.
    """
    manual(tmp_path / "manual.pdf")
    [born, scanned] = face.pages(tmp_path / "manual.pdf")
    assert born[0] == "Grease the pump every month."
    assert (born[1]["origin"], born[1].get("confidence")) == ("text-layer", None)
    assert scanned[0].split() == " ".join(SCANNED).split()
    assert scanned[1]["origin"] == "ocr" and scanned[1]["page"] == 2 and scanned[1]["confidence"] > 0.7
    assert scanned[1]["boxes"][0][1] < 0.4, "the first line is at the top of the page as it is read"
    assert set(tesseract.read_text().split()) == {"1"}
    tesseract.unlink()
    only = tmp_path / "born.pdf"
    canvas = Canvas(str(only), pagesize=(400, 300))
    canvas.drawString(50, 250, "Grease the pump every month.")
    canvas.save()
    assert face.pages(only)[0][0] == born[0] and not tesseract.exists()


def test_image_nodes_come_back_with_no_text(face, tmp_path):
    """llama_index#13072, byaldi#45: a page that is found by its looks has nothing to read. Here it has."""
    with dual_index(tmp_path / "dual.db") as index:
        for query, text in (("the blue one", PLAN), ("a red one", VALVE)):
            found = face.search(index, query, legs=["image"])
            assert text in texts(found)[:2] and all(each.text.strip() for each in found)
            assert found[0].stages("leg")["image"]["rank"] == 1
        passage = index.search("blue", legs=["image"])[0].passage
        assert not any(isinstance(view, EmbedText) and view.text.strip() for view in passage.views)
        assert PLAN in texts(face.search(index, "shutoff device blue", mode="dual"))


def test_rerankers_lose_the_retrieval_score(face, found, cross_encoder):
    """LangChain's CrossEncoderReranker drops it. Here it stands beside the new one, with the whole trace."""
    before = {each.id: each for each in face.seen(found)}
    for each in face.reranked(face.Reranker(cross_encoder), found, "red pump"):
        was = before[each.id]
        assert each.metadata["retrieval_score"] == was.score
        [rerank] = each.stages("rerank").values()
        assert each.score == rerank["score"] != was.score
        assert each.stages("leg", "fusion") == was.stages("leg", "fusion") != {}
