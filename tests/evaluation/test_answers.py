import base64
from io import BytesIO

import pytest
from PIL import Image

from rag_plugins.errors import BadInput
from rag_plugins.evaluation.answers import Material, as_reader, contains, read_answers


def picture(format):
    data = BytesIO()
    Image.new("L", (4, 4)).save(data, format)
    return data.getvalue()


PNG, WEBP = picture("PNG"), picture("WEBP")
ASKED = Material("What is the total?", ("11.50", "RM 72"), "TOTAL 11.50", (PNG, WEBP))


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("The TOTAL is 11.50!", "11.50", True),
        ("The total is 111.50", "11.50", False),
        ("the total is 11.505", "11.50", False),
        ("Liberty, Equa-\nlity and\n‘Fraternity’", "Liberty Equality and fraternity", True),
        ("a lampshade", "lamp", False),
        ("这是餐厅的发票", "餐厅", True),
        ("ﬁlter", "filter", True),
        ("on 10-05-17", "10-05-17", True),
        ("anything", " ", False),
    ],
)
def test_contains(text, answer, found):
    assert contains(text, [answer]) is found


def test_any_answer_will_do_and_none_is_none():
    assert contains("in all RM 72", ["11.50", "RM 72"]) and not contains("in all", [])


@pytest.mark.parametrize(
    ("source", "text", "images"), [("ocr", True, 0), ("image", False, 2), ("both", True, 2)]
)
def test_the_llm_is_given_what_it_is_to_answer_from(source, text, images):
    calls = []

    def llm(prompt, pictures):
        calls.append((prompt, pictures))
        return "It is 11.50."

    replies = read_answers(as_reader(llm), [ASKED], source)
    ((prompt, pictures),) = calls
    assert ("TOTAL 11.50" in prompt) is text and "What is the total?" in prompt
    assert pictures == [PNG, WEBP][:images]
    assert (replies.accuracy, replies.questions, replies.failed) == (1.0, 1, 0)


def test_a_call_that_fails_is_counted_and_the_others_go_on():
    said = iter(["11.50", None, "no idea", "it was rm 72"])

    def llm(prompt, pictures):
        reply = next(said)
        if reply is None:
            raise TimeoutError("no answer within 30 s")
        return reply

    replies = read_answers(as_reader(llm), [ASKED] * 4, "both")
    assert (replies.accuracy, replies.questions, replies.failed) == (0.5, 4, 1)
    assert replies.error == "TimeoutError: no answer within 30 s"
    assert replies.to_json() == {"accuracy": 0.5, "questions": 4, "failed": 1}


def test_no_questions_are_no_accuracy():
    assert read_answers(as_reader(lambda prompt, images: ""), [], "ocr").questions == 0


def test_a_langchain_chat_model():
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    seen = []

    class Model(GenericFakeChatModel):
        def _generate(self, messages, *args, **kwargs):
            seen.extend(messages)
            return super()._generate(messages, *args, **kwargs)

    reader = as_reader(Model(messages=iter([AIMessage("eleven")])))
    assert reader("how much?", [PNG, WEBP]) == "eleven"
    (message,) = seen
    text, first, second = message.content
    assert message.type == "human" and text == {"type": "text", "text": "how much?"}
    assert first["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert second["image_url"]["url"].startswith("data:image/webp;base64,")
    assert [block["type"] for block in message.content_blocks] == ["text", "image", "image"]


def test_a_llama_index_llm():
    from llama_index.core.llms import ImageBlock, TextBlock
    from llama_index.core.llms.mock import MockLLM

    seen = []

    class Model(MockLLM):
        def chat(self, messages, **kwargs):
            seen.extend(messages)
            return super().chat(messages, **kwargs)

    reply = as_reader(Model())("how much?", [PNG, WEBP])
    assert "how much?" in reply
    ((text, *images),) = [message.blocks for message in seen]
    assert isinstance(text, TextBlock) and all(isinstance(image, ImageBlock) for image in images)
    assert [image.resolve_image().getvalue() for image in images] == [PNG, WEBP]
    assert [image.image_mimetype for image in images] == ["image/png", "image/webp"]


def test_what_is_no_llm_is_refused():
    with pytest.raises(BadInput, match="the LLM is a str: expected"):
        as_reader("gpt")
