"""Instructions that LLVM makes of no loop of ours, asked for by name. Importing this module needs numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config  # pyright: ignore[reportAttributeAccessIssue]
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from rag_plugins.resident.compiling import types

__all__ = ["VNNI", "group_sums", "prefetch"]

_as_asked: Any = config
VNNI: bool = (
    "+avx512vnni" in get_host_cpu_features().split(",")
    and not _as_asked.CPU_NAME
    and not _as_asked.CPU_FEATURES
)
"""Whether numba compiles for a processor that adds up sixteen times four products of bytes at once."""

_BYTES, _WORD, _SIZE = ir.IntType(8).as_pointer(), ir.IntType(32), ir.IntType(64)
_WORDS = ir.VectorType(_WORD, 16)
_PARTS = 4
"""A group has 64 rows: four registers of 16 sums, independent of each other."""

_ADD = "llvm.x86.avx512.vpdpbusd.512"
_LOW = ir.Constant(_WORDS, [0x0F0F0F0F] * 16)
_SHIFT = ir.Constant(_WORDS, [4] * 16)
_UNKNOWN = ir.Constant(_WORDS, ir.Undefined)
_ZEROS = ir.Constant(_WORDS, [0] * 16)


_FETCH = "llvm.prefetch.p0"


@intrinsic
def prefetch(_: Any, codes: Any, byte: Any) -> Any:
    """Begin to read the line with that byte of an int8 array: it is wanted soon."""
    return types.void(codes, byte), _generate_prefetch


def _generate_prefetch(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    start = builder.bitcast(context.make_array(signature.args[0])(context, builder, given[0]).data, _BYTES)
    kind = ir.FunctionType(ir.VoidType(), [_BYTES, _WORD, _WORD, _WORD])
    # To be read, to stay in every cache, data.
    builder.call(
        _named(builder, _FETCH, kind), [builder.gep(start, [given[1]]), _WORD(0), _WORD(3), _WORD(1)]
    )
    return context.get_dummy_value()


@intrinsic
def group_sums(_: Any, sketch: Any, start: Any, query: Any, pairs: Any, sums: Any) -> Any:
    """Inner products of the 64 rows of half bytes at byte `start` with an int8 query of `pairs` times 8."""
    return types.void(sketch, start, query, pairs, sums), _generate


def _generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    sketch, query, sums = (
        builder.bitcast(context.make_array(signature.args[i])(context, builder, given[i]).data, _BYTES)
        for i in (0, 2, 4)
    )
    before, loop, after = builder.block, *(builder.append_basic_block(name) for name in ("pairs", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    pair = builder.phi(_SIZE)
    totals = [builder.phi(_WORDS) for _ in range(_PARTS)]
    low, high = (_spread(builder, query, pair, half) for half in (0, 1))
    at = builder.add(given[1], builder.mul(pair, ir.Constant(_SIZE, 64 * _PARTS)))
    added = [
        _added(builder, total, _words(builder, sketch, at, part), low, high)
        for part, total in enumerate(totals)
    ]
    following = builder.add(pair, ir.Constant(_SIZE, 1))
    for phi, first, then in (
        (pair, ir.Constant(_SIZE, 0), following),
        *((t, _ZEROS, a) for t, a in zip(totals, added, strict=True)),
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed("<", following, given[3]), loop, after)
    builder.position_at_end(after)
    for part, total in enumerate(added):
        place = builder.gep(sums, [ir.Constant(_SIZE, 64 * part)])
        builder.store(total, builder.bitcast(place, _WORDS.as_pointer()), align=1)
    return context.get_dummy_value()


def _spread(builder: Any, query: Any, pair: Any, half: int) -> Any:
    """Four numbers of the query, sixteen times."""
    at = builder.add(builder.mul(pair, ir.Constant(_SIZE, 8)), ir.Constant(_SIZE, 4 * half))
    word = builder.load(builder.bitcast(builder.gep(query, [at]), _WORD.as_pointer()), align=1)
    first = builder.insert_element(_UNKNOWN, word, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, _UNKNOWN, _ZEROS)


def _words(builder: Any, sketch: Any, at: Any, part: int) -> Any:
    """Sixteen rows' four bytes."""
    place = builder.gep(sketch, [builder.add(at, ir.Constant(_SIZE, 64 * part))])
    return builder.load(builder.bitcast(place, _WORDS.as_pointer()), align=1)


def _added(builder: Any, total: Any, words: Any, low: Any, high: Any) -> Any:
    add = _named(builder, _ADD, ir.FunctionType(_WORDS, [_WORDS] * 3))
    total = builder.call(add, [total, builder.and_(words, _LOW), low])
    return builder.call(add, [total, builder.and_(builder.lshr(words, _SHIFT), _LOW), high])


def _named(builder: Any, name: str, kind: Any) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
