"""Which prefixes of a dense leg's vectors can be used: those a model was trained for, or rotated ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rag_plugins.config import VectorLeg
from rag_plugins.errors import ConfigError
from rag_plugins.funnel import Funnel
from rag_plugins.models.protocols import DenseModel

__all__ = ["cuts", "declared", "listed", "named_funnel", "served", "server_widths", "undeclared"]

_log = logging.getLogger(__name__)

_SHARE = 4
"""Without declared widths a server's prefix has a quarter of the numbers: rotated, .96 to 1.0 of the best ten
are inside its top 200 (MiniLM)."""

_NARROWEST = 12
"""A declared width below this share of the whole is not used by default: its ranking prunes too much."""


def server_widths(funnel: Funnel | str, dim: int, trained: Sequence[int]) -> tuple[int, ...]:
    """The widths of the prefix fields that a server's collection is made with."""
    if funnel == "off":
        return ()
    if funnel == "halving":
        funnel = Funnel.halving(dim, trained=[width for width in trained if width < dim])
    if isinstance(funnel, Funnel):
        return tuple(stage.width for stage in funnel.stages if stage.width < dim)
    narrower = sorted(width for width in trained if width < dim)
    widths = [width for width in narrower if width >= dim / _NARROWEST]
    return tuple(widths[:1]) if narrower else (max(dim // _SHARE, 1),)


def named_funnel(settings: VectorLeg, model: DenseModel) -> Funnel | None:
    """The funnel that the settings of a leg ask for, None for "auto" and "off".

    Raises `ConfigError` for widths that the model's vectors cannot be cut to.
    """
    if settings.funnel in ("auto", "off"):
        return None
    trained = declared(model)
    given = settings.funnel
    funnel = given if isinstance(given, Funnel) else Funnel.halving(model.dim, trained=trained)
    if funnel.width > model.dim:
        raise ConfigError(f"leg {settings.name}: {funnel}, but {settings.model} gives {model.dim} numbers")
    wrong = [width for width in cuts(funnel, model.dim) if width not in trained]
    if wrong and trained:
        raise ConfigError(
            f"leg {settings.name}: {settings.model} was trained for prefixes of {listed(trained)}, not of "
            f"{listed(wrong)}: use those, or name more in `matryoshka` if `rag-plugins probe "
            f"{settings.model}` finds them good"
        )
    if wrong and settings.rotation == "off":
        raise ConfigError(undeclared(settings))
    return funnel


def served(funnel: Funnel | None, fields: Sequence[int] | None, dim: int) -> Funnel | None:
    """The stages of a funnel that a server has prefix fields for; itself where it has none of them.

    Servers limit how many fields there may be. With fewer stages a funnel finds more, and costs more.
    """
    if funnel is None or fields is None:
        return funnel
    stages = [stage for stage in funnel.stages if stage.width == dim or stage.width in fields]
    reduced = Funnel(stages) if len(stages) > 1 and stages[-1].width == dim else funnel
    if reduced != funnel:
        _log.info("%s: the server has prefixes of %s alone, so it is a %s", funnel, listed(fields), reduced)
    return reduced


def declared(model: DenseModel) -> tuple[int, ...]:
    """Prefixes that the model was trained for."""
    return tuple(sorted(width for width in model.matryoshka if width < model.dim))


def cuts(funnel: Funnel, dim: int) -> tuple[int, ...]:
    """The widths at which a funnel cuts vectors, ascending."""
    return tuple(stage.width for stage in funnel.stages if stage.width < dim)


def listed(widths: Sequence[int]) -> str:
    """Widths in a message."""
    return ", ".join(map(str, widths)) or "no"


def undeclared(settings: VectorLeg) -> str:
    """What to say of a model that declares no prefixes where none are made by a rotation."""
    return (
        f"leg {settings.name}: {settings.model} declares no prefixes that it was trained for: leave rotation "
        f'at "auto", or name in `matryoshka` those that `rag-plugins probe {settings.model}` finds good'
    )
