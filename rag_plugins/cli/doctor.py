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
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Ingest damaged documents again from their files, encode changed vectors."
        ),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Repair, then strike from the record what could not be brought back, and delete passages "
            "that were deleted or never recorded.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What is installed, what models run on and why, where their weights are. Downloads nothing.

    What is absent is shown with the command that installs it. Of a collection: how its legs are fused, why
    so, and what each leg is worth there; and whether every passage and image is as it was stored. Ends with
    exit code 1 where that is not so. With --load also where the time of a query goes.
    """
    from rag_plugins.show.diagnosis import diagnose
    from rag_plugins.show.doctor import show_diagnosis
    from rag_plugins.show.fusion import fusion_use, show_fusion
    from rag_plugins.show.health import examine, show_health

    if db:
        existing(db)
    elif repair or forget:
        raise typer.BadParameter("name the database that is to be repaired")
    settings = read_config(preset, config)
    found = diagnose(settings, load=load)
    show_diagnosis(found, loaded=load)
    values = found.to_json()
    sound = True
    if db:
        fused = fusion_use(db, settings, collection, tenant)
        show_fusion(fused)
        health = examine(db, settings, collection, tenant, repair=repair, forget=forget, load=load)
        show_health(health)
        values |= {"fusion": fused.to_json(), "health": health.to_json()}
        sound = health.sound
    if as_json:
        print_json(values)
    if not sound:
        raise typer.Exit(1)
