"""Columns: lists and texts, against what a filter means in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.filters import And, Contains, EmptyList, Exists, Includes, Not, Or, where
from rag_plugins.resident.columns import Columns

scalars = st.sampled_from(["", "a", "A", "ab", "%", "ß", "İ", 0, 1, 1.0, -2.5, 2**64 - 1, True, False])
values = st.one_of(
    scalars,
    st.none(),
    st.lists(st.one_of(scalars, st.none(), st.just(["a"]), st.just({"a": 1})), max_size=4),
    st.just({"a": 1}),
)
rows_of_metadata = st.lists(st.dictionaries(st.sampled_from(["x", "y"]), values), max_size=12)
keys = st.sampled_from(["x", "y", "absent"])
texts = st.sampled_from(["", "a", "A", "B", "%", "ss", "i", "i̇"])
leaves = st.one_of(
    st.builds(Contains, keys, scalars.filter(lambda value: value != 2**64 - 1)),
    st.builds(Includes, keys, texts, st.booleans()),
    st.builds(EmptyList, keys),
    st.builds(Exists, keys),
    keys.map(lambda key: where(key).is_empty()),
)
filters = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts)))
    ),
    max_leaves=5,
)


def same(one, other):
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def holds(filter, metadata):
    match filter:
        case Contains(key, value):
            found = metadata.get(key)
            return isinstance(found, list) and any(same(item, value) for item in found)
        case Includes(key, text, ignore_case):
            found = metadata.get(key)
            if not isinstance(found, str):
                return False
            return text.lower() in found.lower() if ignore_case else text in found
        case EmptyList(key):
            return metadata.get(key) == []
        case Exists(key):
            return metadata.get(key) is not None
        case And(parts):
            return all(holds(part, metadata) for part in parts)
        case Or(parts):
            return any(holds(part, metadata) for part in parts)
        case Not(part):
            return not holds(part, metadata)
        case comparison:
            return metadata.get(comparison.key) == comparison.value


def columns_of(metadata):
    columns = Columns()
    for start in range(0, len(metadata), 5):
        columns.append([(f"doc {n}", data) for n, data in enumerate(metadata[start : start + 5])])
    return columns


@given(rows_of_metadata, filters, st.integers(0, 12))
def test_a_mask_is_what_the_filter_means(metadata, filter, upto):
    count = min(upto, len(metadata))
    expected = [holds(filter, data) for data in metadata[:count]]
    assert columns_of(metadata).mask(filter, count).tolist() == expected


@given(rows_of_metadata, filters, st.data())
def test_lists_are_kept_with_their_rows(metadata, filter, data):
    order = data.draw(st.permutations(range(len(metadata))))[: data.draw(st.integers(0, 12))]
    kept = columns_of(metadata).kept(np.array(order, np.int64))
    read = Columns.of({name: array.copy() for name, array in kept.arrays().items()})
    expected = [holds(filter, metadata[row]) for row in order]
    assert kept.mask(filter, len(order)).tolist() == expected
    assert read.mask(filter, len(order)).tolist() == expected


def test_a_key_is_not_taken_for_the_elements_of_another():
    columns = columns_of([{"x": ["a"]}, {"x": "a"}, {"x": '["a"]'}, {"x": {"a": "a"}}, {"x": [["a"]]}])
    assert columns.mask(where("x").contains("a"), 5).tolist() == [True, False, False, False, False]
    assert columns.mask(where("x") == "a", 5).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("filter", [where("doc_id").contains("doc 0"), where("doc_id").is_empty()])
def test_a_document_id_is_a_text(filter):
    columns = columns_of([{"doc_id": ["doc 0"]}, {"doc_id": []}])
    assert columns.mask(filter, 2).tolist() == [False, False]
    assert columns.mask(where("doc_id").includes("C 1", ignore_case=True), 2).tolist() == [False, True]
