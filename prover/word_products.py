"""Products of 16-bit words with wrapping 32-bit sums, on AVX-512 VNNI, generated as LLVM.

One instruction (`vpdpwssd`) multiplies 32 words and adds the products, two by two, to 16 sums of 32 bits. Sums wrap and never
saturate, so whoever knows that a whole sum fits 32 bits may ignore what happens on the way.

    products_of_4      rows of words beside four others, all as they lie; added to a matrix of int64
    products_of_tile   8 rows as they lie beside 32 columns whose words lie in pairs: nothing is added across a vector
    pack_pairs         16 rows become 16 such columns
    put_columns        what 8 rows gave beside 16 columns, added to 16 rows of a matrix of int64

The functions here return Numba intrinsics taking addresses; they need a CPU with `AVAILABLE` true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORDS = 32
"""Words of one vector."""
LANES = WORDS // 2
"""Sums of one vector."""
TILE_ROWS, TILE_COLUMNS = 8, 2 * LANES
"""What `products_of_tile` multiplies: 16 vectors of sums hide how long an instruction takes, and leave room for what it reads."""
SUM_LIMIT = 2.0**31 * (1 - 2.0**-20)
"""What products of norms stay below, so that no sum of products leaves 32 bits: rounding in float64 is far less than the part that is taken off."""

_BYTES_AHEAD = 1 << 13
"""How far in front of itself a product asks memory for weights; an address that is nobody's may be asked for."""

_I1, _I16, _I32, _I64 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_WORDS, _SUMS = ir.VectorType(_I16, WORDS), ir.VectorType(_I32, LANES)
_OUTPUTS = 4
_FOUR, _EIGHT = ir.VectorType(_I64, _OUTPUTS), ir.VectorType(_I64, 8)


def _host_has_word_products() -> bool:
    features = binding.get_host_cpu_features()
    return all(features.get(name) for name in ("avx512f", "avx512bw", "avx512vnni"))


AVAILABLE = _host_has_word_products()
"""Whether this machine can run the kernels."""


def make_products_of_4(rows: int) -> Callable[..., Any]:
    """Intrinsic ``(x, x_step, w, w_step, words, places, shifts, result, result_step, skipped, adds)`` on addresses and steps in bytes.

    result[places[r]][o] = (sum over i < words of x[r][i] * w[o][i]) << shifts[r] for r < rows and skipped <= o < 4, added to what
    stands there if `adds` is not 0; the sum modulo 2^32 and signed, places, shifts and result int64. Rows of x are zero from `words`
    to the next multiple of 32; of w nothing behind its `words` is read.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        x, x_step, w, w_step, words, places, shifts, result, result_step, skipped, adds = arguments
        totals = _sums_of_products(builder, rows, (x, x_step), (w, w_step), words)
        lanes = ir.Constant(_FOUR, list(range(_OUTPUTS)))
        written = builder.icmp_signed(">=", lanes, _in_all_lanes(builder, skipped))
        adding = builder.icmp_signed("!=", _in_all_lanes(builder, adds), ir.Constant(_FOUR, [0] * _OUTPUTS))
        added = builder.and_(written, adding)
        for row in range(rows):
            place, shift = (
                builder.load(builder.inttoptr(builder.add(array, _I64(8 * row)), _I64.as_pointer()))
                for array in (places, shifts)
            )
            sums = builder.sext(_four_sums(builder, totals[row * _OUTPUTS : (row + 1) * _OUTPUTS]), _FOUR)
            target = builder.inttoptr(
                builder.add(result, builder.mul(place, result_step)), _FOUR.as_pointer()
            )
            before = _load_some(builder, target, _FOUR, added, align=8)
            value = builder.add(before, builder.shl(sums, _in_all_lanes(builder, shift)))
            _store_some(builder, value, target, written, align=8)
        return context.get_dummy_value()

    @intrinsic
    def products_of_4(
        typing_context: Any,
        x: Any,
        x_step: Any,
        w: Any,
        w_step: Any,
        words: Any,
        places: Any,
        shifts: Any,
        result: Any,
        result_step: Any,
        skipped: Any,
        adds: Any,
    ) -> Any:
        return types.void(*[types.int64] * 11), generate

    return products_of_4


@intrinsic
def products_of_tile(
    typing_context: Any, x: Any, x_step: Any, y: Any, y_step: Any, pairs: Any, result: Any, result_step: Any
) -> Any:
    """result[r][c] = sum over p < pairs of x[r][2p] y[c][2p] + x[r][2p+1] y[c][2p+1] modulo 2^32, int32, for r < 8 and c < 32.

    Addresses, and steps in bytes: from row to row of x and of the result, and of y from the first 16 columns to the others; of 16
    columns, pair p lies behind pair p - 1, (16, 2) int16.
    """
    return types.void(*[types.int64] * 7), _generate_tile


def _generate_tile(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    x, x_step, y, y_step, pairs, result, result_step = arguments
    zero = ir.Constant(_SUMS, [0] * LANES)
    vectors = TILE_COLUMNS // LANES
    totals = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE_ROWS * vectors)]
    x_rows = [builder.add(x, builder.mul(x_step, _I64(row))) for row in range(TILE_ROWS)]
    y_rows = [builder.add(y, builder.mul(y_step, _I64(vector))) for vector in range(vectors)]
    with cgutils.for_range(builder, pairs) as loop:
        offset = builder.shl(loop.index, _I64(6))
        right = [_load(builder, builder.add(row, offset)) for row in y_rows]
        for row in range(TILE_ROWS):
            address = builder.add(x_rows[row], builder.shl(loop.index, _I64(2)))
            left = _in_all_sums(builder, builder.load(builder.inttoptr(address, _I32.as_pointer()), align=2))
            for vector in range(vectors):
                total = totals[row * vectors + vector]
                builder.store(_dot(builder, builder.load(total), left, right[vector]), total)
    for row in range(TILE_ROWS):
        for vector in range(vectors):
            offset = builder.add(builder.mul(result_step, _I64(row)), _I64(4 * LANES * vector))
            pointer = builder.inttoptr(builder.add(result, offset), _SUMS.as_pointer())
            builder.store(builder.load(totals[row * vectors + vector]), pointer, align=4)
    return context.get_dummy_value()


@intrinsic
def pack_pairs(typing_context: Any, rows: Any, step: Any, columns: Any) -> Any:
    """columns[p][r] = pair p of row r, for 16 pairs of 16 rows of words; addresses, and the step between rows in bytes."""
    return types.void(types.int64, types.int64, types.int64), _generate_pack


def _generate_pack(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    rows, step, columns = arguments
    for pair, vector in enumerate(_transposed(builder, _load_sums(builder, rows, step, LANES))):
        address = builder.add(columns, _I64(4 * LANES * pair))
        builder.store(vector, builder.inttoptr(address, _SUMS.as_pointer()), align=4)
    return context.get_dummy_value()


@intrinsic
def put_columns(
    typing_context: Any,
    sums: Any,
    sums_step: Any,
    places: Any,
    shifts: Any,
    count: Any,
    result: Any,
    result_step: Any,
    skipped: Any,
    adds: Any,
) -> Any:
    """result[places[c]][o] = sums[o][c] << shifts[c] for c < count <= 16 and skipped <= o < 8, added to what stands there if `adds` is not 0.

    Addresses and steps in bytes. sums int32, places, shifts and result int64; of the first three all 16 columns are read.
    """
    return types.void(*[types.int64] * 9), _generate_put


def _generate_put(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    sums, sums_step, places, shifts, count, result, result_step, skipped, adds = arguments
    pairs = _transposed(builder, _load_sums(builder, sums, sums_step, TILE_ROWS))  # two columns each
    lanes = ir.Constant(_EIGHT, list(range(TILE_ROWS)))
    written = builder.icmp_signed(">=", lanes, _in_all_lanes(builder, skipped, _EIGHT))
    adding = builder.icmp_signed("!=", adds, _I64(0))
    nothing = ir.Constant(written.type, [0] * TILE_ROWS)
    for column in range(LANES):
        place, shift = (
            builder.load(builder.inttoptr(builder.add(array, _I64(8 * column)), _I64.as_pointer()))
            for array in (places, shifts)
        )
        own = builder.select(builder.icmp_signed("<", _I64(column), count), written, nothing)
        half = range(TILE_ROWS * (column % 2), TILE_ROWS * (column % 2 + 1))
        found = builder.shuffle_vector(
            pairs[column // 2], pairs[column // 2], ir.Constant(ir.VectorType(_I32, TILE_ROWS), list(half))
        )
        target = builder.inttoptr(builder.add(result, builder.mul(place, result_step)), _EIGHT.as_pointer())
        before = _load_some(builder, target, _EIGHT, builder.select(adding, own, nothing), align=8)
        value = builder.shl(builder.sext(found, _EIGHT), _in_all_lanes(builder, shift, _EIGHT))
        _store_some(builder, builder.add(before, value), target, own, align=8)
    return context.get_dummy_value()


def _load_sums(builder: ir.IRBuilder, address: Any, step: Any, rows: int) -> list[Any]:
    places = [builder.add(address, builder.mul(step, _I64(row))) for row in range(rows)]
    return [builder.load(builder.inttoptr(place, _SUMS.as_pointer()), align=4) for place in places]


def _transposed(builder: ir.IRBuilder, rows: list[Any]) -> list[Any]:
    """The columns of so many rows of 16 one behind the other, 16 entries to a vector.

    Every vector takes turns with the one half of them further, once for each bit of a row's number, which so comes to stand behind the
    column's.
    """
    half = len(rows) // 2
    masks = [
        ir.Constant(_SUMS, [lane + side for lane in range(start, start + LANES // 2) for side in (0, LANES)])
        for start in (0, LANES // 2)
    ]
    for _ in range(len(rows).bit_length() - 1):
        rows = [builder.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
    return rows


def _in_all_sums(builder: ir.IRBuilder, pair: Any) -> Any:
    """A pair of words beside every sum."""
    first = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), pair, _I32(0))
    return builder.bitcast(builder.shuffle_vector(first, first, ir.Constant(_SUMS, [0] * LANES)), _WORDS)


def _sums_of_products(
    builder: ir.IRBuilder, rows: int, x: tuple[Any, Any], w: tuple[Any, Any], words: Any
) -> list[Any]:
    """For every row of x and each of four rows of w (address and step), 16 sums that add up to that of their products."""
    zero = ir.Constant(_SUMS, [0] * LANES)
    totals = [cgutils.alloca_once_value(builder, zero) for _ in range(rows * _OUTPUTS)]
    x_rows = [builder.add(x[0], builder.mul(x[1], _I64(row))) for row in range(rows)]
    w_rows = [builder.add(w[0], builder.mul(w[1], _I64(output))) for output in range(_OUTPUTS)]

    def add_products(offset: Any, load_w: Callable[[Any], Any]) -> None:
        left = [_load(builder, builder.add(row, offset)) for row in x_rows]
        right = [load_w(builder.add(row, offset)) for row in w_rows]
        for row in range(rows):
            for output in range(_OUTPUTS):
                total = totals[row * _OUTPUTS + output]
                builder.store(_dot(builder, builder.load(total), left[row], right[output]), total)

    whole = builder.lshr(words, _I64(5))
    with cgutils.for_range(builder, whole) as loop:
        add_products(builder.shl(loop.index, _I64(6)), lambda address: _load_ahead(builder, address))
    rest = builder.and_(words, _I64(WORDS - 1))
    with builder.if_then(builder.icmp_unsigned("!=", rest, _I64(0))):
        bits = builder.sub(builder.shl(_I64(1), rest), _I64(1))
        mask = builder.bitcast(builder.trunc(bits, _I32), ir.VectorType(_I1, WORDS))

        def load_rest(address: Any) -> Any:
            pointer = builder.inttoptr(address, _WORDS.as_pointer())
            return _load_some(builder, pointer, _WORDS, mask, align=2)

        add_products(builder.shl(whole, _I64(6)), load_rest)
    return [builder.load(total) for total in totals]


def _load(builder: ir.IRBuilder, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _WORDS.as_pointer()), align=2)


def _load_ahead(builder: ir.IRBuilder, address: Any) -> Any:
    """`_load`, and what lies further on is on its way to the cache: weights that a single row meets are read once, from memory."""
    name = "llvm.prefetch.p0"
    byte = ir.IntType(8).as_pointer()
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32]), name
    )
    further = builder.inttoptr(builder.add(address, _I64(_BYTES_AHEAD)), byte)
    builder.call(function, [further, _I32(0), _I32(3), _I32(1)])  # to read, into all caches, data
    return _load(builder, address)


def _load_some(builder: ir.IRBuilder, pointer: Any, kind: ir.VectorType, mask: Any, *, align: int) -> Any:
    """A vector where the mask is set, zero elsewhere; memory is touched only where it is set."""
    name = f"llvm.masked.load.v{kind.count}i{kind.element.width}.p0"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(kind, [kind.as_pointer(), _I32, mask.type, kind]), name
    )
    return builder.call(function, [pointer, _I32(align), mask, ir.Constant(kind, [0] * kind.count)])


def _store_some(builder: ir.IRBuilder, value: Any, pointer: Any, mask: Any, *, align: int) -> None:
    """Only where the mask is set."""
    kind = value.type
    name = f"llvm.masked.store.v{kind.count}i{kind.element.width}.p0"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(ir.VoidType(), [kind, kind.as_pointer(), _I32, mask.type]), name
    )
    builder.call(function, [value, pointer, _I32(align), mask])


def _in_all_lanes(builder: ir.IRBuilder, value: Any, kind: ir.VectorType = _FOUR) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, first, zeros)


def _dot(builder: ir.IRBuilder, total: Any, a: Any, b: Any) -> Any:
    """``total[i] + a[2i] b[2i] + a[2i+1] b[2i+1]`` modulo 2^32."""
    name = "llvm.x86.avx512.vpdpwssd.512"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(_SUMS, [_SUMS, _WORDS, _WORDS]), name
    )
    return builder.call(function, [total, a, b])


def _four_sums(builder: ir.IRBuilder, vectors: list[Any]) -> Any:
    """The sums of all 16 lanes of four vectors, as one vector of four."""

    def combined(a: Any, b: Any, group: int) -> Any:
        """Groups of lanes, by turns of a and b, each added to its neighbour within every 128 bits."""
        first = [
            lane + (16 * side) + i
            for lane in range(0, 16, 4)
            for start in range(0, 2, group)
            for side in (0, 1)
            for i in range(start, start + group)
        ]
        masks = [ir.Constant(ir.VectorType(_I32, 16), [i + move for i in first]) for move in (0, 2)]
        low, high = (builder.shuffle_vector(a, b, mask) for mask in masks)
        return builder.add(low, high)

    pairs = [combined(vectors[0], vectors[1], 1), combined(vectors[2], vectors[3], 1)]
    # every 128 bits: a0+a2, b0+b2, a1+a3, b1+b3
    total = combined(pairs[0], pairs[1], 2)  # every 128 bits: a, b, c, d
    for width in (8, 4):
        halves = [
            builder.shuffle_vector(
                total, total, ir.Constant(ir.VectorType(_I32, width), list(range(start, start + width)))
            )
            for start in (0, width)
        ]
        total = builder.add(*halves)
    return total
