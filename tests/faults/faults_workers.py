"""What spawned processes of a test run; it imports little, as they import it anew."""

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg
from rag_plugins.errors import StoreLocked

CONFIG = Config(legs=(Bm25Leg(),), rerank=())


def opened(uri, collection="passages"):
    return RagIndex.open(uri, config=CONFIG, collection=collection)


def lamps(index, numbers):
    return [index.passage(f"The lamp {n} is red.", caller_id=f"lamp-{n}") for n in numbers]


def added_and_found(uri, collection, n):
    with opened(uri, collection) as index:
        index.add(lamps(index, [n]))
        return [hit.passage.caller_id for hit in index.search(f"lamp {n}", k=1)]


def attempted(uri):
    try:
        opened(uri).close()
    except StoreLocked as error:
        return str(error)
    return "opened"
