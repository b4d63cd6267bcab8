"""The chatbots of examples/ run as they stand, without a model and with one on loopback."""

import runpy
import sys
from pathlib import Path

import pytest
from chat_stub import KEY, chat_stub

EXAMPLES = Path(__file__).parents[2] / "examples"
LOCK = "Hold both arrow keys for ten seconds to lock or unlock the keys."
WORN = "The code 310 unlocks it if the arrow keys are worn out."


@pytest.fixture
def run(monkeypatch, capsys):
    """What a program prints, asked nothing in particular, with nothing in the environment."""

    def printed(name, *questions):
        monkeypatch.setattr(sys, "argv", [name, *questions])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    for variable in ("MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    return printed


@pytest.fixture
def model(run, monkeypatch):
    """A language model that the environment names."""
    with chat_stub("Ten", " seconds", " [1].") as server:
        monkeypatch.setenv("MODEL", "stub")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server


def said(request):
    return [(message["role"], message["content"]) for message in request["messages"]]


@pytest.mark.parametrize("name", ["llama_index_chat", "langchain_chat"])
def test_without_a_model_sentences_are_quoted_with_their_page(name, run):
    told = run(name)
    assert told.startswith("No language model")
    first, second = told.split("\n> How")[1].split("\n> And if")
    assert f"{LOCK} [1]" in first and "[1] datasheet-pc2.pdf, page 1" in first
    assert f"{WORN} [1]" in second


def test_an_engine_of_llama_index_reads_numbered_pages_and_remembers(run, model):
    pytest.importorskip("llama_index.llms.openai_like")
    told = run("llama_index_chat")
    assert told.count("Ten seconds [1].") == 2 and "No language model" not in told
    answer, alone, again = model.requests
    assert answer["stream"] and not alone.get("stream") and again["stream"]
    assert "[1] datasheet-pc2.pdf, page 1\n" in str(said(answer)[0][1]) and LOCK in str(said(answer)[0][1])
    assert "And if the arrow keys are worn out?" in str(said(alone))
    assert ("assistant", "Ten seconds [1].") in said(again)


def test_a_chain_of_langchain_reads_framed_passages_and_remembers(run, model):
    pytest.importorskip("langchain_openai")
    told = run("langchain_chat")
    assert told.count("Ten seconds [1].") == 2
    assert "[1] datasheet-pc2.pdf, page 1: cited" in told and "workshop-notes.md, page 1: read" in told
    answer, alone, again = model.requests
    assert "untrusted text" in said(answer)[-1][1] and LOCK in said(answer)[-1][1]
    assert said(answer)[-1][1].endswith("How do I lock or unlock the keys?")
    assert ("user", "And if the arrow keys are worn out?") in said(alone)
    assert ("assistant", "Ten seconds [1].") in said(again)


def test_an_agent_of_langchain_calls_retrieval_as_a_tool(run):
    pytest.importorskip("langchain.agents")
    told = run("langchain_agent")
    assert "a script plays its part" in told
    assert told.index("Tool Calls:") < told.index("Tool Message") < told.rindex("Ai Message")
    assert "The best passage begins: To change a parameter" in told.split("Ai Message")[-1]
    assert LOCK in told and "untrusted text" in told and "[1] is page 1 of datasheet-pc2.pdf" in told


def test_a_model_may_answer_the_agent_without_a_search(run, model):
    pytest.importorskip("langchain.agents")
    pytest.importorskip("langchain_openai")
    told = run("langchain_agent", "Hello")
    assert "Hello" in told and "Ten seconds [1]." in told and "Tool Message" not in told
    (request,) = model.requests
    assert [tool["function"]["name"] for tool in request["tools"]] == ["search_documents"]
