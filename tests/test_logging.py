"""The package's log: silent until a program asks, and then records that machines can read."""

import logging
import subprocess
import sys
import textwrap

import pytest

from rag_plugins import RagIndex

SEARCH = {
    "gen_ai.operation.name": "retrieval",
    "gen_ai.data_source.id": "passages",
    "db.system.name": "milvus",
    "db.collection.name": "passages",
    "rag_plugins.k": 2,
    "rag_plugins.mode": "auto",
    "rag_plugins.queries": 1,
    "rag_plugins.legs": ["bm25"],
    "rag_plugins.fusion": "minmax",
    "rag_plugins.hits": 1,
}


@pytest.fixture
def index(tmp_path):
    with RagIndex.open(tmp_path / "handbook.db", preset="lexical") as index:
        index.add([index.passage("The red lamp means that the tank is empty.")])
        yield index


def fields(record):
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if "." in name}


def test_a_search_is_one_record_with_its_stages(index, caplog):
    with caplog.at_level("DEBUG", "rag_plugins"):
        index.search("red lamp", k=2)

    [record] = [record for record in caplog.records if record.name == "rag_plugins.search"]
    told = fields(record)
    stages, milliseconds = told.pop("rag_plugins.stages"), told.pop("rag_plugins.milliseconds")
    assert record.levelname == "DEBUG" and told == SEARCH
    assert list(stages) == ["bm25", "fusion", "fetch"] and all(spent >= 0 for spent in stages.values())
    assert sum(stages.values()) <= milliseconds
    assert record.getMessage().startswith("1 hits of k=2 in ")


def test_each_search_is_a_record_of_its_own(index, caplog):
    with caplog.at_level("DEBUG", "rag_plugins.search"):
        index.search("red lamp")
        index.search_many(["red lamp", "tank"])
        index.diverse("red lamp")
        index.search("")
    told = [fields(record) for record in caplog.records]
    assert [each["rag_plugins.queries"] for each in told] == [1, 2, 1, 1]
    assert [each["rag_plugins.hits"] for each in told] == [1, 1, 1, 0]


def test_an_ingestion_is_one_record(index, caplog, tmp_path):
    (tmp_path / "a.txt").write_text("Change the air filter.")
    (tmp_path / "empty.txt").write_text("")
    with caplog.at_level("INFO", "rag_plugins.ingest"):
        index.ingest([tmp_path / "a.txt", tmp_path / "empty.txt"])

    [record] = [record for record in caplog.records if record.name == "rag_plugins.ingest"]
    told = fields(record)
    assert told.pop("rag_plugins.milliseconds") > 0 and record.levelname == "INFO"
    assert told == {
        "db.system.name": "milvus",
        "db.collection.name": "passages",
        "rag_plugins.documents": 1,
        "rag_plugins.replaced": 0,
        "rag_plugins.unchanged": 0,
        "rag_plugins.pages": 1,
        "rag_plugins.passages": 1,
        "rag_plugins.bad": 1,
    }


def test_no_text_is_logged_above_debug(index, caplog, tmp_path):
    (tmp_path / "a.txt").write_text("A canary sings in the mine.")
    with caplog.at_level("DEBUG"):
        index.ingest([tmp_path / "a.txt"])
        index.search("canary xylophone")
        index.search("xylophone")
    above = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert above and not any(word in text for text in above for word in ("canary", "sings", "xylophone"))


def test_all_loggers_are_below_the_packages(caplog, index):
    """So that one name silences or shows all of it."""
    with caplog.at_level("DEBUG"):
        index.search("red lamp")
    ours = {record.name for record in caplog.records if "/rag_plugins/" in record.pathname}
    assert ours and all(name.startswith("rag_plugins.") for name in ours)
    assert any(
        isinstance(handler, logging.NullHandler) for handler in logging.getLogger("rag_plugins").handlers
    )


def test_a_program_that_asks_for_no_log_gets_none(tmp_path):
    """Nor any progress bar or warning of what lies below."""
    (tmp_path / "a.txt").write_text("The red lamp means that the tank is empty. Change the air filter.")
    (tmp_path / "empty.txt").write_text("")
    code = f"""
        import pathlib
        from rag_plugins import RagIndex
        folder = pathlib.Path({str(tmp_path)!r})
        with RagIndex.open(folder / "handbook.db") as index:
            summary = index.ingest([folder / "a.txt", folder / "empty.txt"])
            assert (summary.documents, len(summary.bad)) == (1, 1)
            index.add([index.passage(f"Passage {{n}} of the handbook.") for n in range(30)])
            assert index.search("red lamp", k=2)
    """
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_faces_are_as_quiet(tmp_path):
    code = f"""
        from langchain_core.documents import Document
        from llama_index.core.schema import TextNode
        from rag_plugins import langchain, llama_index
        with langchain.HybridRetriever.from_documents(
            [Document(page_content="The red lamp.")], {str(tmp_path / "a.db")!r}, "lexical", rules=True
        ) as retriever:
            assert len(retriever.invoke("lamp")) == 1 and retriever.invoke("zeppel*") == []
        with llama_index.HybridRetriever.from_nodes(
            [TextNode(text="The red lamp.")], {str(tmp_path / "b.db")!r}, "lexical", rules=True
        ) as retriever:
            assert len(retriever.retrieve("lamp")) == 1 and retriever.retrieve("zeppel*") == []
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
