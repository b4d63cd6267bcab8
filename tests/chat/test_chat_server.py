"""The server: answers with their evidence as they come, refusals in words, an end that leaves nothing."""

import json
import logging
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir

import pytest
from chat_page_support import running, scan, served, until

from rag_plugins.chat import Chat
from rag_plugins.chat.answering import NOTHING
from rag_plugins.chat.serving.run import serve
from rag_plugins.errors import ConfigError

QUESTION = "How tight must the screws of the pump head be?"


def test_the_page_is_told_what_it_is_about(client):
    about = client.get("/api/about").json
    assert about["name"] == "manual" and about["upload"] is True
    assert about["answers"] == "2 documents, 2 passages; answers are quoted from the documents"


def test_an_empty_collection_says_what_to_do(make_index):
    index = make_index()
    index.clear()
    with served(Chat(index)) as client:
        assert client.get("/api/about").json["lead"] == "The collection is empty: add documents first."
        assert client.ask(QUESTION).events[-1][1]["kind"] == "nothing"


def test_an_answer_comes_as_events_evidence_first(client):
    got = client.ask(QUESTION)
    assert got.status == 200 and got.headers["content-type"].startswith("text/event-stream")
    kinds = [kind for kind, _ in got.events]
    assert kinds[0] == "evidence" and kinds[-1] == "end" and set(kinds[1:-1]) == {"text"}
    assert "38 Nm" in got.answer and got.events[-1][1]["kind"] == "quotes"
    assert got.events[0][1]["sources"][0]["name"] == "pump.md, page 1"


def test_nothing_relevant_is_an_answer(client):
    got = client.ask("Who won the election in Peru?")
    assert got.answer == NOTHING and got.events[-1][1]["kind"] == "nothing"


def test_no_answer_names_a_path_of_the_machine(client, tmp_path):
    texts = [client.ask(QUESTION).text, client.get("/api/documents").text, client.get("/api/about").text]
    for text in texts:
        assert str(tmp_path) not in text and "files of a user" not in text
    assert client.names() == ["filter.md", "pump.md"]


def test_a_filter_by_document_or_metadata_leaves_the_rest_out(client):
    keys = {each["name"]: each["id"] for each in client.get("/api/documents").json["documents"]}
    chosen = [{"key": "doc_id", "operator": "==", "value": keys["filter.md"]}]
    assert "38 Nm" not in client.ask(QUESTION, filter=chosen).text
    chosen[0]["value"] = keys["pump.md"]
    assert "38 Nm" in client.ask(QUESTION, filter=chosen).answer
    named = [{"key": "source", "operator": "includes", "value": "FILTER.md"}]
    assert "38 Nm" not in client.ask(QUESTION, filter=named).text


@pytest.mark.parametrize(
    ("filter", "told"),
    [
        ([{"key": "doc_id", "operator": "==", "value": "gone"}], "not in the collection any more"),
        ([{"key": 'a" or 1 == 1', "operator": "==", "value": "x"}], "key"),
    ],
)
def test_a_filter_that_cannot_be_is_told_in_words(client, filter, told):
    ((kind, data),) = client.ask(QUESTION, filter=filter).events
    assert kind == "error" and told in data["message"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"question": 1}', b'{"question": ""}', b"\x00\xff"])
def test_what_is_no_question_is_refused(client, body):
    got = client.send("POST", "/api/ask", body)
    assert got.status == 400 and got.error.startswith("the question cannot be read")


def test_a_history_without_end_is_refused(client):
    got = client.ask("a", history=[{"role": "user", "text": "b" * 45_000}] * 40)
    assert got.status == 200
    got = client.ask("a", history=[{"role": "user", "text": "b" * 49_999}] * 41)
    assert got.status == 400 and "begin anew" in got.error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/api/ask", 405),
        ("GET", "/api/jobs/x", 400),
        ("GET", "/api/image/" + "0" * 64, 404),
        ("GET", "/api/image/..%2F..%2Fetc%2Fpasswd", 404),
        ("DELETE", "/api/documents?id=nobody", 400),
    ],
)
def test_what_is_not_there_is_told_as_json(client, method, path, status):
    got = client.send(method, path)
    assert got.status == status and got.error


def test_a_document_can_be_deleted(client):
    keys = {each["name"]: each["id"] for each in client.get("/api/documents").json["documents"]}
    assert client.send("DELETE", f"/api/documents?id={keys['pump.md']}").status == 200
    assert client.names() == ["filter.md"]


def test_page_images_are_given_once_an_answer_has_shown_them(chat, client):
    client.uploaded(("scan.png", scan("The warranty of the AQ-310", "ends after 36 months.")))
    (asset,) = [
        passage.provenance.page_image
        for passage in chat.index.find()
        if passage.provenance and passage.provenance.page_image
    ]
    assert client.get(f"/api/image/{asset}").status == 404
    (first, *_) = client.ask("When does the warranty end?").events[0][1]["sources"]
    assert first["image"] == f"api/image/{asset}" and first["boxes"] and first["lines"]
    image = client.get("/" + first["image"])
    assert (
        image.status == 200 and image.headers["content-type"] == "image/webp" and image.body[8:12] == b"WEBP"
    )


def test_an_image_that_is_lost_is_an_error_without_a_path(chat, client, tmp_path):
    client.uploaded(("scan.png", scan("The warranty of the AQ-310", "ends after 36 months.")))
    (first, *_) = client.ask("When does the warranty end?").events[0][1]["sources"]
    for kept in chat.index.assets.folder.rglob("*.*"):
        kept.unlink()
    got = client.get("/" + first["image"])
    assert got.status == 400 and "ingest again" in got.error and str(tmp_path) not in got.error


def test_what_nobody_foresaw_is_for_the_log_alone(chat, client, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("the secret of /home/ann")

    monkeypatch.setattr(chat.index, "search", fail)
    monkeypatch.setattr(chat.index, "count", fail)
    with caplog.at_level(logging.ERROR):
        about = client.get("/api/about")
        ((kind, data),) = client.ask(QUESTION).events
    assert about.status == 500 and about.error == data["message"] and kind == "error"
    assert about.error == "Something went wrong on the server: its log says what."
    assert about.headers["x-content-type-options"] == "nosniff"
    assert caplog.text.count("the secret of /home/ann") >= 2


class SlowTalk:
    """Says a word every so often, for ever; knows when it was stopped."""

    def __init__(self) -> None:
        self.said = 0
        self.stopped = threading.Event()

    def __call__(self, messages):
        try:
            while True:
                self.said += 1
                yield f"word{self.said} "
                time.sleep(0.02)
        finally:
            self.stopped.set()


def test_a_model_is_stopped_when_nobody_listens(chat):
    talk = SlowTalk()
    with served(Chat(chat.index, talk)) as client:
        body = json.dumps({"question": QUESTION}).encode()
        with socket.create_connection((client.host, client.port)) as asking:
            asking.sendall(
                b"POST /api/ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            got = b""
            while b"word3" not in got:
                assert (part := asking.recv(4096)), got
                got += part
        assert talk.stopped.wait(10)
        said = talk.said
        time.sleep(0.2)
        assert talk.said == said
        assert client.get("/api/about").status == 200


def test_a_server_that_ends_stops_the_model_too(chat):
    talk = SlowTalk()
    with ThreadPoolExecutor(1) as pool, served(Chat(chat.index, talk)) as client:
        asked = pool.submit(lambda: _quietly(client))
        until(lambda: talk.said > 2, seconds=10)
        start = time.monotonic()
        # `served` stops the server on the way out.
    assert talk.stopped.wait(10) and time.monotonic() - start < 10 and asked.done()


def _quietly(client):
    try:
        client.ask(QUESTION)
    except Exception as error:  # The connection is cut.
        return error


def test_many_ask_at_once(client):
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(client.ask, [QUESTION] * 20))
    assert all("38 Nm" in one.answer and one.events[-1][0] == "end" for one in got)


def test_a_client_that_goes_in_the_middle_of_an_upload_leaves_nothing(chat):
    with served(chat) as client:
        before = set(Path(gettempdir()).glob("rag-plugins-chat-*/*"))
        with socket.create_connection((client.host, client.port)) as sending:
            sending.sendall(
                b"POST /api/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            until(lambda: set(Path(gettempdir()).glob("rag-plugins-chat-*/*")) - before)
        until(lambda: not set(Path(gettempdir()).glob("rag-plugins-chat-*/*")) - before)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_two_seconds_and_leaves_nothing(make_index, tmp_path, monkeypatch, how):
    make_index().close()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    settings = tmp_path / "settings.toml"
    settings.write_text('rerank = []\n[[legs]]\nkind = "bm25"\n')
    with running(tmp_path / "words0.db", "--config", settings) as (process, address):
        folder = lambda: list(tmp_path.glob("rag-plugins-chat-*"))  # noqa: E731
        assert len(folder()) == 1 and "//127.0.0.1:" in address
        start = time.monotonic()
        process.send_signal(how)
        until(lambda: not folder())
        assert time.monotonic() - start < 2
        assert process.wait(60) == 0 and "Traceback" not in process.stdout.read()


def test_elsewhere_than_on_this_machine_it_asks_for_a_token(make_index, tmp_path):
    make_index().close()
    settings = tmp_path / "settings.toml"
    settings.write_text('rerank = []\n[[legs]]\nkind = "bm25"\n')
    with running(tmp_path / "words0.db", "--config", settings, "--host", "0.0.0.0") as (_, address):
        assert address.partition("?token=")[2].strip().__len__() >= 20


def test_a_port_that_is_taken_is_told_in_words(chat):

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be had"):
            serve(chat, "x", host="127.0.0.1", port=port, token=None, upload=False, ready=print)


def test_models_are_loaded_before_the_port_opens_and_no_language_model_is_asked(make_index, monkeypatch):
    asked, told, searched = [], [], []
    index = make_index()

    async def ended(server):
        return None

    monkeypatch.setattr("uvicorn.Server.main_loop", ended)

    def talk(messages):
        asked.append(messages)
        return iter(["Yes."])

    search = index.search
    monkeypatch.setattr(
        index, "search", lambda *given, **more: searched.append(told[:]) or search(*given, **more)
    )
    chat = Chat(index, talk)
    serve(chat, "x", host="127.0.0.1", port=0, token=None, upload=False, ready=told.append)
    assert searched == [[]] and len(told) == 1 and asked == []
    assert list(chat.ask("the screws of the pump head")) and asked
