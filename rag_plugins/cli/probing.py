"""The command that measures a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag_plugins.cli.options import AsJson, print_json

__all__ = ["probe"]

_TEXTS = 2000
"""Texts that a model is probed on where none are given."""


def probe(
    model: Annotated[str, typer.Argument(help="A preset, a folder or a hub id.")],
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Texts like yours: a file of paragraphs, or a folder in BEIR's format. Default: "
            "Python's own documentation.",
        ),
    ] = None,
    allow_remote_code: Annotated[
        bool, typer.Option(help="Run the code that the model brings along, at the commit its preset names.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what each prefix of a model's vectors keeps, and say whether it was trained for prefixes."""
    from rag_plugins.config import DenseLeg
    from rag_plugins.evaluation.probe import probe as measured
    from rag_plugins.evaluation.texts import manual_texts, read_texts
    from rag_plugins.show import show_probe
    from rag_plugins.wiring import dense_model, make_legs

    (leg,) = make_legs([DenseLeg(model=model, allow_remote_code=allow_remote_code)])
    result = measured(dense_model(leg), read_texts(texts) if texts else manual_texts(_TEXTS))
    show_probe(model, result)
    if as_json:
        print_json(result.to_json())
