"""What can be declared of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Code", "DensePreset", "ImagePreset", "Pooling", "RerankerPreset", "SparsePreset"]

Pooling = Literal["mean", "cls", "lasttoken"]


@dataclass(frozen=True, slots=True)
class Code:
    """Code that a model brings along: a repository of the hub, and the commit of it that may be run."""

    repository: str
    commit: str


@dataclass(frozen=True, slots=True)
class DensePreset:
    """A bi-encoder. `matryoshka` lists the prefix widths it was trained for, () where none is declared."""

    name: str
    hub_id: str
    licence: str
    dim: int
    max_length: int
    pooling: Pooling = "mean"
    query_prompt: str = ""
    document_prompt: str = ""
    matryoshka: tuple[int, ...] = ()
    package: str | None = None
    """The Python package that carries its weights."""
    pickles: tuple[str, ...] = ()
    """Its files that the hub has as pickles alone: they are read with `weights_only=True`."""
    m3: bool = False
    """A BGE-M3: the same pass gives lexical weights and token vectors with a head of their own."""
    layer_norm: bool = False
    """Vectors are to be layer-normed before they are cut: their mean is taken from each number."""
    code: Code | None = None
    """What it needs where transformers has no class of its own for it."""
    rotation: str | None = None
    """What the package carries to make prefixes of its vectors usable, where it was not trained for any."""


@dataclass(frozen=True, slots=True)
class SparsePreset:
    """A learned sparse model: each dimension is a token of its vocabulary, `dim` how many there are.

    splade: query and document each take a forward pass. inference-free: a query is its tokens with fixed
    weights. m3: the lexical weights of a BGE-M3, which adds no terms. lexical: such weights of the bi-encoder
    `hub_id`, by a head that the package carries. `gated`: the hub gives it to those who have accepted its
    terms there. `package` and `pickles` as in `DensePreset`.
    """

    name: str
    hub_id: str
    licence: str
    dim: int
    max_length: int
    kind: Literal["splade", "inference-free", "m3", "lexical"] = "splade"
    gated: bool = False
    pickles: tuple[str, ...] = ()
    package: str | None = None
    head: str | None = None
    """The head that the package carries."""


@dataclass(frozen=True, slots=True)
class ImagePreset:
    """A model that puts texts and images into one space. `matryoshka` as in `DensePreset`."""

    name: str
    hub_id: str
    licence: str
    dim: int
    query_prompt: str = ""
    image_prompt: str = ""
    """What a model that is told its task is told of an image."""
    matryoshka: tuple[int, ...] = ()
    images: str | None = None
    """The hub id of the model that reads the images, where this one reads texts alone."""


@dataclass(frozen=True, slots=True)
class RerankerPreset:
    """A cross-encoder. `scale` says what its scores are made: any number, or a probability from 0 to 1.

    `max_length` counts template and query too.
    """

    name: str
    hub_id: str
    licence: str
    max_length: int
    scale: Literal["logit", "probability"]
    template: tuple[str, ...] = ()
    """Of a causal language model: each segment is tokenised on its own, and one has {document}. A line with
    {instruction} is left out where there is none."""
    answers: tuple[str, str | None] = ("yes", "no")
    """Tokens that a causal language model says of what is relevant and what is not: the score is the logit
    of the one, less that of the other where there is one."""
    instruction: str | None = None
    """What a model that is told its task is told where the user says nothing."""
    images: bool = False
    """It reads the images of pages."""

    @property
    def kind(self) -> Literal["causal", "classifier", "multimodal"]:
        """How it is read, for people."""
        return "multimodal" if self.images else "causal" if self.template else "classifier"
