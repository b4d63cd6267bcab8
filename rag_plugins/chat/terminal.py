"""The chat in a terminal: the same answers, their sources below."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.messages import End, Event, Evidence, Message, Piece
from rag_plugins.chat.sources import Source
from rag_plugins.errors import RagPluginsError
from rag_plugins.text import file_name

__all__ = ["talk_in_terminal"]

_HELP = (
    "Type a question. A source's number shows what was read of it; /new forgets the conversation; "
    "/quit or Ctrl-D ends; Ctrl-C stops an answer."
)
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing it, and what turns the direction of text."""


def talk_in_terminal(chat: Chat, console: Console, ask: Callable[[str], str] = input) -> None:
    """Until /quit or the end of the input. `ask` shows a prompt and gives a line."""
    conversation = _Conversation(chat, console)
    if console.is_terminal:
        console.print(Text(_HELP, style="dim"))
    while True:
        try:
            line = ask("> ").strip()
        except EOFError:
            if console.is_terminal:  # Ctrl-D ends no line.
                console.print()
            return
        except KeyboardInterrupt:  # Of a line that was begun.
            console.print()
            continue
        if line in ("/quit", "/exit"):
            return
        if line:
            conversation.take(line)


class _Conversation:
    """What was said, and the sources of the last answer."""

    def __init__(self, chat: Chat, console: Console) -> None:
        self._chat = chat
        self._console = console
        self._history: list[Message] = []
        self._sources: tuple[Source, ...] = ()

    def take(self, line: str) -> None:
        """A question, a source's number or a command."""
        if line == "/new":
            self._history, self._sources = [], ()
            self._say("The conversation begins anew.")
        elif line.isdecimal():
            self._show_source(int(line))
        elif line.startswith("/"):
            self._say(_HELP)
        else:
            self._answer(line)

    def _answer(self, question: str) -> None:
        answer, failed = _Answer(), ""
        try:
            self._stream(question, answer)
        except RagPluginsError as error:
            failed = str(error)
        except KeyboardInterrupt:
            answer.note = "Stopped."
        self._sources = answer.sources
        self._console.print(answer.whole(self._chat.quotes))
        if answer.text:
            self._history += [Message("user", question), Message("assistant", answer.text)]
        self._say(*answer.notices, answer.note)
        self._say(failed, style="red")
        self._say(*(f"[{source.number}] {_label(source)}" for source in answer.sources))

    def _stream(self, question: str, answer: _Answer) -> None:
        """Show the end of the answer as it comes; nothing of it where the output is no terminal."""
        with (
            Live(console=self._console, refresh_per_second=12, transient=True) as live,
            closing(self._chat.ask(question, self._history)) as events,
        ):
            for event in events:
                answer.take(event)
                live.update(self._tail(answer.text))

    def _tail(self, text: str) -> Text:
        """The last lines: what is higher than the terminal could not be taken back."""
        lines = _plain(text).wrap(self._console, self._console.width)
        return Text("\n").join(lines[-max(1, self._console.height - 2) :])

    def _show_source(self, number: int) -> None:
        for source in self._sources:
            if source.number == number:
                self._console.print(Panel(_plain(source.text), title=_plain(_label(source))))
                return
        self._say(f"There is no source {number}.")

    def _say(self, *lines: str, style: str = "dim") -> None:
        for line in filter(None, lines):
            self._console.print(_plain(line, style))


class _Answer:
    """The events of an answer so far."""

    def __init__(self) -> None:
        self.text = self.note = ""
        self.sources: tuple[Source, ...] = ()
        self.notices: tuple[str, ...] = ()

    def take(self, event: Event) -> None:
        """The next event."""
        match event:
            case Evidence():
                self.sources, self.notices = event.sources, event.notices
            case Piece():
                self.text += event.text
            case End():
                self.note = event.note

    def whole(self, quoted: bool) -> RenderableType:
        """What documents say stands as it is; what a model writes is Markdown."""
        text = _plain(self.text.strip())
        return text if quoted else Markdown(text.plain, hyperlinks=False)


def _label(source: Source) -> str:
    return ", ".join(filter(None, (file_name(source.name), source.origin)))


def _plain(text: str, style: str = "") -> Text:
    """Text of documents and models: no markup, nothing that a terminal obeys."""
    return Text(_UNSEEN.sub("\ufffd", text.replace("\r\n", "\n")), style=style)
