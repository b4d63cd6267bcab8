"""Pages recognised anew: the LLM gets another text, and nothing that is searched changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_support import drawn
from PIL import Image

from rag_plugins import Config, RagIndex
from rag_plugins.config import ChunkingConfig, OcrConfig
from rag_plugins.filters import where
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import SourceFile, find_documents
from rag_plugins.ingest.images import encode
from rag_plugins.ingest.pages import Page
from rag_plugins.ingest.placing import placed, quarters
from rag_plugins.ingest.rereading import Rereader
from rag_plugins.ingest.text import Piece, assemble
from rag_plugins.types import Box, EmbedImage, Passage

LINES = (
    "The coolant pump is bolted to the frame.",
    "Change the dust filter every 500 hours.",
    "Warning: never open the valve while it is hot.",
    "The spare key hangs behind the office door.",
)
ENGLISH = OcrConfig(languages=("eng",), workers=1)
TAIWANESE = OcrConfig(languages=("chi_tra",), workers=1)
BAD = Config.make(
    {
        **Config.preset("lexical").model_dump(),
        "ocr": TAIWANESE.model_dump(),
        "chunking": {"size": 10, "overlap": 0},
    }
)
GOOD = BAD.model_copy(update={"ocr": ENGLISH})


def scan(lines=LINES):
    """A page that a Chinese model reads with errors: words joined, letters taken for others."""
    return drawn(lines, size=(1100, 60 + 70 * len(lines)))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "scan.png"
    scan().save(path)
    return path


def opened(uri, config=BAD, **other):
    return RagIndex.open(uri, config=config, **other)


def reread(index, paths, ocr=ENGLISH, **other):
    return Rereader(index._writer, index.store, index.config).reread(paths, ocr, **other)


def stored(index):
    """All passages, in the order of their pages."""
    passages = index.store.fetch(index.store.ids()).values()
    return sorted(
        passages, key=lambda passage: (passage.provenance.page, passage.provenance.words[0].box.top)
    )


def spelled(passage):
    return [passage.llm_text[word.start : word.end] for word in passage.provenance.words]


def test_the_llm_reads_another_text_and_retrieval_what_it_read(milvus_uri, collection, image):
    with opened(milvus_uri, collection=collection) as index:
        index.ingest([image])
        before = stored(index)
        assert len(before) > 1 and " ".join(p.llm_text for p in before) != " ".join(LINES)
        vectors = index.store.vectors("bm25", index.store.ids())
        summary = reread(index, [image])
        after = stored(index)
        assert " ".join(" ".join(passage.llm_text.split()) for passage in after) == " ".join(LINES)
        for old, new in zip(before, after, strict=True):
            assert (new.id, new.views, new.doc_id) == (old.id, old.views, old.doc_id)
            assert " ".join(spelled(new)) == " ".join(new.llm_text.split())
            assert new.provenance.page_image == old.provenance.page_image
        assert after[0].provenance.start == 0 < after[1].provenance.start
        assert index.store.vectors("bm25", index.store.ids()) == vectors
        assert (summary.documents, summary.pages, summary.bad, summary.notices) == (1, 1, (), ())
        assert summary.changed >= 1 and summary.changed + summary.unchanged == len(after)
        assert (
            summary.before
            < summary.after
            == pytest.approx(
                np.mean([word.confidence for passage in after for word in passage.provenance.words]), abs=1e-3
            )
        )
        assert "views and vectors, was not touched" in str(summary)
        sure = index.store.confidences(index.store.ids())
        assert sure == pytest.approx({p.id: p.provenance.confidence for p in after}, abs=1e-3)


def test_ingesting_again_by_either_settings_changes_nothing(tmp_path, image):
    with opened(tmp_path / "a.db") as index:
        index.ingest([image])
        reread(index, [image])
        read_well = stored(index)
        assert index.ingest([image]).unchanged == 1
    for config, unchanged in ((GOOD, 1), (BAD, 1), (BAD.model_copy(update={"ocr": OcrConfig(dpi=100)}), 0)):
        with opened(tmp_path / "a.db", config) as index:
            assert index.ingest([image]).unchanged == unchanged
            assert (stored(index) == read_well) == bool(unchanged)


def test_recognising_by_the_same_settings_changes_no_text(tmp_path, image):
    with opened(tmp_path / "a.db") as index:
        index.ingest([image])
        before = stored(index)
        summary = reread(index, [image], TAIWANESE)
        assert (summary.changed, summary.unchanged) == (0, len(before))
        assert stored(index) == before


def test_only_files_of_the_collection_that_have_not_changed_are_read(tmp_path, image):
    other, text = tmp_path / "other.png", tmp_path / "note.txt"
    scan(LINES[:1]).save(other)
    text.write_text("Plain text needs no recognition.")
    with opened(tmp_path / "a.db") as index, opened(tmp_path / "a.db", tenant="b") as theirs:
        index.ingest([image, text])
        before = stored_texts(index)
        scan(LINES[1:3]).save(image)
        summary = reread(index, [image, other, text, tmp_path / "absent.png"])
        assert sorted(str(bad).rpartition("/")[2] for bad in summary.bad) == [
            "absent.png: No such file or directory",
            "other.png: is not in the collection: ingest it",
            "scan.png: has changed: ingest it again",
        ]
        assert (summary.documents, summary.pages, summary.before, summary.after) == (0, 0, None, None)
        assert stored_texts(index) == before
        assert [bad.reason for bad in reread(theirs, [text]).bad] == ["is not in the collection: ingest it"]


def stored_texts(index):
    return {id: passage.llm_text for id, passage in index.store.fetch(index.store.ids()).items()}


def test_a_text_layer_is_left_alone(tmp_path, pdf):
    def draw(canvas):
        canvas.drawString(40, 200, "This page has a text layer of its own, read off.")
        canvas.showPage()
        canvas.drawInlineImage(scan(), 0, 0, 400, 300)

    path = pdf(draw)
    with opened(tmp_path / "a.db") as index:
        index.ingest([path])
        first = index.store.fetch(index.store.ids(where("page") == 1))
        summary = reread(index, [path])
        assert (summary.documents, summary.pages) == (1, 1)
        assert index.store.fetch(index.store.ids(where("page") == 1)) == first


def test_a_page_without_a_passage_is_named_and_read_when_it_is_ingested_again(tmp_path):
    path = tmp_path / "two.tif"
    scan(LINES[:2]).save(path, save_all=True, append_images=[scan(LINES[2:])])
    with opened(tmp_path / "a.db") as index:
        index.ingest([path])
        index.remove(index.store.ids(where("page") == 2))
        summary = reread(index, [path])
        (notice,) = summary.notices
        assert "two.tif, page 2: no passage was made of it" in notice
        assert "ingest it with these settings" in notice
        assert stored(index)[0].llm_text == LINES[0]
        assert index.ingest([path]).unchanged == 1
        assert stored(index)[0].llm_text == LINES[0]
    with opened(tmp_path / "a.db", GOOD) as index:
        assert index.ingest([path]).documents == 1
        assert [passage.llm_text for passage in stored(index)][-1] == LINES[-1]


def test_a_page_on_which_nothing_is_recognised_keeps_its_text(tmp_path, image):
    with opened(tmp_path / "a.db") as index:
        index.ingest([image])
        before = stored(index)
        Image.new("L", (600, 300), 255).save(image)
        (blank,) = find_documents([image]).files
        manifest = index._writer.manifest
        manifest.write([replace(manifest.get(blank.doc_id), sha256=blank.sha256)])
        summary = reread(index, [image])
        assert summary.notices == (
            f"{image}, page 1: nothing is recognised now, its passages keep their text",
        )
        assert (summary.pages, summary.changed) == (1, 0) and stored(index) == before


def test_a_run_that_was_stopped_is_finished_by_the_next(tmp_path, image, monkeypatch):
    other = tmp_path / "second.png"
    scan(LINES[2:]).save(other)
    with opened(tmp_path / "a.db") as index:
        index.ingest([image, other])
        retext = index.store.retext

        def broken(passages):
            retext(passages)
            raise KeyboardInterrupt

        monkeypatch.setattr(index.store, "retext", broken)
        with pytest.raises(KeyboardInterrupt):
            reread(index, [image, other])
        monkeypatch.undo()
        assert not any(record.reread for record in index._writer.manifest)
    with opened(tmp_path / "a.db") as index:
        reread(index, [image, other])
        assert all(record.reread for record in index._writer.manifest)
        assert index.ingest([image, other]).unchanged == 2
    with opened(tmp_path / "a.db", GOOD) as index:
        assert index.ingest([image, other]).unchanged == 2


FILE = SourceFile(None, "a.png", "a.png", "")


def page_of(texts, across=5):
    """Words in rows on a page, a paragraph for every two rows."""
    rows = [texts[at : at + across] for at in range(0, len(texts), across)]
    height = 1 / max(len(rows), 1)
    lines = [
        [
            Piece(text, Box(n / across, row * height, (n + 0.8) / across, (row + 0.8) * height), 0.5)
            for n, text in enumerate(line)
        ]
        for row, line in enumerate(rows)
    ]
    text, words = assemble([lines[at : at + 2] for at in range(0, len(lines), 2)])
    return Page(1, text, words, None, "ocr")


word = st.text("abcdefg.", min_size=1, max_size=6)


@given(st.lists(word, min_size=1, max_size=80), st.integers(8, 30), st.integers(0, 7))
@settings(deadline=None, max_examples=60)
def test_the_same_words_give_the_same_passages(texts, size, overlap):
    page = page_of(texts)
    passages = chunk(page, FILE, ChunkingConfig(size=size, overlap=overlap), page_image="e" * 64)
    assert placed(page, passages, "e" * 64) == passages


@given(st.data(), st.lists(word, min_size=1, max_size=60), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_no_word_is_lost_wherever_it_stands(data, texts, turn):
    passages = chunk(page_of(texts), FILE, ChunkingConfig(size=8, overlap=3), page_image="e" * 64)
    edge = st.floats(0, 0.9)
    boxes = data.draw(st.lists(st.tuples(edge, edge), min_size=1, max_size=40))
    pieces = [Piece(f"w{n}", Box(x, y, x + 0.1, y + 0.1), 0.9) for n, (x, y) in enumerate(boxes)]
    text, words = assemble([[pieces[at : at + 4]] for at in range(0, len(pieces), 4)])
    made = placed(Page(1, text, words, None, "ocr"), passages, "f" * 64, turn)
    assert {name for passage in made for name in spelled(passage)} >= {piece.text for piece in pieces}
    for old, new in zip(passages, made, strict=True):
        assert (new.id, new.views) == (old.id, old.views)
        assert new is old or " ".join(spelled(new)) == " ".join(new.llm_text.split())
        if new is not old and new.provenance.start is not None:
            assert text[new.provenance.start :].startswith(new.llm_text)


def test_words_go_to_the_passages_that_stand_there():
    page = page_of(["one", "two", "three", "four", "five.", "Six", "seven", "eight", "nine", "ten."])
    first, second = chunk(page, FILE, ChunkingConfig(size=8, overlap=0))
    top = [Piece(text, Box(n / 5, 0.0, n / 5 + 0.1, 0.3), 0.9) for n, text in enumerate("ABCDE")]
    low = [Piece(text, Box(n / 5, 0.6, n / 5 + 0.1, 0.9), 0.9) for n, text in enumerate("VWXYZ")]
    lie = [
        Piece(p.text, Box(1 - p.box.right, 1 - p.box.bottom, 1 - p.box.left, 1 - p.box.top))
        for p in (*top, *low)
    ]
    for pieces, turn in (([top, low], 0), ([lie[5:], lie[:5]], 2)):
        text, words = assemble([pieces])
        made = placed(Page(1, text, words, None, "ocr"), [first, second], None, turn)
        assert [passage.llm_text for passage in made] == ["A B C D E", "V W X Y Z"]
    # By columns the words of each passage are no run: they are put together, and have no place of their own.
    text, words = assemble([[list(pair) for pair in zip(top, low, strict=True)]])
    made = placed(Page(1, text, words, None, "ocr"), [first, second], None)
    assert [" ".join(passage.llm_text.split()) for passage in made] == ["A B C D E", "V W X Y Z"]
    assert [passage.provenance.start for passage in made] == [None, None]


def test_pictures_get_what_is_read_in_them_now():
    page = page_of(["alpha", "beta", "gamma", "delta", "epsilon."])
    (text,) = chunk(page, FILE, ChunkingConfig(size=8, overlap=0), page_image="e" * 64)
    view = EmbedImage("e" * 64, Box(0.0, 0.0, 0.4, 1.0))
    figure = replace(
        text,
        id="f" * 64,
        views=(view,),
        metadata={"origin": "figure"},
        llm_text="[a.png, page 1: a figure]\nalp",
    )
    made = placed(page, [figure, text], "d" * 64)
    assert made[0].llm_text == "[a.png, page 1: a figure]\nalpha beta" and made[0].views == (view,)
    assert spelled(made[0]) == ["alpha", "beta"] and made[1].llm_text == text.llm_text
    turned = placed(page, [figure], None, 2)
    assert turned[0].llm_text == text.llm_text  # Alone, it gets all: nothing may be lost.
    turned = placed(page, [figure, text], None, 2)
    assert spelled(turned[0]) == ["delta", "epsilon."]
    picture = Passage(
        "a" * 64,
        "a.png",
        (EmbedImage("e" * 64),),
        "[a.png, page 1: a picture]",
        {"origin": "picture"},
        text.provenance,
    )
    (now,) = placed(page, [picture], "e" * 64)
    assert (now.llm_text, now.metadata["origin"], now.views) == (page.text, "ocr", picture.views)


def test_how_a_page_was_turned_is_seen_in_its_images():
    upright = scan().convert("RGB")
    for turn, how in enumerate(
        (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)
    ):
        other = upright if how is None else upright.transpose(how)
        larger = other.resize((other.width * 3 // 2, other.height * 3 // 2))
        assert quarters(encode(upright), encode(larger)) == turn
    assert quarters(b"no image", encode(upright)) == 0
