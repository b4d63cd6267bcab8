"""Queries made of a collection's passages, and what becomes of known answers on their way to the LLM."""

import pytest
from questions_support import PAGES, filled, opened

from rag_plugins.errors import BadInput
from rag_plugins.evaluation import Question, as_reader, evaluate, judge, made_questions


@pytest.fixture
def index(tmp_path):
    with filled(tmp_path / "manuals.db") as index:
        yield index


def test_made_queries_are_words_of_the_passage_they_ask_for(index):
    judged = made_questions(index, 10)
    assert judged.source == "known items" and len(judged.queries) == len(PAGES)
    for id, query in judged.queries.items():
        (passage,) = index.get([id])
        words = query.split()
        assert 2 <= len(words) <= 6 and all(word in passage.llm_text.casefold() for word in words)
    assert judged.qrels == {id: {id: 1} for id in judged.queries}
    assert made_questions(index, 10) == judged and made_questions(index, 10, seed=1) != judged
    assert len(made_questions(index, 2).queries) == 2
    assert evaluate(index, judged).stages.fused["MRR@10"] > 0.7


def test_words_that_few_passages_have_are_drawn_more_often(tmp_path):
    with opened(tmp_path / "made.db") as index:
        common = "the machine has a cover and the cover has a lock"
        index.add([index.passage(f"{common} serial{n} unit{n}", caller_id=str(n)) for n in range(40)])
        queries = made_questions(index, 40).queries.values()
    own = sum("serial" in query or "unit" in query for query in queries)
    assert own > 30


def test_chinese_is_asked_with_pairs_of_characters(tmp_path):
    with opened(tmp_path / "made.db") as index:
        text = "打印机无法连接网络请检查路由器和电源线是否已经正确连接"
        index.add([index.passage(text)])
        (query,) = made_questions(index, 1).queries.values()
    assert all(len(word) <= 2 and word in text for word in query.split())


def test_an_llm_is_shown_a_passage_and_asked_for_a_question(index):
    seen = []

    def llm(prompt, images):
        seen.append(prompt)
        if len(seen) == 1:
            raise TimeoutError("slow")
        return " What is it\nabout? " if len(seen) != 3 else "  "

    judged = made_questions(index, 3, reader=as_reader(llm))
    assert judged.source == "LLM" and set(judged.queries.values()) == {"What is it about?"}
    assert len(judged.queries) == 2  # One call failed, one reply was blank.
    assert any(text in prompt for prompt in seen for text in PAGES.values())


def test_an_llm_that_always_fails_is_given_up(tmp_path):
    def llm(prompt, images):
        raise TimeoutError("no key")

    with opened(tmp_path / "made.db") as index:
        index.add([index.passage(f"Passage {n} has a text of its own, and more.") for n in range(30)])
        with pytest.raises(BadInput, match="the LLM failed 10 times, the last time with: no key"):
            made_questions(index, 30, reader=as_reader(llm))


def test_an_empty_collection_makes_no_queries(tmp_path):
    with opened(tmp_path / "empty.db") as index, pytest.raises(BadInput, match="no query could be made"):
        made_questions(index, 5)


def test_where_an_answer_is_lost_is_told_step_by_step(index):
    asked = [
        Question("found", "How tight are the screws of the coolant pump?", (), ("12 Nm",)),
        Question("late", "the store", (), ("500 hours",)),
        Question("lost", "When was the pump built?", (), ("1987",)),
    ]
    judged = judge(index, asked)
    assert judged.unheard == ("lost",)
    result = evaluate(index, judged, budgets=(10, 200, 1000))
    found = result.containment
    assert found is not None and found.questions == 3
    assert found.transcribed == pytest.approx(2 / 3)
    assert found.found == {"fused": pytest.approx(2 / 3)}
    shares = found.contexts["fused"]
    assert shares[10] == 0.0 and shares[10] <= shares[200] <= shares[1000] == pytest.approx(2 / 3)
    assert result.to_json()["answer_in_no_passage"] == ["lost"]
    assert result.to_json()["containment"]["contexts"]["fused"]["1000"] == 0.6667


def test_without_known_answers_nothing_is_said_of_them(index):
    assert evaluate(index, made_questions(index, 3)).containment is None
