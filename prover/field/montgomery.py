"""Montgomery arithmetic on 4 x 64-bit limbs, generated as LLVM for any odd modulus below 2^255.

An element is a ``UniTuple(uint64, 4)``: little-endian limbs of ``a * 2^256 mod p``, always fully reduced.
The functions here return Numba intrinsics: they are emitted straight into the calling kernel, so the modulus
is an immediate operand and the limbs stay in registers. Only the callers are cached, which keeps
``cache=True`` working (a cached kernel never refers to a closure).
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LIMBS = 4
RADIX_BITS = 256
ELEMENT = types.UniTuple(types.uint64, LIMBS)

_I64 = ir.IntType(64)
_I128 = ir.IntType(128)
_I256 = ir.IntType(256)

Intrinsic = Callable[..., Any]


def limbs_of(value: int) -> tuple[int, int, int, int]:
    """Little-endian 64-bit limbs of an integer in [0, 2^256)."""
    mask = (1 << 64) - 1
    return (value & mask, (value >> 64) & mask, (value >> 128) & mask, (value >> 192) & mask)


def montgomery_form(value: int, modulus: int) -> int:
    """``value * 2^256 mod modulus``."""
    return (value << RADIX_BITS) % modulus


def _unpack(builder: ir.IRBuilder, element: ir.Value) -> list[ir.Value]:
    return cgutils.unpack_tuple(builder, element, LIMBS)


def _pack(context: Any, builder: ir.IRBuilder, limbs: list[ir.Value]) -> ir.Value:
    return context.make_tuple(builder, ELEMENT, limbs)


def _join(builder: ir.IRBuilder, limbs: list[ir.Value]) -> ir.Value:
    """One i256 from four limbs; LLVM lowers i256 sums to add/adc chains."""
    whole = builder.zext(limbs[0], _I256)
    for position in range(1, LIMBS):
        shifted = builder.shl(builder.zext(limbs[position], _I256), _I256(64 * position))
        whole = builder.or_(whole, shifted)
    return whole


def _split(builder: ir.IRBuilder, whole: ir.Value) -> list[ir.Value]:
    return [builder.trunc(builder.lshr(whole, _I256(64 * position)), _I64) for position in range(LIMBS)]


def _subtract_modulus_once(builder: ir.IRBuilder, whole: ir.Value, modulus: int) -> ir.Value:
    """``whole - p`` if that is not negative, else ``whole``; needs ``whole < 2p < 2^256``."""
    reduced = builder.sub(whole, _I256(modulus))
    borrowed = builder.icmp_unsigned("<", whole, _I256(modulus))
    return builder.select(borrowed, whole, reduced)


def make_multiply(modulus: int) -> Intrinsic:
    """Intrinsic ``(a, b) -> a * b / 2^256 mod p`` (coarsely integrated operand scanning).

    No carry limb is needed between rounds because p < 2^255.
    """
    negative_inverse = (-pow(modulus, -1, 1 << 64)) % (1 << 64)
    modulus_limbs = limbs_of(modulus)

    def multiply_add(builder: ir.IRBuilder, a: Any, b: Any, addend: Any, carry: Any) -> tuple[Any, Any]:
        """(low, high) of ``a*b + addend + carry``, which always fits 128 bits."""
        total = builder.mul(builder.zext(a, _I128), builder.zext(b, _I128))
        total = builder.add(total, builder.zext(addend, _I128))
        total = builder.add(total, builder.zext(carry, _I128))
        return builder.trunc(total, _I64), builder.trunc(builder.lshr(total, _I128(64)), _I64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a, b = _unpack(builder, arguments[0]), _unpack(builder, arguments[1])
        zero = _I64(0)
        accumulator = [zero] * LIMBS
        for i in range(LIMBS):
            carry = zero
            for j in range(LIMBS):
                accumulator[j], carry = multiply_add(builder, a[j], b[i], accumulator[j], carry)
            quotient = builder.mul(accumulator[0], _I64(negative_inverse))
            _, carry_reduction = multiply_add(builder, quotient, _I64(modulus_limbs[0]), accumulator[0], zero)
            for j in range(1, LIMBS):
                accumulator[j - 1], carry_reduction = multiply_add(
                    builder, quotient, _I64(modulus_limbs[j]), accumulator[j], carry_reduction
                )
            accumulator[LIMBS - 1] = builder.add(carry, carry_reduction)
        whole = _subtract_modulus_once(builder, _join(builder, accumulator), modulus)
        return _pack(context, builder, _split(builder, whole))

    @intrinsic
    def multiply(typing_context: Any, a: Any, b: Any) -> Any:
        return ELEMENT(ELEMENT, ELEMENT), generate

    return multiply


def make_add(modulus: int) -> Intrinsic:
    """Intrinsic ``(a, b) -> a + b mod p``."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a = _join(builder, _unpack(builder, arguments[0]))
        b = _join(builder, _unpack(builder, arguments[1]))
        whole = _subtract_modulus_once(builder, builder.add(a, b), modulus)
        return _pack(context, builder, _split(builder, whole))

    @intrinsic
    def add(typing_context: Any, a: Any, b: Any) -> Any:
        return ELEMENT(ELEMENT, ELEMENT), generate

    return add


def make_subtract(modulus: int) -> Intrinsic:
    """Intrinsic ``(a, b) -> a - b mod p``."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a = _join(builder, _unpack(builder, arguments[0]))
        b = _join(builder, _unpack(builder, arguments[1]))
        borrowed = builder.icmp_unsigned("<", a, b)
        correction = builder.select(borrowed, _I256(modulus), _I256(0))
        whole = builder.add(builder.sub(a, b), correction)
        return _pack(context, builder, _split(builder, whole))

    @intrinsic
    def subtract(typing_context: Any, a: Any, b: Any) -> Any:
        return ELEMENT(ELEMENT, ELEMENT), generate

    return subtract


def make_negate(modulus: int) -> Intrinsic:
    """Intrinsic ``a -> -a mod p`` (zero stays zero)."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a = _join(builder, _unpack(builder, arguments[0]))
        is_zero = builder.icmp_unsigned("==", a, _I256(0))
        whole = builder.select(is_zero, _I256(0), builder.sub(_I256(modulus), a))
        return _pack(context, builder, _split(builder, whole))

    @intrinsic
    def negate(typing_context: Any, a: Any) -> Any:
        return ELEMENT(ELEMENT), generate

    return negate


@intrinsic
def integer_add(typing_context: Any, a: Any, b: Any) -> Any:
    """Intrinsic: sum of two plain 256-bit integers, modulo 2^256."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a, b = (_join(builder, _unpack(builder, argument)) for argument in arguments)
        return _pack(context, builder, _split(builder, builder.add(a, b)))

    return ELEMENT(ELEMENT, ELEMENT), generate


@intrinsic
def integer_subtract(typing_context: Any, a: Any, b: Any) -> Any:
    """Intrinsic: difference of two plain 256-bit integers, modulo 2^256."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a, b = (_join(builder, _unpack(builder, argument)) for argument in arguments)
        return _pack(context, builder, _split(builder, builder.sub(a, b)))

    return ELEMENT(ELEMENT, ELEMENT), generate


@intrinsic
def integer_halve(typing_context: Any, a: Any) -> Any:
    """Intrinsic: a plain 256-bit integer shifted right by one."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        whole = _join(builder, _unpack(builder, arguments[0]))
        return _pack(context, builder, _split(builder, builder.lshr(whole, _I256(1))))

    return ELEMENT(ELEMENT), generate


@intrinsic
def integer_less(typing_context: Any, a: Any, b: Any) -> Any:
    """Intrinsic: ``a < b`` for plain 256-bit integers."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a, b = (_join(builder, _unpack(builder, argument)) for argument in arguments)
        return builder.icmp_unsigned("<", a, b)

    return types.boolean(ELEMENT, ELEMENT), generate


@intrinsic
def is_zero(typing_context: Any, a: Any) -> Any:
    """Intrinsic ``a -> a == 0``."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        limbs = _unpack(builder, arguments[0])
        merged = builder.or_(builder.or_(limbs[0], limbs[1]), builder.or_(limbs[2], limbs[3]))
        return builder.icmp_unsigned("==", merged, _I64(0))

    return types.boolean(ELEMENT), generate


@intrinsic
def is_equal(typing_context: Any, a: Any, b: Any) -> Any:
    """Intrinsic ``(a, b) -> a == b``; elements are reduced, so limb equality is field equality."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        a, b = _unpack(builder, arguments[0]), _unpack(builder, arguments[1])
        merged = _I64(0)
        for left, right in zip(a, b, strict=True):
            merged = builder.or_(merged, builder.xor(left, right))
        return builder.icmp_unsigned("==", merged, _I64(0))

    return types.boolean(ELEMENT, ELEMENT), generate


def _row_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, row: Any) -> ir.Value:
    """Pointer to the first limb of ``array[row]`` of a C-contiguous (n, 4) array; no bounds check."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [builder.mul(row, _I64(LIMBS))])


def _check_row_access(array: Any, row: Any) -> None:
    if not (isinstance(array, types.Array) and array.dtype == types.uint64 and array.ndim == 2):
        raise TypeError(f"field kernels address uint64 arrays of shape (n, 4), not {array}")
    if array.layout != "C":
        raise TypeError("field kernels need a C-contiguous array: call numpy.ascontiguousarray first")


@intrinsic
def load(typing_context: Any, array: Any, row: Any) -> Any:
    """Intrinsic ``(array (n, 4) uint64, row) -> element``. The row must be in range."""
    _check_row_access(array, row)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        limbs = [builder.load(builder.gep(pointer, [_I64(position)])) for position in range(LIMBS)]
        return _pack(context, builder, limbs)

    return ELEMENT(array, types.int64), generate


@intrinsic
def store(typing_context: Any, array: Any, row: Any, element: Any) -> Any:
    """Intrinsic ``array[row] = element`` for a (n, 4) uint64 array. The row must be in range."""
    _check_row_access(array, row)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        for position, limb in enumerate(_unpack(builder, arguments[2])):
            builder.store(limb, builder.gep(pointer, [_I64(position)]))
        return context.get_dummy_value()

    return types.void(array, types.int64, ELEMENT), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, row: Any) -> Any:
    """Intrinsic ``(array (n, 4) uint64, row)``: start fetching a row that will be read soon."""
    _check_row_access(array, row)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        pointer = _row_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        i32, address = ir.IntType(32), ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [address, i32, i32, i32])
        name = "llvm.prefetch.p0i8"
        function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
        read, keep_in_all_caches, data = i32(0), i32(3), i32(1)
        builder.call(function, [builder.bitcast(pointer, address), read, keep_in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
