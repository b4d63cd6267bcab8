"""The context of what an index finds: pages put together again from passages that were stored."""

import pytest
from context_support import bodies

from rag_plugins import Config, RagIndex
from rag_plugins.config import Bm25Leg, ChunkingConfig

FIRST = [f"Rule {n} of the first page says that valve {n} is closed first." for n in range(12)]
SECOND = [f"On the second page number {n} is for the gauge." for n in range(9)]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    (folder / "rules.txt").write_text("\n\n".join(FIRST) + "\f" + " ".join(SECOND))
    (folder / "others.txt").write_text("Another file says of rule 3 that it is gone.")
    config = Config(legs=(Bm25Leg(),), rerank=(), chunking=ChunkingConfig(size=30, overlap=12))
    with RagIndex.open(folder / "rules.db", config=config) as index:
        assert not index.ingest([folder], root=folder).bad
        yield index


def test_passages_of_one_page_are_merged_without_what_they_share(index):
    hits = index.search("rule first page valve", k=20)
    context = index.context([hit for hit in hits if hit.passage.provenance.page == 1])
    rules = next(body for body in bodies(context) if "Rule 0" in body)

    assert len(hits) > 4
    assert rules.split() == " ".join(FIRST).split()
    assert "[…]" not in context.text


def test_whole_pages_come_with_what_was_not_found(index):
    [hit] = index.search("gauge number 4", k=1)
    alone, whole = index.context([hit]), index.context([hit], whole_pages=True)

    assert bodies(alone) == [hit.passage.llm_text]
    assert bodies(whole)[0].split() == " ".join(SECOND).split()
    assert 'rules.txt", page 2>>' in whole.text


def test_the_pages_of_other_files_and_other_pages_stay_out(index):
    [hit] = index.search("gauge", k=1)
    context = index.context([hit], whole_pages=True)

    assert "Rule 0" not in context.text
    assert "Another" not in context.text


def test_a_page_in_a_budget_begins_with_what_was_found(index):
    [hit] = index.search("gauge number 8", k=1)
    whole = index.context([hit], whole_pages=True)
    context = index.context([hit], whole_pages=True, budget=whole.tokens - 20)

    assert "number 8 is for the gauge." in context.text
    assert context.tokens <= whole.tokens - 20
    assert "whole" in context.notices[0]


def test_a_sentence_is_cited_by_file_and_page(index):
    context = index.context(index.search("valve 7 closed", k=2), whole_pages=True)
    quote = "valve 7 is closed"
    start = context.text.index(quote)
    [cited] = context.cite(start, start + len(quote))

    assert (cited.source, cited.page, cited.boxes) == ("rules.txt", 1, ())
