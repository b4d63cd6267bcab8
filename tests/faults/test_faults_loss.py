"""What is lost or changed in a database file: opening says so, an audit says what."""

import logging
import shutil
from functools import partial

import numpy as np
import pytest
from faults_support_damage import (
    as_killed,
    corrupt_manifest,
    flip_bit_in_segment,
    remove_deletions,
    remove_manifests,
    remove_segment,
    truncate_log,
)

from rag_plugins import Config, RagIndex, where
from rag_plugins.config import Bm25Leg, DenseLeg
from rag_plugins.errors import DataLost
from rag_plugins.ingest.manifest import Manifest
from rag_plugins.models.protocols import DENSE, Encoding
from rag_plugins.models.sides import query_texts
from rag_plugins.types import passage_id

CONFIG = Config(
    legs=(DenseLeg(name="dense", model="letters"), Bm25Leg(name="bm25", language="english")), rerank=()
)
PUMP = "The coolant pump is bolted to the frame with four M8 screws."
FILTER = "Change the dust filter every 500 hours of operation."
FUSE = "A blown fuse stops the display; replace it with part AX-4401."


class Letters:
    """How often each of eight letters is in a text."""

    produces, dim, matryoshka, fingerprint = DENSE, 8, (), {"model": "letters"}

    def encode_documents(self, views, want=DENSE):
        return _letters([view.text for view in views])

    def encode_queries(self, queries, want=DENSE):
        return _letters(query_texts(queries))


def _letters(texts):
    counts = np.array([[1 + text.lower().count(c) for c in "aeioutns"] for text in texts], np.float32)
    return Encoding(dense=counts / np.linalg.norm(counts, axis=1, keepdims=True))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "handbook.db"


@pytest.fixture
def opened(path):
    return partial(RagIndex.open, path, config=CONFIG, encoders={"dense": Letters()})


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in (("pump.md", PUMP), ("filter.md", FILTER), ("fuse.md", FUSE)):
        (folder / name).write_text(text)
    return folder


def texts(index):
    return sorted(passage.llm_text for passage in index.find())


def whole(index, expected):
    """As if nothing had ever happened: by ids, by content, by record, by every leg."""
    assert texts(index) == sorted(expected)
    assert index.audit().sound, index.audit()
    assert index.count() == len(expected) == Manifest(index.store.records, index.tenant).count
    for leg in ("dense", "bm25"):
        for text in expected:
            assert index.search(text, k=1, legs=[leg])[0].passage.llm_text == text


@pytest.mark.parametrize("damage", [remove_segment, remove_manifests])
def test_a_loss_names_the_documents_and_is_repaired_from_their_files(path, opened, files, damage):
    with opened() as index:
        index.ingest([files / "pump.md"])
        index.ingest([files / "filter.md", files / "fuse.md"])
    lost = {id for id in damage(path).lost}
    assert lost
    with pytest.raises(DataLost, match=r"rag-plugins doctor .*handbook\.db --repair") as caught:
        opened()
    assert str(files / "fuse.md") in str(caught.value)
    assert sum(caught.value.documents.values()) == len(lost)
    with opened(check=False) as index:
        assert sum(map(len, index.audit().lost.values())) == len(lost)
        repaired = index.repair()
        assert set(repaired.ingested) == caught.value.documents.keys() and not repaired.left
        whole(index, [PUMP, FILTER, FUSE])
    with opened() as index:
        whole(index, [PUMP, FILTER, FUSE])


def test_what_has_no_file_stays_an_error_until_it_is_given_up(path, opened, files):
    with opened() as index:
        index.ingest([files / "pump.md"])
        index.add([index.passage(FUSE, doc_id="typed")])
    remove_manifests(path)
    (files / "pump.md").unlink()
    for _ in range(2):
        with pytest.raises(DataLost, match="2 passages are not there"):
            opened()
        with opened(check=False) as index:
            left = index.repair().left
            assert (
                "not ingested from a file" in left["typed"]
                and "not there any more" in left[str(files / "pump.md")]
            )
    with opened(check=False) as index:
        assert index.repair(forget=True).forgotten == 2
    with opened() as index:
        whole(index, [])
        index.add([index.passage(FUSE, doc_id="typed")])
        whole(index, [FUSE])


def test_a_log_that_ends_too_early_is_a_loss(path, opened, tmp_path, monkeypatch):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a")])
        with monkeypatch.context() as patch:
            patch.setattr(index.store._engine, "flush", lambda name: None)
            index.add([index.passage(f"{FILTER} {n}", doc_id="b") for n in range(30)])
        killed = as_killed(path, tmp_path / "killed.db")
    harm = truncate_log(killed)
    assert harm.lost
    with pytest.raises(DataLost) as caught:
        opened_at(killed)
    assert caught.value.documents == {"b": len(harm.lost)}


def test_older_rows_are_no_better_than_lost_ones(path, opened, tmp_path, monkeypatch):
    with opened() as index:
        passage = partial(index.passage, doc_id="a", caller_id="x")
        index.add([passage(PUMP)])
        with monkeypatch.context() as patch:
            patch.setattr(index.store._engine, "flush", lambda name: None)
            index.add([passage(FUSE)])
        killed = as_killed(path, tmp_path / "killed.db")
        other = as_killed(path, tmp_path / "other.db")
    assert truncate_log(killed, share=0.0).older
    with pytest.raises(DataLost):
        opened_at(killed)
    with opened_at(other) as index:
        whole(index, [FUSE])


def test_deletions_that_are_lost_bring_nothing_back_unnoticed(path, opened):
    with opened() as index:
        index.add([index.passage(text, doc_id=text[:5]) for text in (PUMP, FILTER)])
        index.delete(FILTER[:5])
    assert remove_deletions(path).revived
    with pytest.raises(DataLost, match="deleted or never recorded"):
        opened()
    with opened(check=False) as index:
        assert sum(map(len, index.audit().unknown.values())) == 1
        assert index.repair(forget=True).forgotten == 1
    with opened() as index:
        whole(index, [PUMP])


def test_lite_that_goes_back_to_an_older_manifest_is_found_out(path, opened):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a")])
        index.add([index.passage(FUSE, doc_id="b")])
    harm = corrupt_manifest(path)
    if harm.all:
        with pytest.raises(DataLost):
            opened()
    else:
        with opened() as index:
            whole(index, [PUMP, FUSE])


def test_a_flipped_bit_is_found_by_the_audit_and_mended_from_the_text(path, opened):
    with opened() as index:
        index.add([index.passage(text, doc_id=text[:5], caller_id=text[:5]) for text in (PUMP, FILTER, FUSE)])
    flip_bit_in_segment(path, "dense", passage_id("", caller_id=FILTER[:5]))
    with opened(check=False) as index:
        found = index.audit()
        assert found.vectors == {FILTER[:5]: (passage_id("", caller_id=FILTER[:5]),)}
        assert not found.texts and not found.lost
        assert index.repair().encoded == 1
        whole(index, [PUMP, FILTER, FUSE])


def test_texts_that_are_others_are_found_and_read_from_their_file(opened, files):
    with opened() as index:
        index.ingest([files])
        (id,) = index.store.ids(where("doc_id") == str(files / "fuse.md"))
        row = {"id": id, "llm_text": "Replace it with part AX-4402.", "spilled": ""}
        index.store._engine.upsert("passages", [row], partial=True)
        found = index.audit()
        assert found.texts == {str(files / "fuse.md"): (id,)} and not found.vectors
        assert index.repair().ingested == (str(files / "fuse.md"),)
        whole(index, [PUMP, FILTER, FUSE])


def test_images_that_are_gone_or_damaged_come_from_their_file(opened, tmp_path):
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", (760, 200), 255)
    ImageDraw.Draw(page).text((40, 60), "Part number AX-4711", font=ImageFont.load_default(size=48))
    page.save(scan := tmp_path / "scan.png")
    with opened() as index:
        index.ingest([scan])
        (asset,) = {file for file in index.assets.folder.rglob("*") if file.is_file()}
        for damage in (lambda: asset.unlink(), lambda: asset.write_bytes(bytes(asset.stat().st_size))):
            damage()
            assert index.audit().images == {str(scan): (asset.stem,)}
            assert index.repair().ingested == (str(scan),)
            assert index.audit().sound


def test_a_write_that_ended_before_it_was_recorded_is_taken_in(path, opened, monkeypatch, caplog):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a")])
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(type(index._writer), "_verify", interrupted)
            index.add([index.passage(FUSE, doc_id="b")])
    with caplog.at_level(logging.INFO, "rag_plugins"), opened() as index:
        assert "1 passages of 1 documents: 'b' (1) were there, and are recorded now" in caplog.text
        assert index.audit().unsealed == 1 and index.audit().sound
        index.repair()
        assert index.audit().unsealed == 0
        whole(index, [PUMP, FUSE])


def test_a_deletion_that_did_not_end_is_done_again(opened, monkeypatch):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a")])
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(index.store, "delete", interrupted)
            index.delete("a")
    with opened() as index:
        whole(index, [PUMP])
        assert index.delete("a") == 1
    with opened() as index:
        whole(index, [])


def test_a_passage_that_moves_to_another_document_is_no_loss(opened):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a", caller_id="x")])
        index.add([index.passage(PUMP, doc_id="b", caller_id="x")])
        assert index.delete("b") == 1
    with opened() as index:
        whole(index, [])


def test_two_indexes_of_a_process_record_together(opened):
    with opened() as one, opened() as two:
        one.add([one.passage(PUMP, doc_id="a")])
        two.add([two.passage(FUSE, doc_id="a")])
        one.remove([one.passage(PUMP, doc_id="a").id])
    with opened() as index:
        whole(index, [FUSE])


def test_without_its_record_a_file_is_taken_as_it_is(path, opened):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a")])
    for beside in path.parent.glob("handbook.db.manifest*"):
        beside.unlink()
    with opened() as index:
        whole(index, [PUMP])
        assert index.delete("a") == 1


def test_a_database_that_is_gone_is_not_an_empty_one(path, opened, files):
    with opened() as index:
        index.ingest([files])
    shutil.rmtree(path)
    with pytest.raises(DataLost, match=r"to begin anew delete .*handbook\.db\.manifest"):
        opened()
    with opened(check=False) as index:
        assert len(index.repair().ingested) == 3
        whole(index, [PUMP, FILTER, FUSE])


@pytest.mark.parametrize("resident", [True, False])
def test_a_long_text_that_is_lost_is_a_loss_and_read_again(path, opened, tmp_path, resident):
    text = " ".join(f"{PUMP} {n}" for n in range(1200))
    (file := tmp_path / "long.html").write_text(f"<pre>{text}</pre>")
    with opened() as index:
        index.ingest([file])
        index.add([index.passage(text, doc_id="typed"), index.passage(FUSE, doc_id="short")])
    assert remove_manifests(path, "passages_state").lost
    if not resident:
        shutil.rmtree(path.with_name("handbook.db.resident"))
    with pytest.raises(DataLost, match="'typed' \\(1\\)"):
        opened()
    with opened(check=False) as index:
        assert index.audit().texts.keys() == {"typed"}
        assert index.repair().left.keys() == {"typed"}
        assert index.repair(forget=True).forgotten == 1
        index.add([index.passage(text, doc_id="typed")])
    with opened() as index:
        assert index.audit().sound and text in texts(index)


def test_a_lost_header_is_taken_from_the_record(path, opened):
    with opened() as index:
        index.add([index.passage(PUMP, doc_id="a")])
    remove_manifests(path, "passages_state")
    with opened() as index:
        whole(index, [PUMP])


def interrupted(*arguments):
    raise KeyboardInterrupt


def opened_at(path):
    return RagIndex.open(path, config=CONFIG, encoders={"dense": Letters()})
