"""What `rag-plugins doctor` found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag_plugins.models.compute.rule import RULE
from rag_plugins.show.diagnosis import Diagnosis, Machine, ModelUse, Part
from rag_plugins.show.tables import listing

__all__ = ["show_diagnosis"]

_NAMES = 22
"""Columns for what is looked at: the same in each table."""


def show_diagnosis(found: Diagnosis, *, loaded: bool) -> None:
    """Software, machine, the models with what they run on and why, the rule, the folder of converted ones."""
    console = Console()
    _print(console, "Software", ((part.name, _part(part)) for part in found.software))
    _print(console, "Machine", _machine(found.machine))
    how = "as loaded" if loaded else "by the rule below; --load tries the models themselves"
    _print(console, f"Models, {how}", (row for use in found.models for row in _use(use)))
    _print(console, "Converted models, kept for the next start", _cache(found))
    console.print(_rule())


def _print(console: Console, title: str, rows: Iterable[tuple[str, Text]]) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True, min_width=_NAMES)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), value)
    if not table.row_count:
        table.add_row("none", "this configuration searches by terms alone")
    console.print(title, style="bold")
    console.print(table)
    console.print()


def _part(part: Part) -> Text:
    if part.version is None:
        return Text.assemble(("not installed", "yellow"), f", {part.purpose}: {part.cure}")
    text = Text.assemble(f"{part.version:12}", (part.purpose, "dim"))
    return text.append(f"; add {part.cure}", "yellow") if part.cure else text


def _machine(machine: Machine) -> Iterator[tuple[str, Text]]:
    yield "processor", Text(machine.processor)
    yield "bf16", _feature(machine.bf16, "no: models run in fp32 on it")
    yield "int8", _feature(machine.int8, "no: int8 would gain little on it")
    cores = str(machine.cores) if machine.usable == machine.cores else f"{machine.usable} of {machine.cores}"
    yield "cores", Text(f"{cores} for this process")
    if machine.threads is not None:
        yield "threads", Text(f"{machine.threads} for a model (OMP_NUM_THREADS sets it)")
        yield "GPU", Text(machine.gpu or "none that torch can use")


def _feature(names: tuple[str, ...], absent: str) -> Text:
    return Text(f"yes ({', '.join(names)})" if names else absent)


def _use(use: ModelUse) -> Iterator[tuple[str, Text]]:
    yield use.part, Text(use.model)
    yield "  weights", Text(f"from {use.weights}") if use.weights else Text(use.cure, style="yellow")
    if choice := use.choice:
        where = f"{choice.backend} {choice.precision} on {choice.device}"
        yield "  runs on", Text(f"{where}, batches of {choice.budget} tokens: {choice.why}")
    elif use.error:
        yield "  runs on", Text(use.error, style="yellow")


def _rule() -> Table:
    table = listing("The rule, where [compute] sets nothing", "where", "by", "in", wrapped=2)
    for row in RULE:
        table.add_row(*row)
    return table


def _cache(found: Diagnosis) -> Iterator[tuple[str, Text]]:
    yield "folder", Text(str(found.cache))
    size = f", {found.converted_bytes / 2**20:.0f} MB" if found.converted else ""
    yield "models", Text(f"{found.converted or 'none'}{size}")
