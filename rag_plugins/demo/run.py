"""The demo: example documents into a fresh index, five questions out of it, a report beside the terminal."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rag_plugins.config import Config, OcrConfig
from rag_plugins.demo.examples import QUESTIONS, Question, example_documents
from rag_plugins.demo.facts import ingestion_facts, part_facts
from rag_plugins.demo.report import Answer, Report, write_report
from rag_plugins.demo.terminal import show_answer, show_summary
from rag_plugins.errors import MissingProgram, require
from rag_plugins.evidence.views import look
from rag_plugins.index import RagIndex
from rag_plugins.ingest.indexer import IngestSummary

__all__ = ["DemoResult", "run_demo"]

_TITLE = "Scanned pages in, grounded answers out"
_LEAD = (
    "The example documents were read, indexed and questioned on one machine, without network. For each "
    "question: the page with the passage on it, the text that a language model would be given, and how "
    "the search came to it."
)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The report's absolute path, how ingestion went, and each question with its answer."""

    report: Path
    summary: IngestSummary
    questions: tuple[Question, ...]
    answers: tuple[Answer, ...]


def run_demo(output: Path, console: Console, database: Path | None = None) -> DemoResult:
    """Ingest the example documents, ask the questions, print the answers, write the report to `output`.

    Without a `database` (a path ending in `.db`) the index is a temporary one. Raises `MissingProgram`
    without Tesseract and `MissingExtra` without the extras `ocr` and `local`.
    """
    questions = _questions(console)
    languages = dict.fromkeys(question.language for question in questions)
    config = Config(ocr=OcrConfig(languages=tuple(languages)))
    with (
        _database(database) as path,
        example_documents() as folder,
        RagIndex.open(path, config=config) as index,
    ):
        summary = index.ingest([folder], root=folder, progress=console.is_terminal)
        answers = tuple(_ask(index, question) for question in questions)
        report = Report(
            _TITLE, _LEAD, answers, ingestion_facts(index, summary), summary.bad, part_facts(config)
        )
    _show(console, summary, answers)
    return DemoResult(write_report(report, output), summary, questions, answers)


@contextmanager
def _database(path: Path | None) -> Generator[Path]:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="rag-plugins-demo-") as folder:
        yield Path(folder) / "demo.db"


def _questions(console: Console) -> tuple[Question, ...]:
    """The questions about pages that the installed Tesseract can read; the others are named."""
    require("pytesseract", extra="ocr")
    from rag_plugins.ingest.ocr import installed_languages

    installed = installed_languages()
    if "eng" not in installed:
        raise MissingProgram("Tesseract has no data for eng: apt-get install tesseract-ocr-eng")
    for question in QUESTIONS:
        if question.language not in installed:
            console.print(f"Not asked, as Tesseract lacks {question.language}: {question.text}", markup=False)
    return tuple(question for question in QUESTIONS if question.language in installed)


def _ask(index: RagIndex, question: Question) -> Answer:
    hits = tuple(index.search(question.text, k=5))
    asset = hits[0].passage.cite(0, 0).page_image if hits else None
    return Answer(question.text, hits, index.assets.get(asset) if asset else None, question.remark)


def _show(console: Console, summary: IngestSummary, answers: Sequence[Answer]) -> None:
    show_summary(console, summary)
    for number, answer in enumerate(answers, 1):
        show_answer(console, number, look(answer.question, answer.hits, None, answer.remark))
