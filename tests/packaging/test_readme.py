"""What the README shows runs as it stands, on a folder of scans."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rag_plugins import Config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with scans/ in it."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "scans").mkdir()
    for name in ("handbook-aq310.tif", "bulletin-sb-2019-07.jpg"):
        shutil.copy(ROOT / "rag_plugins/demo/documents" / name, folder / "scans" / name)
    return folder


@pytest.mark.parametrize(
    ("framework", "expected"),
    [
        ("llama_index", "handbook-aq310.tif 4"),
        ("langchain_core", "Answer: How tight"),
        ("import RagIndex, where", "bm25"),
    ],
)
def test_an_example_runs_and_finds(desk: Path, framework: str, expected: str) -> None:
    (example,) = [block for block in blocks("python") if framework in block]
    assert expected in run(
        sys.executable, "-W", "error::DeprecationWarning:rag_plugins", "-c", example, cwd=desk
    )


@pytest.mark.parametrize("framework", ["llama_index", "langchain_core"])
def test_a_framework_s_example_has_about_ten_lines(framework: str) -> None:
    (example,) = [block for block in blocks("python") if framework in block]
    assert len([line for line in example.splitlines() if line.strip()]) <= 12


def test_the_commands_run(tmp_path: Path, desk: Path) -> None:
    shutil.copytree(desk / "scans", tmp_path / "scans")
    commands = [
        line for block in blocks("sh") for line in block.splitlines() if line.startswith("rag-plugins ")
    ]
    assert len(commands) >= 3
    for command in commands:
        _, *arguments = shlex.split(command)
        assert run(Path(sys.executable).with_name("rag-plugins"), *arguments, cwd=tmp_path)


def test_the_configuration_is_accepted() -> None:
    (example,) = blocks("toml")
    assert [leg.kind for leg in Config.make(tomllib.loads(example)).legs] == ["dense", "bm25"]


def test_every_link_into_the_repository_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
