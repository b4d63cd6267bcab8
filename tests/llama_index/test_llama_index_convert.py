import base64
import datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.generic_utils import image_node_to_image_block
from llama_index.core.schema import (
    Document,
    ImageNode,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from page_support import picture

from rag_plugins import Box, EmbedImage, EmbedText, Hit, Passage, Provenance, StageScore
from rag_plugins.errors import BadInput, BadPassage, StoreError
from rag_plugins.langchain import to_document
from rag_plugins.llama_index import from_node, to_image_node, to_node
from rag_plugins.llama_index.convert import sides
from rag_plugins.types import passage_id


def contents(node):
    return node.get_content(MetadataMode.EMBED), node.get_content(MetadataMode.LLM)


def made(view, llm_text, **fields):
    fields = {"id": "a" * 64, "doc_id": "d", "views": (EmbedText(view),), "llm_text": llm_text, **fields}
    return Hit(Passage(**fields), 0.5)


def test_the_sides_of_a_node_are_its_embed_and_llm_contents(index, handbook):
    passage = from_node(handbook[0], index)

    assert passage.views == (
        EmbedText("hint: maintenance interval\n\nChange the air filter every 6 months."),
    )
    assert passage.llm_text == "Change the air filter every 6 months."
    assert (passage.caller_id, passage.doc_id) == ("filter", "handbook")
    assert passage.id == passage_id(index.tenant, caller_id="filter")


def test_a_node_without_a_source_is_its_own_document(index):
    assert from_node(TextNode(id_="n", text="x"), index).doc_id == "n"


def fields(node):
    """All but what the search adds."""
    found = node.model_dump()
    found["metadata"].pop("rag_plugins", None)
    for key in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
        found[key] = [name for name in found[key] if name != "rag_plugins"]
    for related in found["relationships"].values():
        for info in related if isinstance(related, list) else [related]:
            info["metadata"] = {}
    return found


ROUND_TRIPS = [
    TextNode(id_="plain", text="text"),
    TextNode(id_="spaces", text="  text\n"),
    TextNode(id_="metadata", text="text", metadata={"b": 1, "a": "x", "text": "text"}),
    TextNode(id_="braces", text="{content} {0} {", metadata={"k": "{metadata_str}"}),
    TextNode(
        id_="keys",
        text="text",
        metadata={"b": 1, "a": "x"},
        excluded_llm_metadata_keys=["b"],
        excluded_embed_metadata_keys=["a"],
        start_char_idx=5,
        end_char_idx=9,
    ),
    TextNode(
        id_="templates",
        text="text",
        metadata={"k": "v"},
        text_template="<{metadata_str}> {content}",
        metadata_template="{key}={value}",
        metadata_separator=";",
    ),
    TextNode(
        id_="related",
        text="text",
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", hash="h"),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="next"),
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
        },
    ),
]


@pytest.mark.parametrize("node", ROUND_TRIPS, ids=lambda node: node.node_id)
def test_a_node_comes_back_from_the_store_as_it_was(index, node):
    index.add([from_node(node, index)])
    [passage] = index.store.fetch([passage_id("", caller_id=node.node_id)]).values()
    found = to_node(Hit(passage, 0.5))

    assert found.score == 0.5
    assert contents(found.node) == contents(node)
    assert fields(found.node) == fields(node)


def test_metadata_that_json_has_no_types_for_are_converted_and_both_sides_stay(index):
    node = TextNode(
        text="text", metadata={"day": datetime.datetime(2024, 5, 1), "n": np.int64(3), "f": float("nan")}
    )
    passage = from_node(node, index)
    found = to_node(Hit(passage, 1.0)).node

    assert {key: found.metadata[key] for key in "day n f".split()} == {
        "day": "2024-05-01T00:00:00",
        "n": 3,
        "f": None,
    }
    assert contents(found) == contents(node)


def test_metadata_that_json_cannot_hold_are_refused_by_name(index):
    with pytest.raises(BadPassage, match="'thing'"):
        from_node(TextNode(text="x", metadata={"thing": object()}), index)


@pytest.mark.parametrize(
    ("view", "llm_text"),
    [("view", "text"), ("same", "same"), ("  view\n", " text "), ("", "text"), ("view", ""), ("{x}", "{y}")],
)
@pytest.mark.parametrize("metadata", [{}, {"k": "v", "retrieval_text": "the caller's"}])
def test_the_contents_of_a_found_node_are_exactly_the_two_sides(view, llm_text, metadata):
    node = to_node(made(view, llm_text, metadata=metadata)).node

    assert contents(node) == (view, llm_text)
    assert node.get_content() == llm_text


def test_found_nodes_survive_llama_indexs_serialisation():
    node = to_node(made("view", "text", metadata={"k": "v"})).node

    assert contents(json_to_doc(doc_to_json(node))) == ("view", "text")
    assert contents(TextNode.from_dict(node.to_dict())) == ("view", "text")


def test_metadata_added_after_retrieval_do_not_replace_the_text():
    node = to_node(made("view", "text")).node
    node.metadata["retrieval_score"] = 0.3

    assert contents(node) == ("view", "0.3\n\ntext")


def test_what_the_search_adds_stands_apart():
    trace = (StageScore("bm25", "leg", 1, 4.5, weight=1.0, part=1.0),)
    hit = made(
        "view", "text", metadata={"score": "A"}, provenance=Provenance("a.png", 2, page_image="b" * 64)
    )
    found = to_node(Hit(hit.passage, 0.5, trace)).node

    assert found.metadata["score"] == "A"
    assert (found.metadata["source"], found.metadata["page"]) == ("a.png", 2)
    assert found.metadata["rag_plugins"] == {
        "score": 0.5,
        "passage_id": "a" * 64,
        "doc_id": "d",
        "page_image": "b" * 64,
        "trace": [{"stage": "bm25", "kind": "leg", "rank": 1, "score": 4.5, "weight": 1.0, "part": 1.0}],
    }
    assert (found.node_id, found.ref_doc_id) == ("a" * 64, "d")


def test_a_found_node_can_be_added_again(index, handbook):
    for node in [*handbook, *ROUND_TRIPS]:
        first = from_node(node, index)
        again = from_node(to_node(Hit(first, 0.5)).node, index)
        assert (again.id, again.views, again.llm_text) == (first.id, first.views, first.llm_text)
        assert contents(to_node(Hit(again, 0.5)).node) == contents(node)


def test_langchains_face_of_the_same_passage_shows_no_node_fields(index, handbook):
    document = to_document(Hit(from_node(handbook[0], index), 0.5))

    assert document.page_content == "Change the air filter every 6 months."
    assert set(document.metadata) == {"hint", "year", "retrieval_text", "rag_plugins"}


def test_long_nodes_are_stored_whole(index):
    node = TextNode(id_="long", text="word " * 30_000 + "end", metadata={"title": "long"})
    index.add([from_node(node, index)])
    [found] = [to_node(hit).node for hit in index.search("end")]

    assert found.text == node.text
    assert contents(found) == contents(node)


def test_keys_that_an_extractor_adds_to_a_readers_document_leave_it_its_text(index):
    document = Document(**sides("text", "view", {"page": 1}))
    document.metadata["title"] = "Handbook"
    passage = from_node(document, index)

    assert passage.llm_text == "Handbook\n\ntext"
    assert passage.views == (EmbedText("view\nHandbook"),)


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
KEYS = st.lists(st.sampled_from("abc"), unique=True)
SCALARS = st.one_of(TEXTS, st.integers(-9, 9), st.booleans(), st.none(), st.dates())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    node=st.builds(
        TextNode,
        text=TEXTS,
        metadata=st.dictionaries(st.sampled_from(["a", "b", "retrieval_text"]), SCALARS),
        excluded_embed_metadata_keys=KEYS,
        excluded_llm_metadata_keys=KEYS,
        text_template=st.sampled_from(["{metadata_str}\n{content}", "{content}", "{content}:{metadata_str}"]),
        metadata_template=st.sampled_from(["{key}: {value}", "{value}"]),
    )
)
def test_both_contents_of_any_node_come_back(index, node):
    passage = from_node(node, index)

    assert contents(to_node(Hit(passage, 1.0)).node) == contents(node)


@settings(max_examples=200, deadline=None)
@given(view=TEXTS, llm_text=TEXTS, metadata=st.dictionaries(st.sampled_from(["a", "retrieval_text"]), TEXTS))
def test_the_contents_of_any_found_node_are_the_two_sides(view, llm_text, metadata):
    assert contents(to_node(made(view, llm_text, metadata=metadata)).node) == (view, llm_text)


FIGURE = EmbedImage("c" * 64, Box(0.125, 0.2, 0.8, 1 / 3))


@pytest.mark.parametrize("views", [(EmbedText("view"), FIGURE), (FIGURE,), (EmbedText("text"), FIGURE)])
def test_image_views_come_back_and_no_side_becomes_the_other(index, views):
    first = Passage(passage_id("", caller_id="7"), "7", views, "text", caller_id="7")
    node = to_node(Hit(first, 1.0)).node
    again = from_node(node, index)

    assert contents(node) == (views[0].text if len(views) > 1 else "", "text")
    assert (again.id, again.views, again.llm_text) == (first.id, views, "text")
    assert from_node(to_node(Hit(again, 1.0)).node, index) == again
    stored = json_to_doc(doc_to_json(node))
    assert from_node(stored, index).views == views


def test_image_views_that_no_search_made_are_refused(index):
    node = TextNode(text="x", metadata={"rag_plugins": {"image_views": [{"asset": "/etc/passwd"}]}})
    with pytest.raises(BadPassage, match="image_views.*64 hex digits"):
        from_node(node, index)


@pytest.mark.parametrize("views", [(EmbedText("view"),), (EmbedText("text"),), (FIGURE,)])
def test_a_page_as_an_image_node_has_its_image_and_both_contents(index, views):
    page = picture("red")
    origin = Provenance("scan.pdf", 3, page_image=index.assets.put(page))
    hit = Hit(Passage("a" * 64, "d", views, "text", {"k": "v"}, origin), 0.5, assets=index.assets)
    found = to_image_node(hit)

    assert isinstance(found.node, ImageNode)
    assert (found.score, found.node_id) == (0.5, "a" * 64)
    assert contents(found.node) == contents(to_node(hit).node)
    assert (found.node.image_path, found.node.image_url) == (None, None)
    assert base64.b64decode(found.node.image) == page
    assert image_node_to_image_block(found.node).image_mimetype == "image/png"
    text, image = found.node.get_content_blocks(MetadataMode.LLM)
    assert (text.text, image.image_mimetype) == ("text", "image/png")
    assert base64.b64decode(image.image) == page
    assert from_node(found.node, index).views == from_node(to_node(hit).node, index).views


def test_image_nodes_survive_llama_indexs_serialisation(index):
    asset = index.assets.put(picture("red"))
    hit = Hit(Passage("a" * 64, "d", (EmbedImage(asset),), "text"), 0.5, assets=index.assets)
    node = to_image_node(hit).node
    again = json_to_doc(doc_to_json(node))

    assert contents(again) == ("", "text")
    assert again.image == node.image


def test_what_has_no_page_image_gives_no_image_node_and_what_is_lost_is_told(index):
    assert to_image_node(made("view", "text")) is None
    with pytest.raises(StoreError, match="is not in"):
        to_image_node(Hit(made("view", "text", views=(FIGURE,)).passage, 0.5, assets=index.assets))
    with pytest.raises(BadInput, match="no assets"):
        to_image_node(made("view", "text", views=(FIGURE,)))


def test_content_blocks_never_lose_the_text_to_the_views_template():
    [block] = to_node(made("view", "text")).node.get_content_blocks(MetadataMode.LLM)

    assert block.text == "text"
