"""Rows searched in memory: prefixes and vectors, postings, typed columns. Knows no Milvus and no model."""
