import base64

import pytest
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import VectorStoreQuery
from page_support import ColourEncoder, picture

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ImageLeg
from rag_plugins.errors import BadPassage
from rag_plugins.llama_index import HybridRetriever, RagVectorStore, from_node, to_node

RED = base64.b64encode(picture("red")).decode()


@pytest.fixture
def lexical(tmp_path):
    with RagIndex.open(tmp_path / "nodes.db", preset="lexical") as index:
        yield index


@pytest.fixture
def dual(tmp_path):
    config = Config(legs=(Bm25Leg(), ImageLeg(model="colours")), rerank=())
    with RagIndex.open(tmp_path / "dual.db", config=config, encoders={"image": ColourEncoder()}) as index:
        yield index


def returned(index, node, question):
    """A node as it comes back from a query, from `get_nodes` and from the retriever."""
    store = RagVectorStore(index)
    store.add([node])
    [queried] = store.query(VectorStoreQuery(query_str=question)).nodes
    [got] = store.get_nodes([node.node_id])
    [retrieved] = HybridRetriever(index, k=1).retrieve(question)
    return [queried, got, retrieved.node]


def test_all_of_a_text_node_survives(lexical):
    related = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook", hash="h", node_type="4"),
        NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before"),
        NodeRelationship.NEXT: RelatedNodeInfo(node_id="after"),
        NodeRelationship.PARENT: RelatedNodeInfo(node_id="chapter"),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="a"), RelatedNodeInfo(node_id="b")],
    }
    node = TextNode(
        id_="valve",
        text="Close the valve first.",
        metadata={"page": 7, "hint": "maintenance", "tags": ["a"], "none": None},
        excluded_embed_metadata_keys=["page"],
        excluded_llm_metadata_keys=["hint", "tags"],
        metadata_template="<{key}={value}>",
        metadata_separator=" | ",
        text_template="{metadata_str}\n--\n{content}",
        start_char_idx=120,
        end_char_idx=142,
        mimetype="text/markdown",
        relationships=related,
    )
    for back in returned(lexical, node, "maintenance valve"):
        assert back.relationships == related
        for mode in (MetadataMode.EMBED, MetadataMode.LLM, MetadataMode.NONE):
            assert back.get_content(mode) == node.get_content(mode)
        assert back.hash == node.hash and back.ref_doc_id == "handbook"
        kept = ("node_id", "text", "start_char_idx", "end_char_idx", "mimetype", "text_template")
        kept += ("metadata_template", "metadata_separator")
        assert [getattr(back, name) for name in kept] == [getattr(node, name) for name in kept]
        assert {**back.metadata, "rag_plugins": 0} == {**node.metadata, "rag_plugins": 0}
        assert back.class_name() == "TextNode"
    stored = RagVectorStore(lexical).get_nodes(["valve"])[0]
    assert stored.metadata == node.metadata
    assert stored.excluded_llm_metadata_keys == node.excluded_llm_metadata_keys
    assert stored.get_content(MetadataMode.ALL) == node.get_content(MetadataMode.ALL)


def test_a_node_with_a_view_is_stored_as_it_is_and_added_again_unchanged(lexical):
    lexical.add([lexical.passage("Twist it.", view="how a bulb is changed", caller_id="bulb")])
    store = RagVectorStore(lexical)
    before = lexical.get(["bulb"])

    [node] = store.get_nodes(["bulb"])
    assert node.get_content(MetadataMode.EMBED) == "how a bulb is changed"
    assert node.get_content(MetadataMode.LLM) == "Twist it."
    store.add([node])
    [after] = lexical.get(["bulb"])
    assert (after.views, after.llm_text, lexical.count()) == (before[0].views, "Twist it.", 1)


def test_a_document_comes_back_as_a_text_node(lexical):
    document = Document(text="Close the valve.", id_="d", metadata={"page": 1})
    for back in returned(lexical, document, "valve"):
        assert isinstance(back, TextNode) and back.text == document.text
        assert back.get_content(MetadataMode.ALL if back.metadata == document.metadata else MetadataMode.NONE)
        assert NodeWithScore(node=back, score=1.0).text == document.text


def test_an_index_node_stays_one_and_its_object_outside(lexical):
    class Unserialisable:
        pass

    node = IndexNode(id_="n", text="All about valves.", index_id="valves", obj=Unserialisable())
    for back in returned(lexical, node, "valves"):
        assert isinstance(back, IndexNode)
        assert (back.index_id, back.obj, back.text) == ("valves", None, node.text)


class Answer(CustomQueryEngine):
    text: str

    def custom_query(self, query_str):
        return f"{self.text}: {query_str}"


async def test_index_nodes_are_gone_on_from_to_their_objects(tmp_path):
    part = TextNode(id_="detail", text="The valve closes clockwise.")
    with HybridRetriever.from_nodes([part], tmp_path / "parts.db", "lexical") as parts:
        nodes = [
            IndexNode(text="Summary of valves.", index_id="valves", obj=parts),
            IndexNode(text="Summary of lamps.", index_id="lamps", obj=Answer(text="lit")),
            IndexNode(text="Summary of pumps.", index_id="pumps", obj=TextNode(id_="pump", text="It pumps.")),
            IndexNode(text="Summary of fans.", index_id="fans"),
            TextNode(id_="plain", text="Summary of nothing."),
        ]
        with HybridRetriever.from_nodes(nodes, tmp_path / "top.db", "lexical", k=1) as retriever:
            assert [found.node_id for found in retriever.retrieve("valves valve clockwise")] == ["detail"]
            assert [found.text for found in await retriever.aretrieve("lamps")] == ["lit: lamps"]
            assert [found.text for found in retriever.retrieve("pumps")] == ["It pumps."]
            [unknown] = retriever.retrieve("fans")
            assert (unknown.node.index_id, unknown.node.obj) == ("fans", None)
            assert [found.node_id for found in retriever.retrieve("nothing")] == ["plain"]
        with HybridRetriever.from_nodes(
            [], tmp_path / "top.db", "lexical", k=1, object_map={"fans": Answer(text="blown")}
        ) as again:
            assert [found.text for found in again.retrieve("fans")] == ["blown: fans"]


def test_an_image_node_is_searched_by_its_image_and_has_it_again(dual):
    node = ImageNode(
        id_="p", text="A drawing.", image=RED, image_mimetype="image/png", image_path="/etc/passwd"
    )
    for back in returned(dual, node, "red"):
        assert isinstance(back, ImageNode) and back.text == "A drawing."
        assert (back.image, back.image_mimetype) == (RED, "image/png")
        assert (back.image_path, back.image_url) == (None, None)
        assert len(back.get_content_blocks()) == 2
    assert RED[:40] not in str(dual.get(["p"])[0].metadata)


def test_an_image_node_without_text_is_found_by_its_image(dual):
    for back in returned(dual, ImageNode(id_="p", image=RED), "red"):
        assert back.image == RED


def test_an_image_that_no_leg_reads_is_left_out_and_said_so(lexical, caplog):
    for back in returned(lexical, ImageNode(id_="p", text="A drawing.", image=RED), "drawing"):
        assert not isinstance(back, ImageNode) and back.text == "A drawing."
    assert "node p is kept without its image: no leg reads images" in caplog.text


def test_an_image_that_is_none(dual):
    with pytest.raises(BadPassage, match="not base64"):
        from_node(ImageNode(id_="p", text="A drawing.", image="?"), dual)


def test_an_image_node_that_was_found_is_added_again_unchanged(dual):
    dual.add([from_node(ImageNode(id_="p", text="A drawing.", image=RED), dual)])
    [hit] = dual.search("red")
    before = dual.get(["p"])

    dual.add([from_node(to_node(hit).node, dual)])
    assert dual.get(["p"]) == before
