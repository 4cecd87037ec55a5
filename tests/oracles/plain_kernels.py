"""Compiled kernels as plain Python.

An intrinsic is LLVM from its first line and has no Python body, so `.py_func` of a kernel that uses one cannot run as
it is. Here every intrinsic gets its meaning in Python integers (PLAIN), and `plain` rebuilds a kernel's `.py_func` on
top of those: loops, indices, branches and buffers are the kernel's own, arithmetic is Python's.
"""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numba import prange
from numba.core.extending import _Intrinsic as Intrinsic
from numba.core.registry import CPUDispatcher as Kernel

import prover
from prover import word_products
from prover.argument import integer_sums, lane_sources, lanes
from prover.curve import vector_sums
from prover.field import base_kernels, ifma, montgomery, scalar_kernels
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from prover.model import word_gemm

WORD, LIMB = 64, 52
RADIX, VECTOR_RADIX = 1 << 256, 1 << 260
LANES, ROWS = ifma.LANES, ifma.VECTOR_ROWS
_WORD_MASK, _LIMB_MASK = (1 << WORD) - 1, (1 << LIMB) - 1

Element = tuple[np.uint64, ...]


# --- four limbs -------------------------------------------------------------------------------------------


def integer(element: Sequence[Any]) -> int:
    """The 256-bit integer of four limbs."""
    return sum(int(limb) << (WORD * k) for k, limb in enumerate(element))


def element(value: int) -> Element:
    """Four limbs of an integer modulo 2^256."""
    return tuple(np.uint64((value >> (WORD * k)) & _WORD_MASK) for k in range(4))


def _on_elements(operation: Callable[..., int]) -> Callable[..., Element]:
    return lambda *operands: element(operation(*map(integer, operands)))


def _test(predicate: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *operands: predicate(*map(integer, operands))


def _load(array: np.ndarray, row: int) -> Element:
    return tuple(array[row])


def _store(array: np.ndarray, row: int, value: Element) -> None:
    array[row] = value


def _field(kernels: ModuleType, prefix: str, modulus: int) -> dict[Any, Callable[..., Any]]:
    inverse = pow(RADIX, -1, modulus)
    meanings = {
        "add": lambda a, b: (a + b) % modulus,
        "sub": lambda a, b: (a - b) % modulus,
        "mul": lambda a, b: a * b * inverse % modulus,
        "neg": lambda a: -a % modulus,
    }
    return {getattr(kernels, f"{prefix}_{name}"): _on_elements(meaning) for name, meaning in meanings.items()}


# --- eight lanes of five limbs ----------------------------------------------------------------------------


def lane_values(rows: np.ndarray, register: int) -> list[int]:
    """The integers of the eight lanes of a register."""
    return [sum(int(rows[register + k, lane]) << (LIMB * k) for k in range(ROWS)) for lane in range(LANES)]


def put_lanes(rows: np.ndarray, register: int, values: Sequence[int]) -> None:
    """Four limbs of 52 bits; the fifth holds the rest."""
    for lane, value in enumerate(values):
        for k in range(ROWS):
            rest = value >> (LIMB * k)
            rows[register + k, lane] = (rest & _LIMB_MASK if k < ROWS - 1 else rest) & _WORD_MASK


def _on_lanes(operation: Callable[..., int]) -> Callable[..., None]:
    def run(rows: np.ndarray, out: int, *registers: int) -> None:
        operands = zip(*(lane_values(rows, register) for register in registers), strict=True)
        put_lanes(rows, out, [operation(*values) for values in operands])

    return run


def _product(a: int, b: int, modulus: int) -> int:
    """a b / 2^260 modulo p, not reduced: (a b + m p) / 2^260 with the one m that makes it whole."""
    a, b = a % VECTOR_RADIX, b % VECTOR_RADIX
    multiple = -a * b * pow(modulus, -1, VECTOR_RADIX) % VECTOR_RADIX
    return (a * b + multiple * modulus) // VECTOR_RADIX


def _vector_multiply(modulus: int) -> Callable[..., None]:
    return _on_lanes(lambda a, b: _product(a, b, modulus))


def _vector_subtract(modulus: int, multiple: int) -> Callable[..., None]:
    return _on_lanes(lambda a, b: a - b + multiple * modulus)


def _vector_add_reduced(modulus: int) -> Callable[..., None]:
    return _on_lanes(lambda a, b: a + b - (2 * modulus if a + b >= 2 * modulus else 0))


def _vector_subtract_reduced(modulus: int) -> Callable[..., None]:
    return _on_lanes(lambda a, b: a - b + (2 * modulus if a < b else 0))


def _unpack(rows: np.ndarray, out: int, register: int) -> None:
    """Times 16: from radix 2^256 to 2^260."""
    packed = [integer(rows[register : register + 4, lane]) for lane in range(LANES)]
    put_lanes(rows, out, [16 * value for value in packed])


def _load_packed(rows: np.ndarray, out: int, address: int) -> None:
    """Eight elements wherever they lie in memory, times 16."""
    words = np.array((ctypes.c_uint64 * (4 * LANES)).from_address(int(address))).reshape(LANES, 4)
    put_lanes(rows, out, [16 * integer(words[lane]) for lane in range(LANES)])


def _reduce_sum(modulus: int) -> Callable[..., None]:
    """The sum that six rows hold over 2^52, with the one multiple of p added that makes it whole."""

    def run(rows: np.ndarray, out: int, register: int) -> None:
        sums = [
            sum(int(rows[register + k, lane]) << (LIMB * k) for k in range(ROWS + 1)) for lane in range(LANES)
        ]
        inverse = pow(modulus, -1, 1 << LIMB)
        put_lanes(rows, out, [(s + (-s * inverse % (1 << LIMB)) * modulus) >> LIMB for s in sums])

    return run


def _pack(modulus: int) -> Callable[..., None]:
    def run(rows: np.ndarray, out: int, register: int) -> None:
        for lane, value in enumerate(lane_values(rows, register)):
            product = _product(value, RADIX % modulus, modulus)
            rows[out : out + 4, lane] = element(product - (modulus if product >= modulus else 0))

    return run


def _cut(rows: np.ndarray, out: int, register: int) -> None:
    put_lanes(rows, out, [integer(rows[register : register + 4, lane]) for lane in range(LANES)])


def _join(rows: np.ndarray, out: int, register: int) -> None:
    for lane, value in enumerate(lane_values(rows, register)):
        rows[out : out + 4, lane] = element(value)


def _vector_lower(modulus: int, subtrahends: int) -> Callable[..., None]:
    """Less the multiple of p that the highest bits name: those of the sum of highest limbs, whatever the lower ones borrow."""
    lift = 16 * subtrahends * modulus

    def lowered(a: int, *others: int) -> int:
        top = sum(
            sign * (value >> (LIMB * 4)) for sign, value in ((1, a), (1, lift), *((-1, b) for b in others))
        )
        multiple = ((top >> 47) << 255) // modulus
        return a + lift - sum(others) - multiple * modulus

    return _on_lanes(lowered)


def _negate_odd(modulus: int, multiple: int) -> Callable[..., None]:
    def run(rows: np.ndarray, out: int, register: int, entries: np.ndarray, first: int) -> None:
        values, signs = lane_values(rows, register), entries[first : first + LANES] & 1
        put_lanes(
            rows, out, [multiple * modulus - a if sign else a for a, sign in zip(values, signs, strict=True)]
        )

    return run


def _points_named(coordinates: np.ndarray, entries: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    return coordinates.reshape(-1, 8), entries[first : first + LANES] >> 1


def _gather(rows: np.ndarray, out: int, coordinates: np.ndarray, entries: np.ndarray, first: int) -> None:
    points, named = _points_named(coordinates, entries, first)
    rows[out : out + 8] = points[named].T


def _scatter(
    rows: np.ndarray, register: int, coordinates: np.ndarray, entries: np.ndarray, first: int
) -> None:
    points, named = _points_named(coordinates, entries, first)
    points[named] = rows[register : register + 8].T


def _has_zero_lane(rows: np.ndarray, register: int) -> bool:
    return any(not rows[register : register + 4, lane].any() for lane in range(LANES))


def _accumulate_integers(
    rows: np.ndarray, out: int, address: int, offset: int, factors: np.ndarray, factor: int
) -> None:
    """Low halves of (integer + offset) * limb k into row k, high halves into row k + 1."""
    integers = (ctypes.c_int64 * LANES).from_address(int(address))
    for lane in range(LANES):
        for k in range(ROWS):
            product = ((integers[lane] + offset) & _LIMB_MASK) * (int(factors[factor + k, lane]) & _LIMB_MASK)
            for row, half in ((out + k, product & _LIMB_MASK), (out + k + 1, product >> LIMB)):
                rows[row, lane] = (int(rows[row, lane]) + half) & _WORD_MASK


def _products_of_words(rows: int) -> Callable[..., None]:
    """32-bit sums of products of words, wherever they lie in memory."""

    def run(*arguments: Any) -> None:
        x, x_step, w, w_step, words, places, shifts, result, result_step, skipped, adds = map(int, arguments)

        def row(address: int) -> list[int]:
            return list((ctypes.c_int16 * words).from_address(address))

        for r in range(rows):
            place, shift = ((ctypes.c_int64 * rows).from_address(array)[r] for array in (places, shifts))
            found = (ctypes.c_int64 * 4).from_address(result + place * result_step)
            for o in range(skipped, 4):
                pairs = zip(row(x + r * x_step), row(w + o * w_step), strict=True)
                part = ctypes.c_int32(sum(a * b for a, b in pairs)).value << shift
                found[o] = ctypes.c_int64(part + (found[o] if adds else 0)).value

    return run


def _products_of_tile(*arguments: Any) -> None:
    """The same of 8 rows and 32 columns, of which 16 lie side by side, pair by pair."""
    x, x_step, y, y_step, pairs, result, result_step = map(int, arguments)
    for r in range(word_products.TILE_ROWS):
        row = (ctypes.c_int16 * (2 * pairs)).from_address(x + r * x_step)
        found = (ctypes.c_int32 * word_products.TILE_COLUMNS).from_address(result + r * result_step)
        for c in range(word_products.TILE_COLUMNS):
            vector, lane = divmod(c, word_products.LANES)
            columns = (ctypes.c_int16 * (pairs * word_products.WORDS)).from_address(y + vector * y_step)
            total = sum(
                row[i] * columns[i // 2 * word_products.WORDS + 2 * lane + i % 2] for i in range(2 * pairs)
            )
            found[c] = ctypes.c_int32(total).value


def _pack_pairs(rows: int, step: int, columns: int) -> None:
    lanes = word_products.LANES
    found = (ctypes.c_int32 * lanes**2).from_address(int(columns))
    for r in range(lanes):
        row = (ctypes.c_int32 * lanes).from_address(int(rows) + r * int(step))
        for pair in range(lanes):
            found[pair * lanes + r] = row[pair]


def _put_columns(*arguments: Any) -> None:
    sums, sums_step, places, shifts, count, result, result_step, skipped, adds = map(int, arguments)
    for c in range(count):
        place, shift = ((ctypes.c_int64 * count).from_address(array)[c] for array in (places, shifts))
        found = (ctypes.c_int64 * word_products.TILE_ROWS).from_address(result + place * result_step)
        for o in range(skipped, word_products.TILE_ROWS):
            own = (ctypes.c_int32 * count).from_address(sums + o * sums_step)[c]
            found[o] = ctypes.c_int64((own << shift) + (found[o] if adds else 0)).value


PLAIN: dict[Any, Callable[..., Any]] = {
    montgomery.load: _load,
    montgomery.store: _store,
    montgomery.prefetch: lambda array, row: None,
    montgomery.is_zero: _test(lambda a: a == 0),
    montgomery.is_equal: _test(lambda a, b: a == b),
    montgomery.integer_less: _test(lambda a, b: a < b),
    montgomery.integer_add: _on_elements(lambda a, b: a + b),
    montgomery.integer_subtract: _on_elements(lambda a, b: a - b),
    montgomery.integer_halve: _on_elements(lambda a: a >> 1),
    **_field(scalar_kernels, "fr", SCALAR_MODULUS),
    **_field(base_kernels, "fq", BASE_MODULUS),
    ifma.unpack: _unpack,
    ifma.cut: _cut,
    ifma.join: _join,
    ifma.gather: _gather,
    ifma.scatter: _scatter,
    ifma.has_zero_lane: _has_zero_lane,
    ifma.load_packed: _load_packed,
    ifma.accumulate_integers: _accumulate_integers,
    vector_sums._multiply: _vector_multiply(BASE_MODULUS),
    vector_sums._subtract_16: _vector_subtract(BASE_MODULUS, 16),
    vector_sums._lower: _vector_lower(BASE_MODULUS, 0),
    vector_sums._lower_difference: _vector_lower(BASE_MODULUS, 1),
    vector_sums._lower_difference_of_both: _vector_lower(BASE_MODULUS, 2),
    vector_sums._negate_odd: _negate_odd(BASE_MODULUS, 16),
    vector_sums._pack: _pack(BASE_MODULUS),
    word_products.products_of_tile: _products_of_tile,
    word_products.pack_pairs: _pack_pairs,
    word_products.put_columns: _put_columns,
    word_gemm._products_of_one: _products_of_words(1),
    word_gemm._products_of_two: _products_of_words(2),
    word_gemm._products_of_three: _products_of_words(3),
    word_gemm._products_of_four: _products_of_words(4),
}
"""Intrinsic -> what it means."""
PLAIN[lane_sources._reduce_sum] = _reduce_sum(SCALAR_MODULUS)
for _module in (lanes, integer_sums, lane_sources):
    PLAIN[_module._multiply] = _vector_multiply(SCALAR_MODULUS)
    PLAIN[_module._add] = _vector_add_reduced(SCALAR_MODULUS)
for _module in (lanes, integer_sums):
    PLAIN[_module._subtract] = _vector_subtract_reduced(SCALAR_MODULUS)
    PLAIN[_module._pack] = _pack(SCALAR_MODULUS)


# --- whole kernels ----------------------------------------------------------------------------------------


def modules() -> Iterator[ModuleType]:
    """Every module of the prover."""
    for found in pkgutil.walk_packages(prover.__path__, "prover."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def defined(kind: type) -> dict[int, tuple[str, Any]]:
    """Every kernel or intrinsic that a module of the prover names: id -> (first name, object)."""
    found: dict[int, tuple[str, Any]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, kind):
                home = getattr(getattr(value, "py_func", None), "__module__", module.__name__)
                found.setdefault(id(value), (f"{home}.{name}", value))
    return found


@dataclass
class PlainKernels:
    """Rebuilds kernels, and remembers which of them ran."""

    ran: set[int] = field(default_factory=set)
    _built: dict[int, Callable[..., Any]] = field(default_factory=dict)

    def plain(self, kernel: Any) -> Callable[..., Any]:
        """`.py_func` with every kernel and intrinsic that it calls replaced by plain Python.

        Raises KeyError for an intrinsic that has no meaning in PLAIN.
        """
        if id(kernel) not in self._built:
            function = kernel.py_func
            scope = dict(function.__globals__)
            rebuilt = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)

            def run(*arguments: Any) -> Any:
                self.ran.add(id(kernel))
                return rebuilt(*arguments)

            self._built[id(kernel)] = run
            scope.update(
                {name: self._meaning(scope[name]) for name in function.__code__.co_names if name in scope}
            )
        return self._built[id(kernel)]

    def _meaning(self, value: Any) -> Any:
        if value is prange:
            return range
        if isinstance(value, Kernel):
            return self.plain(value)
        if isinstance(value, Intrinsic):
            return PLAIN[value]
        return value


class DifferenceError(AssertionError):
    """A kernel and its plain form do not do the same."""


@dataclass
class Compared:
    """A kernel that also runs plainly, on copies of its arguments, at every call from Python."""

    name: str
    kernel: Any
    plainly: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        copies = _copied(arguments)
        result = self.kernel(*arguments)
        with np.errstate(over="ignore"):  # 64-bit sums wrap, as they do in a register
            expected = self.plainly(*copies)
        if not _same(result, expected):
            raise DifferenceError(f"{self.name} returns something else when run as plain Python")
        if not _same(arguments, copies):
            raise DifferenceError(f"{self.name} leaves other arrays behind when run as plain Python")
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kernel, name)


def _copied(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arrays copied, each once; the rest as it is."""
    copies: dict[int, np.ndarray] = {}
    return tuple(copies.setdefault(id(a), a.copy()) if isinstance(a, np.ndarray) else a for a in arguments)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    return bool(left == right)
