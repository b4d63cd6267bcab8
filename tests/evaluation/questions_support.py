"""A collection of three documents, one of two pages, that is searched by keywords."""

from rag_plugins import RagIndex
from rag_plugins.config import Bm25Leg, Config
from rag_plugins.types import Provenance

PAGES = {
    ("manuals/pump.pdf", 1): "The coolant pump is bolted to the frame with four screws of 12 Nm.",
    ("manuals/pump.pdf", 2): "Its seal lasts two years and costs 11.50 at the store.",
    ("manuals/filter.pdf", 1): "Change the dust filter every 500 hours. A new filter is at the store.",
    ("notes.txt", None): "A blown fuse stops the display. The spare fuse is taped inside the cabinet door.",
}


def opened(path):
    return RagIndex.open(path, config=Config(legs=(Bm25Leg(),), rerank=()))


def filled(path):
    """An open index; the caller's ids are document and page."""
    index = opened(path)
    index.add(
        [
            index.passage(
                text,
                doc_id=document,
                caller_id=f"{document} {page}",
                provenance=Provenance(source=document, page=page),
            )
            for (document, page), text in PAGES.items()
        ]
    )
    return index
