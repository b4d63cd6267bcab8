"""The chat in a terminal, as a person sees it."""

import io

import pytest
from rich.console import Console

from rag_plugins import Config, RagIndex
from rag_plugins.chat import Chat
from rag_plugins.chat.prompts import NOTHING
from rag_plugins.chat.terminal import talk_in_terminal
from rag_plugins.config import Bm25Leg
from rag_plugins.errors import ModelFailed

PUMP = "The screws of the pump head are tightened to 38 Nm."
HOSTILE = "The valve is [bold red]brass[/]. \x1b]0;owned\x07\x1b[2J\x9b31m\u202etfel *so* [x](http://evil)"
QUESTION = "How tight are the screws of the pump?"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "pump.txt").write_text(f"{PUMP}\fThe filter is cleaned every month.")
    with RagIndex.open(folder / "parts.db", config=Config(legs=(Bm25Leg(),), rerank=())) as index:
        index.ingest([folder / "pump.txt"], root=folder)
        index.add([index.passage(HOSTILE, doc_id="valve")])
        yield index


def talked(chat, *lines, terminal=False):
    """What stands on the screen after these lines; an exception among them is raised instead."""
    console = Console(file=io.StringIO(), width=100, height=20, force_terminal=terminal, color_system=None)
    given = iter(lines)

    def ask(prompt):
        line = next(given, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    talk_in_terminal(chat, console, ask)
    return console.file.getvalue()


class Model:
    """Says the next of its answers, word by word; an exception ends one."""

    def __init__(self, *answers):
        self.answers, self.told, self.closed = list(answers), [], 0

    def __call__(self, messages):
        self.told.append(list(messages))
        try:
            for part in self.answers.pop(0):
                if isinstance(part, BaseException):
                    raise part
                yield part
        finally:
            self.closed += 1


def test_an_answer_has_its_quotes_and_its_sources(index):
    shown = talked(Chat(index), QUESTION)

    assert f"> {PUMP} [1]" in shown
    assert "No language model is set up" in shown
    assert "[1] pump.txt, page 1, plain text" in shown
    assert shown.index(PUMP) < shown.index("[1] pump.txt")


def test_a_models_answer_is_markdown(index):
    shown = talked(Chat(index, Model(["**38", " Nm** [", "1]."])), QUESTION)

    assert "38 Nm [1]." in shown
    assert "**" not in shown


def test_it_streams_on_a_terminal_and_stands_there_once(index):
    shown = talked(Chat(index, Model(["38 Nm", " [1]."])), QUESTION, terminal=True)

    assert shown.count("Type a question.") == 1
    # What streamed is taken back before the whole answer stands there.
    assert "38 Nm [1]." in shown.rsplit("\x1b[2K", 1)[1]


def test_a_number_shows_a_source(index):
    shown = talked(Chat(index), QUESTION, "1", "7")

    assert f"│ {PUMP}" in shown
    assert "There is no source 7." in shown


def test_nothing_relevant_is_an_answer(index):
    assert NOTHING in talked(Chat(index), "Who composed the Moonlight sonata?")


def test_new_forgets_the_conversation(index):
    model = Model(["38 Nm [1]."], ["How tight are the screws?"], ["38 Nm [1]."], ["38 Nm [1]."])
    shown = talked(Chat(index, model), QUESTION, "And the screws?", "/new", QUESTION, "/quit", "never asked")

    assert [len(told) for told in model.told] == [2, 2, 4, 2]
    assert "The conversation begins anew." in shown
    assert not model.answers


def test_new_forgets_the_sources(index):
    assert "There is no source 1." in talked(Chat(index), QUESTION, "/new", "1")


@pytest.mark.parametrize("end", ["/quit", "/exit", EOFError()])
def test_the_end(index, end):
    assert "Moonlight" not in talked(Chat(index), end, "Moonlight")


def test_interrupted_at_the_prompt_it_goes_on(index):
    assert PUMP in talked(Chat(index), KeyboardInterrupt(), QUESTION)


def test_interrupting_an_answer_keeps_the_session_and_what_came(index):
    model = Model(["38 Nm", KeyboardInterrupt()], [QUESTION], ["It is 38 Nm [1]."])
    shown = talked(Chat(index, model), QUESTION, "How tight are the screws?")

    assert "38 Nm" in shown.split("Stopped.")[0]
    assert "It is 38 Nm [1]." in shown.split("Stopped.")[1]
    assert model.told[-1][2].text == "38 Nm"
    assert model.closed == 3


def test_a_model_that_fails_says_so_and_the_session_goes_on(index):
    model = Model(["38 Nm", ModelFailed("openai's model m broke off: ask again")], [QUESTION], ["38 Nm [1]."])
    shown = talked(Chat(index, model), QUESTION, QUESTION)

    assert shown.index("38 Nm") < shown.index("openai's model m broke off: ask again")
    assert "38 Nm [1]." in shown


@pytest.mark.parametrize("model", [None, Model([HOSTILE, " [1]"])])
@pytest.mark.parametrize("terminal", [False, True])
def test_documents_and_models_steer_no_terminal(index, model, terminal):
    model = model and Model([HOSTILE, " [1]"])
    shown = talked(Chat(index, model), "Is the valve brass?", "1", terminal=terminal)

    assert "[bold red]brass[/]" in shown
    for hostile in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e"):
        assert hostile not in shown


def test_notices_of_a_search_are_shown(index):
    hidden = talked(Chat(index), "Is the valve brass?")
    assert "characters that do not show" in hidden


def test_a_question_that_looks_like_markup_is_none(index):
    assert PUMP in talked(Chat(index), f"[/bold] {QUESTION} [link=http://x]")
