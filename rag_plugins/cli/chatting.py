"""The command that opens the chat."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_plugins.cli.options import Collection, ConfigFile, Preset, Tenant, existing, read_config

if TYPE_CHECKING:
    from rag_plugins.chat import Chat
    from rag_plugins.chat.models import Framework
    from rag_plugins.index import RagIndex

__all__ = ["chat"]


def chat(
    db: Annotated[str, typer.Argument(metavar="DB", help="A file such as handbook.db, or http://host:port.")],
    framework: Annotated[
        str,
        typer.Option(metavar="langchain|llama-index", help="Whose class of `chat.llm` is used."),
    ] = "langchain",
    host: Annotated[
        str, typer.Option(help="Where the page listens. Elsewhere than on this machine it asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="RAG_PLUGINS_CHAT_TOKEN", help="What the address has to bring; made where needed."
        ),
    ] = None,
    upload: Annotated[bool, typer.Option(help="Whether the page takes and deletes documents.")] = True,
    terminal: Annotated[bool, typer.Option(help="Talk here, without a page.")] = False,
    preset: Preset = None,
    config: ConfigFile = None,
    collection: Collection = "passages",
    tenant: Tenant = "",
) -> None:
    """Ask a collection's documents: a page with answers and their evidence, or a terminal.

    `chat.llm` of a configuration names the language model; without one the best sentences are quoted.
    """
    from rag_plugins.index import RagIndex

    existing(db)
    if framework not in ("langchain", "llama-index"):
        raise typer.BadParameter(f"--framework {framework}: expected langchain or llama-index")
    with RagIndex.open(db, config=read_config(preset, config), collection=collection, tenant=tenant) as index:
        talking = _chat(index, framework)
        if terminal:
            _talk(talking)
            return
        from rag_plugins.chat.serving.run import serve

        name = index.config.chat.title or Path(db).stem
        serve(talking, name, host=host, port=port, token=token, upload=upload, ready=_say)


def _chat(index: RagIndex, framework: Framework) -> Chat:
    from rag_plugins.chat import Chat
    from rag_plugins.chat.models import make_talk

    llm = index.config.chat.llm
    return Chat(index, make_talk(llm, framework) if llm else None)


def _talk(chat: Chat) -> None:
    from rich.console import Console

    from rag_plugins.chat.terminal import talk_in_terminal

    if not sys.stdin.isatty():
        talk_in_terminal(chat, Console(), lambda _: input())
        return
    with suppress(ImportError):  # Not on Windows; with it `input` has lines to go back to and to edit.
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]
    talk_in_terminal(chat, Console())


def _say(address: str) -> None:
    typer.echo(f"The page is at {address} (Ctrl-C ends it)")
