"""A bi-encoder trained on your own questions: what each prefix of its vectors finds before and after.

    python examples/train_your_domain.py [PAIRS] [FOLDER]

PAIRS is a table or JSON lines of queries with a passage that answers each, or a folder in BEIR's format; the
model goes to FOLDER. Without them 64 questions are MADE UP, in the jargon of a works of which no model has
ever heard. A thousand real questions take six minutes on two cores.
"""

import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from rag_plugins import Config, RagIndex
from rag_plugins.config import DenseTraining, TrainConfig
from rag_plugins.training import Pair, Pairs, Task, plan, read_pairs, train

WIDTHS = (384, 192, 96, 48, 24, 12)
SETTINGS = DenseTraining(widths=WIDTHS, epochs=4, batch=16, learning_rate=1e-4, max_length=128, dev=0.25)
NICKNAMES = {
    "the old lady": "feed pump P-101",
    "the snail": "screw conveyor",
    "the kettle": "boiler 2",
    "grandpa": "north compressor",
    "the oyster": "plate heat exchanger",
    "the lighthouse": "warning beacon",
    "the sponge": "dust filter",
    "the mole": "drain cleaner",
}
FAULTS = {
    "hums": "A rising tone under load means worn bearings: order set 40.",
    "weeps": "Moisture outside comes from the seal. Tighten it by a quarter turn.",
    "sulks": "If it does not start, reset the motor breaker in cabinet F2.",
    "is blind": "No reading: the sensor's plug has come loose.",
    "coughs": "Air in the line makes the pressure jump. Vent at the highest point.",
    "has a fever": "Above 80 degrees stop at once; the coolant is low.",
    "is deaf": "It does not answer the bus: set its address again.",
    "dances": "Vibration: the feet are loose, or the coupling is out of line.",
}


def made_up() -> Pairs:
    """Questions as the shift asks them, passages as the manual has them."""
    rows = product(NICKNAMES.items(), FAULTS.items())
    return Pairs(
        tuple(Pair(f"{name} {fault}", f"{machine}. {cure}") for (name, machine), (fault, cure) in rows)
    )


def main(pairs: Pairs, folder: Path) -> None:
    """Plan, train, compare, search."""
    task = Task.of("dense", Config(train=TrainConfig(dense=SETTINGS)))
    planned = plan(task, pairs)
    print(f"{planned.train} pairs to learn from, {planned.dev} to measure by: about {planned.seconds:.0f} s")
    trained = train(task, pairs, folder)

    print(f"{'width':>8}{'before':>10}{'after':>10}   nDCG@10 of vectors, among {planned.dev} answers")
    for width, (before, after) in trained.widths.items():
        print(f"{width:8}{before:10.3f}{after:10.3f}")
    whole = trained.comparison.differences["nDCG@10"]  # With BM25 and reranking.
    figures = f"{whole.before:10.3f}{whole.after:10.3f}   better {whole.better}, worse {whole.worse}"
    print(f"pipeline{figures}, among up to 1000 passages")

    # The configuration names the model: what was trained is what is served.
    config = trained.config if trained.better else task.config
    with RagIndex.open(folder / "served.db", config=config) as index:
        index.add([index.passage(text) for text in sorted({pair.positive for pair in pairs.items})[:1000]])
        asked = pairs.items[0].query
        print(f"{asked}? {index.search(asked, 1)[0].passage.llm_text[:200]}")


if __name__ == "__main__":
    given = sys.argv[1:]
    with TemporaryDirectory() as temporary:
        target = Path(given[1]) if given[1:] else Path(temporary) / "model"
        main(read_pairs(given[0]) if given else made_up(), target)
