"""What a user's program calls, with the types it expects back: for the type checker alone, never run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import assert_type

from langchain_core.documents import Document as LangChainDocument
from langchain_core.documents import compressor as langchain_compressor
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import Runnable
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.vector_stores import VectorStoreQuery, VectorStoreQueryResult

import rag_plugins.langchain as lc
import rag_plugins.llama_index as li
from rag_plugins import (
    Box,
    ComputeConfig,
    Config,
    CrossEncoderConfig,
    CrossEncoderReranker,
    EmbedImage,
    EmbedText,
    Filter,
    Funnel,
    Fuzzy,
    Hit,
    Hits,
    IngestSummary,
    Passage,
    Phrase,
    Plain,
    Prefix,
    Provenance,
    Query,
    RagIndex,
    Stage,
    StageScore,
    TermMatch,
    Wildcard,
    Word,
    all_of,
    errors,
    from_pymilvus,
    migrate,
    parse_query,
    where,
)
from rag_plugins.chat import Chat, End, Evidence, Piece
from rag_plugins.config import (
    Bm25Leg,
    ChunkingConfig,
    DenseLeg,
    FusionConfig,
    ImageLeg,
    IngestConfig,
    LateInteractionConfig,
    OcrConfig,
    RobustLeg,
    SparseLeg,
)
from rag_plugins.evaluation import (
    Question,
    Record,
    Target,
    compare,
    evaluate,
    indexed,
    judge,
    made_questions,
    named,
    read_questions,
    tune_pipeline,
)
from rag_plugins.evaluation.report import write_report
from rag_plugins.training import Plan, Task, Trained, mine, pairs_of_log, plan, read_pairs, train


def configured() -> Config:
    legs = (
        DenseLeg(model="all-MiniLM-L6-v2", funnel=Funnel((Stage(64, keep=200), Stage(384)))),
        Bm25Leg(language="english", cjk="jieba", k1=1.5, b=0.75),
        SparseLeg(model="bge-m3", name="learned"),
        RobustLeg(weight=4.0),
        ImageLeg(model="clip-ViT-B-32"),
    )
    rerank = (LateInteractionConfig(depth=100), CrossEncoderConfig(depth=30, min_score=0.2, long="windows"))
    chosen = Config(
        legs=legs,
        rerank=rerank,
        mode="dual",
        fusion=FusionConfig(method="rrf", rrf_k=60),
        compute=ComputeConfig(backend="auto"),
        ocr=OcrConfig(languages=("eng", "chi_sim")),
        chunking=ChunkingConfig(),
        ingest=IngestConfig(text="auto"),
    )
    assert_type(Config.preset("local"), Config)
    assert_type(Config.from_toml(Path("pipeline.toml")), Config)
    assert_type(chosen.fusion.depth, int | None)
    return chosen


def filtered() -> Filter:
    one: Filter = (where("year") >= 2020) & ~where("draft").exists() | where("language").is_in(["en", "zh"])
    return all_of({"kind": "manual", "year": [2020, 2021]}) & one & (where("doc_id") == "handbook.pdf")


def searched(index: RagIndex) -> None:
    added: Passage = index.passage(
        "Tighten to 12 Nm.",
        view="torque",
        image=b"",
        doc_id="handbook",
        caller_id="1",
        metadata={"year": 2020, "tags": ["a", 1, None]},
        provenance=Provenance("handbook.pdf", page=3, words=(Word(0, 7, 0, Box(0, 0, 1, 1), 0.9),)),
    )
    assert_type(index.add([added], vectors={"dense": {added.id: [0.6, 0.8]}}), list[str])
    summary: IngestSummary = index.ingest(["scans/", Path("more")], root=Path("."), progress=False)
    assert_type(summary.pages_per_second, float)
    assert_type(summary.bad, tuple[errors.BadDocument, ...])
    assert_type(index.get(["1"]), list[Passage])
    assert_type(index.find(filtered(), limit=3), list[Passage])
    assert_type(index.search_many(["one", "two"], k=3, weights=[1.0, 0.5]), Hits)
    assert_type(index.diverse("filter", k=3, fetch_k=20, balance=0.5), Hits)
    hits = index.search("filter", k=3, filter=filtered(), legs={"dense": 0.3, "bm25": 0.7}, explain=True)
    assert_type(hits.notices, tuple[str, ...])
    for hit in hits:
        read(hit)
    assert_type(str(index.context(hits, whole_pages=True, budget=1000)), str)
    assert_type(index.audit(progress=True).sound, bool)
    assert_type(index.repair(forget=False).left, dict[str, str])


def measured(index: RagIndex) -> None:
    asked = [Question("flange", "How tight?", (Target("pump.pdf", page=3),), answers=("12 Nm",))]
    result = evaluate(index, judge(index, asked), measures=named(["nDCG@5"]))
    assert_type(result.stages.final.means, dict[str, float])
    record = Record.of("today", result, index)
    assert_type(record.save(Path("runs/today")), Path)
    assert_type(compare(Record.load(Path("runs/before")), record).differences["nDCG@5"].p, float)
    assert_type(write_report(Path("report.html"), record, result, index), Path)
    assert_type(made_questions(index, 100).queries, Mapping[str, str])
    assert_type(tune_pipeline(lambda config: indexed("set", config), Config()).better, bool)


def trained(index: RagIndex) -> None:
    task = Task.of("dense", Config(), model="models/base")
    pairs = read_pairs("asked.jsonl")
    assert_type(plan(task, pairs), Plan)
    assert_type(mine(index, pairs.items, 3).without, int)
    made = train(task, pairs_of_log(index, read_questions("asked.csv")), "models/ours", index=index)
    assert_type(made, Trained)
    assert_type(made.config if made.better else task.config, Config)


def read(hit: Hit) -> None:
    assert_type(hit.score, float)
    assert_type(hit.trace, tuple[StageScore, ...])
    assert_type(hit.trace[0].rank, int)
    assert_type(hit.terms, Mapping[str, tuple[TermMatch, ...]])
    assert_type(hit.passage.llm_text, str)
    assert_type(hit.passage.views, tuple[EmbedText | EmbedImage, ...])
    assert_type(hit.passage.provenance, Provenance | None)
    assert_type(hit.passage.cite(0, 4).boxes, tuple[Box, ...])
    image = hit.page_image()
    if image is not None:
        assert_type(image.size, tuple[int, int])


def asked(index: RagIndex) -> None:
    rules = Query(
        (Phrase("motor flange", slop=2), Prefix("torq"), Wildcard("fl?nge"), Fuzzy("screvs"), Plain("a"))
    )
    assert_type(index.search(rules), Hits)
    try:
        assert_type(parse_query('"motor flange" torq*'), Query)
    except errors.BadQuery as error:
        assert_type(error.position, int)
    except errors.RagPluginsError:
        raise


def reranked() -> None:
    reranker = CrossEncoderReranker(CrossEncoderConfig(model="any", device="cpu"), ComputeConfig())
    with RagIndex.open("handbook.db", config=configured(), rerankers=[reranker], tenant="a") as index:
        searched(index)
        asked(index)


def langchains(index: RagIndex, given: Embeddings, model: Runnable[str, str]) -> None:
    retriever = lc.HybridRetriever(
        index, k=5, filter=filtered(), legs=["dense", "bm25"], mode="text", expand=lc.expander(model)
    )
    assert_type(retriever.invoke("filter"), list[LangChainDocument])
    with lc.HybridRetriever.from_documents([LangChainDocument("text")], "b.db", config=configured()) as owned:
        assert_type(owned, lc.HybridRetriever)
    for event in Chat(index, lc.talk(FakeListChatModel(responses=["Yes [1]."]))).ask("filter"):
        assert_type(event, Evidence | Piece | End)
    embeddings: Embeddings = lc.MatryoshkaEmbeddings(
        "all-MiniLM-L6-v2", dimensions=128, compute=ComputeConfig()
    )
    assert_type(embeddings.embed_documents(["text"]), list[list[float]])
    assert_type(lc.SparseEmbeddings("bge-m3").embed_query("text"), dict[int, float])
    compressor: langchain_compressor.BaseDocumentCompressor = lc.CrossEncoderCompressor(
        "BAAI/bge-reranker-v2-m3", top_n=3, min_score=0.1, long="windows"
    )
    kept = compressor.compress_documents([LangChainDocument("text")], "filter")
    assert_type([document.page_content for document in kept], list[str])
    loader = lc.OcrLoader(["scans/"], ocr=OcrConfig(), chunking=ChunkingConfig(), ingest=IngestConfig())
    assert_type(loader.load(), list[LangChainDocument])
    assert_type(loader.bad, tuple[errors.BadDocument, ...])
    hits = index.search("filter")
    assert_type(lc.to_document(hits[0]), LangChainDocument)
    assert_type(len(lc.image_content(hits[0])), int)
    with lc.RagVectorStore.from_documents([LangChainDocument("text")], given, path="c.db") as store:
        assert_type(store.add_texts(["text"], [{"year": 2020}], ids=["1"]), list[str])
        assert_type(store.similarity_search("filter", k=3, filter=filtered()), list[LangChainDocument])
        found = store.similarity_search_with_score("filter", k=3)
        assert_type(found, list[tuple[LangChainDocument, float]])
        assert_type(store.max_marginal_relevance_search("filter", lambda_mult=0.3), list[LangChainDocument])
        assert_type(store.as_retriever(search_kwargs={"k": 3}).invoke("filter"), list[LangChainDocument])
        assert_type(lc.RagDocumentIndex(store=store, k=3).invoke("filter"), list[LangChainDocument])
    assert_type(lc.RagVectorStore(index, given).get_by_ids(["1"]), list[LangChainDocument])
    assert_type(lc.from_document(LangChainDocument("text"), index), Passage)
    encoder = lc.from_langchain(given, name="mine", dim=1024, matryoshka=[256, 1024])
    with RagIndex.open("own.db", config=configured(), encoders={"dense": encoder}):
        assert_type(lc.from_langchain(model), Callable[[str], str])


def llama_indexes(index: RagIndex, given: BaseEmbedding) -> None:
    retriever = li.HybridRetriever(
        index, k=5, filter=filtered(), legs=["dense"], mode="auto", images=True, expand=li.expander(MockLLM())
    )
    assert_type(retriever.retrieve("filter"), list[NodeWithScore])
    assert_type(retriever.retrieve(li.HybridQuery("filter", mode="text")), list[NodeWithScore])
    assert_type(Chat(index, li.talk(MockLLM())).quotes, bool)
    with li.HybridRetriever.from_nodes([TextNode(text="text")], "b.db", config=configured()) as owned:
        assert_type(owned, li.HybridRetriever)
    embedding: BaseEmbedding = li.MatryoshkaEmbedding("all-MiniLM-L6-v2", dimensions=128)
    assert_type(embedding.get_text_embedding("text"), list[float])
    assert_type(li.SparseEmbedding("bge-m3").get_query_embedding("text"), dict[int, float])
    reranker: BaseNodePostprocessor = li.CrossEncoderPostprocessor(
        "BAAI/bge-reranker-v2-m3", top_n=3, min_score=0.1
    )
    nodes: list[NodeWithScore] = reranker.postprocess_nodes([], query_bundle=QueryBundle("filter"))
    reader = li.OcrReader(ocr=OcrConfig(), chunking=ChunkingConfig(), ingest=IngestConfig())
    assert_type(reader.load_data(["scan.png"]), list[LlamaDocument])
    assert_type(reader.bad, tuple[errors.BadDocument, ...])
    hits = index.search("filter")
    assert_type(li.to_node(hits[0]), NodeWithScore)
    assert_type(li.to_image_node(hits[0]), NodeWithScore | None)
    node: BaseNode = nodes[0].node
    store = li.RagVectorStore.open("c.db", given, preset="local", tenant="a")
    assert_type(store.add([node]), list[str])
    assert_type(store.get_nodes(["1"]), list[BaseNode])
    assert_type(store.query(VectorStoreQuery(query_str="filter", similarity_top_k=3)), VectorStoreQueryResult)
    assert_type(li.RagVectorStore(index).embed_model, BaseEmbedding)
    embedded = li.LegEmbedding(index.legs["dense"]).get_query_embedding("filter")
    assert_type(embedded, list[float])
    assert_type(li.from_node(node, index), Passage)
    encoder = li.from_llama_index(given, name="mine", dim=1024)
    with RagIndex.open("own.db", encoders={"dense": encoder}):
        assert_type(li.from_llama_index(MockLLM()), Callable[[str], str])


class TheirFunction:
    """In the shape of pymilvus.model's."""

    def encode_queries(self, queries: list[str]) -> list[list[float]]:
        return [[1.0] for _ in queries]

    def encode_documents(self, documents: list[str]) -> list[list[float]]:
        return [[1.0] for _ in documents]


def of_milvus() -> None:
    encoder = from_pymilvus(TheirFunction(), name="theirs", dim=1)
    with RagIndex.open("own.db", encoders={"dense": encoder}) as index:
        migrated = migrate("theirs.db", index, collection="docs", fields={"text": "body"}, keep_vectors=True)
        assert_type(migrated.passages, int)
