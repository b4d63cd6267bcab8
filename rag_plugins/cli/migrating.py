"""The command that copies other programs' collections."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rag_plugins.cli.options import ConfigFile, Preset, Tenant, read_config

__all__ = ["migrate"]


def migrate(
    source: Annotated[str, typer.Argument(metavar="SOURCE_URI", help="A Milvus Lite database or server.")],
    source_collection: Annotated[
        str, typer.Option("--collection", metavar="NAME", help="Its collection, which is only read.")
    ],
    into: Annotated[str, typer.Option(metavar="DB", help="A file such as handbook.db, or http://host:port.")],
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="Which field is the text, id, vector, doc_id or metadata, where langchain-milvus and "
            "LlamaIndex call it something else. May be repeated.",
        ),
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="RAG_PLUGINS_SOURCE_TOKEN", help="The source's token.", show_envvar=True)
    ] = "",
    keep_vectors: Annotated[
        bool, typer.Option("--keep-vectors", help="Do not embed anew: they are of the same model.")
    ] = False,
    preset: Preset = None,
    config: ConfigFile = None,
    into_collection: Annotated[
        str, typer.Option(metavar="NAME", help="One of several collections of DB.")
    ] = "passages",
    tenant: Tenant = "",
) -> None:
    """Copy a collection that langchain-milvus, LlamaIndex or another program has made in Milvus.

    Ids, texts and metadata stay; run it again to copy what has changed.
    """
    from rag_plugins.index import RagIndex
    from rag_plugins.migration import migrate as copy

    fields = dict(_named(each) for each in field or ())
    settings = read_config(preset, config)
    with RagIndex.open(into, config=settings, collection=into_collection, tenant=tenant) as index:
        done = copy(
            source,
            index,
            collection=source_collection,
            token=token,
            fields=fields,
            keep_vectors=keep_vectors,
            progress=sys.stderr.isatty(),
        )
        total = index.count()
    told = ", ".join(f"{role} from {name}" for role, name in done.fields.items())
    typer.echo(f"{source_collection} ({done.layout or 'fields as named'}): {told}")
    made = "kept" if done.vectors else "made anew"
    typer.echo(f"{done.passages} passages of {done.documents} documents copied, vectors {made}")
    typer.echo(f"{into}: {total} passages")


def _named(given: str) -> tuple[str, str]:
    role, equals, name = given.partition("=")
    if not equals:
        raise typer.BadParameter(f"--field {given}: expected ROLE=NAME")
    return role, name
