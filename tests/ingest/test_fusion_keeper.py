"""What fusion learns of a collection after writing, from the passages themselves or from labels."""

import logging
from functools import partial

import pytest
from fusion_support import LEGS, Blurred, Meaning, Noise, adaptive, fill, ids, stages, texts
from page_support import ColourEncoder, picture

from rag_plugins import RagIndex
from rag_plugins.config import Bm25Leg, ImageLeg, RobustLeg
from rag_plugins.errors import BadInput
from rag_plugins.fusion import Linear, NormalTail


@pytest.fixture
def encoder():
    return Meaning()


@pytest.fixture
def reopen(tmp_path, encoder):
    """Opens the one collection of this test."""
    return partial(RagIndex.open, tmp_path / "test.db", config=adaptive(), encoders={"dense": encoder})


@pytest.fixture
def index(reopen):
    with reopen() as index:
        yield index


def labels(count):
    """Sentences of as many passages, which the passage answers."""
    queries = {f"q{id}": text.split(". ")[0] for id, text in texts(count).items()}
    return queries, {id: {id[1:]: 1} for id in queries}


def test_it_learns_from_20_passages_on_and_on_a_server_too(milvus_uri, collection, encoder):
    with RagIndex.open(
        milvus_uri, collection=collection, config=adaptive(), encoders={"dense": encoder}
    ) as index:
        fill(index, 19)
        assert index.learned is None and not encoder.asked
        before = index.search(texts(1)["0"])[0]
        fill(index, 1, start=19)
        learned = index.learned
        assert (learned.rows, learned.source) == (20, "known items") and learned.queries == 60
        after = index.search(texts(1)["0"])[0]
        assert ids([before, after]) == ["0", "0"]
        assert [hit.trace[-1].stage for hit in (before, after)] == ["minmax", "adaptive"]


def test_what_it_learns_of_legs_that_find_everything(index):
    fill(index, 40)
    learned = index.learned
    assert set(learned.legs) == {"dense", "bm25"}
    assert learned.legs["bm25"].scale == Linear(1.2 + 1.0)
    tail = learned.legs["dense"].scale
    assert isinstance(tail, NormalTail) and abs(tail.mean) < 0.2 and 0.05 < tail.deviation < 0.3
    assert all(worth.weight > 0 and 0.5 < worth.alone <= 1 for worth in learned.legs.values())
    assert learned.legs["dense"].without == pytest.approx(learned.legs["bm25"].alone)
    assert learned.together >= max(worth.alone for worth in learned.legs.values()) - 0.01


def test_it_learns_again_at_half_as_many_more_and_not_before(reopen, encoder):
    with reopen() as index:
        fill(index, 20)
        fill(index, 9, start=20)
        fill(index, 20)  # The same ones once more.
        assert index.learned.rows == 20
    with reopen() as index:
        assert index.learned.rows == 20
        asked = len(encoder.asked)
        fill(index, 0)
        assert index.learned.rows == 20 and len(encoder.asked) == asked
        fill(index, 1, start=29)
        assert index.learned.rows == 30
        fill(index, 14, start=30)
        assert index.learned.rows == 30
        fill(index, 1, start=44)
        assert index.learned.rows == 45


def test_what_is_learned_of_one_collection_is_the_same_every_time(tmp_path):
    def learned(name):
        with RagIndex.open(tmp_path / name, config=adaptive(), encoders={"dense": Meaning()}) as index:
            fill(index, 25)
            return index.learned

    assert learned("a.db") == learned("b.db")


def test_a_failing_encoder_is_logged_and_the_passages_are_found(index, encoder, caplog):
    encoder.broken = True
    with caplog.at_level(logging.WARNING):
        fill(index, 20)
    assert [record.message for record in caplog.records] == [
        "how the legs are to be fused could not be learned"
    ]
    encoder.broken = False
    assert index.count() == 20 and index.learned is None
    assert ids(index.search(texts(1)["0"], k=1)) == ["0"]
    fill(index, 5, start=20)
    assert index.learned is None and len(caplog.records) == 1  # It has not grown by half since.
    fill(index, 5, start=25)
    assert index.learned.rows == 30


@pytest.fixture
def noisy(tmp_path):
    """An index whose dense leg says nothing of anything, and its encoder."""
    encoder = Noise()
    with RagIndex.open(tmp_path / "noisy.db", config=adaptive(), encoders={"dense": encoder}) as index:
        fill(index, 70)
        encoder.asked.clear()
        yield index, encoder


def test_a_leg_that_finds_nothing_is_not_run_and_the_trace_says_why(noisy):
    index, encoder = noisy
    learned = index.learned
    assert learned.legs["dense"].weight == 0 and learned.legs["dense"].alone < 0.1
    assert learned.together == learned.legs["bm25"].alone == learned.legs["dense"].without > 0.9
    hits = index.search(texts(1)["0"][:30])
    assert ids(hits)[0] == "0" and not encoder.asked
    for hit in hits:
        out = stages(hit, "left out")["dense"]
        assert (out.rank, out.score, out.weight, out.part) == (0, 0.0, 0.0, None)
        assert out.why == f"finds {learned.legs['dense'].alone:.2f} alone, the others 1.00 (known items)"
        assert list(stages(hit, "leg")) == ["bm25"]
    outcome = index.run("badofi", 5)
    assert outcome.left_out == ("dense",) and set(outcome.rankings) == {"bm25"}
    assert "dense" not in outcome.seconds and "encode" not in outcome.seconds


def test_where_the_others_find_nothing_it_is_run_after_all(noisy):
    index, encoder = noisy
    hits = index.search("nowhere to be found", k=3)
    assert encoder.asked == [["nowhere to be found"]] and len(hits) == 3
    assert [(stage.stage, stage.kind) for stage in hits[0].trace] == [
        ("dense", "leg"),
        ("adaptive", "fusion"),
    ]
    assert hits[0].score == hits[0].trace[0].part > 0


def test_a_leg_that_is_named_is_run(noisy):
    index, encoder = noisy
    (hit, *_) = index.search("badofi", legs=["dense"])
    assert encoder.asked == [["badofi"]] and set(stages(hit, "leg")) == {"dense"}
    assert stages(hit, "leg")["dense"].weight == 1.0 and not stages(hit, "left out")
    outcome = index.run("badofi", 5, legs=["dense", "bm25"])
    assert set(outcome.rankings) == {"dense", "bm25"} and outcome.left_out == ()
    assert index.search("badofi", legs=["bm25"])[0].trace[-1].stage == "adaptive"


def test_labels_are_kept_as_the_collection_grows_until_it_learns_from_passages(index):
    fill(index, 40)
    by_items = index.learned
    by_labels = index.learn_from(*labels(30))
    assert (by_labels.source, by_labels.queries, by_labels.rows) == ("labels", 30, 40)
    assert by_labels == index.learned and by_labels.legs["bm25"].alone == 1.0
    fill(index, 30, start=40)
    renewed = index.learned
    assert (renewed.source, renewed.queries, renewed.rows) == ("labels", 30, 70)
    assert renewed.together == by_labels.together
    assert {leg: worth.weight for leg, worth in renewed.legs.items()} == {
        leg: worth.weight for leg, worth in by_labels.legs.items()
    }
    assert renewed.legs["dense"].scale != by_labels.legs["dense"].scale
    again = index.learn()
    assert again == index.learned and again.source == "known items" != by_items


def test_labels_may_say_other_than_the_passages_do(noisy):
    index, encoder = noisy
    # These ask for passages by their whole text, which alone is near itself, in words that all have.
    queries = {id: text for id, text in texts(40).items()}
    learned = index.learn_from(queries, {id: {id: 1} for id in queries})
    assert learned.legs["dense"].weight > 0 and learned.legs["dense"].alone == 1.0


def test_few_labels_and_labels_of_other_documents_are_refused(index):
    fill(index, 40)
    queries, relevant = labels(30)
    for few in ({}, dict(list(queries.items())[:19])):
        with pytest.raises(BadInput, match="judged queries"):
            index.learn_from(few, relevant)
    with pytest.raises(BadInput):
        index.learn_from(queries, {id: {"elsewhere": 1} for id in queries})
    with pytest.raises(BadInput):
        index.learn_from(queries, {id: {id[1:]: 0} for id in queries})
    assert index.learned.source == "known items"


def test_a_log_says_how_long_the_queries_are(index, encoder):
    fill(index, 30)
    encoder.asked.clear()
    index.learn(log=["badofi kula", "mena sate"])
    [asked] = encoder.asked
    assert {len(query.split()) for query in asked} == {2, 7}
    assert asked[-2:] == ["badofi kula", "mena sate"]


def test_tenants_learn_each_for_itself(tmp_path, encoder):
    path, opened = tmp_path / "shared.db", {"config": adaptive(), "encoders": {"dense": encoder}}
    with RagIndex.open(path, tenant="acme", **opened) as index:
        fill(index, 30)
        known = index.learned
        assert known.rows == 30
    with RagIndex.open(path, tenant="beta", **opened) as index:
        assert index.learned is None
        fill(index, 19, start=100)
        assert index.learned is None
        fill(index, 1, start=119)
        assert index.learned.rows == 20
    with RagIndex.open(path, tenant="acme", **opened) as index:
        assert index.learned == known


def test_deleting_leaves_what_is_known_and_below_20_there_is_nothing_to_learn(index):
    fill(index, 20)
    known = index.learned
    for name in range(5, 20):
        index.delete(str(name))
    assert index.learned == known
    assert ids(index.search(texts(1)["0"], k=1)) == ["0"]
    with pytest.raises(BadInput, match="has 5 passages"):
        index.learn()
    fill(index, 3, start=50)
    assert index.learned == known


def test_an_empty_collection_has_nothing_to_learn_from(index):
    with pytest.raises(BadInput, match="has 0 passages"):
        index.learn()


def test_legs_that_look_at_the_same_have_one_vote_together(tmp_path, encoder):
    settings = adaptive(*LEGS, Bm25Leg(name="short", b=0.2))
    with RagIndex.open(tmp_path / "t.db", config=settings, encoders={"dense": encoder}) as index:
        # Nothing is asked but what all legs find: there is no gain in weighing them otherwise.
        index.add(index.passage(text.split(".")[0], caller_id=id) for id, text in texts(30).items())
        weights = {leg: worth.weight for leg, worth in index.learned.legs.items()}
        assert weights == {"dense": 1.0, "bm25": 0.5, "short": 0.5}


def test_a_leg_added_later_is_learned_of(tmp_path, encoder):
    path = tmp_path / "t.db"
    with RagIndex.open(path, config=adaptive(), encoders={"dense": encoder}) as index:
        fill(index, 20)
        assert not index.learned.fits(["dense", "bm25", "robust"])


def test_the_robust_leg_takes_part(tmp_path, encoder):
    settings = adaptive(*LEGS, RobustLeg())
    with RagIndex.open(tmp_path / "t.db", config=settings, encoders={"dense": encoder}) as index:
        fill(index, 30)
        assert set(index.learned.legs) == {"dense", "bm25", "robust"}
        assert index.learned.legs["robust"].alone > 0.9
        hits = index.search(texts(1)["0"][:40])
        assert ids(hits)[0] == "0" and hits[0].trace[-1].stage == "adaptive"


COLOURS = ("red", "green", "blue")


def test_a_leg_that_reads_images_takes_part(tmp_path, encoder):
    settings = adaptive(*LEGS, ImageLeg(model="colours"))
    encoders = {"dense": encoder, "image": ColourEncoder()}
    with RagIndex.open(tmp_path / "t.db", config=settings, encoders=encoders) as index:
        pictures = {colour: picture(colour) for colour in COLOURS}
        index.add(
            index.passage(text, caller_id=id, image=pictures[COLOURS[int(id) % 3]])
            for id, text in texts(30).items()
        )
        learned = index.learned
        assert set(learned.legs) == {"dense", "bm25", "image"} and learned.rows == 30
        # Words that name no colour tell pictures apart as little as chance does.
        assert learned.legs["image"].alone < 0.5 and learned.together > 0.9
        assert learned.legs["image"].weight == 1.0  # What these are asked for no sentence of a text says.
        found = index.search("the blue one", legs=["image"], k=3)
        assert all(int(id) % 3 == 2 for id in ids(found))


def test_a_collection_without_texts_is_found_by_its_images(tmp_path, caplog):
    settings = adaptive(Bm25Leg(), ImageLeg(model="colours"))
    with RagIndex.open(tmp_path / "t.db", config=settings, encoders={"image": ColourEncoder()}) as index:
        index.add(
            index.passage("[a picture]", view="", image=picture(COLOURS[n % 3]), caller_id=str(n))
            for n in range(24)
        )
        assert not caplog.records
        found = index.search("the blue one", k=8)
        assert len(found) == 8 and all(int(id) % 3 == 2 for id in ids(found))


def single_sentences(index):
    index.add(index.passage(text.split(".")[0], caller_id=id) for id, text in texts(60).items())


def test_passages_of_one_sentence_are_learned_of_too(index):
    single_sentences(index)
    assert index.learned.queries == 60 and index.learned.together > 0.9
    assert all(worth.weight > 0 for worth in index.learned.legs.values())


def test_what_passages_say_literally_weighs_no_leg_higher(tmp_path):
    # Of single sentences nothing can be cut out, and that BM25 finds their words proves nothing.
    with RagIndex.open(tmp_path / "t.db", config=adaptive(), encoders={"dense": Blurred()}) as index:
        single_sentences(index)
        legs = index.learn(log=["badofi"]).legs
        assert legs["bm25"].alone > legs["dense"].alone + 0.3
        assert {leg: worth.weight for leg, worth in legs.items()} == {"dense": 1.0, "bm25": 1.0}
