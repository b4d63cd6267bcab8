"""Legs: a configuration's, with their encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

from rag_plugins.config import (
    Bm25Leg,
    ComputeConfig,
    DenseLeg,
    ImageLeg,
    LegConfig,
    PageTokensLeg,
    RobustLeg,
    SparseLeg,
)
from rag_plugins.errors import ConfigError
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.m3 import M3Encoder, is_m3
from rag_plugins.models.protocols import DenseModel, Encoder, ImageEncoder, Leg, Representation
from rag_plugins.models.robust import RobustEncoder
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.models.visual.page_tokens import PageTokensEncoder
from rag_plugins.models.visual.single import ImageModelEncoder

_NONE: Mapping[str, Encoder | ImageEncoder] = MappingProxyType({})

_GIVES = {
    "dense": Representation.DENSE,
    "sparse": Representation.SPARSE,
    "image": Representation.DENSE,
    "page-tokens": Representation.TOKENS,
}
"""What the encoder of a leg must give, by the leg's kind; the other kinds have no model."""

__all__ = ["dense_model", "make_legs"]


def make_legs(
    configs: Sequence[LegConfig],
    encoders: Mapping[str, Encoder | ImageEncoder] = _NONE,
    compute: ComputeConfig | None = None,
) -> list[Leg]:
    """A leg for each configuration; the legs of one BGE-M3 share its encoder, and so one forward pass.

    `encoders` by name of a leg are used in place of the leg's model. Raises `ConfigError`.
    """
    _check(encoders, configs)
    own = [config for config in configs if config.name not in encoders]
    names = {
        config.model for config in own if isinstance(config, DenseLeg | SparseLeg) and is_m3(config.model)
    }
    shared = {name: _m3(name, own, compute) for name in names}
    return [_leg(config, encoders.get(config.name), shared, compute) for config in configs]


def _check(encoders: Mapping[str, Encoder | ImageEncoder], configs: Sequence[LegConfig]) -> None:
    kinds = {config.name: config.kind for config in configs if config.kind in _GIVES}
    for name, encoder in encoders.items():
        if name not in kinds:
            raise ConfigError(f"encoder for the leg {name!r}: the legs with a model are {list(kinds)}")
        if _GIVES[kinds[name]] not in encoder.produces:
            gives = sorted(kind.value for kind in encoder.produces)
            raise ConfigError(f"leg {name!r} is {kinds[name]}, and the encoder given for it gives {gives}")
        side = "encode_images" if kinds[name] in ("image", "page-tokens") else "encode_documents"
        if not hasattr(encoder, side):
            raise ConfigError(f"leg {name!r} is {kinds[name]}, and the encoder given for it has no {side}")
    for config in configs:
        if config.name in encoders and isinstance(config, DenseLeg) and config.store_width is not None:
            raise ConfigError(
                f"leg {config.name!r}: store_width cuts the leg's own model, and an encoder is given: let "
                "that one give vectors of this width"
            )


def _leg(
    config: LegConfig,
    given: Encoder | ImageEncoder | None,
    shared: Mapping[str, M3Encoder],
    compute: ComputeConfig | None,
) -> Leg:
    encoder = given or _encoder(config, shared, compute)
    return Leg(
        config.name,
        encoder,
        Representation.SPARSE if config.kind in ("sparse", "bm25", "robust") else Representation.DENSE,
        config.weight,
        reads="image" if config.kind in ("image", "page-tokens") else "text",
        robust=config.kind in ("robust", "image", "page-tokens"),
        depth=config.depth,
    )


def _encoder(
    config: LegConfig, shared: Mapping[str, M3Encoder], compute: ComputeConfig | None
) -> Encoder | ImageEncoder:
    match config:
        case DenseLeg():
            return shared.get(config.model) or DenseEncoder(config, compute)
        case SparseLeg():
            return shared.get(config.model) or SparseEncoder(config, compute)
        case Bm25Leg():
            return Bm25Encoder(config)
        case RobustLeg():
            return RobustEncoder(config)
        case ImageLeg():
            return ImageModelEncoder(config, compute)
        case PageTokensLeg():
            return PageTokensEncoder(config, compute)


def _m3(model: str, configs: Sequence[LegConfig], compute: ComputeConfig | None) -> M3Encoder:
    mine = [
        config for config in configs if isinstance(config, DenseLeg | SparseLeg) and config.model == model
    ]
    for name in ("max_length", "device"):
        if len({getattr(config, name) for config in mine}) > 1:
            raise ConfigError(f"the legs of {model} share one forward pass: give them the same {name}")
    dense = [config for config in mine if isinstance(config, DenseLeg)]
    if any(leg.pooling or leg.query_prompt or leg.document_prompt for leg in dense):
        raise ConfigError(f"{model} has pooling of its own and no prompts: leave pooling and prompts out")
    if any(leg.store_width or leg.matryoshka or leg.allow_remote_code for leg in dense):
        raise ConfigError(
            f"{model} was not trained for prefixes and has no code of its own: leave out store_width, "
            "matryoshka and allow_remote_code"
        )
    terms = next((config for config in mine if isinstance(config, SparseLeg)), SparseLeg(model=model))
    return M3Encoder(
        model,
        max_length=mine[0].max_length,
        device=mine[0].device,
        query_terms=terms.query_terms,
        document_terms=terms.document_terms,
        compute=compute,
    )


def dense_model(leg: Leg) -> DenseModel:
    """The encoder of a dense leg."""
    return cast("DenseModel", leg.encoder)  # What gives one vector a text says how wide it is.
