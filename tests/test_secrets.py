"""A canary in every place that takes a secret; it may come out nowhere. See also the log and the spans."""

import copy
import json
import pickle
import socket
import traceback

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.load import dumpd, dumps
from llama_index.core.base.embeddings.base import BaseEmbedding
from opentelemetry import trace
from pydantic import SecretStr, ValidationError
from spans_support import recorded

from rag_plugins import Config, RagIndex, langchain, llama_index
from rag_plugins.config import Bm25Leg, DenseLeg, IngestConfig, StoreConfig
from rag_plugins.errors import ConfigError, StoreUnavailable

CANARY = "canary-7f3a"
SECRETS = Config(
    store=StoreConfig(token=SecretStr(CANARY), timeout=1.0),
    ingest=IngestConfig(passwords=(SecretStr(CANARY),)),
    legs=(Bm25Leg(),),
    rerank=(),
)


class Refused(Exception):
    """What a hosted model's client raises."""


class HostedEmbeddings(Embeddings):
    """Like those of a hosted model, the key in plain sight."""

    def __init__(self):
        self.api_key = CANARY
        self.works = True

    def embed_query(self, text):
        if not self.works:
            raise Refused("401")
        return [1.0, float(len(text))]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def __repr__(self):
        return f"HostedEmbeddings(api_key={self.api_key!r})"


class HostedEmbedding(BaseEmbedding):
    """The same for LlamaIndex, whose own of this kind have the key in a plain field."""

    api_key: str = CANARY
    works: bool = True

    def _get_query_embedding(self, query):
        if not self.works:
            raise Refused("401")
        return [1.0, float(len(query))]

    _get_text_embedding = _get_query_embedding

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)


HOSTED = [
    (HostedEmbeddings, langchain.from_langchain),
    (HostedEmbedding, llama_index.from_llama_index),
]


def strings(thing, depth=6, seen=None):
    """Every string within reach of `vars`, items and elements; a SecretStr hides its own.

    What pymilvus makes of a token is its own affair.
    """
    seen = set() if seen is None else seen
    if isinstance(thing, str | bytes):
        yield thing if isinstance(thing, str) else thing.decode("utf-8", "replace")
        return
    known = id(thing) in seen or isinstance(thing, SecretStr)
    if depth < 0 or known or type(thing).__module__.startswith(("pymilvus", "grpc")):
        return
    seen.add(id(thing))
    yield repr(thing)
    slots = [name for each in type(thing).__mro__ for name in getattr(each, "__slots__", ())]
    parts = [*getattr(thing, "__dict__", {}).values()]
    parts += [getattr(thing, name, None) for name in slots if isinstance(name, str) and name != "__weakref__"]
    if isinstance(thing, dict):
        parts += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        parts += thing
    for part in parts:
        yield from strings(part, depth - 1, seen)


def hidden(*things):
    return not any(CANARY in text for thing in things for text in (str(thing), *strings(thing)))


def shown(error):
    """A traceback with variables, those frames of it that are ours, and of what led to it."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    yield "".join(traceback.format_exception(chain[0]))
    for each in chain:
        told = traceback.TracebackException(type(each), each, each.__traceback__, capture_locals=True)
        for frame in told.stack:
            if "/rag_plugins/" in frame.filename:
                yield f"{frame.name}: {frame.locals}"


@pytest.fixture
def index(tmp_path):
    with RagIndex.open(tmp_path / "handbook.db", config=SECRETS) as index:
        index.add([index.passage("The red lamp.", caller_id="lamp")])
        yield index


def test_the_search_for_strings_finds_what_is_not_hidden():
    assert not hidden({"deep": [(HostedEmbeddings(),)]})
    assert hidden({"deep": [(SecretStr(CANARY),)]})


def test_nothing_of_an_index_has_it(index):
    assert hidden(SECRETS, index, index.config, index.store, index.search("lamp"))
    assert CANARY not in SECRETS.model_dump_json() + str(SECRETS.model_dump())


def test_nothing_of_an_index_on_a_server_has_it(milvus_server, collection):
    with RagIndex.open(milvus_server, config=SECRETS, collection=collection) as index:
        assert hidden(index)


def test_an_address_is_shown_without_credentials(milvus_server, collection):
    uri = milvus_server.replace("http://", f"http://root:{CANARY}@")
    config = Config(legs=(Bm25Leg(),), rerank=())
    with RagIndex.open(uri, config=config, collection=collection) as index:
        assert CANARY not in f"{index!r} {index.store._engine.address!r} {index.store._engine._connection!r}"


def test_pickles_carry_no_secrets():
    """Nor anything less than the rest; copies keep all."""
    for config in (SECRETS, SECRETS.store, SECRETS.ingest):
        assert CANARY.encode() not in pickle.dumps(config)
    read = pickle.loads(pickle.dumps(SECRETS))
    assert read.store == SECRETS.store.model_copy(update={"token": None})
    assert read.ingest.passwords == () and read.legs == SECRETS.legs
    for copied in (copy.copy(SECRETS), copy.deepcopy(SECRETS), SECRETS.model_copy()):
        assert copied.store.token.get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (StoreConfig, {"token": [CANARY]}),
        (StoreConfig, {"tokens": CANARY}),
        (IngestConfig, {"passwords": CANARY}),
        (Config, {"ingest": {"passwords": CANARY}}),
        (llama_index.OcrReader, {"ingest": {"passwords": CANARY}}),
    ],
)
def test_a_refused_setting_is_not_repeated(make, values):
    with pytest.raises((ValidationError, ConfigError)) as caught:
        make(**values)
    assert CANARY not in str(caught.value)


def test_a_configuration_that_is_refused_shows_nothing_in_tracebacks(tmp_path):
    (tmp_path / "a.toml").write_text(f'[store]\ntoken = "{CANARY}"\nbogus = 1\n')
    (tmp_path / "b.toml").write_text(f'[store]\ntoken = "{CANARY}\nbogus')
    for make in (
        lambda: Config.make({"store": {"token": CANARY, "bogus": 1}}),
        lambda: Config.from_toml(tmp_path / "a.toml"),
        lambda: Config.from_toml(tmp_path / "b.toml"),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert not [text for text in shown(caught.value) if CANARY in text]


def test_langchains_serialisation_has_it_not(index):
    given = (
        langchain.HybridRetriever(index),
        langchain.OcrLoader("scans", ingest=SECRETS.ingest),
        langchain.CrossEncoderCompressor(),
        langchain.MatryoshkaEmbeddings(),
    )
    assert hidden(*given)
    for each in given:
        assert CANARY not in dumps(each) + json.dumps(dumpd(each), default=repr)


def test_llama_indexs_serialisation_has_it_not():
    reader = llama_index.OcrReader(ingest=SECRETS.ingest)
    given = (reader, llama_index.CrossEncoderPostprocessor(), llama_index.MatryoshkaEmbedding())
    assert hidden(*given)
    for each in given:
        assert CANARY not in str(each.to_dict()) + each.to_json()
        assert CANARY.encode() not in pickle.dumps(each)
    back = llama_index.OcrReader.from_json(reader.to_json())
    assert back.ingest.text == reader.ingest.text


@pytest.mark.parametrize(("hosted", "adapt"), HOSTED)
def test_an_embedding_objects_key_is_in_no_traceback_span_or_log(tmp_path, caplog, hosted, adapt):
    config = Config(legs=(DenseLeg(model="hosted"), Bm25Leg()), rerank=())
    given = hosted()
    encoder = adapt(given, name="hosted")
    assert CANARY not in f"{encoder!r} {encoder} {vars(encoder)}"
    with (
        caplog.at_level("DEBUG"),
        recorded() as spans,
        RagIndex.open(tmp_path / "a.db", config=config, encoders={"dense": encoder}) as index,
    ):
        index.add([index.passage("The red lamp.")])
        assert len(index.search("lamp")) == 1
        assert CANARY not in repr(index) + repr(vars(index))
        given.works = False
        for fails in (lambda: index.search("lamp"), lambda: index.add([index.passage("A tank.")])):
            with pytest.raises(Refused) as caught:
                fails()
            assert not [text for text in shown(caught.value) if CANARY in text]
        assert CANARY not in json.dumps([span.to_json() for span in spans])
    assert CANARY not in caplog.text


def test_a_server_that_does_not_answer_is_reported_without_it(caplog):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{found.getsockname()[1]}"
    with caplog.at_level("DEBUG"), pytest.raises(StoreUnavailable) as caught:
        RagIndex.open(uri, config=SECRETS)
    assert not [text for text in shown(caught.value) if CANARY in text]
    assert CANARY not in caplog.text


def test_what_is_logged_of_a_server_has_it_not(milvus_server, collection, caplog):
    with (
        caplog.at_level("DEBUG"),
        recorded() as spans,
        trace.get_tracer("program").start_as_current_span("program"),
        RagIndex.open(milvus_server, config=SECRETS, collection=collection) as index,
    ):
        index.add([index.passage("The red lamp.")])
        assert len(index.search("lamp")) == 1
    assert CANARY not in caplog.text + json.dumps([span.to_json() for span in spans])
    assert all(CANARY not in repr(vars(record)) for record in caplog.records)


def test_a_pdf_that_no_password_opens_is_reported_without_them(index, tmp_path, caplog):
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "locked.pdf"), encrypt=StandardEncryption("open sesame"))
    canvas.drawString(100, 700, "Locked.")
    canvas.save()
    with caplog.at_level("DEBUG"):
        summary = index.ingest([tmp_path / "locked.pdf"])
        loader = langchain.OcrLoader(tmp_path / "locked.pdf", ingest=SECRETS.ingest)
        assert loader.load() == []
    assert [bad.reason for bad in summary.bad] == [
        "encrypted, and no password given opens it (ingest.passwords, --password)"
    ]
    for bad in (*summary.bad, *loader.bad):
        assert not [text for text in shown(bad) if CANARY in text]
    assert CANARY not in caplog.text + str(summary)
