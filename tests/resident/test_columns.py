"""Columns: a filter holds for the rows that it holds for in a real Milvus Lite file."""

import operator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rag_plugins.errors import BadFilter
from rag_plugins.filters import And, Comparison, Contains, EmptyList, Exists, Includes, Not, Or, where
from rag_plugins.resident.columns import Columns
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import Passage, passage_id
from rag_plugins.vectors import SparseVector

TEXTS = [
    "",
    "a",
    "A",
    "b",
    "ab",
    "10",
    "9",
    "1",
    "1.0",
    "true",
    "null",
    '"',
    "\\",
    "é",
    "漢",
    "\U0001d11e",
    "\uffff",
]
NUMBERS = [0, 1, -1, 1.0, 0.5, -0.0, 10, 9.5, 2**53, 2**53 + 1, float(2**53), -(2**53) - 1]
NUMBERS += [2**63 - 1, -(2**63), float(2**63), -float(2**63), 1e300, -1e300, 5e-324]
STORED = [*TEXTS, *NUMBERS, 2**63, 2**64 - 1, float(2**64), True, False, None, [], [1], ["a"], {}, {"b": 1}]
STORED += ["a%b", "a_B", "\\a", '["a"]', "[]", ["a", "b", "a"], [1.0, -1], [2**64 - 1, 0.5], [True], [["a"]]]
NESTED = [{"a": {"b": 1}}, {"a.b": 2, "a": {"b": 3}}, {"a": "b"}, {"doc_id": "not a document"}, {}]
ROWS = [(f"doc {n % 7}", {"x": value}) for n, value in enumerate(STORED)]
ROWS += [(TEXTS[n % len(TEXTS)], {"x": STORED[-n], "n": NUMBERS[n], "t": TEXTS[n % 5]}) for n in range(15)]
ROWS += [("nested", metadata) for metadata in NESTED]
ROWS += [("flags", {"flag": n % 2 == 0, "y": n}) for n in range(5)]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """The same rows in Milvus Lite: which of them a filter holds for there."""
    ids = [passage_id("", content=str(n)) for n in range(len(ROWS))]
    vectors = {"terms": SparseVector.of({1: 1.0})}
    uri = tmp_path_factory.mktemp("columns") / "columns.db"
    with MilvusStore.open(uri, fields=[VectorField("terms", "sparse")], fingerprint={}) as store:
        store.upsert(
            [Row(Passage(id, doc, (), "", data), vectors) for id, (doc, data) in zip(ids, ROWS, strict=True)]
        )
        numbers = {id: n for n, id in enumerate(ids)}
        yield lambda filter: sorted(numbers[id] for id in store.ids(filter))


def columns_of(rows, batch=7):
    columns = Columns()
    for start in range(0, len(rows), batch):
        columns.append(rows[start : start + batch])
    return columns


COLUMNS = columns_of(ROWS)


def rows_of(columns, filter):
    return np.flatnonzero(columns.mask(filter, len(columns))).tolist()


symbols = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
numbers = (
    st.sampled_from(NUMBERS[:-3]).filter(lambda number: -(2**63) <= number < 2**63)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.sampled_from(TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3
)
keys = st.sampled_from(["x", "x", "n", "t", "a", "a.b", "flag", "y", "absent"])
leaves = st.one_of(
    st.builds(Comparison, keys, symbols, texts | numbers),
    st.builds(Comparison, st.just("doc_id"), symbols, texts | st.sampled_from(["doc 1", "nested", "flags"])),
    st.builds(Exists, keys | st.just("doc_id")),
    st.builds(lambda key, values: where(key).is_in(values), keys, st.lists(texts | numbers, max_size=20)),
    st.builds(Contains, keys | st.just("doc_id"), texts | numbers),
    st.builds(Includes, keys | st.just("doc_id"), texts | st.sampled_from("%_"), st.booleans()),
    st.builds(EmptyList, keys | st.just("doc_id")),
)
filters = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(
            lambda kind, parts: kind(tuple(parts)), st.sampled_from([And, Or]), st.lists(inner, max_size=3)
        )
    ),
    max_leaves=6,
)


def asks_bools_for_numbers(filter):
    """Whether it asks for equality with 0 or 1, which for Lite true and false are, and for servers not."""
    match filter:
        case Comparison("x" | "flag", "==" | "!=", value) | Contains("x", value):
            return value in (0, 1)
        case And(parts) | Or(parts):
            return any(map(asks_bools_for_numbers, parts))
        case Not(part):
            return asks_bools_for_numbers(part)
        case _:
            return False


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(filters.filter(lambda filter: not asks_bools_for_numbers(filter)))
@example(~(where("x") < 5))
@example(~(where("x") < "a") | (where("n") == 1))
@example(And(()) & ~Or(()))
@example(where("a.b") == 2)
@example(where("a").exists() & ~where("a.b").exists())
@example(where("x") == 2**53 + 1)
@example(where("x") == float(2**53))
@example(where("x") >= float(2**63))
@example(where("flag") < 1)
def test_a_filter_holds_for_what_it_holds_for_in_lite(lite, filter):
    assert rows_of(COLUMNS, filter) == lite(filter)


@given(symbols, st.sampled_from(NUMBERS + TEXTS), st.sampled_from(NUMBERS + TEXTS + [2**63, 2**64 - 1]))
def test_values_compare_exactly(symbol, bound, stored):
    compare = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le}
    compare |= {">": operator.gt, ">=": operator.ge}
    try:
        expected = compare[symbol](stored, bound)
    except TypeError:
        expected = False
    columns = columns_of([("", {"k": stored}), ("", {}), ("", {"k": stored})])
    try:
        filter = Comparison("k", symbol, bound)
    except BadFilter:
        return  # An integer beyond 64 bits.
    assert columns.mask(filter, 3).tolist() == [expected, False, expected]


@pytest.mark.parametrize(
    ("filter", "rows"),
    [
        (where("k") == True, [0]),  # noqa: E712
        (where("k") == 1, [2]),
        (where("k") == 0, [3]),
        (where("k") != 1, [0, 1, 3]),
        (where("k").is_in([True, 0]), [0, 3]),
    ],
)
def test_true_is_not_one(filter, rows):
    """As `rag_plugins.filters` has it, and servers; Lite takes them for equal."""
    columns = columns_of([("", {"k": value}) for value in (True, False, 1.0, 0)])
    assert rows_of(columns, filter) == rows


def test_the_document_is_not_the_metadata():
    columns = columns_of([("a", {"doc_id": "b"}), ("b", {})])
    assert rows_of(columns, where("doc_id") == "b") == [1]
    assert rows_of(columns, where("doc_id") > "a") == [1]
    assert rows_of(columns, where("doc_id").exists()) == [0, 1]


def test_no_rows():
    columns = Columns()
    columns.append([])
    for filter in (where("k") == 1, where("k") < "a", And(()), ~Or(())):
        assert columns.mask(filter, 0).tolist() == []


def test_a_reader_sees_the_rows_it_asks_for():
    columns = columns_of([("a", {"k": "x"}), ("b", {})])
    columns.append([("c", {"k": "x"}), ("d", {"k": 3, "new": 1})])
    assert columns.mask(where("k") == "x", 2).tolist() == [True, False]
    assert columns.mask(where("k").exists(), 3).tolist() == [True, False, True]
    assert columns.mask(where("new") == 1, 2).tolist() == [False, False]
    assert columns.mask(~(where("doc_id") == "a"), 4).tolist() == [False, True, True, True]


def test_readers_need_not_wait_for_the_writer():
    rows = [(f"doc {n % 97}", {"n": n, "t": f"{n:05}"} if n % 3 else {"n": str(n)}) for n in range(6000)]
    filter = (where("n") >= 500) & (where("t") < "04000") & (where("doc_id") != "doc 5")
    expected = columns_of(rows, 6000).mask(filter, 6000)
    columns = Columns()

    def read(_):
        count = len(columns)
        return np.array_equal(columns.mask(filter, count), expected[:count])

    with ThreadPoolExecutor(3) as pool:
        reads = pool.map(read, range(200))
        for start in range(0, len(rows), 10):
            columns.append(rows[start : start + 10])
        assert all(reads)


def test_a_mask_is_the_callers_own():
    columns = columns_of([("a", {"k": 1})])
    columns.mask(And(()), 1)[:] = False
    columns.mask(where("k") == 1, 1)[:] = False
    assert columns.mask(where("k") == 1, 1).tolist() == [True]


def test_what_an_engine_refuses_is_refused():
    filter = where("k") == 1
    for _ in range(100):
        filter = ~filter
    with pytest.raises(BadFilter, match="nested"):
        COLUMNS.mask(filter, 1)
    with pytest.raises(BadFilter, match="build filters with"):
        COLUMNS.mask("k == 1", 1)


@settings(max_examples=50)
@given(st.permutations(range(len(ROWS))), st.integers(0, len(ROWS)), filters)
def test_kept_rows_are_as_if_appended(order, count, filter):
    rows = order[:count]
    kept = COLUMNS.kept(np.array(rows, np.int64))
    fresh = columns_of([ROWS[row] for row in rows])
    assert len(kept) == count
    assert kept.mask(filter, count).tolist() == fresh.mask(filter, count).tolist()
    kept.append(ROWS[:3])
    fresh.append(ROWS[:3])
    assert kept.mask(filter, count + 3).tolist() == fresh.mask(filter, count + 3).tolist()


@settings(max_examples=50)
@given(filters)
def test_arrays_are_all_there_is_to_keep(filter):
    read = Columns.of({key: array.copy() for key, array in COLUMNS.arrays().items()})
    assert rows_of(read, filter) == rows_of(COLUMNS, filter)
    read.append(ROWS)
    assert rows_of(read, filter) == [n + past for past in (0, len(ROWS)) for n in rows_of(COLUMNS, filter)]


def test_arrays_of_nothing():
    read = Columns.of(Columns().arrays())
    assert len(read) == 0
    read.append([("a", {"k": 1})])
    assert rows_of(read, where("k") == 1) == [0]


def test_bytes_are_counted():
    empty, full = Columns().nbytes, COLUMNS.nbytes
    assert empty < full < 1e5
    assert COLUMNS.kept(np.arange(3)).nbytes < full
