import re

import pytest

from rag_plugins.config import PIPELINES, CrossEncoderConfig, DenseLeg, SparseLeg
from rag_plugins.errors import UnknownPreset
from rag_plugins.models.presets import (
    DENSE_PRESETS,
    IMAGE_PRESETS,
    RERANKER_PRESETS,
    SPARSE_PRESETS,
    find_preset,
)


def test_a_preset_is_found_by_name_and_by_hub_id():
    preset = DENSE_PRESETS["e5-small-v2"]
    assert find_preset("e5-small-v2", DENSE_PRESETS) is preset
    assert find_preset("intfloat/e5-small-v2", DENSE_PRESETS) is preset


def test_folders_and_other_hub_ids_are_no_presets(tmp_path):
    assert find_preset(str(tmp_path), DENSE_PRESETS) is None
    assert find_preset("someone/their-model", DENSE_PRESETS) is None


@pytest.mark.parametrize("model", ["all-minilm", "/no/such/folder", ""])
def test_an_unknown_name_lists_the_known_ones(model):
    with pytest.raises(UnknownPreset, match="all-MiniLM-L6-v2, multi-qa-MiniLM-L6-cos-v1, bge-small"):
        find_preset(model, DENSE_PRESETS)


def test_names_and_hub_ids_are_distinct():
    for presets in (DENSE_PRESETS, SPARSE_PRESETS, IMAGE_PRESETS, RERANKER_PRESETS):
        assert all(name == preset.name for name, preset in presets.items())
        assert len({preset.hub_id for preset in presets.values()}) == len(presets)


def test_matryoshka_widths_ascend_to_the_full_width():
    for preset in (*DENSE_PRESETS.values(), *IMAGE_PRESETS.values()):
        assert list(preset.matryoshka) == sorted(preset.matryoshka)
        assert not preset.matryoshka or preset.matryoshka[-1] == preset.dim


def test_every_pipeline_names_models_that_are_known():
    for config in PIPELINES.values():
        for leg in config.legs:
            assert not isinstance(leg, DenseLeg) or find_preset(leg.model, DENSE_PRESETS)
            assert not isinstance(leg, SparseLeg) or find_preset(leg.model, SPARSE_PRESETS)
    assert find_preset(CrossEncoderConfig().model, RERANKER_PRESETS)


def test_a_bge_m3_is_the_same_model_in_both_tables():
    dense = {preset.hub_id: preset for preset in DENSE_PRESETS.values() if preset.m3}
    sparse = {preset.hub_id: preset for preset in SPARSE_PRESETS.values() if preset.kind == "m3"}
    assert dense.keys() == sparse.keys() == {"BAAI/bge-m3"}
    for hub_id, preset in dense.items():
        twin = sparse[hub_id]
        assert (preset.name, preset.licence, preset.max_length, preset.pickles) == (
            twin.name,
            twin.licence,
            twin.max_length,
            twin.pickles,
        )


def test_each_kind_of_sparse_model_has_a_preset():
    assert {preset.kind for preset in SPARSE_PRESETS.values()} == {
        "splade",
        "inference-free",
        "m3",
        "lexical",
    }


def test_templates_of_rerankers_have_one_place_for_each_text():
    causal = [preset for preset in RERANKER_PRESETS.values() if preset.template]
    assert {preset.name.split("-")[0] for preset in causal} == {"bge", "mxbai", "Qwen3"}
    for preset in causal:
        places = re.findall(r"\{(\w*)\}", "".join(preset.template))
        assert sorted(set(places) - {"instruction"}) == ["document", "query"]
        assert len(places) == len(set(places))
        assert preset.instruction is None or "instruction" in places
        assert all(answer is None or answer.isalnum() for answer in preset.answers)


def test_each_kind_of_reranker_has_a_preset():
    kinds = {preset.name: preset.kind for preset in RERANKER_PRESETS.values()}
    assert set(kinds.values()) == {"causal", "classifier", "multimodal"}
    assert kinds["bge-reranker-v2-gemma"] == "causal"
    assert kinds["ms-marco-MiniLM-L-6-v2"] == "classifier"
    assert kinds["Qwen3-VL-Reranker-2B"] == "multimodal"
