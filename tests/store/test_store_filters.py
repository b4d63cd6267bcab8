"""Filters on lists, texts and emptiness: the same rows from a file, a server and from memory."""

import pytest
from store_rows import row, unit

from rag_plugins.filters import And, Or, where

VALUES = [
    ["pump", "motor"],
    ["pumps"],
    [],
    '["pump"]',
    "pump",
    "a pump, 50%",
    "a pump, 50 mm",
    "a_b",
    "aXb",
    "back\\slash",
    "backXslash",
    "The PUMP",
    'a "quoted" text\nof two lines',
    "",
    "[]",
    7,
    7.5,
    [7],
    [7.0, 8.5],
    [-3],
    {"pump": 1},
    [["pump"]],
    None,
    "漢字的表",
    "ÉTÉ",
]
TABLE = [
    (where("x").contains("pump"), [["pump", "motor"]]),
    (where("x").contains(7), [[7], [7.0, 8.5]]),
    (where("x").contains(7.0), [[7], [7.0, 8.5]]),
    (where("x").contains(-3), [[-3]]),
    (where("x").contains(8.5) | where("x").contains("motor"), [["pump", "motor"], [7.0, 8.5]]),
    (where("x").contains("motor") & where("x").contains("pump"), [["pump", "motor"]]),
    (where("x").contains("%"), []),
    (where("doc_id").contains("a.pdf"), []),
    (
        where("x").includes("pump"),
        ['["pump"]', "pump", "a pump, 50%", "a pump, 50 mm"],
    ),
    (where("x").includes("0%"), ["a pump, 50%"]),
    (where("x").includes("%"), ["a pump, 50%"]),
    (where("x").includes("_"), ["a_b"]),
    (where("x").includes("a_b"), ["a_b"]),
    (where("x").includes("k\\s"), ["back\\slash"]),
    (where("x").includes("\\"), ["back\\slash"]),
    (where("x").includes("\\%"), []),
    (where("x").includes('"quoted" text\nof'), ['a "quoted" text\nof two lines']),
    (where("x").includes('%" or id != "'), []),
    (where("x").includes("字的"), ["漢字的表"]),
    (where("x").includes("the pump", ignore_case=True), ["The PUMP"]),
    (where("x").includes("été", ignore_case=True), ["ÉTÉ"]),
    (where("x").includes("A_B", ignore_case=True), ["a_b"]),
    (where("x").includes("nowhere", ignore_case=True), []),
    (where("x").is_empty(), [[], "", None, "absent"]),
]
TABLE += [
    (~filter, [value for value in (*VALUES, "absent") if value not in found]) for filter, found in TABLE[:-1]
]
TABLE += [
    (And((where("x").includes("pump"), ~where("x").includes("%"))), ['["pump"]', "pump", "a pump, 50 mm"])
]


@pytest.fixture
def filled(open_store):
    store, other = open_store(), open_store(tenant="another")
    store.upsert([row(n, metadata={"x": value}) for n, value in enumerate(VALUES)] + [row(len(VALUES))])
    other.upsert([row(n, tenant="another", metadata={"x": value}) for n, value in enumerate(VALUES)])
    return store


def test_stores_agree_on_what_filters_mean(filled):
    values = {row(n).passage.id: value for n, value in enumerate([*VALUES, "absent"])}
    for filter, expected in TABLE:
        found = {id for id in filled.ids(filter)}
        assert [value for id, value in values.items() if id in found] == expected, filter
        assert len(found) == len(expected), filter  # Nothing of another tenant.
        assert {id for id, _ in filled.search("dense", unit(1.0), 100, filter)} == found


def test_document_ids_are_texts(open_store):
    store = open_store()
    store.upsert([row(n, doc_id=doc) for n, doc in enumerate(["Report_1.pdf", "ReportX1.pdf", "50%.txt"])])
    for filter, expected in [
        (where("doc_id").includes("Report"), [0, 1]),
        (where("doc_id").includes("t_1"), [0]),
        (where("doc_id").includes("%."), [2]),
        (where("doc_id").includes("report", ignore_case=True), [0, 1]),
        (Or((where("doc_id").is_empty(), where("doc_id").contains("50%.txt"))), []),
    ]:
        assert store.ids(filter) == sorted(row(n).passage.id for n in expected), filter


def test_a_filter_follows_what_is_written(filled):
    filter = where("x").includes("NEW", ignore_case=True)
    assert filled.ids(filter) == []
    filled.upsert([row(3, metadata={"x": "a new_one"}), row(99, metadata={"x": ["new"]})])
    assert filled.ids(filter) == filled.ids(where("x").includes("new_")) == [row(3).passage.id]
    assert filled.ids(where("x").contains("new")) == [row(99).passage.id]


def test_many_texts(open_store):
    """More of them than are compared with one by one, and some of them twice."""
    store, other = open_store(), open_store(tenant="another")
    store.upsert([row(n, metadata={"x": f"Part_{n % 30}" if n < 60 else n}) for n in range(70)])
    other.upsert([row(n, tenant="another", metadata={"x": f"Part_{n}"}) for n in range(70)])
    for filter, expected in [
        (where("x").includes("part_", ignore_case=True), range(60)),
        (where("x").includes("t_"), range(60)),
        (~where("x").includes("t_"), range(60, 70)),
        (where("x").includes("t_") & (where("x") == "Part_3"), [3, 33]),
    ]:
        assert store.ids(filter) == sorted(row(n).passage.id for n in expected), filter
