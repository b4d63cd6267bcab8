import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from rag_plugins import RagIndex
from rag_plugins.llama_index import from_node


def node(id, text, **metadata):
    """A chunk of the handbook: retrieval also reads `hint`, the LLM does not."""
    return TextNode(
        id_=id,
        text=text,
        metadata=metadata,
        excluded_llm_metadata_keys=["hint", "year"],
        excluded_embed_metadata_keys=["year"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook", hash="h")},
    )


@pytest.fixture
def handbook():
    return [
        node("filter", "Change the air filter every 6 months.", hint="maintenance interval", year=2021),
        node("lamp", "The red lamp means that the tank is empty.", hint="signals", year=2021),
        node("tank", "Fill the tank with distilled water only.", hint="supplies", year=2023),
        TextNode(
            id_="café", text="咖啡机的水箱是空的。 Un café, s'il vous plaît 🙂", metadata={"year": 2023}
        ),
    ]


@pytest.fixture
def index(tmp_path, handbook):
    """An index of BM25 alone, which needs no model, with the handbook in it."""
    with RagIndex.open(tmp_path / "handbook.db", preset="lexical") as index:
        index.add([from_node(node, index) for node in handbook])
        yield index
