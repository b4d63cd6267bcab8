"""What the LLM reads: hits as marked blocks of a prompt, and citations back to pages."""

from rag_plugins.context.formatting import PagePassages, format_context
from rag_plugins.context.layout import Block, Context
from rag_plugins.context.tokens import estimate_tokens

__all__ = ["Block", "Context", "PagePassages", "estimate_tokens", "format_context"]
