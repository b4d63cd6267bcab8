"""Late interaction over the patches of pages: ColPali, ColQwen2, ColModernVBERT and their kin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from rag_plugins.config import ComputeConfig, PageTokensLeg
from rag_plugins.errors import BadInput
from rag_plugins.models.backend import Weights, find_weights, known_as
from rag_plugins.models.compute.rule import Choice, choose
from rag_plugins.models.own_code import Permission
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.models.sharing import Shared
from rag_plugins.models.sides import query_texts
from rag_plugins.models.visual.muvera import FIRST_PASSES, FirstPass
from rag_plugins.models.visual.page_trunk import PageTrunk, declared_width
from rag_plugins.models.visual.pooling import pooled
from rag_plugins.types import JsonValue
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["PageTokensEncoder"]


class PageTokensEncoder:
    """A vector a patch of a page and one a token of a query, and one of either that a first pass searches.

    `leg.model` is a folder or a hub id of a model that sentence-transformers' `MultiVectorEncoder` loads.
    Loads on first use. Safe to share between threads.
    """

    produces: frozenset[Representation] = frozenset({Representation.DENSE, Representation.TOKENS})
    matryoshka: tuple[int, ...] = ()

    def __init__(self, leg: PageTokensLeg, compute: ComputeConfig | None = None) -> None:
        """Loads nothing."""
        self._leg = leg
        self._compute = compute or ComputeConfig()

    @property
    def source(self) -> str:
        """Where its weights come from: "folder …", "cache" or "hub". May download."""
        return self._weights.source

    @property
    def choice(self) -> Choice:
        """What it runs on, and why."""
        choice = choose(self._compute, self._leg.device)
        if choice.backend == "torch":
            return choice
        return replace(choice, backend="torch", precision="fp32", why="models of images run on torch alone")

    @property
    def dim(self) -> int:
        """Numbers in a vector of the first pass, without loading where the model declares its width."""
        return self._first.size(declared_width(self._weights.path) or self._trunk.width)

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What vectors depend on; not the precision that tokens are kept in, which packed ones tell."""
        return {
            "model": known_as(self._leg.model),
            "dim": self.dim,
            "pool": self._leg.pool,
            "first_pass": self._leg.first_pass,
            "first_pass_settings": self._first.settings,
        }

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of queries; a `View` among them is a `SideError`."""
        texts, wanted = query_texts(queries), self._checked(want)
        return self._encoding(self._trunk.queries(texts), self._first.query, wanted)

    def encode_images(self, images: Sequence[bytes], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of encoded images, pooled; `BadInput` with the position of one that does not decode."""
        wanted = self._checked(want)
        tokens = [pooled(matrix, self._leg.pool) for matrix in self._trunk.images(images)]
        return self._encoding(tokens, self._first.page, wanted)

    def release(self) -> None:
        """Let go of the model: freed where no other encoder has it; asked again, this one loads again."""
        if "_shared" in vars(self):
            self._shared.release()

    def _encoding(
        self,
        tokens: Sequence[Matrix],
        whole: Callable[[Matrix], FloatArray],
        want: frozenset[Representation],
    ) -> Encoding:
        dense = [whole(matrix) for matrix in tokens] if Representation.DENSE in want else None
        empty = np.zeros((0, self.dim), np.float32)
        return Encoding(
            dense=None if dense is None else np.stack(dense) if dense else empty,
            tokens=tuple(tokens) if Representation.TOKENS in want else None,
        )

    def _checked(self, want: frozenset[Representation]) -> frozenset[Representation]:
        if not want or not want <= self.produces:
            raise BadInput(
                f"{sorted(kind.value for kind in want)} are wanted: a model of page tokens gives dense and "
                "tokens"
            )
        return want

    @property
    def _first(self) -> FirstPass:
        return FIRST_PASSES[self._leg.first_pass]

    @cached_property
    def _weights(self) -> Weights:
        return find_weights(self._leg.model)

    @property
    def _trunk(self) -> PageTrunk:
        return self._shared.get()

    @cached_property
    def _shared(self) -> Shared[PageTrunk]:
        permission = Permission(self._leg.allow_remote_code, self._leg.code_revision)
        what = (self._weights.path, self.choice, permission)
        return Shared(("page tokens", *what), partial(PageTrunk.load, *what))
