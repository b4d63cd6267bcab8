"""Passages and questions of real text that every machine has: Python's reference, as `help()` shows it."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag_plugins.errors import BadInput
from rag_plugins.evaluation.beir import read_folder

__all__ = ["QUESTIONS", "manual_passages", "read_asked", "shortlists"]

QUESTIONS = (
    "how does a class find the method resolution order of its bases?",
    "what happens when an exception is raised inside a finally clause?",
    "which operators bind more tightly than a comparison?",
    "how are default parameter values of a function evaluated?",
    "when is __getattr__ called instead of __getattribute__?",
    "what does the with statement do on leaving its block?",
    "how are formatted string literals parsed and rendered?",
    "what is the difference between a module, a package and a namespace package?",
    "can a generator be closed before it is exhausted?",
    "how do I set a breakpoint in the debugger only when a condition holds?",
)

_WORDS = 170
"""At most in a passage, unless a single paragraph has more: pairs have about 240 tokens then."""

_HEADING = re.compile(r"\n(?=[^\n]+\n[*=\-~^\"]{4,}\n)")


def manual_passages() -> list[str]:
    """Its sections, whole or cut at paragraph borders: short ones stay short, long paragraphs long.

    Raises `BadInput` where Python comes without its documentation.
    """
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise BadInput("this Python has no pydoc_data to take texts from: give --corpus") from error
    sections = (section for topic in topics.values() for section in _HEADING.split(topic))
    return list(dict.fromkeys(passage for section in sections for passage in _packed(section)))


def _packed(section: str) -> Iterator[str]:
    parts: list[str] = []
    words = 0
    for paragraph in filter(str.strip, re.split(r"\n\s*\n", section)):
        size = len(paragraph.split())
        if parts and words + size > _WORDS:
            yield "\n\n".join(parts)
            parts, words = [], 0
        parts.append(paragraph.strip())
        words += size
    if parts:
        yield "\n\n".join(parts)


def read_asked(folder: Path | None) -> tuple[Sequence[str], list[str]]:
    """Questions and passages: of a BEIR folder, of the manual without one. Raises `BadDocument`."""
    if folder is None:
        return QUESTIONS, manual_passages()
    tests = read_folder(folder)
    return list(tests.queries.values()), list(tests.corpus.values())


def shortlists(
    questions: Sequence[str], passages: Sequence[str], count: int, size: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """So many questions, each with `size` passages drawn at random: long and short ones as they come.

    Raises `BadInput` where there are fewer passages.
    """
    if len(passages) < size:
        raise BadInput(f"there are {len(passages)} passages, a shortlist takes {size}")
    draw = random.Random(seed)
    for _ in range(count):
        yield draw.choice(questions), draw.sample(passages, size)
