"""What users elsewhere report of filters, clients and event loops, and what happens here.

Each docstring says what happens elsewhere, with a thread that tells of it, and then what does here.
"""

import asyncio

import pytest
from both_faces import by_words, ids
from faces_support import watched

from rag_plugins import Config, RagIndex, where
from rag_plugins.config import DenseLeg
from rag_plugins.errors import BadFilter

KINDS = [
    "manual",
    'x" or kind != "x',
    "x' or tenant != 'ours",
    'x") or (tenant != "ours',
    'manual" || "a" == "a',
    "manual\\",
    "manual%",
]


def test_filter_injection_and_tenant_leaks(face, reopen):
    """mem0#5744: a value from a user becomes a part of the filter. Here it is only ever a value."""
    with reopen(preset="lexical", tenant="ours") as ours, reopen(preset="lexical", tenant="theirs") as theirs:
        for index in ours, theirs:
            text = f"the pump of {index.tenant}"
            face.add(index, [face.item(str(n), text, kind=kind) for n, kind in enumerate(KINDS)])
        store = face.store(ours, [])
        for n, kind in enumerate(KINDS):
            found = face.search(ours, "pump", filter=face.equal("kind", kind))
            assert [(each.id, each.text) for each in found] == [(str(n), "the pump of ours")]
            stored = face.nearest(store, "pump", filter=face.equal("kind", kind))
            assert [(id, text) for id, text, _ in stored] == [(str(n), "the pump of ours")]
        assert face.search(ours, "pump", filter=face.equal("tenant", "theirs")) == []
        for broken in face.equal('kind"] != "" or metadata["kind', "x"), 'tenant != "ours"':
            with pytest.raises(BadFilter):
                face.search(ours, "pump", filter=broken)
        secret = theirs.search("pump")[0].passage
        assert ours.get([secret.id]) == [] and ours.remove([secret.id]) == 0
        assert ours.clear() == theirs.count() == len(KINDS)


def test_a_filter_value_of_none_silently_dropped(face, index):
    """llama-index's Milvus store: the filter is left out. Here it is an error, and nothing is searched."""
    face.add(index, [face.item("a", "a pump", owner="ada"), face.item("b", "a pump")])
    with pytest.raises(BadFilter, match="owner.*(NoneType|no value)"):
        face.search(index, "pump", filter=face.equal("owner", None))
    with pytest.raises(BadFilter, match="owner.*(NoneType|no value)"):
        face.nearest(face.store(index, []), "pump", filter=face.equal("owner", None))
    with pytest.raises(BadFilter, match="NoneType"):
        face.search(index, "pump", filter=where("owner") == None)  # noqa: E711
    assert ids(face.search(index, "pump", filter=~where("owner").exists())) == ["b"]


def test_first_add_fails_with_newer_pymilvus(face, reopen, monkeypatch):
    """langchain-milvus#128: its ORM half knows nothing of MilvusClient's connection. Here no ORM is used."""

    def refuse(*args, **kwargs):
        raise AssertionError("the ORM was used")

    monkeypatch.setattr("pymilvus.orm.collection.Collection.__init__", refuse)
    monkeypatch.setattr("pymilvus.AsyncMilvusClient.__init__", refuse)
    with reopen(preset="lexical") as index:
        face.add(index, [face.item("first", "the first pump")])
        assert ids(face.search(index, "pump")) == ["first"]


def test_async_client_reused_after_its_loop_closed(face, index):
    """pymilvus#3087: "attached to a different loop". Here a second loop finds what the first one found."""
    face.add(index, [face.item("a", "a pump"), face.item("b", "a valve")])

    async def both():
        return await asyncio.gather(face.asearch(index, "pump"), face.asearch(index, "valve"))

    for _ in range(2):
        assert [ids(found) for found in asyncio.run(both())] == [["a"], ["b"]]


DENSE = Config(legs=(DenseLeg(),), rerank=())


async def test_encoders_block_the_event_loop(face, tmp_path):
    """ogx#3332: one request's encoding stops all others. Here the loop ticks on while a query is encoded."""
    encoders = {"dense": face.encoder(by_words(["pump", "valve"]), dim=3, seconds=0.5)}
    with RagIndex.open(tmp_path / "a.db", config=DENSE, encoders=encoders) as index:
        face.add(index, [face.item("a", "a pump"), face.item("b", "a valve")])
        await face.asearch(index, "valve")  # The first one imports, which no thread keeps from the loop.
        found, stood_still = await watched(face.asearch(index, "pump", k=1))
    assert ids(found) == ["a"]
    assert stood_still < 0.25
