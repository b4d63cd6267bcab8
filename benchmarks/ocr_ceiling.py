"""What bad recognition costs BM25 and dense retrieval, and how much of it the robust leg wins back.

    python -m benchmarks.ocr_ceiling --data ../shared/data

On squad-dev-A with noise: half of the edits uniform, half confusions as Tesseract makes them on doc-oldbooks,
or where that is absent on pages made of Python's reference; on doc-sroie with its own OCR. Measured by what
`rag-plugins evaluate --ocr-ceiling` runs. recovered_N is (with the robust leg - without) / (clean, without it
- without) in nDCG@5 of the fused legs, null where less than .02 is lost or the set is absent.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.passages import manual_passages
from rag_plugins import Config
from rag_plugins.config import OcrConfig
from rag_plugins.evaluation.ceiling import NOISE, evaluate_ceiling
from rag_plugins.evaluation.ceiling.levels import Ceiling
from rag_plugins.evaluation.ceiling.noise import Confusions, measure_confusions
from rag_plugins.evaluation.ceiling.pages import read_documents
from rag_plugins.evaluation.ceiling.rendered import made_confusions, recognised
from rag_plugins.show.ceiling import show_ceiling
from rag_plugins.types import JsonValue

TEXTS, RECEIPTS, BOOKS = "squad-dev-A", "doc-sroie", "doc-oldbooks"
"""Folders below --data."""


def main() -> None:
    """Measure confusions, then both sets, print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    options.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the sets")
    options.add_argument("--queries", type=int, default=500, help="at most so many of each set")
    options.add_argument("--levels", type=float, nargs="+", default=[100 * rate for rate in NOISE])
    options.add_argument("--pages", type=int, default=36, help="of doc-oldbooks or the reference, to misread")
    options.add_argument("--preset", default="scans", help="the pipeline; its rerank stages are left out")
    options.add_argument("--rerank", action="store_true", help="keep its rerank stages")
    given = options.parse_args()
    config = Config.preset(given.preset)
    config = config if given.rerank else config.model_copy(update={"rerank": ()})
    confusions = _confusions(given.data / BOOKS, given.pages, config.ocr)
    print(f"Confusions: {confusions}")
    levels = {f"noise {level:g} %": f"{level:g}" for level in given.levels}
    figures: dict[str, JsonValue] = dict.fromkeys(f"recovered_{name}" for name in (*levels.values(), "sroie"))
    for name, noise, after in (
        (TEXTS, [level / 100 for level in given.levels], {"true text": "clean", **levels}),
        (RECEIPTS, [], {"true text": "sroie_clean", "OCR": "sroie"}),
    ):
        folder = given.data / name
        if folder.is_dir():
            ceiling = evaluate_ceiling(
                folder, config, noise=noise, queries=given.queries, confusions=confusions
            )
            show_ceiling(ceiling)
            figures |= _figures(ceiling, after)
        else:
            print(f"{folder} is absent: not measured")
    print(json.dumps(figures))


def _confusions(folder: Path, pages: int, ocr: OcrConfig) -> Confusions:
    if not folder.is_dir():
        return made_confusions(manual_passages()[:pages], ocr)
    documents = read_documents(folder)
    ids = list(documents.images)[:: max(len(documents.images) // pages, 1)][:pages]
    read = recognised([documents.images[id] for id in ids], ocr)
    return measure_confusions((documents.pages[id], read.get(documents.images[id], "")) for id in ids)


def _figures(ceiling: Ceiling, after: Mapping[str, str]) -> dict[str, JsonValue]:
    """nDCG@5 without the robust leg and with it, of each leg, and what is recovered; `after`: their names."""
    figures: dict[str, JsonValue] = {}
    for level in ceiling.levels:
        scores = {"plain": level.plain.fused, "robust_fused": level.dual.fused, **level.legs}
        figures |= {f"{name}_{after[level.text]}": round(score, 4) for name, score in scores.items()}
        if level is not ceiling.levels[0]:
            recovered = ceiling.recovered(level)
            figures[f"recovered_{after[level.text]}"] = None if recovered is None else round(recovered, 3)
    return figures


if __name__ == "__main__":
    main()
