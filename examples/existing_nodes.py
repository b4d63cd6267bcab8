"""Hybrid over nodes that there are already: what a splitter made is searched by words and by meaning.

    python examples/existing_nodes.py

Ids, relationships and templates of the nodes stay. Their embeddings are used where they are of the
collection's model, as here; nodes without any are embedded.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from llama_index.core import Document
from llama_index.core.node_parser import SentenceWindowNodeParser
from llama_index.core.schema import MetadataMode

from rag_plugins.llama_index import HybridRetriever, MatryoshkaEmbedding, RagVectorStore

HANDBOOK = Document(
    id_="handbook",
    text="The dust filter is washed every 500 hours. The red lamp means that the tank is empty. Part AX-4401 "
    "is the fuse of the display. The screws of the motor flange are tightened to 12 Nm, crosswise.",
)

nodes = SentenceWindowNodeParser(window_size=1).get_nodes_from_documents([HANDBOOK])
texts = [node.get_content(MetadataMode.EMBED) for node in nodes]
for node, vector in zip(nodes, MatryoshkaEmbedding().get_text_embedding_batch(texts), strict=True):
    node.embedding = vector

with TemporaryDirectory() as folder, RagVectorStore.open(Path(folder) / "nodes.db") as store:
    store.add(nodes)
    for question in ("What does AX-4401 do?", "how tight are the bolts of the engine?"):
        [found] = HybridRetriever(store.client, k=1).retrieve(question)
        legs = [stage for stage in found.metadata["rag_plugins"]["trace"] if stage["kind"] == "leg"]
        print(f"{question}\n  {found.node.get_content()}")
        print("  found by", ", ".join(f"{leg['stage']} #{leg['rank']}" for leg in legs))
        print("  node", nodes.index(next(node for node in nodes if node.node_id == found.node_id)), end=", ")
        print("of", found.node.ref_doc_id, "and after it comes", found.node.next_node is not None)
