from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_plugins.lexical import ranking
from rag_plugins.lexical.plan import AnyOf, Nearby, Plan, Readings
from rag_plugins.lexical.postings import Analysed, Postings
from rag_plugins.lexical.scoring import contributions
from rag_plugins.resident import selection

selection.prepare(10**6)


def stem(surface):
    return surface.rstrip("s") or surface


def saturation(length):
    return 0.3 + 0.1 * length


def only(ids):
    return None if ids is None else lambda segment: segment.mask(ids)


class Vocabulary:
    def __init__(self):
        self.surfaces = set()

    def add(self, surfaces):
        for surface in surfaces:
            assert surface not in self.surfaces
            self.surfaces.add(surface)

    def discard(self, surfaces):
        for surface in surfaces:
            self.surfaces.remove(surface)


class Peer:
    """The same, passage by passage."""

    def __init__(self):
        self.passages = {}

    def search(self, plan, limit, allowed=None):
        found = []
        for id, passage in self.passages.items():
            score = sum(
                match.score
                for match in contributions(
                    plan, passage.surfaces, passage.units, stem, saturation(len(passage.surfaces))
                )
            )
            if score > 0 and (allowed is None or id in allowed):
                found.append((id, score))
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:limit]

    @property
    def surfaces(self):
        return {surface for passage in self.passages.values() for surface in passage.surfaces}


def analysed(id, text):
    words = text.split()
    return Analysed(id, words, [part for word in words for part in word.split("_")])


def made(*texts):
    vocabulary = Vocabulary()
    postings = Postings(stem, vocabulary)
    postings.put([analysed(f"p{n}", text) for n, text in enumerate(texts)])
    return postings, vocabulary


def test_the_formula_on_a_small_collection():
    postings, _ = made("pump filter", "filters filter oil", "oil")
    plan = Plan({"filter": 2.0})

    found = postings.search(plan, 10, saturation)

    assert found == [("p1", pytest.approx(2.0 * 2 / (2 + 0.6))), ("p0", pytest.approx(2.0 * 1 / (1 + 0.5)))]


def test_equal_scores_are_in_order_of_id_and_cut_there():
    postings, _ = made(*["oil filter"] * 30)

    found = postings.search(Plan({"oil": 1.0}), 3, saturation)

    assert [id for id, _ in found] == ["p0", "p1", "p10"]


def test_only_what_is_allowed():
    postings, _ = made("oil", "oil", "oil")

    assert [id for id, _ in postings.search(Plan({"oil": 1.0}), 9, saturation, only(["p1", "unknown"]))] == [
        "p1"
    ]
    assert postings.search(Plan({"oil": 1.0}), 9, saturation, only([])) == []


def test_a_passage_put_again_is_replaced():
    postings, vocabulary = made("oil filter", "pump")
    postings.put([analysed("p0", "pump"), analysed("p0", "pump oil")])

    assert len(postings) == 2
    assert vocabulary.surfaces == {"pump", "oil"}
    assert postings.search(Plan({"filter": 1.0}), 9, saturation) == []
    assert [id for id, _ in postings.search(Plan({"pump": 1.0}), 9, saturation)] == ["p1", "p0"]


def test_a_surface_goes_with_its_last_passage():
    postings, vocabulary = made("oil filter", "oil", "")

    postings.remove(["p0", "never there"])
    assert vocabulary.surfaces == {"oil"}
    postings.remove(["p1", "p2"])
    assert vocabulary.surfaces == set()
    assert len(postings) == 0
    assert postings.search(Plan({"oil": 1.0}), 9, saturation) == []


def test_a_term_that_is_no_stem_of_itself_has_its_own_forms_alone():
    """Stemming twice may cut twice: what is looked up are surfaces by their stem, not by their looks."""
    postings = Postings({"ab": "a", "abc": "ab", "a": "a"}.__getitem__, Vocabulary())
    postings.put([Analysed("p0", ["ab"], []), Analysed("p1", ["abc"], []), Analysed("p2", ["a"], [])])

    def search(term):
        return {id for id, _ in postings.search(Plan({term: 1.0}), 9, saturation)}

    assert (search("a"), search("ab")) == ({"p0", "p2"}, {"p1"})


def test_many_counts_and_long_passages():
    postings, _ = made("x " * 70_000 + "y z", "y z")
    plan = Plan({"x": 1.0}, (), (Nearby("q", ("y", "z"), 0, 1.0),))

    (first, score), _ = sorted(postings.search(plan, 9, saturation))

    damping = saturation(70_002)
    assert (first, score) == ("p0", pytest.approx(70_000 / (70_000 + damping) + 1 / (1 + damping)))


texts = st.lists(st.sampled_from(["a", "as", "b", "bs", "a_b", "c", "d"]), max_size=8).map(" ".join)
changes = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.lists(st.tuples(st.integers(0, 12).map(str), texts), min_size=1, max_size=5)
        ),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 12).map(str), max_size=4)),
    ),
    max_size=12,
)
weights = st.floats(0.1, 5.0)
plans = st.builds(
    Plan,
    st.dictionaries(st.sampled_from(["a", "b", "a_b", "x"]), weights, max_size=3),
    st.lists(
        st.builds(
            AnyOf,
            st.just("*"),
            st.dictionaries(st.sampled_from(["a", "as", "bs", "d", "x"]), weights, max_size=4),
        ),
        max_size=2,
    ).map(tuple),
    st.lists(
        st.builds(
            Nearby,
            st.just('""'),
            st.lists(st.sampled_from(["a", "b", "c", "x"]), min_size=1, max_size=3).map(tuple),
            st.integers(0, 4),
            weights,
        ),
        max_size=2,
    ).map(tuple),
    readings=st.lists(
        st.builds(
            Readings,
            st.just("w"),
            st.dictionaries(st.sampled_from(["a", "as", "b", "d", "x"]), st.floats(0.01, 1.0), max_size=4),
            weights,
        ),
        max_size=2,
    ).map(tuple),
)


@given(changes, plans, st.integers(1, 14), st.none() | st.sets(st.integers(0, 12).map(str)))
def test_every_passage_scores_as_it_does_alone(changes, plan, limit, allowed):
    vocabulary, peer = Vocabulary(), Peer()
    postings = Postings(stem, vocabulary)
    for change, content in changes:
        if change == "put":
            postings.put([analysed(id, text) for id, text in content])
            peer.passages |= {id: analysed(id, text) for id, text in content}
        else:
            postings.remove(content)
            peer.passages = {id: passage for id, passage in peer.passages.items() if id not in content}

    found = postings.search(plan, limit, saturation, only(allowed))
    expected = peer.search(plan, limit, allowed)
    again = Postings.of(postings.arrays(), stem, copied := Vocabulary())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "loops", lambda: None)
        patch.setattr(selection, "loops", lambda: None)
        in_numpy = postings.search(plan, limit, saturation, only(allowed))
    assert found == in_numpy == again.search(plan, limit, saturation, only(allowed))
    assert copied.surfaces == vocabulary.surfaces and again.ids == postings.ids == peer.passages.keys()
    assert [score for _, score in found] == pytest.approx([score for _, score in expected])
    assert dict(found) == pytest.approx({id: dict(peer.search(plan, 99, allowed))[id] for id, _ in found})
    assert vocabulary.surfaces == peer.surfaces
    assert len(postings) == len(peer.passages)


def test_an_index_made_of_arrays_goes_on_as_if_it_had_been_built():
    postings, _ = made("oil filter", "pumps pump", "oil pump_seal")
    postings.remove(["p0"])
    arrays = postings.arrays()
    for array in arrays.values():
        array.flags.writeable = False  # As what has been read from a file may be.
    again = Postings.of(arrays, stem, vocabulary := Vocabulary())
    plan = Plan({"pump": 1.0, "oil": 2.0}, (), (Nearby("", ("pump", "seal"), 0, 1.0),))
    for index in (postings, again):
        index.put([analysed("p3", "filters oil oil"), analysed("p1", "pump seals")])
        index.remove(["p2"])

    assert again.search(plan, 9, saturation) == postings.search(plan, 9, saturation)
    assert vocabulary.surfaces == {"filters", "oil", "pump", "seals"}
    assert len(again) == 2


def test_arrays_may_be_taken_while_another_thread_writes():
    postings, _ = made("common")
    done, wrong = Event(), []

    def take():
        while not done.is_set():
            again = Postings.of(postings.arrays(), stem, Vocabulary())
            words = {f"new{id[1:]}" for id in again.ids - {"p0"}}
            if len(again.search(Plan(dict.fromkeys(words, 1.0)), 999, saturation)) != len(words):
                wrong.append(words)

    reader = Thread(target=take)
    reader.start()
    for n in range(1, 200):
        postings.put([analysed(f"p{n}", f"new{n} news{n}")])
    done.set()
    reader.join()

    assert not wrong


def test_places_elsewhere_say_which_rows_a_filter_holds_for():
    postings, _ = made("oil", "oil", "oil", "oil")
    postings.put([analysed("p2", "oil pump")])
    holds = np.array([True, False, True])
    places = {"p0": 0, "p1": 1, "p2": 2, "p9": 0}  # p3 is not there, p4 came after the filter was looked at.
    postings.put([analysed("p4", "oil")])
    places["p4"] = 3

    def search():
        return postings.search(
            Plan({"oil": 1.0}), 9, saturation, lambda segment: segment.holding(places, holds)
        )

    assert {id for id, _ in search()} == {id for id, _ in search()} == {"p0", "p2"}
    places, holds = {"p1": 0, "p3": 1}, np.array([True, True])
    assert {id for id, _ in search()} == {"p1", "p3"}


def test_long_use_keeps_segments_few_and_names_short():
    postings, vocabulary = made()
    for n in range(300):
        postings.put([analysed(f"p{n}", f"word{n} common")])
        postings.remove([f"p{n - 20}"])

    state = postings._state
    assert len(state.segments) <= 4
    assert len(state.names) < 200
    assert vocabulary.surfaces == {"common", *(f"word{n}" for n in range(280, 300))}
    assert len(postings.search(Plan({"common": 1.0}), 99, saturation)) == 20
    assert [id for id, _ in postings.search(Plan({"word299": 1.0}), 9, saturation)] == ["p299"]


def test_a_search_sees_a_batch_whole_or_not_at_all():
    postings, _ = made(*["old"] * 64)
    batches = [
        [analysed(f"p{n}", text) for n in range(64)] for text in ("new", "old", "new of all", "old again")
    ]
    done, seen = Event(), set()

    def look():
        while not done.is_set():
            both = postings.search(
                Plan({}, (AnyOf("", {"old": 1.0, "new": 1.0}),)), 99, lambda n: np.ones(len(n))
            )
            seen.add(len(both))

    readers = [Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for batch in batches * 25:
        postings.put(batch)
    done.set()
    for reader in readers:
        reader.join()

    assert seen == {64}
