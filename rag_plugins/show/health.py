"""Whether a collection is as it was stored, what was done about it, and where a query's time goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag_plugins.config import Config
from rag_plugins.errors import CollectionMismatch, ModelNotFound
from rag_plugins.index import RagIndex
from rag_plugins.ingest.audit import Audit, ByDocument
from rag_plugins.ingest.known_items import known_items
from rag_plugins.ingest.repair import Repair
from rag_plugins.types import JsonValue, embed_text

__all__ = ["Health", "examine", "show_health"]

_ASKED = 10
"""Queries that are timed at most; one before them warms up."""

_NAMED = 5

_FOUND = {
    "lost": "passages that were stored are not there",
    "texts": "passages have other texts than were stored",
    "vectors": "passages have other vectors than were stored",
    "unknown": "passages are there that were deleted or never recorded",
    "images": "images are missing or damaged",
}


@dataclass(frozen=True, slots=True)
class Health:
    """An audit, or why there is none; a repair, if one was asked for; bytes on the disk by file.

    `seconds` is the median time of each stage of a query, {} where none was asked.
    """

    audit: Audit | None
    why_not: str = ""
    repair: Repair | None = None
    files: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def sound(self) -> bool:
        """Nothing was found, or nothing is left."""
        last = self.repair.after if self.repair else self.audit
        return last is None or last.sound

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "sound": self.sound,
            "audit": self.audit.to_json() if self.audit else None,
            "why_not": self.why_not,
            "repair": self.repair.to_json() if self.repair else None,
            "files": dict(self.files),
            "milliseconds": {stage: round(1e3 * seconds, 3) for stage, seconds in self.seconds.items()},
        }


def examine(
    db: str,
    config: Config,
    collection: str,
    tenant: str,
    *,
    repair: bool = False,
    forget: bool = False,
    load: bool = False,
) -> Health:
    """Audit a collection, then repair it where that is asked for; with `load`, time queries made of it.

    Raises as `RagIndex.open`, but for models that are not here or others: then there is no audit.
    """
    files = _files(db)
    try:
        index = RagIndex.open(db, config=config, collection=collection, tenant=tenant, check=False)
    except (ModelNotFound, CollectionMismatch) as error:
        return Health(None, str(error), files=files)
    with index:
        found = index.audit(progress=True)
        repaired = index.repair(forget=forget, progress=True) if repair or forget else None
        return Health(found, "", repaired, files, _timed(index) if load else {})


def _files(db: str) -> dict[str, int]:
    """A database and what lies beside it; nothing of a server."""
    if "://" in db:
        return {}
    path = Path(db).expanduser()
    return {beside.name: _bytes(beside) for beside in sorted(path.parent.glob(f"{path.name}*"))}


def _bytes(path: Path) -> int:
    found = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in found if file.is_file())


def _timed(index: RagIndex) -> dict[str, float]:
    passages = index.find(limit=_ASKED + 1)
    texts = {passage.id: view.text for passage in passages if (view := embed_text(passage.views))}
    queries = [item.query for item in known_items(texts) if item.kind == "literal"]
    if not queries:
        return {}
    index.run(queries[0])
    timed = [index.run(query).seconds for query in queries]
    return {stage: median(seconds.get(stage, 0.0) for seconds in timed) for stage in timed[0]}


def show_health(found: Health) -> None:
    """As tables and sentences."""
    console = Console()
    _print(console, "On the disk", ((name, Text(_size(size))) for name, size in found.files.items()))
    if found.audit is None:
        console.print(Text(f"Not audited: {found.why_not}", style="yellow"))
        return
    _print(console, f"Audit, {found.audit.seconds:.1f} s", _audit(found.audit))
    if found.repair:
        _print(console, "Repair", _repair(found.repair))
    elif not found.audit.sound:
        console.print(Text("To mend it: the same command with --repair", style="yellow"))
    if found.seconds:
        _print(console, "A query's time by stage, the slowest first (median)", _seconds(found.seconds))


def _print(console: Console, title: str, rows: Iterator[tuple[str, Text]]) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True, min_width=22)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), value)
    if table.row_count:
        console.print(title, style="bold")
        console.print(table)
        console.print()


def _audit(audit: Audit) -> Iterator[tuple[str, Text]]:
    yield "passages", Text(f"{audit.passages} of {audit.documents} documents")
    for part, says in _FOUND.items():
        ids: ByDocument = getattr(audit, part)
        if ids:
            yield part, Text(f"{sum(map(len, ids.values()))} {says}: {_documents(ids)}", style="red")
    if audit.unsealed:
        yield "unsealed", Text(f"{audit.unsealed} passages have no checksum yet; --repair makes them")
    if audit.sound:
        yield "result", Text("texts, vectors and images are as they were stored", style="green")


def _repair(repair: Repair) -> Iterator[tuple[str, Text]]:
    yield "ingested again", Text(f"{len(repair.ingested)} documents")
    yield "encoded again", Text(f"{repair.encoded} passages")
    if repair.forgotten:
        yield "given up", Text(f"{repair.forgotten} passages")
    for doc_id, why in repair.left.items():
        yield "still damaged", Text(f"{doc_id}: {why}", style="red")
    if repair.left:
        yield "", Text("--forget strikes them from the record, and the rest can be used", style="yellow")
    if repair.after.sound:
        yield "result", Text("texts, vectors and images are as they were stored", style="green")


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MB" if size >= 2**20 else f"{size / 2**10:,.1f} KB"


def _documents(ids: ByDocument) -> str:
    named = ", ".join(f"{doc_id} ({len(of_document)})" for doc_id, of_document in list(ids.items())[:_NAMED])
    return named if len(ids) <= _NAMED else f"{named} and {len(ids) - _NAMED} more documents"


def _seconds(seconds: Mapping[str, float]) -> Iterator[tuple[str, Text]]:
    total = sum(seconds.values()) or 1.0
    for stage, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        yield stage, Text(f"{1e3 * taken:.2f} ms, {taken / total:.0%}")
