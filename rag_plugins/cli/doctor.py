"""The command that looks at the machine, and into a collection."""

from __future__ import annotations

from typing import Annotated

import typer

from rag_plugins.cli.options import (
    AsJson,
    Collection,
    ConfigFile,
    Preset,
    Tenant,
    existing,
    print_json,
    read_config,
)

__all__ = ["doctor"]


def doctor(
    db: Annotated[
        str | None, typer.Argument(help="A collection to look into: a file, or http://host:port.")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    load: Annotated[
        bool, typer.Option("--load", help="Load the models that are here: not all run as the rule has it.")
    ] = False,
    collection: Collection = "passages",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """What is installed, what models run on and why, where their weights are. Downloads nothing.

    What is absent is shown with the command that installs it. Of a collection: how its legs are fused, why
    so, and what each leg is worth there.
    """
    from rag_plugins.show.diagnosis import diagnose
    from rag_plugins.show.doctor import show_diagnosis
    from rag_plugins.show.fusion import fusion_use, show_fusion

    if db:
        existing(db)
    settings = read_config(preset, config)
    fused = fusion_use(db, settings, collection, tenant) if db else None
    found = diagnose(settings, load=load)
    show_diagnosis(found, loaded=load)
    if fused:
        show_fusion(fused)
    if as_json:
        print_json(found.to_json() | ({"fusion": fused.to_json()} if fused else {}))
