"""What bi-encoders, late interaction and cross-encoders read, and how often."""

from __future__ import annotations

from drawings.encoders import token_matrix, vectors
from drawings.svg import COOL, INK, SMALL, WARM, WIDTH, Canvas, Drawing, LogScale, shown
from rag_plugins import CrossEncoderConfig

__all__ = ["interaction", "pairs", "readers"]

QUESTION = "pump keeps starting"
PASSAGE = "the motor switches on again and again"
_BARS = 48


def readers() -> Drawing:
    """Bi-encoder above, cross-encoder below."""
    rows = vectors([QUESTION, PASSAGE])
    cosine = float(rows[0] @ rows[1])
    canvas = Canvas(354)
    canvas.text(0, 14, "Bi-encoder: each text by itself", bold=True)
    for left, text, row in ((0, QUESTION, rows[0]), (195, PASSAGE, rows[1])):
        _given(canvas, left, 26, 185, text)
        _model(canvas, left + 40, 72, 105, "encoder")
        canvas.arrow((left + 92, 98), (left + 92, 112))
        _vector(canvas, left, 114, 185, row[:_BARS].tolist())
        canvas.line([(left + 92, 150), (left + 92, 160), (190, 160)])
    canvas.arrow((190, 160), (190, 174))
    canvas.text(190, 190, f"cosine {shown(cosine)}", anchor="middle", tone=COOL, bold=True)
    canvas.line([(0, 208), (WIDTH, 208)], opacity=0.3)
    canvas.text(0, 232, "Cross-encoder: both texts at once", bold=True)
    canvas.box(0, 244, WIDTH, 30, fill=0.06, edge=0.4)
    canvas.text(WIDTH / 2, 263, f"{QUESTION}  |  {PASSAGE}", size=SMALL, anchor="middle")
    canvas.arrow((190, 274), (190, 290))
    _model(canvas, 60, 290, 260, "every word sees every other")
    canvas.arrow((190, 316), (190, 334))
    canvas.text(190, 350, "one score, for this pair alone", anchor="middle", tone=WARM, bold=True)
    return canvas.drawing(
        f"A bi-encoder makes a vector of each text, compared by cosine, here {shown(cosine)}. "
        "A cross-encoder reads both texts together and gives a score.",
        f"The bars are the first {_BARS} numbers of the vectors that the default model, all-MiniLM-L6-v2, "
        "gives for these two texts, and the cosine is theirs. The vector of a passage can be kept. The score "
        "of a pair cannot be told before the question is known.",
    )


def _given(canvas: Canvas, left: float, top: float, width: float, text: str) -> None:
    words = text.split()
    half = len(words) if len(words) < 4 else (len(words) + 1) // 2
    lines = [" ".join(words[:half]), *([" ".join(words[half:])] if words[half:] else [])]
    canvas.box(left, top, width, 36, fill=0.06, edge=0.4)
    for n, line in enumerate(lines):
        y = top + (22 if len(lines) == 1 else 15 + 15 * n)
        canvas.text(left + width / 2, y, line, size=SMALL, anchor="middle")
    canvas.arrow((left + width / 2, top + 36), (left + width / 2, top + 46))


def _model(canvas: Canvas, left: float, top: float, width: float, name: str) -> None:
    canvas.box(left, top, width, 26, tone=COOL, fill=0.12, round=13)
    canvas.text(left + width / 2, top + 17, name, size=SMALL, anchor="middle")


def _vector(canvas: Canvas, left: float, top: float, width: float, numbers: list[float]) -> None:
    step, scale = width / len(numbers), 17 / max(map(abs, numbers))
    for n, number in enumerate(numbers):
        high = abs(number) * scale
        y = top + 18 - (high if number > 0 else 0)
        canvas.box(left + n * step, y, step - 1, high, tone=COOL, fill=0.8, edge=0, round=0)


def interaction() -> Drawing:
    """Every token of the question against every token of the passage."""
    asked, rows = token_matrix(QUESTION)
    there, columns = token_matrix(PASSAGE)
    cosines = rows @ columns.T
    best = cosines.max(axis=1)
    cell, left, top = 36, 70, 70
    canvas = Canvas(top + cell * len(asked) + 34)
    for n, token in enumerate(there):
        canvas.text(left + cell * n + 20, top - 8, token, size=SMALL, turn=-45)
    for r, token in enumerate(asked):
        y = top + cell * r
        canvas.text(left - 8, y + 22, token, anchor="end", size=SMALL)
        for c in range(len(there)):
            value = float(cosines[r, c])
            is_best = value == best[r]
            tone = WARM if is_best else COOL
            x = left + cell * c
            canvas.box(
                x + 1, y + 1, cell - 2, cell - 2, tone=tone, fill=max(value, 0.0) * 0.7, edge=float(is_best)
            )
            canvas.text(x + cell / 2, y + 22, shown(value), size=SMALL, anchor="middle")
        canvas.text(left + cell * len(there) + 8, y + 22, shown(float(best[r])), tone=WARM, bold=True)
    total = float(best.mean())
    canvas.text(
        WIDTH, top + cell * len(asked) + 22, f"mean of the best: {shown(total)}", anchor="end", bold=True
    )
    return canvas.drawing(
        "A grid of cosines, a row for each word of the question, a column for each of the passage; "
        f"the best of each row is marked, their mean is {shown(total)}.",
        "Cosines of the token vectors of the two texts above, by the same model. Each word of the question "
        "takes its best match, marked. The late-interaction stage of this package also weighs the words by "
        "how rare they are (idf).",
    )


def pairs() -> Drawing:
    """How often a model runs, by the number of texts."""
    depth = CrossEncoderConfig().depth
    powers = range(1, 6)
    counts = [10**power for power in powers]
    x, y = LogScale(counts[0], counts[-1], 40, 360), LogScale(10, 1e10, 250, 34)
    canvas = Canvas(294)
    canvas.text(0, 14, "runs of a model", size=SMALL)
    for power in range(1, 11, 3):
        canvas.line([(40, y(10**power)), (360, y(10**power))], opacity=0.2)
        canvas.text(32, y(10**power) + 4, _power(power), size=SMALL, anchor="end")
    for power in powers:
        canvas.text(x(10**power), 270, _power(power), size=SMALL, anchor="middle")
    canvas.text(360, 290, "texts, n", size=SMALL, anchor="end")
    lines = (
        (WARM, [count * (count - 1) / 2 for count in counts], "each pair: n(n - 1) / 2", 2),
        (COOL, [float(count) for count in counts], "each text: n", 3),
        (INK, [float(depth)] * len(counts), f"the best {depth} of a question", 4),
    )
    for tone, values, name, at in lines:
        points = [(x(count), y(value)) for count, value in zip(counts, values, strict=True)]
        _curve(canvas, points, tone)
        canvas.text(points[at][0] - 8, points[at][1] - 10, name, size=SMALL, anchor="end", tone=tone)
    every = 10_000 * 9_999 // 2
    return canvas.drawing(
        f"Runs of a model by number of texts: n, n(n - 1)/2, and {depth} for each question.",
        f"Both axes are logarithmic. To compare 10,000 texts with each other takes 10,000 encodings, or "
        f"{every:,} pairs. To rerank takes {depth} pairs a question (the default depth of a cross-encoder "
        "stage here), however many passages there are.",
    )


def _curve(canvas: Canvas, points: list[tuple[float, float]], tone: str) -> None:
    canvas.line(points, tone=tone, width=2)
    for point in points:
        canvas.dot(*point, tone=tone)


def _power(power: int) -> str:
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(power) if power > 1)
