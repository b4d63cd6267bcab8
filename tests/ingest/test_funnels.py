"""Funnels as a collection grows, on a file and on a server: when they are tuned, of what, and what fails."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from funnel_support import RotatedEncoder, WordEncoder, passages

from rag_plugins.config import Config, DenseLeg, StoreConfig
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.funnel import Funnel, Rotation
from rag_plugins.ingest.funnels import FunnelKeeper
from rag_plugins.ingest.rows import RowMaker
from rag_plugins.ingest.writer import Writer
from rag_plugins.models.protocols import Leg, Representation
from rag_plugins.store.schema import Row
from rag_plugins.vectors import normalise
from rag_plugins.wiring import make_store


@pytest.fixture
def open_(collection, tmp_path):
    """Opens a dense leg on this test's collection, in a file or elsewhere; closes everything at the end."""
    opened = []

    def open_(encoder=None, tenant="", uri=str(tmp_path / "file.db"), **settings):
        encoder = encoder or WordEncoder()
        config = Config(
            legs=(DenseLeg(model="words", **settings),),
            rerank=(),
            store=StoreConfig(assets=tmp_path / "assets"),
        )
        leg = Leg("dense", encoder, Representation.DENSE)
        store = make_store(uri, config, [leg], collection, tenant)
        opened.append(store)
        keeper = FunnelKeeper(store, leg, config.legs[0], tenant)
        writer = Writer(store, RowMaker([leg], {}, store.assets), tenant, settlers=[keeper])

        def write(count, start=0):
            writer.add(passages(count, start, tenant))
            writer.settle()

        return SimpleNamespace(store=store, keeper=keeper, writer=writer, encoder=encoder, write=write)

    yield open_
    for store in opened:
        store.close()


def recall(leg, count, start):
    """Of new passages' texts as questions: what is found of the exact search's ten best."""
    queries = leg.encoder.encode_documents([p.views[0] for p in passages(count, start)]).dense
    found = 0
    for query in queries:
        exact = leg.store.search("dense", query, 10, exact=True)
        found += sum(score >= exact[-1][1] - 1e-5 for _, score in leg.store.search("dense", query, 10))
    return found / (10 * count)


def test_the_search_is_exact_below_500_passages_and_funnelled_from_then_on(open_, milvus_uri):
    leg = open_(uri=milvus_uri)
    leg.write(499)
    assert leg.store.prefixes("dense") is None and not leg.encoder.asked
    leg.write(1, 499)
    prefixes = leg.store.prefixes("dense")
    assert prefixes.rotation is not None and len(prefixes.funnel.stages) > 1
    assert prefixes.funnel.width == 384 and leg.encoder.asked == [25]
    assert recall(leg, 40, 10_000) >= 0.98


def test_a_reopened_collection_is_searched_by_the_funnel_it_had(open_, milvus_uri):
    leg = open_(uri=milvus_uri)
    leg.write(600)
    prefixes = leg.store.prefixes("dense")
    leg.store.close()
    again = open_(uri=milvus_uri)
    assert again.store.prefixes("dense").funnel == prefixes.funnel
    assert np.array_equal(again.store.prefixes("dense").rotation.columns, prefixes.rotation.columns)
    again.write(1, 600)
    assert not again.encoder.asked


@pytest.mark.parametrize(
    ("rows", "fitted", "asked", "refitted"),
    [(151, 75, [], False), (150, 76, [22], False), (150, 75, [22], True)],
)
def test_it_is_tuned_again_at_four_times_and_fitted_again_at_eight_times_the_passages(
    open_, rows, fitted, asked, refitted
):
    leg = open_()
    leg.write(600)
    first = leg.store.prefixes("dense").rotation
    state = leg.store.state
    state.put({leg.keeper._key: {**state.get(leg.keeper._key), "rows": rows, "fitted": fitted}})
    leg.store.close()
    again = open_()
    again.write(1, 600)
    # A question for every twenty passages that are new.
    assert again.encoder.asked == asked
    same = np.array_equal(again.store.prefixes("dense").rotation.columns, first.columns)
    assert same is not refitted


def test_rows_are_not_counted_where_nothing_can_be_due(open_, monkeypatch):
    leg = open_()
    counted = []
    count = leg.store.count
    monkeypatch.setattr(leg.store, "count", lambda field: counted.append(1) or count(field))
    for n in range(10):
        leg.write(10, 10 * n)
    assert len(counted) == 1  # On opening nobody knows.
    for _ in range(10):
        leg.write(100)  # The same hundred, so that 500 could have been reached twice.
    assert len(counted) <= 4 and leg.store.prefixes("dense") is None


def test_a_trained_model_is_cut_at_its_own_widths_and_never_rotated(open_, milvus_uri):
    leg = open_(WordEncoder((96, 192, 384)), uri=milvus_uri)
    leg.write(500)
    prefixes = leg.store.prefixes("dense")
    assert prefixes.rotation is None
    assert {stage.width for stage in prefixes.funnel.stages} <= {96, 192, 384}
    assert recall(leg, 20, 10_000) >= 0.98


def test_a_plain_model_without_a_rotation_is_searched_exactly(open_):
    leg = open_(rotation="off")
    leg.write(600)
    assert leg.store.prefixes("dense") is None and not leg.encoder.asked
    with pytest.raises(ConfigError, match="rag-plugins probe words"):
        leg.keeper.tune()


def test_stages_that_are_set_are_used_once_there_are_passages_to_fit_a_rotation_on(open_, milvus_uri):
    leg = open_(uri=milvus_uri, funnel=[[96, 100], [384]])
    leg.write(499)
    assert leg.store.prefixes("dense") is None
    leg.write(10, 499)
    prefixes = leg.store.prefixes("dense")
    assert prefixes.funnel == Funnel([(96, 100), (384,)]) and prefixes.rotation.width == 96
    assert not leg.encoder.asked
    assert recall(leg, 20, 10_000) >= 0.95


def record(leg):
    return leg.store.state.get(leg.keeper._key)


def test_stages_that_are_set_are_used_at_once_where_the_model_brings_a_rotation(open_, milvus_uri):
    leg = open_(RotatedEncoder(), uri=milvus_uri, funnel=[[96, 100], [384]])
    leg.write(120)
    shipped = leg.encoder.rotation
    prefixes = leg.store.prefixes("dense")
    assert prefixes.funnel == Funnel([(96, 100), (384,)])
    assert np.array_equal(prefixes.rotation.columns, shipped.rotation.columns[:, :96])
    assert (record(leg)["rotation"], record(leg)["fitted"]) == (shipped.name, 0)
    assert recall(leg, 20, 10_000) >= 0.95
    leg.store.close()
    again = open_(RotatedEncoder(), uri=milvus_uri, funnel=[[96, 100], [384]])
    assert np.array_equal(again.store.prefixes("dense").rotation.columns, shipped.rotation.columns[:, :96])
    again.write(379, 120)
    assert record(again)["rotation"] == shipped.name
    again.write(1, 499)
    own = again.store.prefixes("dense")
    assert own.funnel == prefixes.funnel and own.rotation.width == 96
    assert not np.allclose(own.rotation.columns, prefixes.rotation.columns, atol=0.01)
    assert (record(again)["rotation"], record(again)["fitted"]) == ("fitted on the collection", 500)
    assert recall(again, 20, 10_000) >= 0.95


def test_a_prefix_of_few_passages_is_of_the_rotation_that_the_model_brings(open_):
    leg = open_(RotatedEncoder(), funnel=[[48]])
    leg.write(40)
    turn = leg.encoder.rotation.rotation.columns[:, :48]
    query = leg.encoder.encode_queries([passages(1)[0].llm_text]).dense[0]
    ids = leg.store.ids()
    scores = normalise(leg.store.matrix("dense", ids) @ turn) @ normalise((query @ turn)[None])[0]
    best = [ids[n] for n in np.argsort(-scores, kind="stable")[:5]]
    assert [id for id, _ in leg.store.search("dense", query, 5)] == best


def test_a_collection_large_enough_for_its_own_rotation_never_has_the_other(open_, monkeypatch):
    leg = open_(RotatedEncoder(), funnel="off")
    leg.write(500)
    leg.store.close()
    used = []
    kind = type(leg.store)
    set_ = kind.set_prefixes
    monkeypatch.setattr(kind, "set_prefixes", lambda *given: used.append(given[2]) or set_(*given))
    again = open_(RotatedEncoder(), funnel=[[96, 100], [384]])
    assert record(again)["rotation"] == "fitted on the collection"
    assert len(used) == 1


def test_without_stages_that_are_set_few_passages_are_searched_exactly(open_):
    leg = open_(RotatedEncoder())
    leg.write(100)
    assert leg.store.prefixes("dense") is None


def test_stages_of_a_trained_model_are_used_at_once(open_):
    leg = open_(WordEncoder((96, 192)), funnel=[[96, 100], [384]])
    leg.write(30)
    assert leg.store.prefixes("dense").funnel == Funnel([(96, 100), (384,)])
    assert recall(leg, 10, 10_000) == 1.0


def test_a_prefix_alone_gives_its_own_ranking(open_):
    leg = open_(funnel=[[96]])
    leg.write(600)
    prefixes = leg.store.prefixes("dense")
    query = leg.encoder.encode_queries([passages(1)[0].llm_text]).dense[0]
    ids = leg.store.ids()
    scores = prefixes.cut(leg.store.matrix("dense", ids), 96) @ prefixes.cut(query, 96)
    best = [ids[n] for n in np.argsort(-scores, kind="stable")[:5]]
    assert [id for id, _ in leg.store.search("dense", query, 5)] == best


def test_passages_without_a_vector_count_for_nothing(open_, milvus_uri):
    leg = open_(uri=milvus_uri)
    pictures = [replace(passage, views=()) for passage in passages(400, 1000)]
    leg.store.upsert([Row(passage, {}) for passage in pictures])
    leg.write(499)
    assert leg.store.prefixes("dense") is None and not leg.encoder.asked
    leg.write(1, 499)
    prefixes = leg.store.prefixes("dense")
    assert leg.store.state.get(leg.keeper._key)["rows"] == 500
    alone = Rotation.fit(leg.store.matrix("dense", leg.store.ids()), prefixes.rotation.width)
    np.testing.assert_allclose(prefixes.rotation.columns, alone.columns, atol=1e-4)
    assert leg.keeper.tune(0.9).rows == 500
    assert recall(leg, 20, 10_000) >= 0.95


def test_settings_that_change_change_the_search(open_):
    def opened(**settings):
        leg = open_(**settings)
        try:
            prefixes = leg.store.prefixes("dense")
            leg.write(1)
            return prefixes, leg.store.prefixes("dense")
        finally:
            leg.store.close()

    leg = open_()
    leg.write(600)
    tuned = leg.store.prefixes("dense")
    leg.store.close()
    named = Funnel([(48, 300), (384,)])
    at_once, _ = opened(funnel=named)
    assert at_once.funnel == named and np.array_equal(at_once.rotation.columns, tuned.rotation.columns)
    halving, _ = opened(funnel="halving")
    assert halving.funnel == Funnel.halving(384)
    assert opened(funnel="off") == (None, None)
    # There is no rotation any more that could be used, and enough passages to fit one on.
    at_once, _ = opened(funnel=named)
    assert at_once.funnel == named
    before, after = opened(funnel="auto")
    assert before.funnel == named and after.funnel == tuned.funnel
    before, after = opened(rotation="off")
    assert (before, after) == (None, None)


def test_a_model_said_to_be_trained_is_no_longer_rotated(open_):
    leg = open_()
    leg.write(600)
    leg.store.close()
    again = open_(SimpleNamespaceEncoder())
    assert again.store.prefixes("dense") is None
    again.write(1)
    assert again.store.prefixes("dense") is None or again.store.prefixes("dense").rotation is None


class SimpleNamespaceEncoder(WordEncoder):
    """The same vectors, said to be of a model trained for prefixes."""

    def __init__(self):
        super().__init__()
        self.matryoshka = (96, 192)


def test_a_server_is_tuned_for_the_width_it_has(open_, milvus_server):
    leg = open_(uri=milvus_server)
    leg.write(500)
    assert [stage.width for stage in leg.store.prefixes("dense").funnel.stages] == [96, 384]
    assert leg.store.prefixes("dense").rotation.width == 96
    tuning = leg.keeper.tune(0.9)
    assert {stage.width for trial in tuning.trials for stage in trial.funnel.stages} == {96, 384}


def test_a_server_without_prefix_fields_is_searched_exactly(open_, milvus_server):
    leg = open_(uri=milvus_server, funnel="off")
    leg.write(500)
    assert leg.store.prefixes("dense") is None
    with pytest.raises(ConfigError, match="ingest into a new one"):
        leg.keeper.tune()


def test_tenants_are_tuned_each_on_their_own_passages(open_, milvus_uri):
    one, two = (open_(tenant=name, uri=milvus_uri) for name in ("one", "two"))
    one.write(800)
    two.write(100)
    assert one.store.prefixes("dense") and two.store.prefixes("dense") is None
    two.write(700, 100)
    assert two.store.prefixes("dense")
    assert (
        not np.array_equal(
            one.store.prefixes("dense").rotation.columns, two.store.prefixes("dense").rotation.columns
        )
        or one.store.ids() != two.store.ids()
    )


def test_tuning_that_fails_never_fails_the_ingest(open_, monkeypatch, caplog):
    leg = open_()

    def broken(queries, want=None):
        leg.encoder.asked.append(len(queries))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(leg.encoder, "encode_queries", broken)
    with caplog.at_level(logging.WARNING):
        leg.write(600)
    assert leg.store.count() == 600 and leg.store.prefixes("dense") is None
    assert "could not be tuned" in caplog.text and "out of memory" in caplog.text
    leg.write(10, 600)
    assert leg.encoder.asked == [30]  # Not again for every few passages.
    monkeypatch.undo()
    leg.store.close()
    again = open_()
    again.write(1)
    assert again.store.prefixes("dense")


def test_on_demand_it_is_tuned_for_what_is_asked(open_):
    leg = open_()
    leg.write(600)
    low, high = leg.keeper.tune(0.8, 5), leg.keeper.tune(0.99, 5)
    assert low.target == 0.8 and (high.k, high.queries, high.rows) == (5, 200, 600)
    assert low.chosen.cost <= high.chosen.cost
    assert leg.store.prefixes("dense").funnel == high.funnel
    asked = leg.keeper.tune(0.9, queries=[passage.llm_text for passage in passages(7, 5000)])
    assert asked.queries == 7
    record = leg.store.state.get(leg.keeper._key)
    leg.store.state.put({leg.keeper._key: {**record, "rows": 100}})
    leg.store.close()
    again = open_()
    assert again.store.prefixes("dense").funnel == asked.funnel
    again.write(1, 600)
    # What was aimed at stays the aim.
    aims = {"rows": 601, "fitted": 600, "recall": 0.9, "k": 10, "rotation": "fitted on the collection"}
    assert again.store.state.get(again.keeper._key) == aims


def test_too_few_passages_are_not_tuned_on(open_):
    leg = open_()
    leg.write(120)
    with pytest.raises(BadInput, match="120 passages have a vector; with fewer than 500"):
        leg.keeper.tune()


@pytest.mark.parametrize("queries", [[], None])
def test_there_are_to_be_queries(open_, queries):
    leg = open_()
    leg.write(500)
    before = leg.store.prefixes("dense").funnel
    if queries is None:
        assert leg.keeper.tune(queries=queries).queries == 200
    else:
        with pytest.raises(BadInput, match="no queries"):
            leg.keeper.tune(queries=queries)
        assert leg.store.prefixes("dense").funnel == before


@pytest.mark.parametrize("record", ["text", {"rows": "many"}])
def test_a_damaged_record_makes_everything_due(open_, record):
    leg = open_()
    leg.write(500)
    leg.store.state.put({leg.keeper._key: record})
    leg.store.close()
    again = open_()
    again.write(1)
    assert again.encoder.asked == [25] and again.store.prefixes("dense")
