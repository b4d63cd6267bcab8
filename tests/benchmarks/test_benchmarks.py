"""Each benchmark runs from the command line and ends with one line of JSON; small sizes here."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from rag_plugins.errors import BadInput

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is part of the repository, not of the package.

from benchmarks.floors import Layers  # noqa: E402
from benchmarks.fused import Measured, simplex  # noqa: E402
from benchmarks.fusion import summary  # noqa: E402
from benchmarks.passages import shortlists  # noqa: E402
from benchmarks.typos import with_slip  # noqa: E402
from rag_plugins.evaluation.ceiling.rendered import made_page  # noqa: E402
from rag_plugins.fusion import Learned  # noqa: E402

TEXTS = {
    "a": "The coolant pump is bolted to the frame. Coolant pump, coolant loop.",
    "b": "max_value and --no-cache are read by os.path.join; max_value again.",
    "c": "Change the dust filter every month; a dust filter is cheap.",
}
QUERIES = {"a": "coolant pump frame", "b": "max value cache", "c": "change dust filter"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny-set")
    for name, texts in (("corpus", TEXTS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": id, "title": "", "text": text}) for id, text in texts.items()]
        (path / f"{name}.jsonl").write_text("\n".join(lines))
    (path / "qrels.tsv").write_text("".join(f"{id}\t{id}\t1\n" for id in TEXTS))
    return path


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_typos(folder):
    figures = run("typos", "--data", folder)
    assert set(figures) == {"clean", "off", "auto", "recovered", "clean_auto"}
    assert figures["clean"] == figures["clean_auto"] == 1.0 and figures["off"] <= figures["auto"]


def test_identifiers_and_dictionary(folder):
    name = folder.name.replace("-", "_")
    figures = run("identifiers", "--data", folder)
    assert figures[f"plain_{name}"] <= figures[f"aware_{name}"] == 1.0
    figures = run("dictionary", "--data", folder)
    assert figures[f"gain_{name}"] == pytest.approx(figures[f"dictionary_{name}"] - figures[f"plain_{name}"])


def test_sparse_leg(folder):
    name = folder.name.replace("-", "_")
    figures = run("sparse_leg", "--data", folder)
    systems = ("two_legs", "three_legs", "third_alone")
    assert {f"{system}_{name}{stage}" for system in systems for stage in ("", "_reranked")} == set(figures)
    assert all(0.5 < figure <= 1.0 for figure in figures.values())


def test_fusion(tmp_path):
    folder = tmp_path / "two-kinds"
    folder.mkdir()
    about = ("valve", "filter", "motor", "pump", "screw", "belt", "lamp", "fan")
    texts = {
        f"{part}-{n}": f"The {part} of machine {n}. It is cleaned in week {7 * n}."
        for part in about
        for n in range(1, 5)
    }
    queries = {id: f"when must somebody wipe {id.replace('-', ' of number ')}" for id in texts}
    for name, lines in (("corpus", texts), ("queries", queries)):
        rows = [json.dumps({"_id": id, "text": text}) for id, text in lines.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    (folder / "qrels.tsv").write_text("".join(f"{id}\t{id}\t1\n" for id in texts))
    figures = run("fusion", "--data", folder, "--queries", 20)
    of = {name.removesuffix("_two_kinds"): figure for name, figure in figures.items()}
    assert of["oracle"] >= max(of["dense"], of["bm25"], of["minmax"])
    assert of["worst_vs_best_leg"] == pytest.approx(of["adaptive"] - max(of["dense"], of["bm25"]), abs=1e-4)
    assert of["mean_vs_minmax"] == pytest.approx(of["adaptive"] - of["minmax"], abs=1e-4)
    assert of["share_without"] is None and of["learn_seconds_10k"] is None and of["learn_seconds"] > 0
    assert of["extra_ms_per_query"] < 20


def one_set(**scores):
    return Measured(
        passages=5000,
        legs=("dense", "bm25"),
        scores={"dense": 0.5, "bm25": 0.6, "minmax": 0.62, **scores},
        oracle={"dense": 0.5, "bm25": 0.5},
        learned=Learned({}, 0.0, 0, 5000, "known items"),
        wall=6.0,
        cpu=5.0,
        extra_ms=0.2,
    )


def test_the_share_of_what_an_oracle_gains():
    sets = {
        "half": one_set(rrf=0.5, adaptive=0.6, oracle=0.7),
        "below": one_set(rrf=0.5, adaptive=0.4, oracle=0.7),
        "nothing-to-gain": one_set(rrf=0.6, adaptive=0.595, oracle=0.605),
    }
    figures = summary(sets)
    assert figures["share_of_oracle"] == 0.25 and figures["share_without_below"] == 0.5
    assert figures["share_without_half"] == 0.0 and figures["share_without_nothing_to_gain"] == 0.25
    assert figures["worst_vs_best_leg"] == -0.2 and figures["mean_vs_minmax"] == -0.0883
    assert figures["learn_seconds_10k"] == 12.0 and figures["learn_cpu_seconds_10k"] == 10.0


def test_weights_that_an_oracle_tries():
    two = [(weights["dense"], weights["bm25"]) for weights in simplex(["dense", "bm25"])]
    assert two == [(n / 10, (10 - n) / 10) for n in range(11)]
    three = [tuple(weights.values()) for weights in simplex("abc")]
    assert len(set(three)) == len(three) == 66 and all(sum(each) == pytest.approx(1.0) for each in three)


def test_ocr_ceiling(folder, tmp_path):
    (tmp_path / "squad-dev-A").symlink_to(folder)
    given = ("--levels", 10, 40, "--preset", "lexical", "--pages", 3)
    figures = run("ocr_ceiling", "--data", tmp_path, *given)
    assert {"recovered_10", "recovered_40", "robust_40", "bm25_10"} <= set(figures)
    assert figures["plain_clean"] == figures["bm25_clean"] == 1.0 and figures["recovered_sroie"] is None


def test_ocr(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "images").mkdir()
    lines = [{"_id": id, "text": text, "image": f"images/{id}.png"} for id, text in TEXTS.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for number, (id, text) in enumerate(TEXTS.items()):
        made_page(text, number).save(tmp_path / f"images/{id}.png")
    figures = run("ocr", "--data", tmp_path)
    name = tmp_path.name.replace("-", "_")
    assert figures["pages"] == 3 and figures["two_workers"] > 0.3
    for side in ("ours", "bare"):
        assert figures[f"{name}_{side}_folded_error_mean"] < 0.3 < figures[f"{name}_{side}_recall"]


def test_lexical():
    figures = run("lexical", "--terms", 2000, "--passages", 300, "--queries", 5)
    for kind in ("prefix", "wildcard", "fuzzy", "phrase"):
        assert 0 < figures[f"{kind}_p50_ms"] < 1000 and figures[f"{kind}_found"] == 1.0


def test_query():
    figures = run("query", "--rows", 120, "--questions", 8)
    for system in ("ours", "langchain", "llama_index"):
        assert figures[f"{system}_hits_120"] > 9 and figures[f"{system}_own_passage_found_120"] == 1.0
    assert figures["p50_ms"] == figures["ours_p50_ms_120"] <= figures["p99_ms"]
    for peer in ("langchain", "llama_index"):
        ratio = figures[f"{peer}_p50_ms_120"] / figures["p50_ms"]
        assert figures[f"speedup_vs_{peer}"] == pytest.approx(ratio, rel=0.05, abs=0.01)
    assert {"open_seconds", "first_query_ms", "model_encode_ms", "model_rerank_ms"} <= set(figures)


def test_sparse():
    figures = run("sparse", "--rows", 300, "--queries", 5)
    for kind in ("zipf", "uniform"):
        assert 0 < figures[f"{kind}_ours_p50_ms"] <= figures[f"{kind}_ours_p99_ms"] < 100
    assert figures["ratio_to_postings_loop"] > 0 and figures["speedup_vs_lite"] > 1


@pytest.mark.parametrize("dim", [384, 64])
def test_funnel(dim):
    figures = run("funnel", "--rows", 700, "--dim", dim, "--queries", 20, "--texts", 60)
    assert figures["recall_at_10"] >= 0.95 and figures["exact_numpy_700_recall_at_10"] == 1.0
    assert figures["milvus_lite_700_recall_at_10"] == 1.0 and figures["exponent"] is None
    for peer in ("exact", "flat", "hnsw", "pq", "lite"):
        assert figures[f"speedup_vs_{peer}"] > 0
    assert 1.0 <= figures["memory_ratio"] < 1.6


def test_embed(tmp_path):
    drawn = random.Random(0)
    words = " ".join(TEXTS.values()).split()
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(" ".join(drawn.choices(words, k=drawn.randint(90, 200))) for _ in range(8)))
    figures = run("embed", "--texts", texts, "--passages", 4, "--rounds", 2)
    for side in ("", "torch_fp32_", "openvino_fp32_"):
        assert figures[f"{side}speedup"] > 0 and figures[f"{side}cosine_min"] >= 0.9995
    assert figures["cosine_min"] <= figures["cosine_mean"] <= 1.00001
    assert figures["floor_ratio"] > 0.5 and figures["tokens_mean"] >= 128
    assert figures["bf16"] == (figures["bf16_over_fp32"] is not None)


def test_rerank():
    figures = run("rerank", "--pairs", 2, 10, "--rounds", 1, "--memory")
    for side in ("", "fp32_", "openvino_fp32_", "torch_bf16_", "llama_index_"):
        if side != "torch_bf16_" or figures["bf16"]:
            assert figures[f"{side}speedup_2"] > 0 and figures[f"{side}speedup_10"] > 0
            assert figures[f"{side}correlation"] >= 0.9995 and figures[f"{side}overlap10"] >= 0.9
    for side in ("fp32_", "openvino_fp32_", "llama_index_"):
        assert figures[f"{side}max_difference"] < 1e-4 and figures[f"{side}same_top10"]
    assert figures["score_deviation"] >= 1.0 and figures["floor_ratio_10"] > 0.5
    assert figures["padding_10"] < figures["reference_padding_10"]


def test_page_tokens():
    figures = run("page_tokens", "--pages", 150, "--queries", 10, "--patches", 40)
    assert figures["int8_pool_1_recall_at_10"] > 0.9
    assert figures["int8_pool_3_size"] < figures["int8_pool_1_size"] / 2
    assert figures["muvera_pool_1_recall_at_100"] > 0.5


def test_a_shortlist_has_no_passage_twice():
    lists = list(shortlists(["a?", "b?"], ["one", "two", "three"], 4, 3, seed=0))
    assert len(lists) == 4 and all(sorted(texts) == ["one", "three", "two"] for _, texts in lists)
    with pytest.raises(BadInput, match="3 passages"):
        list(shortlists(["a?"], ["one", "two", "three"], 1, 4, seed=0))


def test_operations_of_a_bert_are_those_that_torch_counts():
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    config._attn_implementation = "eager"  # Whose products are counted.
    model = BertModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        model(torch.ones(1, 9, dtype=torch.long))
    assert Layers.of(config).flops([9]) == counted.get_total_flops()


@given(st.integers())
def test_a_slip_is_one_edit_in_one_word(seed):
    query = "who painted the ceiling of the chapel"
    slipped = with_slip(query, random.Random(seed))
    changed = [(old, new) for old, new in zip(query.split(), slipped.split(), strict=True) if old != new]
    ((old, new),) = changed
    assert OSA.distance(old, new) == 1 and len(old) >= 4
