"""Eight-lane Montgomery arithmetic on AVX-512 IFMA, generated as LLVM for any modulus below 2^254.

A vector element is eight field elements at once: five 52-bit limbs, each a row of eight uint64 lanes, in five
consecutive rows of a (rows, 8) uint64 array. Values are in Montgomery form with radix 2^260 and only loosely
reduced: with ``p < 2^254`` there is room for 64p, and a product of values below ``A p`` and ``B p`` is below
``(A B / 64 + 1) p``; callers note the bounds. Packed elements, four rows of 64-bit limbs in the radix 2^256
of montgomery.py, come in and go out through ``unpack`` and ``pack``. Elements that stay among these kernels keep
their radix: packed *loosely* they are any representative below 2^256, and ``cut`` and ``join`` only move bits.

The functions here return Numba intrinsics taking row numbers; they need a CPU with ``AVAILABLE`` true.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from .montgomery import Intrinsic

LANES = 8
VECTOR_ROWS = 5
PACKED_ROWS = 4
RADIX_BITS = 260
LOOSE_BOUND = 4
"""What is packed loosely is below 4p, which is below 2^256."""

_LIMB_BITS = 52
_MASK = (1 << _LIMB_BITS) - 1
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_I64, LANES)


def _host_has_ifma() -> bool:
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512f") and features.get("avx512ifma"))


AVAILABLE = _host_has_ifma()
"""Whether this machine can run the kernels."""


def vector_limbs(value: int) -> list[int]:
    """Five 52-bit limbs of an integer below 2^260."""
    return [(value >> (_LIMB_BITS * limb)) & _MASK for limb in range(VECTOR_ROWS)]


def _constant(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _multiply_accumulate(builder: ir.IRBuilder, high: bool, total: Any, a: Any, b: Any) -> Any:
    """``total + (low or high 52 bits of a * b)`` per lane; operands are read modulo 2^52."""
    name = f"llvm.x86.avx512.vpmadd52{'h' if high else 'l'}.uq.512"
    function_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
    return builder.call(function, [total, a, b])


def _row(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, row: Any, offset: int) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    position = builder.mul(builder.add(row, _I64(offset)), _I64(LANES))
    return builder.bitcast(builder.gep(data, [position]), _VECTOR.as_pointer())


def _emit(body: Callable[..., list[Any]], input_rows: tuple[int, ...]) -> Callable[..., Any]:
    """Code generator: load each operand's rows, run the body, store what it returns from row ``out`` on."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        array_type, array = signature.args[0], arguments[0]
        operands = []
        for register, count in zip(arguments[2:], input_rows, strict=True):
            pointers = [_row(context, builder, array_type, array, register, k) for k in range(count)]
            operands.append([builder.load(pointer, align=8) for pointer in pointers])
        for offset, value in enumerate(body(builder, *operands)):
            builder.store(value, _row(context, builder, array_type, array, arguments[1], offset), align=8)
        return context.get_dummy_value()

    return generate


def _check_rows(array: Any) -> None:
    if not (isinstance(array, types.Array) and array.dtype == types.uint64 and array.layout == "C"):
        raise TypeError(f"vector kernels address C-contiguous uint64 arrays of shape (rows, 8), not {array}")


def _binary(body: Callable[..., list[Any]]) -> Intrinsic:
    generate = _emit(body, (VECTOR_ROWS, VECTOR_ROWS))

    @intrinsic
    def operation(typing_context: Any, array: Any, out: Any, a: Any, b: Any) -> Any:
        _check_rows(array)
        return types.void(array, types.int64, types.int64, types.int64), generate

    return operation


def _ternary(body: Callable[..., list[Any]]) -> Intrinsic:
    generate = _emit(body, (VECTOR_ROWS, VECTOR_ROWS, VECTOR_ROWS))

    @intrinsic
    def operation(typing_context: Any, array: Any, out: Any, a: Any, b: Any, c: Any) -> Any:
        _check_rows(array)
        return types.void(array, types.int64, types.int64, types.int64, types.int64), generate

    return operation


def _unary(body: Callable[..., list[Any]], rows: int = VECTOR_ROWS) -> Intrinsic:
    generate = _emit(body, (rows,))

    @intrinsic
    def operation(typing_context: Any, array: Any, out: Any, a: Any) -> Any:
        _check_rows(array)
        return types.void(array, types.int64, types.int64), generate

    return operation


@intrinsic
def accumulate_integers(
    typing_context: Any, array: Any, out: Any, address: Any, offset: Any, factors: Any, factor: Any
) -> Any:
    """Intrinsic ``(array, out, address, offset, factors, factor)``: six rows += (integer + offset) * factor.

    The eight int64 integers lie at a memory address; offset makes them non-negative and below 2^52. The factor is
    five rows of 52-bit limbs of the array ``factors``. Sums are not carried: callers bound their number.
    """
    _check_rows(array)
    _check_rows(factors)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        rows = [_row(context, builder, signature.args[0], arguments[0], arguments[1], k) for k in range(6)]
        source = builder.inttoptr(arguments[2], _VECTOR.as_pointer())
        lifted = ir.Constant(_VECTOR, ir.Undefined)
        for lane in range(LANES):
            lifted = builder.insert_element(lifted, arguments[3], ir.IntType(32)(lane))
        value = builder.add(builder.load(source, align=8), lifted)
        total = [builder.load(row, align=8) for row in rows]
        for k in range(VECTOR_ROWS):
            pointer = _row(context, builder, signature.args[4], arguments[4], arguments[5], k)
            limb = builder.load(pointer, align=8)
            total[k] = _multiply_accumulate(builder, False, total[k], value, limb)
            total[k + 1] = _multiply_accumulate(builder, True, total[k + 1], value, limb)
        for row, limb in zip(rows, total, strict=True):
            builder.store(limb, row, align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, types.int64, factors, types.int64), generate


def _carry(builder: ir.IRBuilder, limbs: list[Any]) -> list[Any]:
    """Signed carries resolved: limbs in [0, 2^52) but the last, which keeps what is left."""
    carried = list(limbs)
    for limb in range(VECTOR_ROWS - 1):
        overflow = builder.ashr(carried[limb], _constant(_LIMB_BITS))
        carried[limb] = builder.and_(carried[limb], _constant(_MASK))
        carried[limb + 1] = builder.add(carried[limb + 1], overflow)
    return carried


def _product(builder: ir.IRBuilder, a: list[Any], b: list[Any], modulus: int) -> list[Any]:
    """``a b / 2^260 mod p``. Sums of 20 halves stay below 2^57, so carries wait until the end."""
    modulus_limbs = [_constant(limb) for limb in vector_limbs(modulus)]
    negative_inverse = _constant(-pow(modulus, -1, 1 << _LIMB_BITS) & _MASK)
    zero = _constant(0)
    total = [zero] * VECTOR_ROWS
    for i in range(VECTOR_ROWS):
        for j in range(VECTOR_ROWS):
            total[j] = _multiply_accumulate(builder, False, total[j], a[j], b[i])
        quotient = _multiply_accumulate(builder, False, zero, total[0], negative_inverse)
        for j in range(VECTOR_ROWS):
            total[j] = _multiply_accumulate(builder, False, total[j], quotient, modulus_limbs[j])
        carry = builder.lshr(total[0], _constant(_LIMB_BITS))
        total = [builder.add(total[1], carry), *total[2:], zero]
        for j in range(VECTOR_ROWS):
            total[j] = _multiply_accumulate(builder, True, total[j], a[j], b[i])
            total[j] = _multiply_accumulate(builder, True, total[j], quotient, modulus_limbs[j])
    return _carry(builder, total)


def make_vector_multiply(modulus: int) -> Intrinsic:
    """Intrinsic ``(array, out, a, b)``: ``out = a b / 2^260``, below ``(A B / 64 + 1) p``."""
    return _binary(lambda builder, a, b: _product(builder, a, b, modulus))


def make_vector_subtract(modulus: int, multiple: int) -> Intrinsic:
    """Intrinsic ``(array, out, a, b)``: ``out = a - b + multiple * p``; needs ``b < multiple * p``."""
    offsets = [_constant(limb) for limb in vector_limbs(multiple * modulus)]

    def body(builder: ir.IRBuilder, a: list[Any], b: list[Any]) -> list[Any]:
        lifted = [builder.add(x, offset) for x, offset in zip(a, offsets, strict=True)]
        return _carry(builder, [builder.sub(x, y) for x, y in zip(lifted, b, strict=True)])

    return _binary(body)


def _select_nonnegative(builder: ir.IRBuilder, lowered: list[Any], otherwise: list[Any]) -> list[Any]:
    """Per lane ``lowered`` if its (signed, carried) value is not negative, else ``otherwise``."""
    negative = builder.icmp_signed("<", lowered[-1], _constant(0))
    return [builder.select(negative, x, y) for x, y in zip(otherwise, lowered, strict=True)]


def make_vector_add_reduced(modulus: int) -> Intrinsic:
    """Intrinsic ``(array, out, a, b)``: ``out = a + b`` modulo p, below 2p if both operands are."""
    double = [_constant(limb) for limb in vector_limbs(2 * modulus)]

    def body(builder: ir.IRBuilder, a: list[Any], b: list[Any]) -> list[Any]:
        total = [builder.add(x, y) for x, y in zip(a, b, strict=True)]
        lowered = _carry(builder, [builder.sub(x, y) for x, y in zip(total, double, strict=True)])
        return _select_nonnegative(builder, lowered, _carry(builder, total))

    return _binary(body)


def make_vector_subtract_reduced(modulus: int) -> Intrinsic:
    """Intrinsic ``(array, out, a, b)``: ``out = a - b`` modulo p, below 2p if both operands are."""
    double = [_constant(limb) for limb in vector_limbs(2 * modulus)]

    def body(builder: ir.IRBuilder, a: list[Any], b: list[Any]) -> list[Any]:
        difference = [builder.sub(x, y) for x, y in zip(a, b, strict=True)]
        raised = _carry(builder, [builder.add(x, y) for x, y in zip(difference, double, strict=True)])
        return _select_nonnegative(builder, _carry(builder, difference), raised)

    return _binary(body)


def make_vector_lower(modulus: int, subtrahends: int) -> Intrinsic:
    """Intrinsic ``(array, out, a, b, ..)``: ``a - b - ..`` modulo p, below ``LOOSE_BOUND * p``.

    Needs ``b, .. <= 16p`` and ``a + 16p * subtrahends < 42p``. The bits above 2^255 of the sum with 16p for each b name the multiple of p
    that is taken off, ``floor(i 2^255 / p) p``: what is left is below ``2^255 + p < 3.7p``. They are read before carries, which can make i one
    more or one less than it is where the sum is within 2^211 of a multiple of 2^255: no multiple that is taken off is above
    ``(i - 0.01) 2^255``, so nothing becomes negative, and 2^211 more is still below 4p.
    """
    multiples = [((i << 255) // modulus) * modulus for i in range(2 * LANES)]
    tables = [
        [ir.Constant(_VECTOR, [row[k] for row in map(vector_limbs, half)]) for k in range(VECTOR_ROWS)]
        for half in (multiples[:LANES], multiples[LANES:])
    ]
    lift = [_constant(limb) for limb in vector_limbs(16 * subtrahends * modulus)]

    def body(builder: ir.IRBuilder, a: list[Any], *others: list[Any]) -> list[Any]:
        total = [builder.add(x, offset) for x, offset in zip(a, lift, strict=True)]
        for other in others:
            total = [builder.sub(x, y) for x, y in zip(total, other, strict=True)]
        name = "llvm.x86.avx512.vpermi2var.q.512"
        function_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        choose = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
        index = builder.lshr(total[-1], _constant(255 - (VECTOR_ROWS - 1) * _LIMB_BITS))
        chosen = [builder.call(choose, [low, index, high]) for low, high in zip(*tables, strict=True)]
        return _carry(builder, [builder.sub(x, multiple) for x, multiple in zip(total, chosen, strict=True)])

    return (_unary, _binary, _ternary)[subtrahends](body)


def make_vector_negate_odd(modulus: int, multiple: int) -> Intrinsic:
    """Intrinsic ``(array, out, a, entries, first)``: ``multiple * p - a`` in lanes whose entry is odd, ``a`` in the others."""
    offsets = [_constant(limb) for limb in vector_limbs(multiple * modulus)]

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        array, out, a, entries, first = arguments
        rows = [_row(context, builder, signature.args[0], array, a, k) for k in range(VECTOR_ROWS)]
        values = [builder.load(row, align=8) for row in rows]
        negated = _carry(builder, [builder.sub(offset, x) for offset, x in zip(offsets, values, strict=True)])
        data = context.make_array(signature.args[3])(context, builder, entries).data
        pointer = builder.bitcast(builder.gep(data, [first]), _VECTOR.as_pointer())
        signs = builder.and_(builder.load(pointer, align=8), _constant(1))
        is_odd = builder.icmp_unsigned("!=", signs, _constant(0))
        for offset, (minus, plus) in enumerate(zip(negated, values, strict=True)):
            row = _row(context, builder, signature.args[0], array, out, offset)
            builder.store(builder.select(is_odd, minus, plus), row, align=8)
        return context.get_dummy_value()

    @intrinsic
    def operation(typing_context: Any, array: Any, out: Any, a: Any, entries: Any, first: Any) -> Any:
        _check_rows(array)
        return types.void(array, types.int64, types.int64, entries, types.int64), generate

    return operation


def _lanes(kept: list[int]) -> ir.Constant:
    """The mask of a shuffle of two vectors."""
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), kept)


def _transposed(builder: ir.IRBuilder, rows: list[Any]) -> list[Any]:
    """Eight vectors as the columns of an 8 x 8 matrix of words."""
    turned = list(rows)
    for distance in (1, 2, 4):
        kept = [lane if not lane & distance else LANES + lane - distance for lane in range(LANES)]
        moved = [lane + distance if not lane & distance else LANES + lane for lane in range(LANES)]
        masks = [_lanes(mask) for mask in (kept, moved)]
        for row in range(LANES):
            if not row & distance:
                pair = turned[row], turned[row + distance]
                turned[row], turned[row + distance] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    return turned


def _points(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> list[Any]:
    """Pointers to the eight 64-byte points that ``entries[first:first + 8]`` name."""
    _, _, coordinates, entries, first = arguments
    data = context.make_array(signature.args[2])(context, builder, coordinates).data
    named = context.make_array(signature.args[3])(context, builder, entries).data
    pointers = []
    for lane in range(LANES):
        entry = builder.load(builder.gep(named, [builder.add(first, _I64(lane))]))
        word = builder.mul(builder.lshr(entry, _I64(1)), _I64(2 * PACKED_ROWS))
        pointers.append(builder.bitcast(builder.gep(data, [word]), _VECTOR.as_pointer()))
    return pointers


@intrinsic
def gather(typing_context: Any, array: Any, out: Any, coordinates: Any, entries: Any, first: Any) -> Any:
    """Intrinsic ``(array, out, coordinates, entries, first)``: eight points in eight rows, four words of x and four of y.

    ``coordinates`` (2 n, 4) holds x and y of points in turn, and an entry is ``2 * point`` or one more.
    """
    _check_rows(array)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        words = [builder.load(each, align=8) for each in _points(context, builder, signature, arguments)]
        for offset, row in enumerate(_transposed(builder, words)):
            builder.store(
                row, _row(context, builder, signature.args[0], arguments[0], arguments[1], offset), align=8
            )
        return context.get_dummy_value()

    return types.void(array, types.int64, coordinates, entries, types.int64), generate


@intrinsic
def scatter(typing_context: Any, array: Any, rows: Any, coordinates: Any, entries: Any, first: Any) -> Any:
    """Intrinsic ``(array, rows, coordinates, entries, first)``: what ``gather`` does, the other way."""
    _check_rows(array)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        pointers = [
            _row(context, builder, signature.args[0], arguments[0], arguments[1], k) for k in range(LANES)
        ]
        turned = _transposed(builder, [builder.load(pointer, align=8) for pointer in pointers])
        for point, pointer in zip(turned, _points(context, builder, signature, arguments), strict=True):
            builder.store(point, pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, coordinates, entries, types.int64), generate


@intrinsic
def has_zero_lane(typing_context: Any, array: Any, a: Any) -> Any:
    """Intrinsic ``(array, a)``: whether the four packed rows from ``a`` are all zero in some lane."""
    _check_rows(array)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        rows = [_row(context, builder, signature.args[0], *arguments, k) for k in range(PACKED_ROWS)]
        words = [builder.load(row, align=8) for row in rows]
        merged = builder.or_(builder.or_(words[0], words[1]), builder.or_(words[2], words[3]))
        zero = builder.icmp_unsigned("==", merged, _constant(0))
        return builder.icmp_unsigned("!=", builder.bitcast(zero, ir.IntType(LANES)), ir.IntType(LANES)(0))

    return types.boolean(array, types.int64), generate


def _unpack_body(builder: ir.IRBuilder, words: list[Any]) -> list[Any]:
    """Times 2^4 (from radix 2^256 to 2^260) and cut into 52-bit limbs: the result is below 16p."""

    def left(word: Any, bits: int) -> Any:
        return builder.shl(word, _constant(bits))

    def right(word: Any, bits: int) -> Any:
        return builder.lshr(word, _constant(bits))

    w0, w1, w2, w3 = words
    limbs = [
        left(w0, 4),
        builder.or_(right(w0, 48), left(w1, 16)),
        builder.or_(right(w1, 36), left(w2, 28)),
        builder.or_(right(w2, 24), left(w3, 40)),
        right(w3, 12),
    ]
    return [builder.and_(limb, _constant(_MASK)) for limb in limbs]


unpack = _unary(_unpack_body, PACKED_ROWS)
"""Intrinsic ``(array, out, a)``: the four packed rows from ``a`` as a vector element below 16p."""


@intrinsic
def load_packed(typing_context: Any, array: Any, out: Any, address: Any) -> Any:
    """Intrinsic ``(array, out, address)``: eight packed elements at a memory address as ``unpack`` gives them, below 16p."""
    _check_rows(array)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        source = builder.inttoptr(arguments[2], _VECTOR.as_pointer())
        pairs = [builder.load(builder.gep(source, [_I64(k)]), align=8) for k in range(LANES // 2)]
        words = []
        for word in range(PACKED_ROWS):
            halves = [
                builder.shuffle_vector(left, right, _lanes([word + 4 * (lane % 4) for lane in range(LANES)]))
                for left, right in (pairs[:2], pairs[2:])
            ]
            words.append(builder.shuffle_vector(*halves, _lanes([0, 1, 2, 3, 8, 9, 10, 11])))
        for offset, limb in enumerate(_unpack_body(builder, words)):
            row = _row(context, builder, signature.args[0], arguments[0], arguments[1], offset)
            builder.store(limb, row, align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


def make_reduce_sum(modulus: int) -> Intrinsic:
    """Intrinsic ``(array, out, a)``: six rows of limbs below 2^62, a sum below ``2^52 C p``, become ``sum / 2^52`` modulo p, below ``(C + 1) p``.

    What ``accumulate_integers`` leaves becomes an element in one step of a Montgomery product: a multiple of p below ``2^52 p``
    is added that makes the lowest limb zero.
    """
    modulus_limbs = [_constant(limb) for limb in vector_limbs(modulus)]
    negative_inverse = _constant(-pow(modulus, -1, 1 << _LIMB_BITS) & _MASK)

    def body(builder: ir.IRBuilder, total: list[Any]) -> list[Any]:
        quotient = _multiply_accumulate(builder, False, _constant(0), total[0], negative_inverse)
        total = list(total)
        for k in range(VECTOR_ROWS):
            total[k] = _multiply_accumulate(builder, False, total[k], quotient, modulus_limbs[k])
            total[k + 1] = _multiply_accumulate(builder, True, total[k + 1], quotient, modulus_limbs[k])
        carry = builder.lshr(total[0], _constant(_LIMB_BITS))
        return _carry(builder, [builder.add(total[1], carry), *total[2:]])

    return _unary(body, VECTOR_ROWS + 1)


def _cut_body(builder: ir.IRBuilder, words: list[Any]) -> list[Any]:
    """The same integer in limbs of 52 bits."""

    def left(word: Any, bits: int) -> Any:
        return builder.shl(word, _constant(bits))

    def right(word: Any, bits: int) -> Any:
        return builder.lshr(word, _constant(bits))

    w0, w1, w2, w3 = words
    limbs = [
        w0,
        builder.or_(right(w0, 52), left(w1, 12)),
        builder.or_(right(w1, 40), left(w2, 24)),
        builder.or_(right(w2, 28), left(w3, 36)),
    ]
    return [*(builder.and_(limb, _constant(_MASK)) for limb in limbs), right(w3, 16)]


cut = _unary(_cut_body, PACKED_ROWS)
"""Intrinsic ``(array, out, a)``: four rows of 64-bit words as five of 52-bit limbs."""


def _join_body(builder: ir.IRBuilder, limbs: list[Any]) -> list[Any]:
    l0, l1, l2, l3, l4 = limbs
    return [
        builder.or_(l0, builder.shl(l1, _constant(52))),
        builder.or_(builder.lshr(l1, _constant(12)), builder.shl(l2, _constant(40))),
        builder.or_(builder.lshr(l2, _constant(24)), builder.shl(l3, _constant(28))),
        builder.or_(builder.lshr(l3, _constant(36)), builder.shl(l4, _constant(16))),
    ]


join = _unary(_join_body, VECTOR_ROWS)
"""Intrinsic ``(array, out, a)``: what ``cut`` does, the other way; needs ``a < 2^256``."""


def make_pack(modulus: int) -> Intrinsic:
    """Intrinsic ``(array, out, a)``: a vector element below 64p as four packed rows, fully reduced."""
    to_radix_256 = [_constant(limb) for limb in vector_limbs((1 << 256) % modulus)]
    minus_modulus = [_constant(-limb) for limb in vector_limbs(modulus)]

    def body(builder: ir.IRBuilder, a: list[Any]) -> list[Any]:
        # The product with a constant below p is below 2p: at most one subtraction is left.
        value = _product(builder, a, to_radix_256, modulus)
        lowered = [builder.add(x, minus) for x, minus in zip(value, minus_modulus, strict=True)]
        lowered = _carry(builder, lowered)
        negative = builder.icmp_signed("<", lowered[-1], _constant(0))
        return _join_body(
            builder, [builder.select(negative, x, y) for x, y in zip(value, lowered, strict=True)]
        )

    return _unary(body, VECTOR_ROWS)
