"""Rerank stages through the index, on a Lite file and on a server."""

from functools import partial

import numpy as np
import pytest
from faces_support import WordOverlap, tiny_cross_encoder

from rag_plugins import Config, EmbedText, RagIndex
from rag_plugins.config import Bm25Leg, CrossEncoderConfig, DenseLeg, LateInteractionConfig, StoreConfig
from rag_plugins.errors import ConfigError, ModelNotFound, QueryTooLong
from rag_plugins.models.protocols import Read, Scores
from rag_plugins.types import EmbedImage, Passage, passage_id

TEXTS = {
    "a": "filter dust",
    "b": "filter dust weekly",
    "c": "filter",
    "d": "filter of the pump and of the fan and of the valve",
}


class Scored:
    """Gives each passage the score of its name (its first view's last word), and keeps what it was given."""

    scale = "logit"
    reads_tokens = False

    def __init__(self, scores=None, name="scored", reads_images=False, notices=()):
        self.scores, self.name, self.reads_images, self.notices = scores, name, reads_images, notices
        self.given = []

    def score(self, query, candidates):
        self.given.append(list(candidates))
        values = [self.scores[candidate.views[0].text] for candidate in candidates]
        cut = {n: Read(480, 1200, 2) for n, value in enumerate(values) if value == max(values)}
        return Scores(np.array(values, np.float32), cut, self.notices)


class Raises:
    name = "raises"
    scale = "logit"
    reads_tokens = reads_images = False

    def __init__(self, error):
        self.error = error

    def score(self, query, candidates):
        raise self.error


@pytest.fixture
def opened(milvus_uri, collection, tmp_path, monkeypatch):
    """Opens the one collection of this test with BM25 alone, and these stages: settings and rerankers."""

    def open(*stages, **options):
        rerankers = [reranker for _, reranker in stages]
        monkeypatch.setattr("rag_plugins.wiring.make_reranker", lambda *_: rerankers.pop(0))
        config = Config(
            legs=(Bm25Leg(),),
            rerank=tuple(CrossEncoderConfig(**settings) for settings, _ in stages),
            store=StoreConfig(assets=tmp_path / "assets"),
        )
        return RagIndex.open(milvus_uri, config=config, collection=collection, **options)

    return open


def fill(index, texts=TEXTS):
    index.add(index.passage(text, doc_id=name, caller_id=name) for name, text in texts.items())
    return index


def named(hits):
    return [hit.passage.caller_id for hit in hits]


def stages(hit):
    return {stage.stage: stage for stage in hit.trace}


def test_each_stage_reads_the_best_of_the_one_before(opened):
    words, scored = WordOverlap(), Scored(dict(zip(TEXTS.values(), [3.0, 1.0, 2.0, 9.0], strict=True)))
    with fill(opened(({"depth": 3}, words), ({"depth": 2}, scored))) as index:
        hits = index.search("dust weekly filter")
    # BM25 has b, a, c, d; words in common say the same, 3, 2 and 1; of b and a the last likes a.
    assert named(hits) == ["a", "b", "c", "d"]
    assert [candidate.views[0].text for candidate in scored.given[0]] == [TEXTS["b"], TEXTS["a"]]
    assert [list(stages(hit)) for hit in hits] == [
        ["bm25", "minmax", "word-overlap", "scored"],
        ["bm25", "minmax", "word-overlap", "scored"],
        ["bm25", "minmax", "word-overlap"],
        ["bm25", "minmax"],
    ]
    assert [stages(hit)["word-overlap"].score for hit in hits[:3]] == [2.0, 3.0, 1.0]
    assert [stages(hit)["word-overlap"].rank for hit in hits[:3]] == [2, 1, 3]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_later_stage_blends_with_the_blend_before_it(opened):
    words, scored = WordOverlap(), Scored(dict(zip(TEXTS.values(), [6.0, 4.0, 2.0, 9.0], strict=True)))
    with fill(opened(({"depth": 3}, words), ({"depth": 3, "blend": 0.25}, scored))) as index:
        hits = index.search("dust weekly filter")
    # Words 3, 2, 1 of b, a, c are 1, .5, 0; the last stage's 4, 6, 2 are .5, 1, 0.
    assert named(hits)[:3] == ["b", "a", "c"]
    assert [hit.score for hit in hits[:3]] == pytest.approx([0.75 + 0.125, 0.375 + 0.25, 0.0])
    last = stages(hits[0])["scored"]
    assert (last.score, last.weight, last.part) == (4.0, 0.25, pytest.approx(0.125))
    assert stages(hits[0])["word-overlap"].part == 1.0


def test_stages_of_one_name_are_told_apart(opened):
    with fill(opened(({}, WordOverlap()), ({}, WordOverlap()))) as index:
        (hit, *_) = index.search("dust weekly filter")
        assert list(stages(hit)) == ["bm25", "minmax", "word-overlap", "word-overlap #2"]
        assert {"fetch", "rerank word-overlap", "rerank word-overlap #2"} <= set(index.run("dust").seconds)
    with fill(opened(({}, WordOverlap()))) as index:
        assert {"fetch", "rerank"} <= set(index.run("dust").seconds)


def test_what_stages_read_is_fetched_once(opened, monkeypatch):
    with fill(opened(({}, WordOverlap()), ({"depth": 3}, WordOverlap()))) as index:
        asked, views = [], index.store.views

        def counted(ids):
            asked.extend(ids)
            return views(ids)

        monkeypatch.setattr(index.store, "views", counted)
        index.search("filter dust")
        assert len(asked) == len(set(asked)) == 4


def test_equal_scores_are_in_the_order_of_their_ids(opened):
    with fill(opened(({}, WordOverlap())), {str(n): "filter" for n in range(6)}) as index:
        ids = [hit.passage.id for hit in index.search("filter", k=6)]
        assert ids == sorted(ids) and len(ids) == 6


def test_calibrated_scores_and_what_was_read_are_in_the_trace(opened):
    scored = Scored(dict(zip(TEXTS.values(), [0.0, 2.0, -2.0, -9.0], strict=True)), notices=("1 was odd",))
    with fill(opened(({"calibration": "sigmoid"}, scored))) as index:
        hits = index.search("filter")
    assert named(hits) == ["b", "a", "c", "d"] and hits.notices == ("1 was odd",)
    assert [stages(hit)["scored"].probability for hit in hits] == pytest.approx(
        [0.880797, 0.5, 0.119203, 0.000123], abs=1e-6
    )
    assert [stages(hit)["scored"].score for hit in hits] == [2.0, 0.0, -2.0, -9.0]
    best, second = (stages(hit)["scored"] for hit in hits[:2])
    assert (best.read, best.tokens, best.windows) == (480, 1200, 2)
    assert (second.read, second.tokens, second.windows) == (None, None, None)


def test_below_the_lowest_score_is_nothing_relevant(opened):
    scores = dict(zip(TEXTS.values(), [0.0, 2.0, -2.0, -9.0], strict=True))
    with fill(opened(({"calibration": "sigmoid", "min_score": 0.5}, Scored(scores)))) as index:
        hits = index.search("filter", k=2)
        assert named(hits) == ["b", "a"] and hits.notices == ()
    with fill(opened(({"min_score": 1.5}, Scored(scores)))) as index:
        assert named(index.search("filter")) == ["b"]
    with fill(opened(({"min_score": 2.5}, Scored(scores)), ({}, Scored(scores, "idle")))) as index:
        hits = index.search("filter")
        assert hits == []
        assert hits.notices == ("nothing relevant here: the best of 4 passages scores 2, min_score is 2.5",)


def test_what_was_not_read_cannot_pass_the_lowest_score(opened):
    with fill(opened(({"depth": 2, "min_score": 0.5}, WordOverlap()))) as index:
        hits = index.search("dust weekly filter", k=3)
        assert named(hits) == ["b", "a"]
        assert hits.notices == (
            "2 passages that word-overlap did not read cannot pass its min_score: it reads the best 2, "
            "raise its depth for more",
        )
        assert index.search("dust weekly filter", k=2).notices == ()


def test_each_stage_prunes_by_its_own_lowest_score(opened):
    scored = Scored(dict(zip(TEXTS.values(), [3.0, 1.0, 5.0, 9.0], strict=True)))
    with fill(opened(({"min_score": 2.0}, WordOverlap()), ({"min_score": 2.0}, scored))) as index:
        assert named(index.search("dust weekly filter")) == ["a"]
    assert [candidate.views[0].text for candidate in scored.given[0]] == [TEXTS["b"], TEXTS["a"]]


def test_a_stage_for_which_the_query_is_too_long_is_skipped_and_says_so(opened):
    too_long = QueryTooLong("3000 tokens, room for 512: use fewer words")
    with fill(
        opened(({}, WordOverlap()), ({"min_score": 5.0}, Raises(too_long)), ({}, WordOverlap()))
    ) as index:
        hits = index.search("dust weekly filter")
    assert named(hits)[:2] == ["b", "a"] and len(hits) == 4
    assert list(stages(hits[0])) == ["bm25", "minmax", "word-overlap", "word-overlap #2"]
    assert hits.notices == (
        "raises was skipped, and its min_score with it: 3000 tokens, room for 512: use fewer words",
    )


@pytest.mark.parametrize("error", [ModelNotFound("no weights"), ConfigError("no such thing")])
def test_other_errors_of_a_reranker_are_raised(opened, error):
    with fill(opened(({}, Raises(error)))) as index, pytest.raises(type(error), match=str(error)):
        index.search("filter")


def test_only_own_passages_are_reranked(opened):
    scored = Scored({**dict.fromkeys(TEXTS.values(), 1.0), "filter of the other tenant": 9.0})
    with (
        fill(opened(({}, scored), tenant="one")) as index,
        opened(({}, Scored()), tenant="two") as other,
    ):
        fill(other, {"z": "filter of the other tenant"})
        assert sorted(named(index.search("filter", k=10))) == ["a", "b", "c", "d"]
    assert {candidate.views[0].text for candidate in scored.given[0]} == set(TEXTS.values())


def image_passage(index, name, asset):
    return Passage(
        passage_id("", caller_id=name), name, (EmbedText(f"filter {name}"), EmbedImage(asset)), "text"
    )


def test_images_are_read_where_the_reranker_reads_them(opened):
    scores = {"filter x": 2.0, "filter y": 1.0, "filter": 0.0}
    seeing, blind = Scored(scores, "seeing", reads_images=True), Scored(scores, "blind")
    with opened(({}, blind), ({}, seeing)) as index:
        kept = index.assets.put(b"\x89PNG\r\n\x1a\n of a page")
        index.add(
            [image_passage(index, "x", kept), image_passage(index, "y", "0" * 64), index.passage("filter")]
        )
        hits = index.search("filter")
    assert len(hits) == 3
    assert {candidate.image for candidate in blind.given[0]} == {None}
    assert {candidate.views[0].text: candidate.image for candidate in seeing.given[0]} == {
        "filter x": b"\x89PNG\r\n\x1a\n of a page",
        "filter y": None,
        "filter": None,
    }
    (notice,) = hits.notices
    assert notice.startswith("images that were not to be had: 1; the first: asset 000000")


# The real rerankers.

MANUAL = {
    "pump": "The coolant pump is bolted to the frame with four M8 screws.",
    "filter": "Change the dust filter every 500 hours of operation.",
    "fuse": "A blown fuse stops the display; replace it with part AX-4401.",
    "valve": "The relief valve opens at seven bar and closes at six.",
}


@pytest.fixture
def tiny(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    return tiny_cross_encoder(
        folder, sorted({word for text in MANUAL.values() for word in text.lower().split()})
    )


@pytest.fixture
def reopen(milvus_uri, collection):
    return partial(RagIndex.open, milvus_uri, collection=collection)


def late_then(model, **settings):
    return Config(
        legs=(DenseLeg(), Bm25Leg()),
        rerank=(LateInteractionConfig(depth=4), CrossEncoderConfig(model=model, depth=2, **settings)),
    )


def test_late_interaction_prunes_for_a_cross_encoder(reopen, tiny):
    with fill(reopen(config=late_then(tiny)), MANUAL) as index:
        hits = index.search("when is the filter changed?", k=4)
        again = index.search("when is the filter changed?", k=4)
    assert hits == again and len(hits) == 4
    read = [stages(hit) for hit in hits]
    assert all({"dense", "minmax", "late-interaction"} <= set(stage) for stage in read)
    assert ["tiny" in stage for stage in read] == [True, True, False, False]
    assert sorted(stage["late-interaction"].rank for stage in read[:2]) == [1, 2]
    assert read[0]["tiny"].score >= read[1]["tiny"].score
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_query_of_ten_thousand_characters(tmp_path, tiny):
    with fill(RagIndex.open(tmp_path / "a.db", config=late_then(tiny)), MANUAL) as index:
        hits = index.search("dust filter " * 900)
    assert named(hits)[0] == "filter"
    assert any(notice.startswith("tiny was skipped") for notice in hits.notices)
    assert all("tiny" not in stages(hit) for hit in hits)


def test_scores_that_are_no_numbers(tmp_path, tiny):
    from safetensors.numpy import load_file, save_file

    weights = load_file(f"{tiny}/model.safetensors")
    weights["classifier.weight"][:] = np.nan
    save_file(weights, f"{tiny}/model.safetensors", metadata={"format": "pt"})
    with fill(RagIndex.open(tmp_path / "a.db", config=late_then(tiny, min_score=0.0)), MANUAL) as index:
        hits = index.search("dust filter")
    assert all(np.isfinite(stage.score) for hit in hits for stage in hit.trace)
    assert len(hits) == 2 and any("finite" in notice for notice in hits.notices)
