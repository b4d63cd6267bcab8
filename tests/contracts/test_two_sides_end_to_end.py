"""Found by one side, read by the other: what chat engines and chains send to their LLM."""

import base64

import pytest
from faces_support import PLAN, VALVE, dual_index
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from llama_index.core import get_response_synthesizer
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
)
from llama_index.core.chat_engine.multi_modal_context import MultiModalContextChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from page_support import picture
from pydantic import PrivateAttr

from rag_plugins import langchain, llama_index

ASKED = [("where is the shutoff?", VALVE), ("show me the blue one", PLAN)]
"""Words of a view alone, and of a picture alone, each with what the LLM is to read."""

SEEN = [(*ASKED[0], "red"), (*ASKED[1], "blue")]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    with dual_index(tmp_path_factory.mktemp("chats") / "chats.db") as index:
        yield index


def is_the_llms_side(sent, llm_text, index):
    assert llm_text in sent
    assert "shutoff device" not in sent and "spares" not in sent
    assert str(index.assets.folder) not in sent


class Recording(MockLLM):
    """Keeps the messages of each chat and the prompts of each completion."""

    _sent: list = PrivateAttr(default_factory=list)

    def complete(self, prompt, formatted=False, **kwargs):
        self._sent.append(prompt)
        return super().complete(prompt, formatted=formatted, **kwargs)

    def stream_complete(self, prompt, formatted=False, **kwargs):
        self._sent.append(prompt)
        return super().stream_complete(prompt, formatted=formatted, **kwargs)


class Seeing(Recording):
    """The same for messages that have images."""

    def chat(self, messages, **kwargs):
        self._sent.append([block for message in messages for block in message.blocks])
        return super().chat(messages, **kwargs)


def memory():
    return ChatMemoryBuffer.from_defaults(token_limit=3000)  # The default one leaves a database open.


def condense_plus_context(retriever, llm):
    return CondensePlusContextChatEngine.from_defaults(retriever, llm=llm, memory=memory())


def context(retriever, llm):
    return ContextChatEngine.from_defaults(retriever, llm=llm, memory=memory())


def condense_question(retriever, llm):
    query_engine = RetrieverQueryEngine(retriever, get_response_synthesizer(llm=llm))
    return CondenseQuestionChatEngine.from_defaults(query_engine, llm=llm, memory=memory())


@pytest.mark.parametrize("make", [condense_plus_context, context, condense_question])
@pytest.mark.parametrize(("question", "llm_text"), ASKED)
async def test_llama_index_chat_engines_send_the_llms_text(index, make, question, llm_text):
    for chat in "chat", "achat", "stream_chat":
        llm = Recording()
        engine = make(llama_index.HybridRetriever(index, k=1), llm)
        answer = getattr(engine, chat)(question)
        answer = await answer if chat == "achat" else answer
        if chat == "stream_chat":
            "".join(answer.response_gen)
        is_the_llms_side("\n".join(llm._sent), llm_text, index)
        assert [found.node.text for found in answer.source_nodes] == [llm_text]


def test_a_second_question_of_a_chat_is_condensed_and_answered_by_the_llms_side(index):
    llm = Recording()
    engine = condense_plus_context(llama_index.HybridRetriever(index, k=1), llm)
    for question, llm_text in ASKED:
        llm._sent.clear()
        engine.chat(question)
        is_the_llms_side(llm._sent[-1], llm_text, index)
    assert len(llm._sent) == 2  # One to condense, one to answer.


@pytest.mark.parametrize(("question", "llm_text", "colour"), SEEN)
def test_a_multimodal_chat_sends_the_llms_text_and_the_page(index, question, llm_text, colour):
    llm = Seeing()
    retriever = llama_index.HybridRetriever(index, k=1, images=True)
    MultiModalContextChatEngine.from_defaults(retriever, multi_modal_llm=llm, memory=memory()).chat(question)
    blocks = next(sent for sent in llm._sent if isinstance(sent, list))

    [image] = [block for block in blocks if isinstance(block, ImageBlock)]
    assert base64.b64decode(image.image) == picture(colour)
    assert (image.path, image.url) == (None, None)
    is_the_llms_side("\n".join(block.text for block in blocks if block is not image), llm_text, index)


class Prompts(BaseCallbackHandler):
    def __init__(self):
        self.sent = []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.sent += [message for batch in messages for message in batch]


def careless(documents):
    """Everything that there is to a document."""
    return "\n\n".join(f"{document.metadata}\n{document.page_content}" for document in documents)


def model():
    return FakeListChatModel(responses=["It is there."] * 3)


@pytest.mark.parametrize(
    "join", [careless, lambda found: "\n".join(document.page_content for document in found)]
)
@pytest.mark.parametrize(("question", "llm_text"), ASKED)
async def test_langchain_chains_send_the_llms_text(index, join, question, llm_text):
    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    retriever = langchain.HybridRetriever(index, k=1)
    chain = (
        {"context": retriever | join, "question": RunnablePassthrough()}
        | prompt
        | model()
        | StrOutputParser()
    )
    prompts = Prompts()

    chain.invoke(question, config={"callbacks": [prompts]})
    await chain.ainvoke(question, config={"callbacks": [prompts]})
    "".join(chain.stream(question, config={"callbacks": [prompts]}))
    assert len(prompts.sent) == 3
    for message in prompts.sent:
        is_the_llms_side(message.content, llm_text, index)


@pytest.mark.parametrize(("question", "llm_text"), ASKED)
def test_a_chain_over_the_formatted_context_sends_the_llms_text_in_its_frame(index, question, llm_text):
    contexts = []

    def formatted(question):
        contexts.append(index.context(index.search(question, k=1)))
        return f"{contexts[-1]}\n\nQuestion: {question}"

    prompts = Prompts()
    (RunnableLambda(formatted) | model()).invoke(question, config={"callbacks": [prompts]})
    [message] = prompts.sent
    nonce = contexts[0].nonce

    is_the_llms_side(message.content, llm_text, index)
    assert f">>\n{llm_text}\n<<end {nonce} 1>>" in message.content


@pytest.mark.parametrize(("question", "llm_text", "colour"), SEEN)
def test_a_multimodal_chain_sends_the_llms_text_and_the_page(index, question, llm_text, colour):
    def message(documents):
        pages = [block for found in documents for block in langchain.image_content(found, index.assets)]
        texts = [{"type": "text", "text": document.page_content} for document in documents]
        return [HumanMessage(content=[*texts, *pages, {"type": "text", "text": question}])]

    prompts = Prompts()
    chain = langchain.HybridRetriever(index, k=1) | message | model()
    chain.invoke(question, config={"callbacks": [prompts]})
    [sent] = prompts.sent

    [image] = [block for block in sent.content_blocks if block["type"] == "image"]
    assert base64.b64decode(image["base64"]) == picture(colour)
    texts = [block["text"] for block in sent.content_blocks if block["type"] == "text"]
    is_the_llms_side("\n".join(texts), llm_text, index)
