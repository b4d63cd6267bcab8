"""What the tests of LangChain's stores have in common."""

from langchain_core.embeddings import Embeddings

WORDS = ("filter", "lamp", "tank", "water", "coffee", "red")


class CountedWords(Embeddings):
    """Vectors that can be worked out by hand: how often each of six words is there, and a little of all."""

    def __init__(self, model="counted-words"):
        self.model = model
        self.fails_at = None
        self.texts = 0

    def embed_query(self, text):
        return [text.lower().count(word) + 0.01 for word in WORDS]

    def embed_documents(self, texts):
        self.texts += len(texts)
        if self.fails_at is not None and self.texts > self.fails_at:
            raise ConnectionError("the embedding service is gone")
        return [self.embed_query(text) for text in texts]
