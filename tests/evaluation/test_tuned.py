"""What is made of a tuning: a plot, and a configuration."""

import tomllib
from xml.etree import ElementTree

import numpy as np
import pytest

from rag_plugins.config import PIPELINES, Config
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.evaluation.plots import plot_tuning
from rag_plugins.evaluation.tuning.settings import write_funnel, write_stage
from rag_plugins.funnel import Funnel, Rotation
from rag_plugins.funnel.tuning import tune
from rag_plugins.vectors import normalise

FUNNEL = Funnel([(48, 300), (192, 40), (384,)])


@pytest.fixture(scope="module")
def tuning():
    random = np.random.default_rng(0)
    matrix = normalise((random.standard_normal((3000, 64)) * np.arange(1, 65) ** -0.7).astype(np.float32))
    return tune(matrix, matrix[::100], recall=0.9, rotation=Rotation.fit(matrix, 32))


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_plot_is_drawn_in_the_format_of_its_name(tuning, tmp_path, ending):
    plot_tuning(tuning, path := tmp_path / f"tuning.{ending}")
    assert path.read_bytes().startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[ending])


def test_a_plot_has_a_curve_for_each_width_and_a_star(tuning, tmp_path):
    plot_tuning(tuning, path := tmp_path / "tuning.svg")
    curves = [element for element in ElementTree.parse(path).iter() if "line2d" in element.get("id", "")]
    assert tuning.funnel and len(curves) > len(tuning.alone)
    assert "recall@10 of the exact search" in path.read_text()


def test_a_plot_without_a_funnel_is_drawn_too(tmp_path):
    random = np.random.default_rng(0)
    noise = normalise(random.standard_normal((200, 64)).astype(np.float32))
    tuning = tune(noise, noise[:20], recall=1.0, rotation=Rotation.fit(noise, 32))
    plot_tuning(tuning, path := tmp_path / "tuning.png")
    assert tuning.funnel is None and path.stat().st_size > 1000


@pytest.mark.parametrize("name", ["tuning.what", "missing/tuning.png"])
def test_what_cannot_be_drawn_is_refused(tuning, tmp_path, name):
    with pytest.raises(BadInput, match="tuning"):
        plot_tuning(tuning, tmp_path / name)


CONFIG = """\
# Ours.
rerank = []  # for now

[store]
timeout = 5.0

[[legs]]
kind = "dense"   # the model
name = "meaning"
model = "e5-small-v2"

[[legs]]
kind = "bm25"
"""


def test_a_configuration_keeps_everything_else(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text(CONFIG)
    path.chmod(0o640)
    before = Config.from_toml(path)
    write_funnel(path, "meaning", FUNNEL)
    lines = path.read_text().splitlines()
    assert [line for line in lines if line not in CONFIG.splitlines()] == [
        "funnel = [[48, 300], [192, 40], [384]]"
    ]
    assert [line for line in lines if "funnel" not in line] == CONFIG.splitlines()
    legs = (before.legs[0].model_copy(update={"funnel": FUNNEL}), before.legs[1])
    assert Config.from_toml(path) == before.model_copy(update={"legs": legs})
    assert path.stat().st_mode & 0o777 == 0o640 and list(tmp_path.iterdir()) == [path]


def test_a_funnel_that_is_set_is_replaced(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text('legs = [{kind = "bm25"}, {kind = "dense", funnel = "halving"}]\n')
    write_funnel(path, "dense", FUNNEL)
    assert Config.from_toml(path).legs[1].funnel == FUNNEL
    write_funnel(path, "dense", None)
    assert Config.from_toml(path).legs[1].funnel == "off"


def test_a_configuration_without_legs_has_the_usual_ones(tmp_path):
    path = tmp_path / "rag.toml"
    path.write_text("[fusion]\nrrf_k = 10\n")
    write_funnel(path, "dense", FUNNEL)
    config = Config.from_toml(path)
    assert [leg.kind for leg in config.legs] == ["dense", "bm25"] and config.legs[0].funnel == FUNNEL
    assert config.fusion.rrf_k == 10


@pytest.mark.parametrize("preset", [name for name in PIPELINES if name != "lexical"])
def test_a_new_configuration_is_the_preset_with_the_funnel(tmp_path, preset):
    path = tmp_path / "new.toml"
    write_funnel(path, "dense", FUNNEL, Config.preset(preset))
    first, *others = Config.preset(preset).legs
    expected = (first.model_copy(update={"funnel": FUNNEL}), *others)
    assert Config.from_toml(path) == Config.preset(preset).model_copy(update={"legs": expected})


@pytest.mark.parametrize(
    ("text", "leg", "reason"),
    [
        (CONFIG, "dense", "no dense leg 'dense', it has meaning"),
        (CONFIG, "bm25", "no dense leg 'bm25'"),
        ("rerank = []\n[[legs]]\nkind = 'bm25'\n", "dense", "it has none"),
        ("legs = 3\n", "dense", "legs"),
        ("unknown = 3\n", "dense", "unknown"),
        ("legs = [\n", "dense", "rag.toml"),
    ],
)
def test_a_file_that_cannot_be_edited_stays_as_it_is(tmp_path, text, leg, reason):
    path = tmp_path / "rag.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        write_funnel(path, leg, FUNNEL)
    assert path.read_text() == text and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="it has none"):
        write_funnel(tmp_path / "new.toml", "dense", FUNNEL, Config.preset("lexical"))
    with pytest.raises(ConfigError, match="missing"):
        write_funnel(tmp_path / "missing" / "new.toml", "dense", FUNNEL)
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_toml(tmp_path):
    write_funnel(tmp_path / "new.toml", "dense", FUNNEL)
    legs = tomllib.loads((tmp_path / "new.toml").read_text())["legs"]
    assert legs[0] == {"kind": "dense", "name": "dense", "funnel": [[48, 300], [192, 40], [384]]}


CURVE = tuple((n / 8 - 1, n / 10) for n in range(11))


def calibrated(stage):
    return stage.model_copy(update={"calibration": "isotonic", "isotonic": CURVE})


STAGES = """\
# Ours.
[[rerank]]
kind = "late-interaction"  # cheap
depth = 80
blend = 0.3  # tried

[[rerank]]
kind = "cross-encoder"
model = "ms-marco"

# How long to wait.
[store]
timeout = 5.0
"""


@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_is_changed_and_everything_else_is_as_it_was(tmp_path, number):
    path = tmp_path / "rag.toml"
    path.write_text(STAGES)
    before = Config.from_toml(path).rerank
    after = write_stage(path, number, calibrated)
    stages = Config.from_toml(path).rerank
    assert stages[number - 1] == after == calibrated(before[number - 1])
    assert stages[2 - number] == before[2 - number]
    text = path.read_text()
    assert [line for line in text.splitlines() if line in STAGES.splitlines()] == STAGES.splitlines()
    assert text.endswith(STAGES[STAGES.index("\n# How long") :])  # New keys are not below the comment.
    write_stage(path, number, calibrated)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "[store]\ntimeout = 5.0\n",
        'rerank = [{kind = "late-interaction"}]  # one\n',
        'rerank = [\n  # one\n  {kind = "late-interaction"},\n]\n[store]\ntimeout = 5.0\n',
    ],
)
def test_stages_are_changed_however_they_are_written(tmp_path, text):
    path = tmp_path / "rag.toml"
    path.write_text(text)
    write_stage(path, 1, calibrated)
    (stage,) = Config.from_toml(path).rerank
    assert stage.isotonic == CURVE and stage.kind == "late-interaction"
    assert "#" not in text or "# one" in path.read_text()


def test_a_new_configuration_with_a_stage_is_the_one_it_is_made_of(tmp_path):
    base = Config.preset("cascade")
    write_stage(tmp_path / "new.toml", 2, calibrated, base)
    stages = (base.rerank[0], calibrated(base.rerank[1]))
    assert Config.from_toml(tmp_path / "new.toml") == base.model_copy(update={"rerank": stages})


@pytest.mark.parametrize(
    ("text", "change", "reason"),
    [
        ("rerank = []\n", calibrated, "no rerank stage 1, it has 0"),
        ("", lambda stage: stage.model_copy(update={"isotonic": CURVE[::-1]}), "isotonic"),
    ],
)
def test_a_stage_that_cannot_be_changed_leaves_the_file(tmp_path, text, change, reason):
    path = tmp_path / "rag.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        write_stage(path, 1, change)
    assert path.read_text() == text and list(tmp_path.iterdir()) == [path]
