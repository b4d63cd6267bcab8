import functools
import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers import SparseEncoder as Saved
from sentence_transformers.sparse_encoder.modules import (
    Router,
    SparseStaticEmbedding,
    SpladePooling,
    Transformer,
)
from tiny_models import make_tokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    RobertaConfig,
)

from rag_plugins.config import ComputeConfig, SparseLeg
from rag_plugins.errors import BadInput, ConfigError, ModelNotFound, SideError, UnknownPreset
from rag_plugins.models import sparse
from rag_plugins.models.backend import Weights
from rag_plugins.models.protocols import DENSE, SPARSE
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.types import EmbedImage, EmbedText
from rag_plugins.vectors import SparseVector

TEXTS = [
    "the pump is changed every month.",
    "red valve",
    "",
    "the filter, the pumps, the valves: is every valve changed every month?",
    "blue",
]
IDF = {"red": 4.0, "pump": 3.0, "the": 0.25, "valve": 0.0}
TOKENS = make_tokenizer()
ID = TOKENS.convert_tokens_to_ids

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONFIGS = {
    "bert": BertConfig(max_position_embeddings=64, **SIZES),
    "roberta": RobertaConfig(max_position_embeddings=66, pad_token_id=1, **SIZES),
    "distilbert": DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64),
}


def save_masked_lm(folder: Path, kind: str = "bert") -> Path:
    torch.manual_seed(0)
    config = CONFIGS[kind]
    config.vocab_size = len(TOKENS)
    config.initializer_range = 0.5  # Large, so that different texts get clearly different weights.
    AutoModelForMaskedLM.from_config(config).eval().save_pretrained(folder)
    TOKENS.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    return save_masked_lm(tmp_path_factory.mktemp("masked-lm"))


@pytest.fixture(scope="module", params=["relu", "log1p_relu"])
def inference_free(request, masked_lm, tmp_path_factory):
    """A folder, and how many logarithms its documents take."""
    folder = tmp_path_factory.mktemp("inference-free")
    document = Transformer(str(masked_lm), transformer_task="fill-mask")
    weights = torch.zeros(len(TOKENS))
    for token, weight in IDF.items():
        weights[ID(token)] = weight
    query = SparseStaticEmbedding(tokenizer=document.tokenizer, weight=weights, frozen=True)
    pooling = SpladePooling("max", activation_function=request.param)
    Saved(
        modules=[Router.for_query_document(query_modules=[query], document_modules=[document, pooling])]
    ).save_pretrained(str(folder))
    return folder, 1 if request.param == "relu" else 2


def by_hand(folder: Path, text: str, logarithms: int = 1):
    """max over i of log(1 + ReLU(w_ij)), shape (vocabulary,), from transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    encoded = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        weights = model(**encoded).logits[0].clamp(min=0)
    for _ in range(logarithms):
        weights = (1 + weights).log()
    return weights.max(dim=0).values.numpy()


def full(vector: SparseVector):
    row = np.zeros(len(TOKENS), np.float32)
    row[vector.indices] = vector.values
    return row


def encoder_of(model, **settings) -> SparseEncoder:
    return SparseEncoder(SparseLeg(model=str(model), **settings))


def documents(encoder: SparseEncoder, *texts: str) -> tuple[SparseVector, ...]:
    return encoder.encode_documents([EmbedText(text) for text in texts]).sparse


@pytest.fixture
def passes(monkeypatch):
    """Grows by the number of texts with each forward pass through a BERT."""
    passes, forward = [], BertModel.forward

    @functools.wraps(forward)
    def counted(self, *args, **options):
        out = forward(self, *args, **options)
        passes.append(len(out.last_hidden_state))
        return out

    monkeypatch.setattr(BertModel, "forward", counted)
    return passes


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_plain_masked_lm_is_splade(tmp_path, kind):
    folder = save_masked_lm(tmp_path, kind)
    encoder = encoder_of(folder)
    queries, passages = encoder.encode_queries(TEXTS).sparse, documents(encoder, *TEXTS)
    for query, passage, text in zip(queries, passages, TEXTS, strict=True):
        expected = by_hand(folder, text)
        assert np.abs(full(query) - expected).max() < 1e-5
        assert np.abs(full(passage) - expected).max() < 1e-5
        assert 0 < len(query) < len(TOKENS)
        assert (query.values > 0).all()


def test_a_texts_weights_do_not_depend_on_its_neighbours(masked_lm, passes, monkeypatch):
    encoder = encoder_of(masked_lm)
    together = documents(encoder, *TEXTS)
    alone = [documents(encoder, text)[0] for text in TEXTS]
    monkeypatch.setattr(sparse, "_CELLS", len(TOKENS) * 80)
    encoder = encoder_of(masked_lm, max_length=60)  # Loaded anew, with small batches.
    passes.clear()
    batched = documents(encoder, *TEXTS)
    assert passes == [1, 1, 3]
    for vectors in zip(together, alone, batched, strict=True):
        assert np.ptp([full(vector) for vector in vectors], axis=0).max() < 1e-5


def test_a_text_longer_than_a_batch_is_pooled_whole(masked_lm, monkeypatch):
    monkeypatch.setattr(sparse, "_CELLS", len(TOKENS) * 7)
    encoder = encoder_of(masked_lm, max_length=59)
    assert np.abs(full(documents(encoder, TEXTS[3])[0]) - by_hand(masked_lm, TEXTS[3])).max() < 1e-5


def test_dense_rows_do_not_outlive_their_batch(masked_lm, monkeypatch):
    monkeypatch.setattr(sparse, "_CELLS", len(TOKENS) * 20)
    encoder = encoder_of(masked_lm, max_length=58)
    rows, alive, sizes = [], [], []

    def watched(self, features):
        alive.append(sum(row() is not None for row in rows))
        out = pool(self, features)
        rows.extend([weakref.ref(out["sentence_embedding"]), weakref.ref(out["token_embeddings"])])
        sizes.append(out["token_embeddings"].shape[:2].numel())
        return out

    pool = SpladePooling.forward
    monkeypatch.setattr(SpladePooling, "forward", watched)
    vectors = documents(encoder, *TEXTS[:2] * 40)
    assert len(alive) >= 20
    assert max(sizes) <= 20
    assert max(alive) <= 1  # The rows just read, never the logits.
    assert all(vector.values.base is None for vector in vectors)  # No views of those rows.


def test_what_is_saved_loads_as_it_was(masked_lm, tmp_path):
    modules = [Transformer(str(masked_lm), transformer_task="fill-mask"), SpladePooling("max")]
    Saved(modules=modules, prompts={"query": "query: ", "document": "passage: "}).save_pretrained(
        str(tmp_path)
    )
    encoder = encoder_of(tmp_path)
    query = encoder.encode_queries(["red pump"]).sparse[0]
    assert np.abs(full(query) - by_hand(masked_lm, "query: red pump")).max() < 1e-5
    assert (
        np.abs(full(documents(encoder, "red pump")[0]) - by_hand(masked_lm, "passage: red pump")).max() < 1e-5
    )


def test_the_layout_of_published_splade_models_loads(masked_lm, tmp_path):
    folder = shutil.copytree(masked_lm, tmp_path / "published")
    (folder / "1_SpladePooling").mkdir()
    kinds = {"": "MLMTransformer", "1_SpladePooling": "SpladePooling"}
    files = {
        "modules.json": [
            {
                "idx": n,
                "name": str(n),
                "path": path,
                "type": f"sentence_transformers.sparse_encoder.models.{kind}",
            }
            for n, (path, kind) in enumerate(kinds.items())
        ],
        "config_sentence_transformers.json": {"model_type": "SparseEncoder"},
        "sentence_bert_config.json": {"max_seq_length": 32, "do_lower_case": False},
        "1_SpladePooling/config.json": {"pooling_strategy": "max", "word_embedding_dimension": len(TOKENS)},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    encoder = encoder_of(folder)
    assert encoder.fingerprint["max_length"] == 32
    assert np.abs(full(documents(encoder, "red pump")[0]) - by_hand(masked_lm, "red pump")).max() < 1e-5
    (folder / "config_sentence_transformers.json").unlink()  # Now an autoencoder would be put on top.
    with pytest.raises(ConfigError, match="expected a saved SparseEncoder"):
        encoder_of(folder, max_length=16).encode_queries(["red"])


def test_an_inference_free_query_is_its_tokens_with_their_weights(inference_free, passes):
    encoder = encoder_of(inference_free[0])
    expected = [SparseVector.of({ID("red"): 4.0, ID("pump"): 3.0, ID("the"): 0.25}), SparseVector.of({})]
    assert encoder.encode_queries(["the red pump, red valve"]).sparse[0] == expected[0]
    assert list(encoder.encode_queries(["the red pump red", "", "☃"]).sparse) == [*expected, expected[1]]
    assert encoder.encode_queries([""]).sparse == (expected[1],)
    assert passes == []
    documents(encoder, "red pump")
    assert passes == [1]


def test_an_inference_free_document_takes_a_pass(inference_free, masked_lm):
    folder, logarithms = inference_free
    encoder = encoder_of(folder)
    for text, vector in zip(TEXTS, documents(encoder, *TEXTS), strict=True):
        assert np.abs(full(vector) - by_hand(masked_lm, text, logarithms)).max() < 1e-5


def test_an_inference_free_query_is_cut_too(inference_free):
    encoder = encoder_of(inference_free[0], max_length=3)
    assert encoder.encode_queries(["the the red pump"]).sparse[0] == SparseVector.of(
        {ID("the"): 0.25, ID("red"): 4.0}
    )


def test_pruning_keeps_the_strongest(masked_lm):
    everything = encoder_of(masked_lm, query_terms=None, document_terms=None)
    few = encoder_of(masked_lm, query_terms=2, document_terms=5)
    for most, kept, whole in (
        (2, few.encode_queries(TEXTS[:1]), everything.encode_queries(TEXTS[:1])),
        (2, few.encode_queries(TEXTS[:2]), everything.encode_queries(TEXTS[:2])),
        (5, few.encode_documents([EmbedText(TEXTS[0])]), everything.encode_documents([EmbedText(TEXTS[0])])),
    ):
        weights = sorted(whole.sparse[0].as_dict().items(), key=lambda item: -item[1])
        assert len(weights) > 5
        assert kept.sparse[0].as_dict() == dict(weights[:most])


def test_weights_that_are_no_numbers_are_dropped(masked_lm, tmp_path):
    folder = shutil.copytree(masked_lm, tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.bias"][[ID("red"), ID("blue")]] = torch.tensor([float("nan"), float("inf")])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    vector = documents(encoder_of(folder, document_terms=3), "red pump")[0]
    expected = by_hand(masked_lm, "red pump")
    expected[[ID("red"), ID("blue")]] = 0
    assert set(vector.indices.tolist()) == set(np.argsort(-expected)[:3].tolist())
    assert np.isfinite(vector.values).all()


def test_what_exceeds_max_length_is_not_read(masked_lm):
    encoder = encoder_of(masked_lm, max_length=12)
    long, cut, other = documents(encoder, "red pump " * 2000, "red pump " * 5, "red pump " * 4)
    assert np.abs(full(long) - full(cut)).max() < 1e-5
    assert np.abs(full(long) - full(other)).max() > 1e-3
    with pytest.raises(ConfigError, match="max_length is 65, but the model reads at most 64"):
        encoder_of(masked_lm, max_length=65).encode_queries(["red"])


def test_terms_are_strings_and_literal_ones_stand_in_the_text(masked_lm, inference_free):
    for folder in (masked_lm, inference_free[0]):
        encoder = encoder_of(folder, max_length=4)
        assert encoder.terms([ID("pump"), ID("##s"), ID("水")]) == ["pump", "##s", "水"]
        literal = encoder.literal("The red pumps, red! 水阀 and " + "blue " * 1000)
        assert set(encoder.terms(sorted(literal))) == {"the", "red", "pump", "##s", ",", "水", "blue"}
        assert encoder.literal("") == frozenset()
        found = documents(encoder, "red pump")[0].indices.tolist()
        assert all(encoder.terms(found))
        assert set(found) - encoder.literal("red pump")  # Expansion.


def test_a_query_asked_again_takes_no_second_pass(masked_lm, passes):
    encoder = encoder_of(masked_lm)
    first = encoder.encode_queries(["red pump"]).sparse[0]
    expected = first.as_dict()
    first.values[:] = 0  # The caller's own array.
    assert encoder.encode_queries(["red pump"]).sparse[0].as_dict() == expected
    assert passes == [1]


def test_many_threads_share_one_encoder(masked_lm, inference_free):
    for folder in (masked_lm, inference_free[0]):
        encoder = encoder_of(folder)

        def work(n, encoder=encoder):
            texts = TEXTS[n % 3 :]
            vectors = [*encoder.encode_queries(texts).sparse, *documents(encoder, *texts)]
            encoder.literal(texts[0])
            return np.array([full(vector) for vector in vectors]), encoder.terms(range(5, 25))

        expected = [work(n) for n in range(3)]
        with ThreadPoolExecutor(8) as pool:
            for n, (vectors, terms) in enumerate(pool.map(work, range(24))):
                assert np.abs(vectors - expected[n % 3][0]).max() < 1e-5
                assert terms == expected[0][1]


def test_nothing_in_nothing_out(masked_lm):
    assert encoder_of(masked_lm).encode_documents([]).sparse == ()
    assert encoder_of(masked_lm).encode_queries([]).sparse == ()


def test_the_sides_do_not_mix(masked_lm):
    encoder = encoder_of(masked_lm)
    with pytest.raises(SideError):
        encoder.encode_documents(["red pump"])
    with pytest.raises(SideError):
        encoder.encode_queries([EmbedText("red pump")])
    with pytest.raises(BadInput, match="EmbedImage"):
        encoder.encode_documents([EmbedImage("0" * 64)])
    for want in (DENSE, DENSE | SPARSE, frozenset()):
        with pytest.raises(BadInput, match="this model gives sparse"):
            encoder.encode_queries(["red"], want)


def test_an_unknown_name_is_refused_at_once():
    with pytest.raises(UnknownPreset, match="known presets are splade-v3, splade-cocondenser"):
        encoder_of("splade")


def test_a_bge_m3_is_no_splade_model():
    for name in ("bge-m3", "BAAI/bge-m3"):
        with pytest.raises(ConfigError, match="M3Encoder"):
            encoder_of(name)


def test_a_bi_encoder_is_refused(tiny_bert, tmp_path):
    SentenceTransformer(str(tiny_bert)).save_pretrained(str(tmp_path / "saved"))
    for folder in (tiny_bert, tmp_path / "saved"):
        with pytest.raises(ConfigError, match="no weights over a vocabulary.*belongs in a dense leg"):
            encoder_of(folder).encode_queries(["red"])


def test_a_masked_lm_without_its_head_is_refused(masked_lm, tmp_path):
    folder = shutil.copytree(masked_lm, tmp_path / "headless")
    tensors = load_file(folder / "model.safetensors")
    trunk = {name: tensor for name, tensor in tensors.items() if not name.startswith("cls.")}
    assert len(trunk) < len(tensors)
    save_file(trunk, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="a masked-LM with its head"):
        encoder_of(folder).encode_queries(["red"])


def test_damaged_weights_are_refused(masked_lm, tmp_path):
    folder = shutil.copytree(masked_lm, tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ConfigError, match="is no model that can be loaded"):
        encoder_of(folder).encode_queries(["red"])


def test_pickles_are_read_only_where_a_preset_says_so(masked_lm, tmp_path, monkeypatch):
    folder = shutil.copytree(masked_lm, tmp_path / "pickled")
    torch.save(AutoModelForMaskedLM.from_pretrained(masked_lm).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="pickles are not loaded"):
        encoder_of(folder).encode_queries(["red"])
    asked = []

    def found(hub_id, package, pickles):
        asked.append((hub_id, pickles))
        return Weights("cache", folder)

    monkeypatch.setattr(sparse, "find_weights", found)
    vector = encoder_of("splade-v3", max_length=64).encode_queries(["red pump"]).sparse[0]
    assert asked == [("naver/splade-v3", ("pytorch_model.bin",))]
    assert np.abs(full(vector) - by_hand(masked_lm, "red pump")).max() < 1e-5


def test_fingerprints(masked_lm, tmp_path):
    plain = encoder_of(masked_lm)
    assert plain.fingerprint == encoder_of(shutil.copytree(masked_lm, tmp_path / "moved")).fingerprint
    assert plain.fingerprint["dim"] == plain.dim == len(TOKENS)
    assert plain.fingerprint["max_length"] == 64
    assert plain.source == f"folder {masked_lm}"
    assert encoder_of(masked_lm, query_terms=3).fingerprint == plain.fingerprint
    for change in ({"document_terms": 7}, {"max_length": 16}):
        assert encoder_of(masked_lm, **change).fingerprint != plain.fingerprint


def test_a_preset_says_what_it_is_without_loading():
    encoder = encoder_of("ibm-granite/granite-embedding-30m-sparse")  # Not on this machine.
    assert encoder.fingerprint == {
        "model": "granite-embedding-30m-sparse",
        "dim": 50265,
        "max_length": 512,
        "document_terms": 256,
    }


@pytest.mark.chosen
def test_by_the_real_rule_weights_are_nearly_as_on_torch(masked_lm, inference_free):
    for folder in (masked_lm, inference_free[0]):
        exact, chosen = (
            SparseEncoder(SparseLeg(model=str(folder)), ComputeConfig(backend=backend, precision="fp32"))
            for backend in ("torch", "auto")
        )
        assert chosen.choice.backend == "openvino"
        for encode, texts in (("encode_queries", TEXTS), ("encode_documents", [EmbedText(t) for t in TEXTS])):
            ours, theirs = (getattr(encoder, encode)(texts).sparse for encoder in (chosen, exact))
            for mine, expected in zip(ours, theirs, strict=True):
                assert mine.as_dict() == pytest.approx(expected.as_dict(), abs=1e-3)


def test_a_model_is_freed_when_it_is_let_go_of(masked_lm):
    encoder = SparseEncoder(SparseLeg(model=str(masked_lm), max_length=31))
    trunk = weakref.ref(encoder._trunk)
    encoder.release()
    assert trunk() is None
    assert encoder.encode_queries(["red"]).sparse[0].indices.size
