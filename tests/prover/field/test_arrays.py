"""Whole-array operations in Fr against plain Python integers."""

import random

import numpy as np
import pytest

from prover.field import arrays, reference

P = arrays.MODULUS


def _values(count, seed):
    generator = random.Random(seed)
    edges = [0, 1, P - 1, 2, P - 2]
    return (edges + [generator.randrange(P) for _ in range(count)])[:count]


@pytest.mark.parametrize("count", [0, 1, 5, 1000, 5000])
def test_elementwise_operations(count):
    a, b = _values(count, 1), _values(count, 2)[::-1]
    x, y = arrays.from_ints(a), arrays.from_ints(b)
    assert x.shape == (count, 4) and x.dtype == np.uint64
    assert arrays.to_ints(x) == a
    assert arrays.to_ints(arrays.add(x, y)) == [reference.add(*pair) for pair in zip(a, b, strict=True)]
    assert arrays.to_ints(arrays.sub(x, y)) == [reference.subtract(*pair) for pair in zip(a, b, strict=True)]
    assert arrays.to_ints(arrays.mul(x, y)) == [reference.multiply(*pair) for pair in zip(a, b, strict=True)]
    assert arrays.to_ints(arrays.neg(x)) == [reference.negate(value) for value in a]
    assert arrays.to_ints(arrays.scale(x, -3)) == [reference.multiply(value, -3) for value in a]
    assert arrays.to_ints(arrays.add_scalar(x, P - 1)) == [reference.add(value, -1) for value in a]


@pytest.mark.parametrize("count", [1, 7, 1024, 1025, 3000])
def test_batch_inverse(count):
    values = [value or 3 for value in _values(count, 3)]
    inverses = arrays.to_ints(arrays.batch_inverse(arrays.from_ints(values)))
    assert inverses == reference.batch_inverse(values)
    assert all(reference.multiply(*pair) == 1 for pair in zip(values, inverses, strict=True))


def test_batch_inverse_names_the_zero():
    with pytest.raises(reference.DivisionByZeroError, match="element 2 "):
        arrays.batch_inverse(arrays.from_ints([5, 6, 0, 7]))
    with pytest.raises(reference.DivisionByZeroError):
        reference.batch_inverse([5, 0])


def test_signed_integers():
    values = np.array([0, 1, -1, 2**63 - 1, -(2**63), 77], dtype=np.int64)
    assert arrays.to_ints(arrays.from_int64(values)) == [int(value) % P for value in values]
    assert arrays.to_ints(arrays.from_int64(values[-1:].astype(np.int16))) == [77]


def test_single_elements():
    for value in (0, 1, -1, P, P + 5, 1 << 300):
        assert arrays.to_int(arrays.scalar(value)) == value % P
        assert np.array_equal(arrays.scalar(value), arrays.from_ints([value])[0])


def test_plain_limbs_round_trip():
    array = arrays.from_ints(_values(50, 4))
    assert np.array_equal(arrays.from_plain_limbs(arrays.to_plain_limbs(array)), array)


def test_wrong_shapes_are_refused():
    good = arrays.from_ints([1, 2, 3])
    with pytest.raises(arrays.FieldShapeError, match="shapes differ"):
        arrays.add(good, good[:2])
    with pytest.raises(arrays.FieldShapeError, match="contiguous"):
        arrays.neg(good[::2])
    with pytest.raises(arrays.FieldShapeError):
        arrays.neg(good.astype(np.int64))
    with pytest.raises(arrays.FieldShapeError):
        arrays.from_int64(np.array([1.5]))
    with pytest.raises(arrays.FieldShapeError):
        arrays.to_int(good)


def test_kernels_are_cached_on_disk():
    arrays.mul(arrays.from_ints([2]), arrays.from_ints([3]))
    assert arrays._mul.stats.cache_path
