"""Anyone's objects of LangChain in our index, and in LlamaIndex."""

import math

import pytest
from langchain_classic.retrievers.document_compressors import (
    CrossEncoderReranker,
    DocumentCompressorPipeline,
    LLMChainFilter,
)
from langchain_classic.retrievers.document_compressors.cross_encoder import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_text_splitters import CharacterTextSplitter
from llama_index.core.schema import NodeWithScore, TextNode

import rag_plugins
from rag_plugins import Config, EmbedText, RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg, GivenRerankerConfig
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.langchain import CrossEncoderCompressor, HybridRetriever, expander, from_langchain
from rag_plugins.llama_index import CrossEncoderPostprocessor
from rag_plugins.models.protocols import Candidate

LEXICAL = Config.preset("lexical")


def overlap(query, text):
    return len(set(query.lower().split()) & set(text.lower().rstrip(".").split()))


class Overlap(BaseCrossEncoder):
    """How many words of the query a text has."""

    def score(self, text_pairs):
        return [overlap(query, text) for query, text in text_pairs]


class Compressor(BaseDocumentCompressor):
    """Keeps those that have a word of the query, the fullest first; `write` makes what it gives back."""

    write: object = None
    seen: list = []

    def compress_documents(self, documents, query, callbacks=None):
        self.seen.append([document.page_content for document in documents])
        scored = [(overlap(query, document.page_content), document) for document in documents]
        kept = sorted((each for each in scored if each[0]), key=lambda each: -each[0])
        return [self.write(document, score) for score, document in kept]


def as_it_is(document, score):
    document.metadata["relevance_score"] = score
    return document


WRITERS = {
    "in place": as_it_is,
    "a copy without an id": lambda document, score: Document(
        page_content=document.page_content, metadata={**document.metadata, "relevance_score": score}
    ),
    "other metadata": lambda document, score: Document(
        id=document.id, page_content=document.page_content, metadata={"relevance_score": score}
    ),
    "nothing but text": lambda document, score: Document(
        page_content=document.page_content, metadata={"relevance_score": score}
    ),
    "nothing but an extract": lambda document, score: Document(
        page_content="…", metadata={**document.metadata, "relevance_score": score}
    ),
}

TEXTS = ["red lamp", "water", "red lamp", "the red water lamp"]


def values(reranker, query, *texts):
    return reranker.score(query, [Candidate((EmbedText(text),)) for text in texts]).values.tolist()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_compressors_scores_find_their_texts(write):
    reranker = from_langchain(Compressor(write=write), name="mine")
    assert values(reranker, "red water lamp", *TEXTS) == [2.0, 1.0, 2.0, 3.0]
    assert values(reranker, "red lamp", *TEXTS) == [2.0, -1.0, 2.0, 2.0]
    assert values(reranker, "nothing", *TEXTS) == [-1.0] * 4


def test_an_invented_document_and_a_broken_score():
    invent = Compressor(write=lambda document, score: Document(page_content="invented"))
    with pytest.raises(BadInput, match="which it was not given"):
        values(from_langchain(invent), "red", *TEXTS)
    broken = Compressor(
        write=lambda document, score: Document(
            id=document.id,
            page_content=document.page_content,
            metadata={"relevance_score": math.nan if score == 1 else score},
        )
    )
    scores = from_langchain(broken, name="mine").score(
        "red lamp", [Candidate((EmbedText(text),)) for text in ("red", "red lamp")]
    )
    assert scores.values.tolist() == [2.0, 2.0]
    assert scores.notices == ("mine: 1 score was not finite and counts as the lowest",)


def test_compressors_of_langchain_itself():
    by_score = CrossEncoderReranker(model=Overlap(), top_n=2)
    assert values(from_langchain(by_score), "red water lamp", *TEXTS) == [1.0, -1.0, -1.0, 2.0]

    judge = FakeListChatModel(responses=["NO", "YES", "NO", "YES"])
    by_word = LLMChainFilter.from_llm(judge)
    assert values(from_langchain(by_word), "?", *TEXTS) == [-1.0, 2.0, -1.0, 1.0]

    pieces = DocumentCompressorPipeline(
        transformers=[
            CharacterTextSplitter(separator=" ", chunk_size=6, chunk_overlap=0),
            Compressor(write=as_it_is),
        ]
    )
    assert values(from_langchain(pieces), "lamp", *TEXTS) == [1.0, -1.0, 1.0, 1.0]


def test_a_cross_encoder_is_asked_for_pairs():
    reranker = from_langchain(Overlap())
    assert (reranker.name, reranker.scale) == ("Overlap", "logit")
    assert values(reranker, "red lamp", *TEXTS) == [2.0, 0.0, 2.0, 2.0]
    assert values(reranker, "red lamp") == []


@pytest.fixture
def handbook(tmp_path):
    """What retrieval reads is not what the LLM does."""
    path = tmp_path / "handbook.db"
    with RagIndex.open(path, config=LEXICAL) as index:
        index.add(
            [
                index.passage("It glows.", view="red lamp", caller_id="lamp"),
                index.passage("Red, red.", view="red lamp of the tank", caller_id="tank"),
                index.passage("Fill it.", view="red cap, water", caller_id="cap"),
            ]
        )
    return path


def found(hits):
    return [hit.passage.caller_id for hit in hits]


def test_it_reranks_a_search_over_the_retrieval_side(handbook):
    compressor = Compressor(write=as_it_is, seen=[])
    mine = from_langchain(compressor, name="mine")
    with RagIndex.open(handbook, config=LEXICAL, rerankers=[mine]) as index:
        assert found(index.search("red tank lamp", k=3)) == ["tank", "lamp", "cap"]
        [stage] = index.config.rerank
        assert stage == GivenRerankerConfig(name="mine", depth=25, blend=1.0)
        hits = index.search("tank", k=3)
        assert [stage.stage for stage in hits[0].trace][-1] == "mine"
    assert {text for texts in compressor.seen for text in texts} == {
        "red lamp",
        "red lamp of the tank",
        "red cap, water",
    }


def test_a_configuration_says_what_its_stage_is(handbook):
    stages = (
        GivenRerankerConfig(name="mine", depth=2, min_score=2.0),
        GivenRerankerConfig(name="then", depth=1),
    )
    config = LEXICAL.model_copy(update={"rerank": stages})
    mine, then = from_langchain(Overlap(), name="mine"), from_langchain(Overlap(), name="then")
    with RagIndex.open(handbook, config=config, rerankers=[then, mine]) as index:
        hits = index.search("red lamp", k=3)
        assert set(found(hits)) == {"lamp", "tank"}
        assert [stage.stage for stage in hits[0].trace][-2:] == ["mine", "then"]
    for rerankers in ([], [mine], [mine, then, from_langchain(Overlap())]):
        with pytest.raises(ConfigError, match="of the same names"):
            RagIndex.open(handbook, config=config, rerankers=rerankers)
    assert Config.make({"rerank": [{"kind": "given", "name": "mine"}]}).rerank[0].blend == 1.0


def test_rerankers_that_cannot_be_used(handbook):
    mine = from_langchain(Overlap(), name="mine")
    with pytest.raises(ConfigError, match="distinct names"):
        RagIndex.open(handbook, config=LEXICAL, rerankers=[mine, mine])
    with pytest.raises(ConfigError, match="got Compressor, expected a list of rerankers"):
        RagIndex.open(handbook, config=LEXICAL, rerankers=[Compressor()])


def test_the_default_pipeline_takes_ones_own_models(tmp_path):
    """No token vectors are to be had of these, and none are needed."""
    encoder = from_langchain(DeterministicFakeEmbedding(size=8), name="fake")
    mine = from_langchain(Overlap(), name="mine")
    with RagIndex.open(tmp_path / "a.db", encoders={"dense": encoder}, rerankers=[mine]) as index:
        index.add([index.passage(text, caller_id=text) for text in ("red lamp", "red", "water")])
        assert found(index.search("red lamp", k=2)) == ["red lamp", "red"]


def test_a_given_reranker_outlives_the_index(handbook):
    released = []

    class Kept(rag_plugins.CrossEncoderReranker):
        """Of a class that indexes release where they have made it."""

        score = from_langchain(Overlap()).score

        def release(self):
            released.append(self)

    with RagIndex.open(handbook, config=LEXICAL, rerankers=[Kept("ms-marco-MiniLM-L-6-v2")]) as index:
        assert found(index.search("tank", k=1)) == ["tank"]
    assert released == []


def test_rerankers_of_langchain_in_both_frameworks():
    mine = from_langchain(Compressor(write=as_it_is), name="mine")
    documents = [Document(page_content=text) for text in TEXTS]
    best = CrossEncoderCompressor(mine, top_n=2).compress_documents(documents, "red water lamp")
    assert [document.page_content for document in best] == ["the red water lamp", "red lamp"]

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.1) for text in TEXTS]
    best = CrossEncoderPostprocessor(mine, top_n=2).postprocess_nodes(nodes, query_str="red water lamp")
    assert [(found.node.text, found.score) for found in best] == [
        ("the red water lamp", 3.0),
        ("red lamp", 2.0),
    ]
    assert best[0].node.metadata["rag_plugins"]["trace"][-1]["stage"] == "mine"


@pytest.mark.parametrize(
    "model",
    [
        FakeListChatModel(responses=["an answer"]),
        FakeListLLM(responses=["an answer"]),
        PromptTemplate.from_template("{question}") | FakeListChatModel(responses=["an answer"]),
        RunnableLambda(lambda prompt: AIMessage([{"type": "text", "text": "an answer"}])),
    ],
    ids=["chat", "completion", "chain", "blocks"],
)
def test_language_models_become_functions(model):
    answer = from_langchain(model)("a question")
    assert (answer, type(answer)) == ("an answer", str)


def test_a_runnable_that_gives_no_text():
    with pytest.raises(BadInput, match="gave dict, expected a str or a message"):
        from_langchain(RunnableLambda(lambda prompt: {"text": prompt}))("a question")


def test_anything_else_is_no_model():
    with pytest.raises(ConfigError, match="got dict, expected Embeddings"):
        from_langchain({})


async def test_an_llm_expands_questions(index):
    llm = FakeListChatModel(responses=["Sure:\n1. distilled water\n2. Distilled water\n3. red lamp\n4. menu"])
    retriever = HybridRetriever(index, k=4, expand=expander(llm, n=2))
    documents = retriever.invoke("which interval?")
    stages = [stage for document in documents for stage in document.metadata["rag_plugins"]["trace"]]
    assert {stage["query"] for stage in stages if "query" in stage} == {
        "which interval?",
        "distilled water",
        "red lamp",
    }
    assert await retriever.ainvoke("which interval?") == documents


def test_the_prompt_of_an_expander():
    llm, asked = FakeListLLM(responses=["x"]), []
    wish = expander(RunnableLambda(lambda prompt: asked.append(prompt) or "x"))
    assert wish.invoke("what?") == ["x"]
    assert "Write 3 search queries" in asked[0]
    assert asked[0].endswith("Question: what?")
    assert expander(llm, "{n} parts of {question}").invoke("x") == []
    with pytest.raises(ConfigError, match="expected {question}"):
        expander(llm, "Other wordings")


class Given(Embeddings):
    """Gives what it is told to, and knows how often it was asked."""

    def __init__(self, vectors):
        self.vectors, self.asked = vectors, 0

    def embed_documents(self, texts):
        self.asked += 1
        return self.vectors

    def embed_query(self, text):
        return self.vectors[0]


class OnlyAsync(Embeddings):
    """The other half of the interface alone."""

    def embed_documents(self, texts):
        raise NotImplementedError("use aembed_documents")

    embed_query = embed_documents

    async def aembed_documents(self, texts):
        return [[1.0, 0.0] for _ in texts]


def test_embeddings_are_checked():
    two = Given([[3.0, 4.0], [0.0, 2.0]])
    encoder = from_langchain(two, name="two", dim=2)
    assert encoder.encode_documents([]).dense.shape == (0, 2)
    assert encoder.encode_queries([]).dense.shape == (0, 2)
    assert two.asked == 0
    with pytest.raises(BadInput, match=r"gave shape \(2, 2\) for 3 texts"):
        encoder.encode_documents([EmbedText(text) for text in "abc"])
    with pytest.raises(BadInput, match="gave vectors of 2 numbers, expected 3"):
        from_langchain(two, name="two", dim=3).encode_queries(["a"])
    with pytest.raises(NotImplementedError) as caught:
        from_langchain(OnlyAsync(), name="later", dim=2).encode_documents([EmbedText("a")])
    assert caught.value.__notes__ == ["later was to embed 1 texts"]


async def test_embeddings_are_called_within_an_event_loop(tmp_path):
    encoder = from_langchain(DeterministicFakeEmbedding(size=8), name="fake")
    config = Config(legs=(DenseLeg(), Bm25Leg()), rerank=())
    documents = [Document(page_content="red lamp")]
    with HybridRetriever.from_documents(
        documents, tmp_path / "a.db", config=config, encoders={"dense": encoder}
    ) as retriever:
        [found] = await retriever.ainvoke("red lamp")
        assert found.page_content == "red lamp"
