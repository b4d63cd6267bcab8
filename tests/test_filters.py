"""Filters: what they refuse, what they compile to, and that a real engine reads them as they are meant."""

import operator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rag_plugins.errors import BadFilter
from rag_plugins.filters import (
    And,
    Comparison,
    Contains,
    Dialect,
    EmptyList,
    Exists,
    Includes,
    Not,
    Or,
    all_of,
    literal,
    to_milvus,
    where,
)
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import Passage, passage_id
from rag_plugins.vectors import SparseVector


@pytest.mark.parametrize(
    ("filter", "expression"),
    [
        (where("year") >= 2020, '(exists metadata["year"] and metadata["year"] >= 2020)'),
        (where("a.b-c") != 1.5, '(exists metadata["a.b-c"] and metadata["a.b-c"] != 1.5)'),
        (where("draft") == True, '(exists metadata["draft"] and metadata["draft"] == true)'),  # noqa: E712
        (where("doc_id") == 'a"b', '(doc_id == "a\\"b")'),
        (where("doc_id").exists(), '(id != "")'),
        (~where("x").exists(), '(not (exists metadata["x"]))'),
        (where("t").contains("a"), '(exists metadata["t"] and json_contains_any(metadata["t"], ["a"]))'),
        (where("t").contains(-1), '(exists metadata["t"] and json_contains_any(metadata["t"], [-1, -1.0]))'),
        (where("t").contains(2.0), '(exists metadata["t"] and json_contains_any(metadata["t"], [2.0, 2]))'),
        (
            where("t").contains(2**53 + 1),
            '(exists metadata["t"] and json_contains_any(metadata["t"], [9007199254740993]))',
        ),
        (where("t").contains(True), '(exists metadata["t"] and json_contains_any(metadata["t"], [true]))'),
        (where("doc_id").contains("a"), '(id == "")'),
        (where("t").includes('a"b'), '(exists metadata["t"] and metadata["t"] like "%a\\"b%")'),
        (where("t").includes(""), '(exists metadata["t"] and metadata["t"] like "%")'),
        (where("doc_id").includes("a"), '(doc_id like "%a%")'),
        (EmptyList("t"), '(exists metadata["t"] and array_length(metadata["t"]) == 0)'),
        (
            where("doc_id").is_empty(),
            '((not (id != "")) or (doc_id == "") or (id == ""))',
        ),
        (where("doc_id").is_in([]), '(id == "")'),
        (where("doc_id").is_in(["a", "b"]), '((doc_id == "a") or (doc_id == "b"))'),
        (And(()), '(id != "")'),
        (all_of({}), '(id != "")'),
        (
            all_of({"doc_id": ["a"], "x": 1}),
            '(((doc_id == "a")) and (exists metadata["x"] and metadata["x"] == 1))',
        ),
    ],
)
def test_filters_compile_to_expressions(filter, expression):
    assert to_milvus(filter) == expression


@pytest.mark.parametrize("text", ["50%", "a_b", "a\\b"])
def test_what_no_pattern_says_is_asked_of_the_store(text):
    asked = []
    dialect = Dialect(instead=lambda part: asked.append(part) or "(id in [])")
    assert to_milvus(~where("t").includes(text), dialect) == "(not (id in []))"
    assert asked == [Includes("t", text)]
    with pytest.raises(BadFilter, match="Milvus has no expression for"):
        to_milvus(where("t").includes(text))


def test_no_pattern_ignores_case():
    dialect = Dialect(instead=lambda part: f"({part.text})")
    assert to_milvus(where("t").includes("A", ignore_case=True), dialect) == "(A)"
    with pytest.raises(BadFilter, match="whatever its case"):
        to_milvus(where("t").includes("A", ignore_case=True))


def test_values_are_escaped():
    assert literal('\\"\n\t\r é') == '"\\\\\\"\\n\\t\\r é"'
    assert literal('" or id != "') == '"\\" or id != \\""'


def test_joining_many_does_not_nest():
    both, either = where("x") == 0, where("x") == 0
    for n in range(1, 500):
        both, either = both & (where("x") == n), either | (where("x") == n)
    assert (len(both.parts), len(either.parts)) == (500, 500)
    assert to_milvus(both).count("((") == 1


def test_nesting_has_an_end():
    filter = where("x") == 1
    for _ in range(1000):
        filter = ~filter
    with pytest.raises(BadFilter, match="nested more than 50 deep"):
        to_milvus(filter)


@pytest.mark.parametrize("key", ["", "1a", 'a"', "a]", "a b", "é", "a\n", "a" * 101, None, 3])
def test_keys_are_checked(key):
    comparison, contains = (lambda key: Comparison(key, "==", 1)), (lambda key: Contains(key, 1))
    for make in (where, Exists, EmptyList, comparison, contains, lambda key: Includes(key, "a")):
        with pytest.raises(BadFilter, match="expected a name"):
            make(key)


@pytest.mark.parametrize(
    "value", [None, [1], {"a": 1}, b"x", float("nan"), float("inf"), 2**63, -(2**63) - 1, "\ud800", "a\0b"]
)
def test_values_are_checked(value):
    with pytest.raises(BadFilter, match="^x: "):
        where("x") == value  # noqa: B015 - the comparison raises
    with pytest.raises(BadFilter, match="^x: "):
        where("x").is_in([1, value])
    with pytest.raises(BadFilter, match="^x: "):
        where("x").contains(value)
    with pytest.raises(BadFilter, match="^x: "):
        where("x").includes(value)


def test_a_document_is_a_string():
    with pytest.raises(BadFilter, match="doc_id: got 3, expected a string"):
        where("doc_id") == 3  # noqa: B015 - the comparison raises


def test_python_cannot_drop_a_part():
    one, two = where("x") == 1, where("y") == 2
    for attempt in (lambda: one and two, lambda: not one, lambda: bool(one | two)):
        with pytest.raises(BadFilter, match="no truth value"):
            attempt()


@pytest.mark.parametrize("filter", ["x == 1", None, where("x"), 'metadata["x"] == 1'])
def test_what_is_no_filter_is_refused(filter):
    with pytest.raises(BadFilter, match="build filters with"):
        to_milvus(filter)


TEXTS = [
    "",
    "a",
    "b",
    'a"',
    "a\\",
    "a' or id != '",
    '" or id != "',
    "\n\t\r",
    "%",
    "_",
    "50% of a_b\\c",
    "50 of aXb",
    "É",
    '["a"]',
    "[]",
    "é",
    "漢",
    "\u2028",
    "𝄞",
    "\x01",
]
NUMBERS = [0, 1, -1, 2**63 - 1, -(2**63), 1.5, -0.5, 1e300, 5e-324]
ROWS = {
    passage_id("", content=str(n)): (f"doc {n % 5}", metadata)
    for n, metadata in enumerate(
        [{}, {"t": None}]
        + [{"t": text, "flag": n % 2 == 0} for n, text in enumerate(TEXTS)]
        + [{"n": number, "a.b": number} for number in NUMBERS]
        + [{"l": list(part)} for part in (NUMBERS, TEXTS, [], ["a"], [2, 3.0], [["a"]], ["", None])]
        + [{"l": value} for value in ("", "a", '["a"]', 3, None, {"a": 1})]
        + [{"n": number, "t": text} for number, text in zip(NUMBERS, TEXTS, strict=False)]
    )
}

OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(filter, doc_id, metadata):
    """What a filter means, said in Python."""
    match filter:
        case Contains(key, value):
            found = metadata.get(key)
            return key != "doc_id" and isinstance(found, list) and value in found
        case Includes(key, text, ignore_case):
            found = doc_id if key == "doc_id" else metadata.get(key)
            lower = str.lower if ignore_case else str
            return isinstance(found, str) and lower(text) in lower(found)
        case EmptyList(key):
            return key != "doc_id" and metadata.get(key) == []
        case Comparison(key, symbol, value):
            found = doc_id if key == "doc_id" else metadata.get(key)
            return found is not None and OPERATORS[symbol](found, value)
        case Exists(key):
            return key == "doc_id" or metadata.get(key) is not None
        case And(parts):
            return all(holds(part, doc_id, metadata) for part in parts)
        case Or(parts):
            return any(holds(part, doc_id, metadata) for part in parts)
        case Not(part):
            return not holds(part, doc_id, metadata)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    uri = tmp_path_factory.mktemp("filters") / "filters.db"
    with MilvusStore.open(uri, fields=[VectorField("terms", "sparse")], fingerprint={}) as store:
        vectors = {"terms": SparseVector.of({1: 1.0})}
        store.upsert(
            [Row(Passage(id, doc_id, (), "", metadata), vectors) for id, (doc_id, metadata) in ROWS.items()]
        )
        yield store


symbols = st.sampled_from(list(OPERATORS))
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.sampled_from(TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
)
leaves = st.one_of(
    st.builds(Comparison, st.sampled_from(["t", "absent"]), symbols, texts),
    st.builds(Comparison, st.sampled_from(["n", "a.b"]), symbols, numbers),
    st.builds(Comparison, st.just("flag"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(
        Comparison, st.just("doc_id"), symbols, st.sampled_from([f"doc {n}" for n in range(6)]) | texts
    ),
    st.builds(Exists, st.sampled_from(["t", "n", "l", "absent", "doc_id"])),
    st.builds(Contains, st.sampled_from(["l", "l", "t", "absent", "doc_id"]), texts | numbers),
    st.builds(Includes, st.sampled_from(["t", "t", "l", "n", "absent", "doc_id"]), texts, st.booleans()),
    st.builds(EmptyList, st.sampled_from(["l", "l", "t", "n", "absent", "doc_id"])),
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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(filters)
@example(~(where("t") == "a") & ~where("absent").is_in(["x"]))
@example(where("t") == '" or id != "')
@example(where("l").is_empty() | where("l").contains(2.0))
@example(where("t").includes("_") & ~where("t").includes("%"))
@example(where("t").includes("É", ignore_case=True))
def test_an_engine_reads_filters_as_they_are_meant(store, filter):
    expected = sorted(id for id, (doc_id, metadata) in ROWS.items() if holds(filter, doc_id, metadata))
    assert store.ids(filter) == expected
    hits = store.search("terms", SparseVector.of({1: 1.0}), 100, filter)
    assert [id for id, _ in hits] == expected
