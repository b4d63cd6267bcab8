"""The command that looks at the machine."""

from __future__ import annotations

from typing import Annotated

import typer

from rag_plugins.cli.options import AsJson, ConfigFile, Preset, print_json, read_config

__all__ = ["doctor"]


def doctor(
    preset: Preset = None,
    config: ConfigFile = None,
    load: Annotated[
        bool, typer.Option("--load", help="Load the models that are here: not all run as the rule has it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What is installed, what models run on and why, where their weights are. Downloads nothing.

    What is absent is shown with the command that installs it.
    """
    from rag_plugins.show.diagnosis import diagnose
    from rag_plugins.show.doctor import show_diagnosis

    found = diagnose(read_config(preset, config), load=load)
    show_diagnosis(found, loaded=load)
    if as_json:
        print_json(found.to_json())
