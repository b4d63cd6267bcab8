"""One canary as every secret that the package can be given; it is looked for wherever anything comes out."""

import asyncio
import base64
import copy
import io
import json
import logging
import pickle
import traceback
import types
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest
from chat_stub import KEY, chat_stub
from faults_gate import gate
from langchain_core.load import dumpd, dumps
from llama_index.core.llms.mock import MockLLM
from pydantic import SecretStr
from rich.console import Console
from rich.traceback import Traceback
from spans_support import recorded

from rag_plugins import Config, RagIndex, langchain, llama_index
from rag_plugins.chat import Chat
from rag_plugins.chat.models import make_talk
from rag_plugins.cli import app
from rag_plugins.config import Bm25Leg, ChatConfig, IngestConfig, LlmConfig, StoreConfig
from rag_plugins.errors import ModelFailed, StoreError, StoreUnavailable
from rag_plugins.faces.unshown import Unshown

CANARY = KEY
TOKEN = f"root:{CANARY}"
FORMS = [form for text in (CANARY, TOKEN) for form in (text, base64.b64encode(text.encode()).decode())]
FOREIGN = ("pymilvus", "grpc", "openai", "httpx", "httpcore", "langchain_openai", "llama_index.llms")


class Sweep:
    """Looks, and counts the places it has looked into."""

    def __init__(self):
        self.places = 0

    def look(self, where, text):
        self.places += 1
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        found = [form for form in FORMS if form in text]
        if found:
            at = text.index(found[0])
            raise AssertionError(f"{where}: …{text[max(0, at - 300) : at + 60]}…")

    def reach(self, where, root):
        """All that is within reach of `vars`, slots, items, cells. What clients and users made is theirs."""
        seen, left = set(), [(where, root)]
        while left:
            path, thing = left.pop()
            if id(thing) in seen or isinstance(thing, SecretStr | type | types.ModuleType):
                continue
            seen.add(id(thing))
            if type(thing).__module__.startswith(FOREIGN) or isinstance(thing, Unshown):
                continue
            if isinstance(thing, str | bytes):
                self.look(path, thing)
            elif not isinstance(thing, int | float | None.__class__):
                self.look(path, f"{_quietly(repr, thing)} {_quietly(str, thing)}")
                left += [(f"{path}.{name}", part) for name, part in _parts(thing) if len(path) < 400]

    def error(self, where, error):
        """Every way that an error is shown, its variables too; of a user's error in our frames alone."""
        users = isinstance(error, Refused)
        self.look(where, f"{error!s} {error!r}")
        self.look(where, "".join(traceback.format_exception(error)))
        for each in _chain(error):
            told = traceback.TracebackException(type(each), each, each.__traceback__, capture_locals=True)
            for frame in told.stack:
                if "/tests/" not in frame.filename and (not users or "/rag_plugins/" in frame.filename):
                    self.look(f"{where}, {frame.filename}:{frame.lineno} {frame.name}", repr(frame.locals))
        if not users:
            self._as_rich(where, error)

    def _as_rich(self, where, error):
        out = io.StringIO()
        shown = Traceback.from_exception(
            type(error), error, _ours(error.__traceback__), show_locals=True, locals_max_string=None
        )
        Console(file=out, width=4000).print(shown)
        self.look(f"{where}, as rich shows it", out.getvalue())

    def files(self, folder):
        for path in folder.rglob("*"):
            if path.is_file():
                self.look(str(path), path.read_bytes() + str(path).encode())


def _quietly(make, thing):
    with suppress(Exception):
        return make(thing)


def _parts(thing):
    yield from list(getattr(thing, "__dict__", {}).items())
    for kind in type(thing).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name != "__weakref__":
                yield name, getattr(thing, name, None)
    for name, cell in zip(
        getattr(getattr(thing, "__code__", None), "co_freevars", ()),
        getattr(thing, "__closure__", None) or (),
        strict=False,
    ):
        if name not in _USERS:
            yield name, cell.cell_contents
    if isinstance(thing, dict):
        yield from (
            (f"[{str(key)[:20]}]", part) for key, value in list(thing.items()) for part in (key, value)
        )
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from ((f"[{n}]", part) for n, part in enumerate(list(thing)[:2000]))


_USERS = ("model", "llm", "hidden")
"""How functions of ours call an object of the user's that they hold."""


def _chain(error):
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _ours(trace):
    """Without the frames of tests."""
    while trace and "/tests/" in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    return trace


def _config(url="", token=TOKEN, framework_llm=True):
    llm = LlmConfig(provider="openai", model="stub", base_url=f"{url}/v1") if framework_llm and url else None
    return Config(
        store=StoreConfig(token=SecretStr(token) if token else None, timeout=5),
        ingest=IngestConfig(passwords=(SecretStr(CANARY),)),
        chat=ChatConfig(llm=llm, least_evidence=0),
        legs=(Bm25Leg(),),
        rerank=(),
    )


@contextmanager
def everything_logged():
    """Whatever any logger says, as text with variables, and what is warned of."""
    told = []

    class Keep(logging.Handler):
        def emit(self, record):
            told.append(f"{self.format(record)} {vars(record)!r}")

    keep, root = Keep(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "pymilvus", "grpc", "httpx", "openai")}
    root.addHandler(keep)
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.DEBUG)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield told
        told += [str(each.message) for each in warned]
    finally:
        root.removeHandler(keep)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@pytest.fixture
def sweep():
    sweep = Sweep()
    yield sweep
    print(f"the canary was looked for in {sweep.places} places")


def test_the_sweep_finds_what_is_not_hidden(sweep):
    class Holds:
        __slots__ = ("it",)

    holds = Holds()
    holds.it = [{"deep": base64.b64encode(TOKEN.encode())}]
    with pytest.raises(AssertionError, match="deep"):
        sweep.reach("here", holds)
    with pytest.raises(AssertionError):
        sweep.reach("here", lambda: holds)
    sweep.reach("here", [SecretStr(CANARY)])


def _serialised(sweep, config, index, retrievers, collection, uri):
    ours, theirs = retrievers
    sweep.look("dumps", dumps(ours) + json.dumps(dumpd(ours), default=repr))
    sweep.look("model_dump", f"{config.model_dump()} {config.model_dump_json()}")
    for each in (config, config.store, config.ingest):
        sweep.look("pickle", pickle.dumps(each))
        sweep.reach("copy", copy.copy(each))
        sweep.reach("deepcopy", copy.deepcopy(each))
    with llama_index.RagVectorStore.open(uri, config=config, collection=collection) as store:
        sweep.reach("RagVectorStore", store)
        sweep.look("to_dict", str(store.to_dict()) + store.to_json())
        sweep.look("pickle", pickle.dumps(store))
    sweep.reach("langchain's store", langchain.RagVectorStore(index))
    reader = llama_index.OcrReader(ingest=config.ingest)
    sweep.look("OcrReader", str(reader.to_dict()) + reader.to_json() + repr(pickle.dumps(reader)))
    sweep.reach("OcrReader", reader)
    sweep.reach("OcrLoader", langchain.OcrLoader("scans", ingest=config.ingest))


@pytest.mark.parametrize("where", ["settings", "address"])
def test_a_server_its_faces_and_all_that_is_made_of_them(sweep, milvus_server, collection, where, tmp_path):
    with gate(milvus_server, token=TOKEN) as (port, seen), everything_logged() as told, recorded() as spans:
        credentials, token = ("", TOKEN) if where == "settings" else (f"{TOKEN}@", None)
        uri, config = f"http://{credentials}127.0.0.1:{port}", _config(token=token)
        with RagIndex.open(uri, config=config, collection=collection) as index:
            ours, theirs = langchain.HybridRetriever(index), llama_index.HybridRetriever(index)
            index.add([index.passage("The red lamp.", caller_id="lamp")])
            assert ours.invoke("lamp") and theirs.retrieve("lamp") and asyncio.run(ours.ainvoke("lamp"))
            for name, each in {"index": index, "langchain": ours, "llama-index": theirs}.items():
                sweep.reach(name, each)
            sweep.reach("hits", index.search("lamp", explain=True))
            _serialised(sweep, config, index, (ours, theirs), collection, uri)
            with pytest.raises(StoreError) as refused:
                index.store.rows.engine.describe("nothing")
            sweep.error("of the server", refused.value)
        assert seen
    for line in told:
        sweep.look("log", line)
    sweep.look("spans", json.dumps([span.to_json() for span in spans]))
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            sweep.look(str(path), path.read_bytes())
    sweep.files(tmp_path)


def test_wrong_credentials_and_nobody_there(sweep, milvus_server):
    with gate(milvus_server, token="another") as (port, _), everything_logged() as told, recorded() as spans:
        for uri, config, kind in (
            (f"http://127.0.0.1:{port}", _config(), StoreError),
            (f"http://{TOKEN}@127.0.0.1:{port}", _config(token=None), StoreError),
            (f"https://{TOKEN}@127.0.0.1:{port}", _config(token=None), StoreError),
            ("http://127.0.0.1:1", _config(), StoreUnavailable),
        ):
            fast = config.model_copy(update={"store": config.store.model_copy(update={"timeout": 0.5})})
            with pytest.raises(kind) as caught:
                RagIndex.open(uri, config=fast)
            if "@" in uri:  # An address is a variable of the program's: the docs advise against it.
                sweep.look(uri[:5], "".join(traceback.format_exception(caught.value)))
            else:
                sweep.error(kind.__name__, caught.value)
    for line in told:
        sweep.look("log", line)
    sweep.look("spans", json.dumps([span.to_json() for span in spans]))


@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
def test_the_key_of_a_language_model(sweep, tmp_path, monkeypatch, framework):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={CANARY}")
    with (
        chat_stub() as server,
        everything_logged() as told,
        recorded() as spans,
        RagIndex.open(tmp_path / "a.db", config=_config(server.url)) as index,
    ):
        index.add([index.passage("The screws of the pump head are tightened to 38 Nm.")])
        chat = Chat(index, make_talk(index.config.chat.llm, framework))
        sweep.reach("chat", chat)
        sweep.look("events", repr(list(chat.ask("How tight are the screws of the pump head?"))))
        assert server.keys == [CANARY]
        for server.status, server.key in ((0, "another"), (500, CANARY)):
            with pytest.raises(ModelFailed) as caught:
                list(chat.ask("How tight are the screws of the pump head?"))
            sweep.error("of the model", caught.value)
    for line in told:
        sweep.look("log", line)
    sweep.look("spans", json.dumps([span.to_json() for span in spans]))
    sweep.files(tmp_path)


def test_a_file_its_neighbours_and_what_commands_say(sweep, tmp_path, monkeypatch):
    settings = tmp_path / "settings.toml"
    db = tmp_path / "db" / "a.db"
    settings.write_text(
        f'rerank = []\n[store]\ntoken = "{TOKEN}"\n[ingest]\npasswords = ["{CANARY}"]\n'
        '[[legs]]\nkind = "bm25"\n'
    )
    (tmp_path / "lamp.txt").write_text("The red lamp.")
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), everything_logged() as told:
        for command in (
            ["ingest", str(tmp_path / "lamp.txt"), "--into", str(db)],
            ["search", str(db), "lamp", "--json"],
            ["doctor", str(db), "--json"],
            ["doctor", "--json"],
        ):
            with suppress(SystemExit):
                app(args=[*command, "--config", str(settings)])
    assert "The red lamp." in out.getvalue()
    sweep.look("output", out.getvalue())
    for line in told:
        sweep.look("log", line)
    sweep.files(tmp_path / "db")


class Refused(Exception):
    """What a hosted model's client raises."""


class HostedReranker:
    """The key in plain sight."""

    def __init__(self):
        self.api_key = CANARY

    def score(self, text_pairs):
        raise Refused("401")

    def __repr__(self):
        return f"HostedReranker({self.api_key!r})"


class HostedLlm(MockLLM):
    """The key in a plain field."""

    api_key: str = CANARY

    def complete(self, prompt, **_):
        raise Refused("401")


def test_rerankers_and_language_models_of_the_users(sweep, tmp_path):
    reranker = langchain.from_langchain(HostedReranker(), name="hosted")
    with RagIndex.open(tmp_path / "a.db", config=_config(), rerankers=[reranker]) as index:
        index.add([index.passage("The red lamp."), index.passage("The blue lamp.")])
        sweep.reach("index", index)
        with pytest.raises(Refused) as caught:
            index.search("lamp")
        sweep.error("of the reranker", caught.value)
    generate = llama_index.from_llama_index(HostedLlm())
    sweep.look("function", repr(generate))
    with pytest.raises(Refused) as caught:
        generate("say")
    sweep.error("of the model", caught.value)
