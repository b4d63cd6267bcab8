"""The only place that knows Milvus."""
