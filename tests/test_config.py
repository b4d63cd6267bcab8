from pathlib import Path

import pytest

from rag_plugins.config import (
    PIPELINES,
    Bm25Leg,
    ComputeConfig,
    Config,
    CrossEncoderConfig,
    DenseLeg,
    LateInteractionConfig,
)
from rag_plugins.errors import ConfigError, RagPluginsError, UnknownPreset


def test_the_defaults_are_the_local_preset():
    assert Config() == Config.preset("local") == Config.make({})


def test_toml_sets_what_it_names_and_leaves_the_rest(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text(
        """
        [[legs]]
        kind = "dense"
        model = "multi-qa-MiniLM-L6-cos-v1"
        weight = 2.0
        [[legs]]
        kind = "bm25"
        k1 = 0.9
        [fusion]
        method = "rrf"
        [[rerank]]
        kind = "cross-encoder"
        depth = 10
        [ocr]
        languages = ["eng", "chi_sim"]
        """
    )
    config = Config.from_toml(path)
    assert config.legs == (DenseLeg(model="multi-qa-MiniLM-L6-cos-v1", weight=2.0), Bm25Leg(k1=0.9))
    assert config.fusion.method == "rrf" and config.fusion.rrf_k == 60
    assert config.rerank == (CrossEncoderConfig(depth=10),)
    assert config.ocr.languages == ("eng", "chi_sim") and config.ocr.dpi == Config().ocr.dpi


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"fuison": {}}, "fuison"),
        ({"fusion": {"mehtod": "rrf"}}, "fusion.mehtod"),
        ({"fusion": {"method": "borda"}}, "fusion.method"),
        ({"legs": []}, "legs"),
        ({"legs": [{"kind": "bm25", "weight": -1}]}, "weight"),
        ({"legs": [{"kind": "bm25"}, {"kind": "bm25"}]}, "distinct names"),
        ({"legs": [{"kind": "bm25"}]}, "late interaction needs a dense leg"),
        ({"legs": [{"kind": "bm25", "name": "id; drop"}]}, "name"),
        ({"chunking": {"size": 20, "overlap": 20}}, "overlap"),
        ({"ocr": {"languages": ["eng --psm 0"]}}, "ocr.languages"),
        ({"ocr": {"languages": []}}, "ocr.languages"),
    ],
)
def test_what_cannot_be_used_is_named(values, named):
    with pytest.raises(ConfigError, match=named):
        Config.make(values)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text("[fusion")
    with pytest.raises(ConfigError, match=r"rag\.toml"):
        Config.from_toml(path)
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        Config.from_toml(tmp_path / "absent.toml")


def test_errors_never_repeat_a_secret():
    with pytest.raises(ConfigError) as caught:
        Config.make({"store": {"token": "canary-7f3a", "timeout": -1}})
    assert "canary" not in str(caught.value) and caught.value.__cause__ is None
    assert "canary" not in repr(Config.make({"store": {"token": "canary-7f3a"}}))


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(UnknownPreset, match="local"):
        Config.preset("lcoal")
    assert issubclass(UnknownPreset, RagPluginsError)


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().fusion = None


def test_every_pipeline_survives_a_round_trip():
    for config in PIPELINES.values():
        assert Config.make(config.model_dump(mode="json")) == config


def test_a_dictionary_counts_from_the_file_that_names_it(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text('rerank = []\n[[legs]]\nkind = "bm25"\ndictionary = "terms.toml"\n')
    config = Config.from_toml(path)
    assert config.legs[0].dictionary == tmp_path / "terms.toml" and config.rerank == ()
    path.write_text('rerank = []\n[[legs]]\nkind = "bm25"\ndictionary = "/elsewhere/terms.toml"\n')
    assert Config.from_toml(path).legs[0].dictionary == Path("/elsewhere/terms.toml")


def test_rerank_stages_are_a_list_each_reading_the_best_of_the_one_before(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text(
        "[[rerank]]\nkind = 'late-interaction'\ndepth = 100\n"
        "[[rerank]]\nkind = 'cross-encoder'\ndepth = 30\ncalibration = 'sigmoid'\nmin_score = 0.2\n"
    )
    assert Config.from_toml(path).rerank == (
        LateInteractionConfig(depth=100),
        CrossEncoderConfig(depth=30, calibration="sigmoid", min_score=0.2),
    )
    path.write_text("rerank = []\n")
    assert Config.from_toml(path).rerank == ()


@pytest.mark.parametrize(
    ("stages", "named"),
    [
        ([{"kind": "late-interaction", "depth": 10}, {"kind": "cross-encoder", "depth": 20}], "depths"),
        ([{"kind": "cross-encoder", "calibration": "isotonic"}], "points"),
        ([{"kind": "cross-encoder", "isotonic": [[0.0, 0.1]]}], "belong together"),
        ([{"kind": "cross-encoder", "calibration": "isotonic", "isotonic": [[0, 0.5], [1, 0.2]]}], "rise"),
        ([{"kind": "cross-encoder", "calibration": "isotonic", "isotonic": [[0, 1.5]]}], "isotonic"),
        ([{"kind": "cross-encoder", "min_score": float("nan")}], "min_score"),
        ([{"kind": "late-interaction", "calibration": "sigmoid"}], "similarities"),
        ([{"kind": "cross-encoder", "long": "all"}], "long"),
    ],
)
def test_rerank_stages_that_cannot_be_used_are_named(stages, named):
    with pytest.raises(ConfigError, match=named):
        Config.make({"rerank": stages})


def test_what_models_run_on_can_be_chosen():
    assert Config().compute == ComputeConfig(backend="auto", precision="auto")
    with pytest.raises(ConfigError, match=r"compute\.precision"):
        Config.make({"compute": {"precision": "fp64"}})
