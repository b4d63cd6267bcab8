"""What an LLM is asked to make of a question, and how its answer is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.errors import ConfigError
from rag_plugins.faces.expansion import Wish


def test_the_question_goes_into_the_prompt_as_it_is():
    asked = Wish("{n} of {question} as {json}", 2).asked("{n} {question} {0}")
    assert asked == "2 of {n} {question} {0} as {json}"
    assert "how often?" in Wish().asked("how often?")


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("red lamp\nempty tank", ["red lamp", "empty tank"]),
        ("Here they are:\n\n1. red lamp\n2) empty tank\n(3) why?\n", ["red lamp", "empty tank", "why?"]),
        ("- red  lamp\n  * empty tank\n• why?", ["red lamp", "empty tank", "why?"]),
        ("red lamp\r\n\r\nRed Lamp\nA QUESTION?\nempty tank", ["red lamp", "empty tank"]),
        ("a\nb\nc\nd", ["a", "b", "c"]),
        ("3.5 litres\n-12 degrees\n1984", ["3.5 litres", "-12 degrees", "1984"]),
        ("1.\n2.\n*", []),
        (" \n", []),
    ],
)
def test_an_answer_is_read_as_lines(answer, read):
    assert Wish().read(answer, "a question?") == read


@given(st.text(), st.text(), st.integers(1, 5))
def test_whatever_an_llm_writes(answer, question, n):
    read = Wish(n=n).read(answer, question)
    assert len(read) <= n
    assert all(text.strip() and text.casefold() != question.casefold() for text in read)
    assert len({text.casefold() for text in read}) == len(read)


@pytest.mark.parametrize(("prompt", "n"), [("Other wordings, please", 3), ("{question}", 0)])
def test_a_wish_that_cannot_be_asked(prompt, n):
    with pytest.raises(ConfigError):
        Wish(prompt, n)
