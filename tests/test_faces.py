"""What holds for both faces as packages, and for the reranking of both."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from faces_support import WordOverlap, tiny_cross_encoder
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

from rag_plugins.config import ComputeConfig
from rag_plugins.errors import ConfigError, QueryTooLong
from rag_plugins.langchain import CrossEncoderCompressor
from rag_plugins.llama_index import CrossEncoderPostprocessor
from rag_plugins.models.protocols import Read, Scores

TEXTS = ["no match", "lamp red", "red"]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("face", "framework", "extra"),
    [
        ("rag_plugins.langchain", "langchain_core", "langchain"),
        ("rag_plugins.llama_index", "llama_index.core", "llama-index"),
    ],
)
def test_without_its_framework_a_face_says_what_to_install(face, framework, extra):
    result = python(f"import sys; sys.modules[{framework!r}] = None; import {face}")

    assert f"MissingExtra: {framework} is not installed: pip install 'rag-plugins[{extra}]'" in result.stderr


@pytest.mark.parametrize(
    ("face", "framework", "others"),
    [
        (
            "rag_plugins.langchain",
            "from langchain_core import document_loaders, language_models, output_parsers; "
            "document_loaders.BaseLoader, language_models.BaseChatModel, output_parsers.StrOutputParser",
            ["torch", "PIL", "llama_index", "sentence_transformers", "openvino"],
        ),
        (
            "rag_plugins.llama_index",
            "import llama_index.core",
            ["torch", "langchain_core", "sentence_transformers", "openvino"],
        ),
    ],
)
def test_importing_a_face_loads_no_model_library_and_no_other_framework(face, framework, others):
    # Old versions of the frameworks load some of them by themselves.
    result = python(
        f"import sys; {framework}; theirs = {{*sys.modules}}; import {face}; "
        f"print([name for name in {others} if name in sys.modules and name not in theirs])"
    )

    assert result.stdout.strip() == "[]", result.stderr


def with_nodes(texts, query, *settings, **named):
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5 - n / 10) for n, text in enumerate(texts)]
    found = CrossEncoderPostprocessor(*settings, **named).postprocess_nodes(nodes, query_str=query)
    return [(node.text, node.score, node.metadata) for node in found]


def with_documents(texts, query, *settings, **named):
    documents = [
        Document(page_content=text, metadata={"relevance_score": 0.5 - n / 10})
        for n, text in enumerate(texts)
    ]
    found = CrossEncoderCompressor(*settings, **named).compress_documents(documents, query)
    return [(one.page_content, one.metadata["relevance_score"], one.metadata) for one in found]


@pytest.fixture(params=[with_nodes, with_documents], ids=["llama_index", "langchain"])
def rerank(request):
    """Reranks texts with either face: text, score and metadata of each that is left."""
    return request.param


@pytest.fixture(params=[CrossEncoderPostprocessor, CrossEncoderCompressor])
def face(request):
    return request.param


class Given:
    """A reranker whose scores, and what is told of them, are given."""

    name, scale, reads_tokens, reads_images = "given", "logit", False, False

    def __init__(self, *values, read=None, notices=(), scale="logit"):
        self.scores = Scores(np.array(values, np.float32), read or {}, notices)
        self.scale = scale

    def score(self, query, candidates):
        return self.scores


class TooLong(WordOverlap):
    def score(self, query, candidates):
        raise QueryTooLong(f"the query has {len(query)} characters")


def test_the_retrieval_score_is_kept_and_the_trace_says_how_much_was_read(rerank):
    model = Given(1.0, 3.0, 2.0, read={2: Read(tokens=40, total=100, windows=3)})
    found = rerank(TEXTS, "lamp", model)

    assert [(text, score) for text, score, _ in found] == [("lamp red", 3.0), ("red", 2.0), ("no match", 1.0)]
    assert [metadata["retrieval_score"] for *_, metadata in found] == pytest.approx([0.4, 0.3, 0.5])
    assert [metadata["rag_plugins"]["trace"] for *_, metadata in found[:2]] == [
        [{"stage": "given", "kind": "rerank", "rank": 1, "score": 3.0}],
        [
            {
                "stage": "given",
                "kind": "rerank",
                "rank": 2,
                "score": 2.0,
                "read": 40,
                "tokens": 100,
                "windows": 3,
            }
        ],
    ]


def test_scores_are_probabilities_where_calibrated(rerank):
    [best, *_] = rerank(TEXTS, "lamp", Given(0.0, 4.0, -4.0), calibration="sigmoid")
    assert best[1] == pytest.approx(1 / (1 + np.exp(-4)))
    [stage] = best[2]["rag_plugins"]["trace"]
    assert (stage["score"], stage["probability"]) == (4.0, best[1])

    fitted = {"calibration": "isotonic", "isotonic": [(0, 0.1), (4, 0.5)]}
    assert [score for _, score, _ in rerank(TEXTS, "lamp", Given(0, 4, 2), **fitted)] == pytest.approx(
        [0.5, 0.3, 0.1]
    )


def test_min_score_counts_on_the_calibrated_scale(rerank):
    model = Given(0.0, 4.0, -4.0)

    assert [text for text, *_ in rerank(TEXTS, "lamp", model, min_score=0.5)] == ["lamp red"]
    calibrated = rerank(TEXTS, "lamp", model, min_score=0.5, calibration="sigmoid")
    assert [text for text, *_ in calibrated] == ["lamp red", "no match"]


def test_nothing_relevant_is_an_empty_list_and_the_log_says_why(rerank, caplog):
    with caplog.at_level(logging.INFO, "rag_plugins"):
        assert rerank(TEXTS, "lamp", Given(0.0, 1.5, -4.0), min_score=2) == []

    assert "nothing relevant: the best of 3 scores 1.5, min_score is 2" in caplog.text


def test_a_query_too_long_leaves_order_and_scores_of_retrieval(rerank, caplog):
    found = rerank(TEXTS, "lamp " * 9999, TooLong(), top_n=2, min_score=5)

    assert [(text, score) for text, score, _ in found] == [("no match", 0.5), ("lamp red", 0.4)]
    assert not any("rag_plugins" in metadata or "retrieval_score" in metadata for *_, metadata in found)
    assert "not reranked, the order of retrieval stays: the query has 49995 characters" in caplog.text


def test_what_the_reranker_has_to_say_is_logged(rerank, caplog):
    rerank(TEXTS, "lamp", Given(0, 1, 2, notices=("1 score was not finite",)))

    assert "1 score was not finite" in caplog.text


def test_empty_texts_and_duplicates_are_scored_as_they_are(rerank):
    found = rerank(["", "red", "", "red"], "red lamp", WordOverlap())

    assert [(text, score) for text, score, _ in found] == [("red", 1), ("red", 1), ("", 0), ("", 0)]


def test_reranked_twice_the_score_of_retrieval_is_still_the_first():
    node = NodeWithScore(node=TextNode(text="red"), score=0.25)
    first = CrossEncoderPostprocessor(WordOverlap()).postprocess_nodes([node], query_str="red")
    [twice] = CrossEncoderPostprocessor(Given(7.0)).postprocess_nodes(first, query_str="red")
    once = CrossEncoderCompressor(WordOverlap()).compress_documents([Document(page_content="red")], "red")
    [again] = CrossEncoderCompressor(Given(7.0)).compress_documents(once, "red")

    assert (twice.score, twice.metadata["retrieval_score"]) == (7.0, 0.25)
    assert again.metadata["relevance_score"] == 7.0
    assert "retrieval_score" not in again.metadata
    for metadata in twice.metadata, again.metadata:
        assert [stage["stage"] for stage in metadata["rag_plugins"]["trace"]] == ["word-overlap", "given"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"top_n": 0}, "top_n"),
        ({"min_score": float("nan")}, "min_score"),
        ({"calibration": "isotonic"}, "isotonic"),
        ({"calibration": "isotonic", "isotonic": [(1, 0.5), (0, 0.7)]}, "must both rise"),
        ({"long": "never"}, "long: .*'cut' or 'windows'"),
        ({"max_length": 0}, "max_length"),
        ({"compute": {"backend": "abacus"}}, "compute.backend"),
        ({"topn": 3}, "topn"),
        ({"model": 3}, "model: got int, expected a preset"),
        ({"model": WordOverlap(), "long": "windows"}, "long: given with a reranker object"),
        ({"model": WordOverlap(), "compute": ComputeConfig(backend="torch")}, "compute: given with"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(face, settings, told):
    with pytest.raises(ConfigError, match=told):
        face(**settings)


def test_a_sigmoid_of_similarities_is_refused(rerank):
    with pytest.raises(ConfigError, match="similarities"):
        rerank(TEXTS, "lamp", Given(1, 2, 3, scale="similarity"), calibration="sigmoid")


def test_settings_of_the_model_stay_and_the_others_may_be_assigned(face):
    reranking = face(WordOverlap())
    reranking.top_n = 1
    with pytest.raises(ValueError, match="frozen"):
        reranking.model = "bge-reranker-v2-m3"

    assert reranking.model_dump()["top_n"] == 1


def test_settings_survive_serialisation(face):
    settings = {
        "model": "bge-reranker-v2-m3",
        "top_n": 3,
        "min_score": 0.3,
        "calibration": "isotonic",
        "isotonic": ((0.0, 0.1), (1.0, 0.9)),
        "max_length": 256,
        "long": "windows",
        "instruction": "find the torque",
        "device": "cpu",
        "compute": ComputeConfig(backend="torch", precision="bf16"),
    }
    dumped = json.loads(face(**settings).model_dump_json())
    dumped.pop("class_name", None)

    assert {name: getattr(face(**dumped), name) for name in settings} == settings
    assert json.loads(face(WordOverlap()).model_dump_json())["model"] == "word-overlap"


def test_a_folder_and_its_settings_reach_the_model(rerank, tmp_path):
    folder = tiny_cross_encoder(tmp_path, ["red", "lamp", "no", "match"])
    long = [" ".join(["red"] * 200), "lamp"]
    [cut] = [
        metadata["rag_plugins"]["trace"][0]
        for text, _, metadata in rerank(long, "red lamp", tmp_path, max_length=64)
        if text != "lamp"
    ]

    assert folder == str(tmp_path)
    assert cut["stage"] == tmp_path.name
    assert (cut["read"], cut["tokens"], cut["windows"]) == (64 - 2 - 3, 200, 1)
