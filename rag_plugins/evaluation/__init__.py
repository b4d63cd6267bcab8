"""Measures of retrieval on sets with known answers."""
