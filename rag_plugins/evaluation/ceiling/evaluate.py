"""What recognition costs: pages found by their true text, by OCR, by noisier text, and in dual mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from types import MappingProxyType

from tqdm import tqdm

from rag_plugins.config import Config, ImageLeg, LegConfig, PageTokensLeg, RobustLeg
from rag_plugins.context import format_context
from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.answers import AnswerFrom, Material, Reader, Replies, contains, read_answers
from rag_plugins.evaluation.ceiling.levels import Ceiling, Found, Level
from rag_plugins.evaluation.ceiling.noise import Confusions, measure_confusions, noisy
from rag_plugins.evaluation.ceiling.pages import DocumentSet, read_documents
from rag_plugins.evaluation.ceiling.rendered import made_confusions
from rag_plugins.evaluation.ceiling.transcription import Transcription, character_errors, recognised_texts
from rag_plugins.evaluation.filling import fill
from rag_plugins.evaluation.judged import by_unit
from rag_plugins.evaluation.measures import Measures, measure
from rag_plugins.index import RagIndex
from rag_plugins.models.protocols import Encoder, ImageEncoder
from rag_plugins.types import Passage

__all__ = ["NOISE", "evaluate_ceiling"]

NOISE = (0.05, 0.1, 0.2)
"""Character errors a character, where none are given."""

_K = 5
_NDCG: Measures = {"nDCG@5": ("nDCG", _K)}


def evaluate_ceiling(
    folder: str | Path,
    config: Config,
    *,
    noise: Sequence[float] = NOISE,
    queries: int | None = None,
    confusions: Confusions | None = None,
    reader: Reader | None = None,
    answer_from: Sequence[AnswerFrom] = (),
    encoders: Mapping[str, Encoder | ImageEncoder] = MappingProxyType({}),
    progress: bool = False,
) -> Ceiling:
    """Index a document set once for each text of its pages, and search each with the set's queries.

    Texts are the true one, what ingestion recognises of the images, and the true one with noise. Each is
    searched with the legs of `config` that take text as it is, and in dual mode: with a robust leg too, and
    where there are images with the legs that read them. Noise is made of `confusions`, by default of those
    on the set's own pages, or where it has no images on pages made of its texts. `reader` answers questions
    from what dual mode finds. `encoders` are as `RagIndex.open` takes them. Raises `BadDocument`, `BadInput`.
    """
    documents = read_documents(folder, queries)
    _check(documents, config, noise)
    readers = _readers(documents, reader, answer_from)
    true = documents.tests.corpus
    with TemporaryDirectory() as directory:
        collections = _Collections(documents, config, Path(directory), encoders, progress)
        clean = collections.level("true text", true)
        scanned = collections.scanned(readers) if documents.images else None
        confused = _confusions(documents, scanned, config) if noise and confusions is None else confusions
        noised = [
            collections.level(
                f"noise {100 * rate:g} %",
                {id: noisy(text, rate, 0, confused or Confusions()) for id, text in true.items()},
            )
            for rate in noise
        ]
    return Ceiling(
        name=Path(folder).resolve().name,
        queries=len(documents.tests.queries),
        documents=len(true),
        answerable=len(documents.answers),
        plain_legs=tuple(leg.name for leg in _plain(config).legs if leg.weight != 0),
        dual_legs=tuple(leg.name for leg in _dual(config, bool(documents.images)).legs if leg.weight != 0),
        levels=(clean, *([scanned.level] if scanned else []), *noised),
        ocr=scanned and Transcription.of(documents.pages, scanned.texts),
        bad=scanned.bad if scanned else (),
        replies=scanned.replies if scanned else {},
    )


@dataclass(frozen=True, slots=True)
class _Scanned:
    """The set as it was recognised: texts by document."""

    level: Level
    texts: Mapping[str, str]
    bad: tuple[BadDocument, ...]
    replies: Mapping[AnswerFrom, Replies]


class _Collections:
    """Makes a collection of each text of a set, and searches it with plain legs and with all."""

    def __init__(
        self,
        documents: DocumentSet,
        config: Config,
        folder: Path,
        encoders: Mapping[str, Encoder | ImageEncoder],
        progress: bool,
    ) -> None:
        self._documents = documents
        self._config = config
        self._folder = folder
        self._encoders = encoders
        self._progress = progress

    def level(self, name: str, texts: Mapping[str, str]) -> Level:
        """Of these texts by document: pages cut into passages as ingestion cuts them, others whole."""
        path = self._folder / f"{name}.db"
        with self._open(path, _dual(self._config, images=False)) as index:
            fill(index, texts, bool(self._documents.images), self._progress)
            legs, dual = self._searched(index, f"{name}, dual")
        return Level(name, self._error(texts), legs, self._plain(path, name, images=False), dual)

    def scanned(self, readers: Mapping[AnswerFrom, Reader]) -> _Scanned:
        """Of the images, ingested."""
        path, images = self._folder / "ocr.db", list(self._documents.images.values())
        with self._open(path, _dual(self._config, images=True)) as index:
            summary = index.ingest(images, root=self._documents.folder, progress=self._progress)
            read = recognised_texts(passage for batch in index.store.scan() for passage in batch)
            texts = {self._documents.sources[doc_id]: text for doc_id, text in read.items()}
            legs, dual = self._searched(index, "OCR, dual")
            replies: dict[AnswerFrom, Replies] = {
                source: read_answers(reader, self._material(index, source), source)
                for source, reader in readers.items()
            }
        plain = self._plain(path, "OCR", images=True)
        return _Scanned(Level("OCR", self._error(texts), legs, plain, dual), texts, summary.bad, replies)

    def _open(self, path: Path, config: Config) -> RagIndex:
        names = {leg.name for leg in config.legs}
        encoders = {name: encoder for name, encoder in self._encoders.items() if name in names}
        return RagIndex.open(path, config=config, encoders=encoders)

    def _plain(self, path: Path, name: str, images: bool) -> Found:
        with self._open(path, _plain(_dual(self._config, images))) as index:
            return self._searched(index, name)[1]

    def _error(self, texts: Mapping[str, str]) -> float:
        true = self._documents.pages or self._documents.tests.corpus
        return median(character_errors(text, texts.get(id, "")) for id, text in true.items())

    def _searched(self, index: RagIndex, name: str) -> tuple[dict[str, float], Found]:
        """nDCG@5 of each leg, and of what becomes of them."""
        tests, sources = self._documents.tests, self._documents.sources
        passages = {passage.id: passage for batch in index.store.scan() for passage in batch}
        document = {id: sources.get(passage.doc_id, passage.doc_id) for id, passage in passages.items()}
        bar = tqdm(tests.queries.items(), desc=f"Searching, {name}", disable=not self._progress)
        outcomes = {id: index.run(text, _K) for id, text in bar}

        def ndcg(rankings: Mapping[str, Iterable[tuple[str, float]]]) -> float:
            run = {query: by_unit(ranking, document) for query, ranking in rankings.items()}
            return measure(run, tests.qrels, _NDCG)["nDCG@5"]

        names = dict.fromkeys(name for outcome in outcomes.values() for name in outcome.rankings)
        final = {query: outcome.final for query, outcome in outcomes.items()}
        found = Found(
            fused=ndcg({q: [(item.id, item.score) for item in o.fused] for q, o in outcomes.items()}),
            reranked=ndcg(final) if self._config.rerank else None,
            answered=self._answered({q: [passages[id] for id, _ in best[:_K]] for q, best in final.items()}),
        )
        return {
            name: ndcg({q: o.rankings.get(name, ()) for q, o in outcomes.items()}) for name in names
        }, found

    def _answered(self, best: Mapping[str, Sequence[Passage]]) -> float | None:
        answers = self._documents.answers
        if not answers:
            return None
        return fmean(
            any(contains(passage.llm_text, wanted) for passage in best[query])
            for query, wanted in answers.items()
        )

    def _material(self, index: RagIndex, source: AnswerFrom) -> Iterator[Material]:
        """What dual mode finds for each question."""
        questions = self._documents.tests.queries
        asked = [id for id in questions if id in self._documents.asked]
        for id in tqdm(asked, desc=f"Answering from {source}", disable=not self._progress):
            hits = index.search(questions[id], _K)
            pages = dict.fromkeys(hit.passage.cite().page_image for hit in hits)  # Each once, best first.
            images = tuple(index.assets.get(page) for page in pages if page)
            yield Material(questions[id], self._documents.answers[id], format_context(hits).text, images)


def _dual(config: Config, images: bool) -> Config:
    """All legs with a robust one; those that read images where there are some."""
    legs = [leg for leg in config.legs if images or not _reads_images(leg)]
    if not any(isinstance(leg, RobustLeg) for leg in legs):
        legs.append(RobustLeg())
    return config.model_copy(update={"legs": tuple(legs), "mode": "auto"})


def _plain(config: Config) -> Config:
    """The same legs, those at weight zero, which are not searched, that are not for text as it is."""
    legs = [leg if _takes_text(leg) else leg.model_copy(update={"weight": 0.0}) for leg in config.legs]
    return config.model_copy(update={"legs": tuple(legs), "mode": "text"})


def _reads_images(leg: LegConfig) -> bool:
    return isinstance(leg, ImageLeg | PageTokensLeg)


def _takes_text(leg: LegConfig) -> bool:
    return not _reads_images(leg) and not isinstance(leg, RobustLeg)


def _confusions(documents: DocumentSet, scanned: _Scanned | None, config: Config) -> Confusions:
    if scanned is None:
        return made_confusions(list(documents.tests.corpus.values()), config.ocr)
    pages = documents.pages.items()
    return measure_confusions((text, scanned.texts.get(id, "")) for id, text in pages)


def _check(documents: DocumentSet, config: Config, noise: Sequence[float]) -> None:
    for rate in noise:
        noisy("", rate, 0, Confusions())  # Refused now, not after an hour of recognition.
    if not documents.tests.queries:
        raise BadInput(f"{documents.folder}: no query has a relevant document in qrels.tsv")
    if not any(_takes_text(leg) and leg.weight != 0 for leg in config.legs):
        raise BadInput("what recognition costs is measured on legs that read text: add a dense or BM25 leg")


def _readers(
    documents: DocumentSet, reader: Reader | None, answer_from: Sequence[AnswerFrom]
) -> dict[AnswerFrom, Reader]:
    if (reader is None) != (not answer_from):
        raise BadInput("answers need both a reader and what it is to answer from: ocr, image or both")
    if answer_from and not documents.images:
        raise BadInput(f"{documents.folder}: corpus.jsonl names no images to answer from")
    if answer_from and not documents.asked:
        raise BadInput(f"{documents.folder}: no query has answers, which replies are held against")
    return {source: reader for source in answer_from if reader}
