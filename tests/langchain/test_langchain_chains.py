"""Our retriever and store in what LangChain builds of them: chains, other retrievers, tools, agents."""

import json

import pytest
from faces_support import WordOverlap
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MultiQueryRetriever,
    ParentDocumentRetriever,
)
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnablePassthrough
from langchain_core.stores import InMemoryStore
from langchain_core.tools import create_retriever_tool
from langchain_text_splitters import CharacterTextSplitter
from store_support import CountedWords

from rag_plugins import Config, where
from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput
from rag_plugins.langchain import CrossEncoderCompressor, HybridRetriever, RagVectorStore


def ids(documents):
    return [document.id for document in documents]


def test_fields_are_configured_for_a_call(index):
    retriever = HybridRetriever(index, k=1).configurable_fields(
        k=ConfigurableField(id="k"), filter=ConfigurableField(id="filter"), legs=ConfigurableField(id="legs")
    )

    assert len(retriever.invoke("tank")) == 1
    assert len(retriever.with_config(configurable={"k": 2}).invoke("tank")) == 2
    found = retriever.invoke("tank", config={"configurable": {"k": 5, "filter": where("year") == 2023}})
    assert ids(found) == ["tank"]
    with pytest.raises(BadInput, match="unknown legs"):
        retriever.invoke("tank", config={"configurable": {"legs": ["dense"]}})


async def test_weights_of_legs_and_one_hit_a_document(index):
    retriever = HybridRetriever(index, legs={"bm25": 2.0}, group_by="source")

    assert ids(retriever.invoke("tank lamp empty")) == ["lamp"]
    assert sorted(ids(await retriever.ainvoke("tank lamp empty", group_by="page"))) == ["lamp", "tank"]
    assert ids(retriever.invoke("lamp", legs=["bm25"])) == ["lamp"]


async def test_batches_and_streams_in_a_chain(index):
    prompt = ChatPromptTemplate.from_template("{context}\nQuestion: {question}")
    retriever = HybridRetriever(index, k=1)
    context = retriever | (lambda found: found[0].page_content)
    chain = {"context": context, "question": RunnablePassthrough()} | prompt
    questions = ["lamp", "distilled"]

    asked = [value.messages[0].content for value in chain.batch(questions)]
    assert asked[0] == "The red lamp means that the tank is empty.\nQuestion: lamp"
    assert asked[1].startswith("Fill the tank")
    assert chain.batch(questions) == await chain.abatch(questions)
    assert [ids(found) for found in retriever.stream("lamp")] == [["lamp"]]
    assert [ids(found) async for found in retriever.astream("lamp")] == [["lamp"]]


async def test_in_an_ensemble_and_behind_a_compressor(index):
    ensemble = EnsembleRetriever(
        retrievers=[HybridRetriever(index, k=2), RagVectorStore(index).as_retriever()], id_key=None
    )
    found = ensemble.invoke("tank lamp")
    assert sorted(ids(found)) == ["lamp", "tank"]  # The same Document of both, once.
    assert ids(await ensemble.ainvoke("tank lamp")) == ids(found)

    compressed = ContextualCompressionRetriever(
        base_compressor=CrossEncoderCompressor(WordOverlap(), top_n=1), base_retriever=ensemble
    )
    assert ids(compressed.invoke("fill the tank with water")) == ["tank"]
    assert ids(await compressed.ainvoke("fill the tank with water")) == ["tank"]


async def test_under_several_questions_of_an_llm(index):
    model = FakeListChatModel(responses=["lamp\ndistilled"] * 2)
    several = MultiQueryRetriever.from_llm(HybridRetriever(index, k=1), model)

    assert sorted(ids(several.invoke("what do I do with the tank?"))) == ["lamp", "tank"]
    assert sorted(ids(await several.ainvoke("what do I do with the tank?"))) == ["lamp", "tank"]


async def test_children_are_found_and_parents_given(tmp_path):
    parents = [
        Document(page_content="The tank holds water.\n\nThe lamp is red.", metadata={"source": "a"}),
        Document(page_content="Coffee is brewed.\n\nThe filter is changed.", metadata={"source": "b"}),
    ]
    with RagVectorStore.from_texts([], CountedWords(), path=tmp_path / "children.db") as store:
        retriever = ParentDocumentRetriever(
            vectorstore=store,
            docstore=InMemoryStore(),
            child_splitter=CharacterTextSplitter(chunk_size=25, chunk_overlap=0),
            search_kwargs={"k": 1},
        )
        retriever.add_documents(parents, ids=["a", "b"])

        assert store.index.count() == 4
        assert store.similarity_search("lamp", k=1)[0].metadata["doc_id"] == "a"
        assert retriever.invoke("red lamp") == parents[:1]
        assert await retriever.ainvoke("filter") == parents[1:]


class CallsTheTool(BaseChatModel):
    """Asks the tool for the question, then says what the tool said."""

    def bind_tools(self, tools, **kwargs):
        assert [tool.name for tool in tools] == ["handbook"]
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        last = messages[-1]
        if isinstance(last, ToolMessage):
            message = AIMessage(f"The handbook says: {last.content}")
        else:
            call = {"name": "handbook", "args": {"query": last.content}, "id": "1", "type": "tool_call"}
            message = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=message)])

    @property
    def _llm_type(self):
        return "calls-the-tool"


async def test_an_agent_asks_the_handbook_and_answers_from_it(index):
    from langchain.agents import create_agent

    tool = create_retriever_tool(
        HybridRetriever(index, k=1), "handbook", "Looks it up.", response_format="content_and_artifact"
    )
    agent = create_agent(CallsTheTool(), [tool])
    question = {"messages": [{"role": "user", "content": "maintenance interval of the filter?"}]}

    for answer in (agent.invoke(question), await agent.ainvoke(question)):
        *_, told, said = answer["messages"]
        assert said.content == "The handbook says: Change the air filter every 6 months."
        assert ids(told.artifact) == ["filter"]
        assert "maintenance interval" not in told.content  # What retrieval reads, no LLM sees.


@pytest.mark.parametrize("made", [HybridRetriever, RagVectorStore])
def test_what_langchain_writes_of_us_is_a_name_without_secrets(milvus_server, made, collection):
    """Neither is a class that LangChain promises to read again; its traces have `dumpd` all the same."""
    uri = milvus_server.replace("http://", "http://user:canary-password@")
    config = Config.preset("lexical").model_copy(update={"store": StoreConfig(token="canary-token")})
    with RagVectorStore.from_texts(["pump"], path=uri, collection=collection, config=config) as store:
        object = made(store.index)
        written = dumpd(object)

        assert written["type"] == "not_implemented"
        assert written["id"][-1] == made.__name__
        shown = [dumps(object), json.dumps(written), repr(object), str(object), repr(vars(object))]
        assert "canary" not in "".join(shown)
    assert not HybridRetriever.is_lc_serializable()
