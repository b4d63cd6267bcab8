"""From an EnsembleRetriever over FAISS and BM25 to HybridRetriever: one store, kept on disk.

    python examples/migrate_from_faiss_bm25.py

FAISS has the documents in its docstore; BM25Retriever has the same ones, in memory.
"""

import tempfile
from pathlib import Path

from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document

from rag_plugins import Config, RagIndex
from rag_plugins.langchain import HybridRetriever, MatryoshkaEmbeddings, from_document

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

# What was there.
faiss = FAISS.from_documents(DOCUMENTS, MatryoshkaEmbeddings())
old = EnsembleRetriever(
    retrievers=[faiss.as_retriever(search_kwargs={"k": 2}), BM25Retriever.from_documents(DOCUMENTS, k=2)],
    weights=[0.5, 0.5],
)
before = old.invoke(QUESTION)[0]

config = Config.make({"legs": [{"kind": "dense"}, {"kind": "bm25"}], "rerank": []})
with (
    tempfile.TemporaryDirectory() as folder,
    RagIndex.open(Path(folder, "handbook.db"), config=config) as index,
):
    documents = [faiss.docstore.search(id) for id in faiss.index_to_docstore_id.values()]
    passages = [from_document(document, index) for document in documents]
    # Row n of FAISS is document n: vectors of the same model need not be made anew.
    vectors = faiss.index.reconstruct_n(0, len(passages))
    given = {passage.id: vector for passage, vector in zip(passages, vectors, strict=True)}
    index.add(passages, vectors={"dense": given})
    retriever = HybridRetriever(index=index, k=1)
    found = retriever.invoke(QUESTION)[0]
    print(f"{index.count()} passages; {QUESTION} {found.page_content} ({found.id})")
    print("the same as before" if found.id == before.id else f"before: {before.page_content}")
    print(f"E-17? {retriever.invoke('E-17')[0].page_content}")
