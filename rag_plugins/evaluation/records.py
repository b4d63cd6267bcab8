"""Evaluations kept in a folder: TREC runs and qrels that any tool reads, the queries, and what was found.

    evaluation.json     measures, times, configuration, when and by which version
    qrels.trec          query 0 id grade
    runs/*.trec         query Q0 id rank score stage: one file a stage
    queries.jsonl       ids and texts
    texts.jsonl         the beginnings of what was found first, and of what is relevant

White space in ids is percent-encoded in TREC files, whose fields it would break.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from rag_plugins.errors import BadDocument, BadInput
from rag_plugins.evaluation.beir import read_lines, read_text
from rag_plugins.evaluation.evaluating import Evaluation
from rag_plugins.evaluation.measures import Measures, Qrels, Run
from rag_plugins.evaluation.stages import Kind, Stage, Stages
from rag_plugins.evidence import where
from rag_plugins.index import RagIndex
from rag_plugins.types import JsonValue

__all__ = ["Record", "Text", "read_qrels", "read_run"]

_SHOWN = 5
"""Of a query's best and of what is relevant to it so many are kept as text."""

_CHARACTERS = 800
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a document, page or passage, and where it is from."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """An evaluation as it is kept: stages in the order of a search, texts of what was found or is relevant.

    `about` has the rest as plain values: configuration, times, version.
    """

    name: str
    date: str
    queries: Mapping[str, str]
    qrels: Qrels
    measures: Measures
    stages: Stages
    texts: Mapping[str, Text]
    about: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, evaluation: Evaluation, index: RagIndex) -> Record:
        """Of a collection that is still open, and what was measured of it."""
        judged = evaluation.judged
        return cls(
            name=name,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            queries={id: judged.queries[id] for id in judged.qrels},
            qrels=judged.qrels,
            measures=evaluation.measures,
            stages=evaluation.stages,
            texts=_texts(evaluation, index),
            about={
                "version": version("rag-plugins"),
                "evaluation": evaluation.to_json(),
                "config": index.config.model_dump(mode="json", exclude_defaults=True),
            },
        )

    def save(self, folder: str | Path) -> Path:
        """Write it; the folder, in which there may be an older one.

        Raises `BadInput` for a folder with other files, or one that cannot be written.
        """
        target = Path(folder)
        try:
            if target.is_dir() and any(target.iterdir()) and not (target / "evaluation.json").is_file():
                raise BadInput(f"{target} has files that are no saved evaluation: give another folder")
            self._write(target)
        except OSError as error:
            raise BadInput(f"{target} cannot be written: {error}") from error
        return target.resolve()

    @classmethod
    def load(cls, folder: str | Path) -> Record:
        """Read what `save` wrote; measures are computed anew. Raises `BadDocument`."""
        source = Path(folder)
        about = _read_about(source / "evaluation.json")
        qrels = read_qrels(source / "qrels.trec")
        measures = {name: (str(kind), int(cutoff)) for name, (kind, cutoff) in about.pop("measures").items()}
        runs = source / "runs"
        stages = tuple(
            Stage.of(one["name"], cast("Kind", one["kind"]), read_run(runs / one["file"]), qrels, measures)
            for one in about.pop("stages")
        )
        asked = read_lines(source / "queries.jsonl", "_id", "text")
        texts = read_lines(source / "texts.jsonl", "_id", "place", "text")
        return cls(
            name=source.resolve().name,
            date=about.pop("date"),
            queries={line["_id"]: line["text"] for line in asked},
            qrels=qrels,
            measures=measures,
            stages=Stages(stages),
            texts={line["_id"]: Text(line["place"], line["text"]) for line in texts},
            about=about,
        )

    def _write(self, target: Path) -> None:
        runs = target / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        for old in runs.glob("*.trec"):
            old.unlink()
        stages: list[JsonValue] = []
        for number, stage in enumerate(self.stages.all, 1):
            name = f"{number}-{_file_name(stage.label)}.trec"
            _write(runs / name, _run_lines(stage))
            stages.append({"name": stage.name, "kind": stage.kind, "file": name})
        _write(target / "qrels.trec", _qrels_lines(self.qrels))
        _write(
            target / "queries.jsonl", (_json({"_id": id, "text": self.queries[id]}) for id in self.queries)
        )
        texts = ({"_id": id, "place": text.place, "text": text.text} for id, text in self.texts.items())
        _write(target / "texts.jsonl", map(_json, texts))
        about = {"format": _FORMAT, "date": self.date, "measures": dict(self.measures), "stages": stages}
        _write(target / "evaluation.json", [json.dumps(about | dict(self.about), indent=1)])


def read_run(path: str | Path) -> Run:
    """A TREC run: query, Q0, id, rank, score, name, by white space. Raises `BadDocument`."""
    run: Run = {}
    for number, line in enumerate(read_text(Path(path)).splitlines(), 1):
        try:
            query, _, id, _, score, _ = line.split()
            run.setdefault(unquote(query), {})[unquote(id)] = float(score)
        except ValueError as error:
            raise BadDocument(
                Path(path).name, None, f"line {number} is no line of a TREC run: {error}"
            ) from error
    return run


def read_qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """TREC qrels: query, iteration, id, grade, by white space. Raises `BadDocument`."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(read_text(Path(path)).splitlines(), 1):
        try:
            query, _, id, grade = line.split()
            qrels.setdefault(unquote(query), {})[unquote(id)] = int(grade)
        except ValueError as error:
            raise BadDocument(
                Path(path).name, None, f"line {number} is no line of TREC qrels: {error}"
            ) from error
    return qrels


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about: Any = json.loads(read_text(path))
        if about.pop("format") == _FORMAT and {"date", "measures", "stages"} <= about.keys():
            return about
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        pass
    raise BadDocument(path.name, None, f"in {path.parent}: it is no evaluation that this version can read")


def _texts(evaluation: Evaluation, index: RagIndex) -> dict[str, Text]:
    """By id of what was found first the passage that stands for it, else the first that there is."""
    judged = evaluation.judged
    passages: dict[str, str] = {}
    wanted: dict[str, None] = {}
    for query, grades in judged.qrels.items():
        place = judged.places[judged.unit[query]]
        for passage in evaluation.found[query][:_SHOWN]:
            passages.setdefault(place[passage], passage)
        wanted |= dict.fromkeys([id for id, grade in grades.items() if grade > 0][:_SHOWN])
    for place in judged.places.values():
        for passage, id in place.items():
            if id in wanted:
                passages.setdefault(id, passage)
    stored = index.store.fetch(list(passages.values()))
    return {
        id: Text(where(stored[passage]), stored[passage].llm_text[:_CHARACTERS])
        for id, passage in passages.items()
        if passage in stored
    }


def _run_lines(stage: Stage) -> Iterable[str]:
    name = _field(stage.label)
    for query, scores in stage.run.items():
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        for rank, (id, score) in enumerate(ranked, 1):
            yield f"{_field(query)} Q0 {_field(id)} {rank} {score!r} {name}"


def _qrels_lines(qrels: Qrels) -> Iterable[str]:
    for query, grades in qrels.items():
        for id, grade in grades.items():
            yield f"{_field(query)} 0 {_field(id)} {grade}"


def _field(id: str) -> str:
    """Without white space, and so that `unquote` gives it back."""
    return "".join(
        "".join(f"%{byte:02X}" for byte in char.encode()) if char.isspace() or char == "%" else char
        for char in id
    )


def _file_name(label: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in label)


def _json(value: Mapping[str, JsonValue]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
