"""Tiny ColPali, ColQwen2 and ColModernVBERT: what the encoder gives is what transformers gives."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from tiny_models import save_bert
from tiny_pages import SAVED, picture

from rag_plugins.config import ComputeConfig, PageTokensLeg
from rag_plugins.errors import BadInput, ConfigError, MissingExtra, ModelNotFound, SideError
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.own_code import Permission
from rag_plugins.models.protocols import DENSE, Representation
from rag_plugins.models.tokens import max_similarities, pack_tokens
from rag_plugins.models.visual import page_trunk
from rag_plugins.models.visual.images import decoded
from rag_plugins.models.visual.muvera import FIRST_PASSES
from rag_plugins.models.visual.page_tokens import PageTokensEncoder
from rag_plugins.models.visual.page_trunk import PageTrunk
from rag_plugins.models.visual.pooling import pooled
from rag_plugins.types import EmbedText

BOTH = frozenset({Representation.DENSE, Representation.TOKENS})
TOKENS = frozenset({Representation.TOKENS})
QUERIES = ["which valve is red?", "the pump"]
PAGES = [picture(1), picture(2, 90, 30), picture(3, 64, 64)]
EXACT = ComputeConfig(backend="torch", precision="fp32")
TORCH = Choice("torch", "fp32", "cpu", 1024, "the test wants it")


@pytest.fixture(scope="module", params=SAVED)
def folder(request, tmp_path_factory):
    return SAVED[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def colpali(tmp_path_factory):
    return SAVED["colpali"](tmp_path_factory.mktemp("colpali"))


def encoder(folder, **settings):
    return PageTokensEncoder(PageTokensLeg(model=str(folder), **settings), EXACT)


def direct(folder):
    """Token vectors by transformers alone, one query or page at a time: (of queries, of pages)."""
    import transformers

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, name).from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    pages = [Image.open(BytesIO(page)) for page in PAGES]

    def vectors(features):
        with torch.inference_mode():
            [rows] = model(**features).embeddings
        return rows[features["attention_mask"][0].bool()]

    queries = [vectors(processor.process_queries([query])) for query in QUERIES]
    return processor, queries, [vectors(processor.process_images([page])) for page in pages]


def test_tokens_equal_those_of_transformers(folder):
    _, queries, pages = direct(folder)
    model = encoder(folder, pool=1)
    for made, expected in (
        (model.encode_queries(QUERIES, TOKENS).tokens, queries),
        (model.encode_images(PAGES, TOKENS).tokens, pages),
    ):
        assert len(made) == len(expected)
        for rows, right in zip(made, expected, strict=True):
            assert rows.shape == right.shape
            assert rows == pytest.approx(right.numpy(), abs=2e-4)
    assert np.std(np.vstack(made)) > 0.1


def test_packed_tokens_score_as_the_processor_does(folder):
    processor, queries, pages = direct(folder)
    expected = processor.score_retrieval(queries, pages).numpy()
    model = encoder(folder, pool=1)
    packed = [pack_tokens(rows, "int8") for rows in model.encode_images(PAGES, TOKENS).tokens]
    for query, row in zip(model.encode_queries(QUERIES, TOKENS).tokens, expected, strict=True):
        assert max_similarities(query, packed).sum(axis=1) == pytest.approx(row, abs=0.01 * len(query))


def test_batches_change_nothing(folder, monkeypatch):
    alone = encoder(folder).encode_images(PAGES, TOKENS).tokens
    trunk = PageTrunk.load(folder, TORCH, Permission())
    monkeypatch.setattr(trunk, "choice", replace(TORCH, device="cuda"))
    together = trunk.images(PAGES)
    for one, of_batch in zip(alone, together, strict=True):
        assert one == pytest.approx(pooled(of_batch, 3), abs=2e-4)


@pytest.mark.parametrize("first_pass", FIRST_PASSES)
def test_dense_is_the_first_pass_over_pooled_tokens(folder, first_pass):
    model = encoder(folder, first_pass=first_pass)
    first = FIRST_PASSES[first_pass]
    pages, queries = model.encode_images(PAGES, BOTH), model.encode_queries(QUERIES, BOTH)
    whole = encoder(folder, pool=1).encode_images(PAGES, TOKENS).tokens
    for rows, vector, full in zip(pages.tokens, pages.dense, whole, strict=True):
        assert len(rows) == len(full) // 3
        assert rows == pytest.approx(pooled(full, 3), abs=1e-6)
        assert vector == pytest.approx(first.page(rows), abs=1e-6)
    for rows, vector in zip(queries.tokens, queries.dense, strict=True):
        assert vector == pytest.approx(first.query(rows), abs=1e-6)
    assert pages.dense.shape == (3, model.dim)


@pytest.fixture(scope="module")
def masked(colpali, tmp_path_factory):
    """Saved by sentence-transformers, with a prompt and a mask that leaves the tokens of the image alone."""
    folder = tmp_path_factory.mktemp("masked")
    plain = MultiVectorEncoder(str(colpali), device="cpu")
    mask = MultiVectorMask(keep_only_token_ids=[plain.tokenizer.convert_tokens_to_ids("<image>")])
    MultiVectorEncoder(modules=[plain[0], mask], prompts={"query": "red "}).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("own", [True, False], ids=["its own way", "by sentence-transformers"])
def test_what_sentence_transformers_saved_is_read_as_it_reads_it(masked, own, monkeypatch):
    saved = MultiVectorEncoder(str(masked), device="cpu")
    if not own:
        for process in ("process_images", "process_queries"):
            monkeypatch.delattr(type(saved[0].processor), process)
    model = encoder(masked, pool=1)
    made = model.encode_images(PAGES, TOKENS).tokens
    for rows, right in zip(made, saved.encode_document(list(decoded(PAGES))), strict=True):
        assert rows.shape == (16, 16)
        assert rows == pytest.approx(right.numpy(), abs=2e-4)
    queries = model.encode_queries(QUERIES, TOKENS).tokens
    for rows, right in zip(queries, saved.encode_query(QUERIES), strict=True):
        assert rows == pytest.approx(right.numpy(), abs=2e-4)
    assert model.dim == 2 * 8 * 16 + 1


def test_a_query_that_is_a_path_or_an_address_is_read_as_text(masked, monkeypatch, tmp_path):
    trunk = PageTrunk.load(masked, TORCH, Permission())
    for process in ("process_images", "process_queries"):
        monkeypatch.delattr(type(trunk._processor), process)
    path = tmp_path / "pump.png"
    path.write_bytes(PAGES[0])
    lengths = [len(rows) for rows in trunk.queries([str(path), "http://localhost/pump.png", "pump"])]
    assert min(lengths[:2]) > lengths[2]


def test_what_it_says_of_itself(folder):
    model = encoder(folder, pool=2)
    assert model.source == f"folder {folder}"
    assert model.produces == BOTH
    assert model.matryoshka == ()
    assert model.dim == 2 * 8 * 16 + 1
    assert encoder(folder, first_pass="mean").dim == 17
    assert model.fingerprint == encoder(folder, pool=2, keep="binary").fingerprint
    for other in ({"pool": 3}, {"first_pass": "mean"}):
        assert model.fingerprint != encoder(folder, **{"pool": 2, **other}).fingerprint
    assert json.loads(json.dumps(model.fingerprint)) == model.fingerprint
    assert model.choice.backend == "torch"


@pytest.mark.chosen
def test_it_runs_on_torch_whatever_else_there_is(colpali):
    model = PageTokensEncoder(PageTokensLeg(model=str(colpali)))
    assert model.choice.backend == "torch"
    assert model.encode_queries(QUERIES).dense.shape == (2, model.dim)


def test_half_precision_is_near(colpali):
    exact = encoder(colpali, pool=1).encode_images(PAGES, TOKENS).tokens
    trunk = PageTrunk.load(colpali, replace(TORCH, precision="bf16"), Permission())
    for rows, near in zip(exact, trunk.images(PAGES), strict=True):
        assert near.dtype == np.float32
        assert np.median((rows * near).sum(axis=1)) > 0.98


def test_wishes(colpali):
    model = encoder(colpali)
    assert model.encode_images(PAGES[:1]).tokens is None
    assert model.encode_queries(QUERIES, TOKENS).dense is None
    empty = model.encode_images([], BOTH)
    assert empty.dense.shape == (0, model.dim)
    assert empty.tokens == ()
    for want in (frozenset(), DENSE | {Representation.SPARSE}):
        with pytest.raises(BadInput, match="gives dense and tokens"):
            model.encode_queries(QUERIES, want)


def test_bad_input(colpali):
    model = encoder(colpali)
    with pytest.raises(SideError):
        model.encode_queries([EmbedText("a view")])
    with pytest.raises(BadInput, match="image 2 of 2 does not decode"):
        model.encode_images([PAGES[0], b"no image"])


def test_queries_are_read_as_far_as_a_question_goes(folder, monkeypatch):
    monkeypatch.setattr(page_trunk, "_LONGEST_QUERY", 4)
    model = encoder(folder)
    [cut] = model.encode_queries(["the pump turns every month " * 50], TOKENS).tokens
    [short] = model.encode_queries(["the pump turns every"], TOKENS).tokens
    assert cut == pytest.approx(short, abs=1e-5)
    assert len(model.encode_queries([""], TOKENS).tokens[0]) > 0


def test_models_are_shared_and_let_go(colpali):
    one, other = encoder(colpali), encoder(colpali, pool=1)
    one.encode_queries(QUERIES)
    assert other._trunk is one._trunk
    one.release()
    other.release()
    one.release()
    assert one.encode_queries(QUERIES).dense.shape == (2, one.dim)


def test_other_models_are_refused(tmp_path, colpali):
    bert = save_bert(tmp_path / "bert")
    with pytest.raises(ConfigError, match="BertModel, which gives no vector for each patch"):
        encoder(bert).encode_queries(QUERIES)
    MultiVectorEncoder(str(bert), device="cpu").save_pretrained(str(tmp_path / "colbert"))
    with pytest.raises(ConfigError, match="reads texts alone"):
        encoder(tmp_path / "colbert").encode_queries(QUERIES)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "vidore/base"}')
    with pytest.raises(ConfigError, match="an adapter of vidore/base"):
        encoder(adapter).encode_queries(QUERIES)
    with pytest.raises(ModelNotFound):
        encoder(tmp_path / "nowhere").encode_queries(QUERIES)


def test_a_processor_that_needs_torchvision_says_so(colpali, monkeypatch):
    import sentence_transformers

    def refuse(*args, **options):
        raise ImportError("SomeVideoProcessor requires the Torchvision library")

    monkeypatch.setattr(sentence_transformers, "MultiVectorEncoder", refuse)
    with pytest.raises(MissingExtra, match="needs torchvision"):
        encoder(colpali).encode_queries(QUERIES)
