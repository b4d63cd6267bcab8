"""Cross-encoders: scores are those of sentence-transformers, and only passages are cut."""

import json
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore, Transformer
from tiny_causal import save_causal
from tiny_classifiers import KINDS, save_classifier, save_learned_positions, save_unpadded_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rag_plugins.config import ComputeConfig, CrossEncoderConfig
from rag_plugins.errors import BadInput, ConfigError, ModelNotFound, QueryTooLong, SideError, UnknownPreset
from rag_plugins.models.protocols import Candidate, Read
from rag_plugins.models.rerank import cross_encoder
from rag_plugins.models.rerank.cross_encoder import CrossEncoderReranker, Ranked
from rag_plugins.models.rerank.load import load_pair_model
from rag_plugins.types import EmbedImage, EmbedText

QUERY = "which pump is red?"
PASSAGES = [
    "the pump is changed every month.",
    "red valve",
    "",
    "blue 水 ﬁlter 🙂",
    "the filter, the pumps, the valves: is every valve changed every month? " * 12,
    "水",
    *(" ".join(["green pump is"] * n) for n in range(1, 12)),
]
FP32 = ComputeConfig(backend="openvino", precision="fp32")


def candidates(*texts: str) -> list[Candidate]:
    return [Candidate((EmbedText(text),)) for text in texts]


def reranker(folder, compute=None, **settings) -> CrossEncoderReranker:
    return CrossEncoderReranker(CrossEncoderConfig(model=str(folder), **settings), compute)


def theirs(folder, passages=PASSAGES, query=QUERY, **options):
    return CrossEncoder(str(folder), device="cpu").predict([(query, text) for text in passages], **options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each architecture, made once."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = save_classifier(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def bert(folders):
    return folders("Bert")


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """As sentence-transformers saves one: no chat template, so that pairs are joined by the tokenizer."""

    def folder(kind, save=save_causal):
        plain, saved = (tmp_path_factory.mktemp(f"{kind}-{name}") for name in ("plain", "saved"))
        transformer = Transformer(str(save(plain, kind)), transformer_task="text-generation")
        yes, no = (transformer.tokenizer.convert_tokens_to_ids(answer) for answer in ("yes", "no"))
        CrossEncoder(modules=[transformer, LogitScore(yes, no)], device="cpu").save_pretrained(str(saved))
        return saved

    return folder


class TestExactness:
    @pytest.mark.parametrize("kind", KINDS)
    def test_classifiers_score_as_sentence_transformers(self, folders, kind):
        mine, expected = reranker(folders(kind)).score(QUERY, candidates(*PASSAGES)), theirs(folders(kind))
        assert np.abs(mine.values - expected).max() < 1e-4
        assert expected.std() > 1e-3
        assert 4 in mine.read

    @pytest.mark.chosen
    @pytest.mark.parametrize("kind", ["Bert", "DebertaV2"])
    def test_openvino_scores_as_sentence_transformers(self, folders, kind):
        pytest.importorskip("openvino")
        mine = reranker(folders(kind), FP32)
        assert np.abs(mine.score(QUERY, candidates(*PASSAGES)).values - theirs(folders(kind))).max() < 1e-4
        assert (mine.choice.backend, mine.choice.precision) == ("openvino", "fp32")

    @pytest.mark.parametrize("kind", ["Qwen2", "Qwen3"])
    def test_causal_models_score_as_sentence_transformers(self, causal, kind):
        folder = causal(kind)
        mine = reranker(folder).score(QUERY, candidates(*PASSAGES)).values
        assert np.abs(mine - theirs(folder)).max() < 1e-4
        assert mine.std() > 1e-3

    @pytest.mark.chosen
    def test_causal_models_on_openvino_score_as_sentence_transformers(self, causal):
        pytest.importorskip("openvino")
        folder = causal("Qwen2")
        mine = reranker(folder, FP32)
        assert np.abs(mine.score(QUERY, candidates(*PASSAGES)).values - theirs(folder)).max() < 1e-4
        assert mine.choice.backend == "openvino"

    @pytest.mark.chosen
    @pytest.mark.parametrize("compute", [FP32, ComputeConfig(backend="torch")])
    def test_padding_before_a_text_takes_no_positions(self, causal, compute):
        """With learned positions, sentence-transformers itself is right only where nothing is padded."""
        pytest.importorskip("openvino")
        folder = causal("GPT2", save_learned_positions)
        alone = theirs(folder, batch_size=1)
        mine = reranker(folder, compute)
        assert np.abs(mine.score(QUERY, candidates(*PASSAGES)).values - alone).max() < 1e-4
        assert np.abs(theirs(folder) - alone).max() > 1e-3
        assert mine.choice.backend == "torch"

    @pytest.mark.parametrize("ending", ["", "<|im_end|>"])
    def test_a_classifier_that_cannot_pad_reads_its_last_token(self, tmp_path, ending):
        """Sentence-transformers refuses it."""
        folder = save_unpadded_classifier(tmp_path, ending)
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        with torch.inference_mode():
            read = [tokenizer(QUERY, text, return_tensors="pt") for text in PASSAGES]
            expected = np.array([torch.sigmoid(model(**one).logits).item() for one in read])
        assert np.abs(reranker(folder).score(QUERY, candidates(*PASSAGES)).values - expected).max() < 1e-4
        assert expected.std() > 1e-3

    @pytest.mark.parametrize("scale, activation", [("logit", "Identity"), ("probability", "Sigmoid")])
    def test_the_activation_is_the_models_own(self, bert, tmp_path, scale, activation):
        model = CrossEncoder(str(bert), device="cpu", activation_fn=getattr(torch.nn, activation)())
        model.save_pretrained(str(tmp_path))
        mine = reranker(tmp_path)
        expected = model.predict([(QUERY, text) for text in PASSAGES])
        assert np.abs(mine.score(QUERY, candidates(*PASSAGES)).values - expected).max() < 1e-4
        assert mine.scale == scale
        assert (expected.min() < 0) == (scale == "logit")

    def test_a_saved_prompt_stands_before_the_query(self, bert, tmp_path):
        prompts = {"prompts": {"task": "green filter: "}, "default_prompt_name": "task"}
        CrossEncoder(str(bert), device="cpu", **prompts).save_pretrained(str(tmp_path))
        mine = reranker(tmp_path).score(QUERY, candidates(*PASSAGES)).values
        assert np.abs(mine - theirs(tmp_path)).max() < 1e-4
        assert np.abs(mine - theirs(bert)).max() > 1e-3
        told = reranker(tmp_path, instruction="blue ").score(QUERY, candidates(*PASSAGES)).values
        assert np.abs(told - theirs(tmp_path, prompt="blue ")).max() < 1e-4

    def test_a_tokenizer_of_its_own_ways(self, bert, tmp_path):
        tokenizer = AutoTokenizer.from_pretrained(bert)
        description = json.loads(tokenizer.backend_tokenizer.to_str())
        description["post_processor"]["pair"][0]["SpecialToken"]["type_id"] = 1
        AutoModelForSequenceClassification.from_pretrained(bert).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        (tmp_path / "tokenizer.json").write_text(json.dumps(description))
        mine = reranker(tmp_path)
        assert np.abs(mine.score(QUERY, candidates(*PASSAGES)).values - theirs(tmp_path)).max() < 1e-4

    def test_many_queries_score_as_sentence_transformers(self, bert):
        pairs = [(a, b) for a in PASSAGES[:4] for b in PASSAGES] * 18  # More than are held at once.
        expected = CrossEncoder(str(bert), device="cpu").predict(pairs[: len(pairs) // 18])
        assert np.abs(reranker(bert).score_pairs(pairs) - np.tile(expected, 18)).max() < 1e-4

    def test_threads_score_alike(self, bert):
        mine = reranker(bert)
        expected = mine.score(QUERY, candidates(*PASSAGES)).values
        with ThreadPoolExecutor(4) as pool:
            for scores in pool.map(lambda _: mine.score(QUERY, candidates(*PASSAGES)), range(24)):
                assert np.abs(scores.values - expected).max() < 1e-6


@pytest.fixture(scope="module")
def long(bert):
    """A passage of 240 tokens, and its tokens."""
    text = " ".join(f"{word} pump" for word in ["red", "blue", "green", "valve", "month", "is"] * 20)
    return text, AutoTokenizer.from_pretrained(bert)(text, add_special_tokens=False)["input_ids"]


class TestRoom:
    def by_hand(self, folder, ids):
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        query = tokenizer(QUERY, add_special_tokens=False)["input_ids"]
        whole = torch.tensor([[2, *query, 3, *ids, 3]])
        types = torch.tensor([[0] * (len(query) + 2) + [1] * (len(ids) + 1)])
        with torch.inference_mode():
            return torch.sigmoid(model(input_ids=whole, token_type_ids=types).logits)[0, 0].item()

    def test_the_beginning_is_read_and_said(self, bert, long):
        text, ids = long
        scores = reranker(bert).score(QUERY, candidates("red", text))
        assert scores.read == {1: Read(128 - 8, 240)}
        assert scores.values[1] == pytest.approx(self.by_hand(bert, ids[:120]), abs=1e-5)

    def test_the_best_window_counts(self, bert, long):
        text, ids = long
        scores = reranker(bert, long="windows").score(QUERY, candidates("red", text))
        assert scores.read == {1: Read(240, 240, 3)}
        windows = [self.by_hand(bert, ids[start : start + 120]) for start in (0, 90, 120)]
        assert scores.values[1] == pytest.approx(max(windows), abs=1e-5)
        assert np.ptp(windows) > 1e-4

    def test_max_length_counts_the_query_too(self, bert, long):
        text, ids = long
        scores = reranker(bert, max_length=60).score(QUERY, candidates(text))
        assert scores.read == {0: Read(52, 240)}
        assert scores.values[0] == pytest.approx(self.by_hand(bert, ids[:52]), abs=1e-5)
        with pytest.raises(ConfigError, match="at most 128"):
            reranker(bert, max_length=129).score(QUERY, candidates(text))

    def test_a_query_is_never_cut(self, bert, long):
        with pytest.raises(QueryTooLong, match=r"has 100 tokens.* reads 128 at once.*Shorten the query"):
            reranker(bert).score("pump " * 100, candidates("red", long[0]))
        assert len(reranker(bert).score("pump " * 100, candidates("red", "pump")).values) == 2
        with pytest.raises(QueryTooLong, match="has 2500 tokens"):
            reranker(bert).score("red " * 2500, candidates(""))
        with pytest.raises(QueryTooLong):
            reranker(bert).score_pairs([("red", "pump"), ("red " * 2500, "pump")])


class TestInput:
    def test_views_are_joined_and_an_image_alone_reads_as_empty(self, bert):
        image = EmbedImage("0" * 64)
        given = [Candidate((EmbedText("the"), image, EmbedText("pump"))), Candidate((image,))]
        scores = reranker(bert).score("red", given).values
        assert scores == pytest.approx(
            reranker(bert).score("red", candidates("the\npump", "")).values, abs=1e-6
        )

    def test_odd_text_has_finite_scores(self, bert):
        texts = ["", "pump " * 2000, "\ud800", "水", "a\x00b", "👩‍🚀", "العربية pump", "\n\n"]
        for query in ("red", "", "\ud800", "水 red", "?"):
            assert np.isfinite(reranker(bert).score(query, candidates(*texts)).values).all()
        scores = reranker(bert).score("red", [])
        assert (scores.values.shape, scores.read, scores.notices) == ((0,), {}, ())

    def test_scores_that_are_not_finite_are_the_lowest(self, bert, tmp_path):
        model = AutoModelForSequenceClassification.from_pretrained(bert)
        tokenizer = AutoTokenizer.from_pretrained(bert)
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight[tokenizer.vocab["blue"]] = float("nan")
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        scores = reranker(tmp_path).score("red", candidates("pump", "blue", "valve"))
        assert scores.values[1] == min(scores.values[0], scores.values[2])
        assert scores.notices == ("1 score was not finite and counts as the lowest",)
        assert reranker(tmp_path).score("red", candidates("blue")).values.tolist() == [0.0]
        windows = reranker(tmp_path, long="windows").score("red", candidates("pump", "pump " * 200 + "blue"))
        assert np.isfinite(windows.values).all() and windows.notices == ()

    def test_the_sides_do_not_mix(self, bert):
        with pytest.raises(SideError):
            reranker(bert).score(EmbedText("red"), candidates("red"))
        with pytest.raises(SideError):
            reranker(bert).rank("red", "a text, not a list of them")


class TestAlone:
    def test_ranking(self, bert):
        texts = ["the pump", "red valve", "blue", "red valve"]
        scores = CrossEncoder(str(bert), device="cpu").predict([("red", text) for text in texts])
        ranking = CrossEncoderReranker(str(bert)).rank("red", texts)
        assert [found.index for found in ranking] == np.argsort(-scores, kind="stable").tolist()
        assert [found.text for found in ranking] == [texts[found.index] for found in ranking]
        assert [found.score for found in ranking] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
        assert CrossEncoderReranker(str(bert)).rank("red", texts, k=2) == ranking[:2]
        assert isinstance(ranking[0], Ranked)
        with pytest.raises(BadInput, match="k is 0"):
            CrossEncoderReranker(str(bert)).rank("red", texts, k=0)
        assert CrossEncoderReranker(str(bert)).rank("red", []) == []

    def test_pairs(self, bert):
        assert CrossEncoderReranker(str(bert)).score_pairs([]).shape == (0,)
        alike = CrossEncoderReranker(str(bert)).score_pairs([("red pump", "blue"), ("blue", "red pump")])
        assert alike == pytest.approx(
            CrossEncoder(str(bert), device="cpu").predict([("red pump", "blue"), ("blue", "red pump")]),
            abs=1e-5,
        )

    def test_names(self, bert):
        assert CrossEncoderReranker("cross-encoder/ms-marco-MiniLM-L-6-v2").name == "ms-marco-MiniLM-L-6-v2"
        assert reranker(bert).name == bert.name
        assert reranker(bert).source == f"folder {bert}"
        with pytest.raises(UnknownPreset, match="bge-reranker-base"):
            CrossEncoderReranker("bge")

    def test_models_are_shared_until_all_have_let_go(self, bert, monkeypatch):
        loaded = []

        def load(source):
            model = load_pair_model(source)
            loaded.append(weakref.ref(model))
            return model

        monkeypatch.setattr(cross_encoder, "load_pair_model", load)
        one, other = reranker(bert, max_length=100), reranker(bert, max_length=100)
        before = one.score(QUERY, candidates(*PASSAGES)).values
        other.score(QUERY, candidates("red"))
        one.release()
        assert [model() is not None for model in loaded] == [True]
        other.release()
        other.release()
        assert [model() is not None for model in loaded] == [False]
        assert one.score(QUERY, candidates(*PASSAGES)).values == pytest.approx(before, abs=1e-6)
        assert len(loaded) == 2


class TestRefused:
    def test_a_classifier_with_several_labels(self, three_label_model):
        with pytest.raises(ConfigError, match="3 labels"):
            reranker(three_label_model).score("red", candidates("pump"))

    def test_a_model_without_a_head(self, tiny_bert):
        with pytest.raises(ConfigError, match="BertModel, which has no head that scores pairs"):
            reranker(tiny_bert).score("red", candidates("pump"))

    def test_an_instruction_to_a_model_that_is_told_none(self, bert):
        with pytest.raises(ConfigError, match="is not told its task"):
            reranker(bert, instruction="Find pumps").score("red", candidates("pump"))

    def test_a_damaged_folder(self, bert, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"nonsense")
        (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
        with pytest.raises(ConfigError, match="does not load as a cross-encoder"):
            reranker(tmp_path).score("red", candidates("pump"))

    def test_a_model_that_is_not_there(self, monkeypatch, tmp_path):
        import huggingface_hub.constants as hub

        monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
        with pytest.raises(ModelNotFound, match="cross-encoder/ms-marco-MiniLM-L-6-v2"):
            CrossEncoderReranker("ms-marco-MiniLM-L-6-v2").score("red", candidates("pump"))
