"""Collections as other programs make them, by pymilvus alone: field by field what their sources declare."""

from contextlib import contextmanager

from pymilvus import DataType, MilvusClient

LONG = 65_535


@contextmanager
def client_of(uri):
    client = MilvusClient(uri, dedicated=True)
    yield client
    client.close()


def make(uri, name, fields, rows, *, dynamic=False, auto_id=False):
    """`fields` has (type, options) by name; the first is the primary key."""
    with client_of(uri) as client:
        schema = client.create_schema(auto_id=auto_id, enable_dynamic_field=dynamic)
        index = client.prepare_index_params()
        for n, (field, (kind, options)) in enumerate(fields.items()):
            schema.add_field(field, kind, is_primary=n == 0, **options)
            if kind == DataType.FLOAT_VECTOR:
                index.add_index(field, index_type="FLAT", metric_type="COSINE")
            elif kind == DataType.SPARSE_FLOAT_VECTOR:
                index.add_index(field, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        client.create_collection(name, schema=schema, index_params=index)
        for start in range(0, len(rows), 1000):
            client.insert(name, rows[start : start + 1000])


def text():
    return DataType.VARCHAR, {"max_length": LONG}


def vector(dim):
    return DataType.FLOAT_VECTOR, {"dim": dim}


def kind(name):
    return DataType[name], {}


def like_langchain(uri, name, rows, *, extra=None, dynamic=False):
    """langchain-milvus 0.4: text, pk, vector, then a field for each key of the first metadata."""
    fields = {"pk": text(), "text": text(), "vector": vector(len(rows[0]["vector"])), **(extra or {})}
    make(uri, name, fields, rows, dynamic=dynamic)


def like_llama_index(uri, name, nodes, *, declared=("id", "doc_id", "text")):
    """llama-index-vector-stores-milvus 1.2; its first versions declared `id` and the vector alone."""
    from llama_index.core.vector_stores.utils import node_to_metadata_dict

    rows = [
        {
            **node_to_metadata_dict(node, remove_text=True, text_field="text"),
            "text": node.text,
            "id": node.node_id,
            "embedding": node.embedding,
        }
        for node in nodes
    ]
    fields = {field: text() for field in declared} | {"embedding": vector(len(nodes[0].embedding))}
    make(uri, name, fields, rows, dynamic=True)
