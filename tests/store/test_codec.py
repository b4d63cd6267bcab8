"""Passages to texts and back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_plugins.errors import StoreError
from rag_plugins.store.codec import decode, encode, storable
from rag_plugins.store.entry import stored_metadata
from rag_plugins.store.schema import scope_of
from rag_plugins.types import Box, EmbedImage, EmbedText, Passage, Provenance, Word

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
share = st.integers(0, 10_000).map(lambda number: number / 10_000)
boxes = st.builds(Box, share, share, share, share)
words = st.builds(
    Word, st.integers(0, 500), st.integers(0, 500), st.integers(0, 99), boxes, st.none() | share
)
provenances = st.builds(
    Provenance, text, st.none() | st.integers(1, 99), st.lists(words).map(tuple), st.none() | text
)
views = st.lists(st.builds(EmbedText, text) | st.builds(EmbedImage, text)).map(tuple)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=10,
)


@given(views, text, st.none() | provenances)
def test_a_passage_survives(views, llm_text, provenance):
    passage = Passage("0" * 64, "d", views, llm_text, {"a": 1}, provenance, "c")
    row = {"id": passage.id, "doc_id": "d", "metadata": {"a": 1}, "caller_id": "c", **encode(passage)}
    assert decode(row) == passage


def test_boxes_and_confidences_are_kept_to_a_ten_thousandth():
    word = Word(3, 8, 2, Box(0.12345678, 1 / 3, 2 / 3, 0.99999), 0.96531)
    passage = Passage("0" * 64, "d", (), "t", {}, Provenance("s", 1, (word,)))
    provenance = encode(passage)["provenance"]
    assert json.loads(provenance)["words"] == [3, 5, 2, 1235, 3333, 6667, 10_000, 9653]
    kept = decode({"id": "", "doc_id": "", "metadata": {}, "caller_id": None, **encode(passage)}).provenance
    assert kept == Provenance("s", 1, (Word(3, 8, 2, Box(0.1235, 0.3333, 0.6667, 1.0), 0.9653),))


@pytest.mark.parametrize(
    "damage", [{"views": "[["}, {"provenance": '{"words":[1,2]}'}, {"views": '[["text"]]'}]
)
def test_a_damaged_row_is_an_error(damage):
    row = {"id": "7", "doc_id": "d", "metadata": {}, "caller_id": None, "llm_text": "", "views": "[]"}
    with pytest.raises(StoreError, match="row 7 is damaged"):
        decode({**row, "provenance": "", **damage})


@given(st.text())
def test_storable_text_is_unicode_without_nul_and_otherwise_unchanged(text):
    kept = storable(text)
    assert "\0" not in kept
    kept.encode()
    assert kept == text or "\0" in text or any("\ud800" <= char <= "\udfff" for char in text)


@settings(max_examples=50)
@given(st.dictionaries(text, json_values, max_size=5))
def test_json_metadata_is_left_as_it_is(metadata):
    stored = stored_metadata(Passage("0" * 64, "d", (), "", metadata))
    assert json.dumps(stored) == json.dumps(metadata)


@given(st.text(), st.text())
def test_no_two_tenants_share_a_scope(one, two):
    assert (scope_of(one) == scope_of(two)) == (one == two)
    assert len(scope_of(one).encode()) <= 255
