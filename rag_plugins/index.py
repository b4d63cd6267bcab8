"""RagIndex: from a configuration to wired objects; the one place that builds, the facade users meet first."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import NoReturn, Self

from rag_plugins.config import Bm25Leg, Config, Mode, OcrConfig
from rag_plugins.context import Context, estimate_tokens, format_context
from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.funnel.tuning import Tuning
from rag_plugins.fusion import Learned
from rag_plugins.ingest.audit import Audit, audit
from rag_plugins.ingest.funnels import funnel_of
from rag_plugins.ingest.indexer import Indexer, IngestSummary
from rag_plugins.ingest.making import make_passage
from rag_plugins.ingest.repair import Repair, Repairer
from rag_plugins.ingest.rereading import Rereader, RereadSummary
from rag_plugins.legs.given import Given
from rag_plugins.lexical.mining import mine, stored_texts
from rag_plugins.lexical.rules import Query
from rag_plugins.models.lexicon import DomainDictionary
from rag_plugins.models.protocols import Encoder, ImageEncoder, Leg, Reranker
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.wanted import LegChoice, Wanted
from rag_plugins.store.assets import AssetStore
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.text import clean
from rag_plugins.types import Hit, Hits, JsonValue, Passage, Provenance, passage_id
from rag_plugins.wiring import Parts, assemble, with_given

__all__ = ["RagIndex"]

_NOTHING: Mapping[str, JsonValue] = MappingProxyType({})
_NO_VECTOR: Given = MappingProxyType({})
_NO_VECTORS: Mapping[str, Given] = MappingProxyType({})


class RagIndex:
    """A collection of passages that can be added to, searched and deleted from.

        with RagIndex.open("handbook.db") as index:
            index.ingest(["scans/"])
            hits = index.search("how often is the filter changed?", k=5)

    `open` builds one. It may be shared by threads. Close it, or use it as a context manager: a database
    file admits one process at a time.
    """

    def __init__(self, config: Config, tenant: str, parts: Parts) -> None:
        """Take what `open` has built."""
        self.config = config
        self.tenant = tenant
        self.store: MilvusStore = parts.store
        self.parts: Parts = parts
        """What works on the collection, for those who measure and tune it."""
        self._writer = parts.writer
        self._retriever = parts.retriever
        self._indexer = Indexer(parts.writer, parts.store.assets, config, tenant)
        # Runs on close(), on garbage collection or at exit, whichever comes first, and once.
        self._finalizer = weakref.finalize(self, parts.close)
        # Lite's threads have ended by then, and a call would wait for its deadline. Its log has the rows.
        self._finalizer.atexit = not parts.store.is_file

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        preset: str = "local",
        config: Config | None = None,
        collection: str = "passages",
        tenant: str = "",
        encoders: Mapping[str, Encoder | ImageEncoder] = MappingProxyType({}),
        rerankers: Sequence[Reranker] = (),
        check: bool = True,
    ) -> RagIndex:
        """Open or create a collection in a database file (`handbook.db`) or on a server (`http://…`).

        `config` goes before `preset`. `tenant` scopes everything that is read and written. `encoders`, by
        name of a leg, stand in for the leg's model: see `from_langchain` and its like. `rerankers` are the
        configuration's rerank stages of kind "given", by their names; where it has none, they stand in place
        of its stages. Raises `ConfigError` where these do not go together, `CollectionMismatch` where the
        collection was built with other models, `StoreLocked` where another process holds the file,
        `StoreUnavailable` where no server answers, `UnknownPreset`; `DataLost` where passages that were
        stored are not there, unless `check` is False, which is for those who `repair`.
        """
        config = with_given(config or Config.preset(preset), rerankers)
        parts = assemble(uri, config, collection, tenant, encoders, rerankers, check=check)
        return cls(config, tenant, parts)

    @property
    def assets(self) -> AssetStore:
        """Page images by content id."""
        return self.store.assets

    @property
    def weights(self) -> dict[str, str]:
        """Where the weights of each leg's model come from, by leg; legs without weights are left out.

        "package …", "folder …", "cache" or "hub". Raises `ModelNotFound`; may download.
        """
        return self.parts.weights

    @property
    def legs(self) -> Mapping[str, Leg]:
        """What the collection is searched with, by name: the models of its dense legs for one."""
        return {leg.name: leg for leg in self.parts.legs}

    def passage(
        self,
        llm_text: str,
        *,
        view: str | None = None,
        image: bytes | None = None,
        doc_id: str | None = None,
        caller_id: str | None = None,
        metadata: Mapping[str, JsonValue] = _NOTHING,
        provenance: Provenance | None = None,
        position: str = "",
    ) -> Passage:
        """Make a passage of this index's tenant.

        `view` is what retrieval reads, by default the same text; `image` (PNG, JPEG, WEBP, TIFF, GIF) what
        legs that read images do. With a `caller_id` the passage is that one, whatever its text; without,
        equal texts at one position of one document are one passage. `doc_id` defaults to the caller's id, and
        else to the passage's own.
        """
        return make_passage(
            self.tenant,
            llm_text,
            view=view,
            image=None if image is None else self.assets.put(image),
            doc_id=doc_id,
            caller_id=caller_id,
            metadata=metadata,
            provenance=provenance,
            position=position,
        )

    def add(self, passages: Iterable[Passage], *, vectors: Mapping[str, Given] = _NO_VECTORS) -> list[str]:
        """Insert passages, replacing those of the same id; their ids, in order.

        `vectors`, by name of a dense leg and id of a passage, are used in place of those its model would
        make: they have to be that model's. Raises `BadPassage` and `BadInput` before anything is written, and
        `StoreError`.
        """
        ids = self._writer.add(list(passages), vectors)
        self._writer.settle()
        return ids

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Passages by their own id or the caller's, in the order of `ids`; unknown ones are left out."""
        found = self.store.fetch([id for given in ids for id in self._both(given)])
        known = (next((found[id] for id in self._both(given) if id in found), None) for given in ids)
        return [passage for passage in known if passage]

    def find(self, filter: Filter | None = None, limit: int | None = None) -> list[Passage]:
        """The passages that a filter holds for, all by default, in the order of their ids."""
        return list(self.store.fetch(self.store.ids(filter)[:limit]).values())

    def ingest(
        self,
        paths: Sequence[str | Path],
        *,
        root: Path | None = None,
        progress: bool = False,
        on_page: Callable[[str], None] | None = None,
    ) -> IngestSummary:
        """Read files and folders into the collection: only what is new or has changed since.

        `progress` shows a bar; `on_page` is called for each page that was read, with its document's id.

        A document is its file's path, below `root` where one is given. A file or page that cannot be read
        becomes a `BadDocument` in the summary, and the rest goes on. A run that was stopped is resumed by
        running it again.
        """
        return self._indexer.ingest(paths, root=root, progress=progress, on_page=on_page)

    def reread(
        self,
        paths: Sequence[str | Path],
        ocr: OcrConfig,
        *,
        root: Path | None = None,
        progress: bool = False,
    ) -> RereadSummary:
        """Recognise the scanned pages of files that are in the collection anew, with other settings.

        `llm_text`, boxes and confidences change; ids, views and vectors stay, so that retrieval finds what it
        found. A file that has changed since, or is not in the collection, is a `BadDocument` in the summary.
        """
        rereader = Rereader(self._writer, self.store, self.config)
        return rereader.reread(paths, ocr, root=root, progress=progress)

    def search(
        self,
        query: str | Query,
        k: int = 5,
        *,
        filter: Filter | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NO_VECTOR,
        group_by: str | None = None,
        explain: bool = False,
    ) -> Hits:
        """The best k passages, best first; `explain` fills `Hit.terms`.

        `legs` names the legs to use; a mapping also says how much each counts, in place of what was learned.
        `vectors`, by name of a dense leg, are the query's, made with that leg's model; a blank query is
        searched by them alone, and nothing is reranked. `mode` is by default the configuration's: "text" runs
        no leg that reads images, "dual" needs one. `group_by` names a metadata key, or "doc_id": the best
        passage of each value is a hit, so that sentences that are views of one parent give one hit.

        A string is plain words. A `Query`, made by `parse_query` or of typed rules, may also ask for
        phrases, prefixes, wildcards and words a few edits away, which the BM25 legs look up; other legs
        read its words. Raises `BadInput`, `StoreError`.
        """
        wanted = Wanted(k, filter, legs, mode, vectors, group_by)
        with self.store.patience():
            self._writer.refresh()
            return self._retriever.search([query], wanted, explain=explain)

    def search_many(
        self,
        queries: Sequence[str | Query],
        k: int = 5,
        *,
        weights: Sequence[float] | None = None,
        filter: Filter | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NO_VECTOR,
        group_by: str | None = None,
        explain: bool = False,
    ) -> Hits:
        """The best k passages for a question and its other wordings or parts, the question first.

        What each finds is fused as legs are, by `weights` (all equal), and reranked once, for the question.
        `vectors` are the question's.
        """
        wanted = Wanted(k, filter, legs, mode, vectors, group_by, weights)
        with self.store.patience():
            self._writer.refresh()
            return self._retriever.search(queries, wanted, explain=explain)

    def diverse(
        self,
        query: str | Query,
        k: int = 5,
        *,
        fetch_k: int = 20,
        balance: float = 0.5,
        filter: Filter | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        vectors: Given = _NO_VECTOR,
    ) -> Hits:
        """Hits of the best `fetch_k` that are relevant and unlike each other, in the order they are chosen.

        Maximal marginal relevance (Carbonell and Goldstein 1998): `balance` 1 is the order of `search`, 0
        asks for difference alone, after the best. The rest is as in `search`.
        """
        wanted = Wanted(k, filter, legs, mode, vectors)
        with self.store.patience():
            self._writer.refresh()
            return self._retriever.diverse(query, wanted, fetch_k, balance)

    def context(
        self,
        hits: Iterable[Hit],
        *,
        whole_pages: bool = False,
        budget: int | None = None,
        count_tokens: Callable[[str], int] = estimate_tokens,
        flag_below: float = 0.5,
    ) -> Context:
        """Hits as text for a prompt, which knows where each span of it is from: see `format_context`.

        With `whole_pages` the other passages of the hits' pages come too.
        """
        pages = self.store.page if whole_pages else None
        return format_context(
            hits, pages=pages, budget=budget, count_tokens=count_tokens, flag_below=flag_below
        )

    def run(
        self,
        query: str | Query,
        k: int = 5,
        *,
        filter: Filter | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        depth: int | None = None,
        exact: bool = False,
    ) -> Outcome:
        """Search and keep what every stage made of the query: for measuring. `exact`: without the funnel."""
        self._writer.refresh()
        wanted = Wanted(k, filter, legs, mode, depth=depth, exact=exact)
        with self.store.patience():
            return self._retriever.run([query], wanted)

    def tune(
        self,
        leg: str | None = None,
        *,
        recall: float = 0.99,
        k: int = 10,
        queries: Sequence[str] | None = None,
    ) -> Tuning:
        """Measure which funnel finds `recall` of a dense leg's best `k`, and search by it from now on.

        `leg` is by default the only one; `queries` are by default sentences of the passages. Raises
        `BadInput`, also where there are too few passages to measure, and `ConfigError`.
        """
        return funnel_of(self.parts.funnels, leg).tune(recall, k, queries)

    @property
    def learned(self) -> Learned | None:
        """What fusion knows of the legs: scale, weight and worth of each; None before there is anything."""
        return self.parts.learned.current

    def learn(self, log: Sequence[str] = ()) -> Learned:
        """Learn anew how legs are to be fused, from queries made of the passages.

        It is done after ingestion anyway; `log` has queries that were really asked, which these are made to
        resemble. Raises `BadInput` below 20 passages.
        """
        return self.parts.fusion.learn(log)

    def learn_from(self, queries: Mapping[str, str], relevant: Mapping[str, Mapping[str, int]]) -> Learned:
        """Learn it from queries that somebody judged, or whose hits were chosen; that stays until `learn`.

        `relevant` has grades by id of query and document (`doc_id`); a document stands where its best passage
        does. Raises `BadInput` below 20 queries with a relevant document here.
        """
        return self.parts.fusion.learn_from(queries, relevant)

    def mine_dictionary(self) -> DomainDictionary:
        """A first domain dictionary, made of what retrieval reads of the collection: see `lexical.mining`.

        Its whole terms are part of an index: ingest into another collection to use them.
        """
        leg = next((leg for leg in self.config.legs if isinstance(leg, Bm25Leg)), None)
        return mine(stored_texts(self.store), leg and leg.model_copy(update={"dictionary": None}))

    def delete(self, doc_id: str) -> int:
        """Delete a document; how many passages it had. An unknown document is no error."""
        removed = self._writer.delete(clean(doc_id))
        self._writer.settle()
        return removed

    def remove(self, ids: Sequence[str]) -> int:
        """Delete passages by their own id or the caller's; how many there were."""
        removed = self._writer.remove([id for given in ids for id in self._both(given)])
        self._writer.settle()
        return removed

    def clear(self) -> int:
        """Delete all passages of the tenant; how many there were."""
        removed = self._writer.clear()
        self._writer.settle()
        return removed

    def count(self) -> int:
        """Passages in the collection (this tenant's)."""
        return self.store.count()

    def audit(self, *, progress: bool = False) -> Audit:
        """Compare every passage and every image with what was recorded when they were stored.

        Reads all of it from the database itself; changes nothing. Raises `StoreError`.
        """
        return audit(self.store, self._writer.manifest, progress=progress)

    def repair(self, *, forget: bool = False, progress: bool = False) -> Repair:
        """Bring back what an audit misses: documents from their files, vectors from the texts that are there.

        For a collection whose opening raised `DataLost`: open it with `check=False`. `forget` also strikes
        from the record what cannot be brought back, and deletes passages that were never recorded.
        """
        repairer = Repairer(self._writer, self._indexer, self.store)
        return repairer.repair(forget=forget, progress=progress)

    def close(self) -> None:
        """Save what is not yet saved, let go of the file and of the models; may be called again."""
        self._finalizer()

    def _both(self, id: str) -> tuple[str, str]:
        """The passage of this id, and the one that the caller calls so."""
        return id, passage_id(self.tenant, caller_id=id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise BadInput(
            f"{self!r} is open and is neither pickled nor copied: give its address to the other process, and "
            "open it there (a file admits one process at a time, a server many)"
        )

    def __repr__(self) -> str:
        return f"RagIndex({self.store!r})"
