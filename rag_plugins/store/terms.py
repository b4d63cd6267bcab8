"""The surfaces of one tenant's leg in a companion collection, where a server finds them by n-grams.

A row's vector has a 1 for every character and every two neighbours of `^surface$`, the n-th of equal ones
being a dimension of its own, and one for the length. Its inner product with a query's is the number of
n-grams in common, from which follows what cannot match: one edit (a transposition included) loses at most
three of them, and a surface that matches a wildcard has all those of the pattern.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from fnmatch import translate
from itertools import islice

from pymilvus import CollectionSchema, DataType
from rapidfuzz.distance import OSA

from rag_plugins.filters import literal
from rag_plugins.store.codec import storable
from rag_plugins.store.engine import Engine, Entity
from rag_plugins.store.indexes import index_params
from rag_plugins.store.schema import MAX_HITS, MAX_TEXT, bare_table

__all__ = ["TermTable"]

_LONGEST = 1000
"""Bytes of UTF-8 in a surface."""

_EDGE = "\0"
"""Begins and ends a surface in n-grams; no surface holds it."""

_LOST = 3
"""n-grams that one edit changes at most: a substitution one character and two pairs, say."""

_RIGHT_LENGTH = 1024.0
"""More than all n-grams of a word together, so that lengths are asked for before n-grams."""

_FEW = 512
"""Surfaces asked for first; only where these may not be all that match, as many as a search can give."""

_DIMENSIONS = 2**32 - 2**16  # Milvus keeps the highest values for itself.

_BATCH = 2048

_REMEMBERED = 2**20
"""Surfaces that a process keeps in mind as stored."""

Known = Callable[[str], bool]
"""Whether a surface is still in use: surfaces stay in the table when their passages go."""


class TermTable:
    """What `rag_plugins.lexical.plan.TermDictionary` asks, with `known` to leave out surfaces gone by.

    Surfaces beyond 1000 bytes are not kept: no rule finds them. Safe to share between threads.
    """

    def __init__(self, engine: Engine, name: str, tenant: str, leg: str) -> None:
        """`name` of the companion collection, which is created with the first surface."""
        self._engine = engine
        self._name = name
        self._tenant = tenant
        self._leg = leg
        self._scope = f"(tenant == {literal(tenant)} and leg == {literal(leg)})"
        self._stored: set[str] = set()
        self._exists = False

    def put(self, surfaces: Iterable[str]) -> None:
        """Keep surfaces; those that are there already cost a look-up, and once in a process."""
        new = {self._id(surface): surface for surface in set(surfaces) - self._stored if _fits(surface)}
        if not new:
            return
        with self._engine.lock:
            self._create()
            there = {row["id"] for row in self._engine.get(self._name, list(new), ["id"])}
            rows = (self._row(id, surface) for id, surface in new.items() if id not in there)
            while batch := list(islice(rows, _BATCH)):
                self._engine.upsert(self._name, batch)
            if len(there) < len(new):
                self._engine.flush(self._name)
            if len(self._stored) > _REMEMBERED:
                self._stored.clear()
            self._stored.update(new.values())

    def forget(self) -> None:
        """Look again which surfaces are there."""
        self._stored.clear()

    def prefix(self, start: str, limit: int, known: Known) -> list[str]:
        """The first surfaces, alphabetically, that begin so."""
        return self._first(start, known, limit)

    def wildcard(self, pattern: str, limit: int, known: Known) -> list[str]:
        """The first surfaces, alphabetically, that match as a whole; `*` any characters, `?` any one."""
        if len(pattern) - pattern.count("*") > _LONGEST:
            return []
        matches = re.compile(translate(pattern.replace("[", "[[]"))).match
        wanted = _grams(re.split(r"[*?]+", f"{_EDGE}{pattern}{_EDGE}"))
        if "*" not in pattern:
            wanted[_length(len(pattern))] = 1.0
        found, all_there = self._sharing(wanted, sum(wanted.values()))
        if all_there:
            return sorted(surface for surface in found if matches(surface) and known(surface))[:limit]
        head = re.split(r"[*?]", pattern, maxsplit=1)[0]
        return self._first(head, lambda surface: bool(matches(surface)) and known(surface), limit)

    def fuzzy(self, word: str, distance: int, limit: int, known: Known) -> list[tuple[str, int]]:
        """Surfaces within that many edits (optimal string alignment), nearest first, then alphabetically.

        Of more than 16,384 that share enough n-grams, those that share the most are compared.
        """
        if len(word) > _LONGEST + distance:
            return []
        grams = _grams([f"{_EDGE}{word}{_EDGE}"])
        lengths = range(max(len(word) - distance, 1), len(word) + distance + 1)
        wanted = grams | {_length(length): _RIGHT_LENGTH for length in lengths}
        least = _RIGHT_LENGTH + max(sum(grams.values()) - _LOST * distance, 0.0)
        found, _ = self._sharing(wanted, least)
        compared = ((OSA.distance(word, surface, score_cutoff=distance), surface) for surface in found)
        near = sorted((edits, surface) for edits, surface in compared if edits <= distance and known(surface))
        return [(surface, edits) for edits, surface in near[:limit]]

    def _sharing(self, wanted: dict[int, float], least: float) -> tuple[list[str], bool]:
        """Surfaces whose product with these n-grams is at least so much, and whether that is all of them."""
        if not wanted or not self._there():
            return [], bool(wanted)
        for depth in (_FEW, MAX_HITS):
            hits = self._engine.search(self._name, "grams", wanted, depth, self._scope, ("surface",))
            enough = [row["surface"] for row, score in hits if score > least - 0.5]
            if len(hits) < depth or len(enough) < len(hits):
                return sorted(set(enough)), True
        return sorted(set(enough)), False

    def _first(self, start: str, matches: Known, limit: int) -> list[str]:
        """The first surfaces, alphabetically, that begin so and match."""
        if storable(start) != start or not self._there():
            return []
        # A range, because LIKE reads _ and % as wildcards.
        within = (
            f"({self._scope} and surface >= {literal(start)} and surface < {literal(start + chr(0x10FFFF))}"
        )
        best: list[str] = []
        after: str | None = ""
        while after is not None:
            # Pages come by id, a hash: the first is a sample, and what it holds bounds the others.
            bound = f" and surface < {literal(best[-1])})" if len(best) == limit else ")"
            rows, after = self._engine.page(self._name, within + bound, ["surface"], after)
            best = sorted({*best, *(row["surface"] for row in rows if matches(row["surface"]))})[:limit]
        return best

    def _create(self) -> None:
        if not self._there():
            schema = _table()
            self._engine.ensure(self._name, schema, index_params(schema, ["tenant", "leg", "surface"]))
            self._exists = True

    def _there(self) -> bool:
        self._exists = self._exists or self._engine.has(self._name)
        return self._exists

    def _row(self, id: str, surface: str) -> Entity:
        grams = _grams([f"{_EDGE}{surface}{_EDGE}"]) | {_length(len(surface)): 1.0}
        return {"id": id, "tenant": self._tenant, "leg": self._leg, "surface": surface, "grams": grams}

    def _id(self, surface: str) -> str:
        parts = (part.encode("utf-8", "surrogatepass") for part in (self._tenant, self._leg, surface))
        return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


def _table() -> CollectionSchema:
    schema = bare_table()
    schema.add_field("tenant", DataType.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("leg", DataType.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("surface", DataType.VARCHAR, max_length=_LONGEST)
    schema.add_field("grams", DataType.SPARSE_FLOAT_VECTOR)
    return schema


def _fits(surface: str) -> bool:
    return bool(surface) and storable(surface) == surface and len(surface.encode()) <= _LONGEST


def _grams(pieces: Collection[str]) -> dict[int, float]:
    """A 1 for each character and each two neighbours within the pieces of a word."""
    counted = Counter[str]()
    vector: dict[int, float] = {}
    pairs = (piece[n : n + 2] for piece in pieces for n in range(len(piece) - 1))
    singles = (character for piece in pieces for character in piece if character != _EDGE)
    for gram in (*pairs, *singles):
        counted[gram] += 1
        vector[_dimension(f"{gram}{counted[gram]}")] = 1.0
    return vector


def _length(characters: int) -> int:
    return _dimension(f"{_EDGE}{_EDGE}{characters}")


def _dimension(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % _DIMENSIONS
