"""How well pages were read: errors by character, words found again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from rapidfuzz.distance import Levenshtein

from rag_plugins.ingest.chunking import retrieval_text
from rag_plugins.ingest.sentences import ATOM
from rag_plugins.types import JsonValue, Passage, Provenance

__all__ = ["Transcription", "character_errors", "recognised_texts", "word_recall"]


def character_errors(true: str, read: str) -> float:
    """Edits from one text to the other, by the length of the true one; 1 for any text where none is.

    White space counts as one space, and words hyphenated at a line's end are joined. Above 1 where more was
    read than there is.
    """
    true, read = retrieval_text(true), retrieval_text(read)
    return Levenshtein.distance(true, read) / len(true) if true else float(bool(read))


def word_recall(true: str, read: str) -> float:
    """The share of the true text's words that were read, each as often as it stands there; case counts.

    A Chinese, Japanese or Korean character counts as a word.
    """
    wanted, found = (Counter(ATOM.findall(retrieval_text(text))) for text in (true, read))
    return (wanted & found).total() / wanted.total() if wanted else 1.0


@dataclass(frozen=True, slots=True)
class Transcription:
    """Over the pages of a set: character error rates, word recall, and pages that nothing was read of."""

    pages: int
    unread: int
    error_median: float
    error_mean: float
    recall_median: float
    recall_mean: float

    @classmethod
    def of(cls, true: Mapping[str, str], read: Mapping[str, str]) -> Transcription:
        """Of texts by page; a page that is not in `read` was not read."""
        errors = [character_errors(text, read.get(id, "")) for id, text in true.items()]
        recalls = [word_recall(text, read.get(id, "")) for id, text in true.items()]
        unread = sum(not read.get(id, "").strip() for id, text in true.items() if text.strip())
        spread = median(errors), fmean(errors), median(recalls), fmean(recalls)
        return cls(len(true), unread, *spread)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, rounded to four digits."""
        return {
            "pages": self.pages,
            "unread": self.unread,
            "error_median": round(self.error_median, 4),
            "error_mean": round(self.error_mean, 4),
            "word_recall_median": round(self.recall_median, 4),
            "word_recall_mean": round(self.recall_mean, 4),
        }


def recognised_texts(passages: Iterable[Passage]) -> dict[str, str]:
    """The text of each document that was recognised: its passages in order, what two of them share once."""
    documents: dict[str, list[tuple[Provenance, str]]] = {}
    for passage in passages:
        where = passage.provenance
        if where and where.words:  # Without words it is a picture, and its text only says so.
            text = passage.llm_text[where.words[0].start :]  # A picture's text has a heading, not read.
            documents.setdefault(passage.doc_id, []).append((where, text))
    return {doc_id: _joined(parts) for doc_id, parts in documents.items()}


def _joined(parts: list[tuple[Provenance, str]]) -> str:
    pieces: list[str] = []
    page, done = None, 0
    for where, text in sorted(parts, key=lambda part: (part[0].page or 0, part[0].start or 0)):
        done = done if where.page == page else 0
        start = done if where.start is None else where.start
        pieces.append(text[max(done - start, 0) :])
        page, done = where.page, max(done, start + len(text))
    return "\n".join(pieces)
