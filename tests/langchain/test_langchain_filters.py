"""Filters as mappings: what they mean, and what is refused."""

import pytest

from rag_plugins.errors import BadFilter
from rag_plugins.filters import where
from rag_plugins.langchain import HybridRetriever
from rag_plugins.langchain.filters import to_filter
from rag_plugins.resident.columns import Columns

ROWS = [
    {"kind": "manual", "year": 2020, "tags": ["pump", "motor"]},
    {"kind": "manual", "year": 2022, "tags": [], "draft": True},
    {"kind": "note", "year": 2023, "tags": "pumps and motors"},
    {"kind": "letter"},
]
COLUMNS = Columns()
COLUMNS.append([(f"doc {n}", metadata) for n, metadata in enumerate(ROWS)])


@pytest.mark.parametrize(
    ("filter", "rows"),
    [
        ({"kind": "manual"}, [0, 1]),
        ({"kind": "manual", "year": 2022}, [1]),
        ({"kind": ["note", "letter"]}, [2, 3]),
        ({"kind": ()}, []),
        ({"draft": True}, [1]),
        ({"doc_id": "doc 2"}, [2]),
        ({"year": {"$eq": 2020}}, [0]),
        ({"year": {"$ne": 2020}}, [1, 2, 3]),
        ({"year": {"$gt": 2020}}, [1, 2]),
        ({"year": {"$gte": 2020, "$lt": 2023}}, [0, 1]),
        ({"year": {"$lte": 2022}}, [0, 1]),
        ({"kind": {"$in": ["note", "letter"]}}, [2, 3]),
        ({"kind": {"$in": []}}, []),
        ({"year": {"$nin": [2020, 2022]}}, [2, 3]),
        ({"draft": {"$exists": True}}, [1]),
        ({"draft": {"$exists": False}}, [0, 2, 3]),
        ({"tags": {"$contains": "pump"}}, [0, 2]),
        ({"year": {"$not": {"$gte": 2022}}}, [0, 3]),
        ({"$not": {"kind": "manual"}}, [2, 3]),
        ({"$and": [{"kind": "manual"}, {"$not": {"draft": True}}]}, [0]),
        ({"$or": [{"kind": "letter"}, {"year": {"$lt": 2021}}], "kind": "manual"}, [0]),
        ({"$or": [{"kind": "letter"}, where("tags").contains("motor")]}, [0, 3]),
    ],
)
def test_mappings_hold_for(filter, rows):
    mask = COLUMNS.mask(to_filter(filter), len(ROWS))
    assert mask.nonzero()[0].tolist() == rows


def test_none_is_no_filter_and_filters_stay():
    assert to_filter(None) is None
    assert to_filter({}) is None
    assert to_filter(where("x") == 1) == (where("x") == 1)


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"x": None}, "x: got NoneType"),
        ({"x": [1, None]}, "x: got NoneType"),
        ({"x": {"$eq": None}}, "x: got NoneType"),
        ({"x": {"$nin": [None]}}, "x: got NoneType"),
        ({"x": {"$contains": None}}, "x: got NoneType"),
        ({"x": {"$eq": [1]}}, "x: got list"),
        ({"x": {"$like": "a"}}, r"operator '\$like': expected one of \$eq, .*\$contains"),
        ({"x": {"y": "a"}}, "operator 'y': expected one of"),
        ({"$nor": []}, r"operator '\$nor': expected one of \$and, \$or, \$not"),
        ({"x": {}}, "x: got {}, expected operators"),
        ({"$and": []}, r"\$and: got no parts"),
        ({"$or": {"x": 1}}, r"\$or: got .*, expected a list"),
        ({"$or": [{"x": 1}, {}]}, "an empty part"),
        ({"$not": {}}, "an empty part"),
        ({"$and": [None]}, "got NoneType: build filters with"),
        ({"x": {"$in": "abc"}}, r"x: \$in: got 'abc', expected a list"),
        ({"x": {"$exists": 1}}, "expected True or False"),
        ({'x"] or id != "': 1}, "expected a name"),
        ({3: 1}, "expected a name"),
        ("x == 1", "build filters with"),
    ],
)
def test_what_cannot_be_asked_is_refused(filter, message):
    with pytest.raises(BadFilter, match=message):
        to_filter(filter)


def test_a_retriever_takes_mappings(index):
    retriever = HybridRetriever(index, filter={"year": {"$lt": 2022}, "source": {"$contains": "book"}})
    found = [document.id for document in retriever.invoke("tank")]
    assert found == ["lamp"]
    assert [document.id for document in retriever.invoke("tank", filter={"year": 2023})][0] == "tank"
    assert [document.id for document in retriever.invoke("tank", filter={})] == found  # Never wider.
    with pytest.raises(BadFilter, match="got NoneType"):
        retriever.invoke("tank", filter={"year": None})
