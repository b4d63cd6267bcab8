"""HybridRetriever for LlamaIndex."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import BaseNode, Document, IndexNode, NodeWithScore, QueryBundle
from llama_index.core.settings import Settings
from llama_index.core.vector_stores import MetadataFilters

from rag_plugins.config import Config, Mode
from rag_plugins.faces.expansion import expanding, to_search
from rag_plugins.faces.legs import LegVectors, dense_leg, query_vectors, search_vectors
from rag_plugins.faces.notices import log_notices
from rag_plugins.filters import DOCUMENT, Filter, where
from rag_plugins.index import RagIndex
from rag_plugins.llama_index.convert import from_node, to_node
from rag_plugins.llama_index.filters import to_filter
from rag_plugins.llama_index.nodes import is_passage
from rag_plugins.llama_index.pages import page_nodes
from rag_plugins.models.protocols import Encoder, ImageEncoder
from rag_plugins.search.wanted import LegChoice
from rag_plugins.text import clean

__all__ = ["HybridQuery", "HybridRetriever"]

_logger = logging.getLogger(__name__)

_AT_ONCE = 500
"""Documents of one filter."""

_CURE = "give the query no embedding, or one of the collection's model (LegEmbedding)"


@dataclass
class HybridQuery(QueryBundle):
    """A query with a mode of its own: "text", "dual" or "auto"; None for the retriever's."""

    mode: Mode | None = None


class HybridRetriever(BaseRetriever):
    """Searches a `RagIndex`; `aretrieve` does so in a worker thread.

    The index stays the caller's, except after `from_nodes` and `from_documents`.
    """

    def __init__(
        self,
        index: RagIndex,
        k: int = 5,
        filter: Filter | MetadataFilters | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        rules: bool = False,
        explain: bool = False,
        images: bool = False,
        expand: Callable[[str], Sequence[str | QueryBundle]] | None = None,
        filters: MetadataFilters | None = None,
        group_by: str | None = None,
        **settings: Any,
    ) -> None:
        """`settings` are BaseRetriever's own: callback_manager, object_map, objects, verbose.

        `filter` is of `where(...)` or LlamaIndex's own, see `to_filter`: a `BadFilter` is raised by searches.
        `filters` is the same by LlamaIndex' name; with both, both must hold. A query's embedding, or the mean
        of those of its custom_embedding_strs, is what the dense leg searches by; other legs read query_str.

        `legs`, `mode` and `group_by` are as in `RagIndex.search`; a `HybridQuery` may have a mode of its own.
        With `images`, the pages of what was found follow as ImageNodes, each page once: for chat engines with
        multimodal LLMs.

        With `rules`, queries may hold "exact phrases", prefix*, wild*c?rds and fuzzy~1 words (see
        `parse_query`); what there is to say of them is logged. With `explain`,
        `metadata["rag_plugins"]["terms"]` says what each sparse leg matched.

        With `expand`, the question is searched with its other wordings, or its parts, which that gives (see
        `RagIndex.search_many`); where it fails, alone. The mode, and an embedding, are the question's.
        """
        self.index = index
        self.k = k
        self.filter = filter
        self.filters = filters
        self.legs = legs
        self.group_by = group_by
        self.mode: Mode | None = mode
        self.rules = rules
        self.explain = explain
        self.images = images
        self.expand = expand
        self._owned = False
        settings.setdefault("callback_manager", Settings.callback_manager)
        super().__init__(**settings)

    @classmethod
    def from_nodes(
        cls,
        nodes: Iterable[BaseNode],
        path: str | Path,
        preset: str = "local",
        *,
        config: Config | None = None,
        encoders: Mapping[str, Encoder | ImageEncoder] | None = None,
        tenant: str = "",
        **settings: Any,
    ) -> Self:
        """Add nodes to the index at `path`, made where there is none. Owns the index: close it.

        What IndexNodes among them stand for is retrieved from, beside an `object_map`. `config`,
        `encoders` and `tenant` are as in `RagIndex.open`. Raises `BadPassage` before anything is stored.
        """
        index = RagIndex.open(path, preset=preset, config=config, encoders=encoders or {}, tenant=tenant)
        return cls._over(index, list(nodes), (), settings)

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        path: str | Path,
        preset: str = "local",
        *,
        config: Config | None = None,
        encoders: Mapping[str, Encoder | ImageEncoder] | None = None,
        tenant: str = "",
        **settings: Any,
    ) -> Self:
        """The same for Documents, split as `Settings.node_parser` says.

        A Document that is there already is replaced, whatever its parts were. Documents of `OcrReader` are
        passages already and stay whole.
        """
        given = list(documents)
        index = RagIndex.open(path, preset=preset, config=config, encoders=encoders or {}, tenant=tenant)
        replaced = [document.ref_doc_id or document.node_id for document in given]
        return cls._over(index, list(_split(given)), replaced, settings)

    @classmethod
    def _over(
        cls, index: RagIndex, nodes: Sequence[BaseNode], replaced: Sequence[str], settings: dict[str, Any]
    ) -> Self:
        """A retriever that owns an index with these nodes, the only ones of the documents `replaced`."""
        try:
            added = set(index.add([from_node(node, index) for node in nodes]))
            index.remove([id for id in _stored(index, replaced) if id not in added])
            objects = {node.index_id: node.obj for node in nodes if isinstance(node, IndexNode) and node.obj}
            if objects and "objects" not in settings:
                settings["object_map"] = {**objects, **settings.get("object_map", {})}
            retriever = cls(index, **settings)
        except BaseException:
            index.close()
            raise
        retriever._owned = True
        return retriever

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        text = query_bundle.query_str
        asked = query_bundle.mode if isinstance(query_bundle, HybridQuery) else None
        hits = self.index.search_many(
            to_search(text, self._expanded(text), self.rules, _logger),
            self.k,
            filter=_both(to_filter(self.filter), to_filter(self.filters)),
            legs=self.legs,
            mode=asked or self.mode,
            vectors=self._vectors(query_bundle),
            group_by=self.group_by,
            explain=self.explain,
        )
        log_notices(hits.notices, _logger)
        return [*map(to_node, hits), *(page_nodes(hits) if self.images else ())]

    def _vectors(self, query: QueryBundle) -> LegVectors:
        """The query's own for the dense leg; {} where the leg is to make it."""
        given, leg = query.embedding, dense_leg(self.index)
        if given is None and leg is not None and query.custom_embedding_strs:
            given = query_vectors(leg, query.custom_embedding_strs).mean(axis=0)
        return search_vectors(self.index, given, _CURE)

    def _expanded(self, text: str) -> object:
        given: object = ()
        if self.expand:
            with expanding(_logger):
                given = self.expand(text)
        if not isinstance(given, list | tuple):
            return given
        queries = cast("Sequence[object]", given)
        return [query.query_str if isinstance(query, QueryBundle) else query for query in queries]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def close(self) -> None:
        """Close the index if this retriever opened it."""
        if self._owned:
            self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stored(index: RagIndex, documents: Sequence[str]) -> Iterator[str]:
    """Ids of the passages of documents; a server takes no expression of any length."""
    for start in range(0, len(documents), _AT_ONCE):
        some = [clean(document) for document in documents[start : start + _AT_ONCE]]
        yield from index.store.ids(where(DOCUMENT).is_in(some))


def _both(one: Filter | None, other: Filter | None) -> Filter | None:
    return one & other if one is not None and other is not None else one if other is None else other


def _split(documents: Iterable[Document]) -> Iterator[BaseNode]:
    parser = Settings.node_parser.model_copy(update={"id_func": _part_id})
    for document in documents:
        if is_passage(document):
            yield document
        else:
            yield from parser.get_nodes_from_documents([document])


def _part_id(number: int, document: BaseNode) -> str:
    return f"{document.node_id}#{number}"
