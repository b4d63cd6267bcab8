import pytest
from store_rows import arguments

from rag_plugins.config import StoreConfig
from rag_plugins.store.milvus import MilvusStore


@pytest.fixture
def open_store(milvus_uri, collection, tmp_path):
    """Opens stores on this test's collection, on a file and on a server in turn; closes them at the end."""
    opened = []

    def open_(**changes):
        defaults = {"collection": collection, "config": StoreConfig(assets=tmp_path / "assets")}
        opened.append(MilvusStore.open(milvus_uri, **arguments(**{**defaults, **changes})))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()
