"""Legs: the ways to find passages, one configuration each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer

from rag_plugins.config.frozen import Frozen, LegName, Share, Weight
from rag_plugins.funnel import Funnel

__all__ = [
    "Bm25Leg",
    "DenseLeg",
    "FunnelSetting",
    "ImageLeg",
    "Language",
    "LegConfig",
    "PageTokensLeg",
    "RobustLeg",
    "SparseLeg",
    "VectorLeg",
]


def _funnel(value: Any) -> str | Funnel:
    try:
        return value if isinstance(value, str | Funnel) else Funnel(value)
    except TypeError:
        raise ValueError(f"got {value!r:.60}, expected stages as in [[96, 200], [384]], or a name") from None


FunnelSetting = Annotated[
    Funnel | Literal["auto", "halving", "off"],
    BeforeValidator(_funnel),
    PlainSerializer(lambda value: value.to_json() if isinstance(value, Funnel) else value),
]
"""Stages as [[width, keep], …, [width]], or by name: tuned on the collection, the classic schedule, none."""


Language = Literal[
    "auto",
    "none",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
]
"""Languages that are stemmed; none stems nothing."""


class _Leg(Frozen):
    """What every leg has, beside its kind and its name."""

    weight: Weight | None = None
    depth: Annotated[
        int | None, Field(ge=1, le=16384, description="hits it gives; default: fusion.depth")
    ] = None


class DenseLeg(_Leg):
    """Vectors of a bi-encoder. Prompts, pooling and length default to the model's preset."""

    kind: Literal["dense"] = "dense"
    name: LegName = "dense"
    model: str = "all-MiniLM-L6-v2"
    query_prompt: str | None = None
    document_prompt: str | None = None
    pooling: Literal["mean", "cls", "lasttoken"] | None = None
    max_length: Annotated[int | None, Field(gt=0, description="tokens")] = None
    device: str | None = None
    funnel: Annotated[FunnelSetting, Field(description="stages of the search, by prefixes of vectors")] = (
        "auto"
    )
    rotation: Annotated[
        Literal["auto", "off"],
        Field(description="auto: prefixes of a model that was not trained for them are of rotated vectors"),
    ] = "auto"
    matryoshka: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...] | None,
        Field(description="prefix widths the model was trained for; default: its preset's"),
    ] = None
    store_width: Annotated[
        int | None,
        Field(
            ge=1,
            description="store this prefix alone, a width the model was trained for, or has a rotation for",
        ),
    ] = None
    allow_remote_code: Annotated[
        bool, Field(description="run the code that a model brings along, at one commit")
    ] = False
    code_revision: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-f]{40}$", description="that commit; default: the one its preset names"),
    ] = None


class Bm25Leg(_Leg):
    """BM25 over the terms of the text views, with the recall rules and a domain dictionary."""

    kind: Literal["bm25"] = "bm25"
    name: LegName = "bm25"
    k1: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.2
    b: Share = 0.75
    analysis: Annotated[
        Literal["words", "wordpiece"], Field(description="what a term is: a word, or a token of `model`")
    ] = "words"
    model: Annotated[str, Field(description="whose tokens are terms, for wordpiece")] = "all-MiniLM-L6-v2"
    language: Annotated[
        Language, Field(description="whose words are stemmed; auto: that of most of the collection")
    ] = "auto"
    identifiers: Annotated[
        bool, Field(description="snake_case, camelCase, dotted.paths and --flags whole as well as in parts")
    ] = True
    cjk: Annotated[
        Literal["bigrams", "jieba"], Field(description="how Chinese, Japanese and Korean are cut into terms")
    ] = "bigrams"
    dictionary: Annotated[Path | None, Field(description="a domain dictionary, TOML or CSV")] = None
    typo_tolerance: Annotated[
        Literal["auto", "off"], Field(description="auto: words never seen stand for those a slip away")
    ] = "auto"
    max_expansions: Annotated[int, Field(ge=1, le=1024, description="terms a rule may stand for")] = 128


class SparseLeg(_Leg):
    """Learned sparse vectors: SPLADE, inference-free models, or the lexical weights of BGE-M3."""

    kind: Literal["sparse"] = "sparse"
    name: LegName = "sparse"
    model: str
    query_terms: Annotated[int | None, Field(ge=1, description="the strongest so many terms of a query")] = 64
    document_terms: Annotated[int | None, Field(ge=1, description="the same of a passage")] = 256
    max_length: Annotated[int | None, Field(gt=0, description="tokens")] = None
    device: str | None = None


class RobustLeg(_Leg):
    """Terms as badly recognised text may hold them: character n-grams, and words that look alike."""

    kind: Literal["robust"] = "robust"
    name: LegName = "robust"


class ImageLeg(_Leg):
    """One vector an image of page or region, by a model that puts texts and images into one space."""

    kind: Literal["image"] = "image"
    name: LegName = "image"
    model: str
    query_prompt: str | None = None
    device: str | None = None
    funnel: Annotated[FunnelSetting, Field(description="stages of the search, by prefixes of vectors")] = (
        "auto"
    )
    rotation: Literal["auto", "off"] = "auto"
    matryoshka: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...] | None,
        Field(description="prefix widths the model was trained for; default: its preset's"),
    ] = None
    allow_remote_code: bool = False
    code_revision: Annotated[str | None, Field(pattern=r"^[0-9a-f]{40}$")] = None


class PageTokensLeg(_Leg):
    """A vector a patch of the page (ColPali and its kin): a first pass by one vector a page, then MaxSim."""

    kind: Literal["page-tokens"] = "page-tokens"
    name: LegName = "page_tokens"
    model: str
    device: str | None = None
    pool: Annotated[int, Field(ge=1, description="patches that become one vector, about; 1: none do")] = 3
    keep: Annotated[
        Literal["int8", "binary"], Field(description="precision of the vectors that are kept")
    ] = "int8"
    first_pass: Annotated[
        Literal["muvera", "mean"], Field(description="the one vector that stands for a page's many")
    ] = "muvera"
    shortlist: Annotated[int, Field(ge=1, description="pages that MaxSim reads of a search")] = 200
    allow_remote_code: bool = False
    code_revision: Annotated[str | None, Field(pattern=r"^[0-9a-f]{40}$")] = None


VectorLeg: TypeAlias = DenseLeg | ImageLeg
"""One vector a view, whose prefixes a funnel may search."""

LegConfig = Annotated[
    DenseLeg | SparseLeg | Bm25Leg | RobustLeg | ImageLeg | PageTokensLeg, Field(discriminator="kind")
]
