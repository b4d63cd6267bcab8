"""Rerank stages tuned by judged queries: pure parts on literal data, the whole on a real file."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from faces_support import tiny_cross_encoder
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, CrossEncoderConfig, DenseLeg, LateInteractionConfig
from rag_plugins.errors import BadDocument, BadInput, ConfigError
from rag_plugins.evaluation import measure, tune_reranking
from rag_plugins.evaluation.plots import plot_reranking
from rag_plugins.evaluation.tuning.blending import Blend, choose
from rag_plugins.evaluation.tuning.calibration import Pairs, Quality, calibration
from rag_plugins.evaluation.tuning.curves import thinned
from rag_plugins.evaluation.tuning.settings import write_stage


def read(curve, scores):
    return np.interp(scores, *zip(*curve, strict=True))


@given(
    st.lists(
        st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**4)),
        min_size=1,
        max_size=60,
        unique_by=lambda point: point[0],
    )
)
def test_a_thinned_curve_is_some_points_of_the_curve_and_close_to_it(points):
    scores = np.array(sorted(score for score, _ in points)) / 1000
    probabilities = np.array(sorted(probability for _, probability in points)) / 10**4
    curve = thinned(scores, probabilities)
    whole = list(zip(scores.tolist(), probabilities.tolist(), strict=True))
    assert [point for point in whole if point in curve] == list(curve) and len(curve) <= 40
    assert curve[0] == whole[0] and curve[-1] == whole[-1]
    error = np.abs(read(curve, scores) - probabilities).max()
    # Sixty points can be twenty stairs that no forty points show; forty can always be kept as they are.
    assert error <= 0.005 + 1e-9 or len(whole) > 40


def test_a_line_is_two_points_and_a_step_is_four():
    scores = np.arange(11.0)
    assert thinned(scores, scores / 10) == ((0.0, 0.0), (10.0, 1.0))
    step = np.where(scores < 5, 0.2, 0.8)
    assert thinned(scores, step) == ((0.0, 0.2), (4.0, 0.2), (5.0, 0.8), (10.0, 0.8))


def test_many_small_steps_are_a_slope_and_high_ones_cost_exactness_not_points():
    scores = np.arange(400.0)
    small = thinned(scores, np.floor(scores / 2) / 200)
    assert len(small) <= 4 and np.abs(read(small, scores) - np.floor(scores / 2) / 200).max() <= 0.005
    high = np.floor(scores / 10) / 40
    assert len(thinned(scores, high)) <= 40


def test_quality_equals_its_definitions():
    said = np.array([0.05, 0.05, 0.95, 0.95])
    quality = Quality.of(said, np.array([False, True, True, True]))
    assert quality.brier == pytest.approx((0.05**2 * 3 + 0.95**2) / 4)
    assert quality.error == pytest.approx((abs(0.05 - 0.5) + abs(0.95 - 1.0)) / 2)
    assert [(bin.pairs, bin.relevant) for bin in quality.bins] == [(2, 0.5), (2, 1.0)]
    assert Quality.of(np.array([0.0, 1.0]), np.array([False, True])).error == 0.0


def pairs_of(queries, chance, *, per_query=10, unknown=0, seed=0):
    """Scores from 0 to 1; a passage is relevant with the chance that `chance` gives its score."""
    random = np.random.default_rng(seed)
    n = (queries + unknown) * per_query
    query = np.repeat(np.arange(queries + unknown), per_query)
    score = random.random(n).astype(np.float32)
    known = query < queries
    relevant = (random.random(n) < chance(score)) & known
    return Pairs(query, score, score, relevant, known, "min-max")


def test_calibration_finds_the_chance_that_scores_stand_for():
    pairs = pairs_of(400, lambda score: score**4)
    fitted = calibration(pairs)
    at = np.array([0.1, 0.5, 0.8, 0.95])
    assert read(fitted.curve, at) == pytest.approx(at**4, abs=0.08)
    assert fitted.base_rate == pairs.relevant.mean() == pytest.approx(0.2, abs=0.03)
    assert fitted.before.error > 0.2 and fitted.after.error < 0.03
    assert fitted.after.brier < fitted.before.brier
    scores, probabilities = zip(*fitted.curve, strict=True)
    assert len(fitted.curve) <= 40 and len(set(scores)) == len(scores)
    assert list(scores) == sorted(scores) and list(probabilities) == sorted(probabilities)
    assert LateInteractionConfig(calibration="isotonic", isotonic=fitted.curve).isotonic == fitted.curve


def test_quality_is_that_on_other_queries():
    """What is relevant is drawn by lot, so a fit on the same pairs would look better than the base rate."""
    pairs = pairs_of(40, lambda score: 0.2 + 0 * score)
    fitted = calibration(pairs)
    same = read(fitted.curve, pairs.score)
    constant = fitted.base_rate * (1 - fitted.base_rate)
    assert np.mean((same - pairs.relevant) ** 2) < constant < fitted.after.brier


def test_what_is_said_of_a_query_is_learnt_from_others():
    """Query 40 has the highest scores, all relevant; of the others' best two in three are not."""
    rest = np.arange(400)
    query = np.concatenate([rest % 40, np.full(10, 40)])
    score = np.arange(410, dtype=np.float32) + 1000 * (query == 40)
    relevant = np.concatenate([rest % 3 == 0, np.ones(10, bool)])
    relevant[390:400] = False
    fitted = calibration(Pairs(query, score, score / 410, relevant, np.ones(410, bool), "min-max"))
    assert read(fitted.curve, score[-1]) == 1.0
    assert max(bin.said for bin in fitted.after.bins) < 0.6


def test_min_score_tells_what_it_keeps_and_what_it_empties():
    pairs = pairs_of(300, lambda score: (score > 0.7) * 0.9, unknown=50)
    dull = pairs.query >= 300
    score = np.where(dull, pairs.score * 0.5, pairs.score)
    fitted = calibration(Pairs(pairs.query, score, score, pairs.relevant, pairs.known, "min-max"))
    assert fitted.vacant >= 50 and fitted.pairs == 3000
    kept = {cut.min_score: cut.kept for cut in fitted.cuts}
    emptied = {cut.min_score: cut.emptied for cut in fitted.cuts}
    assert kept[0.5] == 1.0 and emptied[0.5] >= 50 / fitted.vacant
    assert list(kept.values()) == sorted(kept.values(), reverse=True)
    assert list(emptied.values()) == sorted(emptied.values())
    assert fitted.suggested == max(cut for cut, share in kept.items() if share >= 0.95) >= 0.5


@pytest.mark.parametrize(
    ("queries", "chance", "said"),
    [
        (12, lambda score: score * 0 + 1, "reads: 12"),
        (50, lambda score: score * 0, "reads: 0"),
        (50, lambda score: score * 0 + 1, "not relevant: 0"),
        (0, lambda score: score * 0, "reads: 0"),
    ],
)
def test_too_little_to_fit_from_is_refused(queries, chance, said):
    with pytest.raises(BadInput, match=f"{said}.*needs 20 of each"):
        calibration(pairs_of(queries, chance, unknown=5))


def gains(by_row, queries=100):
    """A row of values for each (mean, spread); spreads alternate, so that means are exact."""
    signs = np.tile([1.0, -1.0], queries // 2)
    return np.array([mean + spread * signs for mean, spread in by_row])


def test_a_blend_stays_unless_another_is_better_by_more_than_noise():
    clear, noisy = gains([(0.5, 0.0), (0.6, 0.1), (0.4, 0.0)]), gains([(0.5, 0.0), (0.51, 0.1), (0.4, 0.0)])
    assert (choose(clear, 0), choose(noisy, 0)) == (1, 0)
    assert (choose(clear, 1), choose(noisy, 2)) == (1, 1)


def test_a_blend_is_judged_on_queries_that_it_was_not_chosen_on():
    shares = (0.0, 0.5, 1.0)
    blend = Blend.of(shares, gains([(0.5, 0.0), (0.6, 0.1), (0.4, 0.0)]), present=0.0)
    assert (blend.chosen, blend.queries) == (0.5, 100)
    assert blend.gain == pytest.approx(0.1) and blend.fresh_gain == pytest.approx(0.1)
    assert blend.errors == pytest.approx((0.0, 0.1 / 99**0.5, 0.0))
    random = np.random.default_rng(3)
    lots = np.vstack([np.full(200, 0.5), 0.5 + 0.1 * random.standard_normal((10, 200))])
    of_lots = Blend.of(tuple(n / 10 for n in range(11)), lots, present=0.0)
    assert of_lots.fresh_gain < max(of_lots.ndcg) - 0.5
    with pytest.raises(BadInput, match="collection: 19.*20 at least"):
        Blend.of(shares, np.zeros((3, 19)), 0.0)


PARTS = {
    "pump": "brass",
    "valve": "bronze",
    "filter": "paper",
    "frame": "steel",
    "handle": "wood",
    "window": "glass",
    "seal": "rubber",
    "cable": "copper",
    "cover": "aluminium",
    "fan": "plastic",
    "belt": "leather",
    "bearing": "ceramic",
    "display": "silicon",
    "spring": "titanium",
    "hinge": "nickel",
    "wheel": "iron",
    "sensor": "platinum",
    "lamp": "tungsten",
    "battery": "lithium",
    "hose": "nylon",
    "gasket": "cork",
    "mirror": "silver",
    "connector": "gold",
    "tank": "zinc",
}
QUERIES = {part: f"What is the {part} made of?" for part in PARTS}


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """A document a part, of two passages: one answers, both are as relevant as the document."""
    path = tmp_path_factory.mktemp("parts") / "parts.db"
    config = Config(legs=(DenseLeg(), Bm25Leg()))
    with RagIndex.open(path, config=config) as index:
        for part, material in PARTS.items():
            texts = f"The {part} is made of {material}.", f"Check the {part} once a month."
            index.add([index.passage(text, doc_id=part) for text in texts])
    return path


@pytest.fixture
def folder(tmp_path):
    """Every part is asked for; further queries are about what is not there."""
    others = {"rotor": "What is the rotor made of?", "none": "Who sells oil?", "loose": "How hot is it?"}
    write(tmp_path / "set", QUERIES | others, {**{part: {part: 1} for part in PARTS}, "rotor": {"rotor": 1}})
    with (tmp_path / "set" / "qrels.tsv").open("a") as file:
        file.write("none\tpump\t0\n")
    return tmp_path / "set"


def write(folder, queries, qrels):
    folder.mkdir()
    lines = [json.dumps({"_id": id, "text": text}) for id, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    rows = [f"{query}\t{doc}\t{grade}\n" for query, docs in qrels.items() for doc, grade in docs.items()]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))


def test_late_interaction_is_calibrated_from_a_collection_and_searches_by_it(db, folder, tmp_path):
    tuning = tune_reranking(db, folder)
    assert (tuning.stage, tuning.name, tuning.blend) == (1, "late-interaction", None)
    assert asdict(tuning.queries) == {"used": 25, "absent": 1, "unjudged": 1, "unread": 0}
    fitted = tuning.calibration
    assert fitted.pairs == 25 * 25 and fitted.vacant == 2 and fitted.scaling == "min-max"
    assert fitted.after.brier < fitted.base_rate < fitted.before.brier
    write_stage(tmp_path / "rag.toml", 1, tuning.applied)
    config = Config.from_toml(tmp_path / "rag.toml")
    assert config.rerank[0].isotonic == fitted.curve
    with RagIndex.open(db, config=config) as index:
        (best, *_) = index.search(QUERIES["pump"], k=3)
    said = best.trace[-1]
    assert best.passage.llm_text == "The pump is made of brass."
    assert said.probability == pytest.approx(read(fitted.curve, said.score))
    assert said.probability > 0.5


def test_a_min_score_that_was_suggested_leaves_what_is_not_there_empty(db, folder):
    tuning = tune_reranking(db, folder)
    stage = tuning.applied(Config().rerank[0]).model_copy(update={"min_score": 0.5})
    with RagIndex.open(db, config=Config(rerank=(stage,))) as index:
        assert index.search(QUERIES["valve"])[0].passage.doc_id == "valve"
        nothing = index.search("Who was the Norse leader?")
    assert not nothing and any("nothing relevant" in notice for notice in nothing.notices)


def test_a_blend_is_measured_from_one_run(db, folder):
    config = Config(rerank=(LateInteractionConfig(blend=0.35),))
    tuning = tune_reranking(db, folder, calibrate=False, blend=True, config=config)
    blend = tuning.blend
    assert tuning.calibration is None and blend.queries == len(PARTS) and blend.present == 0.35
    assert blend.shares == (0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    for share in (0.0, 0.35, 1.0):
        with RagIndex.open(db, config=Config(rerank=(LateInteractionConfig(blend=share),))) as index:
            run = {id: best_of_documents(index.run(text, 10).final, index) for id, text in QUERIES.items()}
        searched = measure(run, {part: {part: 1} for part in PARTS})["nDCG@10"]
        assert blend.at(share) == pytest.approx(searched, abs=1e-9)
    assert tuning.applied(config.rerank[0]).blend == blend.chosen


def best_of_documents(ranking, index):
    found = index.store.fetch([id for id, _ in ranking])
    scores = {}
    for id, score in ranking:
        scores[found[id].doc_id] = max(score, scores.get(found[id].doc_id, score))
    return scores


def test_a_stage_of_a_cascade_is_found_by_number_kind_and_model(db, folder, tmp_path):
    words = [
        *PARTS,
        *PARTS.values(),
        "the",
        "is",
        "made",
        "of",
        "what",
        "check",
        "once",
        "a",
        "month",
        ".",
        "?",
    ]
    model = tiny_cross_encoder(tmp_path, words)
    long = QUERIES | {"pump": "what is the pump made of " * 120}
    write(tmp_path / "long", long, {part: {part: 1} for part in PARTS})
    # min_score would drop everything, were it used while its stage is tuned.
    stages = (LateInteractionConfig(depth=30), CrossEncoderConfig(model=model, depth=20, min_score=9.0))
    config = Config(rerank=stages)
    tuning = tune_reranking(db, tmp_path / "long", config=config, blend=True)
    assert (tuning.stage, tuning.name) == (2, model)
    assert tuning.queries.used == 23 and tuning.queries.unread == 1
    fitted = tuning.calibration
    assert fitted.pairs == 23 * 20 and fitted.scaling == "sigmoid"
    after = tuning.applied(stages[1])
    assert after.min_score == pytest.approx(fitted.curve[-1][1], abs=1e-4)  # Above all scores, as it was.
    assert tune_reranking(db, folder, config=config, stage=1).calibration.pairs == 25 * 30
    assert tune_reranking(db, folder, config=config, stage="late-interaction").stage == 1
    for wrong in ("3", 0, "nothing"):
        with pytest.raises(BadInput, match=rf"stage .*{wrong}.*1 late-interaction, 2 "):
            tune_reranking(db, folder, config=config, stage=wrong)
    with pytest.raises(ConfigError, match="the one tuned is"):
        tuning.applied(stages[0])


def test_a_min_score_that_is_a_probability_stays(db, folder):
    tuning = tune_reranking(db, folder)
    stage = tuning.applied(LateInteractionConfig(min_score=0.6))
    assert stage.min_score == pytest.approx(read(tuning.calibration.curve, 0.6), abs=1e-4)
    assert tuning.applied(stage).min_score == stage.min_score


def test_what_cannot_be_tuned_is_refused(db, folder, tmp_path):
    with pytest.raises(BadInput, match="nothing to tune"):
        tune_reranking(db, folder, calibrate=False)
    with pytest.raises(BadInput, match="rerank stages are: none"):
        tune_reranking(db, folder, config=Config(rerank=()))
    with pytest.raises(BadDocument, match=r"queries\.jsonl"):
        tune_reranking(db, tmp_path)
    write(tmp_path / "few", {"pump": "pump?"}, {"pump": {"pump": 1}})
    with pytest.raises(BadInput, match="reads: 1,"):
        tune_reranking(db, tmp_path / "few")
    with pytest.raises(BadInput, match="collection: 1;"):
        tune_reranking(db, tmp_path / "few", calibrate=False, blend=True)
    write(tmp_path / "other", QUERIES, {part: {f"docs/{part}.pdf": 1} for part in PARTS})
    with pytest.raises(
        BadInput, match="none of the 24 documents.* names 'docs/battery.pdf', .* has 'battery'"
    ):
        tune_reranking(db, tmp_path / "other")
    write(tmp_path / "blank", {"pump": " "}, {"pump": {"pump": 1}})
    with pytest.raises(BadInput, match="reads: 0,"):
        tune_reranking(db, tmp_path / "blank")


@pytest.mark.parametrize("wanted", [{"calibrate": True}, {"calibrate": False, "blend": True}])
def test_what_was_tuned_is_plain_values_and_a_plot(db, folder, tmp_path, wanted):
    tuning = tune_reranking(db, folder, **wanted)
    value = json.loads(json.dumps(tuning.to_json()))
    assert (value["calibration"] is None, value["blend"] is None) == (
        not wanted["calibrate"],
        wanted["calibrate"],
    )
    plot_reranking(tuning, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert ("share that is relevant" in drawn) == wanted["calibrate"] != ("nDCG@10" in drawn)
