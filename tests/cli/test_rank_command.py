"""A cross-encoder alone on the command line, with a tiny one of a real architecture."""

import json

import pytest
from faces_support import tiny_cross_encoder

from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker

TEXTS = ["red lamp", "the tank is empty", "red tank"]
WORDS = ["red", "lamp", "tank", "the", "is", "empty"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_cross_encoder(tmp_path_factory.mktemp("tiny"), WORDS)


def result(out):
    return json.loads(out.splitlines()[-1])


def test_texts_are_ranked_as_the_model_ranks_them(shell, model):
    code, out, _ = shell("rank", "red lamp", *TEXTS, "--model", model, "-k", "2", "--json")
    expected = CrossEncoderReranker(model).rank("red lamp", TEXTS, 2)

    assert code == 0
    assert [(hit["index"], hit["text"]) for hit in result(out)["hits"]] == [
        (ranked.index, ranked.text) for ranked in expected
    ]
    assert [hit["score"] for hit in result(out)["hits"]] == pytest.approx(
        [ranked.score for ranked in expected]
    )
    assert all(ranked.text in out and f"{ranked.score:.3f}" in out for ranked in expected)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.txt", "red lamp\n\nthe tank is empty\r\nred tank\n"),
        ("texts.txt", "\ufeff" + "\n".join(json.dumps({"text": text, "n": 1}) for text in TEXTS)),
        ("texts.jsonl", "\n".join(json.dumps({"text": text}) for text in TEXTS)),
    ],
)
def test_texts_of_a_file_or_of_stdin(shell, model, tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content.encode())
    straight = result(shell("rank", "red lamp", *TEXTS, "--model", model, "--json")[1])

    assert result(shell("rank", "red lamp", "--file", file, "--model", model, "--json")[1]) == straight
    piped = shell("rank", "red lamp", "--file", "-", "--model", model, "--json", stdin=content.encode())
    assert result(piped[1]) == straight


def test_what_was_cut_is_said(shell, model):
    long = " ".join(["tank"] * 100)
    _, out, _ = shell("rank", "red", long, "lamp", "--model", model, "--max-length", 40, "--json")
    hits = {hit["index"]: hit for hit in result(out)["hits"]}

    assert (hits[0]["read"], hits[0]["tokens"], hits[0]["windows"]) == (36, 100, 1)
    assert "read" not in hits[1]
    assert "read 36 of 100 tokens" in out

    _, out, _ = shell("rank", "red", long, "lamp", "--model", model, "--max-length", 40, "--long", "windows")
    assert "read 100 of 100 tokens in" in out


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("red\tlamp\nthe tank\tis empty\n", 2),
        ('["red", "lamp"]\n["the tank", "is empty"]\n', 2),
        ("red\tlamp", 1),
    ],
)
def test_pairs_are_scored_in_their_order(shell, model, tmp_path, content, expected):
    file = tmp_path / "pairs"
    file.write_text(content)
    code, out, _ = shell("score", file, "--model", model, "--json")
    scores = CrossEncoderReranker(model).score_pairs([("red", "lamp"), ("the tank", "is empty")])

    assert code == 0
    assert result(out)["scores"] == pytest.approx(scores.tolist()[:expected])
    assert f"{scores[0]:.3f}" in out


@pytest.mark.parametrize(
    ("command", "content", "told"),
    [
        ("rank", b'{"text": "red"}\n{"body": "lamp"}', "line 2: expected a text"),
        ("rank", b'{"text": "red"}\n\n{"text": ', "line 3: "),
        ("rank", b"\xff\xfe", "cannot be read"),
        ("score", b"red\tlamp\nred", "line 2: expected two texts"),
        ("score", b'["red", "lamp"]\n["red"]', "line 2: expected two texts"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(shell, model, tmp_path, command, content, told):
    file = tmp_path / "broken"
    file.write_bytes(content)
    arguments = ["red", "--file", file] if command == "rank" else [file]
    code, _, error = shell(command, *arguments, "--model", model)

    assert code == 1
    assert error.startswith(f"rag-plugins: {file}: ")
    assert told in error
    assert error.count("\n") == 1


def test_wrong_usage(shell, model, tmp_path):
    assert shell("rank", "red", "--model", model)[0] == 2
    (tmp_path / "empty").write_text("\n")
    assert shell("score", tmp_path / "empty", "--model", model)[0] == 2
    code, _, error = shell("rank", "red", "lamp", "--model", model, "--long", "never")
    assert code == 1
    assert "Input should be 'cut' or 'windows'" in error
    code, _, error = shell("rank", "red " * 999, "lamp", "--model", model)
    assert code == 1
    assert "too few are left for a passage" in error
    assert "empty' is no folder" in shell("rank", "red", "lamp", "--model", tmp_path / "empty")[2]
