"""Two passes over a real store: a shortlist by one vector a page, then MaxSim over its tokens."""

import logging

import numpy as np
import pytest
import torch
from tiny_pages import picture, save_colpali
from transformers import ColPaliForRetrieval, ColPaliProcessor

from rag_plugins.config import ComputeConfig, PageTokensLeg, StoreConfig
from rag_plugins.filters import where
from rag_plugins.legs.passes import TokenPass
from rag_plugins.models.protocols import Encoding, Representation
from rag_plugins.models.tokens import max_similarities, pack_tokens, unpack_tokens
from rag_plugins.models.visual.images import decoded
from rag_plugins.models.visual.muvera import FIRST_PASSES
from rag_plugins.models.visual.page_tokens import PageTokensEncoder
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import Row, VectorField
from rag_plugins.types import EmbedImage, Passage, passage_id
from rag_plugins.vectors import normalise

DIM = 32
FIRST = FIRST_PASSES["muvera"]


def rows(count, seed, dim=DIM):
    return normalise(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


class Spoken:
    """Queries whose tokens are known; counts how often it is asked."""

    produces = frozenset({Representation.DENSE, Representation.TOKENS})
    fingerprint = {"model": "spoken"}

    def __init__(self, queries, first=FIRST):
        self.queries, self.first, self.asked = queries, first, []

    def encode_queries(self, queries, want):
        self.asked.append((list(queries), want))
        tokens = [self.queries[query] for query in queries]
        return Encoding(dense=np.stack([self.first.query(some) for some in tokens]), tokens=tuple(tokens))


def name(number):
    return passage_id("", content=str(number))


def page_row(number, tokens, *, page=None, kept=True, doc_id="a.pdf"):
    image = EmbedImage(passage_id("", content=f"page {number if page is None else page}"))
    passage = Passage(name(number), doc_id, (image,), f"text {number}")
    return Row(passage, {"pages": FIRST.page(tokens)}, {"pages": pack_tokens(tokens, "int8")} if kept else {})


def opened(uri, collection, folder, dim, leg="pages"):
    return MilvusStore.open(
        uri,
        collection=collection,
        fields=[VectorField(leg, "dense", dim)],
        fingerprint={leg: {"dim": dim}},
        keep_tokens=[leg],
        config=StoreConfig(assets=folder / "assets"),
    )


@pytest.fixture
def store(milvus_uri, collection, tmp_path):
    with opened(milvus_uri, collection, tmp_path, FIRST.size(DIM)) as store:
        yield store


@pytest.fixture
def file(tmp_path):
    with opened(str(tmp_path / "pages.db"), "pages", tmp_path, FIRST.size(DIM)) as store:
        yield store


def exact(query, pages):
    """By the tokens as they are kept: rounding may swap pages that are as good as equal."""
    kept = {n: unpack_tokens(pack_tokens(tokens, "int8")) for n, tokens in pages.items()}
    scores = {name(n): float((tokens @ query.T).max(axis=0).sum()) for n, tokens in kept.items()}
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def test_it_is_maxsim_over_the_shortlist(store):
    pages = {n: rows(12 + n, n) for n in range(20)}
    store.upsert([page_row(n, tokens) for n, tokens in pages.items()])
    query = rows(5, 100)
    encoder = Spoken({"which valve?": query})
    first, last = TokenPass(store, "pages", encoder, 20).search("which valve?", 20)
    right = exact(query, pages)
    assert [id for id, _ in last] == [id for id, _ in right]
    assert [score for _, score in last] == pytest.approx([score for _, score in right], abs=1e-4)
    unrounded = {name(n): float((tokens @ query.T).max(axis=0).sum()) for n, tokens in pages.items()}
    assert dict(last) == pytest.approx(unrounded, abs=0.01)
    assert list(first) == store.search("pages", FIRST.query(query), 20)
    assert encoder.asked == [(["which valve?"], Spoken.produces)]


def test_a_page_that_has_every_token_of_the_query_is_first(file):
    pages = {n: rows(30, n) for n in range(40)}
    file.upsert([page_row(n, tokens) for n, tokens in pages.items()])
    queries = {f"page {n}": pages[n][:6] for n in pages}
    search = TokenPass(file, "pages", Spoken(queries), 20)
    for n in pages:
        _, last = search.search(f"page {n}", 3)
        assert last[0] == (name(n), pytest.approx(6.0, abs=0.05))
        assert len(last) == 3


def test_the_shortlist_bounds_what_maxsim_reads(file):
    pages = {n: rows(20, n) for n in range(30)}
    file.upsert([page_row(n, tokens) for n, tokens in pages.items()])
    query = rows(5, 100)
    first, last = TokenPass(file, "pages", Spoken({"?": query}), 8).search("?", 5)
    assert len(first) == 8
    among = {n: tokens for n, tokens in pages.items() if name(n) in dict(first)}
    assert [id for id, _ in last] == [id for id, _ in exact(query, among)[:5]]


def test_passages_of_a_page_share_its_tokens_and_its_place(store, monkeypatch):
    pages = {page: rows(20, page) for page in range(6)}
    store.upsert(
        [page_row(10 * page + n, tokens, page=page) for page, tokens in pages.items() for n in range(4)]
    )
    counted = []

    def counting(query, packed):
        counted.append(len(packed))
        return max_similarities(query, packed)

    monkeypatch.setattr("rag_plugins.legs.passes.max_similarities", counting)
    query = rows(5, 100)
    first, last = TokenPass(store, "pages", Spoken({"?": query}), 6).search("?", 3)
    assert len(first) == 24  # Six pages, not the passages of one and a half.
    assert counted == [6]
    [best] = {score for _, score in last}
    assert best == pytest.approx(max((t @ query.T).max(axis=0).sum() for t in pages.values()), abs=0.01)
    assert [id for id, _ in last] == sorted(id for id, _ in last)


def test_the_filter_holds_in_both_passes(store):
    store.upsert([page_row(n, rows(9, n), doc_id="b.pdf" if n % 2 else "a.pdf") for n in range(10)])
    search = TokenPass(store, "pages", Spoken({"?": rows(4, 50)}), 10)
    first, last = search.search("?", 10, where("doc_id") == "b.pdf")
    assert {id for id, _ in first} == {id for id, _ in last} == {name(n) for n in range(1, 10, 2)}


def test_passages_whose_tokens_are_lost_follow_all_others(file, caplog):
    pages = {n: rows(9, n) for n in range(8)}
    file.upsert([page_row(n, tokens, kept=n not in (2, 5)) for n, tokens in pages.items()])
    query = rows(4, 50)
    with caplog.at_level(logging.WARNING):
        first, last = TokenPass(file, "pages", Spoken({"?": query}), 8).search("?", 8)
    kept = {n: tokens for n, tokens in pages.items() if n not in (2, 5)}
    assert [id for id, _ in last[:6]] == [id for id, _ in exact(query, kept)]
    assert [id for id, _ in last[6:]] == [id for id, _ in first if id in (name(2), name(5))]
    assert last[5][1] == last[6][1] == last[7][1]
    assert "tokens of 2 passages are lost" in caplog.text


def test_without_any_tokens_the_first_pass_stands(file):
    file.upsert([page_row(n, rows(9, n), kept=False) for n in range(4)])
    first, last = TokenPass(file, "pages", Spoken({"?": rows(4, 50)}), 4).search("?", 2)
    assert list(last) == list(first)[:2]


def test_an_empty_collection_has_nothing(file):
    assert TokenPass(file, "pages", Spoken({"?": rows(4, 50)}), 4).search("?", 2) == ([], [])


def test_a_query_without_tokens_finds_nothing(file):
    file.upsert([page_row(1, rows(9, 1))])
    assert TokenPass(file, "pages", Spoken({"": rows(0, 0)}), 4).search("", 2) == ([], [])


def test_pages_of_a_thousand_tokens_are_kept_whole(store):
    """In eight bits they are longer than a text of the engine."""
    pages = {n: rows(2000, n) for n in range(3)}
    store.upsert([page_row(n, tokens) for n, tokens in pages.items()])
    assert min(map(len, store.fetch_tokens("pages", [name(n) for n in pages]).values())) > 65_535
    query = rows(5, 100)
    _, last = TokenPass(store, "pages", Spoken({"?": query}), 3).search("?", 3)
    assert last == [(id, pytest.approx(score, abs=0.01)) for id, score in exact(query, pages)]


@pytest.mark.parametrize("first_pass", FIRST_PASSES)
def test_pages_are_ranked_as_colpali_itself_does(tmp_path, first_pass):
    """From pictures to ranking, against the processor's own scores of what transformers makes of them."""
    folder = save_colpali(tmp_path / "colpali")
    leg = PageTokensLeg(model=str(folder), pool=1, first_pass=first_pass)
    encoder = PageTokensEncoder(leg, ComputeConfig(backend="torch", precision="fp32"))
    pictures = [picture(n) for n in range(8)]
    made = encoder.encode_images(pictures, Spoken.produces)
    model, processor = (
        ColPaliForRetrieval.from_pretrained(folder).eval(),
        ColPaliProcessor.from_pretrained(folder),
    )
    with torch.inference_mode():
        asked = model(**processor.process_queries(["which valve is red?"])).embeddings
        shown = model(**processor.process_images(list(decoded(pictures)))).embeddings
    [expected] = processor.score_retrieval(asked, shown).tolist()
    stored = [
        Row(
            page_row(n, rows(1, n)).passage,
            {leg.name: made.dense[n]},
            {leg.name: pack_tokens(made.tokens[n], leg.keep)},
        )
        for n in range(8)
    ]
    with opened(str(tmp_path / "c.db"), "c", tmp_path, encoder.dim, leg.name) as store:
        store.upsert(stored)
        _, last = TokenPass(store, leg.name, encoder, leg.shortlist).search("which valve is red?", 8)
    assert dict(last) == pytest.approx({name(n): score for n, score in enumerate(expected)}, abs=0.1)
    assert [id for id, _ in last[:2]] == [name(n) for n in np.argsort(expected)[::-1][:2]]
