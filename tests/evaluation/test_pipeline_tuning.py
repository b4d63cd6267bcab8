"""A pipeline tuned by judged queries: replays are what searches give, and only real gains are used."""

import json
from contextlib import contextmanager

import numpy as np
import pytest

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg, FusionConfig, LateInteractionConfig
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.evaluation import beir
from rag_plugins.evaluation.filling import fill
from rag_plugins.evaluation.judged import judged_documents
from rag_plugins.evaluation.texts import manual_texts
from rag_plugins.evaluation.tuning.pipeline import _Search, tune_pipeline
from rag_plugins.evaluation.tuning.recordings import Recordings
from rag_plugins.evaluation.tuning.settings import write_pipeline
from rag_plugins.evaluation.tuning.space import Space, changes, suggested
from rag_plugins.funnel import Funnel

LOCAL = Config()
PLAIN = Config(rerank=())
VECTORS = Config(legs=(DenseLeg(),), rerank=())
REPLAYED = {
    "as it is": LOCAL,
    "no reranker": PLAIN,
    "deeper and flatter": Config(rerank=(LateInteractionConfig(depth=40, blend=0.2),)),
    "min-max, weighed": Config(
        legs=(DenseLeg(weight=0.3), Bm25Leg(weight=0.7)), fusion=FusionConfig(method="minmax")
    ),
    "reciprocal ranks": Config(fusion=FusionConfig(method="rrf", rrf_k=10), rerank=()),
    "z-scores of short lists": Config(
        legs=(DenseLeg(depth=30), Bm25Leg(depth=50)), fusion=FusionConfig(method="zscore"), rerank=()
    ),
    "one leg": Config(legs=(DenseLeg(), Bm25Leg(weight=0.0)), fusion=FusionConfig(method="dbsf"), rerank=()),
}


@pytest.fixture(scope="module")
def tests():
    """Docstrings, asked for by some of their words; every second one in other words that mislead."""
    texts = [" ".join(text.split()[:60]) for text in manual_texts(120)]
    queries = {f"q{n}": " ".join(text.split()[3 : 8 + n % 3]) for n, text in enumerate(texts[:60])}
    return beir.TestSet(
        corpus={f"d{n}": text for n, text in enumerate(texts)},
        queries=queries,
        qrels={f"q{n}": {f"d{n}": 1} for n in range(60)},
    )


@pytest.fixture(scope="module")
def db(tmp_path_factory, tests):
    path = tmp_path_factory.mktemp("tuned") / "manual.db"
    with RagIndex.open(path, config=LOCAL) as index:
        fill(index, tests.corpus, chunked=False, progress=False)
    return path


@pytest.fixture(scope="module")
def opened(db, tests):
    @contextmanager
    def opened(config):
        with RagIndex.open(db, config=config) as index:
            yield index, judged_documents(tests, index)

    return opened


@pytest.fixture(scope="module")
def replayed(opened):
    """Of each configuration, from one recording as in a tuning."""
    with opened(LOCAL) as (index, judged):
        recordings = Recordings(index, judged)
        return {name: recordings.run(config, judged.qrels) for name, config in REPLAYED.items()}


@pytest.mark.parametrize("name", REPLAYED)
def test_what_is_replayed_is_what_a_search_gives(opened, replayed, name):
    runs = replayed[name]
    with opened(REPLAYED[name]) as (index, judged):
        for query, text in list(judged.queries.items())[::2]:
            found = judged.scores(query, index.run(text, 10).final)
            assert list(runs[query])[:10] == list(found)[:10], query
            assert runs[query] == pytest.approx(found, abs=1e-5)


def test_other_k1_and_b_are_those_of_a_collection_made_with_them(opened, tests, tmp_path):
    config = Config(legs=(DenseLeg(), Bm25Leg(k1=0.5, b=0.2)), rerank=())
    with opened(LOCAL) as (index, judged):
        learned = index.learned
        replayed = Recordings(index, judged).run(config, judged.qrels)
    with RagIndex.open(tmp_path / "anew.db", config=config) as index:
        fill(index, tests.corpus, chunked=False, progress=False)
        judged = judged_documents(tests, index)
        same = learned is not None and index.learned is not None
        assert same and {n: w.weight for n, w in learned.legs.items()} == {
            n: w.weight for n, w in index.learned.legs.items()
        }
        for query, text in judged.queries.items():
            found = judged.scores(query, index.run(text, 10).final)
            assert replayed[query] == pytest.approx(found, abs=1e-3)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough passages for a funnel, and queries of some of their words."""
    texts = [" ".join(text.split()[:30]) for text in manual_texts(540)]
    tests = beir.TestSet(
        corpus={f"d{n}": text for n, text in enumerate(texts)},
        queries={f"q{n}": " ".join(text.split()[2:7]) for n, text in enumerate(texts[:45])},
        qrels={f"q{n}": {f"d{n}": 1} for n in range(45)},
    )
    path = tmp_path_factory.mktemp("large") / "manual.db"
    with RagIndex.open(path, config=VECTORS) as index:
        fill(index, tests.corpus, chunked=False, progress=False)
        assert index.store.prefixes("dense") is not None

    @contextmanager
    def opened(config):
        with RagIndex.open(path, config=config) as index:
            yield index, judged_documents(tests, index)

    return opened


def test_what_another_funnel_finds_is_what_a_search_by_it_gives(large):
    with large(VECTORS) as (index, judged):
        kept = index.store.prefixes("dense")
        recordings = Recordings(index, judged)
        auto, *others = recordings.funnels["dense"]
        assert auto == "auto" and others[0] == "off" and len(others) > 1
        configs = {funnel: Config(legs=(DenseLeg(funnel=funnel),), rerank=()) for funnel in others}
        replayed = {funnel: recordings.run(config, judged.qrels) for funnel, config in configs.items()}
        costs = [recordings.milliseconds(configs[funnel]) for funnel in others]
        assert costs[0] > min(costs[1:])  # Nothing pruned is the dearest.
    for funnel, config in configs.items():
        with large(config) as (index, judged):
            same = 0
            for query, text in judged.queries.items():
                found = judged.scores(query, index.run(text, 10).final)
                same += list(replayed[funnel][query])[:10] == list(found)[:10]
            assert same >= 43  # Prefixes are rounded where a search is in memory.
            index.store.set_prefixes("dense", kept)


def test_a_collection_is_searched_as_before_until_the_configuration_says_otherwise(large):
    with large(VECTORS) as (index, _):
        before = index.store.prefixes("dense")
    tune_pipeline(large, VECTORS, trials=8)
    with large(VECTORS) as (index, _):
        assert index.store.prefixes("dense").funnel == before.funnel


def test_what_is_chosen_is_used_where_it_gains_on_queries_held_back(opened, tmp_path):
    worst = Config(legs=(DenseLeg(weight=1.0), Bm25Leg(weight=0.01)), rerank=())
    tuning = tune_pipeline(opened, worst, trials=40, bm25=False)
    assert tuning.better and tuning.held_back.gain > 0 and tuning.train.gain > 0
    assert tuning.held_back.better + tuning.held_back.worse + tuning.held_back.same == 18
    assert len(tuning.tried) == 41 and tuning.default.value == pytest.approx(tuning.train.before)
    flat = json.loads(json.dumps(tuning.to_json()))
    assert flat["better"] and flat["found"] and flat["measure"] == "nDCG@10"
    path = tmp_path / "pipeline.toml"
    write_pipeline(path, tuning.chosen, worst)
    written = Config.from_toml(path)
    assert (written.fusion, written.legs, written.rerank) == (
        tuning.chosen.fusion,
        tuning.chosen.legs,
        tuning.chosen.rerank,
    )


def test_what_does_not_gain_leaves_all_as_it_was(opened, monkeypatch):
    perfect = Config(legs=(Bm25Leg(),), rerank=())

    @contextmanager
    def of_words(config):
        with opened(LOCAL) as (index, judged):
            exact = {id: index.get([id.replace("q", "d")])[0].llm_text for id in judged.queries}
        with opened(config) as (index, judged):
            from dataclasses import replace

            yield index, replace(judged, queries=exact)

    tuning = tune_pipeline(of_words, LOCAL.model_copy(update={"rerank": ()}), trials=12, bm25=False)
    assert not tuning.better and tuning.chosen == tuning.before
    assert "nothing better was found" in tuning.why_not or "on the queries held back" in tuning.why_not
    assert perfect.legs  # The whole text finds itself first, by any settings.


def test_what_a_configuration_takes_is_estimated(opened):
    with opened(LOCAL) as (index, judged):
        recordings = Recordings(index, judged)
        assert 0 < recordings.milliseconds(PLAIN) < recordings.milliseconds(LOCAL)


def test_a_budget_keeps_dear_configurations_out(opened, monkeypatch):
    """Times that do not depend on what else the machine does."""
    monkeypatch.setattr(Recordings, "milliseconds", lambda self, config: 900.0 if config.rerank else 300.0)
    tuning = tune_pipeline(opened, LOCAL, trials=15, bm25=False, budget_ms=600)
    first, *others = tuning.tried
    assert first.milliseconds == 900 and 0 < len(others) < 15
    assert {each.milliseconds for each in others} == {300}
    assert tuning.better == (tuning.held_back.gain >= 0) and not (tuning.better and tuning.chosen.rerank)


class Tried:
    """A search whose configurations, values of 100 queries and times are given."""

    _budget = None

    def __init__(self, *rows):
        noise = np.random.default_rng(0).normal(0, 0.02, 100)
        self._configs = [Config(fusion=FusionConfig(method=method)) for method, _, _ in rows]
        self._times = [time for _, _, time in rows]
        # What differs from the first does so by 0.02 from query to query, and on average by what is given.
        noise -= noise.mean()
        self._config = self._configs[0]
        self.values = np.array([value + (n > 0) * noise * (-1) ** n for n, (_, value, _) in enumerate(rows)])

    @property
    def chosen(self):
        return _Search._choice(self, self.values)

    _late = _Search._late


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([("adaptive", 0.5, 9), ("adaptive", 0.6, 9), ("adaptive", 0.55, 1)], 1),  # The best.
        ([("adaptive", 0.5, 9), ("adaptive", 0.6, 9), ("adaptive", 0.5995, 1)], 2),  # Hardly worse, and fast.
        ([("adaptive", 0.5, 9), ("rrf", 0.6, 9), ("adaptive", 0.597, 9)], 2),  # With the fusion that is set.
        ([("adaptive", 0.5, 9), ("rrf", 0.6, 9), ("adaptive", 0.55, 9)], 1),
        ([("adaptive", 0.5, 9), ("rrf", 0.4, 1), ("adaptive", 0.4999, 1)], 0),  # Nothing is better.
    ],
)
def test_of_what_hardly_differs_the_fastest_with_the_same_fusion_is_chosen(rows, chosen):
    assert Tried(*rows).chosen == chosen


def test_too_few_queries_are_refused(opened):
    from dataclasses import replace

    @contextmanager
    def few(config):
        with opened(config) as (index, judged):
            yield index, replace(judged, qrels=dict(list(judged.qrels.items())[:39]))

    with pytest.raises(BadInput, match="39 judged queries: a pipeline is tuned on 40 at least"):
        tune_pipeline(few, LOCAL, trials=10)


class Fixed:
    """A trial that takes the last of all choices."""

    def suggest_categorical(self, name, choices):
        return choices[-1]

    def suggest_float(self, name, low, high, *, step):
        return high


def test_settings_are_named_as_a_configuration_has_them():
    config = suggested(
        Fixed(), LOCAL, Space(True, True, {"dense": ["auto", "off", Funnel([(96, 200), (384,)])]})
    )
    named = {setting.name: (setting.before, setting.after) for setting in changes(LOCAL, config)}
    assert named == {
        "fusion.method": ("adaptive", "rrf"),
        "fusion.rrf_k": (None, 100),
        "dense.weight": (None, 1.0),
        "dense.depth": (100, 200),
        "dense.funnel": ("auto", "[[96, 200], [384]]"),
        "bm25.weight": (None, 1.0),
        "bm25.depth": (100, 200),
        "bm25.k1": (1.2, 2.4),
        "bm25.b": (0.75, 1.0),
        "late-interaction.depth": (25, 100),
        "late-interaction.blend": (0.5, 1.0),
    }


def test_a_file_with_other_legs_is_refused(tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_text('rerank = []\n[[legs]]\nkind = "bm25"\n')
    with pytest.raises(ConfigError, match="has the legs"):
        write_pipeline(path, LOCAL)
    assert path.read_text() == 'rerank = []\n[[legs]]\nkind = "bm25"\n'


def test_what_is_not_tuned_stays_in_the_file(tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '# Mine.\n[[legs]]\nkind = "dense"\nweight = 2.0  # much\n\n'
        '[[legs]]\nkind = "bm25"\ncjk = "jieba"\n\n'
        '[[rerank]]\nkind = "late-interaction"\ndepth = 30\n\n[ocr]\ndpi = 200\n'
    )
    tuned = Config(
        legs=(DenseLeg(depth=50), Bm25Leg(cjk="jieba", k1=0.9)),
        rerank=(LateInteractionConfig(depth=15, blend=0.7),),
    )
    write_pipeline(path, tuned)
    read, text = Config.from_toml(path), path.read_text()
    assert (read.legs, read.rerank, read.ocr.dpi) == (tuned.legs, tuned.rerank, 200)
    assert text.startswith("# Mine.") and "weight" not in text
    write_pipeline(path, tuned.model_copy(update={"rerank": ()}))
    assert Config.from_toml(path).rerank == ()
