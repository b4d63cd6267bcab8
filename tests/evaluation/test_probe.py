"""Whether a model was trained for prefixes: told of the real MiniLM, as it is and turned."""

import json

import numpy as np
import pytest

from rag_plugins.config import DenseLeg
from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.probe import PrefixQuality, Probe, probe
from rag_plugins.evaluation.texts import manual_texts, read_queries, read_texts
from rag_plugins.funnel import Rotation
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.protocols import Encoding

TEXTS = [text for text in manual_texts(2000) if len(text.split()) < 20][:320]


class Turned:
    """A real model's vectors, each text encoded once, rotated or not."""

    def __init__(self, model, known, rotation=None, matryoshka=()):
        self.model, self.known, self.rotation = model, known, rotation
        self.dim, self.matryoshka = model.dim, matryoshka

    def encode_documents(self, views):
        return self._encode([view.text for view in views], lambda _: self.model.encode_documents(views))

    def encode_queries(self, queries):
        return self._encode(queries, self.model.encode_queries)

    def _encode(self, texts, encode):
        if not all(text in self.known for text in texts):
            self.known.update(zip(texts, encode(texts).dense, strict=True))
        vectors = np.stack([self.known[text] for text in texts])
        return Encoding(dense=vectors if self.rotation is None else self.rotation(vectors))


@pytest.fixture(scope="module")
def plain():
    return Turned(DenseEncoder(DenseLeg()), {})


@pytest.fixture(scope="module")
def turned(plain):
    probe(plain, TEXTS)
    rotation = Rotation.fit(np.stack([plain.known[text] for text in TEXTS]))
    return lambda widths: Turned(plain.model, plain.known, rotation, widths)


def test_minilm_is_no_matryoshka_model(plain):
    result = probe(plain, TEXTS)
    assert not result.matryoshka and result.trained == () and 'rotation = "auto"' in result.advice
    assert (result.dim, result.texts, result.queries) == (384, 320, 200)
    assert [prefix.width for prefix in result.prefixes] == [12, 16, 24, 32, 48, 64, 96, 128, 192]
    for prefix in result.prefixes:
        assert abs(prefix.raw - prefix.random) < 0.05 < prefix.rotated - prefix.raw
        assert prefix.raw_inside <= prefix.rotated_inside <= 1.0


def test_vectors_whose_leading_numbers_say_most_are_those_of_one(turned):
    result = probe(turned(()), TEXTS)
    assert result.matryoshka and len(result.trained) > 6
    assert f"matryoshka = {list(result.trained)}" in result.advice
    assert all(prefix.raw == pytest.approx(prefix.rotated, abs=0.01) for prefix in result.prefixes)


def test_declared_prefixes_are_measured_and_said_to_be_good_or_not(plain, turned):
    good = probe(turned((40, 384)), TEXTS)
    assert good.declared == (40,) and 40 in good.trained and "nothing to set" in good.advice
    bad = probe(Turned(plain.model, plain.known, matryoshka=(40,)), TEXTS)
    assert bad.declared == (40,) and not bad.matryoshka and "matryoshka = []" in bad.advice


def test_leading_numbers_must_keep_clearly_more_than_chance():
    def trained(raw, random, spread):
        return PrefixQuality(48, raw, random, spread, 0.8, 0.9, 1.0).trained

    assert trained(0.60, 0.50, 0.02)
    assert not trained(0.54, 0.50, 0.001) and not trained(0.60, 0.50, 0.03)


def test_questions_can_be_given(plain):
    result = probe(plain, TEXTS, ["How is a file opened?", "What closes a socket?"])
    assert result.queries == 2


def test_its_json_is_plain():
    prefix = PrefixQuality(48, 0.61234, 0.5, 0.01, 0.8, 0.9, 1.0)
    value = json.loads(json.dumps(Probe(384, (), (prefix,), 300, 200).to_json()))
    assert value["matryoshka"] is True and value["trained"] == [48]
    assert value["prefixes"][0]["raw"] == 0.6123


@pytest.mark.parametrize(
    ("texts", "queries", "reason"),
    [(["a"] * 500, None, "1 different"), (TEXTS[:199], None, "199"), (TEXTS, [], "0 queries")],
)
def test_too_little_to_measure_is_refused(plain, texts, queries, reason):
    with pytest.raises(BadInput, match=reason):
        probe(plain, texts, queries)


def test_texts_of_every_machine_are_many_different_and_the_same_ones():
    texts = manual_texts(1000)
    assert len(set(texts)) == 1000 and texts == manual_texts(1000)
    assert all(len(text.split()) >= 12 for text in texts)


def test_texts_are_read_by_paragraph_or_by_document(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("One\ntwo.\n\n \nThree.\n")
    assert read_texts(file) == ["One\ntwo.", "Three."]
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "title": "T", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "y?"}\n')
    (tmp_path / "qrels.tsv").write_text("q\ta\t1\n")
    assert read_texts(tmp_path) == ["T\nx"]
    assert read_queries(tmp_path / "queries.jsonl") == ["y?"]
    assert read_queries(file) == ["One", "two.", "Three."]
    for missing in (tmp_path / "none.txt", tmp_path / "none.jsonl"):
        with pytest.raises(BadDocument, match="none"):
            read_queries(missing)
