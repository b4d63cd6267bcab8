"""Hostile names, ids, keys and values: no tenant reads, changes or counts what is another's."""

import random
from functools import partial

import pytest
from faults_support_tenants import MARK, VICTIM, WRITES, Attack, attacked, encoders, hostile, settings
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from llama_index.core.schema import ImageNode

from rag_plugins import langchain, llama_index, parse_query
from rag_plugins.errors import BadFilter, BadInput, StoreError
from rag_plugins.faces.images import encoded_page
from rag_plugins.filters import Comparison, literal, to_milvus
from rag_plugins.store.rows import Rows
from rag_plugins.store.schema import scope_of

SEED = 20_261


@pytest.fixture
def attack(milvus_uri, collection):
    attack = Attack(milvus_uri, settings(), encoders(), collection)
    yield attack
    attack.close()


def test_hundreds_of_hostile_values_read_and_harm_nothing_of_anothers(attack):
    figures = attacked(attack, SEED, count=100, ways=3, writing=50)
    print(f"seed {SEED}: {figures.told()}")
    assert not figures.leaks and not figures.harmed
    assert figures.calls >= 3 * 100 and figures.refused["BadFilter"]


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_ten_thousand_hostile_values_read_and_harm_nothing_of_anothers(attack, milvus_uri):
    # With two it did not end in time on a busy machine.
    ways = 1 if milvus_uri.startswith("http") else 2
    figures = attacked(attack, SEED + 1, count=10_000, ways=ways, writing=500)
    print(f"seed {SEED + 1}, {milvus_uri[:7]}: {figures.told()}")
    assert not figures.leaks and not figures.harmed and figures.values == 10_000


def test_what_is_looked_for_would_be_seen(attack):
    """The same calls as the victim itself: they find what they may."""
    attack.mine = attack.victim
    chance = random.Random(SEED)
    seen = set()
    for _ in range(2):
        for name, call in attack.ways("pump", chance):
            if name not in WRITES:
                before = len(attack.figures.leaks)
                attack.call(name, call)
                seen |= {name} if len(attack.figures.leaks) > before else set()
    for name in ("search", "rules", "explain", "many", "diverse", "vector", "find !=", "find key", "get"):
        assert name in seen
    for name in ("fetch", "views", "values", "ids", "vectors", "matrix", "count", "lc rules", "li ids"):
        assert name in seen, name


def scopes(store, count):
    """{tenant: rows} of hostile names that nobody has opened, and the victim's own."""
    known = Rows(store._engine, store.collection, scope_of(VICTIM), store.state)
    ids = known.ids()
    reached = []
    names = {name for name in hostile(SEED + 2, count) if name != VICTIM}
    for name in names:
        rows = Rows(store._engine, store.collection, scope_of(name), store.state)
        if scope_of(name) == scope_of(VICTIM) or rows.get(ids, ("id", "tenant")):
            reached.append(name)
    return names, ids, reached


def test_hostile_names_of_tenants_reach_nobody_elses_rows(attack):
    store = attack.victim.store
    names, ids, reached = scopes(store, 300)
    assert len(ids) == 12 and len(names) > 200 and not reached
    assert len({scope_of(name) for name in names}) == len(names)
    for name in sorted(names)[:: len(names) // 40]:
        assert not Rows(store._engine, store.collection, scope_of(name), store.state).ids()
    for name in ('" or tenant != "', "victim ", "vіctim", "\ud800", "sha256:x", "x" * 300, "%", 'a\\"\n'):
        index = attack.opened(name)
        assert not index.search("pump", k=20) and not index.find() and index.count() == 0
        index.add([index.passage("my own pump", doc_id="plan-1", caller_id="note-1")])
        assert [passage.llm_text for passage in index.find()] == ["my own pump"]
        assert index.clear() == 1
    attack.check_victim("names")
    assert not attack.figures.harmed


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_ten_thousand_hostile_names_of_tenants_reach_nobody_elses_rows(attack):
    names, ids, reached = scopes(attack.victim.store, 10_000)
    print(f"seed {SEED + 2}: {len(names)} different names, {len(reached)} reach another's rows")
    assert len(ids) == 12 and not reached and len({scope_of(name) for name in names}) == len(names)


def test_what_others_write_changes_no_score_and_shows_no_word(attack):
    """Frequencies, lengths and surfaces are a tenant's own: nobody learns from them what another has."""
    before = [(hit.passage.id, hit.score) for hit in attack.victim.search("canary pump", legs=["bm25"], k=20)]
    alone = [(hit.passage.llm_text, hit.score) for hit in attack.mine.search("my pump", legs=["bm25"])]
    attack.mine.add([attack.mine.passage(f"canary canary pump {n}", caller_id=f"x{n}") for n in range(9)])
    assert before == [
        (hit.passage.id, hit.score) for hit in attack.victim.search("canary pump", legs=["bm25"], k=20)
    ]
    attack.victim.add([attack.victim.passage(f"my pump {n}", caller_id=f"y{n}") for n in range(9)])
    attack.mine.remove([f"x{n}" for n in range(9)])
    assert alone == [
        (hit.passage.llm_text, hit.score) for hit in attack.mine.search("my pump", legs=["bm25"])
    ]
    found = attack.mine.search(parse_query("wat* plaant~1"), legs=["bm25"], explain=True)
    assert not found and "water" not in repr(found.notices)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def unescaped(expression):
    """The string literals of an expression, as Milvus' grammar reads them."""
    found, within, text, position = [], False, "", 0
    while position < len(expression):
        mark = expression[position]
        if within and mark == "\\":
            position += 1
            text += {"n": "\n", "t": "\t", "r": "\r"}.get(expression[position], expression[position])
        elif mark == '"':
            if within:
                found.append(text)
            within, text = not within, ""
        elif within:
            text += mark
        position += 1
    assert not within
    return found


@given(TEXTS, TEXTS)
def test_a_value_comes_back_equal_and_the_tenant_stands_outermost(tenant, value):
    assert unescaped(literal(value)) == [value]
    engine = type("Engine", (), {"lite": True})()
    rows = Rows(engine, "passages", scope_of(tenant), None)
    expression = rows.scope(Comparison("k", "!=", value))
    head = f"((tenant == {literal(scope_of(tenant))}) and ("
    assert expression.startswith(head) and expression.endswith("))")
    assert unescaped(expression) == [scope_of(tenant), "k", "k", value]
    # Outside strings, brackets pair and the first closes last: nothing stands beside the tenant's clause.
    depth, bare = 0, expression
    for text in unescaped(expression):
        bare = bare.replace(literal(text), '""', 1)
    for position, mark in enumerate(bare):
        depth += {"(": 1, ")": -1}.get(mark, 0)
        assert depth > 0 or position == len(bare) - 1
    assert depth == 0


@given(st.text(), st.text())
def test_a_filter_is_compiled_or_refused_and_never_left_out(key, value):
    try:
        expression = to_milvus(Comparison(key, "==", value))
    except BadFilter:
        return
    assert unescaped(expression)[-1] == value


PATHS = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "",
    "a" * 63,
    "A" * 64,
    "*",
    "?" * 64,
    f"{'a' * 64}/../x",
    "\0",
)


def test_no_path_reads_outside_the_assets(attack, tmp_path):
    """Metadata, nodes and Documents may name any path; none is followed."""
    secret = tmp_path / "secret.txt"
    secret.write_text(MARK)
    index = attack.mine
    chain, llama = langchain.RagVectorStore(index), llama_index.RagVectorStore(index)
    retriever = llama_index.HybridRetriever(index, 9, images=True)
    for path in (*PATHS, str(secret), secret.as_uri()):
        with pytest.raises(BadInput, match="expected 64 hex digits"):
            index.assets.get(path)
        with pytest.raises((BadInput, StoreError)):
            encoded_page(path, index.assets)
        for details in ({"page_image": path}, {"image_views": [{"asset": path}]}):
            metadata = {"rag_plugins": details, "source": str(secret)}
            document = Document(page_content="lamp", id="p", metadata=metadata)
            attack.call("content", partial(langchain.image_content, document, index.assets))
            attack.call("documents", partial(chain.add_documents, [document]))
        for fields in ({"image_path": path}, {"image_url": path}, {"image": path}):
            node = ImageNode(id_="n", text="lamp", metadata={"file_path": str(secret)}, **fields)
            attack.call("nodes", partial(llama.add, [node]))
    attack.call("read", lambda: [found.node.to_dict() for found in retriever.retrieve("lamp")])
    attack.call("got", lambda: [node.to_dict() for node in llama.get_nodes()])
    assert not attack.figures.leaks
