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
    """A question, what makes it interesting, and the page that answers it, for the tests to compare.

    `language` is what Tesseract must be able to read for the answer to be found at all.
    """

    text: str
    remark: str
    source: str
    page: int
    language: str = "eng"


QUESTIONS = (
    Question(
        "What has to be done with transducer PT-0862-C?",
        "An exact part number, out of a noisy, skewed letter with a stamp on it.",
        "bulletin-sb-2019-07.jpg",
        1,
    ),
    Question(
        "The motor keeps switching on and off although nobody uses any water. What is broken?",
        "A paraphrase: the handbook says it in other words.",
        "handbook-aq310.tif",
        5,
    ),
    Question(
        "How tight must the screws between motor flange and pump head be?",
        "The answer is a row of a table, on page 4 of a bilevel TIFF.",
        "handbook-aq310.tif",
        4,
    ),
    Question(
        "冬天长期不用水泵，怎样防止冻坏？",
        "“The pump stands unused all winter: how is it kept from freezing?”, asked and answered in Chinese.",
        "guide-zh.png",
        1,
        language="chi_sim",
    ),
    Question(
        "What did they find when checking the tank at the Linden Street school?",
        "The only record of it is a form that went through the scanner on its side.",
        "commissioning-linden-street.jpg",
        1,
    ),
)


@contextmanager
def example_documents() -> Generator[Path]:
    """The folder of the example documents that the package carries."""
    with as_file(files("rag_plugins.demo") / "documents") as folder:
        yield folder
