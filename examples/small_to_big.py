"""Small to big: sentences are found, the sections that they stand in are read, each section once.

    python examples/small_to_big.py

A passage's view is what retrieval reads, its llm_text what the LLM does: the view is a sentence here, the
llm_text its section. `group_by` gives one hit a section, however many of its sentences fit.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rag_plugins import Passage, RagIndex

SECTIONS = {
    "filters": "Two filters keep the unit clean. The dust filter is washed every 500 hours. The oil filter "
    "is replaced once a year; a filter that was washed with solvent must not be used again.",
    "lamps": "The red lamp means that the tank is empty. The lamp blinks while the filter is being rinsed.",
    "screws": "The screws of the motor flange are tightened to 12 Nm, crosswise. Screws are used once.",
}


def sentences(index: RagIndex, name: str, section: str) -> Iterator[Passage]:
    """A passage for each sentence of a section, all with the section's text for the LLM."""
    for number, sentence in enumerate(re.split(r"(?<=[.;]) ", section)):
        yield index.passage(
            section,
            view=sentence,
            doc_id="handbook",
            caller_id=f"{name}#{number}",
            metadata={"section": name},
        )


with TemporaryDirectory() as folder, RagIndex.open(Path(folder) / "handbook.db") as index:
    for name, section in SECTIONS.items():
        index.add(sentences(index, name, section))
    question = "How often is the dust filter washed?"
    print("sentences:")
    for hit in index.search(question, k=3):
        print(f"  {hit.score:.3f}  {hit.passage.metadata['section']}: {hit.passage.views[0].text}")
    print("sections:")
    for hit in index.search(question, k=2, group_by="section"):
        print(f"  {hit.score:.3f}  {hit.passage.llm_text[:72]}…")
