"""Every compiled kernel does what its own Python does, and every intrinsic what its integers say.

Kernels are found by reflection: a new one that no run below reaches makes a test fail, and so does a new intrinsic
without a meaning in plain_kernels.PLAIN.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from prover import other_threads, word_products
from prover.argument import integer_sums, lane_sources, lanes, mercury_prover, multilinear, sumcheck_prover
from prover.argument.columns import Equality, Repeated, whole
from prover.argument.integer_sums import bind_columns, combine_integers
from prover.argument.sumcheck_prover import Term, prove_sumcheck
from prover.argument.tape import Tape, TapeBuilder
from prover.argument.transcript import Transcript
from prover.curve import g1, g2, group_sums, msm, pairing, point_arrays, row_sums, segment_sums, vector_sums
from prover.curve.srs import SRS
from prover.field import arrays, base_kernels, ifma, montgomery, scalar_kernels
from prover.field.arrays import MODULUS
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS, DivisionByZeroError
from prover.model import word_gemm
from prover.model.exact_gemm import Matrix, multiply_exactly, multiply_in_floats
from prover.operators import block_attention, row_passes, word_attention
from prover.tables import exponential_table
from tests.oracles.plain_kernels import (
    LANES,
    PLAIN,
    RADIX,
    ROWS,
    Compared,
    DifferenceError,
    Intrinsic,
    Kernel,
    PlainKernels,
    defined,
    element,
    lane_values,
    modules,
    put_lanes,
)

KERNELS = defined(Kernel)
INTRINSICS = dict(defined(Intrinsic).values())
LANE_MODULES = (
    "prover.argument.lanes.",
    "prover.argument.lane_sources.",
    "prover.argument.integer_sums.",
    "prover.curve.vector_sums.",
)
LANE_KERNELS = (
    "prover.curve.affine_cases.prefetch_entry",
    "prover.curve.segment_sums._add_block_loosely",
    "prover.curve.segment_sums._add_neighbours_vector",
)
needs_lanes = pytest.mark.skipif(not ifma.AVAILABLE, reason="needs a CPU with AVX-512 IFMA")


# --- kernels ----------------------------------------------------------------------------------------------


@pytest.fixture
def plain() -> PlainKernels:
    return PlainKernels()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, plain: PlainKernels) -> Callable[[], None]:
    """From the call on, every kernel that Python code of the prover calls is compared."""

    def install() -> None:
        known = {key: Compared(name, kernel, plain.plain(kernel)) for key, (name, kernel) in KERNELS.items()}
        for module in modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, Kernel):
                    monkeypatch.setattr(module, name, known[id(value)])

    return install


def _scalars(count: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    return ([0, 1, MODULUS - 1] + [generator.randrange(MODULUS) for _ in range(count)])[:count]


def _field_arrays() -> None:
    x, y = arrays.from_ints(_scalars(9, 1)), arrays.from_ints(_scalars(9, 2)[::-1])
    arrays.to_ints(arrays.add(arrays.sub(x, y), arrays.mul(arrays.neg(x), y)))
    arrays.add_scalar(arrays.scale(x, -3), 7)
    arrays.batch_inverse(x[1:].copy())
    with pytest.raises(DivisionByZeroError):
        arrays.batch_inverse(x)
    arrays.from_int64(np.array([0, -1, 2**63 - 1, -(2**63)]))
    for kernels, prefix in ((scalar_kernels, "fr"), (base_kernels, "fq")):
        for value in (0, -5, 2**62):
            getattr(kernels, f"{prefix}_from_i64")(np.int64(value))
        for value in (0, 1, 3**100):
            getattr(kernels, f"{prefix}_inverse")(element(value))


def _curve() -> None:
    points = [g1.multiply(g1.GENERATOR, k) for k in range(1, 11)]
    points += [g1.INFINITY, points[0], points[0], g1.negate(points[1])]
    bases = point_arrays.from_points(points)
    point_arrays.validate_points(bases)
    point_arrays.to_points(bases)
    msm.msm_field(bases, arrays.from_ints(_scalars(len(points), 3)))
    msm.msm_int(bases, np.arange(-7, 7) * 1000)
    msm.commit_rows(bases, np.random.default_rng(4).integers(-300, 300, (3, len(points))))
    row_sums.row_sums(bases, np.array([[5] * 14, [4] * 13 + [900], [*range(-7, 7)]]))
    entries = np.arange(2 * len(points), dtype=np.uint32)
    starts = np.array([0, 1, 1, 8, 28], np.int64)
    segment_sums.segment_sums(bases, entries, starts)
    group_sums.group_sums(
        bases, [(2, np.array([3, 0, 3, 3, 1], np.int32)), (0, np.array([3, 3], np.int32))], 5
    )


def _many_distinct_points() -> None:
    """Enough plain additions in one block for the lanes."""
    points = [g1.multiply(g1.GENERATOR, k) for k in range(1, 36)]
    bases = point_arrays.from_points([*points, g1.INFINITY])
    segment_sums.segment_sums(bases, np.arange(0, 72, 2, dtype=np.uint32), np.array([0, 36], np.int64))


def _pairing() -> None:
    g, h = g1.GENERATOR, g2.GENERATOR_G2
    assert pairing.pairing_check([(g1.multiply(g, 6), h), (g1.negate(g), g2.multiply_g2(h, 6))])


def _reference_string() -> None:
    SRS.devnet(2)


def _tape() -> Tape:
    """(c0 c1 + 5 c2 c3) c0 - c2."""
    builder = TapeBuilder(4)
    c0, c1, c2, c3 = (builder.column(i) for i in range(4))
    inner = builder.add(
        builder.multiply(c0, c1), builder.multiply(builder.constant(5), builder.multiply(c2, c3))
    )
    return builder.finish(
        builder.add(builder.multiply(inner, c0), builder.multiply(builder.constant(-1), c2))
    )


def _sumcheck() -> None:
    for size in (64, 8):
        variables = size.bit_length() - 1
        tables = [
            arrays.from_ints(_scalars(size, 5)),
            np.arange(size, dtype=np.int64) - 3,
            Equality(tuple(_scalars(variables, 6))),
            Repeated(np.array([7, -8]), 2, size),
        ]
        columns = [arrays.to_ints(whole(table)) for table in tables]
        claim = sum((a * b + 5 * c * d) * a - c for a, b, c, d in zip(*columns, strict=True))
        prove_sumcheck([Term(tables, _tape())], variables, 3, claim, Transcript("test"), "round")


def _multilinear() -> None:
    point = _scalars(4, 7)
    table = multilinear.eq_table(point)
    multilinear.evaluate(table, point[::-1])
    matrix = np.random.default_rng(8).integers(-(2**41), 2**41, (4, 8))  # too large for the lanes
    matrix[0, 0] = 0
    multilinear.bind_integers(matrix, table[:4].copy(), 0)
    multilinear.bind_integers(matrix, table[:8].copy(), 1)
    multilinear.bind_field(table, table[:8].copy())
    tables = [np.arange(5, dtype=np.int64), table[:7].copy()]
    multilinear.combine_tables(tables, [3, MODULUS - 2], 16)


def _integer_sums() -> None:
    matrix = np.random.default_rng(9).integers(-(2**40) + 1, 2**40, (3, 16))
    combine_integers([matrix[0], matrix[1, :8].copy(), matrix[2]], _scalars(3, 10), 16)
    bind_columns(matrix, _scalars(16, 11))


def _opening() -> None:
    bases = point_arrays.from_points([g1.multiply(g1.GENERATOR, 3**k) for k in range(16)])
    table = arrays.from_ints(_scalars(16, 12))
    point = _scalars(6, 13)[2:]
    value = multilinear.evaluate(table, point)
    mercury_prover.open_mercury(bases, table, point, value, Transcript("test"))


def _exact_products() -> None:
    weights = np.random.default_rng(14).integers(-(2**15), 2**15, (9, 7)).astype(np.int16)
    x = np.random.default_rng(15).integers(-(2**30), 2**30, (7, 7))
    multiply_in_floats(weights, x)


def _products_in_words() -> None:
    weights = np.random.default_rng(14).integers(-(2**11), 2**11, (9, 7)).astype(np.int16)
    weights[0] = -(2**15)
    x = np.random.default_rng(15).integers(-(2**12), 2**12, (7, 7))
    x[3] = 2**30
    many_weights = np.random.default_rng(18).integers(-(2**11), 2**11, (11, 6)).astype(np.int16)
    many_weights[0] = -(2**15)
    many_x = np.random.default_rng(19).integers(-(2**12), 2**12, (19, 6))
    many_x[3] = 2**30
    for takes in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(other_threads.other_threads, "take", lambda _, takes=takes: takes)
            patch.setattr(other_threads.other_threads, "give_back", lambda: None)
            multiply_exactly(weights, x)
            for bias in (None, np.arange(9)):
                Matrix.of(weights).multiply_rounded(x, bias, 5, 1 << 30)
            patch.setattr(word_gemm, "MANY_ROWS", 1)
            multiply_exactly(many_weights, many_x)
            for bias in (None, np.arange(11)):
                Matrix.of(many_weights).multiply_rounded(many_x, bias, 5, 1 << 30)


def _rows_of_a_model() -> None:
    generator = np.random.default_rng(16)
    x, root = generator.integers(-(2**14), 2**14, (3, 8)), generator.integers(1, 2**14, 3)
    y, bias = np.empty_like(x), generator.integers(-9, 9, 8)
    for weights in (bias, row_passes.NONE):
        row_passes.round_rows(x, weights, 3, 1 << 15, y)
        row_passes.scale_rows(x, root, weights, 3, 1 << 15, y)
        row_passes.normalise_rows(x, 2.0**60, 5, weights, 20, 1 << 15, y)
    row_passes.normalise_rows(x, 2.0**30, 5, row_passes.NONE, 20, 1 << 15, y)
    row_passes.add_rows(x[0], x[1], 1 << 15, y[0])
    row_passes.multiply_rows(x[0], x[1], 9, 1 << 15, y[0])
    row_passes.sum_squares(x, np.empty(3, np.int64))
    for table in (generator.integers(-9, 9, 1 << 15), bias):
        row_passes.look_up_rows(x[0], table, y[0])
    heads = x.reshape(3, 2, 4)
    tables = generator.integers(-(2**14), 2**14, (2, 5, 4))
    row_passes.turn_rows(heads, root % 5, *tables, 3, 1 << 15, np.empty_like(heads))
    query = generator.integers(-90, 90, (3, 2, 2, 4))
    keys, values = generator.integers(-90, 90, (2, 2, 6, 4)).astype(np.int32)
    row_passes.attend_rows(query, keys, values, 3, 4, 2, exponential_table(), np.empty_like(query))
    kept = generator.integers(-90, 90, (3, 2, 4, 4)).astype(np.int32)
    places = np.arange(3), np.array([0, 0, 1]), np.array([5, 6, 2]), np.array([[0, 1], [2, 0]])
    blocks = kept, np.ascontiguousarray(kept[..., :0]), kept
    for takes in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(other_threads.other_threads, "take", lambda _, takes=takes: takes)
            patch.setattr(other_threads.other_threads, "give_back", lambda: None)
            block_attention.attend_blocks(
                query, places, blocks, 0, 4, 2, exponential_table(), np.empty_like(query)
            )
    scores, totals = generator.integers(-90, 90, (2, 6, 6)).astype(np.float64), np.empty((2, 6), np.int64)
    row_passes.weigh_scores(scores, 2, 3, 4, 2, exponential_table(), totals)
    row_passes.divide_rows(scores @ values, totals, np.empty_like(query))


def _attention_in_words() -> None:
    generator = np.random.default_rng(17)
    query = generator.integers(-900, 900, (5, 2, 2, 3))
    keys = generator.integers(-900, 900, (2, 40, 3)).astype(np.int32)
    values = generator.integers(-(2**15), 2**15, (2, 40, 5)).astype(np.int32)
    for takes in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(other_threads.other_threads, "take", lambda _, takes=takes: takes)
            patch.setattr(other_threads.other_threads, "give_back", lambda: None)
            y = np.empty((5, 2, 2, 5), dtype=np.int64)
            assert word_attention.attend_in_words(query, keys, values, 34, 36, 2, y)


def _waking() -> None:
    other_threads.visit_each(np.zeros(3, dtype=np.int64))


RUNS = (
    _waking,
    _field_arrays,
    _curve,
    _many_distinct_points,
    _pairing,
    _reference_string,
    _sumcheck,
    _multilinear,
    _integer_sums,
    _opening,
    _exact_products,
    _products_in_words,
    _rows_of_a_model,
    _attention_in_words,
)
LANE_RUNS = (_many_distinct_points, _integer_sums)
WORD_RUNS = (_products_in_words, _attention_in_words)
WORD_MODULES = ("prover.model.word_gemm.", "prover.model.word_columns.", "prover.operators.word_attention.")


def test_every_kernel_does_what_its_python_does(
    plain: PlainKernels, compared: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results and arrays left behind, at every call from Python; kernels called by kernels run inside those.

    Both the portable kernels and, where the machine has them, those on eight lanes.
    """
    runs = [run for run in RUNS if ifma.AVAILABLE or run not in LANE_RUNS]
    runs = [run for run in runs if word_gemm.AVAILABLE or run not in WORD_RUNS]
    for run in runs:  # compiles, so that no kernel is compiled against a comparing stand-in
        run()
    portable: list[Callable[[], None]] = [_curve, _sumcheck]
    with monkeypatch.context() as patch:
        _take_portable(patch)
        for run in portable:
            run()
    compared()
    for run in runs:
        run()
    _take_portable(monkeypatch)
    for run in portable:
        run()
    missed = {name for key, (name, _) in KERNELS.items() if key not in plain.ran}
    if not ifma.AVAILABLE:
        missed -= {name for name in missed if name.startswith(LANE_MODULES) or name in LANE_KERNELS}
    if not word_gemm.AVAILABLE:
        missed -= {name for name in missed if name.startswith(WORD_MODULES)}
    assert not missed


def test_a_kernel_that_does_something_else_is_noticed(plain: PlainKernels) -> None:
    """The comparison sees results and arrays left behind."""
    x, y = arrays.from_ints(_scalars(5, 1)), arrays.from_ints(_scalars(5, 2))
    with pytest.raises(DifferenceError, match="returns"):
        Compared("add", arrays._add, plain.plain(arrays._sub))(x, y)
    quotient = arrays.zeros(5)
    with pytest.raises(DifferenceError, match="leaves"):
        Compared("divide", mercury_prover._divide_linear, lambda f, root, result: result.fill(np.uint64(1)))(
            x, element(3), quotient
        )


def _take_portable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(segment_sums, "_add_neighbours", segment_sums._add_neighbours_portable)
    patch.setattr(sumcheck_prover, "_LANES_FROM", 1 << 30)


# --- intrinsics -------------------------------------------------------------------------------------------

UNARY = {montgomery.integer_halve, montgomery.is_zero, scalar_kernels.fr_neg, base_kernels.fq_neg}
MEMORY = {montgomery.load, montgomery.store, montgomery.prefetch}
LANE_BOUNDS = {
    vector_sums._multiply: ((8, 8), (2, 32), (64, 1)),
    vector_sums._subtract_16: ((32, 16), (1, 16)),
    vector_sums._lower: ((16,), (42,)),
    vector_sums._lower_difference: ((2, 16), (26, 16)),
    vector_sums._lower_difference_of_both: ((2, 16, 16), (10, 16, 16), (10, 1, 1)),
    vector_sums._pack: ((64,), (1,)),
    ifma.unpack: ((1,),),
    ifma.cut: ((5,),),
    ifma.join: ((1,), (5,)),
    **{module._multiply: ((8, 8), (2, 32), (64, 1)) for module in (lanes, integer_sums, lane_sources)},
    **{module._add: ((2, 2),) for module in (lanes, integer_sums, lane_sources)},
    **{module._subtract: ((2, 2),) for module in (lanes, integer_sums)},
    **{module._pack: ((64,), (1,)) for module in (lanes, integer_sums)},
}
"""Operands of lane intrinsics, as multiples of the modulus that they stay below (field/ifma.py)."""
WORD_PRODUCTS = {
    word_gemm._products_of_one: 1,
    word_gemm._products_of_two: 2,
    word_gemm._products_of_three: 3,
    word_gemm._products_of_four: 4,
}
COLUMNS_OF_WORDS = {word_products.products_of_tile, word_products.pack_pairs, word_products.put_columns}
POINTS_IN_LANES = {ifma.gather, ifma.scatter, ifma.has_zero_lane, vector_sums._negate_odd}
ON_ELEMENTS = (
    set(PLAIN)
    - (UNARY | MEMORY | set(LANE_BOUNDS) | set(WORD_PRODUCTS) | POINTS_IN_LANES)
    - COLUMNS_OF_WORDS
    - {ifma.accumulate_integers, ifma.load_packed, lane_sources._reduce_sum}
)


def test_every_intrinsic_has_a_meaning() -> None:
    assert set(INTRINSICS.values()) == set(PLAIN)


def _edges(below: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    edges = [0, 1, 2, below - 1, below - 2, below // 2, (1 << 64) - 1, 1 << 64, (1 << 52) - 1, (1 << 104) - 1]
    return edges + [generator.randrange(below) for _ in range(14)]


def _name(value: Any) -> str:
    return next(name for name, found in INTRINSICS.items() if found is value)


def _operands_below(intrinsic: Any) -> int:
    if intrinsic in (montgomery.integer_less, montgomery.integer_add, montgomery.integer_subtract):
        return RADIX
    if intrinsic in (montgomery.is_zero, montgomery.is_equal, montgomery.integer_halve):
        return RADIX
    return SCALAR_MODULUS if "scalar_kernels" in _home(intrinsic) else BASE_MODULUS


def _home(intrinsic: Any) -> str:
    fields = (scalar_kernels, base_kernels)
    return next((m.__name__ for m in fields if any(v is intrinsic for v in vars(m).values())), "")


@pytest.mark.parametrize("intrinsic", sorted(UNARY | ON_ELEMENTS, key=_name), ids=_name)
def test_intrinsics_on_four_limbs(intrinsic: Any) -> None:
    values = [element(value) for value in _edges(_operands_below(intrinsic), 1)]
    meaning = PLAIN[intrinsic]
    if intrinsic in UNARY:
        run = njit(lambda a: intrinsic(a))
        assert [run(a) for a in values] == [meaning(a) for a in values]
    else:
        run = njit(lambda a, b: intrinsic(a, b))
        assert [run(a, b) for a in values for b in values] == [meaning(a, b) for a in values for b in values]


def test_intrinsics_on_memory() -> None:
    load, store, prefetch = montgomery.load, montgomery.store, montgomery.prefetch

    @njit
    def move(source: Any, target: Any, row: int) -> None:
        prefetch(source, row)
        store(target, row, load(source, row))

    source = np.random.default_rng(1).integers(0, 2**64, (6, 4), dtype=np.uint64)
    found, expected = np.zeros((2, 6, 4), np.uint64)
    for row in (0, 3, 5):
        move(source, found, row)
        PLAIN[store](expected, row, PLAIN[load](source, row))
    assert np.array_equal(found, expected) and np.array_equal(found[3], source[3])


@pytest.mark.skipif(not word_gemm.AVAILABLE, reason="needs a CPU with AVX-512 VNNI")
@pytest.mark.parametrize("intrinsic", WORD_PRODUCTS, ids=_name)
@pytest.mark.parametrize("words", [1, 31, 32, 33, 64, 95])
def test_intrinsics_on_words(intrinsic: Any, words: int) -> None:
    """Sums wrap, also where all words are extreme; nothing behind a row of weights is read, nor outside the result written."""

    @njit
    def run(x: Any, w: Any, words: int, places: Any, shifts: Any, y: Any, skipped: int, adds: int) -> None:
        intrinsic(
            *(x.ctypes.data, x.strides[0], w.ctypes.data, w.strides[0], words),
            *(places.ctypes.data, shifts.ctypes.data, y.ctypes.data, y.strides[0], skipped, adds),
        )

    rows, generator = WORD_PRODUCTS[intrinsic], np.random.default_rng(words)
    places, shifts = np.array([3, 0, 4, 1])[:rows].copy(), np.array([0, 15, 30, 9])[:rows].copy()
    for low, skipped, adds in ((-(2**15), 0, 0), (2**15 - 1, 3, 1), (-(2**15), 1, 1), (2**15 - 1, 2, 0)):
        x, w = np.zeros((rows, 96), np.int16), np.full((4, 96), 77, np.int16)
        x[:, :words], w[:, :words] = low, low
        x[:, : words // 2] = generator.integers(-(2**15), 2**15, (rows, words // 2))
        found, expected = np.full((2, 6, 5), 9)
        run(x, w, words, places, shifts, found, skipped, adds)
        PLAIN[intrinsic](
            *(x.ctypes.data, x.strides[0], w.ctypes.data, w.strides[0], words, places.ctypes.data),
            *(shifts.ctypes.data, expected.ctypes.data, expected.strides[0], skipped, adds),
        )
        assert np.array_equal(found, expected)
        untouched = np.ones_like(found, dtype=bool)
        untouched[places, skipped:4] = False
        assert (found[untouched] == 9).all()


@pytest.mark.skipif(not word_gemm.AVAILABLE, reason="needs a CPU with AVX-512 VNNI")
@pytest.mark.parametrize("pairs", [1, 2, 129])
def test_a_tile_of_words(pairs: int) -> None:
    """Sums wrap; nothing outside the tile is written, and rows need not be aligned."""
    tile = word_products.products_of_tile

    @njit
    def run(x: Any, y: Any, pairs: int, result: Any) -> None:
        left, right, out = x[:, 1:].ctypes.data, y[:, 1:].ctypes.data, result[:, 3:].ctypes.data
        tile(left, x.strides[0], right, y.strides[0], pairs, out, result.strides[0])

    generator = np.random.default_rng(pairs)
    for low, high in ((-(2**15), 2**15), (-(2**15), -(2**15) + 1), (2**15 - 1, 2**15)):
        x = generator.integers(low, high, (8, 2 * pairs + 5)).astype(np.int16)
        y = generator.integers(low, high, (2, pairs + 2, 16, 2)).astype(np.int16)
        found, expected = np.full((2, 8, 40), 9, dtype=np.int32)
        run(x, y, pairs, found)
        left, right, out = x[:, 1:].ctypes.data, y[:, 1:].ctypes.data, expected[:, 3:].ctypes.data
        PLAIN[tile](left, x.strides[0], right, y.strides[0], pairs, out, expected.strides[0])
        assert np.array_equal(found, expected) and (found != 9).sum() >= 8 * 32 - 4
        words = y[:, 1 : pairs + 1].transpose(0, 2, 1, 3).reshape(32, 2 * pairs).astype(np.int64)
        sums = x[:, 1 : 2 * pairs + 1].astype(np.int64) @ words.T
        assert np.array_equal(found[:, 3:35], sums.astype(np.int32))
        assert (found[:, :3] == 9).all() and (found[:, 35:] == 9).all()


@pytest.mark.skipif(not word_gemm.AVAILABLE, reason="needs a CPU with AVX-512 VNNI")
def test_pairs_of_words_are_turned() -> None:
    pack = word_products.pack_pairs

    @njit
    def run(rows: Any, columns: Any) -> None:
        pack(rows[:, 2:].ctypes.data, rows.strides[0], columns[1:].ctypes.data)

    rows = np.random.default_rng(3).integers(-(2**15), 2**15, (16, 37)).astype(np.int16)
    found, expected = np.full((2, 18, 16), 9, dtype=np.int32)
    run(rows, found)
    PLAIN[pack](rows[:, 2:].ctypes.data, rows.strides[0], expected[1:].ctypes.data)
    assert np.array_equal(found, expected) and (found[0] == 9).all() and (found[17] == 9).all()
    assert np.array_equal(found[1:17].T, np.ascontiguousarray(rows[:, 2:34]).view(np.int32))


@pytest.mark.skipif(not word_gemm.AVAILABLE, reason="needs a CPU with AVX-512 VNNI")
@pytest.mark.parametrize("count", [1, 8, 15, 16])
@pytest.mark.parametrize(("skipped", "adds"), [(0, 0), (0, 1), (3, 0), (7, 1)])
def test_columns_are_put_where_they_belong(count: int, skipped: int, adds: int) -> None:
    """Also at the ends of 32 bits; nothing is written beside the outputs, nor for columns behind the last."""
    put = word_products.put_columns

    @njit
    def run(sums: Any, places: Any, shifts: Any, count: int, y: Any, skipped: int, adds: int) -> None:
        put(
            *(sums.ctypes.data, sums.strides[0], places.ctypes.data, shifts.ctypes.data, count),
            *(y[:, 1:].ctypes.data, y.strides[0], skipped, adds),
        )

    generator = np.random.default_rng(count)
    sums = generator.choice([-(2**31), 2**31 - 1, -1, 0, 12345], (8, 21)).astype(np.int32)
    places, shifts = generator.permutation(20)[:16].copy(), generator.integers(0, 31, 16)
    places[count:] = 10**15  # never followed
    found, expected = np.full((2, 20, 11), 9)
    run(sums, places, shifts, count, found, skipped, adds)
    PLAIN[put](
        *(sums.ctypes.data, sums.strides[0], places.ctypes.data, shifts.ctypes.data, count),
        *(expected[:, 1:].ctypes.data, expected.strides[0], skipped, adds),
    )
    assert np.array_equal(found, expected)
    untouched = np.ones_like(found, dtype=bool)
    untouched[places[:count], 1 + skipped : 9] = False
    assert (found[untouched] == 9).all() and (found[~untouched] != 9).any()


@needs_lanes
@pytest.mark.parametrize("intrinsic", sorted(LANE_BOUNDS, key=_name), ids=_name)
def test_intrinsics_on_eight_lanes(intrinsic: Any) -> None:
    """All limbs of the result, loosely reduced as it is."""
    modulus = SCALAR_MODULUS if "argument" in _name(intrinsic) else BASE_MODULUS
    registers = (15, 0, 5, 10)[: 1 + len(LANE_BOUNDS[intrinsic][0])]
    run = njit(
        {
            2: lambda r: intrinsic(r, 15, 0),
            3: lambda r: intrinsic(r, 15, 0, 5),
            4: lambda r: intrinsic(r, 15, 0, 5, 10),
        }[len(registers)]
    )
    for bounds in LANE_BOUNDS[intrinsic]:
        operands = [_edges(bound * modulus, 10 + k)[:: 1 - 2 * k] for k, bound in enumerate(bounds)]
        for first in range(0, len(operands[0]), LANES):
            rows = np.zeros((4 * ROWS, LANES), np.uint64)
            for k, values in enumerate(operands):
                if intrinsic in (ifma.unpack, ifma.cut):
                    rows[:4] = np.array([element(value) for value in values[first : first + LANES]]).T
                else:
                    put_lanes(rows, ROWS * k, values[first : first + LANES])
            expected = rows.copy()
            run(rows)
            PLAIN[intrinsic](expected, *registers)
            assert np.array_equal(rows, expected)


@needs_lanes
def test_what_is_lowered_is_loose() -> None:
    """At every multiple of 2^255, where another multiple of p begins to be taken off, and with limbs that borrow."""
    bound = ifma.LOOSE_BOUND * BASE_MODULUS
    for kernel, others in ((vector_sums._lower, 0), (vector_sums._lower_difference_of_both, 2)):
        for i in range(16):
            for near in (-1, 0, 1):
                rows = np.zeros((4 * ROWS, LANES), np.uint64)
                total = (i << 255) + near
                if not 0 <= total < 42 * BASE_MODULUS:
                    continue
                taken = [others * 16 * BASE_MODULUS - 5, 5][:others] if others else []
                taken = [min(each, 16 * BASE_MODULUS) for each in taken]
                a = total - 16 * others * BASE_MODULUS + sum(taken)
                if a < 0:
                    continue
                for k, value in enumerate([a, *taken]):
                    put_lanes(rows, ROWS * k, [value] * LANES)
                expected = rows.copy()
                PLAIN[kernel](expected, 15, *range(0, ROWS * (1 + others), ROWS))
                assert all(0 <= value < bound for value in lane_values(expected, 15))
                assert all((value - total) % BASE_MODULUS == 0 for value in lane_values(expected, 15))


@needs_lanes
def test_points_in_lanes() -> None:
    """Gathered, negated and scattered as entries say."""

    @njit
    def run(rows: Any, points: Any, entries: Any, sums: Any) -> bool:
        ifma.gather(rows, 0, points, entries, 2)
        ifma.cut(rows, 8, 4)
        vector_sums._negate_odd(rows, 13, 8, entries, 2)
        ifma.scatter(rows, 0, sums, entries, 2)
        return ifma.has_zero_lane(rows, 4)

    points = np.random.default_rng(22).integers(0, 2**63, (48, 4), dtype=np.uint64)
    entries = np.array([0, 0, 3, 8, 13, 2, 46, 21, 10, 30, 0], np.int64)
    for is_zero in (False, True):
        points[11] *= np.uint64(not is_zero)
        rows, sums = np.zeros((18, LANES), np.uint64), np.zeros_like(points)
        expected, expected_sums = rows.copy(), sums.copy()
        assert run(rows, points, entries, sums) is is_zero
        PLAIN[ifma.gather](expected, 0, points, entries, 2)
        PLAIN[ifma.cut](expected, 8, 4)
        PLAIN[vector_sums._negate_odd](expected, 13, 8, entries, 2)
        PLAIN[ifma.scatter](expected, 0, expected_sums, entries, 2)
        assert PLAIN[ifma.has_zero_lane](expected, 4) is is_zero
        assert np.array_equal(rows, expected) and np.array_equal(sums, expected_sums) and sums.any()


@needs_lanes
def test_integers_accumulate_on_eight_lanes() -> None:
    accumulate = ifma.accumulate_integers
    integers = np.array([0, 1, -1, 2**40 - 1, 1 - 2**40, 12345, -54321, 7], dtype=np.int64)
    factors = np.zeros((2 * ROWS, LANES), np.uint64)
    put_lanes(factors, 0, _edges(SCALAR_MODULUS, 20)[:LANES])
    put_lanes(factors, ROWS, _edges(SCALAR_MODULUS, 21)[-LANES:])
    rows = np.zeros((8, LANES), np.uint64)
    expected = rows.copy()

    @njit
    def run(rows: Any, address: int, factors: Any) -> None:
        accumulate(rows, 1, address, 1 << 40, factors, 0)
        accumulate(rows, 1, address, 1 << 40, factors, 5)

    run(rows, integers.ctypes.data, factors)
    for factor in (0, ROWS):
        PLAIN[accumulate](expected, 1, integers.ctypes.data, 1 << 40, factors, factor)
    assert np.array_equal(rows, expected)
    weights = [a + b for a, b in zip(lane_values(factors, 0), lane_values(factors, ROWS), strict=True)]
    totals = [sum(int(rows[1 + k, lane]) << (52 * k) for k in range(6)) for lane in range(LANES)]
    assert totals == [(int(v) + (1 << 40)) * w for v, w in zip(integers, weights, strict=True)]


@needs_lanes
def test_packed_elements_are_loaded_from_memory() -> None:
    load, elements = ifma.load_packed, arrays.from_ints(_scalars(2 * LANES, 23))
    run = njit(lambda rows, address: load(rows, 1, address))
    for first in (0, 3, LANES):  # from a multiple of 64 bytes on, and from elsewhere
        rows = np.zeros((7, LANES), np.uint64)
        expected, address = rows.copy(), elements.ctypes.data + 32 * first
        run(rows, address)
        PLAIN[load](expected, 1, address)
        assert np.array_equal(rows, expected) and rows.any()


@needs_lanes
def test_sums_of_integers_are_reduced_in_one_step() -> None:
    """Limbs that are not carried, up to the largest; the result is what the sum is over 2^52, and below what is said."""
    reduce_sum, p = lane_sources._reduce_sum, SCALAR_MODULUS
    run = njit(lambda rows: reduce_sum(rows, 7, 1))
    generator, largest = random.Random(24), (1 << 62) - 1
    for top in (largest, (1 << 52) - 1, 0):
        rows = np.zeros((13, LANES), np.uint64)
        for lane in range(LANES):
            rows[1:6, lane] = [generator.choice((0, 1, top, generator.randrange(top + 1))) for _ in range(5)]
            rows[6, lane] = generator.randrange(1 << 40)
        sums = [sum(int(rows[1 + k, lane]) << (52 * k) for k in range(6)) for lane in range(LANES)]
        expected = rows.copy()
        run(rows)
        PLAIN[reduce_sum](expected, 7, 1)
        assert np.array_equal(rows, expected)
        for total, value in zip(sums, lane_values(rows, 7), strict=True):
            assert (value << 52) % p == total % p and value < (total >> 52) + 1 + p
