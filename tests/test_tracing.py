import asyncio
import json
import subprocess
import sys
import textwrap

import pytest
from faces_support import WordOverlap
from opentelemetry import trace
from spans_support import recorded

from rag_plugins import Config, RagIndex, parse_query
from rag_plugins.config import Bm25Leg, CrossEncoderConfig, DenseLeg
from rag_plugins.errors import BadInput, StoreError
from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.search.cascade import Cascade
from rag_plugins.search.reranking import RerankStage
from rag_plugins.tracing import span

TEXTS = ("Change the air filter every 6 months.", "The red lamp means that the tank is empty.")
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def letters(texts):
    """A dense model that can be worked out by hand: how often the vowels occur."""
    return [[1.0 + text.lower().count(letter) for letter in "aeiou"] for text in texts]


@pytest.fixture
def index(tmp_path):
    config = Config(legs=(DenseLeg(model="letters"), Bm25Leg()), rerank=())
    encoder = ForeignEncoder("letters", letters, letters)
    with RagIndex.open(tmp_path / "handbook.db", config=config, encoders={"dense": encoder}) as index:
        index.add([index.passage(text) for text in TEXTS])
        yield index


@pytest.fixture
def reranking(index):
    """The same with a rerank stage."""
    stage = RerankStage(CrossEncoderConfig(depth=10), WordOverlap())
    index._retriever._cascade = Cascade(index.store, [stage])
    return index


@pytest.fixture
def spans():
    with recorded() as spans:
        yield spans


def test_a_search_is_one_span_with_its_stages_below_it(reranking, spans):
    hits = reranking.search("red lamp filter", k=2)

    top = "rag_plugins.search"
    assert spans.tree() == {
        (None, top): 1,
        (top, "rag_plugins.encode"): 1,
        (top, "rag_plugins.leg"): 2,
        (top, "rag_plugins.fusion"): 1,
        (top, "rag_plugins.fetch"): 2,
        (top, "rag_plugins.rerank"): 1,
    }
    told = dict(spans.one(top).attributes)
    assert told == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "passages",
        "db.system.name": "milvus",
        "db.collection.name": "passages",
        "rag_plugins.k": 2,
        "rag_plugins.mode": "auto",
        "rag_plugins.queries": 1,
        "rag_plugins.legs": ("dense", "bm25"),
        "rag_plugins.fusion": told["rag_plugins.fusion"],
        "rag_plugins.hits": len(hits),
    }
    legs = [dict(span.attributes) for span in spans if span.name == "rag_plugins.leg"]
    assert legs == [
        {"rag_plugins.leg": "dense", "rag_plugins.found": 2},
        {"rag_plugins.leg": "bm25", "rag_plugins.found": 2},
    ]
    rerank = dict(spans.one("rag_plugins.rerank").attributes)
    assert rerank == {"rag_plugins.reranker": "word-overlap", "rag_plugins.candidates": 2}


def test_times_of_the_stages_lie_within_the_search(reranking, spans):
    reranking.search("red lamp", k=2)
    search = spans.one("rag_plugins.search")
    stages = [span for span in spans if span is not search]
    assert all(search.start_time <= span.start_time <= span.end_time <= search.end_time for span in stages)


def test_several_queries_are_one_search(index, spans):
    index.search_many(["red lamp", "air filter"], k=1)
    assert spans.names()["rag_plugins.search"] == 1
    assert spans.names()["rag_plugins.leg"] == 4
    assert spans.one("rag_plugins.search").attributes["rag_plugins.queries"] == 2


def test_a_diverse_search_is_one_too(index, spans):
    hits = index.diverse("red lamp", k=2)
    assert spans.one("rag_plugins.search").attributes["rag_plugins.hits"] == len(hits) == 2
    assert spans.names()["rag_plugins.diversity"] == 1


def test_a_span_hangs_below_that_of_the_caller_in_threads_too(index, spans):
    with trace.get_tracer("program").start_as_current_span("question"):
        asyncio.run(asyncio.to_thread(index.search, "red lamp"))
    assert spans.tree()[("question", "rag_plugins.search")] == 1


def test_no_text_is_in_spans(reranking, spans, tmp_path):
    reranking.search(parse_query('"red lamp" xylophone'), k=2)
    reranking.search("", k=2)
    (tmp_path / "canary.txt").write_text("A canary sings in the mine.")
    reranking.ingest([tmp_path / "canary.txt"])
    with pytest.raises(BadInput):
        reranking.search("red lamp", k=2, legs=["canary"])

    said = json.dumps([span.to_json() for span in spans])
    assert not any(word in said for word in ("xylophone", "months", "sings", "canary"))


@pytest.mark.parametrize("wish", ["true", "SPAN_ONLY", "span_and_event"])
def test_the_query_is_where_the_environment_asks_for_it(index, spans, monkeypatch, wish):
    monkeypatch.setenv(CONTENT, wish)
    index.search_many(["", "red lamp", "air filter"])
    assert spans.one("rag_plugins.search").attributes["gen_ai.retrieval.query.text"] == "red lamp"
    with pytest.raises(BadInput):
        index.search("red lamp", legs=["canary"])
    [*_, failed] = spans
    assert "canary" in failed.events[0].attributes["exception.message"]


def test_the_query_is_not_where_it_asks_for_events_alone(index, spans, monkeypatch):
    monkeypatch.setenv(CONTENT, "event_only")
    index.search("red lamp")
    assert "gen_ai.retrieval.query.text" not in spans.one("rag_plugins.search").attributes


def test_an_error_is_recorded_on_every_span_that_it_leaves(index, spans, monkeypatch):
    def lost(*args, **kwargs):
        raise StoreError("no answer to the canary")

    monkeypatch.setattr(index.store, "search", lost)
    with pytest.raises(StoreError):
        index.search("red lamp")

    for name in ("rag_plugins.search", "rag_plugins.leg"):
        failed = spans.one(name)
        (event,) = failed.events
        assert failed.attributes["error.type"] == "rag_plugins.errors.StoreError"
        assert (failed.status.status_code.name, failed.status.description) == ("ERROR", "StoreError")
        assert event.name == "exception" and "in lost" in event.attributes["exception.stacktrace"]
        assert "exception.message" not in event.attributes
    assert spans.one("rag_plugins.encode").status.status_code.name == "UNSET"


def test_ingestion_is_one_span_with_its_batches_below_it(index, spans, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"Page {name} of the handbook.")
    (tmp_path / "empty.txt").write_text("")
    index.ingest([tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "empty.txt"])

    top, write = "rag_plugins.ingest", "rag_plugins.write"
    tree = spans.tree()
    assert tree[None, top] == tree[top, write] == tree[write, "rag_plugins.encode"] == 1
    assert tree[top, "rag_plugins.settle"] == 1
    assert spans.one(write).attributes["rag_plugins.passages"] == 2
    assert dict(spans.one(top).attributes) == {
        "db.system.name": "milvus",
        "db.collection.name": "passages",
        "rag_plugins.documents": 2,
        "rag_plugins.replaced": 0,
        "rag_plugins.unchanged": 0,
        "rag_plugins.pages": 2,
        "rag_plugins.passages": 2,
        "rag_plugins.bad": 1,
    }


def test_passages_that_are_added_are_written_in_batches(index, spans):
    index.add([index.passage(f"Passage {n}.") for n in range(300)])
    written = [span.attributes["rag_plugins.passages"] for span in spans if span.name == "rag_plugins.write"]
    assert written == [256, 44]


def test_a_provider_may_be_set_after_the_first_search():
    code = """
        from opentelemetry import trace
        from rag_plugins.tracing import span
        with span("before") as unrecorded:
            unrecorded.set_attribute("k", 1)
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        with span("after", {"k": 1}) as current:
            print(current.name, current.attributes["k"])
    """
    assert run(code) == "after 1\n"


def test_a_program_that_records_nothing_does_not_load_opentelemetry(tmp_path):
    code = f"""
        import sys
        from rag_plugins import RagIndex
        with RagIndex.open({str(tmp_path / "a.db")!r}, preset="lexical") as index:
            index.add([index.passage("The red lamp.")])
            assert len(index.search("lamp")) == 1
        print([name for name in sys.modules if name.startswith("opentelemetry.trace")])
    """
    assert run(code) == "[]\n"


@pytest.mark.parametrize("first", ["", "import opentelemetry.trace"])
def test_a_span_that_nobody_records_costs_next_to_nothing(first):
    """Under 20 µs for the nine spans of a search; measured 2, and 10 where OpenTelemetry is imported."""
    code = f"""
        {first}
        import timeit
        from rag_plugins.tracing import span
        def search():
            for _ in range(9):
                with span("rag_plugins.leg") as current:
                    current.set_attribute("rag_plugins.found", 1)
        print(min(timeit.repeat(search, number=1000, repeat=20)) * 1e3)
    """
    assert float(run(code)) < 20


def test_what_a_span_brackets_goes_through_as_it_is():
    with pytest.raises(KeyError, match="lost"), span("stage"):
        raise KeyError("lost")


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
