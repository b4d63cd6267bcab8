import pytest
from langchain_core.documents import Document

from rag_plugins import RagIndex
from rag_plugins.langchain import from_document

HANDBOOK = [
    Document(
        id="filter",
        page_content="Change the air filter every 6 months.",
        metadata={
            "source": "handbook.pdf",
            "page": 3,
            "year": 2021,
            "retrieval_text": "maintenance interval air filter replacement",
        },
    ),
    Document(
        id="lamp",
        page_content="The red lamp means that the tank is empty.",
        metadata={"source": "handbook.pdf", "page": 4, "year": 2021},
    ),
    Document(
        id="tank",
        page_content="Fill the tank with distilled water only.",
        metadata={"source": "handbook.pdf", "page": 5, "year": 2023},
    ),
    Document(
        id="café",
        page_content="咖啡机的水箱是空的。 Un café, s'il vous plaît 🙂",
        metadata={"source": "menu", "year": 2023},
    ),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of BM25 alone, which needs no model, with the handbook in it."""
    with RagIndex.open(tmp_path_factory.mktemp("index") / "handbook.db", preset="lexical") as index:
        index.add([from_document(document, index) for document in HANDBOOK])
        yield index
