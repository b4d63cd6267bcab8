"""What the README shows runs as it stands, on a folder of scans."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from rag_plugins import Config, Funnel, RagIndex
from rag_plugins.cli import main
from rag_plugins.models.lexicon import DomainDictionary

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = "README.md") -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with two pages in scans/."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "scans").mkdir()
    examples = ROOT / "rag_plugins/demo/documents"
    shutil.copy(examples / "bulletin-sb-2019-07.jpg", folder / "scans")
    with Image.open(examples / "handbook-aq310.tif") as handbook:
        handbook.seek(3)
        handbook.save(folder / "scans/torques.tif", compression="group4")
    return folder


@pytest.mark.parametrize(
    ("framework", "expected"),
    [
        ("llama_index", "torques.tif 1"),
        ("langchain_core.runnables", "Answer: How tight"),
        ("import RagIndex, where", "bm25"),
        ("import RagIndex, parse_query", "motor flange"),
        ("from_langchain", "bulletin-sb-2019-07.jpg"),
        ("index.context", 'torques.tif", page 1'),
    ],
)
def test_an_example_runs_and_finds(
    desk: Path,
    framework: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = [block for block in blocks("python") if framework in block]
    monkeypatch.chdir(desk)
    exec(compile(example, "README.md", "exec"), {})
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("framework", ["llama_index.core", "langchain_core.runnables"])
def test_a_framework_s_example_has_about_ten_lines(framework: str) -> None:
    (example,) = [block for block in blocks("python") if framework in block]
    assert len([line for line in example.splitlines() if line.strip()]) <= 12


def test_the_commands_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    commands = [
        line for block in blocks("sh") for line in block.splitlines() if line.startswith("rag-plugins ")
    ]
    assert len(commands) >= 3
    for command in commands:
        with pytest.raises(SystemExit) as exit:
            main(shlex.split(command)[1:])
        assert not exit.value.code, command


def test_the_configuration_and_the_dictionary_are_accepted(tmp_path: Path) -> None:
    configuration, funnel, dual, stages, fusion, dictionary = sorted(
        blocks("toml"),
        key=lambda block: (
            "[terms]" in block,
            "[fusion]" in block,
            block.startswith("[[rerank]]"),
            "[ingest]" in block,
        ),
    )
    weighed = Config.make(tomllib.loads(fusion))
    assert (weighed.fusion.method, [leg.weight for leg in weighed.legs]) == ("minmax", [0.3, 0.7])
    assert [leg.kind for leg in Config.make(tomllib.loads(configuration)).legs] == ["dense", "bm25"]
    assert Config.make(tomllib.loads(funnel)).legs[0].funnel == Funnel([(96, 200), (384,)])
    both = Config.make(tomllib.loads(dual))
    assert [leg.kind for leg in both.legs] == ["dense", "robust", "image", "page-tokens"]
    assert both.ingest.images == "regions"
    late, exact = Config.make(tomllib.loads(stages)).rerank
    assert (late.kind, late.depth, exact.kind, exact.depth) == ("late-interaction", 100, "cross-encoder", 30)
    path = tmp_path / "terms.toml"
    path.write_text(dictionary, encoding="utf-8")
    assert DomainDictionary.from_file(path).terms["motor flange"].weight == 2.0


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_page_on_frameworks_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with RagIndex.open(tmp_path / "handbook.db") as index:
        index.add([index.passage("The dust filter is changed every 500 hours."), index.passage("Filters.")])
    monkeypatch.chdir(tmp_path)
    chain, llama, filters, objects = blocks("python", "docs/frameworks.md")
    told = []
    for block in (chain, llama, filters, objects):
        exec(compile(block, "frameworks.md", "exec"), {})
        told.append(capsys.readouterr().out)
    assert told[0].count("The red lamp means") == 3
    assert "The red lamp means" in told[1] and told[1].endswith("unknown\n")
    assert "Includes" in told[2] and told[3].index("Filters.") < told[3].index("The dust filter")
