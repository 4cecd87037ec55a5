"""Every compiled pass equals its expression in NumPy, and says so when a value reaches its limit."""

from __future__ import annotations

from math import isqrt

import numpy as np
import pytest

from prover.operators import row_passes
from prover.operators.row_passes import NO_LIMIT, NONE

generator = np.random.default_rng(11)
ROWS, WIDTH = 5, 24
X = generator.integers(-(2**30), 2**30, (ROWS, WIDTH))


def half_up(values: np.ndarray, shift: int) -> np.ndarray:
    return (values + (1 << (shift - 1))) >> shift


@pytest.mark.parametrize("bias", [NONE, generator.integers(-(2**40), 2**40, WIDTH)], ids=["plain", "bias"])
@pytest.mark.parametrize("shift", [1, 9, 16])
def test_sums_are_rounded(bias: np.ndarray, shift: int) -> None:
    y, sums = np.empty_like(X), X << 18
    expected = half_up(sums + (bias if bias.size else 0), shift)
    assert row_passes.round_rows(sums, bias, shift, NO_LIMIT, y)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("value", "fits"), [(2**15 - 1, True), (2**15, False), (-(2**15), True), (-(2**15) - 1, False)]
)
def test_a_value_at_its_limit_is_seen_wherever_it_stands(value: int, fits: bool) -> None:
    for place in (0, ROWS * WIDTH // 2, ROWS * WIDTH - 1):
        x = np.zeros((ROWS, WIDTH), dtype=np.int64)
        x.reshape(-1)[place] = value
        y, ones = np.empty_like(x), np.ones(ROWS, dtype=np.int64)
        flat, nothing = x.reshape(-1), np.zeros(x.size, dtype=np.int64)
        assert row_passes.round_rows(2 * x, NONE, 1, 2**15, y) is fits
        assert row_passes.add_rows(flat, nothing, 2**15, y.reshape(-1)) is fits
        assert row_passes.multiply_rows(flat, 2 + nothing, 1, 2**15, y.reshape(-1)) is fits
        assert row_passes.scale_rows(2 * x, ones, NONE, 1, 2**15, y) is fits
        assert row_passes.look_up_rows(flat, np.zeros(2**16, dtype=np.int64), y.reshape(-1)) is fits
        cosine, sine = np.full((9, 6), 2), np.zeros((9, 6), dtype=np.int64)
        heads, positions = (ROWS, -1, 6), np.arange(ROWS)
        turned = (x.reshape(heads), positions, cosine, sine, 1, 2**15, y.reshape(heads))
        assert row_passes.turn_rows(*turned) is fits


def test_normalised_rows_are_scaled_by_the_floor_of_the_root_or_nothing_is_said() -> None:
    """Roots that float64 cannot tell, just at an integer, are left to whoever has more digits."""
    unsure = 0
    for numerator in (1 << 60, 3 << 93, 576 << 40, 1 << 98):
        for width in (1, 8, 24):
            x, y = X[:, :width] >> 12, np.empty((ROWS, width), dtype=np.int64)
            epsilon = max(1, numerator >> 64)
            statistics = [sum(int(v) ** 2 for v in row) + epsilon for row in x]
            roots = np.array([isqrt(numerator // m) for m in statistics])
            certain, fits = row_passes.normalise_rows(x, float(numerator), epsilon, NONE, 9, 2**15, y)
            if not certain:
                unsure += 1
                continue
            expected = half_up(x * roots[:, None], 9)
            np.testing.assert_array_equal(y, expected)
            assert fits is bool(expected.min() >= -(2**15) and expected.max() < 2**15)
    assert unsure < 4


@pytest.mark.parametrize("root", [1, 2, 1000, 2**16 - 1, 2**16, 2**31 + 1, 2**32 - 1])
def test_a_root_at_an_integer_is_never_told_wrongly(root: int) -> None:
    """numerator / statistic at the square of an integer, and one below and above."""
    for statistic in (1, 7, 2**20 + 3):
        x = np.zeros(3, dtype=np.int64)
        for difference in (-1, 0, 1):
            numerator = root * root * statistic + difference
            found = row_passes.inverse_root(x, float(numerator), statistic)
            assert found in (-1, isqrt(numerator // statistic))
    assert row_passes.inverse_root(np.array([2**31]), 2.0**98, 1) == -1  # its square is no int64


def test_rows_are_scaled_turned_added_and_looked_up() -> None:
    y, root, gain = np.empty_like(X), generator.integers(1, 2**20, ROWS), generator.integers(-90, 90, WIDTH)
    assert row_passes.scale_rows(X, root, gain, 12, NO_LIMIT, y)
    np.testing.assert_array_equal(y, half_up(X * root[:, None] * gain, 12))
    assert row_passes.scale_rows(X, root, NONE, 12, NO_LIMIT, y)
    np.testing.assert_array_equal(y, half_up(X * root[:, None], 12))
    assert row_passes.add_rows(X.reshape(-1), y.reshape(-1).copy(), NO_LIMIT, y.reshape(-1))
    np.testing.assert_array_equal(y, X + half_up(X * root[:, None], 12))

    x, positions = X.reshape(ROWS, 4, 6), np.array([3, 4, 7, 0, 11])
    cosine, sine = (generator.integers(-(2**14), 2**14, (12, 8)) for _ in range(2))
    turned = np.empty_like(x)
    assert row_passes.turn_rows(x, positions, cosine, sine, 14, NO_LIMIT, turned)
    flipped = x.reshape(ROWS, 4, 3, 2)[..., ::-1].reshape(x.shape)
    by_row = cosine[positions, None, :6], sine[positions, None, :6]
    np.testing.assert_array_equal(turned, half_up(x * by_row[0] + flipped * by_row[1], 14))

    product = np.empty(X.size, dtype=np.int64)
    assert row_passes.multiply_rows(X.reshape(-1), y.reshape(-1), 14, NO_LIMIT, product)
    np.testing.assert_array_equal(product, half_up(X * y, 14).reshape(-1))

    squares = np.empty(ROWS, dtype=np.int64)
    assert row_passes.sum_squares(X, squares) == pytest.approx(
        float((X.astype(object) ** 2).sum(axis=1).max())
    )
    np.testing.assert_array_equal(squares, (X * X).sum(axis=1))

    table = generator.integers(-9, 9, 2**8)
    index = generator.integers(-(2**7), 2**7, 50)
    found = np.empty_like(index)
    assert row_passes.look_up_rows(index, table, found)
    np.testing.assert_array_equal(found, table[index + 2**7])
