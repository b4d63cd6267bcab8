"""Mixing the two sides of a passage fails at run time, before anything is stored or asked."""

import pytest
from faces_support import PLAN, VALVE, dual_index
from langchain_core.documents import Document
from llama_index.core.schema import MetadataMode, TextNode

from rag_plugins.config import Bm25Leg
from rag_plugins.context import format_context
from rag_plugins.errors import BadPassage, SideError
from rag_plugins.langchain import to_document
from rag_plugins.llama_index import HybridRetriever, to_node
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.types import EmbedImage, EmbedText, Passage, passage_id

VIEW, IMAGE = EmbedText("shutoff device"), EmbedImage("a" * 64)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    with dual_index(tmp_path_factory.mktemp("sides") / "sides.db") as index:
        yield index


def foreign():
    return ForeignEncoder(
        "mine", lambda texts: [[1.0]] * len(texts), lambda texts: [[1.0]] * len(texts), dim=1
    )


@pytest.mark.parametrize("make", [foreign, lambda: Bm25Encoder(Bm25Leg())])
@pytest.mark.parametrize(
    "mix",
    [
        lambda encoder: encoder.encode_queries([VIEW]),
        lambda encoder: encoder.encode_queries([IMAGE]),
        lambda encoder: encoder.encode_documents([VALVE]),
        lambda encoder: encoder.encode_documents(VALVE),
        lambda encoder: encoder.encode_documents([VIEW, VALVE]),
    ],
)
def test_encoders_take_views_for_documents_and_strings_for_queries(make, mix):
    with pytest.raises(SideError, match="expected"):
        mix(make())


@pytest.mark.parametrize(
    "mix",
    [
        lambda index: index.search(VIEW),
        lambda index: index.search(IMAGE),
        lambda index: index.passage(VIEW),
        lambda index: index.passage(VALVE, view=VIEW),
        lambda index: HybridRetriever(index).index.search(VIEW, mode="dual"),
        lambda index: index.context([VIEW]),
        lambda index: format_context(index.search("blue")[0].passage.views),
        lambda index: f"{VIEW}",
    ],
)
def test_an_index_takes_no_view_for_text(index, mix):
    with pytest.raises(SideError, match="got Embed"):
        mix(index)


@pytest.mark.parametrize(
    "sides",
    [
        {"llm_text": VIEW},
        {"views": (VALVE,)},
        {"views": VALVE},
        {"views": (b"\x89PNG",)},
        {"views": (EmbedImage("/etc/passwd"),)},
    ],
)
def test_a_passage_whose_sides_are_swapped_is_not_stored(index, sides):
    fields = {"views": (VIEW,), "llm_text": VALVE, **sides}
    swapped = Passage(passage_id("", caller_id="x"), "d", caller_id="x", **fields)
    before = index.count()
    with pytest.raises(BadPassage):
        index.add([swapped])
    assert index.count() == before


@pytest.mark.parametrize("framework", [Document, TextNode])
def test_frameworks_refuse_a_view_for_their_text(framework):
    with pytest.raises(ValueError, match="string"):
        framework(**{"page_content" if framework is Document else "text": VIEW})


def test_a_hit_goes_out_by_one_side_each(index):
    sides = {hit.passage.caller_id: hit for hit in index.search("shutoff blue", k=3)}
    valve, plan = sides["valve"], sides["plan"]

    assert to_node(valve).get_content(MetadataMode.LLM) == to_document(valve).page_content == VALVE
    assert to_node(valve).node.get_content(MetadataMode.EMBED) == "shutoff device"
    assert to_node(plan).get_content(MetadataMode.LLM) == to_document(plan).page_content == PLAN
    assert to_node(plan).node.get_content(MetadataMode.EMBED) == ""
    with pytest.raises(SideError, match="use page_content"):
        f"{to_document(valve).metadata['retrieval_text']}"
