import pytest

from rag_plugins.evaluation.ceiling.transcription import (
    Transcription,
    character_errors,
    recognised_texts,
    word_recall,
)
from rag_plugins.types import Box, EmbedText, Passage, Provenance, Word

BOX = Box(0, 0, 1, 1)


def passage(doc_id, text, page=1, start=None, words=True):
    spans = (Word(0, len(text), 0, BOX, 0.9),) if words else ()
    return Passage(
        f"{doc_id}{page}{start}",
        doc_id,
        (EmbedText(text),),
        text,
        {},
        Provenance(doc_id, page, spans, None, start),
    )


@pytest.mark.parametrize(
    ("true", "read", "errors"),
    [
        ("a modern lamp", "a  modern\nlamp", 0.0),
        ("the town of Constantinople", "the town of Constanti-\nnople", 0.0),
        ("a modern lamp", "a modem lamp", 2 / 13),
        ("lamp", "", 1.0),
        ("lamp", "lamp post, and more", 15 / 4),
        ("", "x", 1.0),
        ("", "", 0.0),
        ("泡泡戰士", "泡 泡\n戰土", 0.25),
    ],
)
def test_character_errors(true, read, errors):
    assert character_errors(true, read) == pytest.approx(errors)


def test_words_count_as_often_as_they_stand_there():
    assert word_recall("no lamp, no light", "no light no") == pytest.approx(3 / 4)
    assert word_recall("no lamp", "No lamp") == 0.5
    assert word_recall("泡泡戰士", "士泡") == 0.5
    assert word_recall("", "anything") == 1.0


def test_a_set_has_its_pages_that_were_not_read():
    true = {"a": "one two three four", "b": "five six", "c": "seven", "blank": " "}
    read = {"a": "one two three four", "b": "five sax"}
    found = Transcription.of(true, read)
    assert (found.pages, found.unread) == (4, 1)
    assert found.error_mean == pytest.approx((0 + 1 / 8 + 1 + 0) / 4)
    assert (found.recall_mean, found.recall_median) == (pytest.approx(2.5 / 4), pytest.approx(0.75))
    assert found.to_json()["word_recall_mean"] == 0.625


def test_passages_make_the_page_again_with_what_they_share_once():
    text = "One sentence. Another one. A third."
    passages = [
        passage("a", text[14:], start=14),
        passage("a", text[:26], start=0),
        passage("a", "Second page.", page=2, start=0),
        passage("b", "[b, page 1: a picture without readable text]", words=False),
    ]
    assert recognised_texts(passages) == {"a": "One sentence. Another one.\n A third.\nSecond page."}


def test_passages_of_unknown_places_follow_one_another():
    assert recognised_texts([passage("a", "One."), passage("a", "Two.")]) == {"a": "One.\nTwo."}
