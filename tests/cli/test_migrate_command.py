import pytest
from foreign_support import like_langchain, make, text, vector
from typer.testing import CliRunner

from rag_plugins import RagIndex
from rag_plugins.cli import app
from rag_plugins.errors import BadInput

ROWS = [
    {"pk": "filter", "text": "change the filter", "vector": [0.6, 0.8], "source": "handbook"},
    {"pk": "lamp", "text": "the red lamp", "vector": [0.8, -0.6], "source": "handbook"},
]


def run(*arguments):
    return CliRunner().invoke(app, ["migrate", *map(str, arguments)], catch_exceptions=False)


def test_a_collection_is_copied_and_copied_again(tmp_path):
    theirs, ours = tmp_path / "theirs.db", tmp_path / "ours.db"
    like_langchain(str(theirs), "manuals", ROWS, dynamic=True)
    for _ in range(2):
        told = run(theirs, "--collection", "manuals", "--into", ours, "--preset", "lexical")
        assert told.exit_code == 0
        assert "manuals (langchain-milvus): id from pk, " in told.output
        assert "2 passages of 1 documents copied, vectors made anew" in told.output
        assert f"{ours}: 2 passages" in told.output
    with RagIndex.open(ours, preset="lexical") as index:
        assert {passage.caller_id for passage in index.find()} == {"filter", "lamp"}


def test_fields_by_name(tmp_path):
    theirs, ours = tmp_path / "theirs.db", tmp_path / "ours.db"
    make(
        str(theirs),
        "other",
        {"key": text(), "body": text(), "v": vector(2)},
        [{"key": "a", "body": "b", "v": [1, 0]}],
    )
    into = ("--collection", "other", "--into", ours, "--preset", "lexical", "--into-collection", "copied")
    with pytest.raises(BadInput, match="body"):
        run(theirs, *into)
    assert "ROLE=NAME" in run(theirs, *into, "--field", "body").output
    assert "text from body" in run(theirs, *into, "--field", "text=body").output
    with RagIndex.open(ours, preset="lexical", collection="copied") as index:
        assert [passage.llm_text for passage in index.find()] == ["b"]
