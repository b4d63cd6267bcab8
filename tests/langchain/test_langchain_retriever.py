import time

import pytest
from faces_support import PLAN, dual_index, watched
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langchain_text_splitters import RecursiveCharacterTextSplitter

from rag_plugins import RagIndex, where
from rag_plugins.errors import BadInput, BadPassage, BadQuery, SideError
from rag_plugins.langchain import HybridRetriever


class Recorder(BaseCallbackHandler):
    def __init__(self):
        self.events = []
        self.prompts = []

    def on_retriever_start(self, serialized, query, **kwargs):
        self.events.append(("start", query, kwargs["tags"]))

    def on_retriever_end(self, documents, **kwargs):
        self.events.append(("end", [document.id for document in documents]))

    def on_retriever_error(self, error, **kwargs):
        self.events.append(("error", type(error)))

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.prompts += [message.content for batch in messages for message in batch]


def ids(documents):
    return [document.id for document in documents]


def test_retrieval_reads_the_view_and_gives_the_llms_text(index):
    [found, *_] = HybridRetriever(index).invoke("maintenance interval")

    assert found.id == "filter"
    assert found.page_content == "Change the air filter every 6 months."
    assert found.metadata["page"] == 3
    assert found.metadata["rag_plugins"]["trace"][0]["stage"] == "bm25"


def test_words_of_the_llms_text_alone_are_not_searched(index):
    assert "filter" not in ids(HybridRetriever(index).invoke("months"))


def test_recall_rules_and_what_they_matched(index, caplog):
    retriever = HybridRetriever(index, rules=True, explain=True)

    [found] = retriever.invoke('"air filter" replacemant~1')
    assert found.id == "filter"
    matched = {match["term"]: match["rule"] for match in found.metadata["rag_plugins"]["terms"]["bm25"]}
    assert matched == {"air filter": '"air filter"', "replacement": "replacemant~1"}
    with caplog.at_level("DEBUG", "rag_plugins"):
        assert retriever.invoke("zeppel*") == []
    assert "zeppel*: no term" in caplog.text
    assert not any(
        "zeppel" in record.getMessage() for record in caplog.records if record.levelname != "DEBUG"
    )
    with pytest.raises(BadQuery, match="character 1"):
        retriever.invoke('"air filter')
    assert "terms" not in HybridRetriever(index).invoke('"air filter')[0].metadata["rag_plugins"]


def test_k_and_filter_are_set_once_or_for_one_call(index):
    retriever = HybridRetriever(index, k=1, filter=where("year") == 2021)

    assert ids(retriever.invoke("tank")) == ["lamp"]
    assert ids(retriever.invoke("tank", filter=where("year") == 2023)) == ["tank"]
    assert ids(retriever.invoke("tank", k=2)) == ["lamp"]
    assert set(ids(HybridRetriever(index).invoke("tank", k=2))) == {"lamp", "tank"}


def test_a_filter_left_empty_in_a_call_does_not_widen_the_search(index):
    retriever = HybridRetriever(index, filter=where("year") == 2021)

    assert ids(retriever.invoke("tank", filter=None, k=None, legs=None)) == ["lamp"]


def test_legs_are_set_once_or_for_one_call(index):
    assert ids(HybridRetriever(index, legs=["bm25"]).invoke("lamp")) == ["lamp"]
    with pytest.raises(BadInput, match="unknown legs.*this collection has"):
        HybridRetriever(index).invoke("lamp", legs=["dense"])


async def test_the_mode_is_set_once_or_for_one_call(index, tmp_path):
    with dual_index(tmp_path / "dual.db") as dual:
        assert ids(HybridRetriever(dual, k=1).invoke("blue")) == ["plan"]
        assert ids(HybridRetriever(dual, mode="text").invoke("blue")) == []
        assert ids(HybridRetriever(dual, mode="text", k=1).invoke("blue", mode="dual")) == ["plan"]
        assert ids(await HybridRetriever(dual, k=1).ainvoke("blue", mode="text")) == []
        [found] = HybridRetriever(dual, k=1, mode="dual").invoke("blue")
        assert found.page_content == PLAN
    with pytest.raises(BadInput, match="needs a leg that reads images"):
        HybridRetriever(index).invoke("lamp", mode="dual")
    with pytest.raises(ValueError, match="'text', 'dual' or 'auto'"):
        HybridRetriever(index, mode="images")


def test_nothing_found_is_an_empty_list(index):
    retriever = HybridRetriever(index)

    assert retriever.invoke("zeppelin") == []
    assert retriever.invoke("") == []
    assert retriever.invoke("tank", filter=where("year") == 1900) == []


def test_unicode_comes_back_as_it_was(index):
    [found] = HybridRetriever(index).invoke("水箱")

    assert found.id == "café"
    assert found.page_content == "咖啡机的水箱是空的。 Un café, s'il vous plaît 🙂"


def test_k_below_one_and_unknown_arguments_are_refused(index):
    with pytest.raises(ValueError, match="k"):
        HybridRetriever(index, k=0)
    with pytest.raises(BadInput, match="k is 0"):
        HybridRetriever(index).invoke("tank", k=0)
    with pytest.raises(TypeError, match="top_k"):
        HybridRetriever(index).invoke("tank", top_k=3)


def test_callbacks_tags_and_run_names_are_seen(index):
    recorder = Recorder()
    config = {"callbacks": [recorder], "tags": ["handbook"]}
    HybridRetriever(index).invoke("lamp", config=config)

    assert recorder.events == [("start", "lamp", ["handbook"]), ("end", ["lamp"])]


def test_an_error_reaches_the_callbacks_and_the_caller(index):
    recorder = Recorder()
    with pytest.raises(BadInput):
        HybridRetriever(index).invoke("lamp", config={"callbacks": [recorder]}, legs=["x"])

    assert recorder.events[-1] == ("error", BadInput)


def test_batch_and_with_config(index):
    retriever = HybridRetriever(index, k=1).with_config(tags=["x"])

    assert [ids(found) for found in retriever.batch(["lamp", "distilled"])] == [["lamp"], ["tank"]]


async def test_async_gives_the_same_with_callbacks(index):
    recorder = Recorder()
    retriever = HybridRetriever(index)

    assert await retriever.ainvoke("tank", k=1) == retriever.invoke("tank", k=1)
    assert ids(await retriever.ainvoke("tank", filter=where("year") == 2023, legs=["bm25"])) == ["tank"]
    await retriever.ainvoke("lamp", config={"callbacks": [recorder]})
    assert recorder.events[-1] == ("end", ["lamp"])


async def test_the_event_loop_runs_on_during_a_search(index, monkeypatch):
    search = index.search

    def slow(*args, **kwargs):
        time.sleep(0.4)
        return search(*args, **kwargs)

    monkeypatch.setattr(index, "search", slow)
    found, stood_still = await watched(HybridRetriever(index).ainvoke("lamp"))

    assert ids(found) == ["lamp"]
    assert stood_still < 0.2


def formatted(documents):
    # The careless way: everything there is to a document.
    return "\n\n".join(f"{document.metadata}\n{document.page_content}" for document in documents)


async def test_what_reaches_the_llm_of_a_chain_is_the_llms_text(index):
    recorder = Recorder()
    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    model = FakeListChatModel(responses=["Every 6 months.", "Every 6 months."])
    chain = (
        {"context": HybridRetriever(index, k=2) | formatted, "question": RunnablePassthrough()}
        | prompt
        | model
        | StrOutputParser()
    )
    question = "which interval?"

    assert chain.invoke(question, config={"callbacks": [recorder]}) == "Every 6 months."
    assert await chain.ainvoke(question, config={"callbacks": [recorder]}) == "Every 6 months."
    assert len(recorder.prompts) == 2
    for sent in recorder.prompts:
        assert "Change the air filter every 6 months." in sent
        assert "maintenance interval" not in sent


def test_a_prompt_that_asks_for_the_view_fails(index):
    [found] = HybridRetriever(index, k=1).invoke("interval")
    prompt = PromptTemplate.from_template("{page_content} {retrieval_text}")

    with pytest.raises(SideError):
        prompt.invoke({"page_content": found.page_content, **found.metadata})


def test_a_retriever_tool_answers_with_the_llms_text(index):
    tool = create_retriever_tool(HybridRetriever(index, k=1), "handbook", "Searches the handbook.")

    assert tool.invoke({"query": "interval"}) == "Change the air filter every 6 months."


def test_from_documents_builds_searches_and_lets_go_of_the_file(tmp_path):
    path = tmp_path / "new.db"
    documents = [Document(page_content="alpha beta"), Document(page_content="gamma", metadata={"n": 1})]
    with HybridRetriever.from_documents(documents, path=path, preset="lexical", k=1) as retriever:
        [found] = retriever.invoke("gamma")
        assert (found.page_content, found.metadata["n"]) == ("gamma", 1)

    with HybridRetriever.from_documents(documents, path=path, preset="lexical") as retriever:
        assert retriever.index.count() == 2


def test_a_retriever_over_a_given_index_leaves_it_open(index):
    with HybridRetriever(index) as retriever:
        retriever.invoke("lamp")

    assert index.search("lamp")


def test_documents_that_cannot_be_stored_are_refused_before_any_is(tmp_path):
    path = tmp_path / "new.db"
    documents = [Document(page_content="fine"), Document(page_content="bad", metadata={"x": object()})]
    with pytest.raises(BadPassage, match="'x'"):
        HybridRetriever.from_documents(documents, path=path, preset="lexical")

    with RagIndex.open(path, preset="lexical") as index:  # The file was let go of, too.
        assert index.count() == 0


def test_blank_documents_and_odd_characters_do_not_stop_a_batch(tmp_path):
    texts = ["", " \n", "lone \ud800 surrogate", "nul \0 byte", "ordinary words"]
    documents = [Document(page_content=text, metadata={"n": n}) for n, text in enumerate(texts)]
    with HybridRetriever.from_documents(documents, tmp_path / "odd.db", preset="lexical") as retriever:
        assert retriever.index.count() == 5
        assert [found.metadata["n"] for found in retriever.invoke("ordinary")] == [4]
        assert [found.metadata["n"] for found in retriever.invoke("surrogate")] == [2]


def test_splitters_keep_both_sides(tmp_path):
    text = " ".join(f"Sentence number {n} of the text." for n in range(20))
    whole = Document(page_content=text, metadata={"retrieval_text": "zeppelin", "source": "a.txt"})
    parts = RecursiveCharacterTextSplitter(chunk_size=120, chunk_overlap=0).split_documents([whole])
    assert len(parts) > 3

    with HybridRetriever.from_documents(parts, tmp_path / "parts.db", preset="lexical", k=50) as retriever:
        found = retriever.invoke("zeppelin")
        assert sorted(document.page_content for document in found) == sorted(p.page_content for p in parts)
        assert {document.metadata["retrieval_text"] for document in found} == {"zeppelin"}
        assert retriever.invoke("sentence") == []
        assert retriever.index.delete("a.txt") == len(parts)


def test_the_local_preset_finds_meaning_and_reranks(tmp_path):
    documents = [
        Document(id="cat", page_content="A kitten sleeps on the sofa."),
        Document(id="tax", page_content="Income must be declared by the end of May."),
        Document(id="car", page_content="The engine needs new oil."),
    ]
    with HybridRetriever.from_documents(documents, path=tmp_path / "local.db", k=1) as retriever:
        [found] = retriever.invoke("Where does the young cat rest?")

    assert found.id == "cat"
    assert [stage["kind"] for stage in found.metadata["rag_plugins"]["trace"]][-2:] == ["fusion", "rerank"]
