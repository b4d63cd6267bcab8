"""What the page is sent: exact texts, figures, and no path of the machine."""

import json
from pathlib import Path
from tempfile import gettempdir

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.chat import End, Evidence, Piece, Source
from rag_plugins.chat.serving.names import without_paths
from rag_plugins.chat.serving.payloads import failed, sent
from rag_plugins.chat.sources import Found, Line
from rag_plugins.evidence import StageRow
from rag_plugins.text import file_name
from rag_plugins.types import Box

BOX = Box(0.1, 0.2, 0.33333333, 0.25)


def source(text="Tighten to [?38?] Nm."):
    row = StageRow("bm25", "leg", 1, 12.3456, 0.5, ((2, 0.25),), "read 3 of 4 tokens", "finds most")
    lines = (Line("Tighten to 38 Nm.", BOX),)
    hits = (Found(0.98765, (row,)),)
    return Source(1, "/home/ann/scans/pump.tif, page 4", "OCR", text, "a" * 64, (BOX,), lines, hits)


def read(event):
    kind, data, *rest = sent(event).decode().split("\n")
    assert rest == ["", ""]
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_evidence_has_all_that_is_shown():
    kind, data = read(Evidence("How tight?", (source(),), ("2 left out",)))
    assert kind == "evidence" and data["question"] == "How tight?" and data["notices"] == ["2 left out"]
    (one,) = data["sources"]
    assert one["name"] == "pump.tif, page 4" and one["image"] == "api/image/" + "a" * 64
    assert one["boxes"] == [[0.1, 0.2, 0.3333, 0.25]]
    assert one["lines"] == [{"text": "Tighten to 38 Nm.", "box": [0.1, 0.2, 0.3333, 0.25]}]
    assert one["text"] == [["Tighten to ", False], ["[?38?]", True], [" Nm.", False]]
    (hit,) = one["hits"]
    assert hit["score"] == "0.988" and hit["trace"][0]["score"] == "12.3"
    assert hit["trace"][0]["shares"] == [[2, 0.25]] and hit["trace"][0]["why"] == "finds most"


@given(st.text(alphabet=st.one_of(st.sampled_from("[?]\n"), st.characters(codec="utf-8"))))
def test_the_text_that_was_read_is_whole(text):
    (one,) = read(Evidence("q", (source(text),)))[1]["sources"]
    assert "".join(piece for piece, _ in one["text"]) == text


@given(st.text(st.characters(codec="utf-8")))
def test_no_piece_breaks_out_of_its_event(text):
    assert read(Piece(text)) == ("text", {"piece": text})
    assert read(End("nothing", text)) == ("end", {"kind": "nothing", "note": text})
    assert failed(text).count(b"\n") == 3


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("asset is not in /srv/data/a.db.assets: restore", "asset is not in a.db.assets: restore"),
        (f"{Path.home()}/my files/b.db is locked", "b.db is locked"),
        (f"writing {gettempdir()}/rag-1/2/a.png: full", "writing a.png: full"),
        ("writing /srv/a b/c.db to /srv/d e/f.db", "writing c.db to f.db"),
        ("cannot open '/var/lib/a.db'", "cannot open 'a.db'"),
        ("no answer from http://127.0.0.1:11434/v1/chat", "no answer from http://127.0.0.1:11434/v1/chat"),
        ("1/2 or and/or", "1/2 or and/or"),
    ],
)  # fmt: skip
def test_messages_name_files_without_their_folders(message, told):
    assert without_paths(message) == told


def test_a_document_is_shown_by_its_name_alone_where_its_path_is_from_the_root():
    assert file_name("/home/ann/scans/pump.tif") == "pump.tif"
    assert file_name("scans/pump.tif") == "scans/pump.tif" and file_name("pump") == "pump"
    assert file_name("C:/scans/pump.tif") == "pump.tif"
