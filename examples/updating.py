"""Documents that change: what is new is read, what has changed replaced, what is gone deleted.

python examples/updating.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from rag_plugins import RagIndex


def show(index: RagIndex, what: str) -> None:
    """What is found for one question, and how many passages there are."""
    found = [hit.passage.llm_text for hit in index.search("How often is the filter changed?", k=1)]
    print(f"{what}: {index.count()} passages, found {found}")


with TemporaryDirectory() as name:
    folder = Path(name) / "notes"
    folder.mkdir()
    (folder / "filter.txt").write_text("The filter is changed every 500 hours.")
    (folder / "lamp.txt").write_text("The lamp is red when the tank is empty.")
    with RagIndex.open(Path(name) / "notes.db", preset="lexical") as index:
        # Files: a document is its path. Only what is new or has changed is read again.
        index.ingest([folder], root=folder)
        show(index, "first run")
        (folder / "filter.txt").write_text("The filter is changed every 250 hours.")
        summary = index.ingest([folder], root=folder)
        show(index, f"second run, {summary.replaced} replaced, {summary.unchanged} unchanged")
        (folder / "filter.txt").unlink()
        kept = {path.name for path in folder.iterdir()}
        gone = {passage.doc_id for passage in index.find()} - kept
        print("deleted:", {document: index.delete(document) for document in gone})
        show(index, "after it")

        # Passages of a program's own: the caller's id says which one is replaced.
        index.add([index.passage("The filter is changed weekly.", caller_id="note-7", doc_id="wiki/filters")])
        index.add([index.passage("The filter is changed daily.", caller_id="note-7", doc_id="wiki/filters")])
        show(index, "a note written twice")
        print("removed:", index.remove(["note-7"]), "passage,", index.count(), "left")
