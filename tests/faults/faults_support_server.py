"""An index small enough to be opened often, and ports behind which nobody answers."""

import contextlib
import socket
import threading
import time

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, DenseLeg, StoreConfig
from rag_plugins.errors import StoreUnavailable
from rag_plugins.models.foreign import ForeignEncoder

WORDS = ("pump", "valve", "filter", "lamp", "tank", "fuse", "screw", "frame", "motor", "belt")


def vectors(texts):
    """How often each of the words is there; the first number keeps a text without any from being zero."""
    return [[0.1, *(float(text.count(word)) for word in WORDS)] for text in texts]


def opened(uri, timeout, assets, collection="passages"):
    config = Config(
        legs=(DenseLeg(), Bm25Leg(language="english")),
        rerank=(),
        store=StoreConfig(timeout=timeout, assets=assets),
    )
    encoders = {"dense": ForeignEncoder("words", vectors, vectors, dim=1 + len(WORDS))}
    return RagIndex.open(uri, config=config, collection=collection, encoders=encoders)


def filled(index, number=20):
    index.add(
        [
            index.passage(f"{WORDS[n % len(WORDS)]} number {n}", caller_id=f"p{n}", doc_id=f"d{n}")
            for n in range(number)
        ]
    )
    return index


@contextlib.contextmanager
def silent_port():
    """Takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = []

        def take():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listening.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    for connection in taken:
        connection.close()


@contextlib.contextmanager
def full_port():
    """Listens and never accepts; its queue is full, so that connections do not even come about."""
    with contextlib.ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def waited(call):
    """Seconds until a call failed with `StoreUnavailable`; any other end is an error."""
    start = time.monotonic()
    try:
        result = call()
    except StoreUnavailable:
        return time.monotonic() - start
    raise AssertionError(f"expected StoreUnavailable, got {result!r}")
