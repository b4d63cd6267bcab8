"""LlamaIndex' own indices, pipelines, engines and retrievers over ours."""

import pytest
from llama_index.core import Settings, SimpleDirectoryReader, StorageContext, VectorStoreIndex
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import HierarchicalNodeParser, SentenceSplitter, get_leaf_nodes
from llama_index.core.postprocessor import LongContextReorder
from llama_index.core.query_engine import RetrieverQueryEngine, TransformQueryEngine
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    RouterRetriever,
    VectorIndexRetriever,
)
from llama_index.core.schema import Document, IndexNode, QueryBundle, TextNode, TransformComponent
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from words_support import WordEmbedding

from rag_plugins import Config
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import BadInput
from rag_plugins.llama_index import HybridRetriever, OcrReader, RagVectorStore, expander

TWO_LEGS = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
LINES = {
    "filter": "Change the air filter every six months.",
    "lamp": "The red lamp means that the tank is empty.",
    "tank": "Fill the tank with distilled water only.",
}


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """No model of a provider: one that is asked for anyway fails."""
    monkeypatch.setattr(Settings, "_llm", MockLLM())
    monkeypatch.setattr(Settings, "_embed_model", None)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def model():
    return WordEmbedding()


@pytest.fixture
def store(tmp_path, model):
    with RagVectorStore.open(tmp_path / "store.db", model, config=TWO_LEGS) as store:
        yield store


def documents(**changed):
    texts = {**LINES, **changed}
    return [Document(id_=id, text=text, metadata={"of": id}) for id, text in texts.items() if text]


def paragraphs(*words):
    """A text of which a `splitter` makes a part a word."""
    return "\n\n".join(f"{word} " * 12 for word in words)


@pytest.fixture
def splitter():
    return SentenceSplitter(chunk_size=18, chunk_overlap=0)


@pytest.fixture
def index(store):
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex.from_documents(documents(), context, embed_model=store.embed_model)


def held(store):
    return sorted(node.ref_doc_id or node.node_id for node in store.get_nodes())


def texts(found):
    return [each.text for each in found]


def test_a_vector_store_index_of_documents_answers(index):
    answer = index.as_query_engine(similarity_top_k=1).query("distilled water")

    assert texts(answer.source_nodes) == [LINES["tank"]]
    assert LINES["tank"] in str(answer)
    assert answer.source_nodes[0].node.ref_doc_id == "tank"


async def test_retrievers_of_a_vector_store_index(index):
    def retriever(**settings):
        return index.as_retriever(similarity_top_k=1, **settings)

    [found] = retriever().retrieve("red lamp")
    assert found.text == LINES["lamp"] and found.score > 0
    [again] = await retriever().aretrieve("red lamp")
    assert (again.text, again.score) == (found.text, found.score)
    filters = MetadataFilters(filters=[MetadataFilter(key="of", value="tank")])
    assert texts(retriever(filters=filters).retrieve("red lamp")) == [LINES["tank"]]
    assert texts(retriever(doc_ids=["filter"]).retrieve("red lamp")) == [LINES["filter"]]
    for mode in "default", "hybrid", "semantic_hybrid", "sparse", "text_search", "mmr":
        [found] = retriever(vector_store_query_mode=mode).retrieve("red lamp")
        assert found.text == LINES["lamp"], mode
    diverse = retriever(vector_store_query_mode="mmr", vector_store_kwargs={"mmr_threshold": 1.0})
    assert texts(diverse.retrieve("red lamp")) == [LINES["lamp"]]
    with pytest.raises(BadInput, match="svm"):
        retriever(vector_store_query_mode="svm").retrieve("red lamp")


def test_the_presets_own_models_embed_for_an_index(tmp_path):
    with RagVectorStore.open(tmp_path / "local.db") as store:
        context = StorageContext.from_defaults(vector_store=store)
        index = VectorStoreIndex.from_documents(documents(), context, embed_model=store.embed_model)
        found = index.as_retriever(similarity_top_k=3).retrieve("How often is it to be replaced?")
        assert texts(found)[0] == LINES["filter"]
        assert [each.node_id for each in found] == [
            hit.passage.caller_id for hit in store.client.search("How often is it to be replaced?", 3)
        ]


def test_an_index_of_a_store_that_is_there_embeds_nothing(index, store, model):
    model.calls.clear()
    again = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)

    assert model.calls == []
    assert texts(again.as_retriever(similarity_top_k=1).retrieve("distilled water")) == [LINES["tank"]]
    assert set(model.calls) == {"distilled water"}


def test_a_query_by_an_index_of_another_model_says_what_to_do(index, store):
    other = VectorStoreIndex.from_vector_store(store, embed_model=WordEmbedding(words=("a", "b")))

    with pytest.raises(BadInput, match="embed_model=store.embed_model"):
        other.as_retriever().retrieve("red lamp")
    with pytest.raises(BadInput, match="embed_model=store.embed_model"):
        other.insert(Document(text="A new one."))
    assert held(store) == ["filter", "lamp", "tank"]


def test_insert_delete_and_refresh(index, store):
    index.insert(Document(id_="new", text="A plan of the house."))
    index.delete_ref_doc("filter", delete_from_docstore=True)
    assert held(store) == ["lamp", "new", "tank"]

    assert index.refresh_ref_docs(documents(lamp="The lamp is green.")) == [False, True, False]
    assert held(store) == ["lamp", "new", "tank"]
    words = index.as_retriever(similarity_top_k=1, vector_store_query_mode="text_search")
    assert texts(words.retrieve("green")) == ["The lamp is green."]
    [node] = [node for node in store.get_nodes() if node.ref_doc_id == "new"]
    index.delete_nodes([node.node_id])
    assert held(store) == ["lamp", "tank"]


def test_a_document_that_shrank_leaves_no_nodes_of_what_it_was(store, splitter, tmp_path):
    context = StorageContext.from_defaults(vector_store=store)
    long = Document(id_="d", text=paragraphs("filter", "lamp", "tank"))
    short = Document(id_="d", text=paragraphs("plan"))
    parts = {"transformations": [splitter], "embed_model": store.embed_model}
    index = VectorStoreIndex.from_documents([long], context, **parts)
    assert len(held(store)) > 1

    assert index.refresh_ref_docs([short]) == [True]
    assert [node.text.split()[0] for node in store.get_nodes()] == ["plan"]


def test_documents_of_a_retriever_are_replaced_whole(tmp_path, monkeypatch, splitter):
    monkeypatch.setattr(Settings, "_node_parser", splitter)

    def kept(*given):
        with HybridRetriever.from_documents(given, tmp_path / "own.db", "lexical") as retriever:
            return [(passage.doc_id, passage.llm_text.split()[0]) for passage in retriever.index.find()]

    other = Document(id_="other", text=paragraphs("water"))
    assert len(kept(Document(id_="d", text=paragraphs("filter", "lamp", "tank")), other)) == 4
    assert sorted(kept(Document(id_="d", text=paragraphs("plan")))) == [("d", "plan"), ("other", "water")]
    assert kept(Document(id_="d", text=" ")) == [("other", "water")]


@pytest.mark.parametrize("strategy", list(DocstoreStrategy))
def test_a_pipeline_with_a_docstore(store, strategy):
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )
    assert len(pipeline.run(documents=documents())) == 3
    assert pipeline.run(documents=documents()) == []
    pipeline.run(documents=documents(lamp="The lamp is green.", filter=None))

    kept = {(node.ref_doc_id, node.text) for node in store.get_nodes()}
    new, old = ("lamp", "The lamp is green."), ("lamp", LINES["lamp"])
    assert ("tank", LINES["tank"]) in kept and new in kept
    assert (old in kept) == (strategy is DocstoreStrategy.DUPLICATES_ONLY)
    assert ("filter" in {id for id, _ in kept}) == (strategy is not DocstoreStrategy.UPSERTS_AND_DELETE)


class Failing(TransformComponent):
    """Fails while it is told to."""

    told: list[bool]

    def __call__(self, nodes, **kwargs):
        if self.told[-1]:
            raise ConnectionError("the model is gone")
        return nodes


@pytest.mark.parametrize("strategy", [DocstoreStrategy.UPSERTS, DocstoreStrategy.UPSERTS_AND_DELETE])
def test_a_pipeline_that_failed_is_run_again_and_all_is_there(store, strategy):
    """It deletes a changed document before it transforms it, in any vector store: until the run that
    succeeds the document is away. That its hash is recorded last makes that run find it changed still.
    """
    failing = Failing(told=[False])
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), failing, store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )
    pipeline.run(documents=documents())
    changed = documents(lamp="The lamp is green.")
    failing.told.append(True)
    with pytest.raises(ConnectionError):
        pipeline.run(documents=changed)
    assert held(store) == ["filter", "tank"]

    failing.told.append(False)
    pipeline.run(documents=changed)
    assert held(store) == ["filter", "lamp", "tank"]
    assert {node.text for node in store.get_nodes()} >= {"The lamp is green."}


def test_a_pipeline_for_duplicates_only_takes_what_failed_for_seen(store):
    """LlamaIndex records a document before it is transformed: what failed stays away until it changes."""
    failing = Failing(told=[True])
    pipeline = IngestionPipeline(
        transformations=[failing, store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,
    )
    with pytest.raises(ConnectionError):
        pipeline.run(documents=documents())
    failing.told.append(False)

    assert pipeline.run(documents=documents()) == [] and held(store) == []
    # The way out is a run without the docstore: the store itself replaces nodes of the same id.
    IngestionPipeline(transformations=[store.embed_model], vector_store=store).run(documents=documents())
    assert held(store) == ["filter", "lamp", "tank"]


def test_a_pipelines_cache_spares_the_model(store, model, tmp_path):
    def run():
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(), store.embed_model], vector_store=store
        )
        if (tmp_path / "pipe").exists():
            pipeline.load(str(tmp_path / "pipe"))
        pipeline.run(documents=documents())
        pipeline.persist(str(tmp_path / "pipe"))

    run()
    embedded = len(model.calls)
    run()
    assert len(model.calls) <= embedded + 1 and held(store) == ["filter", "lamp", "tank"]


@pytest.fixture
def hybrid(index, store):
    return HybridRetriever(store.client, k=2)


@pytest.mark.parametrize("engine", [CondensePlusContextChatEngine, ContextChatEngine])
async def test_chat_engines(hybrid, engine):
    chat = engine.from_defaults(retriever=hybrid, llm=MockLLM(), memory=ChatMemoryBuffer.from_defaults())

    for answer in (chat.chat("which water?"), await chat.achat("and the red lamp?")):
        assert len(answer.source_nodes) == 2
    first = chat.stream_chat("distilled water")
    assert "".join(first.response_gen) and LINES["tank"] in texts(first.source_nodes)


def test_chat_modes_of_a_vector_store_index(index):
    for mode in "condense_plus_context", "context":
        memory = ChatMemoryBuffer.from_defaults()
        answer = index.as_chat_engine(mode, similarity_top_k=1, memory=memory).chat("distilled water")
        assert texts(answer.source_nodes) == [LINES["tank"]]


def test_a_router_over_ours(hybrid, store):
    words = HybridRetriever(store.client, k=1, legs=["bm25"])
    tools = [RetrieverTool.from_defaults(each, description=str(n)) for n, each in enumerate([words, hybrid])]
    router = RouterRetriever(_Chooses(2), tools)

    assert texts(router.retrieve("water")) == texts(hybrid.retrieve("water"))


def _Chooses(number):
    from llama_index.core.base.base_selector import SelectorResult, SingleSelection

    class Chooses(LLMSingleSelector):
        def _select(self, choices, query):
            return SelectorResult(selections=[SingleSelection(index=number - 1, reason="told")])

    return Chooses.from_defaults(llm=MockLLM())


@pytest.mark.parametrize("mode", ["reciprocal_rerank", "relative_score", "dist_based_score", "simple"])
async def test_fusion_of_ours_with_a_vector_store_index(index, hybrid, mode):
    fusion = QueryFusionRetriever(
        [hybrid, index.as_retriever(similarity_top_k=2)], num_queries=1, mode=mode, similarity_top_k=3,
        llm=MockLLM(), use_async=False,
    )  # fmt: skip
    found = fusion.retrieve("distilled water")

    assert found[0].text == LINES["tank"]
    assert len({each.node_id for each in found}) == len(found) == 2
    assert texts(await fusion.aretrieve("distilled water")) == texts(found)


def test_children_are_merged_to_their_parents(tmp_path):
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[64, 18], chunk_overlap=0)
    nodes = parser.get_nodes_from_documents([Document(text=paragraphs("filter", "lamp", "tank"))])
    leaves = get_leaf_nodes(nodes)
    context = StorageContext.from_defaults()
    context.docstore.add_documents(nodes)
    with HybridRetriever.from_nodes(leaves, tmp_path / "leaves.db", "lexical", k=6) as retriever:
        assert len(retriever.retrieve("filter lamp tank")) == len(leaves) > 1
        [merged] = AutoMergingRetriever(retriever, context).retrieve("filter lamp tank")
        assert merged.node_id == next(node.node_id for node in nodes if node not in leaves)


def test_long_context_is_ordered_by_our_scores(index, store):
    found = HybridRetriever(store.client, k=3).retrieve("red lamp tank")
    reordered = LongContextReorder().postprocess_nodes(found)

    scores = [each.score for each in reordered]
    assert sorted(scores, reverse=True) == [each.score for each in found]
    assert min(scores[0], scores[-1]) >= max(scores[1:-1])


def test_an_engine_with_a_made_up_answer_for_the_dense_leg(hybrid, model):
    """HyDE: the dense leg reads what is made up, the others the question."""
    engine = RetrieverQueryEngine.from_args(hybrid, llm=MockLLM())
    asked = TransformQueryEngine(engine, HyDEQueryTransform(llm=MockLLM(), include_original=True))
    model.calls.clear()

    assert asked.query("distilled water").source_nodes
    assert len(model.calls) == 2 and "distilled water" in model.calls


def test_a_querys_own_embedding_is_the_dense_legs(hybrid, model):
    dense = [0, 0, 0, 0, 0, 1.0, 0, 0]  # month: the filter
    hybrid.k, hybrid.legs = 1, ["dense"]
    model.calls.clear()

    assert texts(hybrid.retrieve(QueryBundle("red lamp", embedding=dense))) == [LINES["filter"]]
    assert texts(hybrid.retrieve(QueryBundle("", embedding=dense))) == [LINES["filter"]]
    assert model.calls == []
    made_up = QueryBundle("red lamp", custom_embedding_strs=["month", "six months"])
    assert texts(hybrid.retrieve(made_up)) == [LINES["filter"]]
    assert model.calls == ["month", "six months"]
    hybrid.legs = ["bm25"]
    assert texts(hybrid.retrieve(made_up)) == [LINES["lamp"]]
    with pytest.raises(BadInput, match=r"\(2,\).*\(8,\).*no embedding"):
        hybrid.retrieve(QueryBundle("red lamp", embedding=[1.0, 0.0]))


def test_parts_of_a_question(store, index):
    llm = MockLLM(max_tokens=64)
    retriever = HybridRetriever(store.client, expand=lambda question: ["red lamp", "distilled water"])
    found = retriever.retrieve("which month?")

    assert {each.node.ref_doc_id for each in found} == {"filter", "lamp", "tank"}
    assert HybridRetriever(store.client, expand=expander(llm)).retrieve("which month?")


def test_an_index_of_index_nodes_goes_on_to_their_objects(store, hybrid):
    nodes = [
        IndexNode(id_="house", text="plan plan plan", index_id="house", obj=hybrid),
        IndexNode(id_="note", text="dense dense", index_id="note", obj=TextNode(text="About density.")),
    ]
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model, objects=nodes)

    assert (
        texts(index.as_retriever(similarity_top_k=1).retrieve("plan")) == texts(hybrid.retrieve("plan"))[:2]
    )
    assert texts(index.as_retriever(similarity_top_k=1).retrieve("dense")) == ["About density."]
    # `as_retriever` of an index with IndexNodes searches among these alone; this one among all.
    everywhere = VectorIndexRetriever(index, similarity_top_k=1, object_map=index._object_map)
    assert texts(everywhere.retrieve("red lamp")) == [LINES["lamp"]]
    assert texts(everywhere.retrieve("dense")) == ["About density."]


@pytest.mark.parametrize("extractors", [{}, {".txt": OcrReader()}], ids=["its own", "OcrReader"])
def test_files_of_a_directory_reader(tmp_path, store, extractors):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("Oil the pump.")
    loaded = SimpleDirectoryReader(tmp_path / "files", file_extractor=extractors).load_data()
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(loaded, context, embed_model=store.embed_model)

    [found] = index.as_retriever().retrieve("pump")
    assert (found.text, found.metadata["file_name"]) == ("Oil the pump.", "note.txt")
