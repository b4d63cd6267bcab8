"""Anyone's objects of LlamaIndex in our index, and in LangChain."""

import math

import pytest
from langchain_core.documents import Document
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.postprocessor import (
    LLMRerank,
    MetadataReplacementPostProcessor,
    SimilarityPostprocessor,
)
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from rag_plugins import Config, EmbedText, RagIndex
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.langchain import CrossEncoderCompressor
from rag_plugins.llama_index import CrossEncoderPostprocessor, HybridRetriever, expander, from_llama_index
from rag_plugins.models.protocols import Candidate

TEXTS = ["red lamp", "water", "red lamp", "the red water lamp"]


class Overlap(BaseNodePostprocessor):
    """Keeps those that have a word of the query, the fullest first; `write` makes what it gives back."""

    write: object = None
    seen: list = []

    def _postprocess_nodes(self, nodes, query_bundle=None):
        words = set(query_bundle.query_str.lower().split())
        texts = [found.node.get_content(MetadataMode.EMBED) for found in nodes]
        self.seen.append(texts)
        scored = zip([len(words & set(text.lower().split())) for text in texts], nodes, strict=True)
        kept = sorted((each for each in scored if each[0]), key=lambda each: -each[0])
        return [self.write(found.node, score) for score, found in kept]


def in_place(node, score):
    return NodeWithScore(node=node, score=score)


WRITERS = {
    "the same node": in_place,
    "a node of its own": lambda node, score: NodeWithScore(
        node=TextNode(id_=node.node_id, text="…", metadata={"changed": True}), score=score
    ),
    "nothing but text": lambda node, score: NodeWithScore(node=TextNode(text=node.text), score=score),
}


class Answers(CustomLLM):
    """Gives these answers in turn."""

    answers: list[str]
    asked: list[str] = []

    @property
    def metadata(self):
        return LLMMetadata()

    def complete(self, prompt, formatted=False, **kwargs):
        self.asked.append(prompt)
        return CompletionResponse(text=self.answers[(len(self.asked) - 1) % len(self.answers)])

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield self.complete(prompt)


def score(reranker, query, *texts):
    return reranker.score(query, [Candidate((EmbedText(text),)) for text in texts])


def values(reranker, query, *texts):
    return score(reranker, query, *texts).values.tolist()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_postprocessors_scores_find_their_texts(write):
    model = Overlap(write=write)
    reranker = from_llama_index(model, name="mine")
    assert values(reranker, "red water lamp", *TEXTS) == [2.0, 1.0, 2.0, 3.0]
    assert values(reranker, "red lamp", *TEXTS) == [2.0, -1.0, 2.0, 2.0]
    assert values(reranker, "nothing", *TEXTS) == [-1.0] * 4
    assert model.seen == [TEXTS] * 3


def test_an_invented_node_and_a_broken_score():
    invent = Overlap(write=lambda node, score: NodeWithScore(node=TextNode(text="invented")))
    with pytest.raises(BadInput, match="which it was not given"):
        values(from_llama_index(invent), "red", *TEXTS)
    broken = Overlap(
        write=lambda node, score: NodeWithScore(node=node, score=math.nan if score == 1 else score)
    )
    scores = score(from_llama_index(broken, name="mine"), "red lamp", "red", "red lamp")
    assert scores.values.tolist() == [2.0, 2.0]
    assert scores.notices == ("mine: 1 score was not finite and counts as the lowest",)


def test_postprocessors_of_llama_index_itself():
    by_llm = LLMRerank(llm=Answers(answers=["Doc: 4, Relevance: 9\nDoc: 2, Relevance: 3"], asked=[]), top_n=3)
    assert values(from_llama_index(by_llm), "?", *TEXTS) == [-1.0, 3.0, -1.0, 9.0]
    # There are no scores to cut at, nor to order by.
    assert values(from_llama_index(SimilarityPostprocessor(similarity_cutoff=0.5)), "?", *TEXTS) == [-1.0] * 4
    replaced = MetadataReplacementPostProcessor(target_metadata_key="window")
    assert values(from_llama_index(replaced), "?", *TEXTS) == [4.0, 3.0, 2.0, 1.0]


def test_it_reranks_a_search_over_the_retrieval_side(tmp_path):
    model = Overlap(write=in_place)
    mine = from_llama_index(model)
    config = Config.preset("lexical")
    with RagIndex.open(tmp_path / "a.db", config=config, rerankers=[mine]) as index:
        index.add(
            [
                index.passage("It glows.", view="red lamp", caller_id="lamp"),
                index.passage("Red, red.", view="red lamp of the tank", caller_id="tank"),
            ]
        )
        hits = index.search("red tank lamp", k=2)
        assert [hit.passage.caller_id for hit in hits] == ["tank", "lamp"]
        assert [stage.stage for stage in hits[0].trace][-1] == "Overlap"
    assert {text for texts in model.seen for text in texts} == {"red lamp", "red lamp of the tank"}


def test_rerankers_of_llama_index_in_both_frameworks():
    mine = from_llama_index(Overlap(write=in_place), name="mine")
    documents = [Document(page_content=text) for text in TEXTS]
    best = CrossEncoderCompressor(mine, top_n=1).compress_documents(documents, "red water lamp")
    assert [(each.page_content, each.metadata["relevance_score"]) for each in best] == [
        ("the red water lamp", 3.0)
    ]
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    [best] = CrossEncoderPostprocessor(mine, top_n=1).postprocess_nodes(nodes, query_str="red water lamp")
    assert (best.node.text, best.score) == ("the red water lamp", 3.0)
    # Ours turned round judges as ours does.
    ours = from_llama_index(CrossEncoderPostprocessor(mine, top_n=4))
    assert values(ours, "red water lamp", *TEXTS) == [2.0, 1.0, 2.0, 3.0]


def test_language_models_become_functions():
    assert from_llama_index(MockLLM(max_tokens=2))("a b c") == "text text"
    assert from_llama_index(MockLLM())("a question") == "a question"


@pytest.mark.parametrize("model", [{}, TextNode(text="a")])
def test_anything_else_is_no_model(model):
    with pytest.raises(ConfigError, match="expected a BaseEmbedding"):
        from_llama_index(model)


async def test_an_llm_expands_questions(index):
    llm = Answers(answers=["Sure:\n- distilled water\n- Distilled water\n- red lamp\n- menu"], asked=[])
    retriever = HybridRetriever(index, k=4, expand=expander(llm, n=2))
    nodes = retriever.retrieve("which interval?")
    stages = [stage for found in nodes for stage in found.node.metadata["rag_plugins"]["trace"]]
    assert {stage["query"] for stage in stages if "query" in stage} == {
        "which interval?",
        "distilled water",
        "red lamp",
    }
    assert llm.asked[0].endswith("Question: which interval?")
    assert [found.node_id for found in await retriever.aretrieve("which interval?")] == [
        found.node_id for found in nodes
    ]
    with pytest.raises(ConfigError, match="expected {question}"):
        expander(llm, "Other wordings")


class Given(BaseEmbedding):
    """Gives what it is told to; the sync half fails where `later`."""

    vectors: list[list[float]]
    later: bool = False

    def _get_text_embedding(self, text):
        raise NotImplementedError("use get_text_embedding_batch")

    def _get_text_embeddings(self, texts):
        if self.later:
            raise NotImplementedError("use aget_text_embedding_batch")
        return self.vectors

    def _get_query_embedding(self, query):
        return self.vectors[0]

    async def _aget_query_embedding(self, query):
        return self.vectors[0]


def test_embeddings_are_checked():
    encoder = from_llama_index(Given(vectors=[[3.0, 4.0], [0.0, 2.0]]), name="two", dim=2)
    assert encoder.encode_documents([]).dense.shape == (0, 2)
    assert encoder.encode_queries([]).dense.shape == (0, 2)
    with pytest.raises(BadInput, match=r"gave shape \(2, 2\) for 3 texts"):
        encoder.encode_documents([EmbedText(text) for text in "abc"])
    later = from_llama_index(Given(vectors=[], later=True), name="later", dim=2)
    with pytest.raises(NotImplementedError) as caught:
        later.encode_documents([EmbedText("a")])
    assert caught.value.__notes__ == ["later was to embed 1 texts"]
