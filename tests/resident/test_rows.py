"""Rows in memory: whole batches, whatever is replaced and deleted, equal to a plain list of them."""

import threading
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_plugins.filters import where
from rag_plugins.funnel import Funnel, Prefixes
from rag_plugins.resident.archive import load, save
from rag_plugins.resident.batch import Batch, FieldKind
from rag_plugins.resident.rows import Table
from rag_plugins.vectors import SparseVector

FIELDS = {"dense": FieldKind(2), "sparse": FieldKind(None)}


def name(number):
    return f"{number:064x}"


def unit(angle):
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def batch(rows):
    """Of {number: year}: the angle is the number, so is the sparse weight."""
    numbers = list(rows)
    return Batch(
        [name(number) for number in numbers],
        [(f"{number % 2}.pdf", {"year": rows[number]}) for number in numbers],
        [number / 64 if number % 3 else nan for number in numbers],
        {
            "dense": np.array([unit(number / 100) for number in numbers], np.float32).reshape(-1, 2),
            "sparse": [SparseVector.of({1: number + 1.0, 7: 1.0}) for number in numbers],
        },
    )


def table_of(rows):
    table = Table(FIELDS)
    table.put(batch(rows))
    return table


def found(hits):
    return [int(id, 16) for id, _ in hits]


def check(table, rows):
    """Everything that can be asked of a table, against what is in it."""
    numbers = sorted(rows)
    assert len(table) == len(numbers)
    assert table.ids() == [name(number) for number in numbers]
    assert table.ids(where("year") == 1) == [name(number) for number in numbers if rows[number] == 1]
    assert found(table.search("dense", unit(0.0), 100)) == numbers
    assert found(table.search("dense", unit(0.0), 100, where("year") == 1)) == [
        number for number in numbers if rows[number] == 1
    ]
    sparse = table.search("sparse", SparseVector.of({1: 2.0}), 100)
    assert sparse == [(name(number), 2.0 * (number + 1)) for number in reversed(numbers)]
    ids = [name(number) for number in (*numbers, 99)]
    np.testing.assert_array_equal(
        table.matrix("dense", ids), batch(rows).vectors["dense"][np.argsort(list(rows))]
    )
    assert table.known([name(99), *reversed(ids), *ids]) == list(reversed(ids[:-1]))


def test_nothing_is_found_in_an_empty_table():
    table = Table(FIELDS)
    check(table, {})
    table.put(batch({}))
    table.remove([name(1)])
    table.warm()
    check(table, {})


def test_rows_are_found_replaced_and_removed():
    table = table_of({3: 1, 1: 2, 2: 1})
    check(table, {3: 1, 1: 2, 2: 1})
    table.put(batch({1: 1, 4: 5}))
    check(table, {3: 1, 1: 1, 2: 1, 4: 5})
    table.remove([name(2), name(9)])
    check(table, {3: 1, 1: 1, 4: 5})
    assert name(1) in table and name(2) not in table


def test_places_are_remembered_until_they_move():
    table = table_of({1: 1, 2: 2, 3: 1})
    places, holds = table.located(where("year") == 1)
    assert [id for id, place in places.items() if holds[place]] == [name(1), name(3)]
    table.put(batch({4: 1, 2: 1}))
    assert table.located(where("year") == 1)[0] is places
    assert places[name(2)] >= len(holds)
    table.relocate()
    again, holds = table.located(where("year") == 1)
    assert again is not places
    assert sorted(id for id, place in again.items() if holds[place]) == table.ids()


def test_ties_are_by_id_and_cut_there():
    table = Table(FIELDS)
    same = Batch(
        [name(n) for n in (5, 3, 9, 1, 7)],
        [("d", {})] * 5,
        [nan] * 5,
        {"dense": np.array([unit(0.0)] * 5), "sparse": [SparseVector.of({1: 1.0})] * 5},
    )
    table.put(same)
    assert found(table.search("dense", unit(0.5), 3)) == [1, 3, 5]
    assert found(table.search("sparse", SparseVector.of({1: 1.0}), 2)) == [1, 3]


step = st.one_of(
    st.dictionaries(st.integers(0, 12), st.integers(1, 2), max_size=6),
    st.sets(st.integers(0, 12), max_size=6),
)


@settings(max_examples=60)
@given(st.lists(step, max_size=8), st.booleans())
def test_any_sequence_of_batches_and_deletions_leaves_what_it_should(steps, reopen):
    table, rows = Table(FIELDS), {}
    for change in steps:
        if isinstance(change, dict):
            table.put(batch(change))
            rows |= change
        else:
            table.remove(map(name, change))
            rows = {number: year for number, year in rows.items() if number not in change}
        if reopen:
            table = Table.of(table.arrays(), FIELDS, {})
    check(table, rows)


def test_rows_may_lack_a_vector_and_a_confidence():
    table = table_of(dict.fromkeys(range(6), 1))
    without = batch(dict.fromkeys(range(6, 12), 1))
    table.put(replace(without, vectors={**without.vectors, "dense": np.zeros((6, 2), np.float32)}))
    everything = [name(number) for number in range(12)]

    def check():
        for asked in (unit(0.0), -unit(0.0)):
            assert sorted(found(table.search("dense", asked, 12))) == list(range(6))
        assert sorted(found(table.search("sparse", SparseVector.of({7: 1.0}), 20))) == list(range(12))
        assert [int(id, 16) for id in table.ids(field="dense")] == list(range(6)) and len(table) == 12
        assert [int(id, 16) for id in table.ids(where("doc_id") == "1.pdf", "dense")] == [1, 3, 5]
        assert table.count("dense") == len(table.matrix("dense", everything)) == 6
        np.testing.assert_array_equal(table.matrix("dense", [name(7), name(3)]), [unit(0.03)])
        sure = {name(number): number / 64 for number in range(12) if number % 3}
        assert table.confidences([*everything, name(99)]) == sure

    check()
    table = Table.of(table.arrays(), FIELDS, {})
    check()
    table.put(batch(dict.fromkeys(range(20, 30), 1)))
    table.remove([name(number) for number in range(20, 30)])  # So many that the table is made anew.
    assert len(table.arrays()["alive"]) == 12
    check()


def test_dead_rows_go_when_they_are_a_fifth():
    table = table_of(dict.fromkeys(range(50), 1))
    table.remove([name(n) for n in range(10)])
    assert len(table.arrays()["alive"]) == 50
    table.put(batch(dict.fromkeys(range(10, 15), 2)))
    assert len(table.arrays()["alive"]) == 40
    check(table, {n: 2 if n < 15 else 1 for n in range(10, 50)})


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_snapshot_searches_as_the_table_did(tmp_path: Path, precision):
    fields = {**FIELDS, "dense": FieldKind(2, precision)}
    table = Table(fields)
    prefixes = Prefixes(Funnel([(1, 100), (2,)]))
    table.set_prefixes("dense", prefixes)
    table.put(batch(dict.fromkeys(range(40), 1)))
    table.remove([name(3)])
    save(tmp_path / "rows", table.arrays(), None)
    other = Table.of(load(tmp_path / "rows")[0], fields, {"dense": prefixes})
    for one in (table, other):
        one.put(batch({3: 2, 50: 1}))
    assert other.prefixes("dense") is prefixes
    assert other.prefixes("sparse") is None
    for exact in (False, True):
        query = unit(0.2), 10, where("year") == 1
        assert other.search("dense", *query, exact=exact) == table.search("dense", *query, exact=exact)
    assert other.search("sparse", SparseVector.of({1: 1.0}), 99) == table.search(
        "sparse", SparseVector.of({1: 1.0}), 99
    )
    assert other.nbytes == pytest.approx(table.nbytes, rel=0.5)


def test_a_search_sees_whole_batches_or_nothing_of_them():
    """Each batch moves all rows to another year: whoever saw half of one would find rows of two."""
    table = table_of(dict.fromkeys(range(20), 0))
    failures, done = [], threading.Event()

    def read():
        while not done.is_set():
            years = [len(table.ids(where("year") == year)) for year in (0, 1)]
            hits = table.search("dense", unit(0.0), 100)
            matching = table.search("sparse", SparseVector.of({7: 1.0}), 100, where("year") == 0)
            if found(hits) != list(range(20)) or len(matching) not in (0, 20) or not set(years) <= {0, 20}:
                failures.append((years, found(hits), len(matching)))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(300):
        table.put(batch(dict.fromkeys(range(20), (turn + 1) % 2)))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
