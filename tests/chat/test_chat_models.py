"""Language models by configuration: the frameworks' own clients against servers on this machine."""

import logging
import socket
import sys
import traceback
from contextlib import closing

import pytest
from chat_stub import KEY, chat_stub

from rag_plugins.chat import Message
from rag_plugins.chat.models import make_talk
from rag_plugins.config.chat import LlmConfig
from rag_plugins.errors import ConfigError, MissingExtra, ModelFailed

TOLD = [
    Message("system", "Answer from the passages."),
    Message("user", "What is the torque?"),
    Message("assistant", "38 Nm [1]."),
    Message("user", "And of the nuts?"),
]
FACES = ("langchain", "llama-index")
PACKAGES = {
    ("llama-index", "openai"): "llama_index.llms.openai_like",
    ("llama-index", "llama.cpp"): "llama_index.llms.openai_like",
    ("llama-index", "ollama"): "llama_index.llms.ollama",
    ("llama-index", "anthropic"): "llama_index.llms.anthropic",
    ("langchain", "openai"): "langchain_openai",
    ("langchain", "llama.cpp"): "langchain_openai",
    ("langchain", "ollama"): "langchain_ollama",
    ("langchain", "anthropic"): "langchain_anthropic",
}
PATHS = {"openai": "/v1", "llama.cpp": "/v1", "ollama": "", "anthropic": ""}
CLASSES = {
    "langchain": "langchain_core.language_models.FakeListChatModel",
    "llama-index": "llama_index.core.llms.mock.MockLLM",
}


@pytest.fixture(params=PACKAGES, ids="-".join)
def kind(request):
    if request.param == ("llama-index", "anthropic"):
        # It asks for anthropic[bedrock,vertex], which holds half of two clouds' clients.
        pytest.importorskip(PACKAGES[request.param])
    return request.param


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with chat_stub() as server:
        yield server


def model(kind, server, **settings):
    framework, provider = kind
    if provider == "llama.cpp":
        server.key = "none"
    url = server.url + PATHS[provider]
    # LlamaIndex' class takes no name that it does not know.
    known = "claude-sonnet-4-5" if kind == ("llama-index", "anthropic") else "stub"
    settings = {"model": known} | settings
    return make_talk(LlmConfig(provider=provider, base_url=url, **settings), framework)


def test_the_conversation_is_sent_and_the_answer_comes(kind, server):
    talk = model(kind, server, temperature=0.5, max_tokens=77)

    assert "".join(talk(TOLD)) == "38 Nm [1]."
    (sent,) = server.requests
    rules = [{"role": "system", "content": sent["system"]}] if "system" in sent else []
    told = [(each["role"], _text(each["content"])) for each in [*rules, *sent["messages"]]]
    assert told == [(message.role, message.text) for message in TOLD]
    settings = sent | sent.get("options", {})
    assert settings["temperature"] == 0.5
    tokens = (settings.get(name) for name in ("max_tokens", "max_completion_tokens", "num_predict"))
    assert [*filter(None, tokens)] == [77]
    assert sent["stream"] is True


def _text(content):
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def test_a_piece_comes_while_the_server_holds_back_the_rest(kind, server):
    server.held = True
    pieces = model(kind, server)(TOLD)

    assert next(pieces) == "38 Nm"
    assert not server.go.is_set()
    server.go.set()
    assert "".join(pieces) == " [1]."


def test_closing_the_answer_closes_the_stream(kind, server):
    server.held = True
    with closing(model(kind, server)(TOLD)) as pieces:
        assert next(pieces) == "38 Nm"
        assert not server.left.is_set()

    assert server.left.wait(10)


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "refuses the key"), (404, "is not there"), (429, "no more requests"), (500, "status 500")],
)
def test_a_refusal_says_what_to_do_and_never_the_key(kind, server, status, told, caplog):
    caplog.set_level(logging.WARNING)
    server.status = status
    with pytest.raises(ModelFailed, match=told) as failed:
        list(model(kind, server)(TOLD))

    message = str(failed.value)
    assert kind[1] in message and server.url in message
    assert KEY not in "".join(traceback.format_exception(failed.value)) + repr(failed.value) + caplog.text
    assert len(server.requests) == 1


@pytest.mark.parametrize("framework", FACES)
def test_a_wrong_key_names_its_variable(framework, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    with pytest.raises(ModelFailed, match="refuses the key: set OPENAI_API_KEY"):
        list(model((framework, "openai"), server)(TOLD))
    assert server.keys == ["sk-wrong"]


def test_a_server_that_is_not_there_is_named(kind, server):
    with socket.socket() as taken:  # Bound and not listening: every connection is refused.
        taken.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ModelFailed, match="cannot be reached") as failed:
            list(model(kind, server)(TOLD))
    assert server.url in str(failed.value)


def test_an_answer_that_breaks_off_keeps_its_pieces(kind, server):
    server.breaks = True
    pieces = model(kind, server)(TOLD)

    assert next(pieces) == "38 Nm"
    with pytest.raises(ModelFailed, match="broke off in the middle"):
        list(pieces)


def test_a_model_that_falls_silent_is_given_up(kind, server):
    server.held = True
    pieces = model(kind, server, timeout=0.3)(TOLD)

    assert next(pieces) == "38 Nm"
    with pytest.raises(ModelFailed, match="took too long"):
        list(pieces)


def test_an_empty_answer_is_a_failure(kind, server):
    server.pieces = [""]
    with pytest.raises(ModelFailed, match="gave no text"):
        list(model(kind, server)(TOLD))


@pytest.mark.parametrize("framework", FACES)
@pytest.mark.parametrize(
    ("provider", "name"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")]
)
def test_without_a_key_its_variable_is_named(framework, provider, name, monkeypatch):
    monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        make_talk(LlmConfig(provider=provider, model="m"), framework)


@pytest.mark.parametrize("kind", PACKAGES, ids="-".join)
def test_an_absent_package_is_named_as_pip_knows_it(kind, monkeypatch):
    framework, provider = kind
    module = PACKAGES[kind]
    monkeypatch.setitem(sys.modules, module, None)
    package = module.replace(".", "-").replace("_", "-")
    with pytest.raises(MissingExtra, match=f"pip install {package}"):
        make_talk(LlmConfig(provider=provider, model="m"), framework)


@pytest.mark.parametrize("framework", FACES)
def test_a_class_gets_its_arguments(framework):
    arguments = {"responses": ["a [1]"]} if framework == "langchain" else {"max_tokens": 3}
    talk = make_talk(
        LlmConfig.model_validate({"class": CLASSES[framework], "arguments": arguments}), framework
    )
    answer = "".join(talk([Message("user", "one two three four")]))

    # The oldest core of LlamaIndex ends with a space.
    assert answer.strip() == ("a [1]" if framework == "langchain" else "text text text")


@pytest.mark.parametrize("framework", FACES)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("langchain_core.language_models.NoSuchModel", "has no NoSuchModel"),
        ("fractions.Fraction", "got Fraction, expected"),
    ],
)
def test_a_class_that_is_none_is_refused(framework, name, told):
    with pytest.raises(ConfigError, match=told):
        make_talk(LlmConfig.model_validate({"class": name}), framework)


def test_a_class_of_an_absent_package_is_refused():
    with pytest.raises(MissingExtra, match="pip install no-such-package"):
        make_talk(LlmConfig.model_validate({"class": "no_such_package.chat.Model"}), "langchain")


def test_refused_settings_are_named_without_their_values():
    config = {"class": "langchain_openai.ChatOpenAI", "arguments": {"temperature": "canary", "model": "m"}}
    with pytest.raises(ConfigError, match="refuses its settings temperature, model") as refused:
        make_talk(LlmConfig.model_validate(config), "langchain")
    assert "canary" not in "".join(traceback.format_exception(refused.value)).split("ConfigError", 1)[1]


@pytest.mark.parametrize("name", ["api_key", "openai_api_key", "token", "client_secret"])
def test_keys_in_a_configuration_are_refused(name):
    with pytest.raises(ValueError, match="keys come from the environment") as refused:
        LlmConfig.model_validate({"class": "a.B", "arguments": {name: KEY}})
    assert KEY not in str(refused.value)


def test_max_tokens_is_no_key():
    assert LlmConfig.model_validate({"class": "a.B", "arguments": {"max_tokens": 5}}).arguments


def test_an_unknown_framework_names_the_known_ones():
    with pytest.raises(ConfigError, match="expected one of langchain, llama-index"):
        make_talk(LlmConfig(provider="ollama", model="m"), "haystack")
