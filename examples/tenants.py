"""One collection, many tenants: each reads, counts and deletes what is its own.

    python examples/tenants.py

The tenant is given when the collection is opened, and goes into every request that this object makes: no
filter, id or query of a user reaches further. Term weights and what fusion has learned are its own, too.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from rag_plugins import RagIndex, where

NOTES = {
    "north": ["The boiler of the north plant is drained in May.", "Keys are with Ms Abel."],
    "south": ["The boiler of the south plant is drained in July."],
}

with TemporaryDirectory() as folder:
    path = Path(folder) / "plants.db"
    for tenant, notes in NOTES.items():
        with RagIndex.open(path, preset="lexical", tenant=tenant) as index:
            index.add(
                index.passage(note, doc_id="notes", caller_id=f"note-{n}", metadata={"plant": tenant})
                for n, note in enumerate(notes)
            )
    # Two tenants of one process share the file, and what they call things may be the same.
    with (
        RagIndex.open(path, preset="lexical", tenant="north") as north,
        RagIndex.open(path, preset="lexical", tenant="south") as south,
    ):
        for name, index in {"north": north, "south": south}.items():
            found = [hit.passage.llm_text for hit in index.search("When is the boiler drained?")]
            print(f"{name}: {index.count()} passages, found {found}")
        print("south asks for the other's:", south.search("boiler", filter=where("plant") == "north"))
        print("south asks for note-1:", south.get(["note-1"]))
        print("south deletes notes:", south.delete("notes"), "passage; north still has", north.count())
