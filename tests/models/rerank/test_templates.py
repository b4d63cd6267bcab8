"""Causal rerankers: what they read and what they score is what their authors publish."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore, Transformer
from tiny_causal import make_bpe, save_causal
from transformers import AutoModelForCausalLM, AutoTokenizer

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import ConfigError
from rag_plugins.models.presets import RERANKER_PRESETS
from rag_plugins.models.protocols import Candidate
from rag_plugins.models.rerank.causal import causal_modules
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker
from rag_plugins.models.rerank.cutting import Limit, cut
from rag_plugins.models.rerank.templates import chat_pairs, reads_messages, template_pairs
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.types import EmbedText

EXACT = ComputeConfig(backend="torch", precision="fp32")
QUERY = "Which valve is red?"
PASSAGES = [
    "The red valve.",
    "",
    " blank space before, and 水 after it: \n",
    "The pump is changed every month. " * 30,
    "no",
    "{query} {document} {instruction} <|im_end|>",
]
QWEN3_SYSTEM = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
QWEN3_END = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"
MXBAI_SYSTEM = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
)
MXBAI_END = "<|im_end|>\n<|im_start|>assistant\n"
GEMMA_TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
    "providing a prediction of either 'Yes' or 'No'."
)


def qwen3_recipe(tokenizer, passage, instruction, longest):
    """As in the Qwen authors' repository: head and tail apart, the middle cut as one text."""
    head = tokenizer.encode(QWEN3_SYSTEM, add_special_tokens=False)
    tail = tokenizer.encode(QWEN3_END, add_special_tokens=False)
    middle = f"<Instruct>: {instruction or QWEN3_TASK}\n<Query>: {QUERY}\n<Document>: {passage}"
    room = longest - len(head) - len(tail)
    return head + tokenizer(middle, truncation="longest_first", max_length=room)["input_ids"] + tail


def mxbai_recipe(tokenizer, passage, instruction, longest):
    """As in mixedbread's repository: query, line break and document, of which the document is cut.

    Their length is counted without the template, ours with it.
    """

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    around = [ids(part) for part in (MXBAI_SYSTEM, "\n", MXBAI_TASK, MXBAI_END)]
    query = ids((f"instruction: {instruction}\n" if instruction else "") + f"query: {QUERY}")
    document = ids("\n") + ids(f"document: {passage}")
    room = longest - sum(map(len, around)) - len(query)
    system, *rest = around
    return system + query + document[:room] + [token for part in rest for token in part]


def gemma_recipe(tokenizer, passage, instruction, longest):
    """As in FlagEmbedding: the marker of the beginning, A, B and the task, B being cut."""

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    first = [tokenizer.convert_tokens_to_ids("<bos>"), *ids(f"A: {QUERY}")]
    last = ids("\n") + ids(GEMMA_TASK)
    return first + (ids("\n") + ids(f"B: {passage}"))[: longest - len(first) - len(last)] + last


RECIPES = {
    "mxbai-rerank-base-v2": ("Qwen2", mxbai_recipe, "1", "0"),
    "Qwen3-Reranker-0.6B": ("Qwen3", qwen3_recipe, "yes", "no"),
    "bge-reranker-v2-gemma": ("Gemma", gemma_recipe, "Yes", None),
}


@pytest.fixture(scope="module", params=RECIPES)
def published(request, tmp_path_factory):
    kind, recipe, true, false = RECIPES[request.param]
    folder = save_causal(tmp_path_factory.mktemp(kind), kind)
    return RERANKER_PRESETS[request.param], folder, recipe, true, false


def recipe_scores(folder, rows, true, false):
    """Rows padded on the left, the last token's logits of the two answers."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask).logits[:, -1]
    scores = logits[:, tokenizer.convert_tokens_to_ids(true)]
    return (scores - logits[:, tokenizer.convert_tokens_to_ids(false)] if false else scores).numpy()


@pytest.mark.parametrize("instruction", [None, "Find\nthe red {query}"])
@pytest.mark.parametrize("longest", [200, 512])
def test_scores_are_those_of_the_published_recipe(published, instruction, longest, monkeypatch):
    preset, folder, recipe, true, false = published
    tokenizer = AutoTokenizer.from_pretrained(folder)
    told = instruction or preset.instruction
    pairs = template_pairs(SafeTokenizer(tokenizer), preset.template, QUERY, PASSAGES, told)
    rows = [recipe(tokenizer, passage, instruction, longest) for passage in PASSAGES]
    assert [cut(pair, Limit(longest)).pieces[0].ids.tolist() for pair in pairs] == rows
    assert (max(map(len, rows)) == longest) == (longest == 200)
    logits = recipe_scores(folder, rows, true, false)
    expected = 1 / (1 + np.exp(-logits)) if preset.scale == "probability" else logits
    monkeypatch.setitem(RERANKER_PRESETS, "tiny", replace(preset, name="tiny", hub_id=str(folder)))
    config = CrossEncoderConfig(model="tiny", max_length=longest, instruction=instruction)
    candidates = [Candidate((EmbedText(passage),)) for passage in PASSAGES]
    scores = CrossEncoderReranker(config, EXACT).score(QUERY, candidates)
    assert scores.values == pytest.approx(expected, abs=1e-4)
    assert expected.std() > 0.05
    assert list(scores.read) == ([3] if longest == 200 else [])


# As Qwen3-Reranker's own folder has it.
CHAT = (
    "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n<Instruct>: "
    '{{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first '
    '| default("Find") }}\n'
    '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}\n'
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}'
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def saved_folder(folder, template=None, **settings):
    """A plain causal model made a CrossEncoder and saved by sentence-transformers."""
    save_causal(folder / "plain", "Qwen3")
    transformer = Transformer(
        str(folder / "plain"),
        transformer_task="text-generation",
        processor_kwargs={"chat_template": template} if template else {},
    )
    true, false = transformer.tokenizer.convert_tokens_to_ids(["yes", "no"])
    answers = LogitScore(true, false)
    made = CrossEncoder(modules=[transformer, answers], activation_fn=torch.nn.Identity(), **settings)
    made.save_pretrained(str(folder / "saved"))
    return CrossEncoder(str(folder / "saved"))


@pytest.mark.parametrize(
    ("settings", "instruction"),
    [
        ({}, None),
        ({}, "Find valves"),
        ({"prompts": {"search": "Find pumps"}, "default_prompt_name": "search"}, None),
    ],
)
def test_a_folder_with_a_chat_template_scores_as_sentence_transformers_does(tmp_path, settings, instruction):
    model = saved_folder(tmp_path, CHAT, **settings)
    assert reads_messages(model)
    for longest in (100, 512):
        model.max_seq_length = longest
        expected = model.predict([(QUERY, passage) for passage in PASSAGES], prompt=instruction)
        config = CrossEncoderConfig(
            model=str(tmp_path / "saved"), max_length=longest, instruction=instruction
        )
        scores = CrossEncoderReranker(config, EXACT).score_pairs([(QUERY, passage) for passage in PASSAGES])
        assert scores == pytest.approx(expected, abs=1e-4)
        assert expected.std() > 0.1


def test_a_folder_without_one_scores_the_pair_as_sentence_transformers_does(tmp_path):
    model = saved_folder(tmp_path)
    assert not reads_messages(model)
    expected = model.predict([(QUERY, passage) for passage in PASSAGES])
    reranker = CrossEncoderReranker(CrossEncoderConfig(model=str(tmp_path / "saved")), EXACT)
    scores = reranker.score_pairs([(QUERY, passage) for passage in PASSAGES])
    assert scores == pytest.approx(expected, abs=1e-4)
    assert expected.std() > 0.1


def test_a_passage_that_is_a_path_or_an_address_is_read_as_text(tmp_path):
    image = tmp_path / "pump.png"
    image.write_bytes(b"not an image")
    structured = "{% for m in messages %}<{{ m.role }}>{{ m.content[0].text }}<|im_end|>{% endfor %}"
    model = saved_folder(tmp_path, structured)
    tokenizer = SafeTokenizer(model.tokenizer)
    for passage in (str(image), "http://localhost/pump.png", "data:image/png;base64,"):
        [pair] = chat_pairs(tokenizer, model, QUERY, [passage], None)
        assert model.tokenizer.decode(pair.passage) == passage


def test_a_chat_template_that_shows_no_pair_is_an_error(tmp_path):
    model = saved_folder(tmp_path, "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")
    with pytest.raises(ConfigError, match="cannot carry a query and a document"):
        chat_pairs(SafeTokenizer(model.tokenizer), model, QUERY, ["a"], None)


def test_a_template_may_strip_or_replace_the_passage(tmp_path):
    stripped = CHAT.replace(
        '"document") | map(attribute="content") | first',
        '"document") | map(attribute="content") | first | trim | default("nothing", true)',
    )
    model = saved_folder(tmp_path, stripped)
    pairs = chat_pairs(SafeTokenizer(model.tokenizer), model, QUERY, ["  red pump \n", ""], None)
    assert [model.tokenizer.decode(pair.passage) for pair in pairs] == [" red pump", " nothing"]
    assert all(model.tokenizer.decode(pair.after).startswith("<|im_end|>") for pair in pairs)


def test_a_tokenizer_without_padding_is_no_obstacle(tmp_path, monkeypatch):
    folder = save_causal(tmp_path, "Qwen2", padding=False)
    preset = replace(RERANKER_PRESETS["mxbai-rerank-base-v2"], name="tiny", hub_id=str(folder))
    monkeypatch.setitem(RERANKER_PRESETS, "tiny", preset)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token is None
    expected = recipe_scores(
        folder, [mxbai_recipe(tokenizer, passage, None, 512) for passage in PASSAGES], "1", "0"
    )
    reranker = CrossEncoderReranker(CrossEncoderConfig(model="tiny", max_length=512), EXACT)
    scores = reranker.score_pairs([(QUERY, passage) for passage in PASSAGES])
    assert scores == pytest.approx(expected, abs=1e-4)


def test_an_answer_has_to_be_one_token(published):
    preset, folder, *_ = published
    with pytest.raises(ConfigError, match=r"'yes, it is' is \d tokens"):
        causal_modules(folder, replace(preset, answers=("yes, it is", None)))


class TestSplitting:
    SEGMENTS = ("<|im_start|>a\n", "told {instruction}\n{query} in [{document}].\n", "b<|im_end|>")

    def test_all_but_the_passage_is_the_same_for_every_passage(self):
        tokenizer = make_bpe()
        pairs = template_pairs(SafeTokenizer(tokenizer), self.SEGMENTS, QUERY, ["red", "pumps\n水", ""], "x")
        texts = [[tokenizer.decode(part) for part in (p.before, p.passage, p.after)] for p in pairs]
        assert texts == [
            ["<|im_start|>a\ntold x\nWhich valve is red? in [", passage, "].\nb<|im_end|>"]
            for passage in ("red", "pumps\n水", "")
        ]

    def test_a_token_over_the_end_of_the_passage_is_never_cut(self):
        tokenizer = make_bpe()
        [pair] = template_pairs(SafeTokenizer(tokenizer), ("{document}\n",), "", ["a pump.\r"], None)
        whole = tokenizer("a pump.\r\n")["input_ids"]
        assert [*pair.before, *pair.passage, *pair.after] == whole
        assert tokenizer.decode(pair.after).endswith("\n")

    def test_no_instruction_leaves_its_line_out(self):
        tokenizer = make_bpe()
        for missing in (None, ""):
            [pair] = template_pairs(SafeTokenizer(tokenizer), self.SEGMENTS, "q", ["d"], missing)
            assert tokenizer.decode(pair.before) == "<|im_start|>a\nq in ["

    def test_no_passages_make_no_pairs(self):
        assert template_pairs(SafeTokenizer(make_bpe()), self.SEGMENTS, "q", [], None) == []

    @given(st.text(), st.lists(st.text(), max_size=3), st.text())
    def test_the_parts_are_what_the_segments_are_tokenised_to(self, query, passages, instruction):
        tokenizer = self.bpe()
        pairs = template_pairs(SafeTokenizer(tokenizer), self.SEGMENTS, query, passages, instruction)
        line = f"told {instruction}\n" if instruction else ""
        for pair, passage in zip(pairs, passages, strict=True):
            texts = (self.SEGMENTS[0], f"{line}{query} in [{passage}].\n", self.SEGMENTS[2])
            expected = [id for text in texts for id in tokenizer(text)["input_ids"]]
            assert [*pair.before, *pair.passage, *pair.after] == expected

    @staticmethod
    @cache
    def bpe():
        return make_bpe()
