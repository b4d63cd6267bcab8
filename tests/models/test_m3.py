import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, XLMRobertaModel

from rag_plugins.config import Bm25Leg, ComputeConfig
from rag_plugins.errors import BadInput, ConfigError, ModelNotFound, SideError, UnknownPreset
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.m3 import M3Encoder, is_m3
from rag_plugins.models.protocols import SPARSE, Candidate, Representation
from rag_plugins.models.rerank.late_interaction import LateInteractionReranker
from rag_plugins.models.tokens import MAX_BYTES, pack_tokens, unpack_tokens
from rag_plugins.types import EmbedImage, EmbedText
from rag_plugins.vectors import normalise

ALL = frozenset(Representation)
TOKENS = frozenset({Representation.TOKENS})
TEXTS = [
    "the pump is changed every month.",
    "red valve",
    "",
    "the filter, the pumps, the valves: is every valve changed every month?",
    "red red blue",
    "\N{SNOWMAN} the \N{GRINNING FACE}\N{GRINNING FACE} 水阀",
    "</s> the <mask><s>",
    "every month " * 60,
]
VIEWS = [EmbedText(text) for text in TEXTS]


@pytest.fixture(scope="module")
def m3(tiny_m3) -> M3Encoder:
    return M3Encoder(str(tiny_m3))


@pytest.fixture(scope="module")
def everything(m3):
    return m3.encode_documents(VIEWS, ALL)


def copied(folder, place):
    return shutil.copytree(folder, place / "copy")


def by_hand(folder, text: str, max_length: int = 64):
    """dense (dim,), {token id: weight}, tokens (n - 1, dim), from the trunk's hidden states."""
    tokenizer, trunk = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoded = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.inference_mode():
        hidden = trunk(**encoded).last_hidden_state[0].numpy()
    sparse, colbert = (
        {key: value.numpy() for key, value in torch.load(folder / f"{name}.pt", weights_only=True).items()}
        for name in ("sparse_linear", "colbert_linear")
    )
    weights: dict[int, float] = {}
    for id, row in zip(encoded["input_ids"][0].tolist(), hidden, strict=True):
        weight = float(row @ sparse["weight"][0] + sparse["bias"][0])
        if weight > max(weights.get(id, 0.0), 0.0) and id not in (0, 1, 2, 3):
            weights[id] = weight
    return normalise(hidden[0]), weights, normalise(hidden[1:] @ colbert["weight"].T + colbert["bias"])


def assert_alike(encoding, dense, sparse, tokens):
    assert np.abs(encoding.dense - np.array(dense)).max() < 1e-5
    for mine, theirs in zip(encoding.sparse, sparse, strict=True):
        assert mine.as_dict() == pytest.approx(theirs, abs=1e-5)
    for mine, theirs in zip(encoding.tokens, tokens, strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max() < 1e-5


class TestOutputs:
    def test_they_equal_a_computation_from_the_hidden_states(self, tiny_m3, everything):
        expected = [by_hand(tiny_m3, text) for text in TEXTS]
        assert_alike(everything, *zip(*expected, strict=True))
        assert max(map(len, everything.sparse)) > 5
        assert [len(matrix) for matrix in everything.tokens] == [8, 3, 1, 19, 4, 9, 5, 63]

    def test_queries_and_documents_are_read_alike(self, m3, everything):
        queries = m3.encode_queries(TEXTS, ALL)
        assert_alike(queries, everything.dense, [v.as_dict() for v in everything.sparse], everything.tokens)

    def test_a_text_does_not_depend_on_its_neighbours(self, m3, everything):
        for n, view in enumerate(VIEWS):
            alone = m3.encode_documents([view], ALL)
            sparse = [everything.sparse[n].as_dict()]
            assert_alike(alone, everything.dense[n : n + 1], sparse, everything.tokens[n : n + 1])

    def test_shapes_and_types(self, everything):
        assert everything.dense.dtype == np.float32
        assert np.linalg.norm(everything.dense, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
        for vector in everything.sparse:
            assert vector.indices.dtype == np.uint32
            assert np.all(np.diff(vector.indices.astype(int)) > 0)
            assert np.all(vector.values > 0)
        for matrix in everything.tokens:
            assert matrix.base is None  # Nothing holds on to a batch and its padding.
            assert np.linalg.norm(matrix, axis=1) == pytest.approx(np.ones(len(matrix)), abs=1e-5)

    def test_nothing_in_nothing_out(self, m3):
        encoding = m3.encode_documents([], ALL)
        assert encoding.dense.shape == (0, 32)
        assert (encoding.sparse, encoding.tokens) == ((), ())

    def test_only_what_is_wanted_is_given(self, m3):
        encoding = m3.encode_documents(VIEWS[:2], SPARSE)
        assert (encoding.dense, encoding.tokens) == (None, None)
        assert len(encoding.sparse) == 2
        assert m3.encode_queries(["red"]).sparse is None

    def test_the_sides_do_not_mix(self, m3):
        with pytest.raises(SideError):
            m3.encode_documents(["red pump"])
        with pytest.raises(SideError):
            m3.encode_queries([EmbedText("red pump")])
        with pytest.raises(SideError):
            m3.score_pairs([("red", "pump")])
        with pytest.raises(BadInput, match="EmbedImage"):
            m3.encode_documents([EmbedImage("0" * 64)])
        with pytest.raises(BadInput, match="dense, sparse and tokens"):
            m3.encode_queries(["red"], frozenset())

    def test_odd_texts_are_read(self, m3):
        texts = ["red pump " * 11_000, "x" * 100_000, "\ud800 \x00 pump", " \n\t"]
        encoding = m3.encode_documents([EmbedText(text) for text in texts], ALL)
        assert np.isfinite(encoding.dense).all()
        assert [len(matrix) for matrix in encoding.tokens][:2] == [63, 63]


@pytest.fixture
def passes(m3, monkeypatch) -> list[int]:
    """How many texts each forward pass of the trunk had."""
    transformer, sizes = m3._trunk._transformer, []
    forward = transformer.forward

    def counted(input_ids, **inputs):
        sizes.append(len(input_ids))
        return forward(input_ids=input_ids, **inputs)

    monkeypatch.setattr(transformer, "forward", counted)
    return sizes


class TestOnePass:
    def test_all_three_come_from_one(self, m3, passes):
        m3.encode_documents(VIEWS[:5], ALL)
        assert sum(passes) == 5

    def test_a_search_and_its_reranker_share_their_querys(self, m3, passes):
        query = "is the red filter changed?"
        m3.encode_queries([query], frozenset({Representation.DENSE, Representation.SPARSE}))
        m3.encode_queries([query], TOKENS)
        m3.encode_queries([query])
        assert passes == [1]

    def test_what_is_remembered_is_not_the_callers(self, m3):
        first = m3.encode_queries(["green"]).dense
        first[:] = 0.0
        assert m3.encode_queries(["green"]).dense.any()

    def test_pairs_read_each_text_once(self, m3, passes):
        queries, passages = ["red", "blue"], VIEWS[:3]
        m3.score_pairs([(query, passage) for query in queries for passage in passages])
        assert sum(passes) == 5

    def test_a_batch_has_a_budget(self, m3, passes):
        m3.encode_documents(VIEWS[-1:] * 100, SPARSE)
        assert sum(passes) == 100
        assert max(passes) * 64 <= 2048


class TestTerms:
    def test_dimensions_are_tokens(self, m3):
        literal = m3.literal("the pumps, 水 \N{SNOWMAN}")
        assert set(m3.terms(sorted(literal))) == {"the", "pump", "s", ",", "水", "\u2581"}
        assert m3.terms([]) == []

    def test_the_model_adds_none(self, m3, everything):
        for text, vector in zip(TEXTS, everything.sparse, strict=True):
            assert set(vector.indices.tolist()) <= m3.literal(text)

    def test_long_texts_have_all_their_terms(self, m3):
        assert m3.literal("red " * 200 + "blue") == m3.literal("red blue")

    def test_the_strongest_are_kept(self, tiny_m3, everything):
        pruned = M3Encoder(str(tiny_m3), query_terms=2, document_terms=3)
        for n, full in enumerate(everything.sparse):
            for most, vector in (
                (2, pruned.encode_queries([TEXTS[n]], SPARSE).sparse[0]),
                (3, pruned.encode_documents([VIEWS[n]], SPARSE).sparse[0]),
            ):
                strongest = sorted(full.as_dict().items(), key=lambda pair: -pair[1])[:most]
                assert vector.as_dict() == pytest.approx(dict(strongest), abs=1e-5)

    def test_spans_belong_to_the_token_vectors(self, m3):
        query = "the pumps, changed 水 \N{GRINNING FACE}?"
        read, unread = m3.query_spans(query)
        assert len(read) == len(m3.encode_queries([query], TOKENS).tokens[0])
        words = [query[start:end] for start, end in read]
        # A lone mark of a word's beginning, twice; the unknown; the end marker: no words.
        assert words == ["the", "pump", "s", ",", "changed", "", "水", "", "", "?", ""]
        assert [query[start:end] for start, end in unread] == ["\N{GRINNING FACE}"]
        assert m3.unread(query) == 1 / 10
        assert len(m3.query_spans("red " * 200)[0]) == 63
        assert m3.token_counts([query, "red " * 200]) == [len(read), 201]


class TestMaxLength:
    def test_the_rest_is_not_read(self, tiny_m3):
        short = M3Encoder(str(tiny_m3), max_length=8)
        dense, weights, tokens = by_hand(tiny_m3, TEXTS[3], max_length=8)
        assert_alike(short.encode_documents([VIEWS[3]], ALL), [dense], [weights], [tokens])
        assert tokens.shape == (7, 32)

    def test_encoders_of_different_lengths_share_a_trunk(self, tiny_m3, m3):
        short = M3Encoder(str(tiny_m3), max_length=8)
        for _ in range(2):
            assert len(short.encode_documents(VIEWS[-1:], TOKENS).tokens[0]) == 7
            assert len(m3.encode_documents(VIEWS[-1:], TOKENS).tokens[0]) == 63
        assert short._trunk is m3._trunk

    @pytest.mark.parametrize(("length", "message"), [(65, "at most 64 tokens"), (2, "3 is the least")])
    def test_what_the_model_cannot_read_is_refused(self, tiny_m3, length, message):
        with pytest.raises(ConfigError, match=message):
            M3Encoder(str(tiny_m3), max_length=length).encode_queries(["red"])


def test_many_threads_share_one_encoder(m3, everything):
    def work(n):
        encoding = m3.encode_documents(VIEWS, ALL) if n % 2 else m3.encode_queries(TEXTS, ALL)
        m3.query_spans(TEXTS[n % len(TEXTS)])
        m3.terms(everything.sparse[0].indices.tolist())
        m3.encode_queries([f"red {n % 20}"], ALL)
        return encoding

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(48)))
    sparse = [vector.as_dict() for vector in everything.sparse]
    for encoding in results:
        assert_alike(encoding, everything.dense, sparse, everything.tokens)


@pytest.fixture(scope="session")
def flag(tiny_m3):
    flag = pytest.importorskip("FlagEmbedding")
    return flag.BGEM3FlagModel(str(tiny_m3), use_fp16=False, devices="cpu")


class TestFlagEmbedding:
    pairs = [(query, passage) for query in TEXTS for passage in TEXTS]

    def test_outputs_are_its_own(self, flag, everything):
        theirs = flag.encode(
            TEXTS, return_dense=True, return_sparse=True, return_colbert_vecs=True, max_length=64
        )
        sparse = [{int(id): weight for id, weight in row.items()} for row in theirs["lexical_weights"]]
        assert_alike(everything, theirs["dense_vecs"], sparse, theirs["colbert_vecs"])

    def test_terms_are_named_as_it_names_them(self, flag, m3):
        ids = sorted(m3.literal("the pumps, 水阀?") - m3.literal("\N{SNOWMAN}"))
        assert m3.terms(ids) == list(flag.convert_id_to_token(dict.fromkeys(ids, 1.0)))

    @pytest.mark.parametrize("weights", [(0.4, 0.2, 0.4), (1.0, 0.3, 0.5), (0.0, 2.0, 0.0)])
    def test_the_weighted_score_is_its_own(self, flag, m3, weights):
        # Pair by pair: among longer passages, FlagEmbedding takes padding for a token.
        theirs = flag.compute_score(
            self.pairs,
            batch_size=1,
            max_query_length=64,
            max_passage_length=64,
            weights_for_different_modes=list(weights),
        )
        ours = m3.score_pairs([(query, EmbedText(passage)) for query, passage in self.pairs], weights)
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs["colbert+sparse+dense"]).max() < 1e-5
        assert np.ptp(ours) > 0.1

    def test_pruning_does_not_change_scores(self, tiny_m3, m3):
        pruned = M3Encoder(str(tiny_m3), query_terms=1, document_terms=1)
        pairs = [(TEXTS[0], VIEWS[3])]
        assert pruned.score_pairs(pairs) == pytest.approx(m3.score_pairs(pairs), abs=1e-5)

    def test_its_token_score_can_be_had_from_the_token_vectors(self, flag, everything):
        theirs = flag.compute_score(self.pairs, batch_size=1, max_query_length=64, max_passage_length=64)
        ours = [
            (query @ passage.T).max(axis=1).mean()
            for query in everything.tokens
            for passage in everything.tokens
        ]
        assert np.abs(np.array(ours) - theirs["colbert"]).max() < 1e-5


@pytest.mark.parametrize(
    "weights", [(0, 0, 0), (1, -1, 1), (1, 1), (float("inf"), 1, 1), (float("nan"), 1, 1)]
)
def test_weights_that_are_none_are_refused(m3, weights):
    with pytest.raises(BadInput, match="expected three for dense, lexical and token scores"):
        m3.score_pairs([("red", VIEWS[0])], weights)


def test_no_pairs_no_scores(m3):
    assert m3.score_pairs([]).shape == (0,)


class TestLateInteraction:
    def lexical(self) -> Bm25Encoder:
        encoder = Bm25Encoder(Bm25Leg())
        encoder.learn(VIEWS[:4])
        return encoder

    def test_words_weigh_by_idf_and_the_end_marker_nothing(self, m3, everything):
        lexical = self.lexical()
        candidates = [Candidate((view,)) for view in VIEWS[:4]]
        scores = LateInteractionReranker(m3, lexical).score("red pump", candidates).values
        rows = m3.encode_queries(["red pump"], TOKENS).tokens[0]
        weights = np.array([lexical.idf("red"), lexical.idf("pump"), 0.0])
        for score, matrix in zip(scores, everything.tokens, strict=False):
            best = (rows @ unpack_tokens(pack_tokens(matrix)).T).max(axis=1)
            assert score == pytest.approx(weights @ best / weights.sum(), abs=1e-4)

    def test_what_the_model_cannot_read_is_matched_literally(self, m3):
        query, passages = "门", ["门 red", "red"]
        candidates = [Candidate((EmbedText(text),)) for text in passages]
        assert LateInteractionReranker(m3).score(query, candidates).values.tolist() == [1.0, 0.0]

    def test_nothing_to_match(self, m3):
        assert LateInteractionReranker(m3).score("", [Candidate((VIEWS[0],))]).values.tolist() == [0.0]

    def test_stored_tokens_score_like_the_text(self, m3, everything):
        reranker = LateInteractionReranker(m3, self.lexical())
        stored = [Candidate((EmbedText("never read"),), pack_tokens(matrix)) for matrix in everything.tokens]
        fresh = [Candidate((view,)) for view in VIEWS]
        assert reranker.score("red pump", stored).values == pytest.approx(
            reranker.score("red pump", fresh).values, abs=1e-4
        )


@pytest.mark.parametrize(("tokens", "error"), [(190, 0.013), (382, 0.026), (512, 0.036), (8191, 0.21)])
def test_token_vectors_of_bge_m3s_width_fit(tokens, error):
    generator = np.random.default_rng(0)
    matrix = normalise(generator.standard_normal((tokens, 1024)).astype(np.float32))
    data = pack_tokens(matrix)
    assert len(data) <= MAX_BYTES
    query = normalise(generator.standard_normal((8, 1024)).astype(np.float32))
    assert (query @ (unpack_tokens(data) - matrix).T).std() < error


class TestLoading:
    def test_a_folder_with_both_heads_is_an_m3(self, tiny_m3, tiny_bert, tmp_path):
        assert is_m3(str(tiny_m3))
        assert is_m3("bge-m3")
        assert is_m3("BAAI/bge-m3")
        folder = copied(tiny_m3, tmp_path)
        (folder / "sparse_linear.pt").unlink()
        for name in (str(folder), str(tiny_bert), "all-MiniLM-L6-v2", "someone/m3", "m3", ""):
            assert not is_m3(name)

    def test_a_preset_says_what_it_is_without_loading(self):
        encoder = M3Encoder("BAAI/bge-m3", document_terms=256)  # Not on this machine.
        assert encoder.produces == ALL
        assert encoder.dim == 1024
        assert encoder.fingerprint == {
            "model": "bge-m3",
            "dim": 1024,
            "max_length": 8192,
            "document_terms": 256,
        }

    def test_an_unknown_name_is_refused_at_once(self):
        with pytest.raises(UnknownPreset, match="known presets are bge-m3"):
            M3Encoder("all-MiniLM-L6-v2")

    def test_fingerprints(self, tiny_m3, m3, tmp_path):
        moved = copied(tiny_m3, tmp_path)
        assert M3Encoder(str(moved)).fingerprint == m3.fingerprint
        assert M3Encoder(str(tiny_m3), query_terms=1).fingerprint == m3.fingerprint
        for change in ({"max_length": 16}, {"document_terms": 1}):
            assert M3Encoder(str(tiny_m3), **change).fingerprint != m3.fingerprint
        torch.save(torch.nn.Linear(32, 1).state_dict(), moved / "sparse_linear.pt")
        assert M3Encoder(str(moved)).fingerprint != m3.fingerprint

    def test_it_says_where_it_is_from(self, tiny_m3, m3):
        assert m3.source == f"folder {tiny_m3}"

    def test_a_pickled_trunk_and_heads_in_half_precision(self, tiny_m3, m3, tmp_path):
        folder = copied(tiny_m3, tmp_path)
        (folder / "model.safetensors").unlink()
        torch.save(XLMRobertaModel.from_pretrained(tiny_m3).state_dict(), folder / "pytorch_model.bin")
        for name in ("sparse_linear.pt", "colbert_linear.pt"):
            head = torch.load(folder / name, weights_only=True)
            torch.save({key: value.half() for key, value in head.items()}, folder / name)
        pickled, safe = (encoder.encode_documents(VIEWS, ALL) for encoder in (M3Encoder(str(folder)), m3))
        assert np.abs(pickled.dense - safe.dense).max() < 1e-6
        for mine, theirs in zip(pickled.tokens, safe.tokens, strict=True):
            assert np.abs(mine - theirs).max() < 1e-3
        for mine, theirs in zip(pickled.sparse, safe.sparse, strict=True):
            assert mine.as_dict() == pytest.approx(theirs.as_dict(), abs=5e-3)

    def test_heads_in_safetensors(self, tiny_m3, everything, tmp_path):
        folder = copied(tiny_m3, tmp_path)
        for name in ("sparse_linear", "colbert_linear"):
            save_file(torch.load(folder / f"{name}.pt", weights_only=True), folder / f"{name}.safetensors")
            (folder / f"{name}.pt").unlink()
        assert is_m3(str(folder))
        encoding = M3Encoder(str(folder)).encode_documents(VIEWS, ALL)
        sparse = [vector.as_dict() for vector in everything.sparse]
        assert_alike(encoding, everything.dense, sparse, everything.tokens)

    def test_a_missing_head_is_named(self, tiny_m3, tmp_path):
        folder = copied(tiny_m3, tmp_path)
        (folder / "colbert_linear.pt").unlink()
        with pytest.raises(ModelNotFound, match=r"no colbert_linear\.pt in "):
            M3Encoder(str(folder)).encode_queries(["red"])

    @pytest.mark.parametrize(
        ("name", "tensors"),
        [
            ("sparse_linear", {"weight": torch.zeros(2, 32), "bias": torch.zeros(2)}),
            ("sparse_linear", {"weight": torch.zeros(1, 32)}),
            ("colbert_linear", {"weight": torch.zeros(32, 16), "bias": torch.zeros(32)}),
            ("colbert_linear", {"weight": torch.tensor(1.0), "bias": torch.zeros(32)}),
        ],
    )
    def test_a_head_of_another_shape_is_refused(self, tiny_m3, tmp_path, name, tensors):
        folder = copied(tiny_m3, tmp_path)
        torch.save(tensors, folder / f"{name}.pt")
        with pytest.raises(ConfigError, match=rf"{name}\.pt holds .* for a trunk 32 wide"):
            M3Encoder(str(folder)).encode_queries(["red"])

    def test_token_vectors_may_be_narrower(self, tiny_m3, tmp_path):
        folder = copied(tiny_m3, tmp_path)
        torch.save(torch.nn.Linear(32, 8).state_dict(), folder / "colbert_linear.pt")
        encoding = M3Encoder(str(folder)).encode_queries(["red pump"], ALL)
        assert encoding.dense.shape == (1, 32)
        assert encoding.tokens[0].shape == (3, 8)

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "sparse_linear.pt"])
    def test_a_pickle_that_runs_code_is_refused(self, tiny_m3, tmp_path, name):
        folder, target = copied(tiny_m3, tmp_path), tmp_path / "harm"
        (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
        torch.save(XLMRobertaModel.from_pretrained(tiny_m3).state_dict(), folder / "pytorch_model.bin")
        tensors = torch.load(folder / name, weights_only=True)
        torch.save({**tensors, "harm": Harm(target)}, folder / name)
        with pytest.raises(ConfigError, match=r"mkdir") as refused:
            M3Encoder(str(folder)).encode_queries(["red"])
        assert "weights_only" not in str(refused.value)  # PyTorch's message says how to run it.
        assert not target.exists()

    def test_a_trunk_without_some_of_its_weights_is_refused(self, tiny_m3, tmp_path):
        folder = copied(tiny_m3, tmp_path)
        weights = XLMRobertaModel.from_pretrained(tiny_m3).state_dict()
        save_file(
            {key: value for key, value in weights.items() if ".1." not in key}, folder / "model.safetensors"
        )
        with pytest.raises(ConfigError, match=r"lacks 16 weights of its trunk, encoder\.layer\.1\."):
            M3Encoder(str(folder)).encode_queries(["red"])

    def test_a_damaged_trunk_is_refused(self, tiny_m3, tmp_path):
        folder = copied(tiny_m3, tmp_path)
        (folder / "model.safetensors").write_bytes(b"damaged")
        with pytest.raises(ConfigError, match="is no model that can be loaded"):
            M3Encoder(str(folder)).encode_queries(["red"])


class Harm:
    """What a pickle can do to who loads it: run anything, here make a folder."""

    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.chosen
def test_by_the_real_rule_all_is_nearly_as_on_torch(tiny_m3):
    exact, chosen = (
        M3Encoder(str(tiny_m3), compute=ComputeConfig(backend=backend, precision="fp32"))
        for backend in ("torch", "auto")
    )
    assert chosen.choice.backend == "openvino"
    expected = exact.encode_documents(VIEWS, ALL)
    got = chosen.encode_documents(VIEWS, ALL)
    assert got.dense == pytest.approx(expected.dense, abs=1e-4)
    for mine, theirs in zip(got.sparse, expected.sparse, strict=True):
        assert mine.as_dict() == pytest.approx(theirs.as_dict(), abs=1e-3)
    for mine, theirs in zip(got.tokens, expected.tokens, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)


def test_a_model_is_freed_when_it_is_let_go_of(tiny_m3):
    encoder = M3Encoder(str(tiny_m3), device="cpu:0")
    encoder.encode_queries(["red"])
    trunk = weakref.ref(encoder._trunk)
    encoder.release()
    assert trunk() is None
    assert encoder.encode_queries(["red"]).dense.shape == (1, 32)
