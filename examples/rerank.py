"""A cross-encoder alone: passages ranked by a question, sentences compared in pairs.

    python examples/rerank.py [MODEL]

MODEL is a name that `rag-plugins presets` lists, a folder or a hub id.
"""

import sys

from rag_plugins import CrossEncoderReranker

PASSAGES = [
    "The red lamp means that the water tank is empty.",
    "Tighten the motor flange screws to 12 Nm, crosswise.",
    "Change the air filter every 6 months.",
]
PAIRS = [
    ("The tank is empty.", "There is no water left in the tank."),
    ("The tank is empty.", "Change the air filter."),
]

reranker = CrossEncoderReranker(*sys.argv[1:2] or ["ms-marco-MiniLM-L-6-v2"])
for found in reranker.rank("How tight are the screws of the motor?", PASSAGES, k=2):
    print(f"{found.score:8.3f}  {found.text}")
for (first, second), score in zip(PAIRS, reranker.score_pairs(PAIRS), strict=True):
    print(f"{score:8.3f}  {first} | {second}")
print(f"{reranker.name} runs on {reranker.choice}")
