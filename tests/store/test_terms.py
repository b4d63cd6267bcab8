"""The term table, against looking at every surface."""

import random
import re
from fnmatch import fnmatchcase
from itertools import product

import pytest
from pymilvus import MilvusClient
from rapidfuzz.distance import OSA
from store_rows import arguments, name, row

from rag_plugins.config import StoreConfig
from rag_plugins.errors import BadInput
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.vectors import SparseVector

SURFACES = [
    *("a", "ab", "abc", "abcd", "pump", "pumps", "pimp", "pmup", "jump", "jumped", "mupp", "ump", "pumpkin"),
    *(
        "max_value",
        "max",
        "value",
        "--no-cache",
        "os.path.join",
        "100%",
        "a%b",
        "_",
        "__init__",
        "c++",
        "x*y",
    ),
    *("naïve", "naive", "straße", "键盘", "键", "盘子", "子", "\U00020000\U00020001", "안녕", "error code"),
    *('a"b', "a\\b", "a'b", '"', "\\", "[a-z]", "a\nb", "\t", "z\U0010fffe", "!", "aaaa", "aa", "aaaaa"),
    "x" * 999,
]
TENANTS = ["", "a", 'a"', "a\\", 'x" or tenant != "', 'x") or (tenant == "a', "a\nb", "%", "租户", "\ud800"]


def everything(surface):
    return True


@pytest.fixture
def table(store):
    table = store.terms("bm25")
    table.put(SURFACES)
    return table


STARTS = ["a", "ab", "pum", "_", "100%", "键", 'a"', "a\\", "os.", "zz", "", "\ud800", "\t"]


def test_prefixes_are_found_alphabetically(table):
    for start in STARTS:
        expected = sorted(surface for surface in SURFACES if surface.startswith(start))
        assert table.prefix(start, 100, everything) == expected
        assert table.prefix(start, 2, everything) == expected[:2]


PATTERNS = [
    *("*", "?", "??", "p*p", "?ump", "*ump*", "a?b", "*%*", "_*_", "*[*", "a*", "*b", "**a**", "*键*", "盘?"),
    *("x*y", "pump", "", "*.*.*", "*a*e*", "m*_?alue", "nothing*", "\ud800*", "!"),
]


def test_wildcards_match_whole_surfaces(table):
    for pattern in PATTERNS:
        escaped = pattern.replace("[", "[[]")
        expected = sorted(surface for surface in SURFACES if fnmatchcase(surface, escaped))
        assert table.wildcard(pattern, 100, everything) == expected
        assert table.wildcard(pattern, 2, everything) == expected[:2]


WORDS = ["pump", "pmup", "ab", "a", "键", "键盘", "naive", "aaaa", "cahce", "--no-cahe", "zq", "\ud800"]


def test_fuzzy_words_are_found_nearest_first(table):
    for word, distance in product(WORDS, (0, 1, 2)):
        edits = {surface: OSA.distance(word, surface) for surface in SURFACES}
        near = sorted((number, surface) for surface, number in edits.items() if number <= distance)
        found = [(surface, number) for number, surface in near]
        assert table.fuzzy(word, distance, 100, everything) == found
        assert table.fuzzy(word, distance, 2, everything) == found[:2]


def test_no_match_is_missed_among_many(open_store, monkeypatch):
    """Random words, small pages and shallow first searches: as good as looking at every surface."""
    monkeypatch.setattr("rag_plugins.store.engine._IDS_A_PAGE", 64)
    monkeypatch.setattr("rag_plugins.store.terms._FEW", 8)
    draw = random.Random(3)
    words = sorted({"".join(draw.choices("abcde", k=draw.randint(1, 8))) for _ in range(1500)})
    table = open_store().terms("bm25")
    table.put(words)
    for word in draw.sample(words, 15):
        for distance in (1, 2):
            edits = {surface: OSA.distance(word, surface) for surface in words}
            near = sorted((number, surface) for surface, number in edits.items() if number <= distance)
            assert table.fuzzy(word, distance, 5000, everything) == [(s, number) for number, s in near]
        pattern = f"*{word[:2]}*{word[-1]}"
        matching = [surface for surface in words if fnmatchcase(surface, pattern)]
        assert table.wildcard(pattern, 5000, everything) == matching
        assert table.wildcard(pattern, 7, everything) == matching[:7]
        assert table.prefix(word[0], 7, everything) == [s for s in words if s[0] == word[0]][:7]


def test_more_candidates_than_a_search_gives_are_looked_through(open_store, monkeypatch):
    monkeypatch.setattr("rag_plugins.store.terms._FEW", 4)
    monkeypatch.setattr("rag_plugins.store.terms.MAX_HITS", 16)
    words = sorted(f"{first}{second}e{third}" for first in "abcd" for second in "xyz" for third in "klmno")
    table = open_store().terms("bm25")
    table.put(words)
    assert table.wildcard("*e*", 100, everything) == words
    assert table.wildcard("*e*", 7, everything) == words[:7]
    assert table.fuzzy("axek", 1, 1, everything) == [("axek", 0)]


def test_surfaces_no_longer_known_are_left_out_before_the_limit(table):
    def known(surface):
        return surface not in ("pimp", "pump", "ab")

    assert table.prefix("ab", 2, known) == ["abc", "abcd"]
    assert table.wildcard("p*p", 1, known) == ["pmup"]
    assert table.fuzzy("pump", 1, 2, known) == [("jump", 1), ("pmup", 1)]


@pytest.mark.parametrize("tenant", TENANTS)
def test_no_tenant_and_no_leg_sees_another(open_store, tenant):
    mine, theirs = open_store(tenant=tenant), open_store(tenant="someone else")
    theirs.terms("bm25").put(["secret", "secrets"])
    mine.terms("other").put(["secret", "sacred"])
    table = mine.terms("bm25")
    for _ in range(2):
        assert table.prefix("", 100, everything) == table.wildcard("*", 100, everything) == []
        assert table.prefix("s", 100, everything) == table.wildcard("*ecre*", 100, everything) == []
        assert table.fuzzy("secret", 2, 100, everything) == []
    table.put(["secrete"])
    assert table.prefix("s", 100, everything) == table.wildcard("s*", 100, everything) == ["secrete"]
    assert table.fuzzy("secret", 2, 100, everything) == [("secrete", 1)]
    assert theirs.terms("bm25").prefix("s", 100, everything) == ["secret", "secrets"]


@pytest.mark.parametrize(
    "surface", ['x" or tenant != "', '") or (surface != "', "\\", "\\\\", "'; drop", "{x}", "%"]
)
def test_hostile_surfaces_are_only_ever_values(open_store, surface):
    theirs, table = open_store(tenant="b").terms("bm25"), open_store(tenant="a").terms("bm25")
    theirs.put(["secret", surface])
    assert table.prefix(surface, 10, everything) == table.wildcard(surface + "*", 10, everything) == []
    assert table.fuzzy(surface, 2, 10, everything) == []
    table.put([surface])
    assert table.prefix(surface, 10, everything) == table.wildcard(surface + "*", 10, everything) == [surface]
    assert table.fuzzy(surface, 1, 10, everything) == [(surface, 0)]


def test_surfaces_are_kept_once_and_what_cannot_be_is_not(open_store, collection):
    store = open_store()
    one, two = store.terms("bm25"), open_store().terms("bm25")
    for table in (one, two, one, two):
        table.put(["pump", "pump", "valve", "", "a\0b", "\ud800", "é" * 501, "é" * 500])
    assert one.prefix("", 10, everything) == ["pump", "valve", "é" * 500]
    assert store._engine.count(f"{collection}_terms") == 3
    one.forget()
    one.put(["pump", "tap"])
    assert two.prefix("", 10, everything) == ["pump", "tap", "valve", "é" * 500]


def test_what_a_process_remembers_is_bounded(open_store, monkeypatch):
    monkeypatch.setattr("rag_plugins.store.terms._REMEMBERED", 3)
    table = open_store().terms("bm25")
    for n in range(10):
        table.put([f"word{n}", "always"])
    assert len(table._stored) <= 5 and len(table.prefix("", 100, everything)) == 11


def test_a_table_without_surfaces_is_no_collection(store, collection):
    table = store.terms("bm25")
    table.put([])
    assert table.prefix("a", 5, everything) == table.wildcard("a*b", 5, everything) == []
    assert table.wildcard("*", 5, everything) == [] and table.fuzzy("ab", 2, 5, everything) == []
    assert not store._engine.has(f"{collection}_terms")


def test_a_released_table_is_loaded_again(open_store, collection):
    store = open_store()
    store.terms("bm25").put(["pump"])
    store._engine._client.release_collection(f"{collection}_terms")
    assert store.terms("bm25").fuzzy("pumps", 1, 5, everything) == [("pump", 1)]


def test_a_real_server_gets_indexes(own_milvus_server, collection, tmp_path, monkeypatch):
    monkeypatch.setattr(MilvusClient, "get_server_version", lambda self, timeout: "v2.6.7")
    monkeypatch.setattr(MilvusClient, "flush", None)
    config = StoreConfig(assets=tmp_path)
    with MilvusStore.open(own_milvus_server.uri, **arguments(collection=collection, config=config)) as store:
        table = store.terms("bm25")
        table.put(["pump", "valve"])
        assert table.fuzzy("pumq", 1, 5, everything) == [("pump", 1)]
        indexes = store._engine._client.list_indexes(f"{collection}_terms")
        assert sorted(indexes) == ["grams", "leg", "surface", "tenant"]


def test_stored_vectors_come_back_by_id(open_store):
    store, other = open_store(), open_store(tenant="other")
    store.upsert([row(1, terms={1: 0.5, 2**32 - 3: 2.0}), row(2, terms={})])
    other.upsert([row(3, tenant="other")])
    ids = [name(2), name(1), name(9), name(3, "other")]
    assert store.vectors("bm25", ids) == {
        name(1): SparseVector.of({1: 0.5, 2**32 - 3: 2.0}),
        name(2): SparseVector.of({}),
    }
    for field in ("dense", "other"):
        with pytest.raises(BadInput, match=re.escape(f"field {field!r}: expected a sparse one of")):
            store.vectors(field, ids)


def test_shared_objects_are_one_for_a_tenants_collection_until_the_last_store_closes(milvus_uri, collection):
    def opened(**changes):
        return MilvusStore.open(milvus_uri, **arguments(**{"collection": collection, **changes}))

    one, two, other = opened(), opened(), opened(tenant="other")
    made = one.shared("terms", list)
    assert two.shared("terms", list) is made
    assert other.shared("terms", list) is not made and one.shared("more", list) is not made
    one.close()
    other.close()
    assert two.shared("terms", list) is made
    two.close()
    if two.is_file:  # Another test's store may keep the connection to the server open.
        with opened() as again:
            assert again.shared("terms", list) is not made


def test_a_file_is_told_from_a_server(store, store_uri):
    assert store.is_file == store_uri.endswith(".db")
