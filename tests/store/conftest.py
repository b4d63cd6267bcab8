import pytest
from store_rows import arguments

from rag_plugins.config import StoreConfig
from rag_plugins.store.local.resident import ResidentStore
from rag_plugins.store.milvus import MilvusStore


@pytest.fixture(params=["file", "server", "resident"])
def kind(request):
    """Each test that asks for it runs on a file searched by Lite, a server, a file searched in memory."""
    return request.param


@pytest.fixture
def store_uri(kind, request, tmp_path):
    return request.getfixturevalue("milvus_server") if kind == "server" else str(tmp_path / "test.db")


@pytest.fixture
def store_class(kind):
    return ResidentStore if kind == "resident" else MilvusStore


@pytest.fixture
def open_store(store_class, store_uri, collection, tmp_path):
    """Opens stores on this test's collection; closes them at the end."""
    opened = []

    def open_(**changes):
        defaults = {"collection": collection, "config": StoreConfig(assets=tmp_path / "assets")}
        opened.append(store_class.open(store_uri, **arguments(**{**defaults, **changes})))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()
