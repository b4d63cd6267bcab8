"""The whole pipeline before and after a training, on queries that were not trained on."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rag_plugins.config import Config
from rag_plugins.errors import BadInput
from rag_plugins.evaluation import Comparison, Record, compare, evaluate
from rag_plugins.evaluation.beir import TestSet
from rag_plugins.evaluation.filling import fill
from rag_plugins.evaluation.judged import judged_documents
from rag_plugins.index import RagIndex
from rag_plugins.training.pairs import Pair, relevant

__all__ = ["PASSAGES", "QUERIES", "among", "before_and_after", "filled"]

QUERIES = 500
"""Of the dev part so many are searched with at most."""

PASSAGES = 1000
"""They are searched among so many, with those that answer: more only where there are more of these."""


def among(dev: Sequence[Pair], corpus: Mapping[str, str], seed: int = 0) -> TestSet:
    """The dev queries, what answers them, and texts of the corpus that do not."""
    qrels = dict(list(relevant(dev).items())[:QUERIES])
    texts = list(dict.fromkeys(text for answers in qrels.values() for text in answers))
    own = [text for pair in dev if pair.query in qrels for text in (pair.positive, *pair.negatives)]
    others = sorted({*own, *corpus.values()} - set(texts))
    Random(seed).shuffle(others)
    texts += others[: max(0, PASSAGES - len(texts))]
    number = {text: f"d{n}" for n, text in enumerate(texts)}
    named = {query: f"q{n}" for n, query in enumerate(qrels)}
    return TestSet(
        corpus={id: text for text, id in number.items()},
        queries={id: query for query, id in named.items()},
        qrels={named[query]: {number[text]: 1 for text in answers} for query, answers in qrels.items()},
    )


def before_and_after(
    before: Config, after: Config, tests: TestSet, into: Path, *, progress: bool = False
) -> tuple[Record, Record, Comparison]:
    """Index the texts with either configuration and search; both runs are saved in `into`.

    Raises `BadInput` where no query has an answer.
    """
    if not tests.queries:
        raise BadInput("the part that is measured by has no query with an answer")
    records: dict[str, Record] = {}
    for name, config in {"before": before, "after": after}.items():
        with filled(tests.corpus, config, progress) as index:
            found = evaluate(index, judged_documents(tests, index), progress=progress)
            records[name] = Record.of(name, found, index)
            records[name].save(into / name)
    return records["before"], records["after"], compare(records["before"], records["after"])


@contextmanager
def filled(corpus: Mapping[str, str], config: Config, progress: bool = False) -> Generator[RagIndex]:
    """A collection of these texts by document, one passage each, that is gone at the end."""
    with (
        TemporaryDirectory() as folder,
        RagIndex.open(Path(folder) / "texts.db", config=config) as index,
    ):
        fill(index, corpus, False, progress)
        yield index
