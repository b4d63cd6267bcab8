"""Hostile names and values, and every public way in that a tenant has, tried with them."""

import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from langchain_core.documents import Document
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from rag_plugins import Config, RagIndex, langchain, llama_index, parse_query, where
from rag_plugins.config import Bm25Leg, DenseLeg, RobustLeg
from rag_plugins.errors import RagPluginsError
from rag_plugins.filters import all_of
from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.types import passage_id

SECRET = "canary"
"""A word of the victim's that the attacker knows and asks for."""

MARK = "of the water plant"
"""In every text and metadata of the victim, and in nothing that anybody else asks for or stores."""

VICTIM = "victim"

FRAGMENTS = (
    '" or tenant != "', '") or (tenant == "victim', "' or '1'=='1", '" or id != "', '\\" or \\"', '"', "'",
    "\\", "\\\\", "{", "}", "{{victim}}", "{x}", "[", "]", "(", ")", "%", "%%", "_", "*", "?", "~2", "~",
    "`", ";", "-- ", "//", "/*", "*/", "#", "\n", "\r", "\t", "\0", "\x1a", "\ud800", "\udfff", "\ufffd",
    "\u202e", "\u2066", "\u200b", "\ufeff", "\u0130", "vіctim", "victiｍ", "VICTIM", "victim ", "victim",
    "canary", "ⅽanary", "tenant", "metadata", 'metadata["tenant"]', "doc_id", "id", "$and", "$or", "null",
    "None", "true", "false", "0", "-1", "1e309", "NaN", '{"$ne": null}', '["victim"]', "\\u0022",
    "sha256:", "sha256:" + "0" * 64, "../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "%2e%2e%2f",
    "${HOME}", "$(id)", "and", "or", "not", " in ", "==", "like", "exists", "e\u0301", "é", "漢字", "🦉",
    "a" * 300, "x" * 70_000, "",
)  # fmt: skip

FILTER_KEYS = ("k", "tenant", "doc_id", "id", "metadata", "caller_id")


def hostile(seed, count):
    """That many values, each of some fragments, the same for the same seed."""
    chance = random.Random(seed)
    return ["".join(chance.choices(FRAGMENTS, k=chance.randint(1, 4))) for _ in range(count)]


@dataclass
class Figures:
    """What was tried, and what came of it."""

    values: int = 0
    calls: int = 0
    refused: Counter = field(default_factory=Counter)
    leaks: list = field(default_factory=list)
    harmed: list = field(default_factory=list)

    def told(self):
        refused = sum(self.refused.values())
        return (
            f"{self.values} values, {self.calls} calls, {len(self.leaks)} leaks, {len(self.harmed)} rows of "
            f"others harmed, {refused} refused {dict(self.refused)}"
        )


def attacked(attack, seed, count, ways, writing):
    """Each value in so many ways of reading, one in `writing` of them also in all that write."""
    chance = random.Random(seed)
    for number, value in enumerate(hostile(seed, count)):
        attack.figures.values += 1
        calls = list(attack.ways(value, chance))
        reading = [call for call in calls if call[0] not in WRITES]
        for name, call in chance.sample(reading, min(ways, len(reading))):
            attack.call(name, call)
        if number % writing == 0:
            for name, call in calls:
                if name in WRITES:
                    attack.call(name, call)
            attack.check_victim(value[:100])
    attack.check_victim("at the end")
    return attack.figures


class Attack:
    """A tenant that tries to read, change and delete what is another's, with hostile values in every call.

    `uri` gets a collection of both tenants, if it has none.
    """

    def __init__(self, uri, config, encoders, collection="passages"):
        self.figures = Figures()
        self._settings = {"config": config, "encoders": encoders, "collection": collection}
        self._uri = uri
        self._close = ExitStack()
        self.victim = self.opened(VICTIM)
        self.mine = self.opened("attacker")
        self.victim.add(
            self.victim.passage(
                f"{SECRET} pump {n} {MARK}",
                doc_id=f"plan-{n % 3}",
                caller_id=f"note-{n}",
                metadata={"k": f"{n} {MARK}", "n": n, "tags": [SECRET, "pump"], "tenant": VICTIM},
            )
            for n in range(12)
        )
        self.before = self._rows()
        self.ids = [passage.id for passage in self.before]
        self.mine.add([self._own(self.mine, n) for n in range(4)])

    def opened(self, tenant):
        return self._close.enter_context(RagIndex.open(self._uri, tenant=tenant, **self._settings))

    def close(self):
        self._close.close()

    def _own(self, index, n):
        return index.passage(f"my pump {n}", doc_id=f"plan-{n % 3}", caller_id=f"note-{n}", metadata={"k": n})

    def _rows(self):
        return self.victim.find()

    def check_victim(self, what):
        now = self._rows()
        if now != self.before:
            self.figures.harmed.append((what, len(now)))

    def call(self, name, do):
        """Whatever it gives or raises may not have a word of the victim's."""
        self.figures.calls += 1
        try:
            told = do()
        except RagPluginsError as error:
            self.figures.refused[type(error).__name__] += 1
            return None
        except ValueError as error:  # pydantic's own, of a framework's class that refuses its input.
            if type(error).__name__ != "ValidationError":
                raise
            self.figures.refused["pydantic"] += 1
            return None
        if MARK in (text := repr(told)):
            self.figures.leaks.append((name, text[:300]))
        return told

    def ways(self, value, chance):
        """(name, call) of the ways in, each with this value as whatever it takes."""
        index, store = self.mine, self.mine.store
        key = chance.choice(FILTER_KEYS)
        taken = passage_id(VICTIM, caller_id=f"note-{chance.randrange(12)}")
        ids = [value, taken, f"note-5{value}", f'{taken}" or id != "']
        filters = self._filters(key, value)
        yield "search", lambda: index.search(value or "pump", k=20)
        yield "rules", lambda: index.search(parse_query(f'{value} pump* can*ry canary~1 "{SECRET}"'), k=20)
        yield (
            "explain",
            lambda: [
                (hit.passage, hit.terms)
                for hit in index.search(f"{SECRET} {value[:100]}", k=20, explain=True)
            ],
        )
        yield "many", lambda: index.search_many(["pump", value, SECRET], k=20)
        yield "diverse", lambda: index.diverse(f"pump {value[:100]}", k=9)
        yield "group", lambda: index.search("pump", k=20, group_by=value)
        yield "leg", lambda: index.search("pump", legs=[chance.choice([*index.legs, value])])
        yield "vector", lambda: index.search("", k=20, vectors={"dense": [0.5, 0.5, 0.5, 0.5]})
        for name, make in filters:
            yield f"find {name}", lambda make=make: index.find(make())
            if chance.random() < 0.2:
                yield f"search {name}", lambda make=make: index.search("pump", k=20, filter=make())
        yield "get", lambda: index.get(ids)
        yield "fetch", lambda: store.fetch(ids)
        yield "views", lambda: store.views(ids)
        yield "values", lambda: store.values(ids, "k")
        yield "value of", lambda: self._known(store.values(ids, value))
        yield "vectors", lambda: self._known(store.vectors("bm25", ids))
        yield "matrix", lambda: self._known(ids[: len(store.matrix("dense", ids))] and ids)
        yield "confidences", lambda: self._known(store.confidences(ids))
        yield "ids", lambda: self._known([*store.ids(), *store.ids(where("n") >= 0)])
        yield "count", lambda: store.count() > 8 and MARK
        yield "tokens", lambda: store.fetch_tokens(value, ids)
        yield "page", lambda: store.page(value, 1)
        yield "asset", lambda: index.assets.get(value)
        yield "remove", lambda: self._none(index.remove(ids))
        yield "delete", lambda: self._none(index.delete(value))
        yield "whole pages", lambda: index.context(index.search("pump"), whole_pages=True).text
        yield from self._frameworks(value, key, ids, chance)
        yield "add", lambda: self._added(value, key, ids)

    def _known(self, found):
        """Ids of the victim's among what was found."""
        return [f"{id} {MARK}" for id in found if id in self.ids]

    def _none(self, removed):
        return f"{removed} {MARK}" if removed else None

    def _filters(self, key, value):
        other = where("n") >= 0
        return [
            ("==", lambda: where(key) == value),
            ("!=", lambda: where(key) != value),
            ("<", lambda: where(key) < value),
            (">=", lambda: (where(key) >= value) | other),
            ("in", lambda: where(key).is_in([value, f"{SECRET}-1"])),
            ("not", lambda: ~(where(key) == value)),
            ("contains", lambda: where("tags").contains(value) | where("tags").contains(SECRET)),
            ("includes", lambda: where(key).includes(value)),
            ("any case", lambda: where(key).includes(value, ignore_case=True) | other),
            ("key", lambda: ~(where(value) == SECRET)),
            ("exists", lambda: ~where(value).exists()),
            ("empty", lambda: where(key).is_empty() | (where("k") == value)),
            ("all of", lambda: all_of({"doc_id": value, key: [value, "x"]})),
        ]

    def _frameworks(self, value, key, ids, chance):
        index = self.mine
        chain, llama = langchain.RagVectorStore(index), llama_index.RagVectorStore(index)
        operator = chance.choice(sorted(OPERATORS))
        of_lists = {FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL}
        found = chance.choice(list(FilterOperator))
        given = [value, SECRET] if found in of_lists else value

        def filters():
            return MetadataFilters(filters=[MetadataFilter(key=key, value=given, operator=found)])

        listed = [value] if operator in ("$in", "$nin") else value
        yield (
            "lc retriever",
            lambda: langchain.HybridRetriever(index, 20, {key: {operator: listed}}).invoke("pump"),
        )
        yield "lc rules", lambda: langchain.HybridRetriever(index, 20, rules=True).invoke(value or "pump")
        yield "lc ids", lambda: chain.get_by_ids(ids)
        yield "lc delete", lambda: chain.delete(ids) and None
        yield "lc filter", lambda: chain.similarity_search("pump", 20, filter={key: value})
        yield "lc key", lambda: chain.similarity_search("pump", 20, filter={value: {"$exists": False}})
        yield (
            "li retriever",
            lambda: llama_index.HybridRetriever(index, 20, filters=filters()).retrieve("pump"),
        )
        yield "li ids", lambda: llama.get_nodes(ids)
        yield "li filter", lambda: llama.get_nodes(filters=filters())
        yield (
            "li query",
            lambda: llama.query(
                VectorStoreQuery(query_str="pump", similarity_top_k=20, node_ids=ids, doc_ids=[value])
            ),
        )
        yield "li delete", lambda: llama.delete(value)
        yield "li delete nodes", lambda: llama.delete_nodes(ids)

    def _added(self, value, key, ids):
        """Rows with these names and values, by all three faces; and all of them away again."""
        index = self.mine
        passage = index.passage(
            f"my pump {value[:200]}", doc_id=value or None, caller_id=value, metadata={key: value, value: 1}
        )
        try:
            index.add([passage])
            back = index.get([passage.id])
            assert back and back[0].id == passage.id
            langchain.RagVectorStore(index).add_documents(
                [Document(id=ids[1], page_content="mine", metadata={"source": value, key: value})]
            )
            llama_index.RagVectorStore(index).add([TextNode(id_=ids[2], text="mine", metadata={key: value})])
            return index.get([value]), index.find()
        finally:
            index.clear()
            index.add([self._own(index, n) for n in range(4)])


OPERATORS = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$contains", "$not"}


WRITES = ("add", "remove", "delete", "lc delete", "li delete", "li delete nodes")


def settings():
    """All kinds of legs that need no model of the hub, nothing learned or reranked."""
    return Config(legs=(Bm25Leg(), RobustLeg(), DenseLeg()), rerank=(), fusion={"method": "minmax"})


def encoders():
    """A dense encoder that can be worked out by hand."""

    def made(texts):
        counts = np.array([[text.count(letter) + 0.1 for letter in "pcmw"] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).tolist()

    return {"dense": ForeignEncoder("letters", made, made, dim=4)}
