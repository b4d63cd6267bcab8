"""What was measured as a page of its own: tables, charts, the worst queries with their traces and pages."""

from rag_plugins.evaluation.report.page import write_report

__all__ = ["write_report"]
