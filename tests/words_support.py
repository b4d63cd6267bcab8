"""LlamaIndex' embedding that can be worked out by hand, and the nodes that its tests are about."""

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

WORDS = ("filter", "lamp", "tank", "water", "red", "month", "dense", "plan")


class WordEmbedding(BaseEmbedding):
    """How often each of `WORDS` is in a text, and a little of everything; `calls` has what was embedded."""

    model_name: str = "words"
    words: tuple[str, ...] = WORDS
    _calls: list[str] = PrivateAttr(default_factory=list)  # Private: caches go by the public fields.

    @property
    def calls(self):
        return self._calls

    def _vector(self, text):
        self.calls.append(text)
        return [text.lower().count(word) + 0.05 for word in self.words]

    def _get_text_embedding(self, text):
        return self._vector(text)

    def _get_query_embedding(self, query):
        return self._vector(query)

    async def _aget_query_embedding(self, query):
        return self._vector(query)
