"""HybridRetriever for LangChain."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, run_in_executor
from langchain_core.runnables.base import coerce_to_runnable
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation

from rag_plugins.config import Config, Mode
from rag_plugins.faces.expansion import expanding, to_search
from rag_plugins.faces.notices import log_notices
from rag_plugins.faces.renewing import renewed
from rag_plugins.filters import Filter
from rag_plugins.index import RagIndex
from rag_plugins.langchain.convert import from_document, to_document
from rag_plugins.langchain.filters import to_filter
from rag_plugins.models.protocols import Encoder, ImageEncoder
from rag_plugins.search.wanted import LegChoice

__all__ = ["HybridRetriever"]

_logger = logging.getLogger(__name__)

Expand: TypeAlias = (
    Runnable[str, list[str]] | Callable[[str], Sequence[str]] | Callable[[str], Awaitable[Sequence[str]]]
)
"""From a question its other wordings, or its parts."""


class HybridRetriever(BaseRetriever):
    """Searches a `RagIndex`; `k`, `filter`, `legs`, `mode` and `group_by` may also be given to each call.

    A filter is of `where(...)` or a mapping such as {"year": {"$gte": 2020}}, see `to_filter`.

    With `rules`, queries may hold "exact phrases", prefix*, wild*c?rds and fuzzy~1 words (see
    `parse_query`); what there is to say of them is logged. With `explain`,
    `metadata["rag_plugins"]["terms"]` says what each sparse leg matched.

    With `expand`, a function or a Runnable such as `prompt | llm | LineListOutputParser()`, the question is
    searched with what that makes of it (see `RagIndex.search_many`); where it fails, alone.

    `ainvoke` searches in a worker thread. The index stays the caller's, except after `from_documents`.
    """

    # A misspelt setting left aside may be the filter, or the tenant, that was to narrow what is found.
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    index: RagIndex
    k: int = Field(default=5, ge=1)
    filter: SkipValidation[Filter | Mapping[str, Any] | None] = None
    legs: LegChoice | None = None
    mode: Mode | None = None
    group_by: str | None = None
    rules: bool = False
    explain: bool = False
    expand: SkipValidation[Expand | None] = None
    _owned: bool = PrivateAttr(default=False)

    def __init__(
        self,
        index: RagIndex,
        k: int = 5,
        filter: Filter | Mapping[str, Any] | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(index=index, k=k, filter=filter, legs=legs, mode=mode, **settings)  # pyright: ignore[reportCallIssue]

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
        """Add Documents to the index at `path`, made where there is none. Owns the index: close it.

        `config`, `encoders` and `tenant` are as in `RagIndex.open`. Raises `BadPassage` before anything is
        stored.
        """
        index = RagIndex.open(path, preset=preset, config=config, encoders=encoders or {}, tenant=tenant)
        try:
            index.add(renewed(index, [from_document(document, index) for document in documents]))
            retriever = cls(index, **settings)
        except BaseException:
            index.close()
            raise
        retriever._owned = True
        return retriever

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **asked: Any
    ) -> list[Document]:
        expanded: object = ()
        if self.expand:
            with expanding(_logger):
                callbacks = run_manager.get_child("expand")
                expanded = coerce_to_runnable(self.expand).invoke(query, {"callbacks": callbacks})
        return self._found(query, expanded, **asked)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **asked: Any
    ) -> list[Document]:
        expanded: object = ()
        if self.expand:
            with expanding(_logger):
                callbacks = run_manager.get_child("expand")
                expanded = await coerce_to_runnable(self.expand).ainvoke(query, {"callbacks": callbacks})
        return await run_in_executor(None, self._found, query, expanded, **asked)

    def _found(
        self,
        query: str,
        expanded: object,
        *,
        k: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
        legs: LegChoice | None = None,
        mode: Mode | None = None,
        group_by: str | None = None,
    ) -> list[Document]:
        # None and {} are "not given", never "no filter": a variable left empty must not widen the search.
        own, asked = to_filter(self.filter), to_filter(filter)
        hits = self.index.search_many(
            to_search(query, expanded, self.rules, _logger),
            self.k if k is None else k,
            filter=own if asked is None else asked,
            legs=self.legs if legs is None else legs,
            mode=mode or self.mode,
            group_by=group_by or self.group_by,
            explain=self.explain,
        )
        log_notices(hits.notices, _logger)
        return [to_document(hit) for hit in hits]

    def close(self) -> None:
        """Close the index if `from_documents` opened it."""
        if self._owned:
            self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
