"""A user's questions held against a collection: which of its documents, pages or passages answer each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from rapidfuzz import process

from rag_plugins.errors import BadInput
from rag_plugins.evaluation.answers import Texts
from rag_plugins.evaluation.judged import Judged, Unit, unit_of
from rag_plugins.evaluation.questions import Question, Target
from rag_plugins.index import RagIndex
from rag_plugins.types import Passage

__all__ = ["judge"]


def judge(index: RagIndex, questions: Sequence[Question]) -> Judged:
    """Look up what answers each question.

    A document may be named by the end of its path, where that is only one's. Without a document, page or
    passage every passage whose LLM text contains an answer is relevant: word by word, case aside. Questions
    about what is not in the collection are left out, and told in `Judged.absent`; those whose answer stands
    nowhere, in `unheard`. Raises `BadInput` where none is left, and for a question that is about documents in
    one line and about pages in another.
    """
    found = _Found([passage for batch in index.store.scan() for passage in batch])
    units: dict[str, Unit] = {question.id: _unit(question) for question in questions}
    qrels: dict[str, dict[str, int]] = {}
    absent: dict[str, str] = {}
    for question in questions:
        grades, missing = found.grades(question, units[question.id])
        if any(grade > 0 for grade in grades.values()):
            qrels[question.id] = grades
        elif missing:
            absent[question.id] = missing
    if questions and len(absent) == len(questions):
        raise BadInput(
            f"no question is about what is in the collection; the first: {next(iter(absent.values()))}"
        )
    return Judged(
        queries={question.id: question.text for question in questions},
        qrels=qrels,
        unit=units,
        places=found.places(set(units.values())),
        answers={question.id: question.answers for question in questions if question.answers},
        unheard=tuple(q.id for q in questions if not q.targets and q.id not in qrels),
        absent=absent,
    )


def _unit(question: Question) -> Unit:
    """What a question asks for, by its targets. Raises `BadInput` for more than one sort of them."""
    units: set[Unit] = {_unit_of_target(target) for target in question.targets} or {"passage"}
    if len(units) > 1:
        raise BadInput(
            f"question {question.id!r} names a {' and a '.join(sorted(units))}: name only "
            "documents, only pages or only passages for it"
        )
    return units.pop()


def _unit_of_target(target: Target) -> Unit:
    if target.passage is not None:
        return "passage"
    return "document" if target.page is None else "page"


class _Found:
    """What there is in a collection."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._passage = {id: p.id for p in passages for id in (p.caller_id, p.id) if id is not None}
        self._documents = set[str](passage.doc_id for passage in passages)
        self._pages = {unit_of(passage, "page") for passage in passages}
        self._texts = Texts({})

    def places(self, units: Iterable[Unit]) -> dict[Unit, Mapping[str, str]]:
        """By unit the id that each passage counts for."""
        return {unit: {passage.id: unit_of(passage, unit) for passage in self._passages} for unit in units}

    def grades(self, question: Question, unit: Unit) -> tuple[dict[str, int], str]:
        """What is relevant, by id; and what is wrong with a target that is not there."""
        if not question.targets:
            return dict.fromkeys(self._holding(question.answers), 1), ""
        grades: dict[str, int] = {}
        problems: list[str] = []
        for target in question.targets:
            try:
                grades[self._id(target, unit)] = target.grade
            except LookupError as error:
                problems.append(str(error.args[0]))
        return grades, problems[0] if problems else ""

    def _holding(self, answers: Sequence[str]) -> Iterator[str]:
        if not self._texts:
            self._texts = Texts({passage.id: passage.llm_text for passage in self._passages})
        return (id for answer in answers for id in self._texts.holding(answer))

    def _id(self, target: Target, unit: Unit) -> str:
        """Raises `LookupError`: not there."""
        if unit == "passage":
            if target.passage not in self._passage:
                raise LookupError(f"passage {target.passage!r} is not in the collection")
            return self._passage[target.passage]
        document = self._document(target.document or "")
        if unit == "document":
            return document
        page = f"{document}#page={target.page}"
        if page not in self._pages:
            raise LookupError(f"{document!r} has no page {target.page} with text")
        return page

    def _document(self, name: str) -> str:
        if name in self._documents:
            return name
        parts = PurePosixPath(name).parts
        ending = [id for id in self._documents if parts and PurePosixPath(id).parts[-len(parts) :] == parts]
        if len(ending) == 1:
            return ending[0]
        if ending:
            raise LookupError(
                f"{name!r} may be {', '.join(map(repr, sorted(ending)[:3]))}: give more of its path"
            )
        near = process.extractOne(name, sorted(self._documents), score_cutoff=70)
        hint = f"; the nearest name is {near[0]!r}" if near else ""
        raise LookupError(f"document {name!r} is not in the collection{hint}")
