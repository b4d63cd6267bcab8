"""What users elsewhere report of rerankers, sparse encoders and downloads, and what happens here.

Each docstring says what happens elsewhere, with a thread that tells of it, and then what does here.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from both_faces import FACES, ids
from faces_support import tiny_cross_encoder
from sparse_support import tiny_splade
from tiny_causal import save_causal


def test_reranker_truncates_in_silence(face, found, cross_encoder, caplog):
    """FlagEmbedding#740: what exceeds max_length is not read. Here the trace says so, or windows do read."""

    def read(**settings):
        reranked = face.reranked(face.Reranker(cross_encoder, **settings), found, "red pump")
        stages = {each.id: each.stages("rerank").popitem()[1] for each in reranked}
        assert "tokens" not in stages["short"] and {len(each.text.split()) for each in reranked} == {3, 1800}
        return stages["long"]

    cut, windows = read(), read(long="windows")
    assert (cut["tokens"], cut["read"]) == (1800, 512 - len(["red", "pump"]) - 3)
    assert windows["read"] == windows["tokens"] == 1800 and windows["windows"] > 3
    unread = face.reranked(face.Reranker(cross_encoder), found, "red pump " * 300)
    assert ids(unread) == ids(face.seen(found)) and "not reranked" in caplog.text


def by_hand(folder, query, text):
    """The score of a pair alone: how sure it is of yes rather than no, where the last token is."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    yes, no = (tokenizer.convert_tokens_to_ids(answer) for answer in ("yes", "no"))
    with torch.inference_mode():
        logits = model.eval()(**tokenizer(query, text, return_tensors="pt")).logits[0, -1]
    return float(torch.sigmoid(logits[yes] - logits[no]))


def test_causal_rerankers_break_in_wrappers_no_pad_token_left_padding(face, tmp_path):
    """xinference#3139: nothing to pad with, or the padding is read. Here a batch scores as each alone."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.modules import LogitScore, Transformer

    plain, saved = save_causal(tmp_path / "plain", "Qwen3", padding=False), tmp_path / "saved"
    transformer = Transformer(str(plain), transformer_task="text-generation")
    answers = [transformer.tokenizer.convert_tokens_to_ids(answer) for answer in ("yes", "no")]
    CrossEncoder(modules=[transformer, LogitScore(*answers)], device="cpu").save_pretrained(str(saved))
    passages = ["red", "The pump is changed every month.", "Which valve is red? " * 9, "no"]
    given = face.given(face.item(text, text) for text in passages)
    best = face.reranked(face.Reranker(str(saved)), given, "Which pump?")
    expected = {text: by_hand(plain, "Which pump?", text) for text in passages}
    assert len(best) == 4 and max(expected.values()) - min(expected.values()) > 0.1
    assert {each.id: each.score for each in best} == pytest.approx(expected, abs=1e-4)


def test_reranker_memory_grows_with_the_batch_model_reloaded_per_call(
    face, tmp_path, watched_outputs, monkeypatch
):
    """agno PR#6638: all pairs at once, a model per call. Here batches have a budget, one model serves."""
    from transformers.models.bert.modeling_bert import BertEmbeddings

    from rag_plugins.models.rerank import cross_encoder as module

    loads = []
    load = module.load_pair_model
    monkeypatch.setattr(module, "load_pair_model", lambda source: loads.append(source) or load(source))
    tokens = watched_outputs(BertEmbeddings, lambda output: output.shape[0] * output.shape[1])
    folder, text = tiny_cross_encoder(tmp_path, ["pump", "valve", "red"]), "pump valve red " * 100
    rerankers = [face.Reranker(folder) for _ in range(2)]
    for many in (4, 40):
        for reranker in rerankers:
            tokens.clear()
            face.reranked(reranker, face.given(face.item(str(n), text) for n in range(many)), "red")
            assert sum(tokens) >= many * 304 and max(tokens) <= 1024
    assert len(loads) == 1


def test_sparse_encoders_run_out_of_memory(face, tmp_path, watched_outputs):
    """FlagEmbedding#532: texts x tokens x vocabulary at once. Here 32 MB of logits, and 256 terms a text."""
    from transformers import AutoModelForMaskedLM
    from transformers.models.bert.modeling_bert import BertLMPredictionHead

    folder = tiny_splade(tmp_path / "splade")
    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.resize_token_embeddings(30_000, mean_resizing=False)
    model.save_pretrained(folder)
    logits = watched_outputs(BertLMPredictionHead, lambda output: output.numel())
    texts_given = ["red pump valve " * 10] * 60
    vectors = face.sparse(str(folder), texts_given)
    assert sum(logits) == 60 * 32 * 30_000 and max(logits) <= 2**23
    assert len(vectors) == 60 and all(1 <= len(vector) <= 256 for vector in vectors)


OFFLINE = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError(f"the network was asked for {args[1:] or args}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
from both_faces import FACES
texts = ["A kitten sleeps on the sofa.", "Income must be declared in May.", "The engine needs new oil."]
for name, face in FACES.items():
    with face.opened([face.item(text, text) for text in texts], f"{sys.argv[1]}/{name}.db") as retriever:
        [best, *_] = face.search(retriever.index, "Where does the young cat rest?")
    print(name, best.text, *best.stages("rerank"))
"""


def test_cannot_run_offline(tmp_path):
    """sentence-transformers#3199: a loaded model asks the hub. Here the default preset needs no socket."""
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "none"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = [f"{name} A kitten sleeps on the sofa. late-interaction" for name in FACES]
    assert done.stdout.splitlines() == told, done.stderr


def test_rerankers_lose_the_retrieval_score(face, found, cross_encoder):
    """LangChain's CrossEncoderReranker drops it. Here it stands beside the new one, with the whole trace."""
    before = {each.id: each for each in face.seen(found)}
    for each in face.reranked(face.Reranker(cross_encoder), found, "red pump"):
        was = before[each.id]
        assert each.metadata["retrieval_score"] == was.score
        [rerank] = each.stages("rerank").values()
        assert each.score == rerank["score"] != was.score
        assert each.stages("leg", "fusion") == was.stages("leg", "fusion") != {}
