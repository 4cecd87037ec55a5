"""Norms agree with their real-number meaning, and their relations leave no freedom."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import pytest

from prover.operators.host_arrays import HOST
from prover.operators.inverse_root import InverseRoot, row_statistic
from prover.operators.layer_norm import LayerNorm
from prover.operators.rms_norm import RmsNorm
from prover.program import RunContext
from prover.relations import Ref

from .statements import OperatorCase, surviving_changes, violations

CHANNELS, ROWS, SCALE = 12, 4, 12
X = np.random.default_rng(3).integers(-60_000, 60_000, (ROWS, CHANNELS)) + 9_000
GAIN = np.random.default_rng(4).integers(-9_000, 9_000, CHANNELS)


def layer_norm(x: np.ndarray = X, channels: int = CHANNELS) -> OperatorCase:
    epsilon = round(channels**2 * 1e-5 * 4**SCALE)
    operator = LayerNorm(Ref("x"), "n", ("row",), channels, epsilon, 38, 28, 16)
    return OperatorCase((operator,), {"channel": channels}, {"x": (("row", "channel"), x)}, {}, {})


def rms_norm(gain: bool) -> OperatorCase:
    epsilon = round(CHANNELS * 1e-5 * 4**SCALE)
    operator = RmsNorm(
        Ref("x"),
        "n",
        ("row",),
        CHANNELS,
        epsilon,
        28,
        30 if gain else 18,
        16,
        gain="gain" if gain else None,
        gain_bits=16 if gain else None,
    )
    weights = {"gain": (("channel",), GAIN)} if gain else {}
    return OperatorCase((operator,), {"channel": CHANNELS}, {"x": (("row", "channel"), X)}, weights, {})


HEADS_X = np.random.default_rng(6).integers(-60_000, 60_000, (ROWS, 2, 6))  # (row, head, head_channel)
HEADS_GAIN = np.random.default_rng(7).integers(-9_000, 9_000, (2, 6))


def norm_over_all_heads() -> OperatorCase:
    """Axes in another order than run's: heads first, as attention has them."""
    epsilon = round(CHANNELS * 1e-5 * 4**SCALE)
    operator = RmsNorm(
        Ref("x"),
        "n",
        ("row",),
        CHANNELS,
        epsilon,
        28,
        30,
        16,
        channel="head_channel",
        gain="gain",
        gain_bits=16,
        across=("head",),
        order=("head", "row", "head_channel"),
    )
    x = HEADS_X.transpose(1, 0, 2)
    sizes = {"head": 2, "head_channel": 6}
    inputs = {"x": (("head", "row", "head_channel"), x)}
    return OperatorCase((operator,), sizes, inputs, {"gain": (("head", "head_channel"), HEADS_GAIN)}, {})


def test_a_norm_over_all_heads_is_that_of_their_channels_in_one_row() -> None:
    """Of the plain norm with the same numbers and gains; both readers, whatever the order of the axes."""
    flat = rms_norm(True)
    flat.inputs["x"] = (("row", "channel"), HEADS_X.reshape(ROWS, -1))  # type: ignore[index]
    flat.weights["gain"] = (("channel",), HEADS_GAIN.reshape(-1))  # type: ignore[index]
    expected = flat.run()["n"].reshape(HEADS_X.shape)
    case = norm_over_all_heads()
    (operator,) = case.operators
    context = RunContext(
        {"x": HEADS_X}, {}, lambda name, x: x, np.arange(ROWS), weights={"gain": HEADS_GAIN.reshape(-1)}
    )
    operator.run(context)
    assert np.array_equal(context.tensors["n"], expected)
    witness = case.witness()
    assert np.array_equal(witness["n"][:, :, :6].transpose(1, 0, 2), expected)
    assert violations(case, witness) == []
    assert surviving_changes(case.checker(witness), case.program, witness) == []


CASES = {"layer norm": layer_norm(), "rms norm": rms_norm(False), "rms norm with gain": rms_norm(True)}


def test_layer_norm_is_the_centred_value_over_the_deviation() -> None:
    real = X / 2**SCALE
    expected = (real - real.mean(1, keepdims=True)) / np.sqrt(real.var(1, keepdims=True) + 1e-5)
    assert np.abs(layer_norm().run()["n"] / 2**10 - expected).max() < 2**-10


def test_layer_norm_ignores_what_all_channels_share() -> None:
    """Adding a constant to every channel changes neither the sum of centred values nor the result."""
    assert np.array_equal(layer_norm().run()["n"], layer_norm(X + 123_457).run()["n"])


def test_rms_norm_multiplies_with_its_gain() -> None:
    real = X / 2**SCALE
    expected = real / np.sqrt((real**2).mean(1, keepdims=True) + 1e-5) * (GAIN / 2**12)
    assert np.abs(rms_norm(True).run()["n"] / 2**10 - expected).max() < 2**-10


@pytest.mark.parametrize("name", CASES)
def test_both_readers_compute_the_same_and_every_relation_holds(name: str) -> None:
    case = CASES[name]
    witness = case.witness()
    assert np.array_equal(witness["n"][:, :CHANNELS], case.run()["n"])
    assert not witness["n"][:, CHANNELS:].any()
    assert violations(case, witness) == []


@pytest.mark.parametrize("name", CASES)
def test_no_witness_value_of_a_norm_can_be_changed(name: str) -> None:
    case = CASES[name]
    witness = case.witness()
    assert surviving_changes(case.checker(witness), case.program, witness) == []


def test_a_norm_over_a_full_axis_has_no_padding() -> None:
    """16 channels fill the axis: the mask of real channels is all ones."""
    full = np.random.default_rng(5).integers(-50_000, 50_000, (ROWS, 16))
    case = layer_norm(full, 16)
    witness = case.witness()
    assert violations(case, witness) == []
    assert witness["real_channel"].all()


def test_a_row_of_zeros_is_normalised_to_zeros() -> None:
    case = layer_norm(np.zeros((ROWS, CHANNELS), dtype=np.int64))
    witness = case.witness()
    assert not witness["n"].any()
    assert violations(case, witness) == []


LARGEST = (1 << 31) - 1
"""Of a sum of two boundary values."""
EXTREMES = {
    "all the largest": np.full(CHANNELS, LARGEST),
    "all the smallest": np.full(CHANNELS, -LARGEST - 1),
    "alternating": np.resize([LARGEST, -LARGEST - 1], CHANNELS),
    "one alone": np.eye(1, CHANNELS, 3, dtype=np.int64)[0] * LARGEST,
    "sum of squares 2^62": np.array([1 << 30] * 4 + [0] * (CHANNELS - 4)),
    "sum of squares 2^63": np.array([1 << 30] * 8 + [0] * (CHANNELS - 8)),
    "sum of squares 2^62 - 1": np.array([(1 << 31) - 1, 65_535, 255, 21, 11, 3, 0, 0, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("values", EXTREMES.values(), ids=EXTREMES)
def test_a_statistic_is_exact_whatever_its_size(values: np.ndarray) -> None:
    rows = np.stack([values, np.arange(CHANNELS), values[::-1], -np.arange(CHANNELS)]).astype(np.int64)
    for factor, epsilon in ((1, 1), (CHANNELS, 7), (1 << 13, 1 << 62)):
        expected = [factor * sum(int(v) ** 2 for v in row) + epsilon for row in rows]
        assert row_statistic(rows, factor, epsilon, HOST).tolist() == expected
        assert int(row_statistic(rows[0], factor, epsilon, HOST)) == expected[0]  # the head's row has no axis


def meaning(name: str, row: list[int]) -> list[int]:
    """MEANING in Python integers."""
    (norm,) = CASES[name].operators
    squares, total = sum(v * v for v in row), sum(row)
    if name == "layer norm":
        statistic = CHANNELS * squares - total**2 + norm.epsilon
        scaled = [CHANNELS * v - total for v in row]
    else:
        statistic = squares + norm.epsilon
        scaled = [v * int(g) for v, g in zip(row, GAIN, strict=True)] if norm.gain else row
    root = isqrt(norm._root.numerator // statistic)
    return [(v * root + (1 << (norm.shift - 1))) >> norm.shift for v in scaled]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("values", EXTREMES.values(), ids=EXTREMES)
def test_a_norm_refuses_no_statistic(name: str, values: np.ndarray) -> None:
    """Statistics from 2^62 to 2^70 are run like any other, in the same integers, and every relation holds."""
    case = CASES[name]
    rows = np.stack([values, X[1], -values - 1, X[3]]).astype(np.int64)
    case = replace(case, inputs={"x": (("row", "channel"), rows)})
    found = case.run()["n"]
    assert found.tolist() == [meaning(name, [int(v) for v in row]) for row in rows]
    witness = case.witness()
    assert np.array_equal(witness["n"][:, :CHANNELS], found)
    assert violations(case, witness) == []
    assert surviving_changes(case.checker(witness), case.program, witness) == []


def test_the_slacks_of_the_largest_statistic_fit_their_limbs() -> None:
    """(2y + 1) m <= 2 sqrt(N m) + m, for the largest numerator and 2^13 channels of a sum of two boundary values."""
    numerator = (1 << 98) - 1
    root = InverseRoot("n", ("row",), "n_square", numerator, 1 << 40)
    for statistic in (1 << 40, 1 << 62, 1 << 74, (1 << 26) * (1 << 62), (1 << 98) - 1):
        y = int(root.value(np.array([statistic], dtype=object))[0])
        limbs = root._limbs(statistic, y)
        weights = [1 << (16 * i) for count in (2, 7, 7) for i in range(count)]
        parts = [
            sum(w * v for w, v in zip(weights[a:b], limbs[a:b], strict=True))
            for a, b in ((0, 2), (2, 9), (9, 16))
        ]
        assert parts == [y, numerator - y * y * statistic, (y + 1) ** 2 * statistic - 1 - numerator]
        assert all(0 <= limb < 1 << 16 for limb in limbs)


def test_a_numerator_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="98 bits"):
        InverseRoot("n", ("row",), "n_square", 1 << 98, 1 << 40)


def test_an_epsilon_that_vanishes_at_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="epsilon is too small"):
        InverseRoot("n", ("row",), "n_square", 1 << 68, 0)
    with pytest.raises(ValueError, match="epsilon is too small"):
        InverseRoot("n", ("row",), "n_square", 1 << 68, 16)


POST_NORM: dict[str, Any] = {
    "epsilon": 1 << 40,
    "root_scale": 34,
    "shift": 35,
    "bits": None,
    "gain": "gain",
    "gain_bits": 24,
}
"""Gemma's norm behind a sub-layer: |x root gain| can reach 2^34 sqrt(d) 2^23."""


def test_a_product_beyond_64_bits_is_refused_when_the_operator_is_made() -> None:
    RmsNorm(Ref("x"), "n", ("row",), 4096, **POST_NORM)
    with pytest.raises(ValueError, match="n times its root and gain can reach 2\\^63"):
        RmsNorm(Ref("x"), "n", ("row",), 4097, **POST_NORM)
    # |(d x - S) root| <= sqrt(d N), and a numerator N of at most 98 bits is far from it
    LayerNorm(Ref("x"), "n", ("row",), (1 << 27) - 1, 1 << 60, 22, 16, 16)
    with pytest.raises(ValueError, match="98 bits"):
        LayerNorm(Ref("x"), "n", ("row",), 1 << 20, 1 << 60, 53, 16, 16)


def test_a_gain_needs_its_width() -> None:
    for gain, bits in (("gain", None), (None, 24)):
        with pytest.raises(ValueError, match="needs its width"):
            RmsNorm(Ref("x"), "n", ("row",), 12, 1, 8, 8, 16, gain=gain, gain_bits=bits)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_product_at_the_border_is_exact(sign: int) -> None:
    """All of a row in one channel, met by the largest gain: as large as the bound lets it be, and no wrap."""
    channels, gain, x = 4096, (1 << 23) - 1, sign << 29
    norm = RmsNorm(Ref("x"), "n", ("row",), channels, **POST_NORM)
    row = np.zeros((1, channels), dtype=np.int64)
    row[0, 0] = x
    context = RunContext(
        tensors={"x": row},
        parameters={},
        matmul=lambda name, x: x,
        positions=np.arange(1),
        weights={"gain": np.full(channels, gain, dtype=np.int64)},
    )
    norm.run(context)
    root = isqrt((channels << 68) // (x * x + POST_NORM["epsilon"]))
    product = x * root * gain
    assert abs(product) > (1 << 63) - (1 << 56)
    assert int(context.tensors["n"][0, 0]) == (product + (1 << 34)) >> 35
