"""What `make docs` takes from outside docs/: the project's own files, public names, and pictures."""

from __future__ import annotations

import re
from pathlib import Path

from drawings import figure
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import rag_plugins

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "README.zh.md": "README.zh.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
TEXTS = {"LICENSE": "LICENSE.txt"}
DRAWING = re.compile(r"<!-- drawing: ([\w-]+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the project's files, their links bent to where they come to lie, and the package's reference."""
    for name, page in {**PAGES, **TEXTS}.items():
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_bent(content) if name in PAGES else content))
    files.append(File.generated(config, "api/rag_plugins.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the pictures in, drawn here and now."""
    return DRAWING.sub(lambda found: figure(found[1]), markdown)


def _bent(markdown: str) -> str:
    for name, page in {**PAGES, **TEXTS}.items():
        markdown = markdown.replace(f"]({name}", f"]({page}")
    return markdown.replace("](docs/", "](")


def _reference() -> str:
    # Written out: the package's names come on first use, which a reader of the source alone cannot follow.
    names = sorted({*rag_plugins.__all__} - {"errors"}, key=str.lower)
    parts = ["# rag_plugins", rag_plugins.__doc__ or "", "The errors have [their own page](errors.md)."]
    return "\n\n".join([*parts, *(f"::: rag_plugins.{name}" for name in names)]) + "\n"
