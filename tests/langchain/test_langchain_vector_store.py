import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from statistics import median

import numpy as np
import pytest
from faces_support import WordOverlap, spinning, watched
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from store_support import WORDS, CountedWords

from rag_plugins import Config, RagIndex, where
from rag_plugins.config import GivenRerankerConfig
from rag_plugins.errors import BadFilter, BadInput, BadPassage, CollectionMismatch
from rag_plugins.langchain import HybridRetriever, RagVectorStore, from_langchain

DOCUMENTS = [
    Document(id="filter", page_content="Change the filter.", metadata={"source": "a.pdf", "year": 2021}),
    Document(id="lamp", page_content="The red lamp: the tank is empty.", metadata={"source": "a.pdf"}),
    Document(id="tank", page_content="Fill the tank with water.", metadata={"year": 2023, "my key": [1]}),
    Document(id="water", page_content="The water of the tank, the tank of water.", metadata={"year": 2023}),
]


@pytest.fixture(scope="module")
def handbook(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "handbook.db"
    with RagVectorStore.from_documents(DOCUMENTS, CountedWords(), path=path) as store:
        yield store


@pytest.fixture
def lexical(tmp_path):
    """Of BM25 alone, which needs no model."""
    with RagVectorStore.from_texts([], path=tmp_path / "words.db", preset="lexical") as store:
        yield store


def ids(documents):
    return [document.id for document in documents]


def test_documents_come_back_as_they_were_added(handbook):
    assert sorted(handbook.get_by_ids(["tank", "lamp", "unknown"]), key=lambda each: each.id) == [
        DOCUMENTS[1],
        DOCUMENTS[2],
    ]
    assert handbook.similarity_search("tank", k=9) != []
    for found in handbook.similarity_search("tank", k=9):
        assert found == next(each for each in DOCUMENTS if each.id == found.id)
    assert handbook.get_by_ids([]) == []


def test_metadata_of_any_key_are_kept_and_what_json_has_no_form_of_is_converted(lexical):
    odd = {"with spaces": 1, "": 2, "día": {"deep": [None, True]}, "$x": "1", "doc_id": 7, "source": "a"}
    [id, other] = lexical.add_texts(
        ["pump", "valve"], [odd, {"day": date(2024, 2, 1), "t": (1, 2), "n": np.float32(0.5), "nan": np.nan}]
    )

    assert lexical.get_by_ids([id])[0].metadata == odd
    assert lexical.similarity_search("pump")[0].metadata == odd
    assert lexical.get_by_ids([other])[0].metadata == {
        "day": "2024-02-01",
        "t": [1, 2],
        "n": 0.5,
        "nan": None,
    }
    with pytest.raises(BadPassage, match="'x'"):
        lexical.add_texts(["fine", "bad"], [{}, {"x": object()}])
    assert lexical.index.count() == 2


def test_what_a_search_added_is_not_stored(lexical):
    lexical.add_documents([Document(id="pump", page_content="pump", metadata={"n": 1})])
    [found] = HybridRetriever(lexical.index).invoke("pump")
    assert found.metadata["rag_plugins"]["trace"]

    lexical.add_documents([found])
    assert lexical.get_by_ids(["pump"]) == [Document(id="pump", page_content="pump", metadata={"n": 1})]


def test_what_was_ingested_is_changed_in_place_and_stays_of_its_page(lexical, tmp_path):
    (tmp_path / "manual.txt").write_text("The pump is checked every year.")
    lexical.index.ingest([tmp_path / "manual.txt"])
    [before] = lexical.index.find()
    [found] = lexical.similarity_search("pump")
    assert found.id == before.id and found.metadata["source"]

    found.metadata["reviewed"] = True
    assert lexical.add_documents([found]) == [found.id]
    [after] = lexical.index.find()
    assert lexical.get_by_ids([found.id]) == [found]
    assert (after.doc_id, after.provenance) == (before.doc_id, before.provenance)
    assert after.metadata == {**before.metadata, "reviewed": True}

    found.page_content = "The pump is checked every month."
    lexical.add_documents([found])
    assert [each.page_content for each in lexical.similarity_search("month")] == [found.page_content]
    [after] = lexical.index.find()
    assert after.provenance.source == before.provenance.source
    assert lexical.index.delete(before.doc_id) == 1


def test_the_retrieval_text_is_searched_and_comes_back(lexical):
    whole = Document(id="p", page_content="It is closed first.", metadata={"retrieval_text": "shutoff valve"})
    lexical.add_documents([whole])

    assert lexical.similarity_search("valve") == [whole]
    assert lexical.similarity_search("closed") == []


def test_ids_are_replaced_where_given_and_made_where_not_as_in_memory(lexical):
    for store in (lexical, InMemoryVectorStore(CountedWords())):
        first, second = store.add_texts(["pump", "pump"])
        assert first != second
        third = store.add_texts(["pump"])[0]
        assert store.add_texts(["valve"], ids=[first]) == [first]
        assert store.add_documents([Document(id="own", page_content="x")], ids=["given"]) == ["given"]
        assert [each.page_content for each in store.get_by_ids([first, second, third])] == [
            "valve",
            "pump",
            "pump",
        ]
        [made, own] = store.add_documents([Document(page_content="a"), Document(id="own", page_content="b")])
        assert made and own == "own"
        assert store.get_by_ids([made, "given"])[0].page_content == "a"
    assert lexical.index.count() == 6
    assert lexical.add_texts(text for text in ["lazily", "given"])  # LangChain's own loses these.
    assert lexical.index.count() == 8


def test_lists_of_different_lengths_are_refused_before_anything_is_written(lexical):
    with pytest.raises(ValueError, match="got 1 ids for 2 documents"):
        lexical.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(ValueError, match="got 1 metadatas for 2 texts"):
        lexical.add_texts(["a", "b"], [{}])
    assert lexical.index.count() == 0


def test_documents_of_one_source_are_one_document(lexical):
    lexical.add_documents(DOCUMENTS)

    assert lexical.index.delete("a.pdf") == 2
    assert lexical.index.delete("tank") == 1
    assert ids(lexical.get_by_ids(["filter", "lamp", "tank", "water"])) == ["water"]


def test_delete_by_ids_of_all_and_never_by_what_it_does_not_know(lexical):
    lexical.add_documents(DOCUMENTS)

    assert lexical.delete(["lamp", "unknown"]) is True
    assert lexical.delete([]) is True
    assert ids(lexical.similarity_search("tank lamp")) == ["water", "tank"]
    with pytest.raises(BadInput, match="delete got filter"):
        lexical.delete(filter={"year": 2023})
    assert lexical.index.count() == 3
    assert lexical.delete() is True
    assert lexical.index.count() == 0


def test_filters_legs_and_modes_of_a_search(handbook):
    assert set(ids(handbook.similarity_search("tank", k=9, filter={"year": {"$gte": 2022}}))) == {
        "tank",
        "water",
    }
    assert ids(handbook.similarity_search("tank", filter=where("source") == "a.pdf", legs=["bm25"])) == [
        "lamp"
    ]
    assert ids(handbook.similarity_search("lamp", k=1, legs={"dense": 1.0, "bm25": 0.5}, mode="text")) == [
        "lamp"
    ]
    with pytest.raises(BadFilter):
        handbook.similarity_search("tank", filter={"year": None})
    with pytest.raises(TypeError, match="filtre"):
        handbook.similarity_search("tank", filtre={"year": 2021})


def test_scores_fall_and_are_those_of_the_index(handbook):
    scored = handbook.similarity_search_with_score("water tank", k=4)

    assert [(found.id, score) for found, score in scored] == [
        (hit.passage.caller_id, hit.score) for hit in handbook.index.search("water tank", 4)
    ]
    assert [score for _, score in scored] == sorted((score for _, score in scored), reverse=True)


def test_by_vector_it_is_the_dense_leg_alone_with_its_cosines(handbook):
    query = CountedWords().embed_query("lamp")
    found = handbook.similarity_search_with_score_by_vector(query, k=2)

    assert [document.id for document, _ in found][:1] == ["lamp"]
    assert len(found) == 2
    expected = CountedWords().embed_query(DOCUMENTS[1].page_content)
    cosine = np.dot(query, expected) / np.linalg.norm(query) / np.linalg.norm(expected)
    assert found[0][1] == pytest.approx(cosine, abs=1e-5)
    assert ids(handbook.similarity_search_by_vector(query, k=1)) == ["lamp"]
    assert ids(handbook.similarity_search_by_vector(query, k=1, filter={"year": 2021})) == ["filter"]
    with pytest.raises(BadInput, match="dense"):
        handbook.similarity_search_by_vector([1.0])


def test_a_store_without_a_dense_leg_says_so(lexical):
    lexical.add_documents(DOCUMENTS)

    assert lexical.embeddings is None
    with pytest.raises(BadInput, match="needs a dense one"):
        lexical.similarity_search_by_vector([1.0, 2.0])
    with pytest.raises(BadInput, match="needs a dense one"):
        lexical.similarity_search_with_relevance_scores("tank")


def test_marginal_relevance_leaves_out_what_was_said(handbook):
    near = ids(handbook.similarity_search("tank of water", k=2))
    assert set(near) == {"tank", "water"}
    spread = ids(handbook.max_marginal_relevance_search("tank of water", k=2, fetch_k=4, lambda_mult=0.1))
    assert spread[0] == near[0]
    assert spread[1] not in near
    vector = CountedWords().embed_query("tank of water")
    by_vector = handbook.max_marginal_relevance_search_by_vector(vector, k=2, fetch_k=4, lambda_mult=0.1)
    assert by_vector[0].id in near
    assert by_vector[1].id not in near
    assert handbook.max_marginal_relevance_search("tank", k=9, fetch_k=1, filter={"year": 1900}) == []
    with pytest.raises(BadInput, match="balance"):
        handbook.max_marginal_relevance_search("tank", lambda_mult=2.0)


def test_relevance_is_the_cosine_also_of_what_only_other_legs_found(handbook):
    query = "tank"
    vector = CountedWords().embed_query(query)
    cosines = {
        found.id: score for found, score in handbook.similarity_search_with_score_by_vector(vector, k=4)
    }
    for legs in (None, ["dense"], ["bm25"]):
        found = handbook.similarity_search_with_relevance_scores(query, k=4, legs=legs)
        assert len(found) >= 3
        for document, score in found:
            assert score == pytest.approx(cosines[document.id], abs=1e-5)
    assert handbook.similarity_search_with_relevance_scores("") == []


def test_relevance_is_the_probability_of_a_calibrated_reranker(tmp_path):
    config = Config(
        rerank=(GivenRerankerConfig(name="word-overlap", calibration="sigmoid", depth=2, blend=1.0),)
    )
    settings = {"path": tmp_path / "c.db", "config": config, "rerankers": [WordOverlap()]}
    with RagVectorStore.from_documents(DOCUMENTS, CountedWords(), **settings) as store:
        found = store.similarity_search_with_relevance_scores("the tank", k=4)

        assert [score for _, score in found[:2]] == pytest.approx([1 / (1 + np.exp(-2))] * 2, abs=1e-5)
        assert [score for _, score in found[2:]] == [0.0] * len(found[2:])


def test_retrievers_of_every_search_type(handbook):
    assert len(handbook.as_retriever().invoke("tank")) == 4
    assert ids(handbook.as_retriever(search_kwargs={"k": 1}).invoke("lamp")) == ["lamp"]
    different = handbook.as_retriever(
        search_type="mmr", search_kwargs={"k": 2, "fetch_k": 4, "lambda_mult": 0.1}
    )
    assert len(set(ids(different.invoke("tank of water"))) & {"tank", "water"}) == 1
    sure = handbook.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 9, "score_threshold": 0.5}
    )
    assert ids(sure.invoke("lamp")) == ["lamp"]
    assert sure.invoke("coffee") == []
    assert "CountedWords" in sure.tags
    assert ids(handbook.as_retriever().invoke("lamp", k=1, filter={"year": 2021})) == ["filter"]


async def test_every_method_has_the_same_answer_async(handbook):
    vector = CountedWords().embed_query("tank")
    pairs = [
        (handbook.asimilarity_search, handbook.similarity_search, ("tank",)),
        (handbook.asimilarity_search_with_score, handbook.similarity_search_with_score, ("tank",)),
        (
            handbook.asimilarity_search_with_relevance_scores,
            handbook.similarity_search_with_relevance_scores,
            ("tank",),
        ),
        (handbook.asimilarity_search_by_vector, handbook.similarity_search_by_vector, (vector,)),
        (handbook.amax_marginal_relevance_search, handbook.max_marginal_relevance_search, ("tank",)),
        (
            handbook.amax_marginal_relevance_search_by_vector,
            handbook.max_marginal_relevance_search_by_vector,
            (vector,),
        ),
    ]
    for awaited, called, given in pairs:
        assert await awaited(*given, k=3) == called(*given, k=3), called.__name__
    assert await handbook.aget_by_ids(["lamp"]) == handbook.get_by_ids(["lamp"])
    for search_type in ("similarity", "mmr", "similarity_score_threshold"):
        settings = {"score_threshold": 0.1} if search_type == "similarity_score_threshold" else {}
        retriever = handbook.as_retriever(search_type=search_type, search_kwargs={"k": 2, **settings})
        assert await retriever.ainvoke("tank") == retriever.invoke("tank")


async def test_a_store_is_made_filled_and_emptied_without_stopping_the_loop(tmp_path):
    settings = {"path": tmp_path / "new.db", "preset": "lexical"}
    store = await RagVectorStore.afrom_texts(["pump"], metadatas=[{"n": 1}], ids=["1"], **settings)
    with store:
        assert await store.aadd_texts(["valve"], [{"n": 2}], ids=["2"]) == ["2"]
        assert await store.aadd_documents([Document(id="3", page_content="lamp")]) == ["3"]
        assert ids(await store.asimilarity_search("valve")) == ["2"]
        assert await store.adelete(["2"]) is True
        assert await store.asimilarity_search("valve") == []
    with await RagVectorStore.afrom_documents([Document(id="4", page_content="oil")], **settings) as store:
        assert ids(await store.aget_by_ids(["1", "4"])) == ["1", "4"]


def test_an_embedding_is_known_by_the_name_of_its_model(tmp_path):
    path = tmp_path / "named.db"
    with RagVectorStore.from_documents(DOCUMENTS, CountedWords("one"), path=path) as store:
        assert store.embeddings.model == "one"
        assert store.index.config.rerank == ()  # Late interaction would need its token vectors.
    encoder = from_langchain(CountedWords("x"), name="one")
    with RagIndex.open(path, config=store.index.config, encoders={"dense": encoder}) as index:
        found = RagVectorStore(index)
        assert ids(found.similarity_search("lamp", k=1)) == ["lamp"]
        vector = found.embeddings.embed_query("lamp")
        assert ids(found.similarity_search_by_vector(vector, k=1)) == ["lamp"]
        assert np.linalg.norm(found.embeddings.embed_documents(["lamp", "tank"]), axis=1) == pytest.approx(
            1.0
        )
        found.close()  # It is the caller's.
        assert index.count() == 4
    with pytest.raises(CollectionMismatch):
        RagVectorStore.from_texts([], CountedWords("two"), path=path)
    with RagVectorStore.from_texts([], CountedWords("two"), path=path, name="one") as store:
        assert store.index.count() == 4


def test_without_an_embedding_it_is_the_presets_model_and_its_reranker(tmp_path):
    texts = ["A kitten sleeps on the sofa.", "Income must be declared in May.", "The engine needs new oil."]
    with RagVectorStore.from_texts(texts, path=tmp_path / "local.db") as store:
        found = store.similarity_search_with_relevance_scores("Where does the young cat rest?", k=3)
        threshold = store.as_retriever(
            search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.3}
        )

        assert found[0][0].page_content == texts[0]
        assert found[0][1] > 0.3 > found[1][1]
        assert [each.page_content for each in threshold.invoke("Where does the young cat rest?")] == texts[:1]
        assert len(store.embeddings.embed_query("cat")) == 384


def test_the_file_is_let_go_of_when_closed_collected_or_refused(tmp_path):
    settings = {"path": tmp_path / "own.db", "preset": "lexical"}
    RagVectorStore.from_texts(["pump"], **settings).close()
    with pytest.raises(BadPassage):
        RagVectorStore.from_texts(["pump"], metadatas=[{"x": object()}], **settings)
    store = RagVectorStore.from_texts(["pump"], **settings)
    del store
    gc.collect()
    with RagVectorStore.from_texts([], **settings) as store:
        assert store.index.count() == 2
        assert "own.db" in repr(store)


def test_three_event_loops_in_a_row_with_one_store_and_one_retriever(milvus_uri, collection):
    settings = {"path": milvus_uri, "collection": collection}
    with RagVectorStore.from_documents(DOCUMENTS, CountedWords(), **settings) as store:
        retriever = HybridRetriever(store.index, k=1)

        async def ask(n):
            await store.aadd_texts([f"pump {n}"], ids=[f"pump {n}"])
            return ids(await retriever.ainvoke("red lamp")), await store.aget_by_ids([f"pump {n}"])

        for n in range(3):
            found, [added] = asyncio.run(ask(n))
            assert found == ["lamp"]
            assert added.page_content == f"pump {n}"


def test_fifty_questions_at_once_never_stop_the_loop(milvus_uri, collection):
    texts = [f"Sentence {n} on {WORDS[n % 6]} and {WORDS[n % 5]}, number {n % 7}." for n in range(300)]
    questions = [f"{WORDS[n % 6]} number {n % 7}" for n in range(50)]
    settings = {"path": milvus_uri, "collection": collection}

    async def in_many_threads(work):
        # As on a machine with 32 cores: so many threads at once would keep the loop waiting.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(36))
        return await watched(work)

    async def at_once(retriever):
        return await asyncio.gather(*(retriever.ainvoke(question) for question in questions))

    with RagVectorStore.from_texts(texts, CountedWords(), **settings) as store:
        ours, theirs = HybridRetriever(store.index, k=3), store.as_retriever(search_kwargs={"k": 3})
        expected = [ids(ours.invoke(question)) for question in questions]
        gaps, others = [], []
        for retriever in (ours, theirs, ours):
            found, longest = asyncio.run(in_many_threads(at_once(retriever)))
            assert [ids(each) for each in found] == expected
            gaps.append(longest)
            others.append(asyncio.run(in_many_threads(spinning()))[1])
        # On a machine with other work to do, a loop waits that long beside any threads that run Python.
        assert median(gaps) < max(0.05, 1.5 * median(others)), (gaps, others)
