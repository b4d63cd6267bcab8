"""A question and its other wordings: by the retriever's own expander, and by LangChain's over it."""

import pytest
from langchain_classic.retrievers import EnsembleRetriever, MultiQueryRetriever
from langchain_classic.retrievers.multi_query import LineListOutputParser
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda

from rag_plugins.errors import BadQuery
from rag_plugins.langchain import HybridRetriever

PROMPT = PromptTemplate.from_template("Other wordings of: {question}")


def ids(documents):
    return [document.id for document in documents]


def searched(documents):
    """Every query that the traces name."""
    return {
        stage["query"]
        for document in documents
        for stage in document.metadata["rag_plugins"]["trace"]
        if "query" in stage
    }


def wordings(*lines):
    return PROMPT | FakeListChatModel(responses=["\n".join(lines)]) | LineListOutputParser()


class Prompts(BaseCallbackHandler):
    def __init__(self):
        self.seen = []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.seen.append(messages[0][0].content)


async def expanded(question):
    return ["distilled water", "red lamp"]


@pytest.mark.parametrize(
    "expand",
    [
        lambda question: ["distilled water", "red lamp"],
        wordings("distilled water", "red lamp"),
        RunnableLambda(lambda question: ("distilled water", "red lamp")),
    ],
    ids=["function", "chain", "runnable"],
)
async def test_the_question_is_searched_with_what_it_is_expanded_to(index, expand):
    retriever = HybridRetriever(index, expand=expand)

    found = retriever.invoke("which interval?")
    assert set(ids(found)) == {"filter", "tank", "lamp"}
    assert searched(found) == {"which interval?", "distilled water", "red lamp"}
    assert found[0].metadata["rag_plugins"]["trace"][-1]["kind"] == "queries"
    assert await retriever.ainvoke("which interval?") == found
    assert ids(retriever.invoke("which interval?", k=1)) == ids(found)[:1]


async def test_an_async_function_expands_in_async_calls(index):
    assert len(await HybridRetriever(index, expand=expanded).ainvoke("which interval?")) == 3


async def test_callbacks_of_the_run_reach_the_expanders_llm(index):
    prompts = Prompts()
    retriever = HybridRetriever(index, expand=wordings("red lamp"))

    retriever.invoke("which interval?", config={"callbacks": [prompts]})
    await retriever.ainvoke("which interval?", config={"callbacks": [prompts]})
    assert prompts.seen == ["Other wordings of: which interval?"] * 2


@pytest.mark.parametrize("answer", ["red lamp", None, [1, 2], RuntimeError("no such model")])
async def test_an_expander_that_fails_leaves_the_question(index, caplog, answer):
    def expand(question):
        if isinstance(answer, Exception):
            raise answer
        return answer

    retriever = HybridRetriever(index, expand=expand)
    alone = HybridRetriever(index).invoke("interval")

    assert ids(retriever.invoke("interval")) == ids(await retriever.ainvoke("interval")) == ids(alone)
    assert searched(retriever.invoke("interval")) == set()
    assert "the question is searched alone" in caplog.text
    assert ("no such model" if isinstance(answer, Exception) else "expected a list") in caplog.text


def test_with_rules_every_query_is_parsed(index, caplog):
    retriever = HybridRetriever(index, rules=True, expand=lambda question: ["distil*", '"red lamp', "lamp~1"])

    found = retriever.invoke('"maintenance interval"')
    assert set(ids(found)) == {"filter", "tank", "lamp"}
    assert searched(found) == {'"maintenance interval"', "distil*", "lamp~1"}
    assert "left out of what expand gave" in caplog.text
    with pytest.raises(BadQuery):
        retriever.invoke('"maintenance interval')


@pytest.mark.parametrize("include", [True, False])
async def test_multi_query_retriever_over_it_gives_each_passage_once(index, include):
    llm = FakeListChatModel(responses=["the empty tank\ntank\nwater for the tank"])
    retriever = MultiQueryRetriever.from_llm(HybridRetriever(index), llm, include_original=include)

    for found in retriever.invoke("distilled tank"), await retriever.ainvoke("distilled tank"):
        assert sorted(ids(found)) == ["lamp", "tank"]


def test_ensemble_retriever_over_two_of_them_fuses_them(index):
    both = EnsembleRetriever(
        retrievers=[HybridRetriever(index, k=2), HybridRetriever(index, expand=lambda _: ["red"])],
        weights=[0.5, 0.5],
    )
    assert sorted(ids(both.invoke("tank"))) == ["lamp", "tank"]


def test_a_passage_found_twice_is_equal_and_another_is_not(index):
    retriever = HybridRetriever(index, k=1)
    [once], [again], [other] = map(retriever.invoke, ("distilled", "fill tank", "red lamp"))

    assert once.metadata["rag_plugins"]["trace"] != again.metadata["rag_plugins"]["trace"]
    assert once == again and not once != again
    assert once != other and once.metadata["rag_plugins"] != other.metadata["rag_plugins"]
    assert once.metadata["rag_plugins"] == dict(once.metadata["rag_plugins"])
    assert once.metadata["rag_plugins"] != dict(again.metadata["rag_plugins"])
