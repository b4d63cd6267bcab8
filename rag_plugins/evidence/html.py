"""Self-contained pages: one look, no request to any machine, and markup in values is escaped."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = ["render", "write"]


def render(package: str, template: str, title: str, **values: object) -> str:
    """A template of a package, which extends `base.html.j2`, as HTML."""
    environment = Environment(
        loader=FunctionLoader(_shared),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _score
    source = files(package).joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(source).render(title=title, **values)


def write(page: str, path: str | Path) -> Path:
    """Write a page, folders included; the absolute path."""
    target = Path(path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    # OCR of foreign files may carry lone surrogates, which no encoding takes.
    target.write_text(page, encoding="utf-8", errors="replace")
    return target


def _shared(name: str) -> str:
    return files("rag_plugins.evidence").joinpath("templates", name).read_text(encoding="utf-8")


def _score(value: float) -> str:
    """Three significant digits or so, whatever the stage's scale."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
