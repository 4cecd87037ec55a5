"""Products by torch are those of integers, whatever the kernel, the shape and the digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.model.torch_device import TorchDevice, TorchOutputs
from prover.model.torch_products import MOST_INPUTS, Digits, Floats, _digits_needed
from prover.word_products import AVAILABLE

CPU = torch.device("cpu")
LARGEST, SMALLEST = 2**15 - 1, -(2**15)


def definition(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    return x @ weights.T.astype(np.int64)


def both(weights: np.ndarray, x: np.ndarray, rows_by: int = 1, at_once: int = 1 << 18) -> np.ndarray:
    """The product of digits, which that of floats equals."""
    rows = torch.tensor(x)
    found = Digits.of(weights, CPU, rows_by, at_once).multiply(rows).numpy()
    np.testing.assert_array_equal(Floats.of(weights, CPU).multiply(rows).numpy(), found)
    assert found.dtype == np.int64
    return found


@settings(max_examples=80, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 5, 16, 17, 18]),
    inputs=st.sampled_from([1, 7, 8, 9, 64, 100]),
    outputs=st.sampled_from([1, 7, 8, 9, 67]),
    magnitude=st.sampled_from([1, 7, 8, 15, 16, 23, 25]),
    weight_bits=st.sampled_from([1, 7, 8, 12, 15, 20]),
    rows_by=st.sampled_from([1, 32]),
    outliers=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_shape_and_width_gives_the_definition(
    rows: int,
    inputs: int,
    outputs: int,
    magnitude: int,
    weight_bits: int,
    rows_by: int,
    outliers: bool,
    seed: int,
) -> None:
    """rows_by: on CUDA few rows are padded, as are inputs and outputs everywhere."""
    generator = np.random.default_rng(seed)
    weights = generator.integers(-(2**weight_bits), 2**weight_bits, (outputs, inputs))
    weights = weights.astype(np.int16 if weight_bits < 16 else np.int32)
    x = generator.integers(-(2**magnitude), 2**magnitude, (rows, inputs))
    if outliers:  # one output with three digits, one row that needs more than the others
        weights[-1], x[0] = LARGEST, 2**magnitude - 1
    np.testing.assert_array_equal(both(weights, x, rows_by), definition(weights, x))


def test_every_int16_weight_has_its_digits() -> None:
    """All of them in one matrix, beside one: the last digit is there for those of 2^15 - 128 and more only."""
    weights = np.arange(SMALLEST, LARGEST + 1).astype(np.int16)[:, None]
    digits = Digits.of(weights, CPU, 1)
    assert digits.places[0] is None and digits.places[1] is not None
    assert digits.places[1].tolist() == list(range(2**16 - 128, 2**16))
    assert digits.multiply(torch.ones((1, 1), dtype=torch.int64))[0].tolist() == weights[:, 0].tolist()


@pytest.mark.parametrize("bits", [7, 8, 15, 16, 23, 24, 31, 40])
@pytest.mark.parametrize("off", [-129, -128, -127, 0])
def test_rows_at_the_border_of_a_digit_are_exact(bits: int, off: int) -> None:
    """The largest x of so many balanced digits is a bit below a power of two: what is above takes one more."""
    x = np.array([[2**bits + off], [-(2**bits) - off], [-(2**bits)], [1]])
    weights = np.array([[1], [-1], [3]], dtype=np.int16)
    np.testing.assert_array_equal(both(weights, x), definition(weights, x))


@pytest.mark.parametrize(("largest", "count"), [(0, 1), (127, 1), (128, 2), (32639, 2), (32640, 3)])
def test_as_few_digits_are_taken_as_hold_a_value(largest: int, count: int) -> None:
    assert _digits_needed(largest) == count
    assert 127 * sum(256**place for place in range(count)) >= largest


@pytest.mark.skipif(
    not AVAILABLE, reason="this CPU adds pairs of products in 16 bits, so digits are not for it"
)
@pytest.mark.parametrize("x", [-128, 127])
def test_the_longest_sums_of_the_largest_digits_do_not_wrap(x: int) -> None:
    """2^16 inputs, all digits at an end of their range, and so a 32-bit sum at its largest."""
    weights = np.full((9, MOST_INPUTS), SMALLEST, dtype=np.int16)
    weights[1], weights[2] = -128, 127
    rows = np.full((18, MOST_INPUTS), x)
    found = Digits.of(weights, CPU, 1).multiply(torch.tensor(rows))
    assert found[0].tolist() == (MOST_INPUTS * x * weights[:, 0].astype(np.int64)).tolist()
    assert (found == found[0]).all()


def test_more_inputs_than_sums_have_room_for_go_through_floats() -> None:
    weights = np.ones((2, MOST_INPUTS + 1), dtype=np.int16)
    with pytest.raises(ValueError, match="65537 inputs"):
        Digits.of(weights, CPU, 1)
    assert isinstance(TorchDevice(CPU, digits=True).matrix(weights), Floats)
    assert isinstance(TorchDevice(CPU, digits=True).matrix(weights[:, :9]), Digits)
    assert isinstance(TorchDevice(CPU, digits=False).matrix(weights[:, :9]), Floats)


def test_no_rows_have_no_products_and_another_width_is_refused() -> None:
    weights = np.ones((5, 3), dtype=np.int16)
    for made in (Digits.of(weights, CPU, 32), Floats.of(weights, CPU)):
        assert made.multiply(torch.zeros((0, 3), dtype=torch.int64)).shape == (0, 5)
    with pytest.raises(ValueError, match=r"\(2, 4\) meets weights of 3 inputs"):
        Digits.of(weights, CPU, 1).multiply(torch.zeros((2, 4), dtype=torch.int64))


def test_many_rows_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    weights = generator.integers(-(2**15), 2**15, (20, 12)).astype(np.int16)
    x = generator.integers(-(2**20), 2**20, (11, 12))
    monkeypatch.setattr("prover.model.torch_products._WIDENED_ENTRIES", 36)
    for at_once in (1, 400):
        np.testing.assert_array_equal(both(weights, x, 1, at_once), definition(weights, x))


@pytest.mark.parametrize("at_once", [1, 4, 1 << 20])
def test_the_largest_output_is_the_first_of_equal_ones(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover.model.torch_device._LOGITS_AT_ONCE", at_once * 300)
    generator = np.random.default_rng(5)
    weights = generator.integers(-3, 3, (300, 2)).astype(np.int16)
    x = generator.integers(-2, 3, (40, 2))
    head = TorchOutputs(Digits.of(weights, CPU, 1), len(weights))
    expected = definition(weights, x)
    assert ((expected == expected.max(1, keepdims=True)).sum(1) > 1).any()
    np.testing.assert_array_equal(head.largest(torch.tensor(x)).numpy(), expected.argmax(1))
