"""From langchain-milvus' store to HybridRetriever: same ids, texts and metadata, and lexical legs beside.

    python examples/migrate_from_langchain_milvus.py

A collection of yours: rag-plugins migrate http://host:19530 --collection NAME --into handbook.db
"""

import tempfile
from pathlib import Path

from langchain_core.documents import Document
from langchain_milvus import Milvus

from rag_plugins import Config, RagIndex, migrate
from rag_plugins.langchain import HybridRetriever, MatryoshkaEmbeddings

QUESTION = "How often is the air filter changed?"
DOCUMENTS = [
    Document(
        "Change the air filter every 6 months.", id="filter", metadata={"source": "handbook", "page": 3}
    ),
    Document(
        "The red lamp means that the tank is empty.", id="lamp", metadata={"source": "handbook", "page": 4}
    ),
    Document("Error E-17: the pump runs dry.", id="e17", metadata={"source": "errors", "page": 1}),
]

with tempfile.TemporaryDirectory() as folder:
    # What was there: dense vectors alone.
    old = Milvus(
        MatryoshkaEmbeddings(),
        collection_name="manuals",
        connection_args={"uri": f"{folder}/old.db"},
        index_params={"index_type": "FLAT", "metric_type": "COSINE"},
    )
    old.add_documents(DOCUMENTS, ids=[document.id for document in DOCUMENTS])
    before = old.similarity_search(QUESTION, k=1)[0].page_content
    old.client.close()

    # The vectors are of the dense leg's model already, so they need not be made anew.
    config = Config.make({"legs": [{"kind": "dense"}, {"kind": "bm25"}], "rerank": []})
    with RagIndex.open(Path(folder, "handbook.db"), config=config) as index:
        done = migrate(f"{folder}/old.db", index, collection="manuals", keep_vectors=True)
        print(f"{done.passages} passages of {done.documents} documents, from {done.layout}")
        retriever = HybridRetriever(index=index, k=1)
        found = retriever.invoke(QUESTION)[0]
        print(f"{QUESTION} {found.page_content} ({found.id}, page {found.metadata['page']})")
        print("the same as before" if found.page_content == before else f"before: {before}")
        print(f"E-17? {retriever.invoke('E-17')[0].page_content}")
