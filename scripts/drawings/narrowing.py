"""The funnel on real vectors: what its stages read, and what its prefixes find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from drawings.encoders import descriptions, vectors
from drawings.svg import COOL, INK, SMALL, WARM, Canvas, Drawing, LogScale
from rag_plugins.funnel import Rotation
from rag_plugins.funnel.ranks import Ranks, blocks_of, exact_best, prefix_ranks
from rag_plugins.funnel.trials import candidate_widths
from rag_plugins.funnel.tuning import tune
from rag_plugins.vectors import Matrix

__all__ = ["prefixes", "stages"]

_K = 10
_EVERY = 20
_SHORTLIST = 100


@dataclass(frozen=True, slots=True)
class _Set:
    passages: Matrix
    queries: Matrix


@cache
def _texts() -> _Set:
    """Every so many of the docstrings are asked, the others searched."""
    rows = vectors(descriptions())
    asked = [n for n in range(len(rows)) if n % _EVERY == 0]
    return _Set(rows[[n for n in range(len(rows)) if n % _EVERY]], rows[asked])


def stages() -> Drawing:
    """Each stage a rectangle: as high as the rows it compares, as wide as the prefix it reads."""
    data = _texts()
    rows, dim = data.passages.shape
    tuned = tune(data.passages, data.queries, rotation=Rotation.fit(data.passages), k=_K)
    assert tuned.chosen is not None
    funnel, high = tuned.chosen.funnel, 250
    canvas = Canvas(high + 70)
    across, left = 150, 0.0
    read, count = 0, rows
    canvas.text(0, 14, "Funnel", bold=True)
    canvas.text(226, 14, "Exact search", bold=True)
    for stage in funnel.stages:
        width, tall = max(across * stage.width / dim, 2), max(high * count / rows, 2)
        canvas.box(left, 26, width, tall, tone=COOL, fill=0.4)
        label = f"{count:,} × {stage.width}"
        below = tall > 100
        canvas.text(
            left + (width + 6 if below else 0), 26 + (high if below else tall + 17), label, size=SMALL
        )
        read += count * stage.width
        left += width + 10 if below else 0
        left = max(left, 30)
        count = min(funnel.kept(stage, _K), count)
    canvas.box(226, 26, across, high, tone=WARM, fill=0.25)
    canvas.text(226 + across / 2, 26 + high / 2, f"{rows:,} × {dim}", anchor="middle", size=SMALL)
    share = read / (rows * dim)
    canvas.text(0, high + 50, f"{read:,} numbers read", tone=COOL, bold=True)
    canvas.text(226, high + 50, f"{rows * dim:,}", tone=WARM, bold=True)
    return canvas.drawing(
        f"Areas to scale: the funnel reads {read:,} numbers, the exact search {rows * dim:,}.",
        "Rows × numbers of each, areas to scale. The vectors are those of first lines of this package's "
        f"docstrings by all-MiniLM-L6-v2, rotated. The funnel that tuning chose, for a recall of "
        f"{100 * tuned.target:.0f} %, reads {100 * share:.0f} % of the numbers, and finds "
        f"{100 * tuned.chosen.recall:.1f} % of the exact search's best {_K} for {len(data.queries)} other "
        "such lines. So few rows leave little to save.",
    )


def _shares(ranks: Ranks, keep: int) -> list[float]:
    return [float((ranks[width] < keep).mean()) for width in sorted(ranks)]


def prefixes() -> Drawing:
    """Recall of prefixes: cut as they are, rotated, and rotated with a shortlist."""
    data = _texts()
    widths = list(candidate_widths(data.passages.shape[1]))
    blocks = blocks_of(data.passages)
    best, rows = exact_best(blocks, data.queries, _K)
    plain = prefix_ranks(blocks, data.queries, best, None, widths)
    turned = prefix_ranks(blocks, data.queries, best, Rotation.fit(data.passages), widths)
    x = LogScale(widths[0], widths[-1], 40, 366)
    canvas = Canvas(310)
    for tenth in range(0, 11, 2):
        y = 250 - 22 * tenth
        canvas.line([(40, y), (366, y)], opacity=0.2)
        canvas.text(34, y + 4, f"{10 * tenth} %", size=SMALL, anchor="end")
    for width in widths[::2]:
        canvas.text(x(width), 268, str(width), size=SMALL, anchor="middle")
    canvas.text(366, 290, f"numbers in the prefix, of {data.passages.shape[1]}", size=SMALL, anchor="end")
    lines = (
        (WARM, _shares(turned, _SHORTLIST), f"rotated, best {_SHORTLIST} kept", -1, 0, -10),
        (COOL, _shares(turned, _K), f"rotated, best {_K} kept", 5, -6, -12),
        (INK, _shares(plain, _K), f"cut as they are, best {_K} kept", -1, 0, 84),
    )
    for tone, values, name, at, right, below in lines:
        points = [(x(width), 250 - 220 * value) for width, value in zip(widths, values, strict=True)]
        canvas.line(points, tone=tone, width=2)
        for point in points:
            canvas.dot(*point, tone=tone)
        canvas.text(points[at][0] + right, points[at][1] + below, name, size=SMALL, anchor="end", tone=tone)
    narrow = f"{100 * _shares(turned, _SHORTLIST)[2]:.0f} %"
    return canvas.drawing(
        "Share of the exact search's best ten by width of prefix: rotation and a shortlist both raise it.",
        f"Share of the exact search's best {_K} that is among the best by a prefix: the same vectors, "
        f"{rows:,} rows, {len(data.queries)} queries; the model was not trained for prefixes. {widths[2]} "
        f"numbers with {_SHORTLIST} kept have {narrow}.",
    )
