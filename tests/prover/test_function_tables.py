"""Closed forms equal the extensions of their values; function tables are the exactly rounded functions."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest

from prover import tables
from prover.field.arrays import MODULUS
from prover.tables import (
    ACTIVATIONS,
    Below,
    BeyondWindow,
    CausalMask,
    ClosedForm,
    Unit,
    activation_table,
)

ROW_BITS, CONTEXT_BITS = 5, 8


def extension(values: np.ndarray, point: list[int]) -> int:
    """The multilinear extension, first coordinate most significant."""
    layer = [int(v) for v in values.reshape(-1)]
    for coordinate in point:
        half = len(layer) // 2
        layer = [
            (a + coordinate * (b - a)) % MODULUS for a, b in zip(layer[:half], layer[half:], strict=True)
        ]
    return layer[0]


def random_point(length: int) -> list[int]:
    generator = np.random.default_rng(length)
    return [int.from_bytes(generator.bytes(31), "big") for _ in range(length)]


FORMS: list[tuple[ClosedForm, tuple[int, ...]]] = [
    *((Below(bound), (5,)) for bound in (1, 7, 16, 24, 31, 32)),
    *((Unit(place), (5,)) for place in (0, 12, 31)),
]


@pytest.mark.parametrize(("form", "widths"), FORMS, ids=repr)
def test_a_closed_form_is_the_extension_of_its_values(form: ClosedForm, widths: tuple[int, ...]) -> None:
    point = random_point(sum(widths))
    assert form.evaluate([point], {}, MODULUS) == extension(form.values(widths, {}), point)


@pytest.mark.parametrize("window", [0, 1, 2, 3, 7])
def test_the_reach_mask_is_the_extension_of_its_values(window: int) -> None:
    form, publics = BeyondWindow(64), {"window": window}
    rows, context = random_point(ROW_BITS), random_point(CONTEXT_BITS + 1)[1:]
    values = form.values((ROW_BITS, CONTEXT_BITS), publics)
    assert form.evaluate([rows, context], publics, MODULUS) == extension(values, [*rows, *context])


def test_the_reach_mask_hides_exactly_what_lies_further_back() -> None:
    """reach = 64: position 32 * 3 + i sees 64 positions, itself included, and the causal mask hides the rest."""
    publics = {"window": 3}
    back = BeyondWindow(64).values((ROW_BITS, CONTEXT_BITS), publics)
    ahead = CausalMask().values((ROW_BITS, CONTEXT_BITS), publics)
    for i in range(32):
        visible = np.flatnonzero((back + ahead)[i] == 0)
        assert (visible[0], visible[-1]) == (32 * 3 + i - 63, 32 * 3 + i)
        assert len(visible) == 64
    assert (back + ahead).max() == 1


def test_a_reach_of_one_window_is_the_shortest() -> None:
    assert BeyondWindow(32).windows == 1


@pytest.mark.parametrize("reach", [0, 31, 33, 48])
def test_a_reach_that_is_no_multiple_of_a_window_is_refused(reach: int) -> None:
    with pytest.raises(ValueError, match="no multiple of 32"):
        BeyondWindow(reach)


def exact(function: str, x: Decimal) -> Decimal:
    """The activation in 60-digit decimals."""
    if function == "sigmoid":
        return 1 / (1 + (-x).exp())
    if function == "silu":
        return x / (1 + (-x).exp())
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    power = 2 * (2 / pi).sqrt() * (x + Decimal("0.044715") * x**3)
    return x / (1 + (-power).exp())


@pytest.mark.parametrize("function", ACTIVATIONS)
@pytest.mark.parametrize(
    ("bits", "scale", "output_scale"), [(12, 9, 9), (14, 10, 12), (13, 12, 7), (12, 9, 24)]
)
def test_an_activation_table_is_exactly_rounded(
    function: str, bits: int, scale: int, output_scale: int
) -> None:
    getcontext().prec = 60
    table, half = activation_table(function, bits, scale, output_scale), 1 << (bits - 1)
    for g in {-half, half - 1, -1, 0, 1, *(int(v) for v in np.linspace(-half, half - 1, 101))}:
        value = exact(function, Decimal(g) / 2**scale) * 2**output_scale
        least = 1 if function == "sigmoid" else -(1 << 62)
        rounded = int((value + Decimal("0.5")).to_integral_value(rounding="ROUND_FLOOR"))
        assert table[g + half] == max(rounded, least), g


@pytest.mark.parametrize("function", ACTIVATIONS)
@pytest.mark.parametrize(
    ("bits", "scale", "output_scale"), [(16, 9, 9), (16, 9, 11), (17, 10, 8), (8, 2, 20)]
)
def test_doubles_say_what_integers_say(function: str, bits: int, scale: int, output_scale: int) -> None:
    """Also where large arguments come close to a half (scale 10 to 8), which doubles must leave to the integers."""
    in_integers = tables.exact_activation_table(function, bits, scale, output_scale)
    assert np.array_equal(activation_table(function, bits, scale, output_scale), in_integers)
    _, is_sure = tables._rounded_doubles(function, bits, scale, output_scale)
    assert is_sure.all() == (output_scale >= scale or function == "sigmoid")


@pytest.mark.parametrize("function", [name for name in ACTIVATIONS if name != "sigmoid"])
def test_an_activation_keeps_padding_at_zero(function: str) -> None:
    assert activation_table(function, 10, 8, 8)[1 << 9] == 0


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown activation 'relu'; known: silu, gelu_tanh, sigmoid"):
        activation_table("relu", 10, 8, 8)
