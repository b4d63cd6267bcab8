"""What the commands print: tables and panels for people, plain values for programs."""

from __future__ import annotations

from rag_plugins.show.compared import show_comparison
from rag_plugins.show.hits import hit_json, show_hits
from rag_plugins.show.measured import show_evaluation, show_probe, show_tuning
from rag_plugins.show.presets import show_presets
from rag_plugins.show.rereading import show_reread
from rag_plugins.show.summary import show_summary

__all__ = [
    "hit_json",
    "show_comparison",
    "show_evaluation",
    "show_hits",
    "show_presets",
    "show_probe",
    "show_reread",
    "show_summary",
    "show_tuning",
]
