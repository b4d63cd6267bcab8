"""The chat in a terminal: the same answers, their sources below."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.messages import End, Evidence, Message, Piece
from rag_plugins.chat.serving.names import shown
from rag_plugins.chat.sources import Source
from rag_plugins.errors import RagPluginsError

__all__ = ["talk_in_terminal"]

_HELP = "A question; a source's number shows what was read of it; /new forgets the conversation; /quit ends."


def talk_in_terminal(chat: Chat, console: Console, ask: Callable[[str], str] = input) -> None:
    """Until /quit or the end of the input. `ask` shows a prompt and gives a line."""
    history: list[Message] = []
    sources: tuple[Source, ...] = ()
    console.print(_HELP, style="dim")
    while True:
        try:
            line = ask("> ").strip()
        except EOFError:
            return
        if line in ("/quit", "/exit"):
            return
        if line == "/new":
            history, sources = [], ()
        elif line.isdigit():
            _show_source(console, sources, int(line))
        elif line.startswith("/"):
            console.print(_HELP, style="dim")
        elif line:
            sources = _answer(chat, console, line, history)


def _answer(chat: Chat, console: Console, question: str, history: list[Message]) -> tuple[Source, ...]:
    """Show the answer as it comes, and what it is made of."""
    text, note, sources = "", "", tuple[Source, ...]()
    try:
        with Live(console=console, refresh_per_second=12, vertical_overflow="visible") as live:
            for event in chat.ask(question, history):
                match event:
                    case Evidence():
                        sources = event.sources
                    case Piece():
                        text += event.text
                        live.update(Markdown(text))
                    case End():
                        note = event.note
    except RagPluginsError as error:
        console.print(Text(str(error), style="red"))
        return sources
    except KeyboardInterrupt:
        console.print("Stopped.", style="dim")
    history += [Message("user", question), Message("assistant", text)]
    if note:
        console.print(Text(note, style="dim"))
    for source in sources:
        console.print(Text(f"[{source.number}] {shown(source.name)}, {source.origin}", style="dim"))
    return sources


def _show_source(console: Console, sources: tuple[Source, ...], number: int) -> None:
    for source in sources:
        if source.number == number:
            console.print(Panel(Text(source.text), title=Text(f"{shown(source.name)}, {source.origin}")))
            return
    console.print(f"There is no source {number}.", style="dim")
