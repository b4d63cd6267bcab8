"""Recipes on small data: what they may learn from, and what they make of it."""

import gzip
import json

import numpy as np
import pytest

from rag_plugins.training.recipes.open_pairs import open_pairs
from rag_plugins.training.recipes.rotation import NAME, learned, mixed, polar, words, written
from rag_plugins.vectors import normalise

LINES = [
    ("tldr-en", "list files", "ls\nLists files.", "tldr:ls"),
    ("tldr-en", "List  FILES of a folder", "dir\nLists files of a folder.", "tldr:dir"),
    ("tldr-zh2en", "列出文件", "ls\nLists files.", "tldr:ls"),
    ("medquad", "What is gout?", "Gout is a kind of arthritis.", "medquad:1"),
    ("medquad", "Who gets gout?", "Men more than women.", "medquad:2"),
    ("medquad", "Is gout painful?", "Men more than women.", "medquad:2"),
    ("fairytale-val", "Who slept?", "The king slept.", "ft:1"),
    ("drcd-dev", "誰?", "某人。", "drcd:1"),
]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "train-pairs").mkdir()
    (tmp_path / "tldr-en").mkdir()
    keys = ("source", "query", "positive", "doc_id")
    text = "\n".join(json.dumps(dict(zip(keys, line, strict=True))) for line in LINES)
    (tmp_path / "train-pairs" / "pairs.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    asked = json.dumps({"_id": "q", "text": "list files of a folder"})
    (tmp_path / "tldr-en" / "queries.jsonl").write_text(asked, encoding="utf-8")
    return tmp_path


def test_share_alike_sources_and_queries_of_evaluation_sets_are_left_out(data):
    pairs = open_pairs(data, 10)
    assert {pair.positive for pair in pairs} == {
        "ls\nLists files.",
        "Gout is a kind of arthritis.",
        "Men more than women.",
        "The king slept.",
    }
    assert len(pairs) == 4 and {pair.query for pair in pairs}.isdisjoint({"列出文件", "誰?"})


def test_each_source_gives_so_many_pairs_at_most_and_always_the_same(data):
    pairs = open_pairs(data, 1)
    assert sorted(pair.group.split(":")[0] for pair in pairs) == ["ft", "medquad", "tldr"]
    assert pairs == open_pairs(data, 1)


def test_words_are_whole_and_plain():
    found = words(["the", "##ing", "pump", "[CLS]", "valve", "2019", "école", "filter"])
    assert sorted(found) == ["filter", "pump", "valve"] and found == words(["filter", "valve", "pump"])


def test_a_rotation_is_learned_under_which_prefixes_rank_as_whole_vectors_do():
    random = np.random.default_rng(0)
    axes = polar(random.standard_normal((24, 24)))
    spectrum = np.arange(1, 25) ** -1.0
    kinds = [normalise((random.standard_normal((60, 24)) * spectrum) @ axes) for _ in range(3)]
    held = normalise((random.standard_normal((80, 24)) * spectrum) @ axes)
    columns = learned(kinds, widths=(3, 6), steps=10)
    assert np.abs(columns.T @ columns - np.eye(24)).max() < 1e-5

    def agreement(turn):
        cut = normalise((held @ turn)[:, :6])
        return np.corrcoef((cut @ cut.T).ravel(), (held @ held.T).ravel())[0, 1]

    assert agreement(columns) > agreement(np.eye(24, dtype=np.float32)) + 0.2
    assert np.array_equal(columns, learned(kinds, widths=(3, 6), steps=10))


def test_it_is_written_with_its_card(tmp_path):
    folder = written(np.eye(4, dtype=np.float32), "| a | table |", tmp_path)
    assert folder.name == NAME and (folder / "model.safetensors").is_file()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| a | table |" in card and "MedQuAD (CC BY 4.0)" in card


def test_queries_and_passages_are_mixed_in_one_order():
    queries, passages = np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32)
    assert np.array_equal(mixed(queries, passages), mixed(queries, passages))
    assert mixed(queries, passages).sum() == 6.0
