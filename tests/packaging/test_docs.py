"""The pages of `make docs` build without a warning, name all that is public, and need no network."""

import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[2]
PUBLIC = ("rag_plugins", "rag_plugins.langchain", "rag_plugins.llama_index", "rag_plugins.chat")


class Page(HTMLParser):
    """What can be linked to, and what a browser loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        self.loaded.add(given.get("href" if tag == "link" else "src", ""))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_has_an_anchor(site: Path, module: str) -> None:
    page = Page((site / f"api/{module.removeprefix('rag_plugins.')}.html").read_text(encoding="utf-8"))
    names = {f"{module}.{name}" for name in importlib.import_module(module).__all__} - {"rag_plugins.errors"}

    assert names - page.anchors == set()


def test_every_error_has_an_anchor(site: Path) -> None:
    page = Page((site / "api/errors.html").read_text(encoding="utf-8"))
    names = importlib.import_module("rag_plugins.errors").__all__

    assert {f"rag_plugins.errors.{name}" for name in names} - page.anchors == set()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = [Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")]
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))

    assert len(pages) > 10
    assert [url for page in pages for url in page.loaded if re.match(r"(https?:)?//", url)] == []
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*", styles) == []
