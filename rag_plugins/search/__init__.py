"""Query to hits: legs, fusion, reranking."""
