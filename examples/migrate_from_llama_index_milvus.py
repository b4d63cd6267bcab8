"""From LlamaIndex' MilvusVectorStore to HybridRetriever: nodes keep ids, documents and excluded keys.

    python examples/migrate_from_llama_index_milvus.py

A collection of yours: rag-plugins migrate http://host:19530 --collection NAME --into handbook.db
"""

import tempfile
from pathlib import Path

from llama_index.core.schema import MetadataMode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from pymilvus import DataType, MilvusClient

from rag_plugins import Config, RagIndex, migrate
from rag_plugins.llama_index import HybridRetriever, MatryoshkaEmbedding

QUESTION = "How often is the air filter changed?"
TEXTS = {
    "filter": "Change the air filter every 6 months.",
    "lamp": "The red lamp means that the tank is empty.",
    "e17": "Error E-17: the pump runs dry.",
}
EMBEDDING = MatryoshkaEmbedding()


def node(id: str, text: str) -> TextNode:
    """A chunk of the handbook with its vector, as VectorStoreIndex makes it."""
    made = TextNode(
        id_=id,
        text=text,
        metadata={"chapter": "care"},
        excluded_llm_metadata_keys=["chapter"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="handbook")},
    )
    made.embedding = EMBEDDING.get_text_embedding(made.get_content(MetadataMode.EMBED))
    return made


def fill(uri: str, nodes: list[TextNode]) -> None:
    """What was there: schema and rows as LlamaIndex' MilvusVectorStore writes them, by pymilvus alone.

    llama-index-vector-stores-milvus 1.2 asks for pymilvus 2 and cannot be installed beside pymilvus 3.
    """
    client = MilvusClient(uri)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    for name in ("id", "doc_id", "text"):
        schema.add_field(name, DataType.VARCHAR, max_length=65_535, is_primary=name == "id")
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=384)
    vectors = client.prepare_index_params()
    vectors.add_index("embedding", index_type="FLAT", metric_type="COSINE")
    client.create_collection("manuals", schema=schema, index_params=vectors)
    rows = [
        {
            **node_to_metadata_dict(node, remove_text=True, text_field="text"),
            "text": node.text,
            "id": node.node_id,
            "embedding": node.embedding,
        }
        for node in nodes
    ]
    client.insert("manuals", rows)
    client.close()


with tempfile.TemporaryDirectory() as folder:
    fill(f"{folder}/old.db", [node(id, text) for id, text in TEXTS.items()])

    config = Config.make({"legs": [{"kind": "dense"}, {"kind": "bm25"}], "rerank": []})
    with RagIndex.open(Path(folder, "handbook.db"), config=config) as index:
        # The vectors are of the dense leg's model already, so they need not be made anew.
        done = migrate(f"{folder}/old.db", index, collection="manuals", keep_vectors=True)
        print(f"{done.passages} passages of {done.documents} documents, from {done.layout}")
        retriever = HybridRetriever(index, k=1)
        found = retriever.retrieve(QUESTION)[0].node
        print(f"{QUESTION} {found.get_content(MetadataMode.LLM)} ({found.node_id} of {found.ref_doc_id})")
        print(f"E-17? {retriever.retrieve('E-17')[0].node.get_content()}")
