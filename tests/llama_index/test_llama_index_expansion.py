"""A question and its other wordings: by the retriever's own expander, and by LlamaIndex's over it."""

import pytest
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import QueryBundle

from rag_plugins.errors import BadQuery
from rag_plugins.llama_index import HybridRetriever


class Wordings(CustomLLM):
    """Answers every prompt with these lines."""

    lines: list[str]

    @property
    def metadata(self):
        return LLMMetadata()

    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text="\n".join(self.lines))

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield self.complete(prompt)


def ids(nodes):
    return [node.node_id for node in nodes]


def searched(nodes):
    """Every query that the traces name."""
    return {
        stage["query"]
        for node in nodes
        for stage in node.metadata["rag_plugins"]["trace"]
        if "query" in stage
    }


async def test_the_question_is_searched_with_what_it_is_expanded_to(index):
    retriever = HybridRetriever(index, expand=lambda question: ["distilled water", QueryBundle("red lamp")])

    found = retriever.retrieve("which interval?")
    assert set(ids(found)) == {"filter", "tank", "lamp"}
    assert searched(found) == {"which interval?", "distilled water", "red lamp"}
    assert ids(await retriever.aretrieve("which interval?")) == ids(found)


@pytest.mark.parametrize("answer", ["red lamp", None, [1, 2], RuntimeError("no such model")])
async def test_an_expander_that_fails_leaves_the_question(index, caplog, answer):
    def expand(question):
        if isinstance(answer, Exception):
            raise answer
        return answer

    retriever = HybridRetriever(index, expand=expand)

    assert ids(retriever.retrieve("interval")) == ids(await retriever.aretrieve("interval")) == ["filter"]
    assert searched(retriever.retrieve("interval")) == set()
    assert "the question is searched alone" in caplog.text


def test_with_rules_every_query_is_parsed(index, caplog):
    retriever = HybridRetriever(index, rules=True, expand=lambda question: ["distil*", '"red lamp', "lamp~1"])

    found = retriever.retrieve('"maintenance interval"')
    assert set(ids(found)) == {"filter", "tank", "lamp"}
    assert searched(found) == {'"maintenance interval"', "distil*", "lamp~1"}
    assert "left out of what expand gave" in caplog.text
    with pytest.raises(BadQuery):
        retriever.retrieve('"maintenance interval')


@pytest.mark.parametrize("mode", ["simple", "reciprocal_rerank", "relative_score", "dist_based_score"])
@pytest.mark.parametrize("use_async", [False, True])
def test_query_fusion_retriever_over_it_gives_each_passage_once(index, mode, use_async):
    fusing = QueryFusionRetriever(
        [HybridRetriever(index)],
        llm=Wordings(lines=["fill tank", "tank empty"]),
        num_queries=3,
        mode=mode,
        similarity_top_k=5,
        use_async=use_async,
    )
    assert sorted(ids(fusing.retrieve("distilled tank"))) == ["lamp", "tank"]


async def test_query_fusion_retriever_runs_it_async(index):
    fusing = QueryFusionRetriever(
        [HybridRetriever(index)], llm=Wordings(lines=["fill tank"]), num_queries=2, similarity_top_k=5
    )
    assert sorted(ids(await fusing.aretrieve("distilled tank"))) == ["lamp", "tank"]


def test_a_node_found_twice_has_one_hash_and_another_has_not(index):
    retriever = HybridRetriever(index, k=1)
    [once], [again], [other] = map(retriever.retrieve, ("distilled", "fill tank", "red lamp"))

    assert once.metadata["rag_plugins"]["trace"] != again.metadata["rag_plugins"]["trace"]
    assert once.node.hash == again.node.hash != other.node.hash
    once.node.metadata["page"] = 7
    assert once.node.hash != again.node.hash
