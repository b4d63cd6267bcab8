"""What a program that records OpenTelemetry's spans has: a provider, and where its spans come to."""

from collections import Counter
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@contextmanager
def recorded():
    """The spans that end within, in that order; the process is left without a provider."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before, trace._TRACER_PROVIDER = trace._TRACER_PROVIDER, provider
    try:
        yield Spans(exporter)
    finally:
        trace._TRACER_PROVIDER = before
        provider.shutdown()


class Spans:
    def __init__(self, exporter):
        self._exporter = exporter

    def __iter__(self):
        return iter(self._exporter.get_finished_spans())

    def one(self, name):
        (span,) = [span for span in self if span.name == name]
        return span

    def names(self):
        return Counter(span.name for span in self)

    def tree(self):
        """(name of the parent, name) of every span, None for a root."""
        names = {span.context.span_id: span.name for span in self}
        return Counter((span.parent and names[span.parent.span_id], span.name) for span in self)

    def clear(self):
        self._exporter.clear()
