"""What recognition costs, as it is printed: 80 columns must do for four legs, rerank stages and answers."""

import pytest

from rag_plugins.errors import BadDocument
from rag_plugins.evaluation.answers import Replies
from rag_plugins.evaluation.ceiling.levels import Ceiling, Found, Level
from rag_plugins.evaluation.ceiling.transcription import Transcription
from rag_plugins.show.ceiling import show_ceiling

LEGS = "dense", "bm25", "robust"


def level(text, error, plain, dual, *more):
    found = Found(plain, plain + 0.01, 0.25), Found(dual, dual + 0.01, 0.75)
    return Level(text, error, dict.fromkeys((*LEGS, *more), plain - 0.02), *found)


@pytest.fixture
def printed(capsys, monkeypatch):
    def shown(ceiling):
        monkeypatch.setenv("COLUMNS", "80")
        show_ceiling(ceiling)
        return capsys.readouterr().out.splitlines()

    return shown


def test_a_column_a_text(printed):
    lines = printed(
        Ceiling(
            name="receipts",
            queries=100,
            documents=120,
            answerable=50,
            plain_legs=("dense", "bm25"),
            dual_legs=(*LEGS, "image"),
            levels=(
                level("true text", 0.0, 0.9, 0.91),
                level("OCR", 0.12, 0.7, 0.8, "image"),
                level("noise 5 %", 0.05, 0.6, 0.8),
                level("noise 10 %", 0.1, 0.5, 0.8),
                level("noise 12.5 %", 0.125, 0.89, 0.9),
            ),
            ocr=Transcription(120, 2, 0.12, 0.2, 0.9, 0.8),
            bad=(BadDocument("torn.png", None, "not an image"),),
            replies={"image": Replies(0.5, 50, 1, "TimeoutError: no answer")},
        )
    )
    assert all(len(line) <= 80 for line in lines[:17])
    rows = {line[2:20].strip(): line[20:].split() for line in lines}
    assert rows["character errors"] == ["0.000", "0.120", "0.050", "0.100", "0.125"]
    assert rows["image"] == ["–", "0.680", "–", "–", "–"]
    assert rows["dual gives back"] == ["–", "0.500", "0.667", "0.750", "–"]
    assert rows["dual, reranked"][:2] == ["0.920", "0.810"]
    assert rows["plain, answered"] == ["0.250"] * 5
    text = " ".join(" ".join(lines).split())
    for told in (
        "nDCG@5 on receipts: 100 queries, 120 documents",
        "plain: dense + bm25; dual: dense + bm25 + robust + image",
        "answered: of 50 queries",
        "OCR of 120 pages: character errors median 0.120, mean 0.200",
        "nothing read of 2",
        "torn.png",
        "image, the first that failed: TimeoutError: no answer",
    ):
        assert told in text


def test_without_images_answers_and_reranking_there_is_no_word_of_them(printed):
    found = Found(0.9, None, None), Found(0.9, None, None)
    levels = (Level("true text", 0.0, dict.fromkeys(LEGS, 0.9), *found),)
    text = " ".join(printed(Ceiling("notes", 3, 3, 0, ("bm25",), LEGS, levels)))
    assert all(word not in text for word in ("OCR", "answered", "reranked", "Replies"))
