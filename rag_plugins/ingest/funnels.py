"""Funnels kept true to settings and passages: rotations fitted and stages tuned as a collection grows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, cast

import numpy as np

from rag_plugins.config import VectorLeg
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.funnel.rotation import SAMPLE
from rag_plugins.funnel.trials import candidate_widths
from rag_plugins.funnel.tuning import Tuning, tune
from rag_plugins.ingest.prefixes import cuts, declared, listed, named_funnel, served, undeclared
from rag_plugins.ingest.sampling import sample_sentences
from rag_plugins.models.protocols import DenseModel, Leg, RotatedModel
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.text import digest
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix

__all__ = ["ENOUGH", "FunnelKeeper", "funnel_of"]

ENOUGH = 500
"""Passages with a vector from which on a rotation is fitted, and a funnel used that was not asked for: fewer
are searched as fast without."""

_RETUNE = 4
"""Keeps are tuned for a collection so many times as large, and tuned again when it is."""

_REFIT = 8
"""A rotation is fitted again when the collection has grown so many times."""

_OWN = "fitted on the collection"
"""What the record says of such a rotation."""

_QUERIES = 200
_PASSAGES_A_QUERY = 20
"""A sentence takes a quarter to a third of the time to encode that a passage does: 2 % of what those took."""

_BLOCK = 2048
_log = logging.getLogger(__name__)


class FunnelKeeper:
    """Keeps how one dense leg of one tenant is searched true to its settings and to its passages.

    Beside the collection it records how many there were when it was tuned, and what was aimed at.
    """

    def __init__(self, store: MilvusStore, leg: Leg, settings: VectorLeg, tenant: str) -> None:
        """Bring what is stored in line with the settings. Raises `ConfigError`."""
        self._store = store
        self._settings = settings
        self._model = cast("DenseModel", leg.encoder)
        self._field = leg.name
        self._key = f"tuning/{leg.name}/{digest(tenant)}"
        self._rotates = not declared(self._model)
        self._fields = store.prefix_fields.widths(leg.name)
        self._named = served(named_funnel(settings, self._model), self._fields, self._model.dim)
        self._record = _Record.from_json(store.state.get(self._key))
        self._most = inf  # As many passages as there may be: they are counted only where that matters.
        self._queries: Matrix | None = None
        self._reconcile()

    @property
    def leg(self) -> str:
        """Whose funnel it is."""
        return self._field

    def settle(self, written: int) -> None:
        """After writing so many passages: fit and tune where it is time to. A failure is logged, no more."""
        self._most += written
        if self._most < self._due:
            return
        try:
            self._most = rows = self._store.count(self._field)
            if rows >= self._due:
                self._renew(rows)
        except Exception:  # Whatever it was, the passages are stored, and found as before.
            _log.warning("leg %s: its funnel could not be tuned", self._field, exc_info=True)
            if self._most < inf:  # Not again before it is due again.
                self._record = replace(self._record, rows=int(self._most), fitted=int(self._most))

    def tune(self, recall: float = 0.99, k: int = 10, queries: Sequence[str] | None = None) -> Tuning:
        """Measure which funnel finds `recall` of the best `k`, and search by it from now on.

        `queries` are by default sentences of the passages. Raises `BadInput` below 500 passages,
        `ConfigError` where the vectors cannot be cut.
        """
        ids = self._store.ids(field=self._field)
        if len(ids) < ENOUGH:
            raise BadInput(
                f"leg {self._field}: {len(ids)} passages have a vector; with fewer than {ENOUGH} the exact "
                "search is used, and as fast: add more, then tune"
            )
        if not self._widths:
            raise ConfigError(self._impossible())
        texts = sample_sentences(self._store, ids, _QUERIES) if queries is None else list(queries)
        rotation = self._fit(ids, max(self._widths))
        record = _Record(len(ids), len(ids), recall, k, _OWN if rotation else "")
        return self._tuned(ids, record, rotation, self._encoded(texts))

    @property
    def _widths(self) -> tuple[int, ...]:
        """What a funnel may be tuned of."""
        if self._rotates and self._settings.rotation == "off":
            return ()
        widths = candidate_widths(self._model.dim) if self._rotates else declared(self._model)
        if self._fields is None:
            return widths
        return self._fields if self._rotates else tuple(width for width in self._fields if width in widths)

    @property
    def _due(self) -> float:
        """How many passages there must be for something to be done."""
        if self._named:
            fixed = not (self._rotates and cuts(self._named, self._model.dim))
            return inf if fixed else max(_REFIT * self._record.fitted, ENOUGH)
        if self._settings.funnel == "off" or not self._widths:
            return inf
        unfinished = self._store.prefix_fields.unfinished(self._field)
        return ENOUGH if unfinished else max(_RETUNE * self._record.rows, ENOUGH)

    def _impossible(self) -> str:
        if self._rotates and self._settings.rotation == "off":
            return undeclared(self._settings)
        return (
            f"leg {self._field}: the collection on this server has prefixes of {listed(self._fields or ())} "
            "numbers, settled when it was made: for others ingest into a new one, with the funnel set"
        )

    def _reconcile(self) -> None:
        stored = self._store.prefixes(self._field)
        wanted = self._wanted(stored)
        # What was tuned before says nothing of what is wanted now.
        record = replace(self._record, rows=0)
        if wanted and not self._fits(wanted):
            wanted = None
        if wanted is None:
            wanted, name = self._at_first()
            record = replace(record, fitted=0, rotation=name)
        if _parts(wanted) != _parts(stored):
            self._set(wanted, record)
        if self._named:
            self.settle(0)

    def _at_first(self) -> tuple[Prefixes | None, str]:
        """A named funnel over what the model brings along, until there are enough passages to fit one on."""
        shipped = self._model.rotation if isinstance(self._model, RotatedModel) else None
        if not self._named or not shipped or not self._rotates or self._store.count(self._field) >= ENOUGH:
            return None, ""
        width = cuts(self._named, self._model.dim)[-1]
        columns = np.ascontiguousarray(shipped.rotation.columns[:, :width])
        return Prefixes(self._named, Rotation(columns)), shipped.name

    def _wanted(self, stored: Prefixes | None) -> Prefixes | None:
        """What the settings make of what is stored. Raises `ConfigError`."""
        if self._named is None:
            whole = stored is not None and stored.funnel.width == self._model.dim
            return stored if whole and self._settings.funnel == "auto" else None
        if not self._allows(self._named):
            raise ConfigError(self._impossible())
        return Prefixes(self._named, stored.rotation if stored and self._rotates else None)

    def _allows(self, funnel: Funnel) -> bool:
        return self._fields is None or set(cuts(funnel, self._model.dim)) <= set(self._fields)

    def _fits(self, prefixes: Prefixes) -> bool:
        """Whether this model's vectors are to be cut so."""
        dim, rotation = self._model.dim, prefixes.rotation
        widths = cuts(prefixes.funnel, dim)
        if not self._allows(prefixes.funnel):
            return False
        if rotation is None:
            return set(widths) <= set(declared(self._model))
        wide = rotation.dim == dim and rotation.width >= max(widths, default=0)
        return wide and self._rotates and self._settings.rotation == "auto"

    def _renew(self, rows: int) -> None:
        ids = self._store.ids(field=self._field)
        if self._named:
            rotation = self._fit(ids, cuts(self._named, self._model.dim)[-1])
            self._set(
                Prefixes(self._named, rotation), replace(self._record, rows=0, fitted=rows, rotation=_OWN)
            )
            return
        stored = self._store.prefixes(self._field)
        rotation = stored.rotation if stored else None
        narrow = rotation is None or rotation.width < max(self._widths)
        record = replace(self._record, rows=rows)
        if self._rotates and (narrow or rows >= _REFIT * record.fitted):
            rotation = self._fit(ids, max(self._widths))
            record = replace(record, fitted=rows, rotation=_OWN)
        self._tuned(ids, record, rotation, self._asked(ids))

    def _fit(self, ids: Sequence[str], width: int) -> Rotation | None:
        """A rotation of these passages' vectors; None where the model needs none."""
        if not self._rotates:
            return None
        chosen: list[int] = np.linspace(0, len(ids) - 1, min(len(ids), SAMPLE)).astype(int).tolist()
        return Rotation.fit(self._store.matrix(self._field, [ids[n] for n in chosen]), width)

    def _tuned(
        self, ids: Sequence[str], record: _Record, rotation: Rotation | None, queries: Matrix
    ) -> Tuning:
        tuning = tune(
            lambda: self._blocks(ids),
            queries,
            k=record.k,
            recall=record.recall,
            rotation=rotation,
            widths=self._widths,
            growth=_RETUNE,
        )
        self._set(Prefixes(tuning.funnel, rotation) if tuning.funnel else None, record)
        _log.info("leg %s: %s, tuned on %d passages", self._field, tuning.funnel or "no funnel", tuning.rows)
        return tuning

    def _asked(self, ids: Sequence[str]) -> Matrix:
        """Queries to tune with: as many new ones as the passages written since allow, and earlier ones."""
        count = (len(ids) - self._record.rows) // _PASSAGES_A_QUERY
        texts = sample_sentences(self._store, ids, max(min(count, _QUERIES), 1))
        new = self._encoded(texts)
        self._queries = new if self._queries is None else np.vstack([new, self._queries])[:_QUERIES]
        return self._queries

    def _encoded(self, queries: Sequence[str]) -> Matrix:
        vectors = self._model.encode_queries(queries).dense if queries else None
        if vectors is None:
            raise BadInput(f"leg {self._field}: there are no queries to tune with")
        return vectors

    def _set(self, prefixes: Prefixes | None, record: _Record) -> None:
        self._store.set_prefixes(self._field, prefixes)
        self._store.state.put({self._key: asdict(record)})
        self._record = record

    def _blocks(self, ids: Sequence[str]) -> Iterator[Matrix]:
        for start in range(0, len(ids), _BLOCK):
            yield self._store.matrix(self._field, ids[start : start + _BLOCK])


def funnel_of(keepers: Sequence[FunnelKeeper], leg: str | None) -> FunnelKeeper:
    """The keeper of this leg, or the only one. Raises `BadInput`."""
    funnels = {keeper.leg: keeper for keeper in keepers}
    leg = next(iter(funnels)) if leg is None and len(funnels) == 1 else leg
    if leg not in funnels:
        raise BadInput(f"leg {leg!r}: name one of the dense legs {list(funnels)}")
    return funnels[leg]


@dataclass(frozen=True, slots=True)
class _Record:
    """Passages when the funnel was tuned and when the rotation was fitted, 0 for never; what was aimed at.

    `rotation` says where the one in use is from, "" for none: the collection, or the model, with a digest.
    """

    rows: int = 0
    fitted: int = 0
    recall: float = 0.99
    k: int = 10
    rotation: str = ""

    @classmethod
    def from_json(cls, value: JsonValue) -> _Record:
        """Of none, or one that cannot be read, everything is due again."""
        try:
            stored = cast("dict[str, Any]", value)
            rows, fitted, k = (int(stored[name]) for name in ("rows", "fitted", "k"))
            rotation = str(stored.get("rotation", _OWN if fitted else ""))
            return cls(rows, fitted, float(stored["recall"]), k, rotation)
        except (KeyError, TypeError, ValueError):
            return cls()


def _parts(prefixes: Prefixes | None) -> tuple[Funnel, Rotation | None] | None:
    return prefixes and (prefixes.funnel, prefixes.rotation)
