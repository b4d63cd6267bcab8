import pytest

from rag_plugins.config import PIPELINES, CrossEncoderConfig, DenseLeg
from rag_plugins.errors import UnknownPreset
from rag_plugins.models.presets import DENSE_PRESETS, RERANKER_PRESETS, find_preset


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
    for presets in (DENSE_PRESETS, RERANKER_PRESETS):
        assert all(name == preset.name for name, preset in presets.items())
        assert len({preset.hub_id for preset in presets.values()}) == len(presets)


def test_matryoshka_widths_ascend_to_the_full_width():
    for preset in DENSE_PRESETS.values():
        assert list(preset.matryoshka) == sorted(preset.matryoshka)
        assert not preset.matryoshka or preset.matryoshka[-1] == preset.dim


def test_every_pipeline_names_models_that_are_known():
    for config in PIPELINES.values():
        for leg in config.legs:
            assert not isinstance(leg, DenseLeg) or find_preset(leg.model, DENSE_PRESETS)
    assert find_preset(CrossEncoderConfig().model, RERANKER_PRESETS)
