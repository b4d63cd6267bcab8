"""Files that come in, of any name, kind and size: none overwrites another, none is told of by a path."""

import logging
import os
from io import BytesIO
from pathlib import Path, PurePath
from tempfile import gettempdir

import pytest
from chat_page_support import FORM, form, scan, served, until
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from rag_plugins.chat import Chat
from rag_plugins.chat.serving.bodies import limited
from rag_plugins.chat.serving.uploads import Batch, Uploads, safe_name
from rag_plugins.errors import BadInput, StoreError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("scan.png", "scan.png"),
        ("../../etc/cron.d/job.md", "job.md"),
        ("C:\\Users\\ann\\scan.PNG", "scan.PNG"),
        ("a\0b\x07.txt", "a_b_.txt"),
        ("in\u202egnp.txt", "in_gnp.txt"),
        (".hidden.pdf", "hidden.pdf"),
        ("scan.png. .", "scan.png"),
        ("手册.pdf", "手册.pdf"),
        ('what?*<>|":.md', "what_______.md"),
    ],
)
def test_names_are_made_safe_and_stay_readable(given, kept):
    assert safe_name(given) == kept


@pytest.mark.parametrize(
    "given", [None, "", "..", "/", "run.exe", "png", ".png", "a.png\0", "scan.png\u202e"]
)
def test_what_is_not_read_by_its_name_is_refused(given):
    with pytest.raises(BadInput, match=r"is not read: send .*\.pdf"):
        safe_name(given)


@given(st.text(max_size=300), st.sampled_from([".md", ".PDF", ""]))
def test_any_name_is_one_file_s_or_refused(stem, suffix):
    try:
        name = safe_name(stem + suffix)
    except BadInput:
        return
    assert PurePath(name).name == name and len(name.encode()) <= 200
    assert not any(character in name for character in "/\\\0\u202e\n")


def test_two_files_of_one_name_are_both_kept(tmp_path):
    batch = Batch(tmp_path)
    for text in (b"1", b"2", b"3"):
        batch.put("a/notes.md", BytesIO(text))
    batch.put("run.exe", BytesIO(b"4"))
    assert batch.names == ["notes.md", "notes-2.md", "notes-3.md"]
    assert [(tmp_path / name).read_text() for name in batch.names] == ["1", "2", "3"]
    assert len(batch.bad) == 1 and batch.bad[0].startswith("run.exe is not read")


def test_files_are_read_and_can_be_asked_about(client):
    told = client.uploaded(("valve.md", b"The valve opens at 7.5 bar."), ("run.exe", b"MZ"))
    assert told["told"] == "Read valve.md: 1 page, 1 passage"
    assert len(told["bad"]) == 1 and told["bad"][0].startswith("run.exe is not read")
    assert client.names() == ["filter.md", "pump.md", "valve.md"]
    got = client.ask("At what does the valve open?")
    assert "7.5 bar" in got.answer and got.events[0][1]["sources"][0]["name"].startswith("valve.md")


def test_the_same_name_takes_the_place_of_the_document_and_says_so(client):
    client.uploaded(("valve.md", b"The valve opens at 7.5 bar."))
    again = client.uploaded(("valve.md", b"The valve opens at 7.5 bar."))
    assert again["told"] == "valve.md: the same as in the collection"
    other = client.uploaded(("valve.md", b"The valve opens at 9 bar."))
    assert other["told"].endswith("1 took the place of what had the same name")
    assert client.names().count("valve.md") == 1
    assert "9 bar" in client.ask("At what does the valve open?").answer


def test_bad_content_is_told_file_by_file_without_a_path(client):
    files = [("empty.pdf", b""), ("random.png", os.urandom(500)), ("cut.png", scan("One")[:900])]
    files += [("zip.docx", b"PK\3\4 no zip"), ("good.txt", b"The lamp is green.")]
    told = client.uploaded(*files)
    assert told["told"].startswith("Read 5 files: 1 page")
    assert [line.split(":")[0] for line in told["bad"]] == ["cut.png", "empty.pdf", "random.png", "zip.docx"]
    _no_path(repr(told))


def _no_path(text):
    assert gettempdir() not in text and str(Path.home()) not in text and "rag-plugins-chat-" not in text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError(f"writing {Path.home()}/my db/a.db: disk is full"), "writing a.db: disk is full"),
        (OSError(28, "No space left", f"{gettempdir()}/rag-plugins-chat-1/x.md"), "something went wrong"),
        (RuntimeError(f"{Path.home()}/secret"), "something went wrong"),
    ],
)
def test_an_ingestion_that_fails_is_told_without_a_path(chat, client, monkeypatch, caplog, error, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(chat.index, "ingest", fail)
    with caplog.at_level(logging.ERROR):
        state = client.uploaded(("a.md", b"text"))
    assert state["told"] == "Not read: a.md" and told in state["bad"][0]
    _no_path(repr(state))
    assert isinstance(error, StoreError) or "an upload failed" in caplog.text


def test_an_index_that_was_closed_is_an_error_that_can_be_read(make_index):
    index = make_index()
    with served(Chat(index)) as client:
        index.close()
        job = client.upload(("a.md", b"text")).json["job"]
        state = until(lambda: (now := client.get(f"/api/jobs/{job}").json)["finished"] and now)
        assert state["told"] == "Not read: a.md" and len(state["bad"]) == 1
        _no_path(repr(state) + client.ask("How tight?").text + client.get("/api/documents").text)


def test_what_is_too_large_is_refused_before_it_is_read(make_index):
    index = make_index(upload_megabytes=1)
    with served(Chat(index)) as client:
        stated = client.send(
            "POST", "/api/documents", b"", {"Content-Type": FORM, "Content-Length": "4000000"}
        )
        assert stated.status == 400 and "more than 1 MB at once" in stated.error
        assert len(client.names()) == 2


def test_what_does_not_say_its_length_is_read_to_the_limit_only(make_index):
    def parts():
        yield form(("big.txt", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for _ in range(400):
            yield b"a" * 65536

    with served(Chat(make_index(upload_megabytes=1))) as client:
        headers = {"Content-Type": FORM, "Transfer-Encoding": "chunked"}
        try:
            refused = client.send("POST", "/api/documents", parts(), headers, chunked=True)
            assert refused.status == 400 and "more than 1 MB at once" in refused.error
        except (BrokenPipeError, ConnectionResetError):
            pass  # It hung up while this was still sending.
        assert len(client.names()) == 2
        small = client.send("POST", "/api/documents", iter([form(("a.md", b"Blue."))]), headers, chunked=True)
        assert small.status == 202


async def test_a_body_without_end_is_read_no_further_than_the_limit():
    given = []

    async def receive():
        given.append(1)
        return {"type": "http.request", "body": b"a" * 100, "more_body": True}

    endless = Request({"type": "http", "headers": [(b"content-length", b"7")]}, receive)
    with pytest.raises(BadInput, match="too much"):
        await limited(endless, 1000, "too much").body()
    assert len(given) == 11


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"", FORM, "no file came|Invalid"),
        (b"", "text/plain", "no file came"),
        (b"no form at all", FORM, "Invalid multipart"),
        (b"", "multipart/form-data", "Missing boundary"),
        (form(("run.exe", b"MZ")), FORM, "run.exe is not read"),
        (form(*[(f"{n}.md", b"a") for n in range(101)]), FORM, "Too many files"),
        (form(("", b"a")), FORM, "no file came|is not read"),
    ],
)
def test_what_is_no_upload_is_refused_in_words(client, body, kind, told):
    got = client.send("POST", "/api/documents", body, {"Content-Type": kind})
    assert got.status == 400
    assert any(part in got.error for part in told.split("|")), got.error


def test_a_chat_for_reading_takes_and_deletes_nothing(chat):
    with served(chat, upload=False) as client:
        key = client.get("/api/documents").json["documents"][0]["id"]
        assert client.get("/api/about").json["upload"] is False
        for got in (client.upload(("a.md", b"a")), client.send("DELETE", f"/api/documents?id={key}")):
            assert got.status == 400 and got.error == "this chat takes no documents and deletes none"
        assert len(client.names()) == 2


def test_closing_removes_the_files_and_refuses_more(make_index, monkeypatch):
    index = make_index()
    uploads = Uploads(index)
    refused = uploads.batch()
    with pytest.raises(BadInput, match="no file came"):
        uploads.start(refused)
    batch = uploads.batch()
    batch.put("a.md", BytesIO(b"text"))
    seen = []

    def slow(*_, on_page, **__):
        seen.append(1)
        until(lambda: uploads._ending.is_set())
        on_page("a.md")

    monkeypatch.setattr(index, "ingest", slow)
    key = uploads.start(batch)
    until(lambda: seen)
    uploads.close()
    assert uploads.job(key).bad == ["the server is ending: send the files again when it is back"]
    assert not batch.folder.parent.exists()
    with pytest.raises(BadInput, match="the server is ending"):
        uploads.batch()
