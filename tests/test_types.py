import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import RagPluginsError, SideError
from rag_plugins.types import Box, EmbedImage, EmbedText, Provenance, Word, embed_text, passage_id

VIEW = EmbedText("filter interval 500 h")


@pytest.mark.parametrize(
    "mix",
    [
        lambda: f"Context: {VIEW}",
        lambda: f"Context: {VIEW:>40}",
        lambda: "Context: {}".format(VIEW),  # noqa: UP032
        lambda: "Context: %s" % VIEW,  # noqa: UP031
        lambda: str(VIEW),
        lambda: logging.makeLogRecord({"msg": "%s", "args": (VIEW,)}).getMessage(),
    ],
)
def test_a_view_never_becomes_part_of_a_prompt(mix):
    with pytest.raises(SideError, match="llm_text"):
        mix()


def test_joining_a_view_into_text_fails_too():
    with pytest.raises(TypeError):
        "\n".join(["Context:", VIEW])


def test_a_side_error_is_the_projects_and_pythons():
    assert issubclass(SideError, RagPluginsError) and issubclass(SideError, TypeError)


def test_repr_is_for_people():
    assert repr(VIEW) == "EmbedText(text='filter interval 500 h')"


def test_embed_text_joins_text_views_and_leaves_images_out():
    assert embed_text([EmbedText("a"), EmbedImage("0" * 64), EmbedText("b")]) == EmbedText("a\nb")
    assert embed_text([EmbedImage("0" * 64)]) is None


def word(start, end, line, left, confidence=None):
    return Word(start, end, line, Box(left, line / 10, left + 0.1, line / 10 + 0.05), confidence)


def test_boxes_are_one_a_line():
    provenance = Provenance("a.png", 1, (word(0, 3, 1, 0.1), word(4, 7, 1, 0.3), word(8, 9, 2, 0.1)))
    assert provenance.boxes() == (
        Box(0.1, 0.1, 0.4, 0.1 + 0.05),
        Box(0.1, 0.2, 0.2, 0.2 + 0.05),
    )


def test_confidence_is_the_mean_of_what_was_recognised():
    assert Provenance("a", 1, (word(0, 1, 1, 0, 0.5), word(1, 2, 1, 0, 1.0))).confidence == 0.75
    assert Provenance("a", 1, (word(0, 1, 1, 0),)).confidence is None


def test_ids_differ_by_every_part():
    parts = dict(source="a", position="1", content="text")
    ids = {
        passage_id("", **parts),
        passage_id("t", **parts),
        passage_id("", **{**parts, "source": "b"}),
        passage_id("", **{**parts, "position": "2"}),
        passage_id("", **{**parts, "content": "other"}),
        passage_id("", caller_id="a"),
        passage_id("t", caller_id="a"),
    }
    assert len(ids) == 7
    assert all(len(id) == 64 and set(id) <= set("0123456789abcdef") for id in ids)


@given(st.lists(st.text(max_size=5), min_size=8, max_size=8))
def test_parts_never_run_into_each_other(texts):
    first, second = tuple(texts[:4]), tuple(texts[4:])
    same = passage_id(first[0], source=first[1], position=first[2], content=first[3]) == passage_id(
        second[0], source=second[1], position=second[2], content=second[3]
    )
    assert same == (first == second)


def test_a_callers_id_keeps_its_passage_when_the_text_changes():
    assert passage_id("", caller_id="n1", content="a") == passage_id("", caller_id="n1", content="b")
