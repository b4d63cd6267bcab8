import pytest

from rag_plugins.config import FusionConfig
from rag_plugins.errors import BadInput, SideError
from rag_plugins.fusion import Fused
from rag_plugins.lexical.rules import Query, parse_query
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.queries import asked, joined, weighed
from rag_plugins.types import EmbedText, StageScore


def outcome(query, *ranking, **settings):
    """One leg's search, whose ranking is the fused one."""
    return Outcome(
        "minmax",
        query,
        shares={"bm25": 1.0},
        rankings={"bm25": list(ranking)},
        fused=[Fused(id, score, {"bm25": score}) for id, score in ranking],
        **settings,
    )


def test_each_query_once_with_its_first_weight_blank_and_weightless_ones_left_out():
    given = asked(["pump ", " ", "filter", "pump", "valve", Query(())])
    assert weighed(given, None) == {"pump": 1.0, "filter": 1.0, "valve": 1.0}
    assert weighed(given, [2, 9, 1, 5, 0, 9]) == {"pump": 2, "filter": 1}
    assert weighed(given, [0] * 6) == {"pump": 0, "filter": 0, "valve": 0}
    assert weighed(asked(["", " "]), None) == {}


def test_words_and_rules_that_look_alike_are_two_queries():
    assert len(weighed(["pump*", parse_query("pump*")], None)) == 2


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_weights_that_cannot_be_are_refused(weights):
    with pytest.raises(BadInput, match="expected 2 of at least 0"):
        weighed(["a", "b"], weights)


@pytest.mark.parametrize("queries", [[], (), "pump", parse_query("pump")])
def test_what_is_no_list_of_queries_is_refused(queries):
    with pytest.raises(BadInput, match="expected a list of queries"):
        asked(queries)


def test_a_view_among_the_queries_is_refused():
    with pytest.raises(SideError, match="views are for documents"):
        asked(["pump", EmbedText("pump")])


def test_one_query_stays_as_it_is():
    one = outcome("pump", ("a", 1.0))
    assert joined([one], [3.0], FusionConfig(method="minmax")) is one
    assert joined([], [], FusionConfig(method="minmax")).final == []


def test_queries_are_joined_as_legs_are_by_weight():
    pump = outcome("pump", ("a", 0.9), ("b", 0.5), ("c", 0.1))
    valve = outcome("valve", ("d", 0.2), ("b", 0.1))
    assert joined([pump, valve], [1.0, 3.0], FusionConfig(method="minmax")).final == [
        ("d", 0.75),
        ("a", 0.25),
        ("b", pytest.approx(0.125)),
        ("c", 0.0),
    ]
    ranked = joined([pump, valve], [1.0, 1.0], FusionConfig(method="rrf", rrf_k=1))
    assert ranked.fusion == "rrf"
    assert ranked.final[0] == ("b", pytest.approx(0.5 / 3 + 0.5 / 3))


@pytest.mark.parametrize("method", ["zscore", "dbsf", "minmax"])
def test_fused_scores_are_joined_by_minmax_whatever_joined_the_legs(method):
    two = [outcome("pump", ("a", 2.0), ("b", 1.0)), outcome("valve", ("b", 0.3))]
    assert joined(two, [1.0, 1.0], FusionConfig(method=method)).final == [("a", 0.5), ("b", 0.5)]


def test_a_query_that_found_nothing_takes_no_part():
    made = joined(
        [outcome("pump", ("a", 0.9), ("b", 0.5)), outcome("zeppelin")],
        [1.0, 9.0],
        FusionConfig(method="minmax"),
    )
    assert made.final == [("a", 1.0), ("b", 0.0)]


def test_notices_once_seconds_summed_doubts_together():
    first = outcome(
        "pump", ("a", 1.0), notices=["odd", "pump*: cut"], seconds={"bm25": 1.0}, confidences={"a": 0.5}
    )
    second = outcome(
        "valve", ("b", 1.0), notices=["odd"], seconds={"bm25": 2.0, "dense": 4.0}, confidences={"b": 0.7}
    )
    made = joined([first, second], [1.0, 1.0], FusionConfig(method="minmax"))
    assert made.notices == ["odd", "pump*: cut"]
    assert (made.seconds["bm25"], made.seconds["dense"]) == (3.0, 4.0)
    assert made.confidences == {"a": 0.5, "b": 0.7}


def test_the_trace_says_which_query_found_it_by_what_and_what_that_gave():
    pump = outcome("pump", ("a", 0.8), ("b", 0.4))
    valve = outcome(parse_query('"valve seat"'), ("c", 0.3), ("b", 0.1))
    traces = joined([pump, valve], [3.0, 1.0], FusionConfig(method="minmax")).traces(["a", "b"])
    assert traces["a"] == (
        StageScore("bm25", "leg", 1, 0.8, 1.0, 0.8, query="pump"),
        StageScore("minmax", "fusion", 1, 0.8, 0.75, 0.75, query="pump"),
        StageScore("minmax", "queries", 1, 0.75),
    )
    assert [(stage.kind, stage.rank, stage.part, stage.query) for stage in traces["b"]] == [
        ("leg", 2, 0.4, "pump"),
        ("fusion", 2, 0.0, "pump"),
        ("leg", 2, 0.1, '"valve seat"'),
        ("fusion", 2, 0.0, '"valve seat"'),
        ("queries", 3, None, None),
    ]
