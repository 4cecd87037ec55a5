"""Multi-scalar multiplication against the plain-integer group."""

import itertools
import random

import numpy as np
import pytest

from prover.curve import combinations, g1, msm, point_arrays, segment_sums
from prover.curve.digits import offset_of, signed_digit, windows_for, with_offset
from prover.curve.segment_sums import LooseSums
from prover.field import arrays, ifma
from prover.field.arrays import MODULUS, FieldShapeError


def _expected(points, scalars):
    total = g1.INFINITY
    for point, scalar in zip(points, scalars, strict=True):
        total = g1.add(total, g1.multiply(point, int(scalar)))
    return total


@pytest.fixture(scope="module")
def points():
    """Distinct points, repeats, negatives and infinities: every branch of the additions."""
    generator = random.Random(7)
    distinct = [g1.multiply(g1.GENERATOR, generator.randrange(MODULUS)) for _ in range(24)]
    return [
        *distinct,
        g1.INFINITY,
        g1.GENERATOR,
        g1.GENERATOR,
        g1.GENERATOR,
        g1.negate(g1.GENERATOR),
        g1.INFINITY,
    ]


@pytest.fixture(scope="module")
def bases(points):
    return point_arrays.from_points(points)


def _scalars(count, seed):
    generator = random.Random(seed)
    return ([0, 1, MODULUS - 1, MODULUS // 2] + [generator.randrange(MODULUS) for _ in range(count)])[:count]


def test_msm_field_and_combine(points, bases):
    for scalars in (_scalars(30, 1), [5] * 30, [MODULUS - 1] * 30, [0] * 30):
        expected = _expected(points, scalars)
        assert msm.msm_field(bases, arrays.from_ints(scalars)) == expected
        assert msm.msm_points(points, scalars) == expected
    assert msm.msm_points(points, [scalar - MODULUS for scalar in _scalars(30, 1)]) == _expected(
        points, _scalars(30, 1)
    )


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 127, 128, 129, 32767, 32768, 2**28, 2**62])
def test_msm_int(points, bases, largest):
    values = np.random.default_rng(largest).integers(-largest, largest + 1, len(points))
    values[:2] = (largest, -largest)
    assert msm.msm_int(bases, values) == _expected(points, values)


def test_msm_int_of_extreme_and_sparse_values(points, bases):
    values = np.zeros(len(points), np.int64)
    assert msm.msm_int(bases, values) == g1.INFINITY
    values[[3, 9]] = (-(2**63), 2**63 - 1)
    assert msm.msm_int(bases, values) == _expected(points, values)
    assert msm.msm_int(bases, np.ones(len(points), np.int16)) == _expected(points, [1] * len(points))


@pytest.mark.parametrize("largest", [1, 100, 128, 32768, 10**9])
def test_commit_rows(points, bases, largest):
    matrix = np.random.default_rng(3).integers(-largest, largest + 1, (9, len(points)))
    matrix[4] = 0
    matrix[5] = largest
    matrix[6] = -largest
    assert msm.commit_rows(bases, matrix) == [_expected(points, row) for row in matrix]


def test_commit_rows_without_work(bases):
    assert msm.commit_rows(bases, np.zeros((3, len(bases)), np.int64)) == [g1.INFINITY] * 3
    assert msm.commit_rows(bases, np.zeros((0, len(bases)), np.int64)) == []


def test_commit_rows_in_several_chunks(points, bases, monkeypatch):
    monkeypatch.setattr(msm, "_ROW_CHUNK_ENTRIES", 100)
    matrix = np.random.default_rng(4).integers(-300, 300, (7, len(points)))
    assert msm.commit_rows(bases, matrix) == [_expected(points, row) for row in matrix]


def test_windows_in_several_groups(points, bases, monkeypatch):
    monkeypatch.setattr(msm, "_GROUP_ENTRIES", 100)
    scalars = _scalars(30, 8)
    assert msm.msm_field(bases, arrays.from_ints(scalars)) == _expected(points, scalars)


def test_many_points_on_all_threads():
    """Large enough for the parallel paths: sum_i k_i (i G) = (sum_i i k_i) G."""
    count = 6000
    indices = np.arange(1, count + 1)
    bases = msm.fixed_base_multiples(g1.GENERATOR, arrays.from_int64(indices))
    assert point_arrays.to_points(bases[:3]) == [g1.multiply(g1.GENERATOR, i) for i in (1, 2, 3)]
    scalars = _scalars(count, 5)
    total = sum(int(i) * k for i, k in zip(indices, scalars, strict=True))
    assert msm.msm_field(bases, arrays.from_ints(scalars)) == g1.multiply(g1.GENERATOR, total)
    values = np.random.default_rng(6).integers(-(2**15), 2**15, count)
    assert msm.msm_int(bases, values) == g1.multiply(g1.GENERATOR, int((indices * values).sum()))
    matrix = np.random.default_rng(6).integers(-(2**15), 2**15, (20, 300))
    products = matrix @ indices[:300]
    expected = [g1.multiply(g1.GENERATOR, int(product)) for product in products]
    assert msm.commit_rows(np.ascontiguousarray(bases[:300]), matrix) == expected


def test_fixed_base_multiples(points):
    scalars = _scalars(40, 6)
    multiples = msm.fixed_base_multiples(points[0], arrays.from_ints(scalars))
    assert point_arrays.to_points(multiples) == [g1.multiply(points[0], scalar) for scalar in scalars]


def test_empty_inputs():
    assert combinations.combine([], []) == g1.INFINITY
    assert msm.msm_field(np.zeros((0, 8), np.uint64), arrays.zeros(0)) == g1.INFINITY
    assert msm.msm_int(np.zeros((0, 8), np.uint64), np.zeros(0, np.int64)) == g1.INFINITY


def test_mismatched_inputs_are_refused(bases):
    with pytest.raises(msm.ScalarCountError):
        msm.msm_field(bases, arrays.zeros(3))
    with pytest.raises(msm.ScalarCountError):
        msm.msm_int(bases, np.zeros(3, np.int64))
    with pytest.raises(msm.ScalarCountError):
        combinations.combine([g1.GENERATOR], [])
    with pytest.raises(FieldShapeError):
        msm.msm_int(bases, np.zeros(len(bases)))
    with pytest.raises(point_arrays.PointArrayShapeError):
        msm.msm_field(bases[:, :4], arrays.zeros(len(bases)))


@pytest.mark.parametrize("digit_bits", range(1, 17))
def test_signed_digits_recompose(digit_bits):
    generator = random.Random(digit_bits)
    windows = windows_for(MODULUS - 1, digit_bits)
    values = [0, 1, MODULUS - 1, *(generator.randrange(MODULUS) for _ in range(5))]
    limbs = np.array([[(v >> (64 * k)) & (2**64 - 1) for k in range(4)] for v in values], np.uint64)
    shifted = with_offset(limbs, digit_bits, windows)
    half = 1 << (digit_bits - 1)
    for row, value in enumerate(values):
        digits = [signed_digit(shifted, row, w, windows, digit_bits) for w in range(windows)]
        assert all(-half <= digit <= half for digit in digits)
        assert sum(digit << (digit_bits * w) for w, digit in enumerate(digits)) == value
    assert offset_of(digit_bits, 3) == half + (half << digit_bits)


def test_point_arrays_round_trip_and_validation(points, bases):
    assert point_arrays.to_points(bases) == points
    assert point_arrays.to_bytes(bases) == b"".join(g1.point_to_bytes(point) for point in points)
    assert np.array_equal(point_arrays.from_bytes(point_arrays.to_bytes(bases)), bases)
    with pytest.raises(g1.OffCurveError, match="point 1 "):
        point_arrays.from_bytes(g1.point_to_bytes(g1.GENERATOR) + bytes(63) + b"\1")
    with pytest.raises(g1.CoordinateRangeError):
        point_arrays.from_bytes(bytes([255] * 64))
    with pytest.raises(point_arrays.PointArrayShapeError):
        point_arrays.from_bytes(bytes(65))
    damaged = bases.copy()
    damaged[2] = 2**64 - 1
    with pytest.raises(g1.CoordinateRangeError, match="point 2 "):
        point_arrays.validate_points(damaged)


def _random_segments(points, count, seed):
    """Entries over the points with every kind of pair, cut into segments of uneven length (some empty)."""
    generator = np.random.default_rng(seed)
    entries = (2 * generator.integers(0, len(points), count) + generator.integers(0, 2, count)).astype(
        np.uint32
    )
    cuts = np.sort(generator.integers(0, count + 1, 40))
    return entries, np.concatenate([[0], cuts, [count]]).astype(np.int64)


def _segment_totals(points, entries, starts):
    totals = []
    for first, last in itertools.pairwise(starts):
        total = g1.INFINITY
        for entry in entries[first:last]:
            point = points[entry >> 1]
            total = g1.add(total, g1.negate(point) if entry & 1 else point)
        totals.append(total)
    return totals


@pytest.mark.parametrize("path", ["portable", "vector"])
def test_segment_sums_on_both_paths(points, bases, path, monkeypatch):
    if path == "vector" and not ifma.AVAILABLE:
        pytest.skip("needs a CPU with AVX-512 IFMA")
    monkeypatch.setattr(segment_sums, "_add_neighbours", getattr(segment_sums, f"_add_neighbours_{path}"))
    # A few points repeat often: doublings, opposite points and infinities in every block.
    entries, starts = _random_segments(points, 3000, 1)
    sums = segment_sums.segment_sums(bases, entries, starts)
    assert point_arrays.to_points(sums) == _segment_totals(points, entries, starts)
    # Distinct points: whole blocks of plain additions, which the lanes take.
    many = msm.fixed_base_multiples(points[0], arrays.from_ints(range(2000)))
    as_points = point_arrays.to_points(many)
    entries = (2 * np.random.default_rng(2).permutation(2000) + 1).astype(np.uint32)
    starts = np.array([0, 1, 4, 4, 700, 701, 1999, 2000], np.int64)
    sums = segment_sums.segment_sums(many, entries, starts)
    assert point_arrays.to_points(sums) == _segment_totals(as_points, entries, starts)


def test_both_paths_agree_bit_for_bit():
    if not ifma.AVAILABLE:
        pytest.skip("needs a CPU with AVX-512 IFMA")
    many = msm.fixed_base_multiples(g1.GENERATOR, arrays.from_ints(range(1, 5001))).reshape(-1, 4)
    entries = (2 * np.random.default_rng(3).permutation(5000)).astype(np.uint32)
    starts, next_starts = np.arange(0, 5001, 5), np.arange(0, 3001, 3)
    places = np.random.default_rng(4).permutation(1000) * 3
    plain, loose = np.zeros((6000, 4), np.uint64), np.zeros((6000, 4), np.uint64)
    arguments = (many, entries, starts, next_starts, places)
    segment_sums._add_neighbours_portable(*arguments, plain, False)
    segment_sums._add_neighbours_vector(*arguments, loose, False)
    assert np.array_equal(plain.reshape(-1, 8), segment_sums.reduced(LooseSums(loose, True)))


def test_sums_of_loose_sums_on_both_paths(points, bases, monkeypatch):
    """Of points that were never reduced in between, with signs, doublings and infinities."""
    entries, starts = _random_segments(points, 3000, 5)
    of_sums, of_sums_starts = _random_segments(range(len(starts) - 1), 900, 6)
    totals = _segment_totals(_segment_totals(points, entries, starts), of_sums, of_sums_starts)
    for path in ("portable", *(["vector"] if ifma.AVAILABLE else [])):
        monkeypatch.setattr(segment_sums, "_add_neighbours", getattr(segment_sums, f"_add_neighbours_{path}"))
        sums = segment_sums.loose_sums(bases, entries, starts)
        twice = segment_sums.loose_sums(sums, of_sums, of_sums_starts)
        assert point_arrays.to_points(segment_sums.reduced(twice)) == totals


def test_points_are_one_cache_line_each(bases):
    for count in (1, 5, 5000):
        assert point_arrays.empty_points(count).ctypes.data % 64 == 0
    shifted = np.zeros(8 * 9 + 2, np.uint64)[2:].reshape(9, 8)
    aligned = point_arrays.aligned_points(shifted)
    assert aligned.ctypes.data % 64 == 0 and np.array_equal(aligned, shifted)
    assert point_arrays.aligned_points(aligned) is aligned
