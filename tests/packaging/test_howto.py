"""What the quickstart, the chat's page and the how-to pages show runs as it stands, in their order."""

import io
import re
import shlex
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import openai_stub
import pytest
from PIL import Image, ImageDraw, ImageFont
from pymilvus import DataType, MilvusClient

from rag_plugins import Config, RagIndex
from rag_plugins.cli import main
from rag_plugins.models.lexicon import DomainDictionary

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:19530"
NOTES = {
    "filter.txt": "The dust filter is washed every 500 hours.",
    "lamp.txt": "The red lamp means that the tank is empty.",
    "drain.txt": "The boiler is drained in May.",
}
PAGE = ("Service of the pump", "Tighten the screws of the motor flange to 12 Nm.", "Then the pump is filled.")
TABLE = ("4.3 Tightening torques", "Motor flange to pump head M10 38 Nm")
"""What stands in the place of the example documents: a test has little time."""

EXPECTED = {
    "quickstart.md": ["pump head M10 38 Nm", "documents/handbook.png 1"],
    "chat.md": ["/quit", "The dust filter is washed every 500 hours [1].", "(answer)"],
    "howto/scans.md": ["to 12 Nm", "page 1 of", "mean confidence", "page.png, page 1"],
    "howto/dictionary.md": ["  motor flange   ", "of them kept whole", "('screws', 'screvs~1'"],
    "howto/chinese.md": ["每五百小时更换一次滤网。 ['"],
    "howto/tenants.md": ["The fuse is rated 4 A. 2023"],
    "howto/rerank.md": ["('shortest', 1)"],
    "howto/hosted.md": ["The red lamp means that the tank is empty. [('dense', 1)"],
    "howto/migrate.md": ["The red lamp means that the tank is empty.", "3 passages"],
    "howto/evaluate.md": ["3 queries", "nDCG@10", "paired t-test", "The report:", "Made queries compare"],
    "howto/train.md": ["3 to learn from, 1 to", "By the width of the prefix", "Kept out of", "3 passages"],
    "howto/server.md": ["The red lamp means"],
    "howto/updating.md": ["lamp.txt: 1 passages deleted", "['The filter is changed daily.']", "1 0"],
}
"""Of each page, what its blocks print."""


def _draw(path, lines):
    page = Image.new("RGB", (1300, 420), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((90, 90 + 80 * number), line, "black", ImageFont.load_default(size=40))
    page.save(path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder as the pages take it for given: notes, a scan, and a collection of both."""
    folder = tmp_path_factory.mktemp("howto")
    for name in ("notes", "scans", "rag_plugins/demo/documents"):
        (folder / name).mkdir(parents=True)
    for name, text in NOTES.items():
        (folder / "notes" / name).write_text(text, encoding="utf-8")
    _draw(folder / "scans/page.png", PAGE)
    _draw(folder / "rag_plugins/demo/documents/handbook.png", TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _shell(["ingest", "scans", "notes", "--into", "handbook.db"])
    with RagIndex.open(folder / "idle.db"):  # So that the model stays loaded from page to page.
        yield folder


@pytest.fixture
def desk(filled, tmp_path, monkeypatch):
    """A copy of it, which a page may change."""
    folder = tmp_path / "desk"
    shutil.copytree(filled, folder, ignore=shutil.ignore_patterns("idle.db*"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def hosted(monkeypatch):
    """OpenAI's embeddings, on this machine."""
    with openai_stub.openai_stub() as service:
        monkeypatch.setenv("OPENAI_API_KEY", openai_stub.KEY)
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(name, service.url)
        yield


def _shell(arguments):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert not exit.value.code, arguments


def _has_openai_like():
    return find_spec("llama_index.llms") and find_spec("llama_index.llms.openai_like")


def _command(line):
    arguments = shlex.split(line, comments=True)[1:]
    if "llama-index" in arguments and not _has_openai_like():
        return  # No package of the tests' own.
    if arguments[0] != "chat":
        return _shell(arguments)
    # Its server is tried in tests of its own; here the options are, and the configuration.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("/help\n"))
        _shell([*arguments, "--terminal"])


def _sh(block):
    for line in block.splitlines():
        if line.startswith("rag-plugins "):
            _command(line)


def _toml(block):
    if "[terms]" not in block:
        assert Config.make(tomllib.loads(block))
    if named := re.match(r"# ([\w-]+\.toml)\n", block):
        Path(named[1]).write_text(block, encoding="utf-8")
    if "[terms]" in block:
        assert DomainDictionary.from_file(Path(named[1])).terms


def _python(block):
    exec(compile(block, "page", "exec"), {})


def _csv(block):
    Path("asked.csv").write_text(block, encoding="utf-8")


def _json(block):
    Path("asked.jsonl").write_text(block, encoding="utf-8")


RUN = {"sh": _sh, "toml": _toml, "python": _python, "csv": _csv, "json": _json}


def blocks(page):
    """(language, code) of each fenced block, without the indent of a list that it stands in."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(\w+)\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    return [
        (language, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)) for indent, language, code in found
    ]


def test_every_page_is_known():
    pages = {f"howto/{path.name}" for path in (ROOT / "docs/howto").glob("*.md")}
    assert pages | {"quickstart.md", "chat.md"} == set(EXPECTED)
    assert {language for page in pages for language, _ in blocks(page)} <= set(RUN)


@pytest.fixture
def served(request, monkeypatch):
    """Where a page names a server: this one."""
    monkeypatch.setattr(f"{__name__}.ADDRESS", request.getfixturevalue("milvus_server"))


@pytest.fixture
def old_collection(desk):
    """What langchain-milvus writes, field by field, in the file that the page names."""
    client = MilvusClient("milvus_demo.db")
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, max_length=100, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=1000)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    vectors = client.prepare_index_params()
    vectors.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("LangChainCollection", schema=schema, index_params=vectors)
    rows = [{"pk": name, "text": text, "vector": [1.0, 0.0]} for name, text in NOTES.items()]
    client.insert("LangChainCollection", rows)
    client.close()


NEEDS = {
    "chat.md": "hosted",
    "howto/server.md": "served",
    "howto/hosted.md": "hosted",
    "howto/migrate.md": "old_collection",
}


@pytest.mark.parametrize("page", EXPECTED)
def test_a_page_runs(page, desk, capsys, request):
    if page in NEEDS:
        request.getfixturevalue(NEEDS[page])
    for language, block in blocks(page):
        RUN[language](block.replace("http://127.0.0.1:19530", ADDRESS))
    told = capsys.readouterr().out
    assert [words for words in EXPECTED[page] if words not in told] == [], told
