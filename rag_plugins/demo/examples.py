"""The example documents that the package carries, what the demo asks of them, and where the answers stand."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

__all__ = ["QUESTIONS", "Question", "example_documents"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what makes it interesting, and the page and the words that answer it.

    The search knows nothing of the latter two: the tests compare them. `language` is what Tesseract must
    be able to read for the answer to be found at all.
    """

    text: str
    remark: str
    source: str
    page: int
    answer: str
    language: str = "eng"


QUESTIONS = (
    Question(
        "Why does a PT-0862-C show too much pressure?",
        "An exact part number, out of a noisy typewritten letter with a stamp on it.",
        "bulletin-sb-2019-07.jpg",
        1,
        "drifts upwards by as much as 0.7 bar",
    ),
    Question(
        "The pump starts again and again although nobody uses any water. Which part has failed?",
        "A paraphrase: the handbook says it in other words.",
        "handbook-aq310.tif",
        5,
        "has lost its gas precharge",
    ),
    Question(
        "How tight must the screws between motor flange and pump head be?",
        "The answer is a row of a table, on page 4 of a bilevel TIFF.",
        "handbook-aq310.tif",
        4,
        "M10 38 Nm",
    ),
    Question(
        "冬季停用的时候怎样防冻？",
        "“When it is out of use in winter, how is it kept from freezing?”, asked and answered in Chinese.",
        "guide-zh.png",
        1,
        "必须把水放干净",
        language="chi_sim",
    ),
    Question(
        "What did they find when checking the tank at the Linden Street school?",
        "The only record of it is a form that went through the scanner on its side.",
        "commissioning-linden-street.jpg",
        1,
        "1.4 bar",
    ),
)


@contextmanager
def example_documents() -> Generator[Path]:
    """The folder of the example documents that the package carries."""
    with as_file(files("rag_plugins.demo") / "documents") as folder:
        yield folder
