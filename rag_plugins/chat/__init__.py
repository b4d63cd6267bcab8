"""A chat over a collection: answers with their evidence, in a web page or a terminal."""

from rag_plugins.chat.answering import Chat
from rag_plugins.chat.messages import End, Event, Evidence, Message, Piece, Talk
from rag_plugins.chat.sources import Source

__all__ = ["Chat", "End", "Event", "Evidence", "Message", "Piece", "Source", "Talk"]
