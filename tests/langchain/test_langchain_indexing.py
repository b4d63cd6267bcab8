"""LangChain's index() over our store: every cleanup mode, and what is left after a crash in the middle."""

import pytest
from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from store_support import CountedWords

from rag_plugins.langchain import RagDocumentIndex, RagVectorStore

MODES = [None, "incremental", "full", "scoped_full"]


class Crashing(RagVectorStore):
    """A store that can be made to fail before or after it deletes."""

    crash = None

    def delete(self, ids=None, **kwargs):
        if self.crash == "before":
            raise ConnectionError("gone before it was deleted")
        done = super().delete(ids, **kwargs)
        if self.crash == "after":
            raise ConnectionError("gone after it was deleted")
        return done


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = tmp_path_factory.mktemp("indexing") / "store.db"
    with Crashing.from_texts([], CountedWords(), path=path) as store:
        yield store


@pytest.fixture
def store(opened):
    yield opened
    opened.crash = opened.embeddings.fails_at = None
    opened.delete()


@pytest.fixture(params=["memory", "sql"])
def records(request, tmp_path):
    if request.param == "memory":
        yield InMemoryRecordManager("tests")
    else:
        manager = SQLRecordManager("tests", db_url=f"sqlite:///{tmp_path}/records.sqlite")
        manager.create_schema()
        yield manager
        manager.engine.dispose()


def documents(*texts, source="a.pdf"):
    return [Document(page_content=text, metadata={"source": source}) for text in texts]


A, B = documents("tank one", "tank two"), documents("water", "coffee", source="b.pdf")
CHANGED = documents("tank one", "tank zwei")


def run(given, records, store, cleanup, **settings):
    settings = {"source_id_key": "source", "key_encoder": "sha256", "batch_size": 2, **settings}
    return {
        what.removeprefix("num_"): count
        for what, count in index(given, records, store, cleanup=cleanup, **settings).items()
        if count
    }


def texts(store):
    """Of all there is, each as often as it is there."""
    return sorted(passage.llm_text for passage in store.index.find())


def of(*lists):
    return sorted(document.page_content for documents in lists for document in documents)


@pytest.mark.parametrize("cleanup", MODES)
def test_what_is_known_is_skipped_what_changed_replaced_what_is_gone_deleted(store, records, cleanup):
    assert run(A + B, records, store, cleanup) == {"added": 4}
    assert texts(store) == of(A, B)
    embedded = store.embeddings.texts
    assert run(A + B, records, store, cleanup) == {"skipped": 4}
    assert store.embeddings.texts == embedded

    done = run(CHANGED + B, records, store, cleanup)
    if cleanup is None:  # It never deletes.
        assert done == {"added": 1, "skipped": 3}
        assert texts(store) == of(A, B, CHANGED[1:])
        return
    assert done == {"added": 1, "skipped": 3, "deleted": 1}
    assert texts(store) == of(CHANGED, B)

    run(CHANGED, records, store, cleanup)  # b.pdf is gone; only a run that knows of everything can tell.
    assert texts(store) == (of(CHANGED) if cleanup == "full" else of(CHANGED, B))


@pytest.mark.parametrize("cleanup", MODES)
def test_an_embedding_that_fails_in_the_middle_loses_and_doubles_nothing(store, records, cleanup):
    run(A + B, records, store, cleanup)
    new = B + CHANGED + documents("lamp 1", "lamp 2", source="c.pdf")
    store.embeddings.fails_at = store.embeddings.texts + 1
    with pytest.raises(ConnectionError, match="embedding service"):
        run(new, records, store, cleanup)
    assert set(of(B, CHANGED)) <= set(texts(store))

    store.embeddings.fails_at = None
    run(new, records, store, cleanup)
    assert texts(store) == (of(A[1:], new) if cleanup is None else of(new))
    assert run(new, records, store, cleanup) == {"skipped": 6}


def test_a_source_in_several_batches_has_gaps_until_an_incremental_run_ends(store, records):
    """After each batch index() deletes what it has not seen yet of the batch's sources; later it adds that.

    Whoever stops it there misses those texts until the next run. The other modes delete at the end.
    """
    given = documents("tank one", "tank two", "lamp 1")
    run(given, records, store, "incremental")
    store.embeddings.fails_at = store.embeddings.texts
    with pytest.raises(ConnectionError):
        run(given, records, store, "incremental")
    assert texts(store) == of(given[:2])

    store.embeddings.fails_at = None
    assert run(given, records, store, "incremental")["added"] == 1
    assert texts(store) == of(given)


@pytest.mark.parametrize("cleanup", MODES[1:])
@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_store_that_fails_between_adding_and_deleting_loses_and_doubles_nothing(
    store, records, cleanup, crash
):
    run(A + B, records, store, cleanup)
    store.crash = crash
    with pytest.raises(ConnectionError, match=crash):
        run(CHANGED + B, records, store, cleanup)
    assert set(of(CHANGED)) <= set(texts(store))

    store.crash = None
    assert run(CHANGED + B, records, store, cleanup)["deleted"] == 1
    assert texts(store) == of(CHANGED, B)


def test_records_that_could_not_be_written_are_written_by_the_next_run(store, monkeypatch):
    records = InMemoryRecordManager("tests")
    with monkeypatch.context() as patch:
        patch.setattr(records, "update", lambda *given, **settings: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(A, records, store, "full")

    assert run(A, records, store, "full") == {"added": 2}
    assert texts(store) == of(A)


def test_what_langchain_deleted_without_noting_it_comes_back_by_force_alone(store, records):
    """index() deletes from the store first and notes it then: between the two its records are wrong.

    A text that was deleted, and comes back right after such a crash, is taken for one that is there.
    """
    run(A, records, store, "incremental")
    store.crash = "after"
    with pytest.raises(ConnectionError):
        run(CHANGED, records, store, "incremental")
    store.crash = None

    run(A, records, store, "incremental")
    assert "tank two" not in texts(store)
    run(A, records, store, "incremental", force_update=True)
    assert texts(store) == of(A)


async def test_async_and_into_a_document_index(store):
    records = InMemoryRecordManager("tests")  # The other one needs an engine that is async, too.
    settings = {"cleanup": "full", "key_encoder": "sha256", "source_id_key": "source"}
    assert (await aindex(A + B, records, store, **settings))["num_added"] == 4
    done = await aindex(CHANGED, records, RagDocumentIndex(store=store), **settings)

    assert (done["num_added"], done["num_deleted"], done["num_skipped"]) == (1, 3, 1)
    assert texts(store) == of(CHANGED)


def test_an_index_of_another_run_of_the_program_knows_what_is_there(tmp_path):
    for expected in ({"added": 2}, {"skipped": 2}):
        records = SQLRecordManager("tests", db_url=f"sqlite:///{tmp_path}/records.sqlite")
        records.create_schema()
        with RagVectorStore.from_texts([], path=tmp_path / "store.db", preset="lexical") as store:
            assert run(A, records, store, "full") == expected
            assert texts(store) == of(A)
        records.engine.dispose()
