"""Dense vectors, and token vectors from the same pass, through sentence-transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial

from rag_plugins.config import ComputeConfig, DenseLeg
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.models.backend import Weights, find_weights, known_as
from rag_plugins.models.compute.rule import Choice, choose
from rag_plugins.models.facts import DensePreset, Pooling
from rag_plugins.models.own_code import Permission
from rag_plugins.models.presets import DENSE_PRESETS, find_preset
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.models.sharing import Shared
from rag_plugins.models.shipped import ShippedRotation, shipped_rotation
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.models.trunk import Span, Trunk
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import Matrix, normalise, truncate

__all__ = ["DenseEncoder"]


class DenseEncoder:
    """One unit vector a text, and one a token, from a bi-encoder that loads on first use.

    `leg.model` is a preset, a folder or a hub id. What the leg leaves open comes from the preset, and else
    from the model's own configuration. Safe to share between threads.
    """

    produces: frozenset[Representation] = frozenset({Representation.DENSE, Representation.TOKENS})

    def __init__(self, leg: DenseLeg, compute: ComputeConfig | None = None) -> None:
        """Raises `UnknownPreset`, or `ConfigError` for a `store_width` it has no prefix of; loads nothing."""
        self._leg = leg
        self._compute = compute or ComputeConfig()
        self._preset = find_preset(leg.model, DENSE_PRESETS)
        _check_width(leg, self._preset)
        # A search asks for its query's vector, its reranker for the same query's tokens: one pass.
        self._query = lru_cache(maxsize=64)(self._encode_query)

    @property
    def source(self) -> str:
        """Where its weights come from: "package …", "folder …", "cache" or "hub". May download."""
        return self._weights.source

    @property
    def choice(self) -> Choice:
        """What it runs on, and why; loads it."""
        return self._trunk.choice

    @property
    def dim(self) -> int:
        """Width of its vectors, without loading where it is declared."""
        return self._leg.store_width or (self._preset.dim if self._preset else self._trunk.dim)

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """Prefix widths that it was trained for, up to its own: as the leg says, or else the preset."""
        return tuple(width for width in _declared(self._leg, self._preset) if width <= self.dim)

    @property
    def rotation(self) -> ShippedRotation | None:
        """What makes prefixes of its vectors usable; None where they are cut, or it declares some."""
        return self._rotation if self.dim == (self._preset and self._preset.dim) else None

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What vectors depend on; a model from a folder is known by its weights, wherever the folder is."""
        turned = self._turned
        return {
            "model": self._name,
            "dim": self.dim,
            "pooling": self._leg.pooling or (self._preset.pooling if self._preset else "its own"),
            "max_length": self._max_length or self._trunk.max_length,
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
            **({"rotation": turned.name} if turned else {}),
        }

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of queries, with the query prompt before each; a `View` among them is a `SideError`."""
        texts = query_texts(queries)
        if len(texts) == 1:
            return _part(self._query(texts[0]), self._checked(want))
        return self._encode(texts, self._query_prompt, want)

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of text views, with the document prompt before each; what exceeds `max_length` is not read.

        Raises `SideError` for a `str`, `BadInput` for an image.
        """
        return self._encode(view_texts(views), self._document_prompt, want)

    def query_spans(self, query: str) -> tuple[list[Span], list[Span]]:
        """Where in the query the tokens with a vector in `encode_queries` are, and those it cannot read."""
        return self._trunk.spans(query, self._query_prompt)

    def unread(self, query: str) -> float:
        """The share of the query's tokens that it cannot read, 0 to 1."""
        return self._trunk.unread(query)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many token vectors texts would have, were they read as a whole, however long."""
        return self._trunk.token_counts(texts)

    def release(self) -> None:
        """Let go of the model: freed where no other encoder has it; asked again, this one loads again."""
        if "_shared" in vars(self):
            self._shared.release()

    def _encode_query(self, query: str) -> Encoding:
        return self._encode([query], self._query_prompt, self.produces)

    def _encode(self, texts: Sequence[str], prompt: str, want: frozenset[Representation]) -> Encoding:
        wants_tokens = Representation.TOKENS in self._checked(want)
        dense, tokens = self._trunk.encode(texts, prompt, tokens=wants_tokens)
        return _part(Encoding(dense=self._cut(dense), tokens=tuple(tokens)), want)

    def _cut(self, dense: Matrix) -> Matrix:
        if self._preset and self._preset.layer_norm:
            # The other half of it, the scale, is lost in unit vectors.
            dense = normalise(dense - dense.mean(axis=1, keepdims=True))
        if turned := self._turned:
            dense = turned.rotation(dense, self.dim)
        return truncate(dense, self._leg.store_width) if self._leg.store_width else dense

    @property
    def _turned(self) -> ShippedRotation | None:
        """By what vectors are rotated before they are cut."""
        return self._rotation if self._preset and self.dim < self._preset.dim else None

    @cached_property
    def _rotation(self) -> ShippedRotation | None:
        if _declared(self._leg, self._preset) or not (self._preset and self._preset.rotation):
            return None
        return shipped_rotation(self._preset.rotation)

    def _checked(self, want: frozenset[Representation]) -> frozenset[Representation]:
        if not want or not want <= self.produces:
            raise BadInput(
                f"{sorted(kind.value for kind in want)} are wanted: this model gives dense and tokens"
            )
        return want

    @cached_property
    def _weights(self) -> Weights:
        if self._preset:
            return find_weights(self._preset.hub_id, self._preset.package)
        return find_weights(self._leg.model)

    @property
    def _trunk(self) -> Trunk:
        return self._shared.get()

    @cached_property
    def _shared(self) -> Shared[Trunk]:
        pooling = self._leg.pooling or self._default_pooling()
        choice = choose(self._compute, self._leg.device)
        what = (self._weights.path, pooling, self._max_length, choice, self._permission)
        return Shared(("dense", *what), partial(Trunk.load, *what))

    @property
    def _permission(self) -> Permission:
        code = self._preset.code if self._preset else None
        return Permission(self._leg.allow_remote_code, self._leg.code_revision, code)

    def _default_pooling(self) -> Pooling | None:
        """None where the folder itself says how it pools."""
        if (self._weights.path / "modules.json").is_file():
            return None
        return self._preset.pooling if self._preset else "mean"

    @property
    def _name(self) -> str:
        return self._preset.name if self._preset else known_as(self._leg.model)

    @property
    def _max_length(self) -> int | None:
        return self._leg.max_length or (self._preset.max_length if self._preset else None)

    @cached_property
    def _query_prompt(self) -> str:
        declared = self._preset.query_prompt if self._preset else None
        return self._prompt(self._leg.query_prompt, declared, "query")

    @cached_property
    def _document_prompt(self) -> str:
        declared = self._preset.document_prompt if self._preset else None
        return self._prompt(self._leg.document_prompt, declared, "document", "passage")

    def _prompt(self, chosen: str | None, declared: str | None, *names: str) -> str:
        given = chosen if chosen is not None else declared
        if given is not None:
            return given
        return next((prompt for name in names if (prompt := self._trunk.prompts.get(name))), "")


def _declared(leg: DenseLeg, preset: DensePreset | None) -> tuple[int, ...]:
    if leg.matryoshka is not None:
        return tuple(sorted(leg.matryoshka))
    return preset.matryoshka if preset else ()


def _check_width(leg: DenseLeg, preset: DensePreset | None) -> None:
    widths = _declared(leg, preset)
    if leg.store_width is None or leg.store_width in (*widths, preset and preset.dim):
        return
    if widths:
        raise ConfigError(f"width {leg.store_width}: {leg.model} declares {', '.join(map(str, widths))}")
    if preset and preset.rotation:
        if leg.store_width < preset.dim:
            return
        raise ConfigError(f"width {leg.store_width}: {leg.model} gives {preset.dim} numbers, or fewer")
    others = [other.name for other in DENSE_PRESETS.values() if other.matryoshka]
    raise ConfigError(
        f"width {leg.store_width}: {leg.model} declares no Matryoshka widths, and vectors that were not "
        f"trained for it lose much when cut. `rag-plugins probe {leg.model}` measures how much: declare what "
        f"it finds as matryoshka, or choose a model that declares some: {', '.join(others)}"
    )


def _part(encoding: Encoding, want: frozenset[Representation]) -> Encoding:
    """What was wanted of it, in arrays of the caller's own."""
    dense, tokens = encoding.dense, encoding.tokens
    return Encoding(
        dense=dense.copy() if dense is not None and Representation.DENSE in want else None,
        tokens=tokens if Representation.TOKENS in want else None,
    )
