"""The migrations run as they stand: the old store by its own package, the same answer from the new one."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAME = "How often is the air filter changed? Change the air filter every 6 months."


def run(name, capsys):
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_from_langchain_milvus(capsys):
    pytest.importorskip("langchain_milvus")
    told = run("migrate_from_langchain_milvus", capsys)
    assert "3 passages of 2 documents, from langchain-milvus" in told
    assert f"{SAME} (filter, page 3)\nthe same as before" in told
    assert "E-17? Error E-17: the pump runs dry." in told


def test_from_llama_index_milvus(capsys):
    told = run("migrate_from_llama_index_milvus", capsys)
    assert "3 passages of 1 documents, from llama-index" in told
    assert f"{SAME} (filter of handbook)" in told
    assert "E-17? Error E-17: the pump runs dry." in told


def test_from_faiss_and_bm25(capsys):
    pytest.importorskip("langchain_community.vectorstores.faiss")
    told = run("migrate_from_faiss_bm25", capsys)
    assert f"3 passages; {SAME} (filter)\nthe same as before" in told
    assert "E-17? Error E-17: the pump runs dry." in told
