"""Which prefixes a dense leg is searched by: declared, or rotated; tuned on the collection as it grows."""

from __future__ import annotations

from collections.abc import Sequence

from rag_plugins.funnel import Funnel

__all__ = ["server_widths"]

_SHARE = 4
"""Without declared widths a server's prefix has a quarter of the numbers: rotated, .96 to 1.0 of the best ten
are inside its top 200 (MiniLM)."""

_NARROWEST = 12
"""A declared width below this share of the whole is not used by default: its ranking prunes too much."""


def server_widths(funnel: Funnel | str, dim: int, declared: Sequence[int]) -> tuple[int, ...]:
    """The widths of the prefix fields that a server's collection is made with."""
    if funnel == "off":
        return ()
    if funnel == "halving":
        funnel = Funnel.halving(dim)
    if isinstance(funnel, Funnel):
        return tuple(stage.width for stage in funnel.stages if stage.width < dim)
    widths = [width for width in sorted(declared) if dim / _NARROWEST <= width < dim]
    return tuple(widths[:1]) if declared else (max(dim // _SHARE, 1),)
