"""Cross-encoders from a folder: what is read of a pair, and what runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag_plugins.errors import ConfigError, RagPluginsError, require
from rag_plugins.models.backend import first_line, limit_length, quiet
from rag_plugins.models.compute.first_token import read_first_token_only
from rag_plugins.models.compute.rule import Choice
from rag_plugins.models.compute.run import accelerate
from rag_plugins.models.facts import RerankerPreset
from rag_plugins.models.own_code import Permission, loadable
from rag_plugins.models.rerank.causal import causal_modules
from rag_plugins.models.rerank.cutting import Limit, Pieces, cut, cut_by_tokenizer
from rag_plugins.models.rerank.pair_model import PairModel, Reader, Texts
from rag_plugins.models.rerank.pairs import Pair, SequenceLayout
from rag_plugins.models.rerank.templates import chat_pairs, reads_messages, template_pairs
from rag_plugins.models.tokenizer import SafeTokenizer
from rag_plugins.models.visual.images import without_videos

__all__ = ["Source", "load_pair_model"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a loaded cross-encoder depends on."""

    path: Path
    preset: RerankerPreset | None
    max_length: int | None
    instruction: str | None
    choice: Choice


def load_pair_model(source: Source) -> PairModel:
    """Safetensors only, nothing downloaded. Raises `ConfigError` for what gives no score for a pair."""
    with quiet(), _explained(source.path), _folder(source.path) as folder:
        model = _model(folder, source).eval().float()
        _check(model, source.path)
        limit_length(model, source.max_length)
        _make_padded(model)
        tokenizer = SafeTokenizer(model.tokenizer)
        reader = _reader(model, tokenizer, source)
        variant = "first token" if read_first_token_only(model.transformers_model) else ""
        choice = accelerate(model, _runnable(model, source.choice), variant)
        return PairModel(model, tokenizer, reader, choice, int(model.max_seq_length))


@contextmanager
def _folder(path: Path) -> Generator[Path]:
    """The folder as it can be loaded: by classes of transformers alone, and without a part for videos."""
    with loadable(path, Permission()) as native, without_videos(native.path) as folder:
        yield folder


def _model(folder: Path, source: Source) -> Any:
    library: Any = require("sentence_transformers", extra="models")
    preset, device = source.preset, source.choice.device
    activation = _activation(preset) if preset else None
    if preset and preset.template:
        modules = causal_modules(folder, preset)
        return library.CrossEncoder(modules=modules, device=device, activation_fn=activation)
    return library.CrossEncoder(
        str(folder),
        device=device,
        activation_fn=activation,
        local_files_only=True,
        model_kwargs={"use_safetensors": True},
    )


def _activation(preset: RerankerPreset) -> Any:
    torch: Any = require("torch", extra="models")
    return torch.nn.Sigmoid() if preset.scale == "probability" else torch.nn.Identity()


def _check(model: Any, path: Path) -> None:
    if model.num_labels != 1:
        raise ConfigError(f"{path} gives {model.num_labels} labels a pair: a reranker gives one score")
    transformer = model[0]
    made: Sequence[str] = transformer.config.architectures or ()
    classifies = any(name.endswith("ForSequenceClassification") for name in made)
    if transformer.transformer_task == "sequence-classification" and not classifies:
        raise ConfigError(
            f"{path} holds {', '.join(made) or 'a model'}, which has no head that scores pairs: choose a "
            "cross-encoder"
        )


def _make_padded(model: Any) -> None:
    """A token to pad with where there is none: not that which pairs end with, as some classifiers read it."""
    tokenizer, config = model.tokenizer, model[0].config.get_text_config()
    if tokenizer.pad_token_id is None:
        last = tokenizer("a", text_pair="b")["input_ids"][-1]
        others = (id for id in (tokenizer.eos_token_id, *range(len(tokenizer))) if id not in (last, None))
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(next(others))
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id


def _runnable(model: Any, choice: Choice) -> Choice:
    """Learned positions have to be told where texts are padded on the left, which only torch can be."""
    causal = model[0].transformer_task == "text-generation"
    if choice.backend == "torch" or not causal or hasattr(model[0].config, "rope_parameters"):
        return choice
    return replace(choice, backend="torch", precision="fp32", why="its positions are learned, not rotary")


def _reader(model: Any, tokenizer: SafeTokenizer, source: Source) -> Reader:
    """By the preset's template, by the model's own chat template, or as the tokenizer joins two texts."""
    preset, instruction = source.preset, source.instruction
    if preset and preset.template:
        told = instruction or preset.instruction

        def by_template(query: str, passages: Sequence[str]) -> list[Pair]:
            return template_pairs(tokenizer, preset.template, query, passages, told)

        return _each_query(by_template)
    if reads_messages(model):

        def by_chat(query: str, passages: Sequence[str]) -> list[Pair]:
            return chat_pairs(tokenizer, model, query, passages, instruction)

        return _each_query(by_chat)
    prompt: str = model.prompts.get(model.default_prompt_name) or ""
    if instruction and not prompt:
        name = preset.name if preset else source.path.name
        raise ConfigError(f"instruction: {name} is not told its task, so leave the instruction out")
    return _joined(tokenizer, instruction or prompt)


def _each_query(pairs_of: Callable[[str, Sequence[str]], list[Pair]]) -> Reader:
    """A reader of templates, which show one query with many passages."""

    def read(pairs: Sequence[Texts], limit: Limit) -> list[Pieces | None]:
        positions: dict[str, list[int]] = {}
        for n, (query, _) in enumerate(pairs):
            positions.setdefault(query, []).append(n)
        found: list[Pieces | None] = [None] * len(pairs)
        for query, places in positions.items():
            shown = pairs_of(query, [pairs[n][1] for n in places])
            for n, pair in zip(places, shown, strict=True):
                found[n] = cut(pair, limit)
        return found

    return read


def _joined(tokenizer: SafeTokenizer, prompt: str) -> Reader:
    """A reader of pairs as the tokenizer joins them, with the prompt before the query."""
    layout = SequenceLayout.of(tokenizer)

    def read(pairs: Sequence[Texts], limit: Limit) -> list[Pieces | None]:
        prompted = [(prompt + query, passage) for query, passage in pairs]
        if layout is None:
            return [cut_by_tokenizer(tokenizer, *pair, limit) for pair in prompted]
        return [cut(pair, limit) for pair in layout.pairs(tokenizer, prompted)]

    return read


@contextmanager
def _explained(path: Path) -> Generator[None]:
    """What transformers raises over a folder, as `ConfigError`."""
    try:
        yield
    except RagPluginsError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{path} does not load as a cross-encoder: {type(error).__name__}: {first_line(error)}"
        ) from error
