"""A collection made with tenants is never opened without one, and on servers they are its partitions."""

import threading

import pytest
from llama_index.core.schema import TextNode
from pymilvus import DataType, MilvusClient

from rag_plugins import RagIndex
from rag_plugins.config import Config, StoreConfig
from rag_plugins.errors import BadPassage, ConfigError
from rag_plugins.store.engine import Engine
from rag_plugins.store.foreign import ForeignCollection
from rag_plugins.store.kept import read_kept
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import PARTITIONS, Row, VectorField, table
from rag_plugins.types import EmbedText, Passage, passage_id
from rag_plugins.vectors import SparseVector

FIELDS = (VectorField("bm25", "sparse"),)
WITHOUT = r"was made with tenants, and is opened without one.*tenant=, --tenant"


def opened(uri, collection="passages", tenant="", **settings):
    return RagIndex.open(uri, preset="lexical", collection=collection, tenant=tenant, **settings)


def filled(uri, tenant, collection="passages"):
    with opened(uri, collection, tenant) as index:
        index.add([index.passage(f"the pump of {tenant or 'nobody'}", doc_id="d")])


def test_made_with_tenants_it_refuses_to_be_opened_without(milvus_uri, collection):
    filled(milvus_uri, "a", collection)
    with pytest.raises(ConfigError, match=WITHOUT):
        opened(milvus_uri, collection)
    with pytest.raises(ConfigError, match=WITHOUT):
        read_kept(milvus_uri, StoreConfig(), collection, "")
    for companion in ("", "_state"):
        with pytest.raises(ConfigError, match=WITHOUT):
            ForeignCollection(milvus_uri, collection + companion, fields={"text": "llm_text"})
    for tenant, count in (("a", 1), ("b", 0)):  # Nobody else is kept out, and the refusal has freed the file.
        with opened(milvus_uri, collection, tenant) as index:
            assert index.count() == len(index.search("pump")) == count
        assert read_kept(milvus_uri, StoreConfig(), collection, tenant).rows == count


def test_made_without_tenants_it_takes_some_and_shows_nobody_more_than_their_own(milvus_uri, collection):
    for tenant in ("", "a"):
        filled(milvus_uri, tenant, collection)
    for tenant, text in (("", "the pump of nobody"), ("a", "the pump of a")):
        with opened(milvus_uri, collection, tenant) as index:
            assert [hit.passage.llm_text for hit in index.search("pump")] == [text]
            assert [passage.llm_text for passage in index.find()] == [text]


def test_a_collection_from_before_that_was_recorded_opens_both_ways(tmp_path):
    filled(tmp_path / "a.db", "a")
    with opened(tmp_path / "a.db", tenant="a") as index:
        header = index.store.state.get("header")
        assert header.pop("tenants") is True
        index.store.state.put({"header": header})
    for tenant, count in (("", 0), ("a", 1)):
        with opened(tmp_path / "a.db", tenant=tenant) as index:
            assert index.count() == count


@pytest.mark.parametrize("tenant", [None, 0, b"a", ["a"]], ids=repr)
def test_what_is_no_name_is_no_tenant_and_makes_no_file(tmp_path, tenant):
    path = tmp_path / "a.db"
    with pytest.raises(ConfigError, match=r"tenant .*: expected a string"):
        opened(path, tenant=tenant)
    assert not path.exists()
    filled(path, "a")
    with pytest.raises(ConfigError, match=r"tenant .*: expected a string"):
        read_kept(str(path), StoreConfig(), "passages", tenant)


def test_both_frameworks_hand_the_tenant_on(tmp_path):
    from langchain_core.documents import Document

    from rag_plugins import langchain, llama_index

    settings = {"preset": "lexical", "tenant": "a"}
    node, document = TextNode(text="the pump", id_="1"), Document(page_content="the lamp", id="2")
    makers = [
        lambda path, **given: langchain.HybridRetriever.from_documents([document], path, **given),
        lambda path, **given: langchain.RagVectorStore.from_documents([document], path=path, **given),
        lambda path, **given: llama_index.HybridRetriever.from_nodes([node], path, **given),
        lambda path, **given: llama_index.HybridRetriever.from_documents(
            [llama_index_document()], path, **given
        ),
        lambda path, **given: llama_index.RagVectorStore.open(path, **given),
    ]
    for number, make in enumerate(makers):
        path = tmp_path / f"{number}.db"
        with make(path, **settings) as made:
            index = getattr(made, "index", None) or made.client
            assert index.tenant == "a"
        for tenant in ("", None):
            with pytest.raises(ConfigError, match=r"opened without one|expected a string"):
                make(path, **{**settings, "tenant": tenant})


def llama_index_document():
    from llama_index.core.schema import Document

    return Document(text="the filter", doc_id="3")


def test_a_setting_that_a_retriever_does_not_know_is_refused_not_left_aside(tmp_path):
    from rag_plugins.langchain import HybridRetriever

    with opened(tmp_path / "a.db", tenant="a") as index:
        for unknown in ({"tenant": "b"}, {"filters": {"year": 2020}}):
            with pytest.raises(ValueError, match="Extra inputs are not permitted"):
                HybridRetriever(index, **unknown)


class TestPartitions:
    """Of a real server, which Milvus Lite's plays here: it takes partition keys, and is told so."""

    @pytest.fixture
    def asked(self, own_milvus_server, monkeypatch):
        """The server's address, and every expression that it is asked by."""
        monkeypatch.setattr(MilvusClient, "get_server_version", lambda self, timeout: "v2.6.7")
        expressions = []
        ask = Engine._ask

        def watched(engine, method, name, **arguments):
            if method in ("search", "query", "delete"):
                expressions.append((method, name, arguments["filter"]))
            return ask(engine, method, name, **arguments)

        monkeypatch.setattr(Engine, "_ask", watched)
        return own_milvus_server.uri, expressions

    def test_the_schema_has_the_tenant_as_its_key(self):
        for partitioned in (False, True):
            fields = table(FIELDS, partitioned=partitioned).fields
            keys = [(field.name, field.dtype) for field in fields if field.is_partition_key]
            assert keys == ([("tenant", DataType.VARCHAR)] if partitioned else [])

    def test_every_request_for_rows_names_the_tenant_but_the_look_for_anothers_ids(self, asked):
        uri, expressions = asked
        config = Config.preset("lexical")
        with (
            RagIndex.open(uri, config=config, tenant="a") as one,
            RagIndex.open(uri, config=config, tenant="b") as two,
        ):
            for index in (one, two):
                index.add([index.passage(f"pump {n}", caller_id=str(n), metadata={"n": n}) for n in range(4)])
            described = one.store._engine.describe("passages")
            keys = {field["name"]: field.get("is_partition_key", False) for field in described["fields"]}
            assert [name for name, key in keys.items() if key] == ["tenant"]
            assert described["num_partitions"] >= PARTITIONS
            expressions.clear()
            assert len(one.search("pump", k=9)) == one.count() == len(one.find()) == 4
            assert len(one.get(["0", "1"])) == 2 and one.remove(["0"]) == 1
            assert len(one.store.retext(one.get(["1"]))) == 1
            assert one.delete("2") == 1 and one.clear() == 2
            assert two.count() == 4 and len(two.search("pump", k=9)) == 4
        rows = [(method, asked) for method, name, asked in expressions if name == "passages"]
        assert {method for method, _ in rows} == {"search", "query", "delete"}
        unscoped = [(method, asked) for method, asked in rows if '(tenant == "' not in asked]
        # Before a write: whether ids belong to another tenant can only be asked of all.
        assert all(method == "query" and asked.startswith("id in [") for method, asked in unscoped)
        assert len(unscoped) <= 2
        with RagIndex.open(uri, config=config, collection="plain") as index:
            fields = index.store._engine.describe("plain")["fields"]
        assert not [field for field in fields if field.get("is_partition_key")]


def forged(owner, number, text):
    """A passage under the id of another tenant's."""
    return Passage(passage_id(owner, caller_id=str(number)), "d", (EmbedText(text),), text)


def row(passage):
    return Row(passage, {"bm25": SparseVector.of({1: 1.0})})


def test_two_tenants_racing_for_the_same_ids_never_write_over_or_delete_each_others_rows(
    milvus_uri, collection
):
    """Ids of one tenant's passages, written and deleted by both at once: the first has them till it goes."""
    settings = {"fields": FIELDS, "fingerprint": {"bm25": "1"}, "collection": collection}
    stores = {name: MilvusStore.open(milvus_uri, tenant=name, **settings) for name in ("a", "b")}
    refused, wrong = [], []
    start = threading.Barrier(2)

    def work(name):
        start.wait()
        for number in range(25):
            passage = forged("a", number, name)
            stores[name].delete([forged("a", number - 1, name).id]) if number % 5 == 0 else None
            try:
                stores[name].upsert([row(passage)])
            except BadPassage:
                refused.append(passage.id)
                continue
            found = stores[name].fetch([passage.id])
            if found.get(passage.id, passage).llm_text != name or not found:
                wrong.append((name, number))

    threads = [threading.Thread(target=work, args=(name,)) for name in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and refused
    a, b = (set(store.ids()) for store in stores.values())
    assert not a & b and len(a | b) >= 20
    for name, store in stores.items():
        assert {passage.llm_text for batch in store.scan() for passage in batch} <= {name}
        store.close()


def test_equal_texts_of_documents_and_tenants_are_passages_of_their_own(tmp_path):
    expected = {
        (tenant, source, position): None
        for tenant in ("a", "b", "a/b", "")
        for source in ("x.pdf", "y.pdf")
        for position in ("", "1")
    }
    ids = {key: passage_id(key[0], source=key[1], position=key[2], content="Same.") for key in expected}
    assert len(set(ids.values())) == len(ids)
    # Lengths stand before parts: what one ends with is not what the next begins with.
    assert passage_id("a", source="bc") != passage_id("ab", source="c") != passage_id("abc")
    assert passage_id("a", caller_id="x") != passage_id("a", content="x")
    for tenant in ("a", "b"):
        with opened(tmp_path / "a.db", tenant=tenant) as index:
            index.add([index.passage("Same.", doc_id=source) for source in ("x.pdf", "y.pdf")])
    for tenant in ("a", "b"):
        with opened(tmp_path / "a.db", tenant=tenant) as index:
            assert sorted(passage.doc_id for passage in index.find()) == ["x.pdf", "y.pdf"]
            assert index.delete("x.pdf") == 1
            assert [passage.doc_id for passage in index.find()] == ["y.pdf"]
