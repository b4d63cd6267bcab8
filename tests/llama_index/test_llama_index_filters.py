"""Metadata filters select what LlamaIndex's own store selects."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    ExactMatchFilter,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    SimpleVectorStore,
    VectorStoreQuery,
)

from rag_plugins.errors import BadFilter
from rag_plugins.filters import And, Includes, where
from rag_plugins.llama_index import HybridRetriever
from rag_plugins.llama_index.filters import to_filter
from rag_plugins.resident.columns import Columns

VALUES = [None, "", "pump", "A Pump, 50%", "a_b", 0, 1, 2.5, -7, True, False]
VALUES += [[], ["pump"], ["pump", "motor"], [1, 2.5], [True], ["", None], {"a": 2}]
NODES = [
    TextNode(
        id_=f"node {n}",
        text="text",
        metadata={"x": value, "y": n % 3},
        embedding=[1.0],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc {n % 4}")},
    )
    for n, value in enumerate(VALUES)
] + [
    TextNode(
        id_="absent",
        text="text",
        metadata={"y": 5},
        embedding=[1.0],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc 1")},
    )
]
STORES = [SimpleVectorStore() for _ in NODES]
COLUMNS = Columns()
for one, kept in zip(NODES, STORES, strict=True):
    kept.add([one])
    COLUMNS.append([(one.ref_doc_id, one.metadata)])


def ours(filters):
    filter = to_filter(filters)
    return [True] * len(NODES) if filter is None else COLUMNS.mask(filter, len(NODES)).tolist()


def theirs(filters):
    """Of each node, or None where it raises."""

    def asked(store):
        try:
            return bool(store.query(VectorStoreQuery([1.0], similarity_top_k=1, filters=filters)).ids)
        except TypeError:
            return None

    return [asked(store) for store in STORES]


UNEQUAL = MetadataFilters(filters=[MetadataFilter(key="z", value=1, operator="!=")])
as_it_is_now = pytest.mark.skipif(
    not theirs(UNEQUAL)[-1], reason="this LlamaIndex still holds nodes without the key for not unequal"
)


def agree(filters):
    pairs = list(zip(ours(filters), theirs(filters), strict=True))
    return all(mine == its for mine, its in pairs if its is not None)


LISTS = [FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL]
TEXTS = [FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE]
SINGLES = [one for one in FilterOperator if one not in [*LISTS, *TEXTS, FilterOperator.IS_EMPTY]]

texts = st.sampled_from(["", "pump", "PUMP", "motor", "%", "_", "zebra"])
numbers = st.sampled_from([0, 1, 2, 2.5, -7.0, 1.0])
documents = st.sampled_from(["ref_doc_id", "doc_id", "document_id"])
lists = st.lists(texts, max_size=3) | st.lists(numbers.filter(lambda n: isinstance(n, int)), max_size=3)
parts = st.one_of(
    st.builds(
        MetadataFilter,
        key=st.sampled_from(["x", "y", "z"]),
        value=texts | numbers,
        operator=st.sampled_from(SINGLES),
    ),
    st.builds(MetadataFilter, key=st.just("x"), value=lists, operator=st.sampled_from(LISTS)),
    st.builds(MetadataFilter, key=st.just("x"), value=texts, operator=st.sampled_from(TEXTS)),
    st.builds(
        MetadataFilter,
        key=st.sampled_from(["x", "y", "z"]),
        value=st.none(),
        operator=st.just(FilterOperator.IS_EMPTY),
    ),
    st.builds(
        MetadataFilter,
        key=documents,
        value=st.sampled_from(["doc 1", "doc", "", "DOC 2"]),
        operator=st.sampled_from([*SINGLES, *TEXTS]),
    ),
)
groups = st.builds(
    MetadataFilters,
    filters=st.lists(parts, max_size=3),
    condition=st.sampled_from([*FilterCondition, None]),
)


@as_it_is_now
@given(groups)
@example(MetadataFilters(filters=[ExactMatchFilter(key="x", value=1)]))
@example(MetadataFilters(filters=[], condition=FilterCondition.NOT))
def test_the_same_nodes_as_the_simple_store(filters):
    assert agree(filters)


@as_it_is_now
@pytest.mark.parametrize("operator", list(FilterOperator))
def test_every_operator_selects_some_and_not_others(operator):
    """The agreement above is not one about nothing."""
    value = {"any": ["pump"], "all": ["pump"], "in": ["pump"], "nin": ["pump"], "is_empty": None}
    value |= dict.fromkeys([">", ">=", "<", "<="], 1) | {"text_match_insensitive": "PUMP"}
    filters = MetadataFilters(
        filters=[MetadataFilter(key="x", value=value.get(operator, "pump"), operator=operator)]
    )
    assert 0 < sum(ours(filters)) < len(NODES)
    assert [its for its in theirs(filters) if its is not None].count(True) == sum(ours(filters))


def test_groups_may_be_nested():
    either = MetadataFilters(
        filters=[MetadataFilter(key="y", value=5), MetadataFilter(key="x", value="pump")], condition="or"
    )
    neither = MetadataFilters(filters=[either, MetadataFilters(filters=[])], condition="and")
    assert ours(neither) == ours(either)
    opposite = MetadataFilters(filters=[neither], condition=FilterCondition.NOT)
    assert ours(opposite) == [not holds for holds in ours(either)]


def test_what_is_none_is_no_filter():
    assert to_filter(None) is None
    assert to_filter(MetadataFilters(filters=[])) is None
    assert to_filter(where("x") == 1) == (where("x") == 1)


@pytest.mark.parametrize("operator", [one for one in FilterOperator if one is not FilterOperator.IS_EMPTY])
def test_a_missing_value_is_refused(operator):
    with pytest.raises(BadFilter, match="x: operator .* got no value; for a missing one use IS_EMPTY"):
        to_filter(MetadataFilters(filters=[MetadataFilter(key="x", value=None, operator=operator)]))


@pytest.mark.parametrize(
    ("key", "operator", "value", "message"),
    [
        ("x", "==", ["a"], "expected a single value"),
        ("x", "contains", ["a"], "expected a single value"),
        ("x", "in", "abc", "expected a list"),
        ("x", "any", 3, "expected a list"),
        ("x", "text_match", 3, "expected a string"),
        ('x"] or id != "', "==", "a", "expected a name"),
        ("ref_doc_id", "==", 3, "doc_id: got 3, expected a string"),
        ("x", "==", float("nan"), "expected a finite number"),
    ],
)
def test_what_cannot_be_asked_is_refused(key, operator, value, message):
    with pytest.raises(BadFilter, match=message):
        to_filter(MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)]))


def test_other_things_are_refused():
    with pytest.raises(BadFilter, match="build filters with"):
        to_filter({"x": 1})


def test_objects_and_other_types_hold_nothing():
    selected = to_filter(
        MetadataFilters(filters=[MetadataFilter(key="x", value="a", operator=FilterOperator.CONTAINS)])
    )
    of_objects = COLUMNS.mask(selected, len(NODES))[VALUES.index({"a": 2})]
    assert not of_objects
    assert to_filter(
        MetadataFilters(filters=[MetadataFilter(key="x", value="a", operator=FilterOperator.TEXT_MATCH)])
    ) == And((Includes("x", "a"),))


def test_a_retriever_takes_metadata_filters(index):
    def found(*parts, condition=FilterCondition.AND):
        filters = MetadataFilters(filters=list(parts), condition=condition)
        return {hit.node.node_id for hit in HybridRetriever(index, filter=filters).retrieve("tank")}

    assert found(MetadataFilter(key="year", value=2022, operator=FilterOperator.GT)) == {"tank"}
    assert found(MetadataFilter(key="hint", value="SIGN", operator="text_match_insensitive")) == {"lamp"}
    assert found(MetadataFilter(key="ref_doc_id", value="handbook")) == {"tank", "lamp"}
    assert found(MetadataFilter(key="year", value=2023), condition=FilterCondition.NOT) == {"lamp"}
    with pytest.raises(BadFilter, match="got no value"):
        found(MetadataFilter(key="year", value=None))
