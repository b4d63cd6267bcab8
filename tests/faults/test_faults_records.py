"""What a server's collection should hold, and a file's that a server had for a while."""

from functools import partial

import pytest

from rag_plugins import RagIndex, where
from rag_plugins.errors import DataLost
from rag_plugins.ingest.manifest import Manifest

TEXTS = {
    "pump": "The coolant pump is bolted to the frame.",
    "filter": "Change the dust filter every 500 hours.",
}


def fill(index, texts):
    return index.add([index.passage(text, doc_id=name) for name, text in texts.items()])


@pytest.fixture
def server(milvus_server, collection):
    return partial(RagIndex.open, milvus_server, preset="lexical", collection=collection)


def test_rows_that_a_server_loses_are_missed(server):
    with server() as index:
        fill(index, TEXTS)
        assert index.audit().sound
    with server() as index:
        index.store.delete(index.store.ids(where("doc_id") == "pump"))  # Behind the manifest's back.
    with pytest.raises(DataLost, match="1 documents: 'pump' \\(1\\)"):
        server()
    with server(check=False) as index:
        assert index.audit().lost.keys() == {"pump"}
        assert index.repair(forget=True).forgotten == 1
    with server() as index:
        assert index.audit().sound and index.count() == 1


def test_what_another_client_writes_and_deletes_is_no_loss(server):
    with server() as one, server() as two:
        fill(one, TEXTS)
        two.delete("pump")
        fill(two, {"fuse": "A blown fuse stops the display."})
        assert one.audit().sound and two.audit().sound
        assert {record.doc_id for record in Manifest(one.store.records, "")} == {"filter", "fuse"}
    with server() as index:
        assert index.count() == 2 and index.audit().sound


def test_a_server_s_collection_from_before_there_was_a_record_is_taken_as_it_is(server):
    with server() as index:
        fill(index, TEXTS)
        Manifest(index.store.records, "").clear()
    with server() as index:
        assert {record.doc_id for record in Manifest(index.store.records, "")} == TEXTS.keys()
        found = index.audit()
        assert found.sound and found.unsealed == 2
        index.repair()
        assert index.audit().unsealed == 0


def test_what_clients_of_a_server_have_written_to_a_file_is_recorded_with_it(own_milvus_server, tmp_path):
    data = own_milvus_server.folder / "data"
    own_milvus_server.stop()
    config = {"preset": "lexical"}
    (tmp_path / "handbook.md").write_text("A blown fuse stops the display.")
    data.rename(path := tmp_path / "handbook.db")
    with RagIndex.open(path, **config) as index:
        fill(index, TEXTS)
        index.ingest([tmp_path / "handbook.md"])
    path.rename(data)
    own_milvus_server.start()
    with RagIndex.open(own_milvus_server.uri, **config) as index:
        assert index.count() == 3
        index.delete("pump")
        fill(index, {"belt": "The belt runs over two pulleys."})
    own_milvus_server.stop()
    data.rename(path)
    for _ in range(2):
        with RagIndex.open(path, **config) as index:
            assert index.audit().sound and index.count() == 3
            assert {record.doc_id for record in Manifest(index.store.records, "")} >= {"filter", "belt"}
            assert index.ingest([tmp_path / "handbook.md"]).unchanged == 1


def test_old_records_of_a_file_are_taken_over(tmp_path):
    path = tmp_path / "handbook.db"
    (file := tmp_path / "fuse.md").write_text("A blown fuse stops the display.")
    with RagIndex.open(path, preset="lexical") as index:
        index.ingest([file])
        (record,) = Manifest(index.store.records, "")
        old = {"doc_id": record.doc_id, "ids": list(record.ids), "complete": True, "reread": None, "pages": 1}
        elsewhere = Manifest(index.store.state, "")
        key, begun = elsewhere._key(record.doc_id), elsewhere._key("begun")
        index.store.state.put({key: {**old, "sha256": record.sha256, "settings": record.settings}})
        index.store.state.put({begun: {**old, "doc_id": "begun", "ids": ["0" * 64], "complete": False}})
        elsewhere.recount()
    for beside in tmp_path.glob("handbook.db.manifest*"):
        beside.unlink()
    with RagIndex.open(path, preset="lexical") as index:
        assert index.ingest([file]).unchanged == 1
        assert index.audit().sound and index.audit().unsealed == 1


def test_tenants_of_a_file_have_records_of_their_own(tmp_path):
    opened = partial(RagIndex.open, tmp_path / "handbook.db", preset="lexical")
    with opened(tenant="a") as a, opened(tenant="b") as b:
        fill(a, TEXTS)
        fill(b, TEXTS)
        b.delete("pump")
    with opened(tenant="a") as a, opened(tenant="b") as b:
        assert (a.audit().passages, b.audit().passages) == (2, 1)
        assert a.audit().sound and b.audit().sound


def test_sums_are_the_same_by_either_number_type_and_order_of_keys(milvus_uri, collection):
    metadata = {"z": 1, "a": {"y": 2.0, "x": [1e16, -0.5, 2**53, True, None, "é\u2028"]}, "big": 2**62}
    with RagIndex.open(milvus_uri, collection=collection, preset="lexical") as index:
        index.add([index.passage("Some text.", doc_id="a", metadata=metadata)])
        assert index.audit().sound
