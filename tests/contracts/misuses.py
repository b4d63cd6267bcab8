"""Code that mixes the two sides of a passage; the type checker reports each line that ends in `# mixed`."""

from langchain_core.documents import Document
from llama_index.core.schema import TextNode

from rag_plugins import EmbedImage, EmbedText, Hit, Passage, RagIndex
from rag_plugins.context import format_context
from rag_plugins.models.protocols import Candidate, Encoder, ImageEncoder, Reranker
from rag_plugins.types import embed_text


def prompt(text: str) -> str:
    return f"Answer from this: {text}"


def embeds(encoder: Encoder, images: ImageEncoder, hit: Hit) -> None:
    RagIndex.open("pages.db", encoders={"dense": encoder, "image": images})
    encoder.encode_documents([*hit.passage.views])
    encoder.encode_documents([hit.passage.llm_text])  # mixed
    encoder.encode_documents(hit.passage.llm_text)  # mixed
    encoder.encode_queries(["how tight?"])
    encoder.encode_queries([EmbedText("how tight?")])  # mixed
    images.encode_images([b"\x89PNG"])
    images.encode_images([EmbedImage("a" * 64)])  # mixed
    images.encode_images([hit.passage.llm_text])  # mixed
    embed_text(hit.passage.views)
    embed_text(hit.passage.llm_text)  # mixed


def reranks(reranker: Reranker, hit: Hit) -> None:
    reranker.score("how tight?", [Candidate(hit.passage.views)])
    reranker.score("how tight?", [Candidate((hit.passage.llm_text,))])  # mixed
    reranker.score("how tight?", [hit.passage.llm_text])  # mixed
    reranker.score(EmbedText("how tight?"), [])  # mixed


def prompts(hits: list[Hit]) -> None:
    first, view = hits[0].passage, hits[0].passage.views[0]
    prompt(first.llm_text)
    prompt(view)  # mixed
    prompt(EmbedText("view"))  # mixed
    _ = "Context: " + first.llm_text
    _ = "Context: " + EmbedText("view")  # mixed
    "\n".join(hit.passage.llm_text for hit in hits)
    "\n".join(hit.passage.views for hit in hits)  # mixed
    "\n".join(first.views)  # mixed
    format_context(hits)
    format_context(first.views)  # mixed
    format_context([first.llm_text])  # mixed
    Document(page_content=first.llm_text)
    Document(page_content=EmbedText("view"))  # mixed
    view.text.upper()  # mixed


def makes(index: RagIndex) -> None:
    index.passage("for the LLM", view="for retrieval")
    index.passage(EmbedText("for retrieval"))  # mixed
    index.passage("for the LLM", view=EmbedText("for retrieval"))  # mixed
    index.search("how tight?")
    index.search(EmbedText("how tight?"))  # mixed
    Passage("a" * 64, "d", (EmbedText("for retrieval"),), "for the LLM")
    Passage("a" * 64, "d", ("for retrieval",), "for the LLM")  # mixed
    Passage("a" * 64, "d", (EmbedText("for retrieval"),), EmbedText("for the LLM"))  # mixed
    Passage("a" * 64, "d", "for retrieval", "for the LLM")  # mixed
    EmbedImage(b"\x89PNG")  # mixed
    TextNode(text="for the LLM")
