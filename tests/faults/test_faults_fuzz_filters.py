"""Filters of hostile keys and values: refused as `BadFilter`, or they hold for the same rows everywhere.

Those that are refused are refused before any engine sees them; of the others Milvus Lite's expression, the
columns in memory and a reading in plain Python select the same rows, and none of another tenant.
"""

import operator
import string
from contextlib import suppress

import numpy as np
import pytest
from faults_support_fuzz import long, short
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import BadFilter
from rag_plugins.filters import (
    And,
    Comparison,
    Contains,
    EmptyList,
    Exists,
    Filter,
    Includes,
    Not,
    Or,
    all_of,
    to_milvus,
)
from rag_plugins.resident.columns import Columns
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import Passage, passage_id
from rag_plugins.vectors import SparseVector

HOSTILE = [
    '" or id != "',
    '" or 1 == 1 or "" == "',
    "') or true or ('",
    '\\" or tenant != "',
    "\\",
    "\\\\",
    '\\"',
    "%",
    "_%_",
    "{x}",
    "$meta",
    "id in ['a']",
    "true",
    "null",
    "\x1f\x7f",
    "\u202e\u200b\ufeff",
    "\u2028\u2029\x85",
    "a\r\nb\tc",
    "\x01" * 9,
    "ß",
    "İ",
    "e\u0301",
    "𝄞" * 40,
    "z" * 3000,
    "/* */ -- #",
    "",
]
KEYS = [
    "t",
    "n",
    "l",
    "doc_id",
    "absent",
    "a.b",
    "and",
    "in",
    "like",
    "exists",
    "true",
    "metadata",
    "id",
    "tenant",
]
BAD_KEYS = ['x"] == 1 or metadata["x', "", "ä", "a b", "x" * 101, "\0", "1a", "a\n", None, 5, b"t", ("t",)]
BAD_VALUES = [
    None,
    "\ud800",
    "a\0b",
    float("nan"),
    float("inf"),
    2**63,
    -(2**63) - 1,
    10**400,
    [],
    {},
    b"a",
    1j,
]
NUMBERS = [0, -1, 2**63 - 1, -(2**63), 0.1, -1e300, 5e-324, -0.0, 1e22]

ROWS = [
    *((text, {"t": text, "and": text}) for text in HOSTILE),
    *((f"doc {n}", {"n": number, "a.b": number}) for n, number in enumerate(NUMBERS)),
    *((f"doc {n}", {"l": [text, n]}) for n, text in enumerate(HOSTILE)),
    *(("deep", {"l": value, "in": value}) for value in ([], [[]], {}, {"x": [1]}, None)),
    ("none", {}),
]
IDS = [passage_id("", content=str(n)) for n in range(len(ROWS))]
BY_NAME = {"==": operator.eq, "!=": operator.ne, "<": operator.lt}
BY_NAME |= {"<=": operator.le, ">": operator.gt, ">=": operator.ge}


class LeftToTheEngine(Exception):
    """Which of two types comes first: `rag_plugins.filters` promises nothing of it."""


def compares(found, symbol, value):
    """Texts with texts, numbers with numbers: what else is compared is not equal."""
    alike = isinstance(found, str) == isinstance(value, str) and isinstance(found, str | int | float)
    if not alike and symbol not in ("==", "!="):
        raise LeftToTheEngine
    return BY_NAME[symbol](found, value) if alike else symbol == "!="


def holds(filter, doc, metadata):
    key = getattr(filter, "key", None)
    found = doc if key == "doc_id" else metadata.get(key)
    match filter:
        case Contains(_, value):
            return isinstance(found, list) and value in found
        case Includes():
            return isinstance(found, str) and filter.holds(found)
        case EmptyList():
            return found == []
        case Comparison(_, symbol, value):
            return found is not None and compares(found, symbol, value)
        case Exists():
            return found is not None
        case And(parts):
            return all(holds(part, doc, metadata) for part in parts)
        case Or(parts):
            return any(holds(part, doc, metadata) for part in parts)
        case Not(part):
            return not holds(part, doc, metadata)


@pytest.fixture(scope="module")
def selected(tmp_path_factory):
    """Which rows of its tenant a filter holds for: in a file, and in memory."""
    uri, terms = tmp_path_factory.mktemp("filters") / "filters.db", SparseVector.of({1: 1.0})
    columns = Columns()
    columns.append(ROWS)
    fields = [VectorField("terms", "sparse")]

    def rows(tenant):
        for n, (doc, metadata) in enumerate(ROWS):
            yield Row(Passage(passage_id(tenant, content=str(n)), doc, (), "", metadata), {"terms": terms})

    with (
        MilvusStore.open(uri, fields=fields, fingerprint={}) as store,
        MilvusStore.open(uri, fields=fields, fingerprint={}, tenant="another") as other,
    ):
        store.upsert(list(rows("")))
        other.upsert(list(rows("another")))
        numbers = {id: n for n, id in enumerate(IDS)}

        def select(filter):
            resident = np.flatnonzero(columns.mask(filter, len(ROWS))).tolist()
            return sorted(numbers[id] for id in store.ids(filter)), resident

        yield select


def mixed(values, few):
    return st.one_of(st.sampled_from(values), st.sampled_from(values), few)


keys = mixed(
    KEYS, st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=9).map("k".__add__)
)
texts = mixed(HOSTILE, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9))
numbers = mixed(NUMBERS, st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
values = st.one_of(texts, texts, numbers.filter(lambda number: number not in (0, 1)))
symbols = st.sampled_from(list(BY_NAME))
leaves = st.one_of(
    st.builds(Comparison, keys.filter("doc_id".__ne__), symbols, values),
    st.builds(Comparison, st.just("doc_id"), symbols, texts),
    st.builds(Exists, keys),
    st.builds(Contains, keys.filter("doc_id".__ne__), values),
    st.builds(Includes, keys, texts, st.booleans()),
    st.builds(EmptyList, keys.filter("doc_id".__ne__)),
    st.builds(lambda key, values: all_of({key: values}), st.just("t"), st.lists(texts, max_size=30)),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(
            lambda kind, parts: kind(tuple(parts)), st.sampled_from([And, Or]), st.lists(inner, max_size=4)
        ),
    ),
    max_leaves=12,
)


def check(selected, filter: Filter):
    stored, resident = selected(filter)
    assert stored == resident
    with suppress(LeftToTheEngine):
        assert stored == [n for n, (doc, metadata) in enumerate(ROWS) if holds(filter, doc, metadata)]


@short(40)
@given(filters)
def test_hostile_filters_hold_for_the_same_rows(selected, filter):
    check(selected, filter)


@pytest.mark.faults
@pytest.mark.timeout(1200)
@long(6000)
@given(filters)
def test_hostile_filters_hold_for_the_same_rows_long(selected, filter):
    check(selected, filter)


MAKERS = [
    lambda key, value: Comparison(key, "==", value),
    lambda key, value: Contains(key, value),
    lambda key, value: Includes(key, value),
    lambda key, value: all_of({key: value}),
]


@pytest.mark.parametrize("make", MAKERS, ids=["comparison", "contains", "includes", "all of"])
def test_what_no_engine_may_see_is_refused(make):
    refused = 0
    for key in BAD_KEYS:
        with pytest.raises(BadFilter):
            to_milvus(make(key, "a"))
        refused += 1
    for value in BAD_VALUES:
        if value == [] and make is MAKERS[3]:
            continue  # One of none: it holds for nothing.
        with pytest.raises(BadFilter):
            to_milvus(make("t", value))
        refused += 1
    assert refused >= len(BAD_KEYS) + len(BAD_VALUES) - 1


def test_a_wide_filter_is_as_good_as_a_narrow_one(selected):
    many = Or(tuple(Comparison("t", "==", f"{text} {n}") for n in range(60) for text in HOSTILE[:5]))
    check(selected, many | Comparison("t", "==", "%"))
    check(selected, And(tuple(Comparison("t", "!=", str(n)) for n in range(300))))


def test_depth_is_refused_before_python_gives_up():
    filter = Comparison("t", "==", "a")
    for _ in range(100_000):
        filter = Not(filter)
    with pytest.raises(BadFilter, match="nested"):
        to_milvus(filter)
    while isinstance(filter, Not):  # Else Python frees it by recursion.
        filter = filter.part
