"""What the report says about a run: how ingestion went, and what runs where."""

from __future__ import annotations

from rag_plugins.config import (
    Bm25Leg,
    Config,
    CrossEncoderConfig,
    DenseLeg,
    FusionConfig,
    GivenRerankerConfig,
    ImageLeg,
    LateInteractionConfig,
    LegConfig,
    PageTokensLeg,
    RerankerConfig,
    RobustLeg,
    SparseLeg,
)
from rag_plugins.demo.report import Fact
from rag_plugins.errors import require
from rag_plugins.index import RagIndex
from rag_plugins.ingest.indexer import IngestSummary
from rag_plugins.models.dense import DenseEncoder
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.models.visual.page_tokens import PageTokensEncoder
from rag_plugins.models.visual.single import ImageModelEncoder

__all__ = ["ingestion_facts", "part_facts"]


def ingestion_facts(index: RagIndex, summary: IngestSummary) -> tuple[Fact, ...]:
    """The figures of one run."""
    own = summary.text_layer + summary.plain
    known = f"{summary.unchanged} more known already" if summary.unchanged else "scans, a PDF and a note"
    return (
        Fact("Documents", str(summary.documents), known),
        Fact("Pages", str(summary.pages), f"{summary.recognised} by OCR, {own} with a text of their own"),
        Fact("Passages", str(index.count()), "searchable"),
        Fact(
            "Pages per second",
            f"{summary.pages_per_second:.2g}",
            f"{summary.seconds:.1f} s, loading the model included",
        ),
        Fact("Unreadable", str(len(summary.bad)), "files or pages"),
    )


def part_facts(config: Config) -> tuple[Fact, ...]:
    """Each part of the pipeline, what it is, and where it runs and has its weights from."""
    return (
        Fact(
            "Text recognition",
            f"Tesseract {_tesseract()}, {' + '.join(config.ocr.languages)}",
            "here, one process a core",
        ),
        *(_leg(leg) for leg in config.legs),
        Fact("Fusion", _fusion(config.fusion), "here"),
        *map(_reranker, config.rerank),
        Fact("Store", "Milvus Lite", "a file on this machine; the same code takes a server's address"),
        Fact("Language model", "none", "the last step is yours: it is handed the text shown here"),
    )


def _tesseract() -> str:
    return str(require("pytesseract", extra="ocr").get_tesseract_version())


def _leg(leg: LegConfig) -> Fact:
    match leg:
        case DenseLeg():
            encoder = DenseEncoder(leg)
            return Fact(
                f"Leg {leg.name}", f"{leg.model}, {encoder.dim} dimensions", f"weights from {encoder.source}"
            )
        case SparseLeg():
            source = SparseEncoder(leg).source
            return Fact(f"Leg {leg.name}", f"{leg.model}, learned sparse", f"weights from {source}")
        case Bm25Leg():
            return Fact(f"Leg {leg.name}", f"BM25, k1 {leg.k1}, b {leg.b}", "computed here, no weights")
        case RobustLeg():
            return Fact(f"Leg {leg.name}", "terms as misread text may hold them", "computed here, no weights")
        case ImageLeg():
            source = ImageModelEncoder(leg).source
            return Fact(f"Leg {leg.name}", f"{leg.model}, a vector an image", f"weights from {source}")
        case PageTokensLeg():
            source = PageTokensEncoder(leg).source
            return Fact(f"Leg {leg.name}", f"{leg.model}, late interaction", f"weights from {source}")


def _fusion(fusion: FusionConfig) -> str:
    names = {
        "minmax": "min-max scores",
        "zscore": "z-scores",
        "dbsf": "distribution-based scores",
        "rrf": f"reciprocal ranks, k {fusion.rrf_k}",
    }
    if fusion.method == "adaptive":
        return "evidence of the legs added up, each weighed by what the collection tells of it"
    return f"weighted sum of {names[fusion.method]}"


def _reranker(settings: RerankerConfig) -> Fact:
    match settings:
        case CrossEncoderConfig():
            return Fact("Reranker", f"{settings.model}, best {settings.depth}", "cross-encoder, here")
        case GivenRerankerConfig():
            return Fact("Reranker", f"{settings.name}, best {settings.depth}", "the caller's own")
        case LateInteractionConfig():
            return Fact(
                "Reranker",
                f"late interaction, best {settings.depth}",
                "token vectors of the dense leg's model",
            )
