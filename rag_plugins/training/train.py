"""From pairs to a model that a configuration names: trained, measured, and used only where it is no worse."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag_plugins.config import CrossEncoderConfig
from rag_plugins.errors import BadInput
from rag_plugins.index import RagIndex
from rag_plugins.models.backend import quiet
from rag_plugins.models.lexical_head import LexicalHead
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.training.card import write_card
from rag_plugins.training.columns import Teacher, taught
from rag_plugins.training.figures import Sparsity, by_width, sparsity
from rag_plugins.training.judging import among, before_and_after, filled
from rag_plugins.training.negatives import Mined, mine
from rag_plugins.training.pairs import Pair, Pairs, answering
from rag_plugins.training.plan import mines, parts
from rag_plugins.training.rerankers import merged
from rag_plugins.training.running import run
from rag_plugins.training.states import frozen
from rag_plugins.training.task import Task
from rag_plugins.training.trained import Trained
from rag_plugins.types import EmbedText

__all__ = ["train"]


def train(
    task: Task,
    pairs: Pairs,
    into: str | Path,
    *,
    index: RagIndex | None = None,
    data: str = "",
    licence: str = "",
    progress: bool = False,
) -> Trained:
    """Train a model into a folder, with a card, and measure the pipeline with it against the one without.

    Hard negatives are mined from `index`; without one, where the loss needs some and none are given, from the
    pairs' own texts. A run that was stopped goes on from its last checkpoint in the folder. `data` and
    `licence` are for the card. Raises `BadInput` for pairs that the loss does not go with, and for a folder
    with other files.
    """
    into = Path(into)
    _check(into)
    pairs, mined = _prepared(task, pairs, index, progress)
    learned, dev = parts(task, pairs)
    model = task.open()
    widths = task.widths(model) if task.kind == "dense" else ()
    job = task.job(model, learned, dev)
    with _states(model, into):
        before = _figures(task, model, dev, widths)
        outcome = run(job, task.settings, into, progress=progress)
        after = _figures(task, model, dev, widths)
    with quiet():
        merged(model).save_pretrained(str(into), create_model_card=False)
    served = task.served(into, widths)
    old, new, comparison = before_and_after(
        task.config, served, among(dev, pairs.corpus), into / "evaluation", progress=progress
    )
    trained = Trained(
        task,
        into.resolve(),
        outcome,
        len(learned),
        len(dev),
        comparison,
        (old, new),
        served,
        mined,
        {width: (before.widths[width], after.widths[width]) for width in widths},
        (before.sparsity, after.sparsity) if before.sparsity and after.sparsity else None,
    )
    write_card(trained, data, licence)
    return trained


def _prepared(task: Task, pairs: Pairs, index: RagIndex | None, progress: bool) -> tuple[Pairs, Mined | None]:
    """With negatives and a teacher's scores, as far as the loss wants them."""
    settings = task.settings
    if settings.loss != "cosent":
        pairs = replace(pairs, items=tuple(answering(pairs.items)))
    mined = _mined(task, pairs, index, progress) if mines(task, pairs, index) else None
    if mined:
        pairs = replace(pairs, items=mined.pairs)
    if settings.teacher and settings.loss == "margin-mse":
        pairs = replace(pairs, items=tuple(taught(pairs.items, _teacher(settings.teacher))))
    return pairs, mined


def _check(into: Path) -> None:
    """A folder that there is not yet, is empty, or has a run of ours."""
    ours = ("training.json", "checkpoints", "modules.json", "config.json")
    if into.exists() and not into.is_dir():
        raise BadInput(f"{into} is a file: expected a folder for the model")
    if into.is_dir() and any(into.iterdir()) and not any((into / name).exists() for name in ours):
        raise BadInput(f"{into} has files that are no trained model: give another folder")


def _mined(task: Task, pairs: Pairs, index: RagIndex | None, progress: bool) -> Mined:
    count = task.settings.negatives
    if index is not None:
        return mine(index, pairs.items, count, progress=progress)
    texts = dict.fromkeys([*(pair.positive for pair in pairs.items), *pairs.corpus.values()])
    group = {pair.positive: pair.group for pair in pairs.items if pair.group}
    documents = {group.get(text, f"text {n}"): text for n, text in enumerate(texts)}
    with filled(documents, task.config, progress) as made:
        return mine(made, pairs.items, count, progress=progress)


def _teacher(model: str) -> Teacher:
    """Scores by a cross-encoder."""
    reranker = CrossEncoderReranker(CrossEncoderConfig(model=model))

    def scored(query: str, texts: Sequence[str]) -> list[float]:
        candidates = [Candidate((EmbedText(text),)) for text in texts]
        return [float(score) for score in reranker.score(query, candidates).values]

    return scored


@dataclass(frozen=True, slots=True)
class _Figures:
    widths: Mapping[int, float]
    sparsity: Sparsity | None


def _figures(task: Task, model: Any, dev: Sequence[Pair], widths: Sequence[int]) -> _Figures:
    return _Figures(
        by_width(model, dev, widths, task.settings.loss == "cosent") if task.kind == "dense" else {},
        sparsity(model, dev, task.kept) if task.kind == "sparse" else None,
    )


@contextmanager
def _states(model: Any, into: Path) -> Generator[None]:
    """Where only a head is trained, what it stands on is computed once for each text."""
    if not isinstance(model[-1], LexicalHead):
        yield
        return
    folder = into / "states"
    with frozen(model[0], folder):
        yield
    shutil.rmtree(folder)
