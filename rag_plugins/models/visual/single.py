"""One vector an image, through sentence-transformers: CLIP, SigLIP, Qwen3-VL-Embedding and their kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from rag_plugins.config import ComputeConfig, ImageLeg
from rag_plugins.errors import BadInput
from rag_plugins.models.backend import Weights, find_weights, known_as
from rag_plugins.models.compute.rule import Choice, choose
from rag_plugins.models.own_code import Permission
from rag_plugins.models.presets import IMAGE_PRESETS, find_preset
from rag_plugins.models.protocols import DENSE, Encoding, Representation
from rag_plugins.models.sharing import Shared
from rag_plugins.models.sides import query_texts
from rag_plugins.models.visual.trunk import ImageTrunk
from rag_plugins.types import JsonValue

__all__ = ["ImageModelEncoder"]

_BOTH = frozenset({"text", "image"})


class ImageModelEncoder:
    """One unit vector a query and one an image, of one space, from a model that loads on first use.

    `leg.model` is a preset, a folder or a hub id of a model that sentence-transformers loads. What the leg
    leaves open comes from the preset, and else from the model's own configuration. Safe to share between
    threads.
    """

    produces = DENSE

    def __init__(self, leg: ImageLeg, compute: ComputeConfig | None = None) -> None:
        """Raises `UnknownPreset`; loads nothing."""
        self._leg = leg
        self._compute = compute or ComputeConfig()
        self._preset = find_preset(leg.model, IMAGE_PRESETS)

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
        """Width of its vectors, without loading where it is declared."""
        return self._preset.dim if self._preset else self._images.get().dim

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """Prefix widths that it was trained for, up to its own: as the leg says, or else the preset."""
        declared = self._preset.matryoshka if self._preset else ()
        widths = declared if self._leg.matryoshka is None else tuple(sorted(self._leg.matryoshka))
        return tuple(width for width in widths if width <= self.dim)

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What vectors depend on; a model from a folder is known by its weights, wherever the folder is."""
        return {
            "model": self._preset.name if self._preset else known_as(self._leg.model),
            "dim": self.dim,
            "query_prompt": self._query_prompt,
            "image_prompt": self._image_prompt,
        }

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of queries, with the query prompt before each; a `View` among them is a `SideError`."""
        texts = query_texts(queries)
        _check(want)
        return Encoding(dense=self._texts.get().texts(texts, self._query_prompt))

    def encode_images(self, images: Sequence[bytes], want: frozenset[Representation] = DENSE) -> Encoding:
        """Vectors of encoded images; raises `BadInput` with the position of one that does not decode."""
        _check(want)
        return Encoding(dense=self._images.get().images(images, self._image_prompt))

    def release(self) -> None:
        """Let go of the model: freed where no other encoder has it; asked again, this one loads again."""
        for name in {"_images", "_texts"} & vars(self).keys():
            vars(self)[name].release()

    @cached_property
    def _weights(self) -> Weights:
        return find_weights(self._preset.hub_id if self._preset else self._leg.model)

    @cached_property
    def _texts(self) -> Shared[ImageTrunk]:
        other = self._preset.images if self._preset else None
        return self._shared(self._weights, frozenset({"text"}) if other else _BOTH)

    @cached_property
    def _images(self) -> Shared[ImageTrunk]:
        other = self._preset.images if self._preset else None
        return self._shared(find_weights(other), _BOTH) if other else self._texts

    def _shared(self, weights: Weights, reads: frozenset[str]) -> Shared[ImageTrunk]:
        permission = Permission(self._leg.allow_remote_code, self._leg.code_revision)
        what = (weights.path, reads, self.choice, permission)
        return Shared(("image", *what), partial(ImageTrunk.load, *what))

    @cached_property
    def _query_prompt(self) -> str:
        if self._leg.query_prompt is not None:
            return self._leg.query_prompt
        return self._preset.query_prompt if self._preset else _saved_prompt(self._texts.get(), "query")

    @cached_property
    def _image_prompt(self) -> str:
        if self._preset:
            return self._preset.image_prompt
        return _saved_prompt(self._images.get(), "document", "passage", "corpus")


def _saved_prompt(trunk: ImageTrunk, *names: str) -> str:
    return next((prompt for name in names if (prompt := trunk.prompts.get(name))), "")


def _check(want: frozenset[Representation]) -> None:
    if want != DENSE:
        wanted = sorted(kind.value for kind in want)
        raise BadInput(f"{wanted} are wanted: a model of one vector an image gives dense alone")
